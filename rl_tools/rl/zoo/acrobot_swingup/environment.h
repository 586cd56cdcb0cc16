#pragma once
// RLtools' acrobot, to be swung up and balanced: starts anywhere, never terminates, and is rewarded for both links
// pointing up.

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environments/acrobot/operations_cpu.h>

namespace rl_tools::rl::zoo {
    template <typename T, typename TI>
    struct AcrobotSwingup : environments::AcrobotSwingup<environments::acrobot::Specification<T, TI>> {
        using PARAMETERS = environments::acrobot::DefaultParameters<T>;
        static constexpr T ACTION_LOW[] = {PARAMETERS::MIN_TORQUE}, ACTION_HIGH[] = {PARAMETERS::MAX_TORQUE};
        // cosine and sine of both angles, angular velocities in rad/s
        static constexpr T OBSERVATION_HIGH[] = {1, 1, 1, 1, PARAMETERS::MAX_VEL_1, PARAMETERS::MAX_VEL_2};
        static constexpr T OBSERVATION_LOW[] = {-1, -1, -1, -1, -PARAMETERS::MAX_VEL_1, -PARAMETERS::MAX_VEL_2};
    };
}

template <typename T, typename TI>
using ENVIRONMENT_FACTORY = rl_tools::rl::zoo::AcrobotSwingup<T, TI>;

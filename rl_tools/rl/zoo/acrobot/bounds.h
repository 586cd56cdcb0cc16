#pragma once

#include <rl_tools/rl/environments/acrobot/acrobot.h>

namespace rl_tools::rl::zoo {
    // RLtools' acrobot with the bounds that its parameters imply: torque in N m; cosine and sine of both angles,
    // angular velocities in rad/s.
    template <typename T_ACROBOT>
    struct BoundedAcrobot : T_ACROBOT {
        using T = typename T_ACROBOT::T;
        using PARAMETERS = typename T_ACROBOT::Parameters;
        static constexpr T ACTION_LOW[] = {PARAMETERS::MIN_TORQUE}, ACTION_HIGH[] = {PARAMETERS::MAX_TORQUE};
        static constexpr T OBSERVATION_HIGH[] = {1, 1, 1, 1, PARAMETERS::MAX_VEL_1, PARAMETERS::MAX_VEL_2};
        static constexpr T OBSERVATION_LOW[] = {-1, -1, -1, -1, -PARAMETERS::MAX_VEL_1, -PARAMETERS::MAX_VEL_2};
    };
}

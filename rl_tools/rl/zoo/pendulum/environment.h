#pragma once
// RLtools' pendulum, whose dynamics, reward, limits and initial states are those of Gymnasium's Pendulum-v1, with its
// bounds: torque in N m; cosine and sine of the angle, angular velocity in rad/s.

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environments/pendulum/operations_cpu.h>

namespace rl_tools::rl::zoo {
    template <typename T, typename TI>
    struct Pendulum : environments::Pendulum<environments::pendulum::Specification<T, TI>> {
        static constexpr T ACTION_LOW[] = {-2}, ACTION_HIGH[] = {2};
        static constexpr T OBSERVATION_LOW[] = {-1, -1, -8}, OBSERVATION_HIGH[] = {1, 1, 8};
    };
}

template <typename T, typename TI>
using ENVIRONMENT_FACTORY = rl_tools::rl::zoo::Pendulum<T, TI>;

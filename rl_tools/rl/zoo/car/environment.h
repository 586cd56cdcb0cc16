#pragma once
// RLtools' car, to be parked in the middle of a square of two metres, facing right; leaving the square terminates.
// Actions: throttle (negative: brake) and steering angle in rad. Observations: position in m, heading in rad, velocity
// ahead and aside in m/s, yaw rate in rad/s.

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environments/car/car.h>

namespace rl_tools::rl::environments::car {
    // RLtools 2.2 draws a state by calling this without parameters, and has it with parameters only.
    template <typename DEVICE, typename ENVIRONMENT, typename T, typename TI>
    void initial_state(DEVICE&, const ENVIRONMENT&, State<T, TI>& state) {
        state = {};
    }
}

#include <rl_tools/rl/environments/car/operations_generic.h>

namespace rl_tools::rl::zoo {
    template <typename T, typename TI>
    struct Car : environments::Car<environments::car::Specification<T, TI>> {
        static constexpr TI EPISODE_STEP_LIMIT = 500;  // RLtools sets none; five seconds
    };
}

template <typename T, typename TI>
using ENVIRONMENT_FACTORY = rl_tools::rl::zoo::Car<T, TI>;

#pragma once
// A pendulum that is to be swung up and balanced, as an environment in C++.
//
//   action       torque in N m                     [-2, 2]
//   observation  cosine and sine of the angle      [-1, 1]
//                angular velocity in rad/s         [-8, 8]
//   reward       -(angle^2 + 0.1 velocity^2 + 0.001 torque^2), angle in (-pi, pi], 0 is upright
//   start        any angle, velocity in [-1, 1]
//   end          never; cut after 200 steps of 0.05 s

#include <rl_tools/operations/cpu.h>

namespace my {
    // T: the type of numbers, TI: the type of sizes.
    template <typename T, typename TI>
    struct Pendulum {
        struct State {
            T angle;
            T velocity;
        };
        static constexpr TI OBSERVATION_DIM = 3;
        static constexpr TI ACTION_DIM = 1;
        static constexpr TI EPISODE_STEP_LIMIT = 200;

        static constexpr T GRAVITY = 10, MASS = 1, LENGTH = 1, TIME_STEP = 0.05;
        static constexpr T MAX_TORQUE = 2, MAX_VELOCITY = 8;

        // The bounds of the spaces. Without them actions are in [-1, 1] and observations anywhere.
        static constexpr T ACTION_LOW[ACTION_DIM] = {-MAX_TORQUE};
        static constexpr T ACTION_HIGH[ACTION_DIM] = {MAX_TORQUE};
        static constexpr T OBSERVATION_LOW[OBSERVATION_DIM] = {-1, -1, -MAX_VELOCITY};
        static constexpr T OBSERVATION_HIGH[OBSERVATION_DIM] = {1, 1, MAX_VELOCITY};
    };

    // The functions below find each other and are found by the environment's type; what they do not need has no name.
    // Actions come scaled to [-1, 1], as everywhere in RLtools.

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    void sample_initial_state(DEVICE& device, const Pendulum<T, TI>&, const PARAMETERS&,
                              typename Pendulum<T, TI>::State& state, RNG& rng) {
        using namespace rl_tools;
        state.angle = random::uniform_real_distribution(device.random, -math::PI<T>, math::PI<T>, rng);
        state.velocity = random::uniform_real_distribution(device.random, T(-1), T(1), rng);
    }

    // Where evaluation may start every time: hanging, at rest.
    template <typename DEVICE, typename T, typename TI, typename PARAMETERS>
    void initial_state(DEVICE&, const Pendulum<T, TI>&, const PARAMETERS&, typename Pendulum<T, TI>::State& state) {
        state = {rl_tools::math::PI<T>, 0};
    }

    // Semi-implicit Euler: the new velocity moves the angle.
    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T step(DEVICE& device, const Pendulum<T, TI>&, const PARAMETERS&, const typename Pendulum<T, TI>::State& state,
           const ACTION& action, typename Pendulum<T, TI>::State& next_state, RNG&) {
        using ENV = Pendulum<T, TI>;
        const T torque = ENV::MAX_TORQUE * get(action, 0, 0);
        const T gravity = 3 * ENV::GRAVITY / (2 * ENV::LENGTH) * rl_tools::math::sin(device.math, state.angle);
        const T acceleration = gravity + 3 / (ENV::MASS * ENV::LENGTH * ENV::LENGTH) * torque;
        next_state.velocity = rl_tools::math::clamp(device.math, state.velocity + acceleration * ENV::TIME_STEP,
                                                    -ENV::MAX_VELOCITY, ENV::MAX_VELOCITY);
        next_state.angle = state.angle + next_state.velocity * ENV::TIME_STEP;
        return ENV::TIME_STEP;
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T reward(DEVICE& device, const Pendulum<T, TI>&, const PARAMETERS&, const typename Pendulum<T, TI>::State& state,
             const ACTION& action, const typename Pendulum<T, TI>::State&, RNG&) {
        constexpr T TURN = 2 * rl_tools::math::PI<T>;
        const T angle = state.angle - TURN * rl_tools::math::floor(device.math, state.angle / TURN + T(0.5));
        const T torque = Pendulum<T, TI>::MAX_TORQUE * get(action, 0, 0);
        return -(angle * angle + T(0.1) * state.velocity * state.velocity + T(0.001) * torque * torque);
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename TYPE, typename OBSERVATION,
              typename RNG>
    void observe(DEVICE& device, const Pendulum<T, TI>&, const PARAMETERS&,
                 const typename Pendulum<T, TI>::State& state, const TYPE&, OBSERVATION& observation, RNG&) {
        set(observation, 0, 0, rl_tools::math::cos(device.math, state.angle));
        set(observation, 0, 1, rl_tools::math::sin(device.math, state.angle));
        set(observation, 0, 2, state.velocity);
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    bool terminated(DEVICE&, const Pendulum<T, TI>&, const PARAMETERS&, const typename Pendulum<T, TI>::State&, RNG&) {
        return false;
    }
}

// What is compiled: an environment for a type of numbers and a type of sizes.
template <typename T, typename TI>
using ENVIRONMENT_FACTORY = my::Pendulum<T, TI>;

#pragma once
// A pole on a cart that is to be swung up and balanced by a force on the cart. Beside the pendulum of
// examples/custom_environment it shows parameters that are drawn for each episode, and names for Python.
//
//   action       force in N                                  [-10, 10]
//   observation  position in m and velocity in m/s of the cart, cosine and sine of the pole's angle, its angular
//                velocity in rad/s
//   reward       1 for an upright pole at rest, 0 for a hanging one, less for one that turns (a pole that spins is
//                upright half of the time), and a little for the middle and for little force
//   start        hanging and almost at rest, near the middle
//   end          2.4 m from the middle; cut after 500 steps of 0.02 s
//
// The equations of motion are those of A. G. Barto, R. S. Sutton and C. W. Anderson, "Neuronlike adaptive elements that
// can solve difficult learning control problems", IEEE Transactions on Systems, Man, and Cybernetics 13 (1983), without
// friction. Gymnasium's CartPole-v1 has the same ones.

#include <rl_tools/operations/cpu.h>

namespace my {
    template <typename T, typename TI>
    struct CartPole {
        struct Parameters {
            T cart_mass;    // kg
            T pole_mass;    // kg
            T pole_length;  // m, from end to end
        };
        struct State {
            T position;
            T velocity;
            T angle;  // 0: upright
            T angular_velocity;
        };
        static constexpr TI OBSERVATION_DIM = 5;
        static constexpr TI ACTION_DIM = 1;
        static constexpr TI EPISODE_STEP_LIMIT = 500;

        static constexpr T GRAVITY = 9.8, TIME_STEP = 0.02, MAX_FORCE = 10, MAX_POSITION = 2.4;
        static constexpr T ACTION_LOW[ACTION_DIM] = {-MAX_FORCE};
        static constexpr T ACTION_HIGH[ACTION_DIM] = {MAX_FORCE};
    };

    // Another cart and another pole for each episode, so that a policy has to do with all of them.
    template <typename DEVICE, typename T, typename TI, typename RNG>
    void sample_initial_parameters(DEVICE& device, const CartPole<T, TI>&,
                                   typename CartPole<T, TI>::Parameters& parameters, RNG& rng) {
        const auto scaled = [&](T nominal) {
            return nominal * rl_tools::random::uniform_real_distribution(device.random, T(0.8), T(1.2), rng);
        };
        parameters.cart_mass = scaled(1);
        parameters.pole_mass = scaled(T(0.1));
        parameters.pole_length = scaled(1);
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS>
    void initial_state(DEVICE&, const CartPole<T, TI>&, const PARAMETERS&, typename CartPole<T, TI>::State& state) {
        state = {0, 0, rl_tools::math::PI<T>, 0};
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    void sample_initial_state(DEVICE& device, const CartPole<T, TI>& env, const PARAMETERS& parameters,
                              typename CartPole<T, TI>::State& state, RNG& rng) {
        initial_state(device, env, parameters, state);
        for (T* value : {&state.position, &state.velocity, &state.angle, &state.angular_velocity}) {
            *value += rl_tools::random::uniform_real_distribution(device.random, T(-0.05), T(0.05), rng);
        }
    }

    // Semi-implicit Euler: the new velocities move cart and pole.
    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T step(DEVICE& device, const CartPole<T, TI>&, const PARAMETERS& parameters,
           const typename CartPole<T, TI>::State& state, const ACTION& action,
           typename CartPole<T, TI>::State& next_state, RNG&) {
        using ENV = CartPole<T, TI>;
        const T sine = rl_tools::math::sin(device.math, state.angle);
        const T cosine = rl_tools::math::cos(device.math, state.angle);
        const T half_length = parameters.pole_length / 2;
        const T mass = parameters.cart_mass + parameters.pole_mass;
        const T lever = parameters.pole_mass * half_length / mass;
        // What the cart's acceleration would be if the pole did not turn faster or slower.
        const T push =
            ENV::MAX_FORCE * get(action, 0, 0) / mass + lever * state.angular_velocity * state.angular_velocity * sine;
        const T angular_acceleration = (ENV::GRAVITY * sine - cosine * push) /
                                       (half_length * (T(4) / 3 - parameters.pole_mass / mass * cosine * cosine));
        const T acceleration = push - lever * angular_acceleration * cosine;
        next_state.velocity = state.velocity + acceleration * ENV::TIME_STEP;
        next_state.angular_velocity = state.angular_velocity + angular_acceleration * ENV::TIME_STEP;
        next_state.position = state.position + next_state.velocity * ENV::TIME_STEP;
        next_state.angle = state.angle + next_state.angular_velocity * ENV::TIME_STEP;
        return ENV::TIME_STEP;
    }

    template <typename T>
    struct RewardTerms {
        T upright, centre, effort;
    };

    template <typename DEVICE, typename T, typename TI, typename ACTION>
    RewardTerms<T> reward_terms(DEVICE& device, const CartPole<T, TI>&, const typename CartPole<T, TI>::State& state,
                                const ACTION& action) {
        const T distance = state.position / CartPole<T, TI>::MAX_POSITION, force = get(action, 0, 0);
        const T height = (1 + rl_tools::math::cos(device.math, state.angle)) / 2;
        const T turning = state.angular_velocity / 4;
        return {height / (1 + turning * turning), T(0.1) * (1 - distance * distance), T(0.01) * (1 - force * force)};
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T reward(DEVICE& device, const CartPole<T, TI>& env, const PARAMETERS&,
             const typename CartPole<T, TI>::State& state, const ACTION& action, const typename CartPole<T, TI>::State&,
             RNG&) {
        const RewardTerms<T> terms = reward_terms(device, env, state, action);
        return terms.upright + terms.centre + terms.effort;
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename TYPE, typename OBSERVATION,
              typename RNG>
    void observe(DEVICE& device, const CartPole<T, TI>&, const PARAMETERS&,
                 const typename CartPole<T, TI>::State& state, const TYPE&, OBSERVATION& observation, RNG&) {
        set(observation, 0, 0, state.position);
        set(observation, 0, 1, state.velocity);
        set(observation, 0, 2, rl_tools::math::cos(device.math, state.angle));
        set(observation, 0, 3, rl_tools::math::sin(device.math, state.angle));
        set(observation, 0, 4, state.angular_velocity);
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    bool terminated(DEVICE& device, const CartPole<T, TI>&, const PARAMETERS&,
                    const typename CartPole<T, TI>::State& state, RNG&) {
        return rl_tools::math::abs(device.math, state.position) >= CartPole<T, TI>::MAX_POSITION;
    }

    // Names for Python. A visitor takes a name and a member: to read it, or to set it where a reset asks for that.

    template <typename DEVICE, typename T, typename TI, typename VISITOR>
    void visit_parameters(DEVICE&, const CartPole<T, TI>&, typename CartPole<T, TI>::Parameters& parameters,
                          VISITOR& visitor) {
        visitor("cart_mass", parameters.cart_mass);
        visitor("pole_mass", parameters.pole_mass);
        visitor("pole_length", parameters.pole_length);
    }

    template <typename DEVICE, typename T, typename TI, typename VISITOR>
    void visit_state(DEVICE&, const CartPole<T, TI>&, typename CartPole<T, TI>::State& state, VISITOR& visitor) {
        visitor("position", state.position);
        visitor("velocity", state.velocity);
        visitor("angle", state.angle);
        visitor("angular_velocity", state.angular_velocity);
    }

    // What `info` has after a step.
    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename VISITOR>
    void visit_info(DEVICE& device, const CartPole<T, TI>& env, const PARAMETERS&,
                    const typename CartPole<T, TI>::State& state, const ACTION& action,
                    const typename CartPole<T, TI>::State&, VISITOR& visitor) {
        const RewardTerms<T> terms = reward_terms(device, env, state, action);
        visitor("reward_upright", terms.upright);
        visitor("reward_centre", terms.centre);
        visitor("reward_effort", terms.effort);
    }
}

// What is compiled: an environment for a type of numbers and a type of sizes.
template <typename T, typename TI>
using ENVIRONMENT_FACTORY = my::CartPole<T, TI>;

#pragma once
// A mass on a rail that a force is to hold in the middle: something that runs and is learned. Replace it by your own,
// one part after the other, and run `sb3-tinyrl check-env` on this folder after each.
//
//   action       force in N                                      [-1, 1]
//   observation  position in m                                   [-1, 1]
//                velocity in m/s                                 [-2, 2]
//   reward       1 in the middle, 0 at the ends, less a little for the force
//   start        somewhere near the middle, slow, with another mass each time
//   end          at the ends of the rail; cut after 200 steps of 0.05 s

#include <rl_tools/operations/cpu.h>

namespace my::$name {
    // T: the type of numbers, TI: the type of sizes.
    template <typename T, typename TI>
    struct Environment {
        // What stays the same in an episode.
        struct Parameters {
            T mass;  // kg
        };
        // All that a step changes.
        struct State {
            T position;
            T velocity;
        };
        static constexpr TI OBSERVATION_DIM = 2;
        static constexpr TI ACTION_DIM = 1;
        static constexpr TI EPISODE_STEP_LIMIT = 200;

        static constexpr T TIME_STEP = 0.05, MAX_FORCE = 1, MAX_POSITION = 1, MAX_VELOCITY = 2;

        // The bounds of the spaces. Without them actions are in [-1, 1] and observations anywhere.
        static constexpr T ACTION_LOW[ACTION_DIM] = {-MAX_FORCE};
        static constexpr T ACTION_HIGH[ACTION_DIM] = {MAX_FORCE};
        static constexpr T OBSERVATION_LOW[OBSERVATION_DIM] = {-MAX_POSITION, -MAX_VELOCITY};
        static constexpr T OBSERVATION_HIGH[OBSERVATION_DIM] = {MAX_POSITION, MAX_VELOCITY};
    };

    // The functions below are found by the environment's type; arguments that they do not need have no name.

    // What is drawn must come from `rng`, or it does not follow the seed.
    template <typename DEVICE, typename T, typename TI, typename RNG>
    void sample_initial_parameters(DEVICE& device, const Environment<T, TI>&,
                                   typename Environment<T, TI>::Parameters& parameters, RNG& rng) {
        parameters.mass = rl_tools::random::uniform_real_distribution(device.random, T(0.5), T(1.5), rng);
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    void sample_initial_state(DEVICE& device, const Environment<T, TI>&, const PARAMETERS&,
                              typename Environment<T, TI>::State& state, RNG& rng) {
        state.position = rl_tools::random::uniform_real_distribution(device.random, T(-0.5), T(0.5), rng);
        state.velocity = rl_tools::random::uniform_real_distribution(device.random, T(-0.5), T(0.5), rng);
    }

    // The force of an action, which comes scaled: -1 stands for ACTION_LOW and 1 for ACTION_HIGH.
    template <typename T, typename TI, typename ACTION>
    T force(const Environment<T, TI>&, const ACTION& action) {
        return Environment<T, TI>::MAX_FORCE * get(action, 0, 0);
    }

    // Semi-implicit Euler: the new velocity moves the mass. Returns the seconds that have passed.
    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T step(DEVICE& device, const Environment<T, TI>& env, const PARAMETERS& parameters,
           const typename Environment<T, TI>::State& state, const ACTION& action,
           typename Environment<T, TI>::State& next_state, RNG&) {
        using ENV = Environment<T, TI>;
        const auto clamp = [&](T value, T limit) { return rl_tools::math::clamp(device.math, value, -limit, limit); };
        const T acceleration = force(env, action) / parameters.mass;
        next_state.velocity = clamp(state.velocity + acceleration * ENV::TIME_STEP, ENV::MAX_VELOCITY);
        next_state.position = clamp(state.position + next_state.velocity * ENV::TIME_STEP, ENV::MAX_POSITION);
        return ENV::TIME_STEP;
    }

    template <typename T>
    struct RewardTerms {
        T position, force;
    };

    template <typename T, typename TI, typename ACTION>
    RewardTerms<T> reward_terms(const Environment<T, TI>& env, const ACTION& action,
                                const typename Environment<T, TI>::State& next_state) {
        const T used = force(env, action);
        return {1 - next_state.position * next_state.position, T(-0.05) * used * used};
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T reward(DEVICE&, const Environment<T, TI>& env, const PARAMETERS&, const typename Environment<T, TI>::State&,
             const ACTION& action, const typename Environment<T, TI>::State& next_state, RNG&) {
        const RewardTerms<T> terms = reward_terms(env, action, next_state);
        return terms.position + terms.force;
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename TYPE, typename OBSERVATION,
              typename RNG>
    void observe(DEVICE&, const Environment<T, TI>&, const PARAMETERS&, const typename Environment<T, TI>::State& state,
                 const TYPE&, OBSERVATION& observation, RNG&) {
        set(observation, 0, 0, state.position);
        set(observation, 0, 1, state.velocity);
    }

    // Whether the task ends in this state. That it was cut at EPISODE_STEP_LIMIT is no end.
    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    bool terminated(DEVICE& device, const Environment<T, TI>&, const PARAMETERS&,
                    const typename Environment<T, TI>::State& state, RNG&) {
        return rl_tools::math::abs(device.math, state.position) >= Environment<T, TI>::MAX_POSITION;
    }

    // Names for Python: `env.unwrapped.parameters` and `state`, the options of `reset`, and `info` of a step. A visitor
    // takes a name and a number, or an array of numbers.

    template <typename DEVICE, typename T, typename TI, typename VISITOR>
    void visit_parameters(DEVICE&, const Environment<T, TI>&, typename Environment<T, TI>::Parameters& parameters,
                          VISITOR& visitor) {
        visitor("mass", parameters.mass);
    }

    template <typename DEVICE, typename T, typename TI, typename VISITOR>
    void visit_state(DEVICE&, const Environment<T, TI>&, typename Environment<T, TI>::State& state, VISITOR& visitor) {
        visitor("position", state.position);
        visitor("velocity", state.velocity);
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename VISITOR>
    void visit_info(DEVICE&, const Environment<T, TI>& env, const PARAMETERS&,
                    const typename Environment<T, TI>::State&, const ACTION& action,
                    const typename Environment<T, TI>::State& next_state, VISITOR& visitor) {
        const RewardTerms<T> terms = reward_terms(env, action, next_state);
        visitor("reward_position", terms.position);
        visitor("reward_force", terms.force);
    }
}

// What is compiled: an environment for a type of numbers and a type of sizes.
template <typename T, typename TI>
using ENVIRONMENT_FACTORY = my::$name::Environment<T, TI>;

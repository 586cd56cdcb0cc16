#pragma once
// A point mass in the plane that is to come to rest at a goal, drawn for each episode.
//
//   action       force along both axes in N                              [-1, 1] each
//   observation  from the mass to the goal in m, velocity in m/s, along both axes
//   reward       minus the distance to the goal and a little of the speed and of the force
//   start        anywhere in the square of 2 m, at rest
//   end          never; cut after 200 steps of 0.05 s
//
// Newton's second law with a drag that is proportional to the velocity; for a force that is held during a step,
// velocity and position at its end are the exact solution.

#include <rl_tools/operations/cpu.h>

namespace my {
    template <typename T, typename TI>
    struct PointMass {
        struct Parameters {
            T mass = 1;       // kg
            T drag = T(0.5);  // N s/m, above 0
            T goal[2] = {};   // m
        };
        struct State {
            T position[2];
            T velocity[2];
        };
        static constexpr TI OBSERVATION_DIM = 4;
        static constexpr TI ACTION_DIM = 2;
        static constexpr TI EPISODE_STEP_LIMIT = 200;
        static constexpr T TIME_STEP = 0.05;
    };

    template <typename DEVICE, typename T, typename TI, typename RNG>
    void sample_initial_parameters(DEVICE& device, const PointMass<T, TI>&,
                                   typename PointMass<T, TI>::Parameters& parameters, RNG& rng) {
        for (T& x : parameters.goal) {
            x = rl_tools::random::uniform_real_distribution(device.random, T(-1), T(1), rng);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    void sample_initial_state(DEVICE& device, const PointMass<T, TI>&, const PARAMETERS&,
                              typename PointMass<T, TI>::State& state, RNG& rng) {
        for (T& x : state.position) {
            x = rl_tools::random::uniform_real_distribution(device.random, T(-1), T(1), rng);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T step(DEVICE& device, const PointMass<T, TI>&, const PARAMETERS& parameters,
           const typename PointMass<T, TI>::State& state, const ACTION& action,
           typename PointMass<T, TI>::State& next_state, RNG&) {
        constexpr T TIME_STEP = PointMass<T, TI>::TIME_STEP;
        const T rate = parameters.drag / parameters.mass;
        const T kept = rl_tools::math::exp(device.math, -rate * TIME_STEP);
        for (TI i = 0; i < 2; i++) {
            const T terminal = get(action, 0, i) / parameters.drag;  // the velocity that this force would lead to
            const T excess = state.velocity[i] - terminal;
            next_state.velocity[i] = terminal + excess * kept;
            next_state.position[i] = state.position[i] + terminal * TIME_STEP + excess * (1 - kept) / rate;
        }
        return TIME_STEP;
    }

    template <typename T>
    struct RewardTerms {
        T distance, speed, effort;
    };

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION>
    RewardTerms<T> reward_terms(DEVICE& device, const PointMass<T, TI>&, const PARAMETERS& parameters,
                                const ACTION& action, const typename PointMass<T, TI>::State& next_state) {
        const auto norm = [&](T x, T y) { return rl_tools::math::sqrt(device.math, x * x + y * y); };
        return {-norm(parameters.goal[0] - next_state.position[0], parameters.goal[1] - next_state.position[1]),
                T(-0.1) * norm(next_state.velocity[0], next_state.velocity[1]),
                T(-0.01) * norm(get(action, 0, 0), get(action, 0, 1))};
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename RNG>
    T reward(DEVICE& device, const PointMass<T, TI>& env, const PARAMETERS& parameters,
             const typename PointMass<T, TI>::State&, const ACTION& action,
             const typename PointMass<T, TI>::State& next_state, RNG&) {
        const RewardTerms<T> terms = reward_terms(device, env, parameters, action, next_state);
        return terms.distance + terms.speed + terms.effort;
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename TYPE, typename OBSERVATION,
              typename RNG>
    void observe(DEVICE&, const PointMass<T, TI>&, const PARAMETERS& parameters,
                 const typename PointMass<T, TI>::State& state, const TYPE&, OBSERVATION& observation, RNG&) {
        for (TI i = 0; i < 2; i++) {
            set(observation, 0, i, parameters.goal[i] - state.position[i]);
            set(observation, 0, 2 + i, state.velocity[i]);
        }
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename RNG>
    bool terminated(DEVICE&, const PointMass<T, TI>&, const PARAMETERS&, const typename PointMass<T, TI>::State&,
                    RNG&) {
        return false;
    }

    // Names for Python.

    template <typename DEVICE, typename T, typename TI, typename VISITOR>
    void visit_parameters(DEVICE&, const PointMass<T, TI>&, typename PointMass<T, TI>::Parameters& parameters,
                          VISITOR& visitor) {
        visitor("mass", parameters.mass);
        visitor("drag", parameters.drag);
        visitor("goal", parameters.goal);
    }

    template <typename DEVICE, typename T, typename TI, typename VISITOR>
    void visit_state(DEVICE&, const PointMass<T, TI>&, typename PointMass<T, TI>::State& state, VISITOR& visitor) {
        visitor("position", state.position);
        visitor("velocity", state.velocity);
    }

    template <typename DEVICE, typename T, typename TI, typename PARAMETERS, typename ACTION, typename VISITOR>
    void visit_info(DEVICE& device, const PointMass<T, TI>& env, const PARAMETERS& parameters,
                    const typename PointMass<T, TI>::State&, const ACTION& action,
                    const typename PointMass<T, TI>::State& next_state, VISITOR& visitor) {
        const RewardTerms<T> terms = reward_terms(device, env, parameters, action, next_state);
        visitor("reward_distance", terms.distance);
        visitor("reward_speed", terms.speed);
        visitor("reward_effort", terms.effort);
    }
}

// What is compiled: an environment for a type of numbers and a type of sizes.
template <typename T, typename TI>
using ENVIRONMENT_FACTORY = my::PointMass<T, TI>;

#pragma once

#include <cstring>
#include <exception>

#include <rl_tools/rl/components/episode/episode.h>
#include <rl_tools/rl/environment_wrappers/complete/operations_generic.h>
#include <rl_tools/utils/simd/vector.h>

namespace rl_tools::rl::components::episode {
    // Calls the author's code; what it throws comes out with the name of the function.
    template <typename CALL>
    auto named(Function function, const CALL& call) {
        try {
            return call();
        } catch (const std::exception& exception) {
            throw Failure{function, exception.what()};
        } catch (...) {
            throw Failure{function, "something that is no std::exception"};
        }
    }

    template <typename DEVICE, typename ENVIRONMENT>
    void observe(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode,
                 typename ENVIRONMENT::T* observation) {
        using T = typename ENVIRONMENT::T;
        environment_wrappers::complete::Row<T, typename ENVIRONMENT::TI, ENVIRONMENT::OBSERVATION_DIM> row{
            {observation}};
        named(Function::OBSERVE,
              [&] { rl_tools::observe(device, environment, episode.parameters, episode.state, row, episode.rng); });
    }

    template <typename ENVIRONMENT>
    void seed(Episode<ENVIRONMENT>& episode, std::uint64_t key) {
        random::philox::seed(episode.rng.engine, key);
    }

    // Starts an episode: from a state that is drawn, or from the environment's nominal one. Nothing is left of the
    // one before but the random numbers.
    template <typename DEVICE, typename ENVIRONMENT>
    RL_TOOLS_OPAQUE void reset(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode, bool nominal,
                               typename ENVIRONMENT::T* observation) {
        episode.parameters = {};
        episode.state = {};
        named(Function::INITIAL_PARAMETERS,
              [&] { rl_tools::sample_initial_parameters(device, environment, episode.parameters, episode.rng); });
        named(Function::INITIAL_STATE, [&] {
            if (nominal) {
                rl_tools::initial_state(device, environment, episode.parameters, episode.state, episode.rng);
            } else {
                rl_tools::sample_initial_state(device, environment, episode.parameters, episode.state, episode.rng);
            }
        });
        episode.n_steps = 0;
        episode.episode_return = 0;
        episode.terminated = episode.truncated = false;
        observe(device, environment, episode, observation);
    }

    // RLtools' environments take actions in [-1, 1]; ours are in the units of ACTION_LOW and ACTION_HIGH, and clipped
    // to them.
    template <typename ENVIRONMENT, typename T = typename ENVIRONMENT::T>
    RL_TOOLS_INLINE T normalized(T action, std::size_t i) {
        if constexpr (ENVIRONMENT::ACTION_BOUNDS::DECLARED) {
            const T low = ENVIRONMENT::ACTION_BOUNDS::low(i), high = ENVIRONMENT::ACTION_BOUNDS::high(i);
            action = (action - (low / 2 + high / 2)) / (high / 2 - low / 2);
        }
        return action < T(-1) ? T(-1) : action > T(1) ? T(1) : action;
    }

    // Takes a step with `action` [ACTION_DIM] and returns the reward. `step_limit`: steps after which the episode is
    // truncated, 0 for none.
    template <typename DEVICE, typename ENVIRONMENT>
    RL_TOOLS_OPAQUE typename ENVIRONMENT::T step(DEVICE& device, ENVIRONMENT& environment,
                                                 Episode<ENVIRONMENT>& episode, const typename ENVIRONMENT::T* action,
                                                 std::int64_t step_limit, typename ENVIRONMENT::T* observation) {
        using T = typename ENVIRONMENT::T;
        T scaled[ENVIRONMENT::ACTION_DIM];
        for (std::size_t i = 0; i < ENVIRONMENT::ACTION_DIM; i++) {
            scaled[i] = normalized<ENVIRONMENT>(action[i], i);
        }
        const environment_wrappers::complete::Row<T, typename ENVIRONMENT::TI, ENVIRONMENT::ACTION_DIM> row{{scaled}};
        const typename ENVIRONMENT::State state = episode.state;
        named(Function::STEP,
              [&] { rl_tools::step(device, environment, episode.parameters, state, row, episode.state, episode.rng); });
        const T reward = named(Function::REWARD, [&] {
            return rl_tools::reward(device, environment, episode.parameters, state, row, episode.state, episode.rng);
        });
        episode.n_steps++;
        episode.episode_return += static_cast<double>(reward);
        episode.terminated = named(Function::TERMINATED, [&] {
            return rl_tools::terminated(device, environment, episode.parameters, episode.state, episode.rng);
        });
        episode.truncated = step_limit > 0 && episode.n_steps >= step_limit;
        observe(device, environment, episode, observation);
        return reward;
    }

    template <typename ENVIRONMENT>
    bool has_ended(const Episode<ENVIRONMENT>& episode) {
        return episode.terminated || episode.truncated;
    }

    // What a wrong index in the author's `observe` would do to memory, found on memory that does not matter.
    template <typename DEVICE, typename ENVIRONMENT>
    Flaw check(DEVICE& device, ENVIRONMENT& environment) {
        using T = typename ENVIRONMENT::T;
        constexpr std::size_t DIM = ENVIRONMENT::OBSERVATION_DIM, MARGIN = 64;
        constexpr unsigned char UNTOUCHED = 0xF5;  // as a float -6.2e32, which no environment observes
        T memory[MARGIN + DIM + MARGIN], untouched;
        std::memset(memory, UNTOUCHED, sizeof(memory));
        std::memset(&untouched, UNTOUCHED, sizeof(untouched));
        Episode<ENVIRONMENT> episode{};
        seed(episode, 0);
        reset(device, environment, episode, false, memory + MARGIN);
        Flaw flaw = Flaw::NONE;
        for (std::size_t i = 0; i < MARGIN + DIM + MARGIN; i++) {
            const bool is_inside = i >= MARGIN && i < MARGIN + DIM;
            if (!is_inside && memory[i] != untouched) {
                return Flaw::OBSERVES_TOO_MUCH;
            }
            if (is_inside && memory[i] == untouched) {
                flaw = Flaw::OBSERVES_TOO_LITTLE;
            }
        }
        return flaw;
    }
}

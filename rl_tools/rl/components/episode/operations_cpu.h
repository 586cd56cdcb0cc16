#pragma once

#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <rl_tools/rl/components/episode/episode.h>
#include <rl_tools/rl/components/episode/fields.h>
#include <rl_tools/rl/environment_wrappers/complete/operations_generic.h>
#include <rl_tools/utils/simd/vector.h>

namespace rl_tools::rl::components::episode {
    // What an exception says, cut where it says too much.
    inline std::string cut(const char* message) {
        constexpr std::size_t LONGEST = 1000;
        const std::string whole = message != nullptr ? message : "an exception without a message";
        return whole.size() <= LONGEST ? whole : whole.substr(0, LONGEST) + "...";
    }

    // Calls the author's code; what it throws comes out with the name of the function.
    template <typename CALL>
    auto named(Function function, const CALL& call) {
        try {
            return call();
        } catch (const std::exception& exception) {
            throw Failure{function, cut(exception.what())};
        } catch (const char* message) {
            throw Failure{function, cut(message)};
        } catch (const std::string& message) {
            throw Failure{function, cut(message.c_str())};
        } catch (...) {
            throw Failure{function, "something that is no std::exception"};
        }
    }

    // Not on the stack, which a large state would exceed.
    template <typename ENVIRONMENT>
    std::unique_ptr<Episode<ENVIRONMENT>> make_episode() {
        return named(Function::CONSTRUCTOR, [] { return std::make_unique<Episode<ENVIRONMENT>>(); });
    }

    using environment_wrappers::complete::CHECKS_ALL_INDICES;

    // `CHECKED`: whether `set` throws an IndexError for an element that is not there.
    template <bool CHECKED = CHECKS_ALL_INDICES, typename DEVICE, typename ENVIRONMENT>
    void observe(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode,
                 typename ENVIRONMENT::T* observation) {
        using T = typename ENVIRONMENT::T;
        environment_wrappers::complete::Row<T, typename ENVIRONMENT::TI, ENVIRONMENT::OBSERVATION_DIM, CHECKED> row{
            {observation}};
        named(Function::OBSERVE,
              [&] { rl_tools::observe(device, environment, episode.parameters, episode.state, row, episode.rng); });
    }

    template <typename ENVIRONMENT>
    void seed(Episode<ENVIRONMENT>& episode, std::uint64_t key) {
        random::philox::seed(episode.rng.engine, key);
    }

    inline Function function_that_shows(Shown shown) {
        return shown == Shown::PARAMETERS ? Function::VISIT_PARAMETERS : Function::VISIT_STATE;
    }

    // Shows the episode's parameters or its state to a visitor of `fields.h`, by the author's function if there is one.
    template <typename DEVICE, typename ENVIRONMENT, typename VISITOR>
    void visit(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode, Shown shown, VISITOR& visitor) {
        named(function_that_shows(shown), [&] {
            if (shown == Shown::PARAMETERS) {
                rl_tools::visit_parameters(device, environment, episode.parameters, visitor);
            } else {
                rl_tools::visit_state(device, environment, episode.state, visitor);
            }
        });
    }

    // Reads all elements of the episode's parameters or of its state into `values` [n].
    template <typename DEVICE, typename ENVIRONMENT>
    void read(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode, Shown shown, double* values,
              std::size_t n) {
        ReadFields visitor{values, n};
        visit(device, environment, episode, shown, visitor);
        named(function_that_shows(shown), [&] { require_elements(visitor.i == n, n); });
    }

    // Sets those elements of the episode's parameters or of its state that are fixed.
    template <typename DEVICE, typename ENVIRONMENT>
    void write(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode, Shown shown,
               const Fixed& fixed) {
        if (!fixed.is_fixed.empty()) {
            WriteFields visitor{fixed};
            visit(device, environment, episode, shown, visitor);
            named(function_that_shows(shown),
                  [&] { require_elements(visitor.i == fixed.values.size(), fixed.values.size()); });
        }
    }

    // Starts an episode: from a state that is drawn, or from the environment's nominal one, but for what is fixed.
    // Nothing is left of the one before but the random numbers, which are drawn alike whatever is fixed. `observation`
    // may be null.
    template <typename DEVICE, typename ENVIRONMENT>
    RL_TOOLS_OPAQUE void reset(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode, bool nominal,
                               typename ENVIRONMENT::T* observation, const Fixed& parameters = {},
                               const Fixed& state = {}) {
        named(Function::CONSTRUCTOR, [&] {
            episode.parameters = {};
            episode.state = {};
        });
        named(Function::INITIAL_PARAMETERS,
              [&] { rl_tools::sample_initial_parameters(device, environment, episode.parameters, episode.rng); });
        write(device, environment, episode, Shown::PARAMETERS, parameters);
        named(Function::INITIAL_STATE, [&] {
            if (nominal) {
                rl_tools::initial_state(device, environment, episode.parameters, episode.state, episode.rng);
            } else {
                rl_tools::sample_initial_state(device, environment, episode.parameters, episode.state, episode.rng);
            }
        });
        write(device, environment, episode, Shown::STATE, state);
        episode.n_steps = 0;
        episode.episode_return = 0;
        episode.terminated = episode.truncated = false;
        if (observation != nullptr) {
            observe(device, environment, episode, observation);
        }
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

    // Takes a step with `action` [ACTION_DIM] and returns the reward. `CHECKED`: whether `get` throws an IndexError for
    // an element that is not there.
    template <bool CHECKED, typename DEVICE, typename ENVIRONMENT>
    RL_TOOLS_INLINE typename ENVIRONMENT::T act(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode,
                                                const typename ENVIRONMENT::T* action) {
        using T = typename ENVIRONMENT::T;
        T scaled[ENVIRONMENT::ACTION_DIM];
        for (std::size_t i = 0; i < ENVIRONMENT::ACTION_DIM; i++) {
            scaled[i] = normalized<ENVIRONMENT>(action[i], i);
        }
        const environment_wrappers::complete::Row<T, typename ENVIRONMENT::TI, ENVIRONMENT::ACTION_DIM, CHECKED> row{
            {scaled}};
        const typename ENVIRONMENT::State state = episode.state;
        named(Function::STEP,
              [&] { rl_tools::step(device, environment, episode.parameters, state, row, episode.state, episode.rng); });
        return named(Function::REWARD, [&] {
            return rl_tools::reward(device, environment, episode.parameters, state, row, episode.state, episode.rng);
        });
    }

    // The same, with all that comes after it. `step_limit`: steps after which the episode is truncated, 0 for none.
    template <typename DEVICE, typename ENVIRONMENT>
    RL_TOOLS_OPAQUE typename ENVIRONMENT::T step(DEVICE& device, ENVIRONMENT& environment,
                                                 Episode<ENVIRONMENT>& episode, const typename ENVIRONMENT::T* action,
                                                 std::int64_t step_limit, typename ENVIRONMENT::T* observation) {
        const typename ENVIRONMENT::T reward = act<CHECKS_ALL_INDICES>(device, environment, episode, action);
        episode.n_steps++;
        episode.episode_return += static_cast<double>(reward);
        episode.terminated = named(Function::TERMINATED, [&] {
            return rl_tools::terminated(device, environment, episode.parameters, episode.state, episode.rng);
        });
        episode.truncated = step_limit > 0 && episode.n_steps >= step_limit;
        observe(device, environment, episode, observation);
        return reward;
    }

    // Shows a visitor what the author wants known of the step that was just taken from `state` with `action`
    // [ACTION_DIM].
    template <typename DEVICE, typename ENVIRONMENT, typename VISITOR>
    void visit_info(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode,
                    const typename ENVIRONMENT::State& state, const typename ENVIRONMENT::T* action, VISITOR& visitor) {
        using T = typename ENVIRONMENT::T;
        T scaled[ENVIRONMENT::ACTION_DIM];
        for (std::size_t i = 0; i < ENVIRONMENT::ACTION_DIM; i++) {
            scaled[i] = normalized<ENVIRONMENT>(action[i], i);
        }
        const environment_wrappers::complete::Row<T, typename ENVIRONMENT::TI, ENVIRONMENT::ACTION_DIM> row{{scaled}};
        const typename ENVIRONMENT::State& next_state = episode.state;
        named(Function::VISIT_INFO,
              [&] { rl_tools::visit_info(device, environment, episode.parameters, state, row, next_state, visitor); });
    }

    // The same as numbers, into `values` [n].
    template <typename DEVICE, typename ENVIRONMENT>
    void read_info(DEVICE& device, ENVIRONMENT& environment, Episode<ENVIRONMENT>& episode,
                   const typename ENVIRONMENT::State& state, const typename ENVIRONMENT::T* action, double* values,
                   std::size_t n) {
        ReadFields visitor{values, n};
        visit_info(device, environment, episode, state, action, visitor);
        named(Function::VISIT_INFO, [&] { require_elements(visitor.i == n, n); });
    }

    // Asks the author's functions what they show, in an episode that does not matter.
    template <typename DEVICE, typename ENVIRONMENT>
    void describe(DEVICE& device, ENVIRONMENT& environment, std::vector<Field> (&fields)[N_SHOWN]) {
        using T = typename ENVIRONMENT::T;
        std::vector<T> observation(ENVIRONMENT::OBSERVATION_DIM);
        const auto owner = make_episode<ENVIRONMENT>();
        Episode<ENVIRONMENT>& episode = *owner;
        seed(episode, 0);
        reset(device, environment, episode, false, observation.data());
        for (const Shown shown : {Shown::PARAMETERS, Shown::STATE}) {
            DescribeFields visitor{fields[static_cast<std::size_t>(shown)]};
            visit(device, environment, episode, shown, visitor);
        }
        if constexpr (environment_wrappers::complete::SHOWS_INFO<DEVICE, ENVIRONMENT, DescribeFields>) {
            const typename ENVIRONMENT::State before = episode.state;
            const T action[ENVIRONMENT::ACTION_DIM]{};
            step(device, environment, episode, action, 0, observation.data());
            DescribeFields visitor{fields[static_cast<std::size_t>(Shown::INFO)]};
            visit_info(device, environment, episode, before, action, visitor);
        }
    }

    template <typename ENVIRONMENT>
    bool has_ended(const Episode<ENVIRONMENT>& episode) {
        return episode.terminated || episode.truncated;
    }

    // Looks for wrong indices in the author's code, in an episode and on memory that do not matter. A step is taken,
    // too.
    template <typename DEVICE, typename ENVIRONMENT>
    Flaw check(DEVICE& device, ENVIRONMENT& environment) {
        using T = typename ENVIRONMENT::T;
        constexpr std::size_t DIM = ENVIRONMENT::OBSERVATION_DIM, MARGIN = 64;
        constexpr unsigned char UNTOUCHED = 0xF5;  // as a float -6.2e32, which no environment observes
        T untouched;
        std::memset(&untouched, UNTOUCHED, sizeof(untouched));
        std::vector<T> memory(MARGIN + DIM + MARGIN, untouched);
        const auto episode = make_episode<ENVIRONMENT>();
        seed(*episode, 0);
        reset(device, environment, *episode, false, nullptr);
        bool sets_beyond = false;
        named(Function::OBSERVE, [&] {
            environment_wrappers::complete::Row<T, typename ENVIRONMENT::TI, DIM, true> row{{memory.data() + MARGIN}};
            try {
                rl_tools::observe(device, environment, episode->parameters, episode->state, row, episode->rng);
            } catch (const environment_wrappers::complete::IndexError&) {
                sets_beyond = true;
            }
        });
        const auto is_untouched = [&](std::size_t i) { return memory[i] == untouched; };
        for (std::size_t i = 0; i < MARGIN; i++) {
            sets_beyond = sets_beyond || !is_untouched(i) || !is_untouched(MARGIN + DIM + i);
        }
        if (sets_beyond) {
            return Flaw::OBSERVES_TOO_MUCH;
        }
        const T action[ENVIRONMENT::ACTION_DIM]{};
        act<true>(device, environment, *episode, action);
        for (std::size_t i = MARGIN; i < MARGIN + DIM; i++) {
            if (is_untouched(i)) {
                return Flaw::OBSERVES_TOO_LITTLE;
            }
        }
        return Flaw::NONE;
    }
}

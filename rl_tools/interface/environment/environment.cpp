// The C interface of one environment: what sb3_tinyrl/_native/abi/env_library.py declares for ctypes. `environment.h`
// is the author's; it comes first among ours, so that its functions are known where they are called.

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environment_wrappers/complete/row.h>

#include "environment.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include <rl_tools/interface/environment/metadata.h>
#include <rl_tools/interface/environment/step.h>
#include <rl_tools/interface/export.h>
#include <rl_tools/rl/components/episode/operations_cpu.h>

#include <kernel_spec.h>

namespace episode = rl_tools::rl::components::episode;
using rl_tools::interface::environment::Metadata;
using rl_tools::interface::environment::Results;
using rl_tools::interface::environment::Status;

using T = float;
using DEVICE = rl_tools::devices::DefaultCPU;
using ENVIRONMENT =
    rl_tools::rl::environment_wrappers::Complete<T, DEVICE::index_t, ENVIRONMENT_FACTORY<T, DEVICE::index_t>>;
using Episode = rl_tools::rl::components::Episode<ENVIRONMENT>;

// Here rather than where it is used: the missing functions are named before anything fails for their lack.
template void rl_tools::rl::environment_wrappers::complete::require_functions<DEVICE, ENVIRONMENT, Episode::RNG>();

static_assert(std::is_trivially_copyable_v<Episode>);

// Several environments that share what never changes. Nothing of the author's runs when this is made.
struct Environments {
    explicit Environments(std::size_t n) : fixed_parameters(n), fixed_states(n) { episodes.reserve(n); }

    DEVICE device;
    std::unique_ptr<ENVIRONMENT> environment;
    std::vector<Episode> episodes;
    episode::Failure failure{};  // the last
    std::vector<episode::Field> fields[episode::N_SHOWN];
    std::size_t n_elements[episode::N_SHOWN] = {};               // of all fields together
    std::vector<episode::Fixed> fixed_parameters, fixed_states;  // for the resets to come
};

// Calls what calls the author's code; returns whether nothing was thrown.
template <typename CALL>
bool succeeds(Environments* environments, const CALL& call) {
    try {
        call();
        return true;
    } catch (episode::Failure& failure) {
        environments->failure = std::move(failure);
        return false;
    }
}

RL_TOOLS_EXPORT void environment_metadata(Metadata* metadata) {
    *metadata = {ENVIRONMENT::OBSERVATION_DIM, ENVIRONMENT::ACTION_DIM, ENVIRONMENT::EPISODE_STEP_LIMIT,
                 sizeof(Episode)};
}

// [OBSERVATION_DIM] and [ACTION_DIM] elements.
RL_TOOLS_EXPORT void environment_bounds(T* observation_low, T* observation_high, T* action_low, T* action_high) {
    for (std::size_t i = 0; i < ENVIRONMENT::OBSERVATION_DIM; i++) {
        observation_low[i] = static_cast<T>(ENVIRONMENT::OBSERVATION_BOUNDS::low(i));
        observation_high[i] = static_cast<T>(ENVIRONMENT::OBSERVATION_BOUNDS::high(i));
    }
    for (std::size_t i = 0; i < ENVIRONMENT::ACTION_DIM; i++) {
        action_low[i] = static_cast<T>(ENVIRONMENT::ACTION_BOUNDS::low(i));
        action_high[i] = static_cast<T>(ENVIRONMENT::ACTION_BOUNDS::high(i));
    }
}

// Null where memory is not to be had. The author's `init` may have failed, or a constructor.
RL_TOOLS_EXPORT Environments* environment_create(std::int64_t n) {
    Environments* environments;
    try {
        environments = new Environments(static_cast<std::size_t>(n));
    } catch (const std::exception&) {
        return nullptr;
    }
    succeeds(environments, [&] {
        episode::named(episode::Function::CONSTRUCTOR, [&] {
            environments->environment = std::make_unique<ENVIRONMENT>();
            environments->episodes.resize(static_cast<std::size_t>(n));
        });
        episode::named(episode::Function::INIT,
                       [&] { rl_tools::init(environments->device, *environments->environment); });
    });
    return environments;
}

// The function of the author's that has thrown last, and what; `Function::NONE` where none has.
RL_TOOLS_EXPORT const char* environment_failure(const Environments* environments, episode::Function* function) {
    *function = environments->failure.function;
    return environments->failure.message.c_str();
}

RL_TOOLS_EXPORT void environment_destroy(Environments* environments) {
    delete environments;
}

// None as well where a function of the author's throws.
RL_TOOLS_EXPORT episode::Flaw environment_check(Environments* environments) {
    auto flaw = episode::Flaw::NONE;
    succeeds(environments, [&] { flaw = episode::check(environments->device, *environments->environment); });
    return flaw;
}

// To be called once, before what follows is used.
RL_TOOLS_EXPORT Status environment_describe(Environments* environments) {
    const bool succeeded = succeeds(environments, [&] {
        episode::describe(environments->device, *environments->environment, environments->fields);
        for (std::size_t i = 0; i < episode::N_SHOWN; i++) {
            environments->n_elements[i] = episode::n_elements(environments->fields[i]);
        }
    });
    return succeeded ? Status::DONE : Status::THREW;
}

// The `i`-th field that the author's function shows, and its length, 0 for a number; null where there are no more.
RL_TOOLS_EXPORT const char* environment_field(const Environments* environments, episode::Shown shown, std::int64_t i,
                                              std::int64_t* length) {
    const auto& fields = environments->fields[static_cast<std::size_t>(shown)];
    if (static_cast<std::size_t>(i) >= fields.size()) {
        return nullptr;
    }
    *length = fields[i].length;
    return fields[i].name.c_str();
}

// Reads all elements of the parameters or the state of environment `i`.
RL_TOOLS_EXPORT Status environment_read(Environments* environments, episode::Shown shown, std::int64_t i,
                                        double* values) {
    const bool succeeded = succeeds(environments, [&] {
        episode::read(environments->device, *environments->environment, environments->episodes[i], shown, values,
                      environments->n_elements[static_cast<std::size_t>(shown)]);
    });
    return succeeded ? Status::DONE : Status::THREW;
}

// What the parameters or the state of environment `i` are to be after each reset from now on, where `is_fixed` is not
// 0; one of each for each element.
RL_TOOLS_EXPORT void environment_fix(Environments* environments, episode::Shown shown, std::int64_t i,
                                     const double* values, const std::uint8_t* is_fixed) {
    const bool are_parameters = shown == episode::Shown::PARAMETERS;
    episode::Fixed& fixed = (are_parameters ? environments->fixed_parameters : environments->fixed_states)[i];
    const std::size_t n = environments->n_elements[static_cast<std::size_t>(shown)];
    fixed = {};
    if (std::find(is_fixed, is_fixed + n, 1) != is_fixed + n) {
        fixed = {{values, values + n}, {is_fixed, is_fixed + n}};
    }
}

// Whether the episode of each environment has ended.
RL_TOOLS_EXPORT void environment_ended(const Environments* environments, std::uint8_t* ended) {
    for (std::size_t i = 0; i < environments->episodes.size(); i++) {
        ended[i] = episode::has_ended(environments->episodes[i]);
    }
}

// All that changes, `episode_bytes` for each environment: to be copied, kept, and written back.
RL_TOOLS_EXPORT void* environment_episodes(Environments* environments) {
    return environments->episodes.data();
}

RL_TOOLS_EXPORT void environment_seed(Environments* environments, std::int64_t i, std::uint64_t seed) {
    episode::seed(environments->episodes[i], seed);
}

namespace {
    void reset_one(Environments* environments, std::size_t i, bool nominal, T* observation) {
        episode::reset(environments->device, *environments->environment, environments->episodes[i], nominal,
                       observation, environments->fixed_parameters[i], environments->fixed_states[i]);
    }

    // `infos`: of all environments, or null.
    T step_one(Environments* environments, std::size_t i, const T* action, std::int64_t step_limit, T* observation,
               double* infos) {
        auto& device = environments->device;
        auto& environment = *environments->environment;
        Episode& running = environments->episodes[i];
        if constexpr (rl_tools::rl::environment_wrappers::complete::SHOWS_INFO<DEVICE, ENVIRONMENT,
                                                                               episode::ReadFields>) {
            if (infos != nullptr) {
                const std::size_t n = environments->n_elements[static_cast<std::size_t>(episode::Shown::INFO)];
                const ENVIRONMENT::State before = running.state;
                const T reward = episode::step(device, environment, running, action, step_limit, observation);
                episode::read_info(device, environment, running, before, action, infos + i * n, n);
                return reward;
            }
        }
        return episode::step(device, environment, running, action, step_limit, observation);
    }
}

// Starts an episode in each environment where `mask` is not 0, and writes its first observation. `culprit` is where it
// stopped, if the status is THREW.
RL_TOOLS_EXPORT Status environment_reset(Environments* environments, const std::uint8_t* mask, std::int32_t nominal,
                                         T* observations, std::int64_t* culprit) {
    const bool succeeded = succeeds(environments, [&] {
        for (std::size_t i = 0; i < environments->episodes.size(); i++) {
            *culprit = static_cast<std::int64_t>(i);
            if (mask[i]) {
                reset_one(environments, i, nominal != 0, observations + i * ENVIRONMENT::OBSERVATION_DIM);
            }
        }
    });
    return succeeded ? Status::DONE : Status::THREW;
}

// See `StepFunction`.
RL_TOOLS_EXPORT Status environment_step(Environments* environments, const T* actions, std::int64_t step_limit,
                                        episode::Autoreset autoreset, const Results* results, std::int64_t* culprit) {
    auto& episodes = environments->episodes;
    for (std::size_t i = 0; i < episodes.size(); i++) {
        *culprit = static_cast<std::int64_t>(i);
        for (std::size_t j = 0; j < ENVIRONMENT::ACTION_DIM; j++) {
            if (!std::isfinite(actions[i * ENVIRONMENT::ACTION_DIM + j])) {
                return Status::ACTION_NOT_FINITE;
            }
        }
        if (autoreset == episode::Autoreset::DISABLED && episode::has_ended(episodes[i])) {
            return Status::EPISODE_HAS_ENDED;
        }
    }
    const bool succeeded = succeeds(environments, [&] {
        for (std::size_t i = 0; i < episodes.size(); i++) {
            *culprit = static_cast<std::int64_t>(i);
            T* observation = results->observations + i * ENVIRONMENT::OBSERVATION_DIM;
            if (autoreset == episode::Autoreset::NEXT_STEP && episode::has_ended(episodes[i])) {
                reset_one(environments, i, false, observation);
                results->rewards[i] = 0;
                results->terminated[i] = results->truncated[i] = 0;
                continue;
            }
            results->rewards[i] = step_one(environments, i, actions + i * ENVIRONMENT::ACTION_DIM, step_limit,
                                           observation, results->infos);
            results->terminated[i] = episodes[i].terminated;
            results->truncated[i] = episodes[i].truncated;
            if (episode::has_ended(episodes[i])) {
                results->episode_returns[i] = episodes[i].episode_return;
                results->episode_lengths[i] = episodes[i].n_steps;
                if (autoreset == episode::Autoreset::SAME_STEP) {
                    std::memcpy(results->final_observations + i * ENVIRONMENT::OBSERVATION_DIM, observation,
                                ENVIRONMENT::OBSERVATION_DIM * sizeof(T));
                    reset_one(environments, i, false, observation);
                }
            }
        }
    });
    return succeeded ? Status::DONE : Status::THREW;
}

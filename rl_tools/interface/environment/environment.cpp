// The C interface of one environment: what sb3_tinyrl/_native/abi/env_batch.py calls through ctypes. `environment.h` is
// the author's; it comes first among ours, so that its functions are known where they are called.

#include <rl_tools/operations/cpu.h>

#include "environment.h"

#include <cmath>
#include <cstdint>
#include <exception>
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

// Several environments that share what never changes.
struct Environments {
    explicit Environments(std::size_t n) : episodes(n) {}

    DEVICE device;
    ENVIRONMENT environment;
    std::vector<Episode> episodes;
    episode::Failure failure{};  // the last
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

// Null where memory is not to be had. The author's `init` may have failed.
RL_TOOLS_EXPORT Environments* environment_create(std::int64_t n) {
    Environments* environments;
    try {
        environments = new Environments(static_cast<std::size_t>(n));
    } catch (const std::exception&) {
        return nullptr;
    }
    succeeds(environments, [&] {
        episode::named(episode::Function::INIT,
                       [&] { rl_tools::init(environments->device, environments->environment); });
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
    succeeds(environments, [&] { flaw = episode::check(environments->device, environments->environment); });
    return flaw;
}

// All that changes, `episode_bytes` for each environment: to be copied, kept, and written back.
RL_TOOLS_EXPORT void* environment_episodes(Environments* environments) {
    return environments->episodes.data();
}

RL_TOOLS_EXPORT void environment_seed(Environments* environments, std::int64_t i, std::uint64_t seed) {
    episode::seed(environments->episodes[i], seed);
}

// Starts an episode in each environment where `mask` is not 0, and writes its first observation. `culprit` is where it
// stopped, if the status is THREW.
RL_TOOLS_EXPORT Status environment_reset(Environments* environments, const std::uint8_t* mask, std::int32_t nominal,
                                         T* observations, std::int64_t* culprit) {
    const bool succeeded = succeeds(environments, [&] {
        for (std::size_t i = 0; i < environments->episodes.size(); i++) {
            *culprit = static_cast<std::int64_t>(i);
            if (mask[i]) {
                episode::reset(environments->device, environments->environment, environments->episodes[i], nominal != 0,
                               observations + i * ENVIRONMENT::OBSERVATION_DIM);
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
                episode::reset(environments->device, environments->environment, episodes[i], false, observation);
                results->rewards[i] = 0;
                results->terminated[i] = results->truncated[i] = 0;
                continue;
            }
            results->rewards[i] = episode::step(environments->device, environments->environment, episodes[i],
                                                actions + i * ENVIRONMENT::ACTION_DIM, step_limit, observation);
            results->terminated[i] = episodes[i].terminated;
            results->truncated[i] = episodes[i].truncated;
            if (episode::has_ended(episodes[i])) {
                results->episode_returns[i] = episodes[i].episode_return;
                results->episode_lengths[i] = episodes[i].n_steps;
                if (autoreset == episode::Autoreset::SAME_STEP) {
                    std::memcpy(results->final_observations + i * ENVIRONMENT::OBSERVATION_DIM, observation,
                                ENVIRONMENT::OBSERVATION_DIM * sizeof(T));
                    episode::reset(environments->device, environments->environment, episodes[i], false, observation);
                }
            }
        }
    });
    return succeeded ? Status::DONE : Status::THREW;
}

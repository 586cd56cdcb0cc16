#pragma once
// What a step of compiled environments takes and leaves: the contract between their library and the caller,
// Python or a training loop in another library.

#include <cstdint>

#include <rl_tools/rl/components/episode/autoreset.h>

// Several environments of one kind; only their own library knows what they are.
struct Environments;

namespace rl_tools::interface::environment {
    // Where a step's results go; one of each for each environment.
    struct Results {
        float* observations;            // [environment][OBSERVATION_DIM]
        float* rewards;                 // [environment]
        std::uint8_t* terminated;       // "
        std::uint8_t* truncated;        // "
        float* final_observations;      // [environment][OBSERVATION_DIM]: the last of each episode that ended now
        double* episode_returns;        // [environment]: of each episode that ended now
        std::int64_t* episode_lengths;  // "
        // [environment][element]: what `visit_info` shows of each step; null where it is not asked for.
        double* infos = nullptr;
    };

    enum class Status : std::int32_t { DONE, ACTION_NOT_FINITE, EPISODE_HAS_ENDED, THREW };

    // One step of each environment with `actions` [environment][ACTION_DIM]; of none, and `culprit` is the first to
    // blame, if the status is not DONE. With THREW, `culprit` threw an exception: those before it took the step, and
    // all need a reset.
    using StepFunction = Status (*)(Environments*, const float* actions, std::int64_t step_limit,
                                    rl::components::episode::Autoreset autoreset, const Results* results,
                                    std::int64_t* culprit);
}

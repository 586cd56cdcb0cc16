#pragma once
// The loop of stable_baselines3/common/off_policy_algorithm.py around compiled environments: act, step, store, and
// after each rollout gradient steps. It returns to Python when somebody there wants to know.

#include <cstdint>

#include <rl_tools/interface/environment/step.h>
#include <rl_tools/rl/algorithms/sb3_sac/sb3_sac.h>

namespace rl_tools::rl::algorithms::sb3_sac::loop {
    // Environments of a library of their own.
    struct CompiledEnvironments {
        interface::environment::StepFunction step;
        Environments* environments;
        const interface::environment::Results* results;
        std::int64_t step_limit;
    };

    // How long the loop runs and what it does when.
    struct Schedule {
        std::int64_t train_frequency;  // steps of each environment, or episodes, in a rollout
        std::int64_t train_frequency_is_in_episodes;
        std::int64_t gradient_steps;        // after each rollout, -1 for as many as it had transitions
        std::int64_t sde_sample_frequency;  // steps between two draws within a rollout; not above 0 for none
        std::int64_t handle_timeout_termination;
        std::int64_t max_steps;        // of each environment: the loop returns
        std::int64_t max_episodes;     // in all environments together: "; 0 for any number
        double max_seconds;            // "
        const double* learning_rates;  // [max_steps]: of the gradient steps that follow a step
    };

    struct EpisodeStatistics {
        double episode_return;
        std::int64_t length;
    };

    enum class Status : std::int32_t { DONE, ACTION_NOT_FINITE, STEP_NOT_FINITE, ENVIRONMENT_THREW };

    // What the loop goes on from, and leaves when it returns.
    struct State {
        std::int64_t n_collected_steps;     // of each environment in the unfinished rollout
        std::int64_t n_collected_episodes;  // "
        std::int64_t position;              // the next row of the replay buffer
        std::int64_t is_full;               // whether all rows have been written
        std::uint64_t n_sampled_batches;    // counters of the random numbers
        std::uint64_t n_sampled_actions;    // "
        // Of this call:
        std::int64_t n_steps;  // of each environment
        std::int64_t n_updates;
        std::int64_t n_episodes;
        Losses losses;         // averaged over the gradient steps after the last rollout
        double learning_rate;  // of these
    };
}

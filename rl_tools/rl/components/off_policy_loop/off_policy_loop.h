#pragma once
// The loop of stable_baselines3/common/off_policy_algorithm.py around compiled environments: act, step, store, and
// after each rollout gradient steps. A request goes in and a result comes out: the loop knows no model, and returns to
// Python as soon as Python has something to do.
//
// An ALGORITHM has the types T, OBSERVATION, HyperParameters, Losses (with `+=` and division by a number) and Acting,
// the constants OBSERVATION_DIM, ACTION_DIM, LATENT_DIM and HAS_NOISE_MATRIX (of its policy), and the operations
//     refresh_transposed_weights(algorithm)                     before the first of several steps
//     step(algorithm, hyper_parameters, replay_buffer, engine, position, losses)  one gradient step; returns whether it
//                                                               was taken: not with numbers that are not finite
//     set_learning_rate(hyper_parameters, learning_rate)
//     act(algorithm, acting, observations, n, noise, scaled_actions, actions)  returns whether all actions are finite
//     acting(algorithm)                                         the loop's memory for `act`
//     sample_exploration_matrix(algorithm, engine, index, matrix)  only with HAS_NOISE_MATRIX

#include <cstdint>

#include <rl_tools/interface/environment/step.h>
#include <rl_tools/rl/components/sb3_replay_buffer/sb3_replay_buffer.h>

namespace rl_tools::rl::components::off_policy_loop {
    // Environments of a library of their own.
    struct CompiledEnvironments {
        interface::environment::StepFunction step;
        Environments* environments;
        const interface::environment::Results* results;
        std::int64_t step_limit;
    };

    // How long the loop runs and what it does when. The loop returns before the gradient steps of a rollout that ends
    // with `max_steps` or `max_episodes`: those are the caller's.
    struct Schedule {
        std::int64_t train_frequency;  // steps of each environment, or episodes, in a rollout
        std::int64_t train_frequency_is_in_episodes;
        std::int64_t gradient_steps;        // after each rollout; 0 for none, -1 for as many as it had transitions
        std::int64_t sde_sample_frequency;  // steps between two draws of matrices in a rollout; not above 0 for none
        std::int64_t handle_timeout_termination;
        std::int64_t max_steps;        // of each environment
        std::int64_t max_episodes;     // in all environments together; 0 for any number
        double max_seconds;            // after which the loop returns once a rollout has been trained with
        const double* learning_rates;  // [max_steps], of the gradient steps that follow a step
        // Whether these are taken with the next steps of the environments: between the choice of an action, which the
        // weights before them make, and its transition, which their batches do not hold yet.
        std::int64_t overlap;
        double pending_learning_rate;  // of those that `progress` begins with
    };

    // What the policy explores with if it has a noise matrix, where SB3 keeps it; null otherwise. Redrawn by the loop.
    template <typename T>
    struct ExplorationMatrices {
        T* matrix;    // [LATENT_DIM][ACTION_DIM], for a single environment
        T* matrices;  // [environment][LATENT_DIM][ACTION_DIM], for several
    };

    // Where the loop is: what a call goes on from, and leaves.
    struct Progress {
        std::int64_t n_collected_steps;     // of each environment in the unfinished rollout
        std::int64_t n_collected_episodes;  // "
        std::int64_t position;              // the next row of the replay buffer
        std::int64_t is_full;               // whether all rows have been written
        std::uint64_t n_sampled_batches;    // counters of the random numbers
        std::uint64_t n_sampled_actions;    // "
        std::int64_t n_pending_updates;     // gradient steps to be taken with the next steps, in one call of `train`
        std::int64_t n_overlapped_updates;  // those of that call that have been taken
    };

    struct EpisodeStatistics {
        double episode_return;
        std::int64_t length;
    };

    enum class Status : std::int64_t {
        DONE,
        ACTION_NOT_FINITE,
        STEP_NOT_FINITE,
        ENVIRONMENT_THREW,
        UPDATE_NOT_FINITE,
        NO_MEMORY  // nothing was done
    };

    template <typename OBSERVATION, typename T>
    struct Request {
        Schedule schedule;
        Progress progress;
        std::uint64_t key;  // of the random numbers
        CompiledEnvironments environments;
        SB3ReplayBuffer<OBSERVATION> replay_buffer;
        ExplorationMatrices<T> exploration;
        EpisodeStatistics* episodes;  // room for max_steps * n_environments: those that ended, in their order
    };

    template <typename LOSSES>
    struct Result {
        Status status;
        Progress progress;
        std::int64_t n_steps;  // of each environment in this call
        std::int64_t n_updates;
        std::int64_t n_episodes;
        double learning_rate;  // of the gradient steps after the last rollout that had any
        LOSSES losses;         // mean over these
    };
}

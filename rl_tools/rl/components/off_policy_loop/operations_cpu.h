#pragma once

#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include <rl_tools/rl/components/off_policy_loop/off_policy_loop.h>
#include <rl_tools/rl/components/sb3_replay_buffer/operations_generic.h>
#include <rl_tools/rl/policies/policy.h>

namespace rl_tools::rl::components::off_policy_loop {
    inline bool all_finite(const float* values, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            if (!std::isfinite(values[i])) {
                return false;
            }
        }
        return true;
    }

    // What the steps of one call share.
    template <typename ALGORITHM>
    struct Context {
        using Request = off_policy_loop::Request<typename ALGORITHM::OBSERVATION, typename ALGORITHM::T>;
        using Result = off_policy_loop::Result<typename ALGORITHM::Losses>;

        ALGORITHM& algorithm;
        typename ALGORITHM::HyperParameters hyper_parameters;
        const Request& request;
        Result& result;
        SB3ReplayBuffer<typename ALGORITHM::OBSERVATION> replay_buffer;
        bool has_transposed_weights;  // whether they are those of the weights as they are now
        // [environment][OBSERVATION_DIM] and [environment][ACTION_DIM]
        std::vector<float> observations, next_observations, scaled_actions, actions;

        std::size_t n_environments() const { return static_cast<std::size_t>(replay_buffer.n_environments); }
        bool has_ended(std::size_t environment) const {
            const auto& results = *request.environments.results;
            return results.terminated[environment] || results.truncated[environment];
        }
    };

    // Draws all matrices anew: one for a single environment and one for each of several, as SB3's `reset_noise` does.
    template <typename ALGORITHM>
    void sample_exploration_matrices(Context<ALGORITHM>& context) {
        if constexpr (ALGORITHM::HAS_NOISE_MATRIX) {
            constexpr std::size_t DIM = ALGORITHM::LATENT_DIM * ALGORITHM::ACTION_DIM;
            const auto& [matrix, matrices] = context.request.exploration;
            const random::philox::Engine engine = {context.request.key, context.result.progress.n_sampled_actions++};
            for (std::size_t i = 0; i <= context.n_environments(); i++) {
                sample_exploration_matrix(context.algorithm, engine, static_cast<std::uint32_t>(i),
                                          i == 0 ? matrix : matrices + (i - 1) * DIM);
            }
        }
    }

    // Chooses an action for each environment; returns whether all are finite.
    template <typename ALGORITHM>
    bool act(Context<ALGORITHM>& context) {
        const auto& request = context.request;
        const std::size_t n = context.n_environments();
        std::memcpy(context.observations.data(), request.environments.results->observations,
                    context.observations.size() * sizeof(float));
        const random::philox::Engine engine = {request.key, context.result.progress.n_sampled_actions};
        const policies::ActionNoise<typename ALGORITHM::T> noise = {
            &engine, nullptr, n > 1 ? request.exploration.matrices : request.exploration.matrix,
            n > 1 ? ALGORITHM::LATENT_DIM * ALGORITHM::ACTION_DIM : 0};
        if (!act(context.algorithm, acting(context.algorithm), context.observations.data(), n, noise,
                 context.scaled_actions.data(), context.actions.data())) {
            return false;
        }
        context.result.progress.n_sampled_actions++;
        return true;
    }

    // One step of each environment, with the last observation of an episode where one ended; returns whether one threw,
    // or left what is not finite.
    template <typename ALGORITHM>
    Status step_environments(Context<ALGORITHM>& context) {
        constexpr std::size_t DIM = ALGORITHM::OBSERVATION_DIM;
        const auto& environments = context.request.environments;
        const auto& results = *environments.results;
        auto& next_observations = context.next_observations;
        std::int64_t culprit;
        if (environments.step(environments.environments, context.actions.data(), environments.step_limit,
                              episode::Autoreset::SAME_STEP, &results,
                              &culprit) == interface::environment::Status::THREW) {
            return Status::ENVIRONMENT_THREW;
        }

        std::memcpy(next_observations.data(), results.observations, next_observations.size() * sizeof(float));
        for (std::size_t i = 0; i < context.n_environments(); i++) {
            if (context.has_ended(i)) {
                std::memcpy(next_observations.data() + i * DIM, results.final_observations + i * DIM,
                            DIM * sizeof(float));
            }
        }
        const bool is_finite = all_finite(next_observations.data(), next_observations.size()) &&
                               all_finite(results.observations, next_observations.size()) &&
                               all_finite(results.rewards, context.n_environments());
        return is_finite ? Status::DONE : Status::STEP_NOT_FINITE;
    }

    // Writes the transitions of this step to the replay buffer, and counts them and the episodes that ended.
    template <typename ALGORITHM>
    void store(Context<ALGORITHM>& context) {
        const auto& results = *context.request.environments.results;
        auto& buffer = context.replay_buffer;
        auto& result = context.result;
        auto& progress = result.progress;
        sb3_replay_buffer::store<ALGORITHM::OBSERVATION_DIM, ALGORITHM::ACTION_DIM>(
            buffer, progress.position,
            {context.observations.data(), context.next_observations.data(), context.scaled_actions.data(),
             results.rewards, results.terminated, results.truncated},
            context.request.schedule.handle_timeout_termination != 0);
        progress.position = (progress.position + 1) % buffer.capacity;
        progress.is_full = progress.is_full || progress.position == 0;
        sb3_replay_buffer::set_position(buffer, progress.position, progress.is_full != 0);

        result.n_steps++;
        progress.n_collected_steps++;
        for (std::size_t i = 0; i < context.n_environments(); i++) {
            if (context.has_ended(i)) {
                context.request.episodes[result.n_episodes++] = {results.episode_returns[i],
                                                                 results.episode_lengths[i]};
                progress.n_collected_episodes++;
            }
        }
    }

    // Gradient steps `first_step` to `first_step + n_steps - 1` of one call of SB3's `train`; leaves their mean losses.
    // Returns whether all were taken.
    template <typename ALGORITHM>
    bool train(Context<ALGORITHM>& context, std::int64_t first_step, std::int64_t n_steps, double learning_rate) {
        if (n_steps == 0) {
            return true;
        }
        auto& result = context.result;
        if (!context.has_transposed_weights) {
            refresh_transposed_weights(context.algorithm);
            context.has_transposed_weights = true;
        }
        set_learning_rate(context.hyper_parameters, learning_rate);
        typename ALGORITHM::Losses sum{}, losses;
        std::int64_t n_taken = 0;
        for (; n_taken < n_steps; n_taken++) {
            const random::philox::Engine engine = {context.request.key, result.progress.n_sampled_batches};
            if (!step(context.algorithm, context.hyper_parameters, context.replay_buffer, engine,
                      {first_step + n_taken, false}, losses)) {
                break;
            }
            sum += losses;
            result.progress.n_sampled_batches++;
        }
        if (n_taken > 0) {
            result.losses = sum / static_cast<double>(n_taken);
            result.n_updates += n_taken;
            result.learning_rate = learning_rate;
        }
        return n_taken == n_steps;
    }

    // The pending gradient steps that go with the next step of the environments: an equal share for each step of the
    // rollout, or all if its length is not known. Returns whether they were taken.
    template <typename ALGORITHM>
    bool train_pending(Context<ALGORITHM>& context, double learning_rate) {
        const auto& schedule = context.request.schedule;
        auto& progress = context.result.progress;
        const std::int64_t n_steps_left =
            schedule.train_frequency_is_in_episodes ? 1 : schedule.train_frequency - progress.n_collected_steps;
        const std::int64_t n = (progress.n_pending_updates + n_steps_left - 1) / n_steps_left;
        if (!train(context, progress.n_overlapped_updates, n, learning_rate)) {
            progress.n_pending_updates = 0;  // as the rest of a call of `train` that fails
            return false;
        }
        progress.n_pending_updates -= n;
        progress.n_overlapped_updates += n;
        return true;
    }

    // Runs until `request.schedule` says that it returns, or a value is not finite.
    template <typename ALGORITHM>
    void run(ALGORITHM& algorithm, const typename ALGORITHM::HyperParameters& hyper_parameters,
             const typename Context<ALGORITHM>::Request& request, typename Context<ALGORITHM>::Result& result) {
        const auto n = static_cast<std::size_t>(request.replay_buffer.n_environments);
        const std::size_t observations_dim = n * ALGORITHM::OBSERVATION_DIM, actions_dim = n * ALGORITHM::ACTION_DIM;
        const auto& schedule = request.schedule;
        const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(schedule.max_seconds);
        result = {};
        result.progress = request.progress;
        auto& progress = result.progress;
        Context<ALGORITHM> context = {algorithm,
                                      hyper_parameters,
                                      request,
                                      result,
                                      request.replay_buffer,
                                      false,
                                      std::vector<float>(observations_dim),
                                      std::vector<float>(observations_dim),
                                      std::vector<float>(actions_dim),
                                      std::vector<float>(actions_dim)};

        double pending_learning_rate = schedule.pending_learning_rate;
        while (result.n_steps < schedule.max_steps) {
            if (schedule.sde_sample_frequency > 0 && progress.n_collected_steps % schedule.sde_sample_frequency == 0) {
                sample_exploration_matrices(context);
            }
            if (!act(context)) {
                result.status = Status::ACTION_NOT_FINITE;
                return;
            }
            if (!train_pending(context, pending_learning_rate)) {
                result.status = Status::UPDATE_NOT_FINITE;
                return;
            }
            result.status = step_environments(context);
            if (result.status != Status::DONE) {
                return;
            }
            store(context);
            const bool has_enough_episodes = schedule.max_episodes > 0 && result.n_episodes >= schedule.max_episodes;
            if (has_enough_episodes || result.n_steps == schedule.max_steps) {
                return;
            }
            const std::int64_t collected =
                schedule.train_frequency_is_in_episodes ? progress.n_collected_episodes : progress.n_collected_steps;
            if (collected >= schedule.train_frequency) {
                const std::int64_t n_updates = schedule.gradient_steps >= 0
                                                   ? schedule.gradient_steps
                                                   : progress.n_collected_steps * static_cast<std::int64_t>(n);
                const double learning_rate = schedule.learning_rates[result.n_steps - 1];
                if (schedule.overlap) {
                    progress.n_pending_updates = n_updates;
                    progress.n_overlapped_updates = 0;
                    pending_learning_rate = learning_rate;
                } else if (!train(context, 0, n_updates, learning_rate)) {
                    result.status = Status::UPDATE_NOT_FINITE;
                    return;
                }
                progress.n_collected_steps = progress.n_collected_episodes = 0;
                sample_exploration_matrices(context);
                if (std::chrono::steady_clock::now() >= end) {
                    return;
                }
            }
        }
    }
}

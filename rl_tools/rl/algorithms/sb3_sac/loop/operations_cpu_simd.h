#pragma once

#include <chrono>
#include <cmath>
#include <cstring>
#include <vector>

#include <rl_tools/rl/algorithms/sb3_sac/loop/loop.h>
#include <rl_tools/rl/algorithms/sb3_sac/operations_cpu_simd.h>

namespace rl_tools::rl::algorithms::sb3_sac::loop {
    inline bool all_finite(const float* values, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            if (!std::isfinite(values[i])) {
                return false;
            }
        }
        return true;
    }

    // The matrices of gSDE, where SB3's policy keeps them: `matrix` [LATENT_DIM][ACTION_DIM] for a single environment,
    // `matrices` [environment][LATENT_DIM][ACTION_DIM] for several.
    template <typename T>
    struct ExplorationMatrices {
        T* matrix;
        T* matrices;
    };

    template <typename DEVICE, typename SPEC>
    void sample_exploration_matrices(DEVICE& device, const ActorCritic<SPEC>& networks, const philox::Engine& engine,
                                     std::size_t n_environments, const ExplorationMatrices<typename SPEC::T>& target) {
        constexpr std::size_t DIM = SPEC::LATENT_DIM * SPEC::ACTION_DIM;
        for (std::size_t i = 0; i <= n_environments; i++) {
            distributions::sample_matrix<SPEC::LATENT_DIM, SPEC::ACTION_DIM>(
                device.math, networks.state_dependent_noise, engine, static_cast<std::uint32_t>(i),
                i == 0 ? target.matrix : target.matrices + (i - 1) * DIM);
        }
    }

    // The gradient steps after a rollout, as one call of SB3's `train`; leaves their mean losses.
    template <typename DEVICE, typename SPEC>
    void train(DEVICE& device, ActorCritic<SPEC>& networks, HyperParameters parameters,
               const SB3ReplayBuffer<typename SPEC::OBSERVATION>& buffer, std::uint64_t key, std::int64_t n_steps,
               double learning_rate, Workspace<SPEC>& workspace, Scratch<SPEC>* scratch, State& state) {
        if (n_steps == 0) {
            return;
        }
        parameters.actor_optimizer.learning_rate = parameters.critic_optimizer.learning_rate =
            parameters.entropy_coefficient_optimizer.learning_rate = learning_rate;
        Losses sum{};
        for (std::int64_t i = 0; i < n_steps; i++) {
            const bool polyak = i % parameters.target_update_interval == 0;
            const Losses losses = step(device, networks, parameters, buffer, {key, state.n_sampled_batches++}, polyak,
                                       false, workspace, scratch);
            sum.entropy_coefficient += losses.entropy_coefficient;
            sum.entropy_coefficient_loss += losses.entropy_coefficient_loss;
            sum.critic_loss += losses.critic_loss;
            sum.actor_loss += losses.actor_loss;
        }
        const auto n = static_cast<double>(n_steps);
        state.losses = {sum.entropy_coefficient / n, sum.entropy_coefficient_loss / n, sum.critic_loss / n,
                        sum.actor_loss / n};
        state.n_updates += n_steps;
        state.learning_rate = learning_rate;
    }

    // Runs until `schedule` says that it returns. `episodes` has room for all that may end. A rollout that is complete
    // when the loop returns has not been followed by its gradient steps: they are the caller's.
    template <typename DEVICE, typename SPEC>
    Status run(DEVICE& device, ActorCritic<SPEC>& networks, const HyperParameters& parameters,
               const ActionSpace<SPEC::ACTION_DIM>& action_space, SB3ReplayBuffer<typename SPEC::OBSERVATION> buffer,
               const CompiledEnvironments& compiled, const Schedule& schedule, std::uint64_t key,
               const ExplorationMatrices<typename SPEC::T>& exploration, Workspace<SPEC>& workspace,
               Scratch<SPEC>* scratch, State& state, EpisodeStatistics* episodes) {
        using T = typename SPEC::T;
        constexpr std::size_t OBSERVATION_DIM = SPEC::OBSERVATION_DIM, ACTION_DIM = SPEC::ACTION_DIM;
        const auto n = static_cast<std::size_t>(buffer.n_environments);
        const auto& results = *compiled.results;
        const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(schedule.max_seconds);
        std::vector<float> observations(n * OBSERVATION_DIM), next_observations(n * OBSERVATION_DIM);
        std::vector<float> scaled_actions(n * ACTION_DIM), actions(n * ACTION_DIM);
        const bool has_own_matrices = n > 1;

        prepare(device, networks, workspace);
        while (state.n_steps < schedule.max_steps) {
            if constexpr (SPEC::USE_SDE) {
                if (schedule.sde_sample_frequency > 0 && state.n_collected_steps % schedule.sde_sample_frequency == 0) {
                    sample_exploration_matrices(device, networks, {key, state.n_sampled_actions++}, n, exploration);
                }
            }
            std::memcpy(observations.data(), results.observations, observations.size() * sizeof(float));
            const philox::Engine engine = {key, state.n_sampled_actions};
            const ActionNoise<T> noise = {&engine, nullptr,
                                          has_own_matrices ? exploration.matrices : exploration.matrix,
                                          has_own_matrices ? SPEC::LATENT_DIM * ACTION_DIM : 0};
            if (!act(device, networks, action_space, observations.data(), n, noise, scratch[0].evaluation.actor,
                     scaled_actions.data(), actions.data())) {
                return Status::ACTION_NOT_FINITE;
            }
            state.n_sampled_actions++;
            std::int64_t culprit;
            if (compiled.step(compiled.environments, actions.data(), compiled.step_limit,
                              components::episode::Autoreset::SAME_STEP, &results,
                              &culprit) == interface::environment::Status::THREW) {
                return Status::ENVIRONMENT_THREW;
            }

            std::memcpy(next_observations.data(), results.observations, next_observations.size() * sizeof(float));
            for (std::size_t i = 0; i < n; i++) {
                if (results.terminated[i] || results.truncated[i]) {
                    std::memcpy(next_observations.data() + i * OBSERVATION_DIM,
                                results.final_observations + i * OBSERVATION_DIM, OBSERVATION_DIM * sizeof(float));
                }
            }
            if (!all_finite(next_observations.data(), next_observations.size()) ||
                !all_finite(results.observations, next_observations.size()) || !all_finite(results.rewards, n)) {
                return Status::STEP_NOT_FINITE;
            }
            components::sb3_replay_buffer::store<OBSERVATION_DIM, ACTION_DIM>(
                buffer, state.position,
                {observations.data(), next_observations.data(), scaled_actions.data(), results.rewards,
                 results.terminated, results.truncated},
                schedule.handle_timeout_termination != 0);
            state.position = (state.position + 1) % buffer.capacity;
            state.is_full = state.is_full || state.position == 0;
            components::sb3_replay_buffer::set_position(buffer, state.position, state.is_full != 0);

            const double learning_rate = schedule.learning_rates[state.n_steps];
            state.n_steps++;
            state.n_collected_steps++;
            for (std::size_t i = 0; i < n; i++) {
                if (results.terminated[i] || results.truncated[i]) {
                    episodes[state.n_episodes++] = {results.episode_returns[i], results.episode_lengths[i]};
                    state.n_collected_episodes++;
                }
            }
            const bool has_enough_episodes = schedule.max_episodes > 0 && state.n_episodes >= schedule.max_episodes;
            if (has_enough_episodes || state.n_steps == schedule.max_steps) {
                break;
            }
            const std::int64_t collected =
                schedule.train_frequency_is_in_episodes ? state.n_collected_episodes : state.n_collected_steps;
            if (collected >= schedule.train_frequency) {
                const std::int64_t n_updates = schedule.gradient_steps >= 0
                                                   ? schedule.gradient_steps
                                                   : state.n_collected_steps * static_cast<std::int64_t>(n);
                train(device, networks, parameters, buffer, key, n_updates, learning_rate, workspace, scratch, state);
                state.n_collected_steps = state.n_collected_episodes = 0;
                if constexpr (SPEC::USE_SDE) {
                    sample_exploration_matrices(device, networks, {key, state.n_sampled_actions++}, n, exploration);
                }
                if (std::chrono::steady_clock::now() >= end) {
                    break;
                }
            }
        }
        return Status::DONE;
    }
}

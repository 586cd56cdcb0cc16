#pragma once
// One gradient step is a few phases with a barrier after each. A phase over panels carries some samples (as many as the
// device likes) through all networks; a phase over weights sums each gradient over the batch in one thread and in
// a fixed order, so the bits depend neither on the number of threads nor on which thread did what.

#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/distributions/squashed_gaussian/operations_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/distributions/state_dependent_noise/operations_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/sb3_sac.h>
#include <rl_tools/rl/components/sb3_replay_buffer/operations_generic.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    namespace adam = nn::optimizers::torch_adam;
    namespace philox = random::philox;
    using components::SB3ReplayBuffer;

    template <typename SPEC>
    constexpr std::size_t n_samples(std::size_t p) {
        const std::size_t rest = SPEC::BATCH_SIZE - p * SPEC::SIZE;
        return rest < SPEC::SIZE ? rest : SPEC::SIZE;
    }

    // The value that the coefficient has in this update, before its own step.
    template <typename SPEC>
    typename SPEC::T entropy_coefficient(const ActorCritic<SPEC>& networks, const HyperParameters& parameters) {
        using T = typename SPEC::T;
        const T* log_value = networks.log_entropy_coefficient.value;
        return log_value ? std::exp(*log_value) : static_cast<T>(parameters.entropy_coefficient);
    }

    // To be called once: with gSDE the weights of the actor's last head lie in the workspace.
    template <typename SPEC>
    void initialise([[maybe_unused]] ActorCritic<SPEC>& networks, [[maybe_unused]] Workspace<SPEC>& workspace) {
        if constexpr (SPEC::USE_SDE) {
            auto& matrix = workspace.noise_matrix;
            for (auto& bias : matrix.variance_biases) {
                bias = distributions::VARIANCE_EPSILON<typename SPEC::T>;
            }
            auto& noise_head = networks.actor.layers[SPEC::ACTOR::N_LAYERS - 1];
            noise_head.weights.value = matrix.weights;
            noise_head.biases.value = matrix.biases;
        }
    }

    // Draws the matrix of gSDE for one gradient step. Its products with the features are the actor's last head.
    template <typename DEVICE, typename SPEC>
    void sample_noise_matrix(DEVICE& device, const ActorCritic<SPEC>& networks, const philox::Engine& engine,
                             Workspace<SPEC>& workspace) {
        constexpr std::size_t BLOCK = devices::tuning::NOISE_MATRIX_ROWS_PER_TASK;
        device.thread_pool.parallel_for(panel::n_blocks(SPEC::LATENT_DIM, BLOCK), [&](std::uint32_t task, unsigned) {
            const std::size_t first = task * BLOCK;
            const std::size_t end = first + BLOCK < SPEC::LATENT_DIM ? first + BLOCK : SPEC::LATENT_DIM;
            distributions::sample_matrix(device.math, networks.state_dependent_noise, engine, first, end,
                                         workspace.noise_matrix);
        });
        nn_models::panel_mlp::transpose_layer<SPEC::ACTOR::N_LAYERS - 1>(
            networks.actor, workspace.actor_transposed_weights, 0, SPEC::ACTION_DIM);
    }

    // Draws actions for the observations of panel `p`, whose actor has been computed.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void sample_action(DEVICE& device, const ActorCritic<SPEC>& networks, const Workspace<SPEC>& workspace,
                       nn_models::panel_mlp::ForwardValues<typename SPEC::ACTOR, N_PANELS>& actor, std::size_t p,
                       typename SPEC::Distribution& policy, [[maybe_unused]] Scratch<SPEC>& scratch) {
        if constexpr (SPEC::USE_SDE) {
            distributions::sample_action(device, networks.state_dependent_noise, workspace.noise_matrix,
                                         actor.template layer_input<SPEC::ACTOR::N_HIDDEN>(p), actor.output(p), policy,
                                         scratch.state_dependent_noise);
        } else {
            distributions::sample_action(device, actor.output(p), policy);
        }
    }

    template <std::size_t N, typename T>
    void copy(const T* source, T* target) {
        for (std::size_t i = 0; i < N; i++) {
            target[i] = source[i];
        }
    }

    // Scratch memory holds leftovers; lanes without a sample must not, since denormals there would cost time.
    // (Those of the workspace are zero from the start and never written.)
    template <std::size_t ROWS, std::size_t SIZE, typename T>
    void clear_padding(T* rows, std::size_t n_samples) {
        for (std::size_t row = 0; row < ROWS; row++) {
            for (std::size_t lane = n_samples; lane < SIZE; lane++) {
                rows[row * SIZE + lane] = 0;
            }
        }
    }

    // Samples panel `p`, computes the targets
    //     y = r + discount (1 - done) (min_i Q'_i(s', a') - alpha log pi(a'|s')),  a' ~ pi(s')
    // and the gradients of sum_i mean((Q_i(s, a) - y)^2) / 2; draws a ~ pi(s) for the phases to come.
    template <typename DEVICE, typename SPEC>
    void evaluate_critics(DEVICE& device, const ActorCritic<SPEC>& networks, const HyperParameters& parameters,
                          const SB3ReplayBuffer<typename SPEC::OBSERVATION>& buffer, const philox::Engine& engine,
                          typename SPEC::T entropy_coefficient, Workspace<SPEC>& workspace, Scratch<SPEC>& scratch,
                          std::size_t p) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE;
        constexpr std::size_t OBSERVATION_ROWS = SPEC::OBSERVATION_DIM * SIZE;
        constexpr std::size_t ACTION_ROWS = SPEC::ACTION_DIM * SIZE;
        auto& local = scratch.evaluation;
        auto& policy = workspace.policy[p];
        T* observation = workspace.actor.input(p);
        T* next_observation = local.actor.input(0);
        T* critic_input = workspace.critics[0].input(p);
        components::sb3_replay_buffer::Outcome<T> outcomes[SIZE] = {};

        for (std::size_t lane = 0; lane < n_samples<SPEC>(p); lane++) {
            const auto sample = static_cast<std::uint32_t>(p * SIZE + lane);
            const auto index = components::sb3_replay_buffer::sample(buffer, engine, sample);
            outcomes[lane] = components::sb3_replay_buffer::gather<SPEC::OBSERVATION_DIM, SPEC::ACTION_DIM,
                                                                   SPEC::OBSERVATION_DIVISOR, SIZE>(
                buffer, index, parameters.gamma, lane, observation, next_observation, critic_input + OBSERVATION_ROWS);
            if constexpr (!SPEC::USE_SDE) {
                philox::normal<SPEC::ACTION_DIM>(device.math, engine, philox::Stream::ACTION_NOISE, sample,
                                                 policy.noise + lane, SIZE);
                philox::normal<SPEC::ACTION_DIM>(device.math, engine, philox::Stream::NEXT_ACTION_NOISE, sample,
                                                 local.policy.noise + lane, SIZE);
            }
        }
        clear_padding<SPEC::OBSERVATION_DIM, SIZE>(next_observation, n_samples<SPEC>(p));
        if constexpr (!SPEC::USE_SDE) {
            clear_padding<SPEC::ACTION_DIM, SIZE>(local.policy.noise, n_samples<SPEC>(p));
        }
        copy<OBSERVATION_ROWS>(observation, critic_input);
        for (std::size_t i = 1; i < SPEC::N_CRITICS; i++) {
            copy<OBSERVATION_ROWS + ACTION_ROWS>(critic_input, workspace.critics[i].input(p));
        }

        forward(device, networks.actor, workspace.actor, p);
        transpose_inputs(device, workspace.actor, p, workspace.actor_transposed_inputs);
        sample_action(device, networks, workspace, workspace.actor, p, policy, scratch);
        evaluate(device, networks.actor, local.actor, 0);
        sample_action(device, networks, workspace, local.actor, 0, local.policy, scratch);

        alignas(panel::ALIGNMENT) T target[SIZE];
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            auto& critic = local.critic;
            copy<OBSERVATION_ROWS>(next_observation, critic.input(0));
            copy<ACTION_ROWS>(local.policy.action, critic.input(0) + OBSERVATION_ROWS);
            evaluate(device, networks.target_critics[i], critic, 0);
            for (std::size_t lane = 0; lane < SIZE; lane++) {
                const T value = critic.output(0)[lane];
                // NaN wins, as in torch.
                target[lane] = i == 0 || value < target[lane] || value != value ? value : target[lane];
            }
        }
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            const auto& outcome = outcomes[lane];
            target[lane] =
                outcome.reward + (T(1) - outcome.done) * outcome.discount *
                                     (target[lane] - entropy_coefficient * local.policy.log_probability[lane]);
            workspace.critic_loss[p * SIZE + lane] = 0;
        }

        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            forward(device, networks.critics[i], workspace.critics[i], p);
            transpose_inputs(device, workspace.critics[i], p, workspace.critics_transposed_inputs[i]);
            const T* value = workspace.critics[i].output(p);
            T* d_value = workspace.critic_gradients[i].output(p);
            for (std::size_t lane = 0; lane < SIZE; lane++) {
                const bool is_padding = lane >= n_samples<SPEC>(p);
                const T error = is_padding ? T(0) : value[lane] - target[lane];
                d_value[lane] = error / static_cast<T>(SPEC::BATCH_SIZE);
                workspace.critic_loss[p * SIZE + lane] += error * error;
            }
            backward(device, networks.critics[i], workspace.critics_transposed_weights[i], workspace.critics[i], p,
                     workspace.critic_gradients[i], p);
        }
    }

    // With the critics after their step: min_i Q_i(s, a) of panel `p`, and which critic it is.
    template <typename DEVICE, typename SPEC>
    void evaluate_actions(DEVICE& device, const ActorCritic<SPEC>& networks, typename SPEC::T entropy_coefficient,
                          Workspace<SPEC>& workspace, std::size_t p) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE;
        constexpr std::size_t OBSERVATION_ROWS = SPEC::OBSERVATION_DIM * SIZE;
        constexpr std::size_t ACTION_ROWS = SPEC::ACTION_DIM * SIZE;
        const auto& policy = workspace.policy[p];
        std::uint32_t* smallest = workspace.smallest_critic + p * SIZE;

        alignas(panel::ALIGNMENT) T smallest_value[SIZE];
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            auto& critic = workspace.critics[i];
            copy<ACTION_ROWS>(policy.action, critic.input(p) + OBSERVATION_ROWS);
            forward(device, networks.critics[i], critic, p);
            for (std::size_t lane = 0; lane < SIZE; lane++) {
                const T value = critic.output(p)[lane];
                // NaN wins, as in torch.
                if (i == 0 || value < smallest_value[lane] || value != value) {
                    smallest_value[lane] = value;
                    smallest[lane] = static_cast<std::uint32_t>(i);
                }
            }
        }
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            workspace.actor_loss[p * SIZE + lane] =
                entropy_coefficient * policy.log_probability[lane] - smallest_value[lane];
        }
    }

    // Only the smallest critic passes a gradient, so each critic's backward pass is for its own samples alone.
    template <typename SPEC>
    void assign_samples(Workspace<SPEC>& workspace) {
        for (auto& n : workspace.n_samples_of_critic) {
            n = 0;
        }
        for (std::uint32_t sample = 0; sample < SPEC::BATCH_SIZE; sample++) {
            const std::uint32_t critic = workspace.smallest_critic[sample];
            workspace.samples_of_critic[critic][workspace.n_samples_of_critic[critic]++] = sample;
        }
    }

    // The gradient of mean(-Q_i(s, a)) with respect to the actions of some samples, one panel at most.
    template <typename DEVICE, typename SPEC>
    void differentiate_actions(DEVICE& device, const ActorCritic<SPEC>& networks, Workspace<SPEC>& workspace,
                               Scratch<SPEC>& scratch, std::size_t critic, const std::uint32_t* samples,
                               std::size_t n_samples) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE;
        auto& local = scratch.evaluation;
        gather_derivatives(device, workspace.critics[critic], samples, n_samples, local.critic);
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            local.critic_gradients.output(0)[lane] = T(-1) / static_cast<T>(SPEC::BATCH_SIZE);
        }
        backward(device, networks.critics[critic], workspace.critics_transposed_weights[critic], local.critic, 0,
                 local.critic_gradients, 0);
        const T* d_action = local.critic_gradients.input(0) + SPEC::OBSERVATION_DIM * SIZE;
        for (std::size_t lane = 0; lane < n_samples; lane++) {
            const std::size_t p = samples[lane] / SIZE, target_lane = samples[lane] % SIZE;
            for (std::size_t i = 0; i < SPEC::ACTION_DIM; i++) {
                workspace.d_actions[(p * SPEC::ACTION_DIM + i) * SIZE + target_lane] = d_action[i * SIZE + lane];
            }
        }
    }

    // The gradients of mean(alpha log pi(a|s) - min_i Q_i(s, a)) in panel `p`, down to the actor's first layer.
    template <typename DEVICE, typename SPEC>
    void differentiate_actor(DEVICE& device, const ActorCritic<SPEC>& networks, typename SPEC::T entropy_coefficient,
                             Workspace<SPEC>& workspace, std::size_t p) {
        using T = typename SPEC::T;
        const T d_log_probability = entropy_coefficient / static_cast<T>(SPEC::BATCH_SIZE);
        const T* output = workspace.actor.output(p);
        const T* d_action = workspace.d_actions + p * SPEC::ACTION_DIM * SPEC::SIZE;
        T* d_output = workspace.actor_gradients.output(p);
        if constexpr (SPEC::USE_SDE) {
            T* d_variance = workspace.d_variance + p * SPEC::ACTION_DIM * SPEC::SIZE;
            const T* latent = workspace.actor.template layer_input<SPEC::ACTOR::N_HIDDEN>(p);
            distributions::sample_action_gradient(d_log_probability, networks.state_dependent_noise, output,
                                                  workspace.policy[p], d_action, n_samples<SPEC>(p), d_output,
                                                  d_variance);
            backward(device, networks.actor, workspace.actor_transposed_weights, workspace.actor, p,
                     workspace.actor_gradients, p, [&](std::size_t row, std::size_t first_sample) {
                         return distributions::variance_gradient<SPEC::SIZE>(workspace.noise_matrix, latent, d_variance,
                                                                             row, first_sample);
                     });
        } else {
            distributions::sample_action_gradient(d_log_probability, output, workspace.policy[p], d_action,
                                                  n_samples<SPEC>(p), d_output);
            backward(device, networks.actor, workspace.actor_transposed_weights, workspace.actor, p,
                     workspace.actor_gradients, p);
        }
    }

    // With the critics after their step: the gradients of the actor's loss.
    template <typename DEVICE, typename SPEC>
    void evaluate_actor(DEVICE& device, const ActorCritic<SPEC>& networks, typename SPEC::T entropy_coefficient,
                        Workspace<SPEC>& workspace, Scratch<SPEC>* scratch, PhaseTimer& timer) {
        constexpr std::size_t SIZE = SPEC::SIZE;
        device.thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned) {
            evaluate_actions(device, networks, entropy_coefficient, workspace, p);
        });
        timer.end(Phase::EVALUATE_ACTIONS);
        assign_samples(workspace);
        std::uint32_t first_panel[SPEC::N_CRITICS + 1] = {};
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            first_panel[i + 1] =
                first_panel[i] + static_cast<std::uint32_t>(panel::n_blocks(workspace.n_samples_of_critic[i], SIZE));
        }
        device.thread_pool.parallel_for(first_panel[SPEC::N_CRITICS], [&](std::uint32_t task, unsigned thread) {
            std::size_t i = 0;
            while (task >= first_panel[i + 1]) {
                i++;
            }
            const std::size_t first = (task - first_panel[i]) * SIZE;
            const std::size_t rest = workspace.n_samples_of_critic[i] - first;
            differentiate_actions(device, networks, workspace, scratch[thread], i,
                                  workspace.samples_of_critic[i] + first, rest < SIZE ? rest : SIZE);
        });
        timer.end(Phase::DIFFERENTIATE_ACTIONS);
        device.thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned) {
            differentiate_actor(device, networks, entropy_coefficient, workspace, p);
        });
        timer.end(Phase::DIFFERENTIATE_ACTOR);
    }

    // The mean over the batch of `value(p)[lane]`, added in a fixed order.
    template <typename SPEC, typename VALUE>
    double batch_mean(VALUE value) {
        double sum = 0;
        for (std::size_t p = 0; p < SPEC::N_PANELS; p++) {
            for (std::size_t lane = 0; lane < n_samples<SPEC>(p); lane++) {
                sum += static_cast<double>(value(p)[lane]);
            }
        }
        return sum / static_cast<double>(SPEC::BATCH_SIZE);
    }

    // loss = -log(alpha) mean(log pi + target entropy); Adam's step on log(alpha). Returns the loss.
    template <typename SPEC>
    double update_entropy_coefficient(ActorCritic<SPEC>& networks, const HyperParameters& parameters,
                                      const Workspace<SPEC>& workspace) {
        using T = typename SPEC::T;
        auto& log_alpha = networks.log_entropy_coefficient;
        const double excess = batch_mean<SPEC>([&](std::size_t p) { return workspace.policy[p].log_probability; }) +
                              parameters.target_entropy;
        const double loss = -static_cast<double>(*log_alpha.value) * excess;
        const T gradient = static_cast<T>(-excess);
        adam::update(adam::next_step<T>(parameters.entropy_coefficient_optimizer, *log_alpha.step), &gradient,
                     log_alpha, 0, 1);
        *log_alpha.step += 1;
        return loss;
    }

    // Adam's step of all weights of the critics, and their targets' where `polyak`.
    template <typename DEVICE, typename SPEC>
    void update_critics(DEVICE& device, ActorCritic<SPEC>& networks, const HyperParameters& parameters, bool polyak,
                        Workspace<SPEC>& workspace, Scratch<SPEC>* scratch) {
        using T = typename SPEC::T;
        constexpr std::size_t N_TASKS = nn_models::panel_mlp::n_update_tasks<typename SPEC::CRITIC>();
        nn_models::panel_mlp::Update<typename SPEC::CRITIC, SPEC::N_PANELS> updates[SPEC::N_CRITICS];
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            const double n_steps = *networks.critics[i].layers[0].weights.step;
            updates[i] = {&networks.critics[i],
                          &networks.target_critics[i],
                          &workspace.critics[i],
                          &workspace.critics_transposed_inputs[i],
                          &workspace.critic_gradients[i],
                          &workspace.critics_transposed_weights[i],
                          {adam::next_step<T>(parameters.critic_optimizer, n_steps),
                           {polyak, true},
                           static_cast<T>(parameters.tau),
                           static_cast<T>(1 - parameters.tau)}};
        }
        device.thread_pool.parallel_for(SPEC::N_CRITICS * N_TASKS, [&](std::uint32_t task, unsigned thread) {
            update(device, updates[task / N_TASKS], scratch[thread].critic_update, task % N_TASKS);
        });
        for (auto& critic : networks.critics) {
            count_step(critic);
        }
    }

    template <typename DEVICE, typename SPEC>
    void update_actor(DEVICE& device, ActorCritic<SPEC>& networks, const HyperParameters& parameters, bool is_last,
                      Workspace<SPEC>& workspace, Scratch<SPEC>* scratch) {
        using T = typename SPEC::T;
        constexpr std::size_t N_TASKS = nn_models::panel_mlp::n_update_tasks<typename SPEC::ACTOR>();
        constexpr std::size_t N_NOISE_TASKS = SPEC::USE_SDE ? 1 : 0;
        const double n_steps = *networks.actor.layers[0].weights.step;
        const nn_models::panel_mlp::Update<typename SPEC::ACTOR, SPEC::N_PANELS> actor_update = {
            &networks.actor,
            nullptr,
            &workspace.actor,
            &workspace.actor_transposed_inputs,
            &workspace.actor_gradients,
            &workspace.actor_transposed_weights,
            {adam::next_step<T>(parameters.actor_optimizer, n_steps), {false, !is_last}, T(0), T(0)}};
        device.thread_pool.parallel_for(N_NOISE_TASKS + N_TASKS, [&](std::uint32_t task, unsigned thread) {
            if constexpr (SPEC::USE_SDE) {
                if (task == 0) {
                    distributions::update_log_std<SPEC::N_PANELS>(
                        actor_update.rule.step, networks.state_dependent_noise, workspace.noise_matrix,
                        workspace.actor.template layer_input<SPEC::ACTOR::N_HIDDEN>(0),
                        workspace.actor_gradients.output(0), workspace.d_variance,
                        scratch[thread].state_dependent_noise);
                    return;
                }
            }
            update(device, actor_update, scratch[thread].actor_update, task - N_NOISE_TASKS);
        });
        count_step(networks.actor);
        if constexpr (SPEC::USE_SDE) {
            *networks.state_dependent_noise.log_std.step += 1;
        }
    }

    // To be called before the first of several steps: nothing is known of what happened to the weights since.
    template <typename DEVICE, typename SPEC>
    RL_TOOLS_OPAQUE void prepare(DEVICE& device, const ActorCritic<SPEC>& networks, Workspace<SPEC>& workspace) {
        PhaseTimer timer(workspace.phase_seconds);
        device.thread_pool.parallel_for(SPEC::N_CRITICS + 1, [&](std::uint32_t task, unsigned) {
            if (task < SPEC::N_CRITICS) {
                refresh_transposed_weights(device, networks.critics[task], workspace.critics_transposed_weights[task]);
            } else {
                refresh_transposed_weights(device, networks.actor, workspace.actor_transposed_weights);
            }
        });
        timer.end(Phase::TRANSPOSE_WEIGHTS);
    }

    // One gradient step of `stable_baselines3.SAC.train`. `scratch` has one element for each thread of the
    // device.
    template <typename DEVICE, typename SPEC>
    RL_TOOLS_OPAQUE Losses step(DEVICE& device, ActorCritic<SPEC>& networks, const HyperParameters& parameters,
                                const SB3ReplayBuffer<typename SPEC::OBSERVATION>& buffer, const philox::Engine& engine,
                                bool polyak, bool is_last, Workspace<SPEC>& workspace, Scratch<SPEC>* scratch) {
        using T = typename SPEC::T;
        PhaseTimer timer(workspace.phase_seconds);
        Losses losses{};
        const T alpha = entropy_coefficient(networks, parameters);
        losses.entropy_coefficient = static_cast<double>(alpha);

        if constexpr (SPEC::USE_SDE) {
            sample_noise_matrix(device, networks, engine, workspace);
            timer.end(Phase::SAMPLE_NOISE_MATRIX);
        }
        device.thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned thread) {
            evaluate_critics(device, networks, parameters, buffer, engine, alpha, workspace, scratch[thread], p);
        });
        losses.critic_loss =
            0.5 * batch_mean<SPEC>([&](std::size_t p) { return workspace.critic_loss + p * SPEC::SIZE; });
        if (networks.log_entropy_coefficient.value) {
            losses.entropy_coefficient_loss = update_entropy_coefficient(networks, parameters, workspace);
        }
        timer.end(Phase::EVALUATE_CRITICS);
        update_critics(device, networks, parameters, polyak, workspace, scratch);
        timer.end(Phase::UPDATE_CRITICS);

        evaluate_actor(device, networks, alpha, workspace, scratch, timer);
        losses.actor_loss = batch_mean<SPEC>([&](std::size_t p) { return workspace.actor_loss + p * SPEC::SIZE; });
        update_actor(device, networks, parameters, is_last, workspace, scratch);
        timer.end(Phase::UPDATE_ACTOR);
        return losses;
    }

    // From [-1, 1] to the environment's bounds, rounded as numpy rounds SB3's `unscale_action`: a fused multiplication
    // and addition would give other bits.
    inline float unscale_action(float action, float low, float high) {
        volatile float product = 0.5f * (action + 1.0f);
        product = product * (high - low);
        return low + product;
    }

    // What noise adds to the mean of the actions for observation `i`, whose actor has been computed.
    template <typename DEVICE, typename SPEC>
    void sample_noise(DEVICE& device, const ActionNoise<typename SPEC::T>& noise, std::size_t i,
                      nn_models::panel_mlp::ForwardValues<typename SPEC::ACTOR, 1>& actor,
                      typename SPEC::T (&target)[SPEC::ACTION_DIM]) {
        using T = typename SPEC::T;
        constexpr std::size_t ACTION_DIM = SPEC::ACTION_DIM;
        if constexpr (SPEC::USE_SDE) {
            if (noise.matrices) {
                const T* latent = actor.template layer_input<SPEC::ACTOR::N_HIDDEN>(0);
                const T* matrix = noise.matrices + i * noise.matrix_stride;
                for (std::size_t k = 0; k < SPEC::LATENT_DIM; k++) {
                    for (std::size_t j = 0; j < ACTION_DIM; j++) {
                        target[j] += latent[k] * matrix[k * ACTION_DIM + j];
                    }
                }
            }
        } else if (noise.engine || noise.normal) {
            if (noise.engine) {
                philox::normal<ACTION_DIM>(device.math, *noise.engine, philox::Stream::EXPLORATION_NOISE,
                                           static_cast<std::uint32_t>(i), target, 1);
            } else {
                for (std::size_t j = 0; j < ACTION_DIM; j++) {
                    target[j] = static_cast<T>(noise.normal[i * ACTION_DIM + j]);
                }
            }
            const T* log_std = actor.template layer_output<SPEC::ACTOR::N_HIDDEN + 1>(0);
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                target[j] *= math::exp(device.math, distributions::clip_log_std(device, log_std[j]));
            }
        }
    }

    // Actions for `n` observations, one after the other: tanh of the mean, or of a draw. `scaled_actions` are in
    // [-1, 1], `actions` in the environment's bounds. Returns whether all are finite.
    template <typename DEVICE, typename SPEC>
    RL_TOOLS_OPAQUE bool act(DEVICE& device, const ActorCritic<SPEC>& networks,
                             const ActionSpace<SPEC::ACTION_DIM>& action_space, const float* observations,
                             std::size_t n, const ActionNoise<typename SPEC::T>& noise,
                             nn_models::panel_mlp::ForwardValues<typename SPEC::ACTOR, 1>& actor, float* scaled_actions,
                             float* actions) {
        using T = typename SPEC::T;
        const T* mean = actor.template layer_output<SPEC::ACTOR::N_HIDDEN>(0);
        bool is_finite = true;
        for (std::size_t i = 0; i < n; i++) {
            for (std::size_t j = 0; j < SPEC::OBSERVATION_DIM; j++) {
                actor.input(0)[j] = static_cast<T>(*observations++ / static_cast<float>(SPEC::OBSERVATION_DIVISOR));
            }
            forward_single(device, networks.actor, actor);
            T action_noise[SPEC::ACTION_DIM] = {};
            sample_noise<DEVICE, SPEC>(device, noise, i, actor, action_noise);
            for (std::size_t j = 0; j < SPEC::ACTION_DIM; j++) {
                T u = mean[j];
                if constexpr (SPEC::USE_SDE) {
                    const T clip_mean = static_cast<T>(networks.state_dependent_noise.clip_mean);
                    u = math::clamp(device.math, u, -clip_mean, clip_mean);
                }
                *scaled_actions = static_cast<float>(math::tanh(device.math, u + action_noise[j]));
                is_finite = is_finite && std::isfinite(*scaled_actions);
                *actions++ = unscale_action(*scaled_actions++, action_space.low[j], action_space.high[j]);
            }
        }
        return is_finite;
    }
}

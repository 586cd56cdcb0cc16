#pragma once
// One gradient step is a few phases with a barrier after each. A phase over panels carries 16 samples (in
// float32) through all networks; a phase over weights sums each gradient over the batch in one thread and in
// a fixed order, so the bits depend neither on the number of threads nor on which thread did what.

#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
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

    template <typename DEVICE_SPEC, typename T>
    T clip_log_std(const devices::CPU_SIMD<DEVICE_SPEC>& device, T log_std) {
        return math::clamp(device.math, log_std, LOG_STD_MIN<T>, LOG_STD_MAX<T>);
    }

    // a = tanh(u), u = mean + sigma epsilon, sigma = exp(clip(log_std))
    // log pi = sum over dimensions of -(u - mean)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2 - log(1 - a^2 +
    // 1e-6)
    //
    // `output` is the actor's: means, then log standard deviations, [2 ACTION_DIM][SIZE].
    template <typename DEVICE_SPEC, typename SPEC>
    void sample_action(devices::CPU_SIMD<DEVICE_SPEC>& device, const typename SPEC::T* output,
                       SquashedGaussian<SPEC>& policy) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE, N = SPEC::ACTION_DIM * SIZE;
        const T half_log_two_pi = T(0.91893853320467274178);
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            policy.log_probability[lane] = 0;
        }
        for (std::size_t i = 0; i < N; i++) {
            const T mean = output[i];
            const T log_std = clip_log_std(device, output[N + i]);
            const T sigma = math::exp(device.math, log_std);
            const T u = mean + sigma * policy.noise[i];
            const T deviation = u - mean;
            const T action = math::tanh(device.math, u);
            policy.standard_deviation[i] = sigma;
            policy.deviation[i] = deviation;
            policy.action[i] = action;
            policy.log_probability[i % SIZE] += -(deviation * deviation) / (T(2) * sigma * sigma) - log_std -
                                                half_log_two_pi -
                                                math::log(device.math, T(1) - action * action + SQUASH_EPSILON<T>);
        }
    }

    // The gradient of mean(alpha log pi - Q) over the batch with respect to the actor's output, from that of
    // mean(-Q) with respect to the action. Torch differentiates log pi along u and along mean and sigma; the
    // parts that cancel exactly are left out, those that cancel only up to rounding are kept.
    template <typename SPEC>
    void sample_action_gradient(typename SPEC::T entropy_coefficient, const typename SPEC::T* output,
                                const SquashedGaussian<SPEC>& policy, const typename SPEC::T* d_action,
                                std::size_t n_samples, typename SPEC::T* d_output) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE, N = SPEC::ACTION_DIM * SIZE;
        const T d_log_probability = entropy_coefficient / static_cast<T>(SPEC::BATCH_SIZE);
        for (std::size_t i = 0; i < N; i++) {
            const T action = policy.action[i], sigma = policy.standard_deviation[i];
            const T one_minus_square = T(1) - action * action;
            const T d_u = (d_action[i] + d_log_probability * T(2) * action / (one_minus_square + SQUASH_EPSILON<T>)) *
                          one_minus_square;
            const T z = policy.deviation[i] / sigma;
            const T d_log_std = d_u * sigma * policy.noise[i] + d_log_probability * (z * (z - policy.noise[i]) - T(1));
            const T log_std = output[N + i];
            const bool is_padding = i % SIZE >= n_samples;
            const bool is_clipped = log_std < LOG_STD_MIN<T> || log_std > LOG_STD_MAX<T>;
            d_output[i] = is_padding ? T(0) : d_u;
            d_output[N + i] = is_padding || is_clipped ? T(0) : d_log_std;
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
    //     y = r + gamma (1 - done) (min_i Q'_i(s', a') - alpha log pi(a'|s')),  a' ~ pi(s')
    // and the gradients of sum_i mean((Q_i(s, a) - y)^2) / 2; draws a ~ pi(s) for the phases to come.
    template <typename DEVICE_SPEC, typename SPEC>
    void evaluate_critics(devices::CPU_SIMD<DEVICE_SPEC>& device, const ActorCritic<SPEC>& networks,
                          const HyperParameters& parameters, const SB3ReplayBuffer<typename SPEC::OBSERVATION>& buffer,
                          const philox::Engine& engine, typename SPEC::T entropy_coefficient,
                          Workspace<SPEC>& workspace, Scratch<SPEC>& scratch, std::size_t p) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE;
        constexpr std::size_t OBSERVATION_ROWS = SPEC::OBSERVATION_DIM * SIZE;
        constexpr std::size_t ACTION_ROWS = SPEC::ACTION_DIM * SIZE;
        auto& local = scratch.evaluation;
        auto& policy = workspace.policy[p];
        T* observation = workspace.actor.input(p);
        T* next_observation = local.actor.input(0);
        T* critic_input = workspace.critics[0].input(p);
        alignas(panel::ALIGNMENT) T reward[SIZE] = {}, done[SIZE] = {};

        for (std::size_t lane = 0; lane < n_samples<SPEC>(p); lane++) {
            const auto sample = static_cast<std::uint32_t>(p * SIZE + lane);
            const auto index =
                components::sb3_replay_buffer::sample(engine, buffer.n_rows, buffer.n_environments, sample);
            components::sb3_replay_buffer::gather<SPEC::OBSERVATION_DIM, SPEC::ACTION_DIM, SIZE>(
                buffer, index, lane, observation, next_observation, critic_input + OBSERVATION_ROWS, reward[lane],
                done[lane]);
            philox::normal<SPEC::ACTION_DIM>(device.math, engine, philox::Stream::ACTION_NOISE, sample,
                                             policy.noise + lane, SIZE);
            philox::normal<SPEC::ACTION_DIM>(device.math, engine, philox::Stream::NEXT_ACTION_NOISE, sample,
                                             local.policy.noise + lane, SIZE);
        }
        clear_padding<SPEC::OBSERVATION_DIM, SIZE>(next_observation, n_samples<SPEC>(p));
        clear_padding<SPEC::ACTION_DIM, SIZE>(local.policy.noise, n_samples<SPEC>(p));
        copy<OBSERVATION_ROWS>(observation, critic_input);
        for (std::size_t i = 1; i < SPEC::N_CRITICS; i++) {
            copy<OBSERVATION_ROWS + ACTION_ROWS>(critic_input, workspace.critics[i].input(p));
        }

        forward(device, networks.actor, workspace.actor, p);
        transpose_inputs(device, workspace.actor, p, workspace.actor_transposed_inputs);
        sample_action(device, workspace.actor.output(p), policy);
        evaluate(device, networks.actor, local.actor, 0);
        sample_action(device, local.actor.output(0), local.policy);

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
            target[lane] = reward[lane] + (T(1) - done[lane]) * static_cast<T>(parameters.gamma) *
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
            backward(device, workspace.critics_transposed_weights[i], workspace.critics[i], p,
                     workspace.critic_gradients[i], p);
        }
    }

    // With the critics after their step: min_i Q_i(s, a) of panel `p`, and which critic it is.
    template <typename DEVICE_SPEC, typename SPEC>
    void evaluate_actions(devices::CPU_SIMD<DEVICE_SPEC>& device, const ActorCritic<SPEC>& networks,
                          typename SPEC::T entropy_coefficient, Workspace<SPEC>& workspace, std::size_t p) {
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
    template <typename DEVICE_SPEC, typename SPEC>
    void differentiate_actions(devices::CPU_SIMD<DEVICE_SPEC>& device, Workspace<SPEC>& workspace,
                               Scratch<SPEC>& scratch, std::size_t critic, const std::uint32_t* samples,
                               std::size_t n_samples) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE;
        auto& local = scratch.evaluation;
        gather_derivatives(device, workspace.critics[critic], samples, n_samples, local.critic);
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            local.critic_gradients.output(0)[lane] = T(-1) / static_cast<T>(SPEC::BATCH_SIZE);
        }
        backward(device, workspace.critics_transposed_weights[critic], local.critic, 0, local.critic_gradients, 0);
        const T* d_action = local.critic_gradients.input(0) + SPEC::OBSERVATION_DIM * SIZE;
        for (std::size_t lane = 0; lane < n_samples; lane++) {
            const std::size_t p = samples[lane] / SIZE, target_lane = samples[lane] % SIZE;
            for (std::size_t i = 0; i < SPEC::ACTION_DIM; i++) {
                workspace.d_actions[(p * SPEC::ACTION_DIM + i) * SIZE + target_lane] = d_action[i * SIZE + lane];
            }
        }
    }

    // The gradients of mean(alpha log pi(a|s) - min_i Q_i(s, a)) in panel `p`, down to the actor's first layer.
    template <typename DEVICE_SPEC, typename SPEC>
    void differentiate_actor(devices::CPU_SIMD<DEVICE_SPEC>& device, typename SPEC::T entropy_coefficient,
                             Workspace<SPEC>& workspace, std::size_t p) {
        sample_action_gradient<SPEC>(entropy_coefficient, workspace.actor.output(p), workspace.policy[p],
                                     workspace.d_actions + p * SPEC::ACTION_DIM * SPEC::SIZE, n_samples<SPEC>(p),
                                     workspace.actor_gradients.output(p));
        backward(device, workspace.actor_transposed_weights, workspace.actor, p, workspace.actor_gradients, p);
    }

    // With the critics after their step: the gradients of the actor's loss.
    template <typename DEVICE_SPEC, typename SPEC>
    void evaluate_actor(devices::CPU_SIMD<DEVICE_SPEC>& device, const ActorCritic<SPEC>& networks,
                        typename SPEC::T entropy_coefficient, Workspace<SPEC>& workspace, Scratch<SPEC>* scratch) {
        constexpr std::size_t SIZE = SPEC::SIZE;
        device.thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned) {
            evaluate_actions(device, networks, entropy_coefficient, workspace, p);
        });
        assign_samples(workspace);
        std::uint32_t first_panel[SPEC::N_CRITICS + 1] = {};
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            first_panel[i + 1] =
                first_panel[i] + static_cast<std::uint32_t>((workspace.n_samples_of_critic[i] + SIZE - 1) / SIZE);
        }
        device.thread_pool.parallel_for(first_panel[SPEC::N_CRITICS], [&](std::uint32_t task, unsigned thread) {
            std::size_t i = 0;
            while (task >= first_panel[i + 1]) {
                i++;
            }
            const std::size_t first = (task - first_panel[i]) * SIZE;
            const std::size_t rest = workspace.n_samples_of_critic[i] - first;
            differentiate_actions(device, workspace, scratch[thread], i, workspace.samples_of_critic[i] + first,
                                  rest < SIZE ? rest : SIZE);
        });
        device.thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned) {
            differentiate_actor(device, entropy_coefficient, workspace, p);
        });
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
    template <typename DEVICE_SPEC, typename SPEC>
    void update_critics(devices::CPU_SIMD<DEVICE_SPEC>& device, ActorCritic<SPEC>& networks,
                        const HyperParameters& parameters, bool polyak, Workspace<SPEC>& workspace,
                        Scratch<SPEC>* scratch) {
        using T = typename SPEC::T;
        constexpr std::size_t N_TASKS = nn_models::panel_mlp::n_update_tasks<typename SPEC::CRITIC>();
        nn_models::panel_mlp::UpdateRule<T> rules[SPEC::N_CRITICS];
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            const double n_steps = *networks.critics[i].layers[0].weights.step;
            rules[i] = {adam::next_step<T>(parameters.critic_optimizer, n_steps), true, polyak,
                        static_cast<T>(parameters.tau), static_cast<T>(1 - parameters.tau)};
        }
        device.thread_pool.parallel_for(SPEC::N_CRITICS * N_TASKS, [&](std::uint32_t task, unsigned thread) {
            const std::size_t i = task / N_TASKS;
            update(device, rules[i], networks.critics[i], &networks.target_critics[i],
                   workspace.critics_transposed_weights[i], workspace.critics[i],
                   workspace.critics_transposed_inputs[i], workspace.critic_gradients[i], scratch[thread].critic_update,
                   task % N_TASKS);
        });
        for (auto& critic : networks.critics) {
            count_step(critic);
        }
    }

    template <typename DEVICE_SPEC, typename SPEC>
    void update_actor(devices::CPU_SIMD<DEVICE_SPEC>& device, ActorCritic<SPEC>& networks,
                      const HyperParameters& parameters, bool is_last, Workspace<SPEC>& workspace,
                      Scratch<SPEC>* scratch) {
        using T = typename SPEC::T;
        constexpr std::size_t N_TASKS = nn_models::panel_mlp::n_update_tasks<typename SPEC::ACTOR>();
        const double n_steps = *networks.actor.layers[0].weights.step;
        const nn_models::panel_mlp::UpdateRule<T> rule = {adam::next_step<T>(parameters.actor_optimizer, n_steps),
                                                          !is_last, false, T(0), T(0)};
        device.thread_pool.parallel_for(N_TASKS, [&](std::uint32_t task, unsigned thread) {
            update(device, rule, networks.actor, decltype(&networks.actor){nullptr}, workspace.actor_transposed_weights,
                   workspace.actor, workspace.actor_transposed_inputs, workspace.actor_gradients,
                   scratch[thread].actor_update, task);
        });
        count_step(networks.actor);
    }

    // To be called before the first of several steps: nothing is known of what happened to the weights since.
    template <typename DEVICE_SPEC, typename SPEC>
    void prepare(devices::CPU_SIMD<DEVICE_SPEC>& device, const ActorCritic<SPEC>& networks,
                 Workspace<SPEC>& workspace) {
        device.thread_pool.parallel_for(SPEC::N_CRITICS + 1, [&](std::uint32_t task, unsigned) {
            if (task < SPEC::N_CRITICS) {
                transpose(device, networks.critics[task], workspace.critics_transposed_weights[task]);
            } else {
                transpose(device, networks.actor, workspace.actor_transposed_weights);
            }
        });
    }

    // One gradient step of `stable_baselines3.SAC.train`. `scratch` has one element for each thread of the
    // device.
    template <typename DEVICE_SPEC, typename SPEC>
    Losses step(devices::CPU_SIMD<DEVICE_SPEC>& device, ActorCritic<SPEC>& networks, const HyperParameters& parameters,
                const SB3ReplayBuffer<typename SPEC::OBSERVATION>& buffer, const philox::Engine& engine, bool polyak,
                bool is_last, Workspace<SPEC>& workspace, Scratch<SPEC>* scratch) {
        using T = typename SPEC::T;
        Losses losses{};
        const T alpha = entropy_coefficient(networks, parameters);
        losses.entropy_coefficient = static_cast<double>(alpha);

        device.thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned thread) {
            evaluate_critics(device, networks, parameters, buffer, engine, alpha, workspace, scratch[thread], p);
        });
        losses.critic_loss =
            0.5 * batch_mean<SPEC>([&](std::size_t p) { return workspace.critic_loss + p * SPEC::SIZE; });
        if (networks.log_entropy_coefficient.value) {
            losses.entropy_coefficient_loss = update_entropy_coefficient(networks, parameters, workspace);
        }
        update_critics(device, networks, parameters, polyak, workspace, scratch);

        evaluate_actor(device, networks, alpha, workspace, scratch);
        losses.actor_loss = batch_mean<SPEC>([&](std::size_t p) { return workspace.actor_loss + p * SPEC::SIZE; });
        update_actor(device, networks, parameters, is_last, workspace, scratch);
        return losses;
    }

    // Actions in [-1, 1] for `n` observations, one after the other: tanh of the mean, or of a draw.
    template <typename DEVICE_SPEC, typename SPEC>
    void act(devices::CPU_SIMD<DEVICE_SPEC>& device, const ActorCritic<SPEC>& networks,
             const typename SPEC::OBSERVATION* observations, std::size_t n, const philox::Engine& engine,
             bool deterministic, Scratch<SPEC>& scratch, float* actions) {
        using T = typename SPEC::T;
        auto& actor = scratch.evaluation.actor;
        const T* mean = actor.template layer_output<SPEC::ACTOR::N_HIDDEN>(0);
        const T* log_std = actor.template layer_output<SPEC::ACTOR::N_HIDDEN + 1>(0);
        for (std::size_t sample = 0; sample < n; sample++) {
            for (std::size_t i = 0; i < SPEC::OBSERVATION_DIM; i++) {
                actor.input(0)[i] = static_cast<T>(static_cast<float>(*observations++));
            }
            forward_sample(device, networks.actor, actor);
            T noise[SPEC::ACTION_DIM] = {};
            if (!deterministic) {
                philox::normal<SPEC::ACTION_DIM>(device.math, engine, philox::Stream::EXPLORATION_NOISE,
                                                 static_cast<std::uint32_t>(sample), noise, 1);
            }
            for (std::size_t i = 0; i < SPEC::ACTION_DIM; i++) {
                const T u = mean[i] + math::exp(device.math, clip_log_std(device, log_std[i])) * noise[i];
                *actions++ = static_cast<float>(math::tanh(device.math, u));
            }
        }
    }
}

#pragma once
// One gradient step is a few phases with a barrier after each. A phase over panels carries some samples (as many as the
// device likes) through all networks; a phase over weights sums each gradient over the batch in one thread and in
// a fixed order, so the bits depend neither on the number of threads nor on which thread did what.
//
// `step`, at the end of what belongs to it, reads from top to bottom. Its parts take the context that they share, the
// scratch memory of their thread, and the panel. Q_i are the critics, Q'_i their targets, [][PANEL_LANES] is left out
// of shapes: each number stands for a panel of samples.
//
// Up to the first weight that changes, all numbers of the batch and all that the actor and the targets make of it are
// there: where one of them is NaN or infinite, the step ends without a trace.

#include <algorithm>
#include <cmath>
#include <iterator>

#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/algorithms/sb3_sac/sb3_sac.h>
#include <rl_tools/rl/components/sb3_replay_buffer/operations_generic.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    namespace adam = nn::optimizers::torch_adam;
    namespace panel_mlp = nn_models::panel_mlp;
    namespace philox = random::philox;
    using components::SB3ReplayBuffer;
    using PhaseTimer = components::PhaseTimer<Phase>;

    // Samples of panel `p`; the lanes behind them are padding.
    template <typename SPEC>
    constexpr std::size_t n_samples(std::size_t p) {
        const std::size_t rest = SPEC::BATCH_SIZE - p * SPEC::PANEL_LANES;
        return rest < SPEC::PANEL_LANES ? rest : SPEC::PANEL_LANES;
    }

    // alpha = exp(log_alpha), or the fixed one.
    template <typename SPEC>
    typename SPEC::T entropy_coefficient(const Networks<SPEC>& networks, const HyperParameters& parameters) {
        using T = typename SPEC::T;
        const T* log_value = networks.log_entropy_coefficient.value;
        return log_value ? std::exp(*log_value) : static_cast<T>(parameters.entropy_coefficient);
    }

    template <std::size_t N, typename T>
    void copy(const T* source, T* target) {
        for (std::size_t i = 0; i < N; i++) {
            target[i] = source[i];
        }
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

    // Which of two critics' values is the smaller. NaN wins, as in torch.
    template <typename T>
    bool is_smaller(T value, T smallest) {
        return value < smallest || value != value;
    }

    // Draws what the policy draws once for the whole batch: the weights of the actor's heads that are not trained.
    template <typename SPEC>
    void sample_step_noise(Context<SPEC>& context) {
        auto& workspace = context.workspace;
        sample_step_noise(context.device, context.networks.policy, context.engine, workspace.step_noise);
        panel_mlp::transpose_layer<SPEC::ACTOR::N_LAYERS - 1>(context.networks.actor,
                                                              workspace.actor_transposed_weights, 0, SPEC::ACTION_DIM);
    }

    // (s, a, r, s', done) ~ replay buffer, for the samples of panel `p`: s and a to the inputs of actor and critics, s'
    // to that of the scratch memory's actor. Draws the noise of a and a', too.
    template <typename SPEC>
    void sample_transitions(Context<SPEC>& context, Scratch<SPEC>& scratch, std::size_t p) {
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        constexpr std::size_t OBSERVATION_ROWS = SPEC::OBSERVATION_DIM * LANES;
        constexpr std::size_t ACTION_ROWS = SPEC::ACTION_DIM * LANES;
        auto& workspace = context.workspace;
        auto& next = scratch.evaluation;
        auto* observation = workspace.actor.input(p);
        auto* next_observation = next.actor.input(0);
        auto* critic_input = workspace.critics[0].input(p);

        auto* outcomes = workspace.outcomes + p * LANES;
        for (std::size_t lane = 0; lane < n_samples<SPEC>(p); lane++) {
            const auto sample = static_cast<std::uint32_t>(p * LANES + lane);
            const auto index = components::sb3_replay_buffer::sample(context.replay_buffer, context.engine, sample);
            outcomes[lane] = components::sb3_replay_buffer::gather<SPEC::OBSERVATION_DIM, SPEC::ACTION_DIM,
                                                                   SPEC::OBSERVATION_DIVISOR, LANES>(
                context.replay_buffer, index, context.hyper_parameters.gamma, lane, observation, next_observation,
                critic_input + OBSERVATION_ROWS);
        }
        const auto first_sample = static_cast<std::uint32_t>(p * LANES);
        sample_noise(context.engine, philox::Stream::ACTION_NOISE, first_sample, n_samples<SPEC>(p),
                     workspace.policy[p]);
        sample_noise(context.engine, philox::Stream::NEXT_ACTION_NOISE, first_sample, n_samples<SPEC>(p),
                     workspace.next_policy[p]);
        // Scratch memory holds leftovers; lanes without a sample must not, since denormals there would cost time.
        // (Those of the workspace are zero from the start and never written.)
        for (std::size_t row = 0; row < SPEC::OBSERVATION_DIM; row++) {
            for (std::size_t lane = n_samples<SPEC>(p); lane < LANES; lane++) {
                next_observation[row * LANES + lane] = 0;
            }
        }
        copy<OBSERVATION_ROWS>(next_observation, workspace.next_observations + p * OBSERVATION_ROWS);
        copy<OBSERVATION_ROWS>(observation, critic_input);
        for (std::size_t i = 1; i < SPEC::N_CRITICS; i++) {
            copy<OBSERVATION_ROWS + ACTION_ROWS>(critic_input, workspace.critics[i].input(p));
        }
    }

    // u ~ pi(s) for the phases to come and a' ~ pi(s') for the targets, with their log pi.
    template <typename SPEC>
    void sample_actions(Context<SPEC>& context, Scratch<SPEC>& scratch, std::size_t p) {
        constexpr std::size_t HEAD = SPEC::head(0);
        const auto& networks = context.networks;
        auto& workspace = context.workspace;
        auto& next = scratch.evaluation;
        forward(context.device, networks.actor, workspace.actor, p);
        transpose_inputs(context.device, workspace.actor, p, workspace.actor_transposed_inputs);
        sample_action(context.device, networks.policy, workspace.step_noise,
                      workspace.actor.template layer_input<HEAD>(p), workspace.actor.output(p), workspace.policy[p],
                      scratch.policy);
        evaluate(context.device, networks.actor, next.actor, 0);
        sample_action(context.device, networks.policy, workspace.step_noise, next.actor.template layer_input<HEAD>(0),
                      next.actor.output(0), workspace.next_policy[p], scratch.policy);
    }

    // Q'_i(s', a'), and Q_i(s, a) with what its gradient needs.
    template <typename SPEC>
    void evaluate_critic(Context<SPEC>& context, Scratch<SPEC>& scratch, std::size_t i, std::size_t p) {
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        constexpr std::size_t OBSERVATION_ROWS = SPEC::OBSERVATION_DIM * LANES;
        auto& workspace = context.workspace;
        auto& next = scratch.evaluation.critic;
        copy<OBSERVATION_ROWS>(workspace.next_observations + p * OBSERVATION_ROWS, next.input(0));
        copy<SPEC::ACTION_DIM * LANES>(workspace.next_policy[p].action, next.input(0) + OBSERVATION_ROWS);
        evaluate(context.device, context.networks.target_critics[i], next, 0);
        copy<LANES>(next.output(0), workspace.next_values[i] + p * LANES);
        forward(context.device, context.networks.critics[i], workspace.critics[i], p);
        transpose_inputs(context.device, workspace.critics[i], p, workspace.critics_transposed_inputs[i]);
    }

    // y = r + discount (1 - done) (min_i Q'_i(s', a') - alpha log pi(a'|s')), to `target` [PANEL_LANES]
    template <typename SPEC>
    void compute_targets(const Context<SPEC>& context, std::size_t p, typename SPEC::T* target) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        const auto& workspace = context.workspace;
        copy<LANES>(workspace.next_values[0] + p * LANES, target);
        for (std::size_t i = 1; i < SPEC::N_CRITICS; i++) {
            const T* value = workspace.next_values[i] + p * LANES;
            for (std::size_t lane = 0; lane < LANES; lane++) {
                target[lane] = is_smaller(value[lane], target[lane]) ? value[lane] : target[lane];
            }
        }
        for (std::size_t lane = 0; lane < LANES; lane++) {
            const auto& outcome = workspace.outcomes[p * LANES + lane];
            const T log_probability = workspace.next_policy[p].log_probability[lane];
            target[lane] = outcome.reward + (T(1) - outcome.done) * outcome.discount *
                                                (target[lane] - context.entropy_coefficient * log_probability);
        }
    }

    // Adds NaN to the sums [PANEL_LANES] of the lanes where a number of `rows` [N_ROWS][PANEL_LANES] is not finite, and
    // 0 to the others.
    template <std::size_t N_ROWS, std::size_t LANES, typename T>
    void add_zero_times(const T* rows, T* sums) {
        for (std::size_t row = 0; row < N_ROWS; row++) {
            for (std::size_t lane = 0; lane < LANES; lane++) {
                sums[lane] += T(0) * rows[row * LANES + lane];
            }
        }
    }

    // Whether all samples of panel `p` have zero sums [PANEL_LANES].
    template <typename SPEC>
    bool are_zero(const typename SPEC::T* sums, std::size_t p) {
        typename SPEC::T sum = 0;
        for (std::size_t lane = 0; lane < n_samples<SPEC>(p); lane++) {
            sum += sums[lane];
        }
        return sum == 0;
    }

    // Whether all is finite that the samples of panel `p` change weights by, but for the targets: s, a, s' and
    // log pi(u|s). (Actions are: tanh has bounds, and hands NaN on.)
    template <typename SPEC>
    bool is_sample_finite(const Context<SPEC>& context, std::size_t p) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        auto& workspace = context.workspace;
        alignas(panel::ALIGNMENT) T sums[LANES] = {};
        add_zero_times<SPEC::OBSERVATION_DIM + SPEC::ACTION_DIM, LANES>(workspace.critics[0].input(p), sums);
        add_zero_times<SPEC::OBSERVATION_DIM, LANES>(workspace.next_observations + p * SPEC::OBSERVATION_DIM * LANES,
                                                     sums);
        add_zero_times<1, LANES>(workspace.policy[p].log_probability, sums);
        return are_zero<SPEC>(sums, p);
    }

    // The gradients of L = sum_i mean((Q_i(s, a) - y)^2) / 2 with respect to critic `i`, down to its first layer.
    // Returns whether the targets are finite, into which r, done, discount and log pi(a'|s') have gone.
    //
    // forward: L is a mean over the batch, so
    //          d_Q_i = (Q_i(s, a) - y) / BATCH_SIZE
    template <typename SPEC>
    bool differentiate_critic(Context<SPEC>& context, std::size_t i, std::size_t p) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        auto& workspace = context.workspace;
        alignas(panel::ALIGNMENT) T target[LANES], sums[LANES] = {};
        compute_targets(context, p, target);
        add_zero_times<1, LANES>(target, sums);
        T* loss = workspace.critic_losses[i] + p * LANES;
        const T* value = workspace.critics[i].output(p);
        T* d_value = workspace.critic_gradients[i].output(p);
        for (std::size_t lane = 0; lane < LANES; lane++) {
            const bool is_padding = lane >= n_samples<SPEC>(p);
            const T error = is_padding ? T(0) : value[lane] - target[lane];
            d_value[lane] = error / static_cast<T>(SPEC::BATCH_SIZE);
            loss[lane] = error * error;
        }
        backward(context.device, context.networks.critics[i], workspace.critics_transposed_weights[i],
                 workspace.critics[i], p, workspace.critic_gradients[i], p);
        return are_zero<SPEC>(sums, p);
    }

    // L = -log(alpha) mean(log pi + target entropy)
    // d_log(alpha) = -mean(log pi + target entropy), and Adam's step with it. Returns L.
    template <typename SPEC>
    double update_entropy_coefficient(Context<SPEC>& context) {
        using T = typename SPEC::T;
        const auto& policy = context.workspace.policy;
        auto& log_alpha = context.networks.log_entropy_coefficient;
        const double excess = batch_mean<SPEC>([&](std::size_t p) { return policy[p].log_probability; }) +
                              context.hyper_parameters.target_entropy;
        const double loss = -static_cast<double>(*log_alpha.value) * excess;
        const T gradient = static_cast<T>(-excess);
        adam::update(adam::next_step<T>(context.hyper_parameters.entropy_coefficient_optimizer, *log_alpha.step),
                     &gradient, log_alpha, 0, 1);
        *log_alpha.step += 1;
        return loss;
    }

    // Adam's step of all weights of the critics; Q' <- (1 - tau) Q' + tau Q if `move_targets`.
    template <typename SPEC>
    void update_critics(Context<SPEC>& context, bool move_targets) {
        using T = typename SPEC::T;
        constexpr std::size_t N_TASKS = panel_mlp::n_update_tasks<typename SPEC::CRITIC>();
        auto& networks = context.networks;
        auto& workspace = context.workspace;
        const auto& parameters = context.hyper_parameters;
        panel_mlp::Update<typename SPEC::CRITIC, SPEC::N_PANELS> updates[SPEC::N_CRITICS];
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            const double n_steps = *networks.critics[i].layers[0].weights.step;
            updates[i] = {&networks.critics[i],
                          &networks.target_critics[i],
                          &workspace.critics[i],
                          &workspace.critics_transposed_inputs[i],
                          &workspace.critic_gradients[i],
                          &workspace.critics_transposed_weights[i],
                          {adam::next_step<T>(parameters.critic_optimizer, n_steps),
                           {move_targets, true},
                           static_cast<T>(parameters.tau),
                           static_cast<T>(1 - parameters.tau)}};
        }
        context.device.thread_pool.parallel_for(SPEC::N_CRITICS * N_TASKS, [&](std::uint32_t task, unsigned thread) {
            update(context.device, updates[task / N_TASKS], context.scratch[thread].critic_update, task % N_TASKS);
        });
        for (auto& critic : networks.critics) {
            count_step(critic);
        }
    }

    // Q_i(s, u) with the critics after their step.
    template <typename SPEC>
    void evaluate_actions(Context<SPEC>& context, std::size_t i, std::size_t p) {
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        auto& critic = context.workspace.critics[i];
        copy<SPEC::ACTION_DIM * LANES>(context.workspace.policy[p].action,
                                       critic.input(p) + SPEC::OBSERVATION_DIM * LANES);
        forward(context.device, context.networks.critics[i], critic, p);
    }

    // Which critic has min_i Q_i(s, u), and alpha log pi(u|s) - min_i Q_i(s, u), for all samples.
    template <typename SPEC>
    void compare_critics(Context<SPEC>& context) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        auto& workspace = context.workspace;
        for (std::size_t p = 0; p < SPEC::N_PANELS; p++) {
            std::uint32_t* smallest = workspace.smallest_critic + p * LANES;
            alignas(panel::ALIGNMENT) T smallest_value[LANES];
            copy<LANES>(workspace.critics[0].output(p), smallest_value);
            std::fill_n(smallest, LANES, 0);
            for (std::size_t i = 1; i < SPEC::N_CRITICS; i++) {
                const T* values = workspace.critics[i].output(p);
                for (std::size_t lane = 0; lane < LANES; lane++) {
                    if (is_smaller(values[lane], smallest_value[lane])) {
                        smallest_value[lane] = values[lane];
                        smallest[lane] = static_cast<std::uint32_t>(i);
                    }
                }
            }
            for (std::size_t lane = 0; lane < LANES; lane++) {
                workspace.actor_loss[p * LANES + lane] =
                    context.entropy_coefficient * workspace.policy[p].log_probability[lane] - smallest_value[lane];
            }
        }
    }

    // Only the smallest critic passes a gradient, so each critic's backward pass is for its own samples alone: they are
    // listed here, over all panels.
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

    // The gradient of mean(-min_i Q_i(s, u)) with respect to u, for `n_samples` samples of which critic `i` is the
    // smallest, one panel at most.
    //
    // forward: a mean over the batch, so
    //          d_Q_i = -1 / BATCH_SIZE for the smallest critic, 0 for the others
    template <typename SPEC>
    void differentiate_actions(Context<SPEC>& context, Scratch<SPEC>& scratch, std::size_t i,
                               const std::uint32_t* samples, std::size_t n_samples) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        auto& workspace = context.workspace;
        auto& local = scratch.evaluation;
        gather_derivatives(context.device, workspace.critics[i], samples, n_samples, local.critic);
        for (std::size_t lane = 0; lane < LANES; lane++) {
            local.critic_gradients.output(0)[lane] = T(-1) / static_cast<T>(SPEC::BATCH_SIZE);
        }
        backward(context.device, context.networks.critics[i], workspace.critics_transposed_weights[i], local.critic, 0,
                 local.critic_gradients, 0);
        const T* d_action = local.critic_gradients.input(0) + SPEC::OBSERVATION_DIM * LANES;
        for (std::size_t lane = 0; lane < n_samples; lane++) {
            const std::size_t p = samples[lane] / LANES, target_lane = samples[lane] % LANES;
            for (std::size_t j = 0; j < SPEC::ACTION_DIM; j++) {
                workspace.d_actions[(p * SPEC::ACTION_DIM + j) * LANES + target_lane] = d_action[j * LANES + lane];
            }
        }
    }

    // The same for all samples, panel by panel of each critic.
    template <typename SPEC>
    void differentiate_actions(Context<SPEC>& context) {
        constexpr std::size_t LANES = SPEC::PANEL_LANES;
        auto& workspace = context.workspace;
        assign_samples(workspace);
        std::uint32_t first_panel[SPEC::N_CRITICS + 1] = {};
        for (std::size_t i = 0; i < SPEC::N_CRITICS; i++) {
            first_panel[i + 1] =
                first_panel[i] + static_cast<std::uint32_t>(panel::n_blocks(workspace.n_samples_of_critic[i], LANES));
        }
        const std::uint32_t n_tasks = first_panel[SPEC::N_CRITICS];
        context.device.thread_pool.parallel_for(n_tasks, [&](std::uint32_t task, unsigned thread) {
            std::size_t i = 0;
            while (task >= first_panel[i + 1]) {
                i++;
            }
            const std::size_t first = (task - first_panel[i]) * LANES;
            const std::size_t rest = workspace.n_samples_of_critic[i] - first;
            differentiate_actions(context, context.scratch[thread], i, workspace.samples_of_critic[i] + first,
                                  rest < LANES ? rest : LANES);
        });
    }

    // The gradients of L = mean(alpha log pi(u|s) - min_i Q_i(s, u)) in panel `p`, down to the actor's first layer; the
    // policy's folder derives those of the actor's output.
    template <typename SPEC>
    void differentiate_actor(Context<SPEC>& context, std::size_t p) {
        using T = typename SPEC::T;
        auto& workspace = context.workspace;
        const auto& networks = context.networks;
        sample_action_gradient(context.entropy_coefficient / static_cast<T>(SPEC::BATCH_SIZE), networks.policy,
                               workspace.actor.output(p), workspace.policy[p],
                               workspace.d_actions + p * SPEC::ACTION_DIM * SPEC::PANEL_LANES, n_samples<SPEC>(p), p,
                               workspace.actor_gradients.output(p), workspace.policy_gradients);
        const T* latent = workspace.actor.template layer_input<SPEC::head(0)>(p);
        backward(context.device, networks.actor, workspace.actor_transposed_weights, workspace.actor, p,
                 workspace.actor_gradients, p,
                 latent_gradient(workspace.step_noise, latent, p, workspace.policy_gradients));
    }

    // Adam's step of all weights of the actor, and of what the policy learns beside them.
    template <typename SPEC>
    void update_actor(Context<SPEC>& context, bool is_last) {
        using T = typename SPEC::T;
        constexpr std::size_t N_TASKS = panel_mlp::n_update_tasks<typename SPEC::ACTOR>();
        constexpr std::size_t N_POLICY_TASKS = SPEC::POLICY::N_UPDATE_TASKS;
        auto& actor = context.networks.actor;
        auto& workspace = context.workspace;
        const double n_steps = *actor.layers[0].weights.step;
        const panel_mlp::Update<typename SPEC::ACTOR, SPEC::N_PANELS> actor_update = {
            &actor,
            nullptr,
            &workspace.actor,
            &workspace.actor_transposed_inputs,
            &workspace.actor_gradients,
            &workspace.actor_transposed_weights,
            {adam::next_step<T>(context.hyper_parameters.actor_optimizer, n_steps), {false, !is_last}, T(0), T(0)}};
        context.device.thread_pool.parallel_for(N_POLICY_TASKS + N_TASKS, [&](std::uint32_t task, unsigned thread) {
            if constexpr (N_POLICY_TASKS > 0) {
                if (task < N_POLICY_TASKS) {
                    update(actor_update.rule.step, context.networks.policy, workspace.step_noise,
                           workspace.actor.template layer_input<SPEC::head(0)>(0), workspace.actor_gradients.output(0),
                           workspace.policy_gradients, context.scratch[thread].policy);
                    return;
                }
            }
            update(context.device, actor_update, context.scratch[thread].actor_update, task - N_POLICY_TASKS);
        });
        count_step(actor);
        count_step(context.networks.policy);
    }

    // W^T of all layers, to be called before the first of several steps: since the last call, the caller may have
    // changed the weights.
    template <typename SPEC>
    RL_TOOLS_OPAQUE void refresh_transposed_weights(Algorithm<SPEC>& algorithm) {
        const auto& networks = algorithm.networks;
        auto& workspace = *algorithm.workspace;
        PhaseTimer timer(workspace.phase_seconds);
        algorithm.device.thread_pool.parallel_for(SPEC::N_CRITICS + 1, [&](std::uint32_t task, unsigned) {
            if (task < SPEC::N_CRITICS) {
                panel_mlp::refresh_transposed_weights(algorithm.device, networks.critics[task],
                                                      workspace.critics_transposed_weights[task]);
            } else {
                panel_mlp::refresh_transposed_weights(algorithm.device, networks.actor,
                                                      workspace.actor_transposed_weights);
            }
        });
        timer.end(Phase::TRANSPOSE_WEIGHTS);
    }

    // One gradient step of `stable_baselines3.SAC.train`. Returns whether it was taken: with numbers that are not
    // finite it is not, and nothing learned changes.
    template <typename SPEC>
    RL_TOOLS_OPAQUE bool step(Algorithm<SPEC>& algorithm, const HyperParameters& hyper_parameters,
                              const SB3ReplayBuffer<typename SPEC::OBSERVATION>& replay_buffer,
                              const philox::Engine& engine, StepPosition position, Losses& losses) {
        auto& networks = algorithm.networks;
        auto& workspace = *algorithm.workspace;
        auto& thread_pool = algorithm.device.thread_pool;
        Context<SPEC> context = {algorithm.device, networks,
                                 hyper_parameters, replay_buffer,
                                 engine,           entropy_coefficient(networks, hyper_parameters),
                                 workspace,        algorithm.scratch.get()};
        losses = {};
        losses.entropy_coefficient = static_cast<double>(context.entropy_coefficient);
        PhaseTimer timer(workspace.phase_seconds);

        if constexpr (SPEC::POLICY::HAS_NOISE_MATRIX) {
            sample_step_noise(context);
            timer.end(Phase::SAMPLE_NOISE_MATRIX);
        }
        constexpr std::uint32_t N_CRITIC_TASKS = SPEC::N_CRITICS * SPEC::N_PANELS;  // one critic's after the other's
        thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned thread) {
            auto& scratch = context.scratch[thread];
            sample_transitions(context, scratch, p);
            sample_actions(context, scratch, p);
            workspace.is_finite[p] = is_sample_finite(context, p);
        });
        thread_pool.parallel_for(N_CRITIC_TASKS, [&](std::uint32_t task, unsigned thread) {
            evaluate_critic(context, context.scratch[thread], task / SPEC::N_PANELS, task % SPEC::N_PANELS);
        });
        thread_pool.parallel_for(N_CRITIC_TASKS, [&](std::uint32_t task, unsigned) {
            const std::size_t i = task / SPEC::N_PANELS, p = task % SPEC::N_PANELS;
            const bool is_finite = differentiate_critic(context, i, p);
            if (i == 0) {  // the targets are those of all
                workspace.is_finite[p] = workspace.is_finite[p] && is_finite;
            }
        });
        if (!std::all_of(std::begin(workspace.is_finite), std::end(workspace.is_finite), [](bool is) { return is; })) {
            return false;
        }
        for (std::size_t i = 1; i < SPEC::N_CRITICS; i++) {
            for (std::size_t sample = 0; sample < SPEC::N_PANELS * SPEC::PANEL_LANES; sample++) {
                workspace.critic_losses[0][sample] += workspace.critic_losses[i][sample];
            }
        }
        losses.critic_loss =
            0.5 * batch_mean<SPEC>([&](std::size_t p) { return workspace.critic_losses[0] + p * SPEC::PANEL_LANES; });
        if (networks.log_entropy_coefficient.value) {
            losses.entropy_coefficient_loss = update_entropy_coefficient(context);
        }
        timer.end(Phase::EVALUATE_CRITICS);
        update_critics(context, position.index % hyper_parameters.target_update_interval == 0);
        timer.end(Phase::UPDATE_CRITICS);

        thread_pool.parallel_for(N_CRITIC_TASKS, [&](std::uint32_t task, unsigned) {
            evaluate_actions(context, task / SPEC::N_PANELS, task % SPEC::N_PANELS);
        });
        compare_critics(context);
        timer.end(Phase::EVALUATE_ACTIONS);
        differentiate_actions(context);
        timer.end(Phase::DIFFERENTIATE_ACTIONS);
        thread_pool.parallel_for(SPEC::N_PANELS, [&](std::uint32_t p, unsigned) { differentiate_actor(context, p); });
        timer.end(Phase::DIFFERENTIATE_ACTOR);
        losses.actor_loss =
            batch_mean<SPEC>([&](std::size_t p) { return workspace.actor_loss + p * SPEC::PANEL_LANES; });
        update_actor(context, position.is_last);
        timer.end(Phase::UPDATE_ACTOR);
        return true;
    }

    // low + (a + 1) / 2 (high - low), from [-1, 1] to the environment's bounds, rounded as numpy rounds SB3's
    // `unscale_action`: a fused multiplication and addition would give other bits.
    inline float unscale_action(float action, float low, float high) {
        volatile float product = 0.5f * (action + 1.0f);
        product = product * (high - low);
        return low + product;
    }

    // a = tanh(mean + noise) for each of `n` observations [n][OBSERVATION_DIM], one after the other. `scaled_actions`
    // [n][ACTION_DIM] are in [-1, 1], `actions` in the environment's bounds. Returns whether all are finite.
    template <typename SPEC>
    RL_TOOLS_OPAQUE bool act(const Algorithm<SPEC>& algorithm, typename Algorithm<SPEC>::Acting& actor,
                             const float* observations, std::size_t n,
                             const policies::ActionNoise<typename SPEC::T>& noise, float* scaled_actions,
                             float* actions) {
        using T = typename SPEC::T;
        constexpr std::size_t HEAD = SPEC::head(0);
        const auto& networks = algorithm.networks;
        const auto& action_space = algorithm.action_space;
        const T* mean = actor.template layer_output<HEAD>(0);
        bool is_finite = true;
        for (std::size_t i = 0; i < n; i++) {
            for (std::size_t j = 0; j < SPEC::OBSERVATION_DIM; j++) {
                actor.input(0)[j] = static_cast<T>(*observations++ / static_cast<float>(SPEC::OBSERVATION_DIVISOR));
            }
            forward_single(algorithm.device, networks.actor, actor);
            T action_noise[SPEC::ACTION_DIM] = {};
            exploration_noise(algorithm.device, typename SPEC::POLICY{}, networks.policy, noise, i,
                              actor.template layer_input<HEAD>(0), actor.template layer_output<HEAD + 1>(0),
                              action_noise);
            for (std::size_t j = 0; j < SPEC::ACTION_DIM; j++) {
                const T u = bounded_mean(algorithm.device, networks.policy, mean[j]) + action_noise[j];
                *scaled_actions = static_cast<float>(math::tanh(algorithm.device.math, u));
                is_finite = is_finite && std::isfinite(*scaled_actions);
                *actions++ = unscale_action(*scaled_actions++, action_space.low[j], action_space.high[j]);
            }
        }
        return is_finite;
    }

    // What the loop explores with if the policy has a noise matrix, [LATENT_DIM][ACTION_DIM].
    template <typename SPEC>
    void sample_exploration_matrix(const Algorithm<SPEC>& algorithm, const philox::Engine& engine, std::uint32_t index,
                                   typename SPEC::T* matrix) {
        sample_exploration_matrix(algorithm.device, typename SPEC::POLICY{}, algorithm.networks.policy, engine, index,
                                  matrix);
    }

    // Memory to act with for a caller that also trains, and so does not do both at once.
    template <typename SPEC>
    typename Algorithm<SPEC>::Acting& acting(Algorithm<SPEC>& algorithm) {
        return algorithm.scratch[0].evaluation.actor;
    }

    // Points the networks at torch's memory: weights and biases of each layer from the input on, of the actor (hidden
    // layers, then heads), the critics and their targets; then the logarithm of the entropy coefficient.
    template <typename SPEC>
    void bind(Algorithm<SPEC>& algorithm, const adam::Parameter<typename SPEC::T>* parameters) {
        const auto bind_layers = [&parameters](auto& network) {
            using NETWORK = typename std::remove_reference_t<decltype(network)>::SPEC;
            for (std::size_t i = 0; i < NETWORK::N_TRAINED_LAYERS; i++) {
                network.layers[i].weights = *parameters++;
                network.layers[i].biases = *parameters++;
            }
        };
        auto& networks = algorithm.networks;
        bind_layers(networks.actor);
        for (auto& critic : networks.critics) {
            bind_layers(critic);
        }
        for (auto& critic : networks.target_critics) {
            bind_layers(critic);
        }
        networks.log_entropy_coefficient = *parameters;
    }
}

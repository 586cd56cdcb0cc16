#pragma once
// The actor's part of a gradient step, after that of the critics.

#include <algorithm>

#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/batch.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    namespace adam = nn::optimizers::torch_adam;
    namespace panel_mlp = nn_models::panel_mlp;

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
}

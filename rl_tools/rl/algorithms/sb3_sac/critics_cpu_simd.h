#pragma once
// The critics' part of a gradient step, and the entropy coefficient's, which takes its step with them.

#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/batch.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    namespace adam = nn::optimizers::torch_adam;
    namespace panel_mlp = nn_models::panel_mlp;

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
}

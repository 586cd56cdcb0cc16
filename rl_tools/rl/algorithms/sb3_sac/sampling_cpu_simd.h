#pragma once
// What a gradient step begins with: the batch, and the actions that the actor takes in it.

#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/algorithms/sb3_sac/batch.h>
#include <rl_tools/rl/components/sb3_replay_buffer/operations_generic.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    namespace panel_mlp = nn_models::panel_mlp;
    namespace philox = random::philox;

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
}

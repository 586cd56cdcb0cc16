#pragma once
// One gradient step is a few phases with a barrier after each. A phase over panels carries some samples (as many as the
// device likes) through all networks; a phase over weights sums each gradient over the batch in one thread and in
// a fixed order, so the bits depend neither on the number of threads nor on which thread did what.
//
// `step` reads from top to bottom. Its parts, in the files beside this one, take the context that they share, the
// scratch memory of their thread, and the panel. Q_i are the critics, Q'_i their targets, [][PANEL_LANES] is left out
// of shapes: each number stands for a panel of samples.
//
// Up to the first weight that changes, all numbers of the batch and all that the actor and the targets make of it are
// there: where one of them is NaN or infinite, the step ends without a trace.

#include <algorithm>
#include <iterator>

#include <rl_tools/rl/algorithms/sb3_sac/acting_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/actor_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/critics_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/sampling_cpu_simd.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    namespace panel_mlp = nn_models::panel_mlp;
    namespace philox = random::philox;
    using components::SB3ReplayBuffer;
    using PhaseTimer = components::PhaseTimer<Phase>;

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

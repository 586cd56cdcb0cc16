#pragma once
// Actions of single observations: the loop's, and those of `predict`.

#include <cmath>

#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/algorithms/sb3_sac/sb3_sac.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    namespace philox = random::philox;

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
}

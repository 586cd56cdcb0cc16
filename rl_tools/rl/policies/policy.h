#pragma once
// What a policy is to an algorithm: a distribution over actions a = tanh(u), whose mean is the actor's first head.
//
// A policy is a folder with a header of types and one of operations. `Policy<SPEC>` names its types and constants:
//     N_HEADS, N_TRAINED_HEADS      of the actor; the policy draws the weights of the heads that are not trained
//     N_UPDATE_TASKS                tasks of an update that train `Parameters`; 0 if there are none
//     HAS_NOISE_MATRIX              whether the noise is a matrix, drawn for a gradient step and for a rollout, rather
//                                   than a vector drawn for each sample and action
//     Parameters                    what is learned beside the actor's layers, in torch's memory
//     StepNoise                     what is drawn once for a gradient step
//     Panel                         what it says about one panel of observations, kept for the gradient: at least
//                                   `action` [ACTION_DIM][PANEL_LANES] and `log_probability` [PANEL_LANES]
//     Gradients<N_PANELS>           gradients beside those of the actor's output
//     Scratch                       memory of one thread
// and these operations take them ("noise" is the StepNoise, "latent" [LATENT_DIM][PANEL_LANES] what the actor's heads
// read, "output" [N_HEADS ACTION_DIM][PANEL_LANES] what they write):
//     initialise(noise, actor)
//     sample_step_noise(device, parameters, engine, noise)
//     sample_noise(engine, stream, first_sample, n_samples, panel)
//     sample_action(device, parameters, noise, latent, output, panel, scratch)
//     sample_action_gradient(d_log_probability, parameters, output, panel, d_action, n_samples, p, d_output, gradients)
//     latent_gradient(noise, latent, p, gradients)
//     update(step, parameters, noise, latent, d_output, gradients, scratch)
//     count_step(parameters)
// and for acting with a single observation:
//     bounded_mean(device, parameters, mean)
//     exploration_noise(device, policy, parameters, noise, i, latent, second_head, target)
//     sample_exploration_matrix(device, policy, parameters, engine, index, matrix)
// Those that train or draw what a policy does not have are not called: `update` without N_UPDATE_TASKS,
// `sample_exploration_matrix` without HAS_NOISE_MATRIX.

#include <rl_tools/containers/panel/panel.h>
#include <rl_tools/random/philox/philox.h>

namespace rl_tools::rl::policies {
    // `LATENT_DIM` is the width of what the actor's heads read.
    template <typename T_T, std::size_t T_LATENT_DIM, std::size_t T_ACTION_DIM, std::size_t T_PANEL_LANES>
    struct Specification {
        using T = T_T;
        static constexpr std::size_t LATENT_DIM = T_LATENT_DIM;
        static constexpr std::size_t ACTION_DIM = T_ACTION_DIM;
        static constexpr std::size_t PANEL_LANES = T_PANEL_LANES;  // samples in a panel
    };

    // stable_baselines3/common/distributions.py: added to 1 - tanh(u)^2 before the logarithm.
    template <typename T>
    inline constexpr T SQUASH_EPSILON = T(1e-6);
    template <typename T>
    inline constexpr T HALF_LOG_TWO_PI = T(0.91893853320467274178);

    // Noise of `n` actions: drawn from `engine`, or made of `normal`, or with a noise matrix of `matrices`. All null
    // for deterministic actions.
    template <typename T>
    struct ActionNoise {
        const random::philox::Engine* engine;
        const float* normal;        // [n][ACTION_DIM], standard normal variates that the caller has drawn
        const T* matrices;          // [LATENT_DIM][ACTION_DIM] of observation i from i * matrix_stride on
        std::size_t matrix_stride;  // 0 if all observations share one
    };
}

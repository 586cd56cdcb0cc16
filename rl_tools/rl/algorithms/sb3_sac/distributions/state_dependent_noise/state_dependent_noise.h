#pragma once
// gSDE: `StateDependentNoiseDistribution` of stable_baselines3/common/distributions.py with `squash_output` and
// `learn_features`, as SAC uses it. Paper: Raffin, Kober, Stulp, "Smooth exploration for robotic reinforcement
// learning", CoRL 2021.
//
// The noise of an action is a matrix times the features that the actor's heads read ("latent"), so it is the same
// for the same state until the matrix is drawn anew.

#include <rl_tools/containers/panel/panel.h>
#include <rl_tools/nn/optimizers/torch_adam/torch_adam.h>

namespace rl_tools::rl::algorithms::sb3_sac::distributions {
    // Of the variance, whose square root is taken.
    template <typename T>
    inline constexpr T VARIANCE_EPSILON = T(1e-6);
    // Of `expln`, which would be log1p(0) otherwise.
    template <typename T>
    inline constexpr T EXPLN_EPSILON = T(1e-6);

    template <typename T>
    struct StateDependentNoiseParameters {
        nn::optimizers::torch_adam::Parameter<T> log_std;  // [LATENT_DIM][ACTION_DIM]
        double clip_mean;                                  // of the mean's absolute value
        std::int64_t use_expln;
    };

    // The matrix of one gradient step and what it was made of, in the layouts that the products read.
    template <typename T_T, std::size_t T_LATENT_DIM, std::size_t T_ACTION_DIM>
    struct NoiseMatrix {
        using T = T_T;
        static constexpr std::size_t LATENT_DIM = T_LATENT_DIM;
        static constexpr std::size_t ACTION_DIM = T_ACTION_DIM;
        T normal[LATENT_DIM * ACTION_DIM];              // epsilon, [LATENT_DIM][ACTION_DIM]
        T standard_deviation[LATENT_DIM * ACTION_DIM];  // sigma, "
        T derivative[LATENT_DIM * ACTION_DIM];          // of sigma with respect to log_std, "
        T weights[ACTION_DIM * LATENT_DIM];             // (sigma epsilon)^T
        T variances[ACTION_DIM * LATENT_DIM];           // (sigma^2)^T
        T biases[ACTION_DIM];                           // none
        T variance_biases[ACTION_DIM];                  // VARIANCE_EPSILON
    };

    // Everything the policy says about one panel of observations, kept for the gradient.
    template <typename T_T, std::size_t T_ACTION_DIM, std::size_t T_SIZE>
    struct StateDependentNoise {
        using T = T_T;
        static constexpr std::size_t ACTION_DIM = T_ACTION_DIM;
        static constexpr std::size_t SIZE = T_SIZE;
        alignas(panel::ALIGNMENT) T standard_deviation[ACTION_DIM * SIZE];  // of the action for this state
        alignas(panel::ALIGNMENT) T deviation[ACTION_DIM * SIZE];           // atanh(a) - mean
        alignas(panel::ALIGNMENT) T action[ACTION_DIM * SIZE];              // a = tanh(u)
        alignas(panel::ALIGNMENT) T log_probability[SIZE];
    };

    // What one thread needs for one task.
    template <typename T_T, std::size_t T_LATENT_DIM, std::size_t T_ACTION_DIM, std::size_t T_SIZE>
    struct StateDependentNoiseScratch {
        using T = T_T;
        alignas(panel::ALIGNMENT) T squares[T_LATENT_DIM * T_SIZE];
        T d_weights[T_ACTION_DIM * T_LATENT_DIM];
        T d_variances[T_ACTION_DIM * T_LATENT_DIM];
        T d_log_std[T_LATENT_DIM * T_ACTION_DIM];
    };
}

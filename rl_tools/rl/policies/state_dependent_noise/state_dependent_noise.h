#pragma once
// gSDE: `StateDependentNoiseDistribution` of stable_baselines3/common/distributions.py with `squash_output` and
// `learn_features`, as SAC uses it. Paper: Raffin, Kober, Stulp, "Smooth exploration for robotic reinforcement
// learning", CoRL 2021.
//
// The noise of an action is a matrix times the features that the actor's heads read ("latent"), so it is the same
// for the same state until the matrix is drawn anew. The heads are the mean and that product: the matrix takes the
// place of the second head's weights.

#include <rl_tools/nn/optimizers/torch_adam/torch_adam.h>
#include <rl_tools/rl/policies/policy.h>

namespace rl_tools::rl::policies {
    namespace state_dependent_noise {
        // Added to the variance before the square root.
        template <typename T>
        inline constexpr T VARIANCE_EPSILON = T(1e-6);
        // Added to the argument of the logarithm in `expln`.
        template <typename T>
        inline constexpr T EXPLN_EPSILON = T(1e-6);

        template <typename T>
        struct Parameters {
            nn::optimizers::torch_adam::Parameter<T> log_std;  // [LATENT_DIM][ACTION_DIM]
            double clip_mean;                                  // largest absolute value of the mean
            std::int64_t use_expln;
        };

        // The matrix of one gradient step and what it was made of, in the layouts that the products read.
        template <typename SPEC>
        struct StepNoise {
            using T = typename SPEC::T;
            static constexpr std::size_t DIM = SPEC::LATENT_DIM * SPEC::ACTION_DIM;
            T normal[DIM];                        // epsilon, [LATENT_DIM][ACTION_DIM]
            T standard_deviation[DIM];            // sigma, "
            T derivative[DIM];                    // of sigma with respect to log_std, "
            T weights[DIM];                       // (sigma epsilon)^T, [ACTION_DIM][LATENT_DIM]
            T variances[DIM];                     // (sigma^2)^T, "
            T biases[SPEC::ACTION_DIM];           // 0
            T variance_biases[SPEC::ACTION_DIM];  // VARIANCE_EPSILON
        };

        template <typename SPEC>
        struct Panel {
            using T = typename SPEC::T;
            static constexpr std::size_t DIM = SPEC::ACTION_DIM * SPEC::PANEL_LANES;
            alignas(panel::ALIGNMENT) T standard_deviation[DIM];  // s, of the action in this state
            alignas(panel::ALIGNMENT) T deviation[DIM];           // u' - mean
            alignas(panel::ALIGNMENT) T action[DIM];              // a = tanh(u)
            alignas(panel::ALIGNMENT) T log_probability[SPEC::PANEL_LANES];
        };

        // With respect to s^2.
        template <typename SPEC, std::size_t N_PANELS>
        struct Gradients {
            using T = typename SPEC::T;
            static constexpr std::size_t PANEL_DIM = SPEC::ACTION_DIM * SPEC::PANEL_LANES;
            alignas(panel::ALIGNMENT) T variance_panels[N_PANELS * PANEL_DIM];

            T* variance(std::size_t p) { return variance_panels + p * PANEL_DIM; }
            const T* variance(std::size_t p) const { return variance_panels + p * PANEL_DIM; }
        };

        template <typename SPEC>
        struct Scratch {
            using T = typename SPEC::T;
            static constexpr std::size_t DIM = SPEC::LATENT_DIM * SPEC::ACTION_DIM;
            alignas(panel::ALIGNMENT) T squares[SPEC::LATENT_DIM * SPEC::PANEL_LANES];  // latent^2
            T d_weights[DIM];                                                           // [ACTION_DIM][LATENT_DIM]
            T d_variances[DIM];                                                         // "
            T d_log_std[DIM];                                                           // [LATENT_DIM][ACTION_DIM]
        };
    }

    template <typename T_SPEC>
    struct StateDependentNoise {
        using SPEC = T_SPEC;
        static constexpr std::size_t N_HEADS = 2;
        static constexpr std::size_t N_TRAINED_HEADS = 1;
        static constexpr std::size_t N_UPDATE_TASKS = 1;
        static constexpr bool HAS_NOISE_MATRIX = true;
        using Parameters = state_dependent_noise::Parameters<typename SPEC::T>;
        using StepNoise = state_dependent_noise::StepNoise<SPEC>;
        using Panel = state_dependent_noise::Panel<SPEC>;
        template <std::size_t N_PANELS>
        using Gradients = state_dependent_noise::Gradients<SPEC, N_PANELS>;
        using Scratch = state_dependent_noise::Scratch<SPEC>;
    };
}

#pragma once
// `SquashedDiagGaussianDistribution` of stable_baselines3/common/distributions.py: the heads are the mean and the
// logarithm of the standard deviation of u.

#include <rl_tools/rl/policies/policy.h>

namespace rl_tools::rl::policies {
    namespace squashed_gaussian {
        // The actor's layers are all that is learned, and each sample has noise of its own.
        template <typename T>
        struct Parameters {
            double log_std_min;  // LOG_STD_MIN and LOG_STD_MAX of stable_baselines3/sac/policies.py
            double log_std_max;
        };
        template <typename SPEC>
        struct StepNoise {};
        template <typename SPEC, std::size_t N_PANELS>
        struct Gradients {};
        template <typename SPEC>
        struct Scratch {};

        template <typename SPEC>
        struct Panel {
            using T = typename SPEC::T;
            static constexpr std::size_t DIM = SPEC::ACTION_DIM * SPEC::PANEL_LANES;
            alignas(panel::ALIGNMENT) T noise[DIM];  // epsilon
            alignas(panel::ALIGNMENT) T standard_deviation[DIM];
            alignas(panel::ALIGNMENT) T deviation[DIM];  // u - mean, rounded as torch rounds it
            alignas(panel::ALIGNMENT) T action[DIM];     // tanh(u)
            alignas(panel::ALIGNMENT) T log_probability[SPEC::PANEL_LANES];
        };
    }

    template <typename T_SPEC>
    struct SquashedGaussian {
        using SPEC = T_SPEC;
        static constexpr std::size_t N_HEADS = 2;
        static constexpr std::size_t N_TRAINED_HEADS = 2;
        static constexpr std::size_t N_UPDATE_TASKS = 0;
        static constexpr bool HAS_NOISE_MATRIX = false;
        using Parameters = squashed_gaussian::Parameters<typename SPEC::T>;
        using StepNoise = squashed_gaussian::StepNoise<SPEC>;
        using Panel = squashed_gaussian::Panel<SPEC>;
        template <std::size_t N_PANELS>
        using Gradients = squashed_gaussian::Gradients<SPEC, N_PANELS>;
        using Scratch = squashed_gaussian::Scratch<SPEC>;
    };
}

#pragma once
// `SquashedDiagGaussianDistribution` of stable_baselines3/common/distributions.py.

#include <rl_tools/containers/panel/panel.h>

namespace rl_tools::rl::algorithms::sb3_sac::distributions {
    // stable_baselines3/sac/policies.py
    template <typename T>
    inline constexpr T LOG_STD_MIN = -20;
    template <typename T>
    inline constexpr T LOG_STD_MAX = 2;
    // Of 1 - tanh(u)^2, whose logarithm is taken.
    template <typename T>
    inline constexpr T SQUASH_EPSILON = T(1e-6);

    // Everything the policy says about one panel of observations, kept for the gradient.
    template <typename T_T, std::size_t T_ACTION_DIM, std::size_t T_SIZE>
    struct SquashedGaussian {
        using T = T_T;
        static constexpr std::size_t ACTION_DIM = T_ACTION_DIM;
        static constexpr std::size_t SIZE = T_SIZE;
        alignas(panel::ALIGNMENT) T noise[ACTION_DIM * SIZE];  // epsilon
        alignas(panel::ALIGNMENT) T standard_deviation[ACTION_DIM * SIZE];
        alignas(panel::ALIGNMENT) T deviation[ACTION_DIM * SIZE];  // u - mean, rounded as torch rounds it
        alignas(panel::ALIGNMENT) T action[ACTION_DIM * SIZE];     // tanh(u)
        alignas(panel::ALIGNMENT) T log_probability[SIZE];
    };
}

#pragma once

#include <cmath>

#include <rl_tools/containers/panel/operations_cpu_simd.h>
#include <rl_tools/nn/optimizers/torch_adam/torch_adam.h>

namespace rl_tools::nn::optimizers::torch_adam {
    // The step that follows `n_steps` earlier ones.
    template <typename T>
    inline Step<T> next_step(const HyperParameters& parameters, double n_steps) {
        const double t = n_steps + 1;
        return {static_cast<T>(1 - parameters.beta_1),
                static_cast<T>(parameters.beta_2),
                static_cast<T>(1 - parameters.beta_2),
                static_cast<T>(parameters.learning_rate / (1 - std::pow(parameters.beta_1, t))),
                static_cast<T>(1 / std::sqrt(1 - std::pow(parameters.beta_2, t))),
                static_cast<T>(parameters.epsilon)};
    }

    // m <- m + (1 - beta_1) (g - m)
    // v <- beta_2 v + (1 - beta_2) g^2
    // p <- p - step_size m / (sqrt(v) / sqrt(1 - beta_2^t) + epsilon)
    // as PyTorch writes it (torch/optim/adam.py), for `n` consecutive elements.
    template <typename T>
    RL_TOOLS_INLINE void update(const Step<T>& step, const T* RL_TOOLS_RESTRICT gradient, T* RL_TOOLS_RESTRICT value,
                                T* RL_TOOLS_RESTRICT exp_avg, T* RL_TOOLS_RESTRICT exp_avg_sq, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            const T g = gradient[i];
            const T m = exp_avg[i] + step.one_minus_beta_1 * (g - exp_avg[i]);
            const T v = step.beta_2 * exp_avg_sq[i] + step.one_minus_beta_2 * g * g;
            exp_avg[i] = m;
            exp_avg_sq[i] = v;
            value[i] -= step.step_size * m / (std::sqrt(v) * step.inverse_sqrt_bias_correction_2 + step.epsilon);
        }
    }

    // target <- (1 - tau) target + tau value
    template <typename T>
    RL_TOOLS_INLINE void polyak(T tau, T one_minus_tau, const T* RL_TOOLS_RESTRICT value, T* RL_TOOLS_RESTRICT target,
                                std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            target[i] = one_minus_tau * target[i] + tau * value[i];
        }
    }
}

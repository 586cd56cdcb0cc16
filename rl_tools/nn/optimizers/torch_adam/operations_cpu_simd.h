#pragma once

#include <cmath>

#include <rl_tools/containers/panel/operations_cpu_simd.h>
#include <rl_tools/nn/optimizers/torch_adam/torch_adam.h>

namespace rl_tools::nn::optimizers::torch_adam {
    // The step that follows `n_steps` earlier ones.
    template <typename T>
    inline Step<T> next_step(const HyperParameters& parameters, double n_steps) {
        const double t = n_steps + 1;
        const bool decoupled = parameters.decoupled_weight_decay != 0;
        return {static_cast<T>(1 - parameters.beta_1),
                static_cast<T>(parameters.beta_2),
                static_cast<T>(1 - parameters.beta_2),
                static_cast<T>(parameters.learning_rate / (1 - std::pow(parameters.beta_1, t))),
                static_cast<T>(1 / std::sqrt(1 - std::pow(parameters.beta_2, t))),
                static_cast<T>(parameters.epsilon),
                static_cast<T>(decoupled ? 0 : parameters.weight_decay),
                static_cast<T>(decoupled ? 1 - parameters.learning_rate * parameters.weight_decay : 1)};
    }

    // m <- m + (1 - beta_1) (g - m)
    // v <- beta_2 v + (1 - beta_2) g^2
    // p <- p - step_size m / (sqrt(v) / sqrt(1 - beta_2^t) + epsilon)
    // as PyTorch writes it (torch/optim/adam.py), for `n` consecutive elements.
    template <typename T>
    RL_TOOLS_INLINE void update_plain(const Step<T>& step, const T* RL_TOOLS_RESTRICT gradient,
                                      T* RL_TOOLS_RESTRICT value, T* RL_TOOLS_RESTRICT exp_avg,
                                      T* RL_TOOLS_RESTRICT exp_avg_sq, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            const T g = gradient[i];
            const T m = exp_avg[i] + step.one_minus_beta_1 * (g - exp_avg[i]);
            const T v = step.beta_2 * exp_avg_sq[i] + step.one_minus_beta_2 * g * g;
            exp_avg[i] = m;
            exp_avg_sq[i] = v;
            value[i] -= step.step_size * m / (std::sqrt(v) * step.inverse_sqrt_bias_correction_2 + step.epsilon);
        }
    }

    // The same with weight decay of either kind, and with AMSGrad the largest v so far in the place of v.
    template <bool AMSGRAD, typename T>
    RL_TOOLS_NOINLINE void update_extended(const Step<T>& step, const T* RL_TOOLS_RESTRICT gradient,
                                           T* RL_TOOLS_RESTRICT value, T* RL_TOOLS_RESTRICT exp_avg,
                                           T* RL_TOOLS_RESTRICT exp_avg_sq,
                                           [[maybe_unused]] T* RL_TOOLS_RESTRICT max_exp_avg_sq, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            const T p = value[i] * step.shrinkage;
            const T g = gradient[i] + step.weight_decay * p;
            const T m = exp_avg[i] + step.one_minus_beta_1 * (g - exp_avg[i]);
            const T v = step.beta_2 * exp_avg_sq[i] + step.one_minus_beta_2 * g * g;
            exp_avg[i] = m;
            exp_avg_sq[i] = v;
            T divisor = v;
            if constexpr (AMSGRAD) {
                divisor = max_exp_avg_sq[i] >= v ? max_exp_avg_sq[i] : v;  // NaN wins, as in torch
                max_exp_avg_sq[i] = divisor;
            }
            value[i] =
                p - step.step_size * m / (std::sqrt(divisor) * step.inverse_sqrt_bias_correction_2 + step.epsilon);
        }
    }

    // One step of `n` elements of a parameter from element `offset` on; `gradient` begins there.
    template <typename T>
    RL_TOOLS_INLINE void update(const Step<T>& step, const T* gradient, const Parameter<T>& parameter,
                                std::size_t offset, std::size_t n) {
        T *value = parameter.value + offset, *exp_avg = parameter.exp_avg + offset,
          *exp_avg_sq = parameter.exp_avg_sq + offset;
        if (parameter.max_exp_avg_sq) {
            update_extended<true>(step, gradient, value, exp_avg, exp_avg_sq, parameter.max_exp_avg_sq + offset, n);
        } else if (step.weight_decay != 0 || step.shrinkage != 1) {
            update_extended<false>(step, gradient, value, exp_avg, exp_avg_sq, parameter.max_exp_avg_sq, n);
        } else {
            update_plain(step, gradient, value, exp_avg, exp_avg_sq, n);
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

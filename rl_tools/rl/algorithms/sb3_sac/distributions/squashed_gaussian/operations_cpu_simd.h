#pragma once

#include <rl_tools/devices/cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/distributions/squashed_gaussian/squashed_gaussian.h>
#include <rl_tools/utils/simd/math.h>

namespace rl_tools::rl::algorithms::sb3_sac::distributions {
    template <typename DEVICE_SPEC, typename T>
    T clip_log_std(const devices::CPU_SIMD<DEVICE_SPEC>& device, T log_std) {
        return math::clamp(device.math, log_std, LOG_STD_MIN<T>, LOG_STD_MAX<T>);
    }

    // a = tanh(u), u = mean + sigma epsilon, sigma = exp(clip(log_std))
    // log pi = sum over dimensions of -(u - mean)^2 / (2 sigma^2) - log sigma - log(2 pi) / 2 - log(1 - a^2 +
    // 1e-6)
    //
    // `output` is the actor's: means, then log standard deviations, [2 ACTION_DIM][SIZE].
    template <typename DEVICE_SPEC, typename T, std::size_t ACTION_DIM, std::size_t SIZE>
    void sample_action(devices::CPU_SIMD<DEVICE_SPEC>& device, const T* output,
                       SquashedGaussian<T, ACTION_DIM, SIZE>& policy) {
        constexpr std::size_t N = ACTION_DIM * SIZE;
        const T half_log_two_pi = T(0.91893853320467274178);
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            policy.log_probability[lane] = 0;
        }
        for (std::size_t row = 0; row < N; row += SIZE) {
            for (std::size_t lane = 0; lane < SIZE; lane++) {
                const std::size_t i = row + lane;
                const T log_std = clip_log_std(device, output[N + i]);
                const T sigma = utils::simd::math::exp(log_std);
                const T u = output[i] + sigma * policy.noise[i];
                const T deviation = u - output[i];
                const T action = utils::simd::math::tanh(u);
                policy.standard_deviation[i] = sigma;
                policy.deviation[i] = deviation;
                policy.action[i] = action;
                policy.log_probability[lane] += -(deviation * deviation) / (T(2) * sigma * sigma) - log_std -
                                                half_log_two_pi -
                                                utils::simd::math::log(T(1) - action * action + SQUASH_EPSILON<T>);
            }
        }
    }

    // The gradient of mean(alpha log pi - Q) over the batch with respect to the actor's output, from that of
    // mean(-Q) with respect to the action; `d_log_probability` is alpha divided by the size of the batch. Torch
    // differentiates log pi along u and along mean and sigma; the parts that cancel exactly are left out, those that
    // cancel only up to rounding are kept.
    template <typename T, std::size_t ACTION_DIM, std::size_t SIZE>
    void sample_action_gradient(T d_log_probability, const T* output,
                                const SquashedGaussian<T, ACTION_DIM, SIZE>& policy, const T* d_action,
                                std::size_t n_samples, T* d_output) {
        constexpr std::size_t N = ACTION_DIM * SIZE;
        for (std::size_t i = 0; i < N; i++) {
            const T action = policy.action[i], sigma = policy.standard_deviation[i];
            const T one_minus_square = T(1) - action * action;
            const T d_u = (d_action[i] + d_log_probability * T(2) * action / (one_minus_square + SQUASH_EPSILON<T>)) *
                          one_minus_square;
            const T z = policy.deviation[i] / sigma;
            const T d_log_std = d_u * sigma * policy.noise[i] + d_log_probability * (z * (z - policy.noise[i]) - T(1));
            const T log_std = output[N + i];
            const bool is_padding = i % SIZE >= n_samples;
            const bool is_clipped = log_std < LOG_STD_MIN<T> || log_std > LOG_STD_MAX<T>;
            d_output[i] = is_padding ? T(0) : d_u;
            d_output[N + i] = is_padding || is_clipped ? T(0) : d_log_std;
        }
    }
}

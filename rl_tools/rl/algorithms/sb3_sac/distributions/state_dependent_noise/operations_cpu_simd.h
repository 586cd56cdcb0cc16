#pragma once

#include <limits>

#include <rl_tools/devices/cpu_simd.h>
#include <rl_tools/nn/layers/panel_dense/operations_cpu_simd.h>
#include <rl_tools/nn/optimizers/torch_adam/operations_cpu_simd.h>
#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/algorithms/sb3_sac/distributions/squashed_gaussian/squashed_gaussian.h>
#include <rl_tools/rl/algorithms/sb3_sac/distributions/state_dependent_noise/state_dependent_noise.h>
#include <rl_tools/utils/simd/math.h>

namespace rl_tools::rl::algorithms::sb3_sac::distributions {
    namespace adam = nn::optimizers::torch_adam;
    namespace dense = nn::layers::panel_dense;
    namespace philox = random::philox;
    namespace simd = utils::simd::math;

    // sigma and d sigma / d log_std: exp(log_std), or "expln", which is log1p(log_std) + 1 for positive ones.
    template <typename MATH_DEVICE, typename T>
    void standard_deviation(const MATH_DEVICE& device, bool use_expln, T log_std, T& sigma, T& derivative) {
        if (use_expln && log_std > 0) {
            sigma = std::log1p(log_std + EXPLN_EPSILON<T>) + T(1);
            derivative = T(1) / (T(1) + log_std + EXPLN_EPSILON<T>);
        } else {
            sigma = math::exp(device, log_std);
            derivative = sigma;
        }
    }

    // matrix = sigma epsilon, [LATENT_DIM][ACTION_DIM] as torch has it; `index` tells matrices of one counter apart.
    template <std::size_t LATENT_DIM, std::size_t ACTION_DIM, typename MATH_DEVICE, typename T>
    void sample_matrix(const MATH_DEVICE& device, const StateDependentNoiseParameters<T>& parameters,
                       const philox::Engine& engine, std::uint32_t index, T* matrix) {
        for (std::size_t k = 0; k < LATENT_DIM; k++) {
            T* row = matrix + k * ACTION_DIM;
            philox::normal<ACTION_DIM>(device, engine, philox::Stream::EXPLORATION_MATRIX,
                                       static_cast<std::uint32_t>(index * LATENT_DIM + k), row, 1);
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                T sigma, derivative;
                standard_deviation(device, parameters.use_expln != 0, parameters.log_std.value[k * ACTION_DIM + j],
                                   sigma, derivative);
                row[j] *= sigma;
            }
        }
    }

    // Rows `first` to `end - 1` of the matrix that a gradient step uses for its whole batch.
    template <typename MATH_DEVICE, typename T, std::size_t LATENT_DIM, std::size_t ACTION_DIM>
    void sample_matrix(const MATH_DEVICE& device, const StateDependentNoiseParameters<T>& parameters,
                       const philox::Engine& engine, std::size_t first, std::size_t end,
                       NoiseMatrix<T, LATENT_DIM, ACTION_DIM>& matrix) {
        for (std::size_t k = first; k < end; k++) {
            philox::normal<ACTION_DIM>(device, engine, philox::Stream::NOISE_MATRIX, static_cast<std::uint32_t>(k),
                                       matrix.normal + k * ACTION_DIM, 1);
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                const std::size_t i = k * ACTION_DIM + j, transposed = j * LATENT_DIM + k;
                T& sigma = matrix.standard_deviation[i];
                standard_deviation(device, parameters.use_expln != 0, parameters.log_std.value[i], sigma,
                                   matrix.derivative[i]);
                matrix.weights[transposed] = sigma * matrix.normal[i];
                matrix.variances[transposed] = sigma * sigma;
            }
        }
    }

    // a = tanh(u), u = mean + noise, noise = (sigma epsilon)^T latent
    // log pi = sum over dimensions of -(u' - mean)^2 / (2 s^2) - log s - log(2 pi) / 2 - log(1 - tanh(u')^2 + 1e-6)
    // with s^2 = (sigma^2)^T latent^2 + 1e-6 and u' = atanh(a), as SB3 forgets u.
    //
    // `output` is the actor's: means, then noise, [2 ACTION_DIM][SIZE].
    template <typename DEVICE, typename T, std::size_t LATENT_DIM, std::size_t ACTION_DIM, std::size_t SIZE>
    void sample_action(DEVICE& device, const StateDependentNoiseParameters<T>& parameters,
                       const NoiseMatrix<T, LATENT_DIM, ACTION_DIM>& matrix, const T* latent, const T* output,
                       StateDependentNoise<T, ACTION_DIM, SIZE>& policy,
                       StateDependentNoiseScratch<T, LATENT_DIM, ACTION_DIM, SIZE>& scratch) {
        constexpr std::size_t N = ACTION_DIM * SIZE;
        constexpr T LARGEST_ACTION = T(1) - std::numeric_limits<T>::epsilon();
        const T half_log_two_pi = T(0.91893853320467274178);
        const T clip_mean = static_cast<T>(parameters.clip_mean);
        for (std::size_t i = 0; i < LATENT_DIM * SIZE; i++) {
            scratch.squares[i] = latent[i] * latent[i];
        }
        T* variance = policy.standard_deviation;
        dense::forward<LATENT_DIM, ACTION_DIM, SIZE, dense::Identity>(device, matrix.variances, matrix.variance_biases,
                                                                      scratch.squares, variance);
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            policy.log_probability[lane] = 0;
        }
        for (std::size_t row = 0; row < N; row += SIZE) {
            for (std::size_t lane = 0; lane < SIZE; lane++) {
                const std::size_t i = row + lane;
                const T mean = math::clamp(device.math, output[i], -clip_mean, clip_mean);
                const T action = simd::tanh(mean + output[N + i]);
                const T inner_action = math::clamp(device.math, action, -LARGEST_ACTION, LARGEST_ACTION);
                const T u = T(0.5) * (std::log1p(inner_action) - std::log1p(-inner_action));
                const T deviation = u - mean;
                const T squashed = simd::tanh(u);
                policy.log_probability[lane] += -(deviation * deviation) / (T(2) * variance[i]) -
                                                T(0.5) * simd::log(variance[i]) - half_log_two_pi -
                                                simd::log(T(1) - squashed * squashed + SQUASH_EPSILON<T>);
                policy.standard_deviation[i] = math::sqrt(device.math, variance[i]);
                policy.deviation[i] = deviation;
                policy.action[i] = action;
            }
        }
    }

    // The gradient of mean(alpha log pi - Q) over the batch with respect to the actor's output and to s^2, from that
    // of mean(-Q) with respect to the action; `d_log_probability` is alpha divided by the size of the batch. Where
    // atanh takes back what tanh did, the two are left out.
    template <typename T, std::size_t ACTION_DIM, std::size_t SIZE>
    void sample_action_gradient(T d_log_probability, const StateDependentNoiseParameters<T>& parameters,
                                const T* output, const StateDependentNoise<T, ACTION_DIM, SIZE>& policy,
                                const T* d_action, std::size_t n_samples, T* d_output, T* d_variance) {
        constexpr std::size_t N = ACTION_DIM * SIZE;
        constexpr T LARGEST_ACTION = T(1) - std::numeric_limits<T>::epsilon();
        const T clip_mean = static_cast<T>(parameters.clip_mean);
        for (std::size_t i = 0; i < N; i++) {
            const T action = policy.action[i], s = policy.standard_deviation[i], deviation = policy.deviation[i];
            const T one_minus_square = T(1) - action * action;
            const bool is_inner = action >= -LARGEST_ACTION && action <= LARGEST_ACTION;
            const T d_squash =
                d_log_probability * T(2) * action * one_minus_square / (one_minus_square + SQUASH_EPSILON<T>);
            // Of log pi with respect to the mean, at the same u'.
            const T d_mean_alone = d_log_probability * deviation / (s * s);
            const T d_noise = d_action[i] * one_minus_square + (is_inner ? d_squash - d_mean_alone : T(0));
            const T d_mean = d_action[i] * one_minus_square + (is_inner ? d_squash : d_mean_alone);
            const bool is_padding = i % SIZE >= n_samples;
            const bool is_clipped = output[i] <= -clip_mean || output[i] >= clip_mean;
            d_output[i] = is_padding || is_clipped ? T(0) : d_mean;
            d_output[N + i] = is_padding ? T(0) : d_noise;
            d_variance[i] =
                is_padding ? T(0) : d_log_probability * (deviation * deviation / (s * s) - T(1)) / (T(2) * s * s);
        }
    }

    // What the features receive through s^2: 2 latent (sigma^2 d_variance), a line of one row of [LATENT_DIM][SIZE].
    template <std::size_t SIZE, typename T, std::size_t LATENT_DIM, std::size_t ACTION_DIM>
    RL_TOOLS_INLINE panel::Line<T> variance_gradient(const NoiseMatrix<T, LATENT_DIM, ACTION_DIM>& matrix,
                                                     const T* latent, const T* d_variance, std::size_t row,
                                                     std::size_t first_sample) {
        panel::Line<T> sum = dense::constant_line(T{0});
        for (std::size_t j = 0; j < ACTION_DIM; j++) {
            panel::multiply_accumulate(sum, T(2) * matrix.variances[j * LATENT_DIM + row],
                                       panel::load_line(d_variance + j * SIZE + first_sample));
        }
        panel::Line<T> result = dense::constant_line(T{0});
        panel::multiply_accumulate(result, sum, panel::load_line(latent + row * SIZE + first_sample));
        return result;
    }

    // Adam's step of log_std. `d_output` holds panels of [2 ACTION_DIM][SIZE], `d_variance` of [ACTION_DIM][SIZE].
    template <std::size_t N_PANELS, typename T, std::size_t LATENT_DIM, std::size_t ACTION_DIM, std::size_t SIZE>
    void update_log_std(const adam::Step<T>& step, const StateDependentNoiseParameters<T>& parameters,
                        const NoiseMatrix<T, LATENT_DIM, ACTION_DIM>& matrix, const T* latent, const T* d_output,
                        const T* d_variance, StateDependentNoiseScratch<T, LATENT_DIM, ACTION_DIM, SIZE>& scratch) {
        dense::weight_gradient_of_few_rows<LATENT_DIM, ACTION_DIM, 2 * ACTION_DIM, N_PANELS, SIZE>(
            d_output + ACTION_DIM * SIZE, latent, scratch.d_weights, [](const panel::Line<T>& x) { return x; });
        dense::weight_gradient_of_few_rows<LATENT_DIM, ACTION_DIM, ACTION_DIM, N_PANELS, SIZE>(
            d_variance, latent, scratch.d_variances, [](const panel::Line<T>& x) {
                panel::Line<T> square = dense::constant_line(T{0});
                panel::multiply_accumulate(square, x, x);
                return square;
            });
        for (std::size_t k = 0; k < LATENT_DIM; k++) {
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                const std::size_t i = k * ACTION_DIM + j, transposed = j * LATENT_DIM + k;
                const T d_sigma = matrix.normal[i] * scratch.d_weights[transposed] +
                                  T(2) * matrix.standard_deviation[i] * scratch.d_variances[transposed];
                scratch.d_log_std[i] = d_sigma * matrix.derivative[i];
            }
        }
        adam::update<T>(step, scratch.d_log_std, parameters.log_std, 0, LATENT_DIM * ACTION_DIM);
    }
}

#pragma once

#include <limits>

#include <rl_tools/devices/cpu_simd.h>
#include <rl_tools/nn/layers/panel_dense/operations_cpu_simd.h>
#include <rl_tools/nn/optimizers/torch_adam/operations_cpu_simd.h>
#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/policies/state_dependent_noise/state_dependent_noise.h>
#include <rl_tools/utils/simd/math.h>

namespace rl_tools::rl::policies::state_dependent_noise {
    namespace adam = nn::optimizers::torch_adam;
    namespace dense = nn::layers::panel_dense;
    namespace philox = random::philox;
    namespace simd = utils::simd::math;

    // The noise matrix is the actor's last layer: called once, as both stay where they are.
    template <typename SPEC, typename ACTOR>
    void initialise(StepNoise<SPEC>& noise, nn_models::panel_mlp::Parameters<ACTOR>& actor) {
        for (auto& bias : noise.variance_biases) {
            bias = VARIANCE_EPSILON<typename SPEC::T>;
        }
        auto& noise_head = actor.layers[ACTOR::N_LAYERS - 1];
        noise_head.weights.value = noise.weights;
        noise_head.biases.value = noise.biases;
    }

    // sigma = exp(log_std), d_sigma/d_log_std = sigma; or `expln`, for positive log_std
    // sigma = log(1 + log_std + 1e-6) + 1, d_sigma/d_log_std = 1 / (1 + log_std + 1e-6).
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

    // matrix[LATENT_DIM][ACTION_DIM] = sigma epsilon, with which actions are explored; `index` tells the matrices of
    // one counter apart.
    template <typename DEVICE, typename SPEC>
    void sample_exploration_matrix(const DEVICE& device, StateDependentNoise<SPEC>,
                                   const Parameters<typename SPEC::T>& parameters, const philox::Engine& engine,
                                   std::uint32_t index, typename SPEC::T* matrix) {
        using T = typename SPEC::T;
        constexpr std::size_t ACTION_DIM = SPEC::ACTION_DIM;
        for (std::size_t k = 0; k < SPEC::LATENT_DIM; k++) {
            T* row = matrix + k * ACTION_DIM;
            philox::normal<ACTION_DIM, 1>(engine, philox::Stream::EXPLORATION_MATRIX,
                                          static_cast<std::uint32_t>(index * SPEC::LATENT_DIM + k), row);
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                T sigma, derivative;
                standard_deviation(device.math, parameters.use_expln != 0, parameters.log_std.value[k * ACTION_DIM + j],
                                   sigma, derivative);
                row[j] *= sigma;
            }
        }
    }

    // Rows `first` to `end - 1` of sigma, epsilon and what is made of them.
    template <typename MATH_DEVICE, typename SPEC>
    void sample_step_noise_rows(const MATH_DEVICE& device, const Parameters<typename SPEC::T>& parameters,
                                const philox::Engine& engine, std::size_t first, std::size_t end,
                                StepNoise<SPEC>& noise) {
        using T = typename SPEC::T;
        constexpr std::size_t ACTION_DIM = SPEC::ACTION_DIM;
        for (std::size_t k = first; k < end; k++) {
            philox::normal<ACTION_DIM, 1>(engine, philox::Stream::NOISE_MATRIX, static_cast<std::uint32_t>(k),
                                          noise.normal + k * ACTION_DIM);
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                const std::size_t i = k * ACTION_DIM + j, transposed = j * SPEC::LATENT_DIM + k;
                T& sigma = noise.standard_deviation[i];
                standard_deviation(device, parameters.use_expln != 0, parameters.log_std.value[i], sigma,
                                   noise.derivative[i]);
                noise.weights[transposed] = sigma * noise.normal[i];
                noise.variances[transposed] = sigma * sigma;
            }
        }
    }

    // W[LATENT_DIM][ACTION_DIM] = sigma epsilon and sigma^2, for the whole batch of one gradient step.
    template <typename DEVICE, typename SPEC>
    void sample_step_noise(DEVICE& device, const Parameters<typename SPEC::T>& parameters, const philox::Engine& engine,
                           StepNoise<SPEC>& noise) {
        constexpr std::size_t BLOCK = devices::tuning::NOISE_MATRIX_ROWS_PER_TASK;
        device.thread_pool.parallel_for(panel::n_blocks(SPEC::LATENT_DIM, BLOCK), [&](std::uint32_t task, unsigned) {
            const std::size_t first = task * BLOCK;
            const std::size_t end = first + BLOCK < SPEC::LATENT_DIM ? first + BLOCK : SPEC::LATENT_DIM;
            sample_step_noise_rows(device.math, parameters, engine, first, end, noise);
        });
    }

    // No sample has noise of its own.
    template <typename SPEC>
    void sample_noise(const philox::Engine&, philox::Stream, std::uint32_t, std::size_t, Panel<SPEC>&) {}

    // a = tanh(u), u = clip(mean) + noise, noise = W^T latent, W = sigma epsilon
    // s^2 = (sigma^2)^T latent^2 + 1e-6
    // u' = atanh(clip(a)), because SB3 forgets u; |clip(a)| <= 1 - machine epsilon
    // log pi = sum over actions of -(u' - mean)^2 / (2 s^2) - log(s^2) / 2 - log(2 pi) / 2 - log(1 - tanh(u')^2 + 1e-6)
    //
    // a, s^2 [ACTION_DIM][PANEL_LANES]; log pi [PANEL_LANES]; latent [LATENT_DIM][PANEL_LANES]; `output` is mean, then
    // noise, of the shape of a.
    template <typename DEVICE, typename SPEC>
    void sample_action(DEVICE& device, const Parameters<typename SPEC::T>& parameters, const StepNoise<SPEC>& noise,
                       const typename SPEC::T* latent, const typename SPEC::T* output, Panel<SPEC>& panel,
                       Scratch<SPEC>& scratch) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES, N = SPEC::ACTION_DIM * LANES;
        constexpr T LARGEST_ACTION = T(1) - std::numeric_limits<T>::epsilon();
        const T clip_mean = static_cast<T>(parameters.clip_mean);
        for (std::size_t i = 0; i < SPEC::LATENT_DIM * LANES; i++) {
            scratch.squares[i] = latent[i] * latent[i];
        }
        T* variance = panel.standard_deviation;
        dense::forward<SPEC::LATENT_DIM, SPEC::ACTION_DIM, LANES, dense::Identity>(
            device, noise.variances, noise.variance_biases, scratch.squares, variance);
        for (std::size_t lane = 0; lane < LANES; lane++) {
            panel.log_probability[lane] = 0;
        }
        for (std::size_t row = 0; row < N; row += LANES) {
            for (std::size_t lane = 0; lane < LANES; lane++) {
                const std::size_t i = row + lane;
                const T mean = math::clamp(device.math, output[i], -clip_mean, clip_mean);
                const T action = simd::tanh(mean + output[N + i]);
                const T inner_action = math::clamp(device.math, action, -LARGEST_ACTION, LARGEST_ACTION);
                const T u = T(0.5) * (std::log1p(inner_action) - std::log1p(-inner_action));
                const T deviation = u - mean;
                const T squashed = simd::tanh(u);
                panel.log_probability[lane] += -(deviation * deviation) / (T(2) * variance[i]) -
                                               T(0.5) * simd::log(variance[i]) - HALF_LOG_TWO_PI<T> -
                                               simd::log(T(1) - squashed * squashed + SQUASH_EPSILON<T>);
                panel.standard_deviation[i] = math::sqrt(device.math, variance[i]);
                panel.deviation[i] = deviation;
                panel.action[i] = action;
            }
        }
    }

    // The gradient of L = mean over the batch of (alpha log pi - Q) with respect to mean, noise and s^2.
    //
    // forward: u = mean + noise, a = tanh(u), u' = atanh(clip(a)), delta = u' - mean
    //          log pi = -delta^2 / (2 s^2) - log(s^2) / 2 - log(1 - tanh(u')^2 + c) + const
    // With k = alpha / BATCH_SIZE (`d_log_probability`) and du'/du = 1 where a is not clipped (atanh takes back what
    // tanh did), 0 where it is, the three terms of L that contain u give it
    //          by way of Q:        d_a (1 - a^2)
    //          by the squash:      d_squash = k 2 a (1 - a^2) / (1 - a^2 + c), if a is not clipped
    //          by the Gaussian:    -d_alone = -k delta / s^2, if a is not clipped
    // and the mean by itself, for a given u', +d_alone. As du/d_noise = du/d_mean = 1:
    //          d_noise = d_a (1 - a^2) + (d_squash - d_alone if a is not clipped)
    //          d_mean  = d_noise + d_alone = d_a (1 - a^2) + (d_squash if a is not clipped, else d_alone)
    //          d_s2    = k (delta^2 / s^2 - 1) / (2 s^2)
    // d_mean is 0 where the mean was clipped.
    //
    // `d_action` [ACTION_DIM][PANEL_LANES] is the gradient of mean(-Q); `d_output` has the shape of `output`, d_s2 that
    // of d_action and goes to panel `p` of `gradients`. Lanes from `n_samples` on become 0.
    template <typename SPEC, std::size_t N_PANELS>
    void sample_action_gradient(typename SPEC::T d_log_probability, const Parameters<typename SPEC::T>& parameters,
                                const typename SPEC::T* output, const Panel<SPEC>& panel,
                                const typename SPEC::T* d_action, std::size_t n_samples, std::size_t p,
                                typename SPEC::T* d_output, Gradients<SPEC, N_PANELS>& gradients) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES, N = SPEC::ACTION_DIM * LANES;
        constexpr T LARGEST_ACTION = T(1) - std::numeric_limits<T>::epsilon();
        const T clip_mean = static_cast<T>(parameters.clip_mean);
        T* d_variance = gradients.variance(p);
        for (std::size_t i = 0; i < N; i++) {
            const T action = panel.action[i], s = panel.standard_deviation[i], deviation = panel.deviation[i];
            const T one_minus_square = T(1) - action * action;
            const bool is_inner = action >= -LARGEST_ACTION && action <= LARGEST_ACTION;
            const T d_squash =
                d_log_probability * T(2) * action * one_minus_square / (one_minus_square + SQUASH_EPSILON<T>);
            const T d_alone = d_log_probability * deviation / (s * s);
            const T d_noise = d_action[i] * one_minus_square + (is_inner ? d_squash - d_alone : T(0));
            const T d_mean = d_action[i] * one_minus_square + (is_inner ? d_squash : d_alone);
            const bool is_padding = i % LANES >= n_samples;
            const bool is_clipped = output[i] <= -clip_mean || output[i] >= clip_mean;
            d_output[i] = is_padding || is_clipped ? T(0) : d_mean;
            d_output[N + i] = is_padding ? T(0) : d_noise;
            d_variance[i] =
                is_padding ? T(0) : d_log_probability * (deviation * deviation / (s * s) - T(1)) / (T(2) * s * s);
        }
    }

    // What the features receive through s^2, beside what the heads give them.
    //
    // forward: s^2_j = sum over k of (sigma^2)_kj latent_k^2 + 1e-6
    //          d_latent_k = latent_k sum over j of 2 (sigma^2)_kj d_s2_j
    //
    // A line of samples from `first_sample` on, of row k of [LATENT_DIM][PANEL_LANES].
    template <typename SPEC>
    struct VarianceGradient {
        using T = typename SPEC::T;
        const StepNoise<SPEC>& noise;
        const T* latent;
        const T* d_variance;

        RL_TOOLS_INLINE panel::Line<T> operator()(std::size_t k, std::size_t first_sample) const {
            panel::Line<T> sum = dense::constant_line(T{0});
            for (std::size_t j = 0; j < SPEC::ACTION_DIM; j++) {
                panel::multiply_accumulate(sum, T(2) * noise.variances[j * SPEC::LATENT_DIM + k],
                                           panel::load_line(d_variance + j * SPEC::PANEL_LANES + first_sample));
            }
            panel::Line<T> result = dense::constant_line(T{0});
            panel::multiply_accumulate(result, sum, panel::load_line(latent + k * SPEC::PANEL_LANES + first_sample));
            return result;
        }
    };

    template <typename SPEC, std::size_t N_PANELS>
    VarianceGradient<SPEC> latent_gradient(const StepNoise<SPEC>& noise, const typename SPEC::T* latent, std::size_t p,
                                           const Gradients<SPEC, N_PANELS>& gradients) {
        return {noise, latent, gradients.variance(p)};
    }

    // Adam's step of log_std.
    //
    // forward: W_kj = sigma_kj epsilon_kj, noise_j = sum over k of W_kj latent_k,
    //          s^2_j = sum over k of sigma_kj^2 latent_k^2 + 1e-6
    //          d_W_kj       = sum over the batch of latent_k d_noise_j
    //          d_(sigma^2)_kj = sum over the batch of latent_k^2 d_s2_j
    //          d_sigma_kj   = epsilon_kj d_W_kj + 2 sigma_kj d_(sigma^2)_kj
    //          d_log_std_kj = d_sigma_kj (d_sigma/d_log_std)_kj
    //
    // `latent` holds panels of [LATENT_DIM][PANEL_LANES], `d_output` of [N_HEADS ACTION_DIM][PANEL_LANES]: d_mean, then
    // d_noise.
    template <typename SPEC, std::size_t N_PANELS>
    void update(const adam::Step<typename SPEC::T>& step, const Parameters<typename SPEC::T>& parameters,
                const StepNoise<SPEC>& noise, const typename SPEC::T* latent, const typename SPEC::T* d_output,
                const Gradients<SPEC, N_PANELS>& gradients, Scratch<SPEC>& scratch) {
        using T = typename SPEC::T;
        constexpr std::size_t LATENT_DIM = SPEC::LATENT_DIM, ACTION_DIM = SPEC::ACTION_DIM, LANES = SPEC::PANEL_LANES;
        dense::weight_gradient_of_few_rows<LATENT_DIM, ACTION_DIM, 2 * ACTION_DIM, N_PANELS, LANES>(
            d_output + ACTION_DIM * LANES, latent, scratch.d_weights, [](const panel::Line<T>& x) { return x; });
        dense::weight_gradient_of_few_rows<LATENT_DIM, ACTION_DIM, ACTION_DIM, N_PANELS, LANES>(
            gradients.variance(0), latent, scratch.d_variances, [](const panel::Line<T>& x) {
                panel::Line<T> square = dense::constant_line(T{0});
                panel::multiply_accumulate(square, x, x);
                return square;
            });
        for (std::size_t k = 0; k < LATENT_DIM; k++) {
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                const std::size_t i = k * ACTION_DIM + j, transposed = j * LATENT_DIM + k;
                const T d_sigma = noise.normal[i] * scratch.d_weights[transposed] +
                                  T(2) * noise.standard_deviation[i] * scratch.d_variances[transposed];
                scratch.d_log_std[i] = d_sigma * noise.derivative[i];
            }
        }
        adam::update<T>(step, scratch.d_log_std, parameters.log_std, 0, LATENT_DIM * ACTION_DIM);
    }

    // Torch counts the steps of each parameter on its own.
    template <typename T>
    void count_step(const Parameters<T>& parameters) {
        *parameters.log_std.step += 1;
    }

    template <typename DEVICE, typename T>
    T bounded_mean(DEVICE& device, const Parameters<T>& parameters, T mean) {
        const T clip_mean = static_cast<T>(parameters.clip_mean);
        return math::clamp(device.math, mean, -clip_mean, clip_mean);
    }

    // Adds W^T latent to `target` [ACTION_DIM], with the matrix W of observation `i`; latent [LATENT_DIM].
    template <typename DEVICE, typename SPEC>
    void exploration_noise(DEVICE&, StateDependentNoise<SPEC>, const Parameters<typename SPEC::T>&,
                           const ActionNoise<typename SPEC::T>& noise, std::size_t i, const typename SPEC::T* latent,
                           const typename SPEC::T*, typename SPEC::T* target) {
        using T = typename SPEC::T;
        if (!noise.matrices) {
            return;
        }
        const T* matrix = noise.matrices + i * noise.matrix_stride;
        for (std::size_t k = 0; k < SPEC::LATENT_DIM; k++) {
            for (std::size_t j = 0; j < SPEC::ACTION_DIM; j++) {
                target[j] += latent[k] * matrix[k * SPEC::ACTION_DIM + j];
            }
        }
    }
}

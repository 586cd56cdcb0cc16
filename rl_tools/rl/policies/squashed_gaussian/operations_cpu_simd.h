#pragma once

#include <rl_tools/devices/cpu_simd.h>
#include <rl_tools/nn/optimizers/torch_adam/torch_adam.h>
#include <rl_tools/nn_models/panel_mlp/operations_cpu_simd.h>
#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/policies/squashed_gaussian/squashed_gaussian.h>
#include <rl_tools/utils/simd/math.h>

namespace rl_tools::rl::policies::squashed_gaussian {
    namespace philox = random::philox;

    // Here and below: what `policies/policy.h` asks for and this policy has no use for.
    template <typename SPEC, typename ACTOR>
    void initialise(StepNoise<SPEC>&, nn_models::panel_mlp::Parameters<ACTOR>&) {}

    template <typename DEVICE, typename SPEC>
    void sample_step_noise(DEVICE&, const Parameters<typename SPEC::T>&, const philox::Engine&, StepNoise<SPEC>&) {}

    // epsilon[ACTION_DIM][PANEL_LANES] of `n_samples` samples from `first_sample` on, and 0 in the lanes behind them.
    template <typename SPEC>
    void sample_noise(const philox::Engine& engine, philox::Stream stream, std::uint32_t first_sample,
                      std::size_t n_samples, Panel<SPEC>& panel) {
        philox::normal<SPEC::ACTION_DIM, SPEC::PANEL_LANES>(engine, stream, first_sample, panel.noise);
        for (std::size_t row = 0; row < SPEC::ACTION_DIM; row++) {
            for (std::size_t lane = n_samples; lane < SPEC::PANEL_LANES; lane++) {
                panel.noise[row * SPEC::PANEL_LANES + lane] = 0;
            }
        }
    }

    // The bounds of log_std in the networks' type.
    template <typename T>
    struct LogStdBounds {
        T min, max;

        explicit LogStdBounds(const Parameters<T>& parameters)
            : min(static_cast<T>(parameters.log_std_min)), max(static_cast<T>(parameters.log_std_max)) {}

        // As torch's `clamp`: the upper bound wins.
        T clip(T log_std) const {
            const T raised = log_std < min ? min : log_std;
            return raised > max ? max : raised;
        }
        bool has_clipped(T log_std) const { return log_std < min || log_std > max; }
    };

    // a = tanh(u), u = mean + sigma epsilon, sigma = exp(clip(log_std))
    // log pi = sum over actions of -(u - mean)^2 / (2 sigma^2) - log(sigma) - log(2 pi) / 2 - log(1 - a^2 + 1e-6)
    //
    // a, epsilon [ACTION_DIM][PANEL_LANES]; log pi [PANEL_LANES]; `output` is mean, then log_std, of the same shape.
    template <typename DEVICE, typename SPEC>
    void sample_action(DEVICE&, const Parameters<typename SPEC::T>& parameters, const StepNoise<SPEC>&,
                       const typename SPEC::T*, const typename SPEC::T* output, Panel<SPEC>& panel, Scratch<SPEC>&) {
        using T = typename SPEC::T;
        const LogStdBounds<T> bounds(parameters);
        constexpr std::size_t LANES = SPEC::PANEL_LANES, N = SPEC::ACTION_DIM * LANES;
        for (std::size_t lane = 0; lane < LANES; lane++) {
            panel.log_probability[lane] = 0;
        }
        for (std::size_t row = 0; row < N; row += LANES) {
            for (std::size_t lane = 0; lane < LANES; lane++) {
                const std::size_t i = row + lane;
                const T log_std = bounds.clip(output[N + i]);
                const T sigma = utils::simd::math::exp(log_std);
                const T u = output[i] + sigma * panel.noise[i];
                const T deviation = u - output[i];
                const T action = utils::simd::math::tanh(u);
                panel.standard_deviation[i] = sigma;
                panel.deviation[i] = deviation;
                panel.action[i] = action;
                panel.log_probability[lane] += -(deviation * deviation) / (T(2) * sigma * sigma) - log_std -
                                               HALF_LOG_TWO_PI<T> -
                                               utils::simd::math::log(T(1) - action * action + SQUASH_EPSILON<T>);
            }
        }
    }

    // The gradient of L = mean over the batch of (alpha log pi - Q) with respect to mean and log_std.
    //
    // forward: u = mean + sigma epsilon, a = tanh(u), z = (u - mean) / sigma
    //          log pi = -z^2 / 2 - log(sigma) - log(1 - a^2 + c) + const
    // With k = alpha / BATCH_SIZE (`d_log_probability`), da/du = 1 - a^2 and d(-log(1 - a^2 + c))/da =
    // 2 a / (1 - a^2 + c), what reaches u by way of a is
    //          d_u = (d_a + k 2 a / (1 - a^2 + c)) (1 - a^2)
    // The term -z^2 / 2 gives u the gradient -k z / sigma and the mean itself +k z / sigma. As du/d_mean = 1, they
    // cancel exactly and are left out:
    //          d_mean = d_u
    // As du/d_log_std = sigma epsilon, and d(-z^2 / 2 - log(sigma))/d_log_std = z^2 - 1 for a given u:
    //          d_log_std = d_u sigma epsilon + k (z^2 - z epsilon - 1),  0 where log_std was clipped
    // z is epsilon but for the rounding of u - mean, which torch keeps, and so do we.
    //
    // `d_action` [ACTION_DIM][PANEL_LANES] is the gradient of mean(-Q); `d_output` has the shape of `output`. Lanes
    // from `n_samples` on become 0.
    template <typename SPEC, std::size_t N_PANELS>
    void sample_action_gradient(typename SPEC::T d_log_probability, const Parameters<typename SPEC::T>& parameters,
                                const typename SPEC::T* output, const Panel<SPEC>& panel,
                                const typename SPEC::T* d_action, std::size_t n_samples, std::size_t,
                                typename SPEC::T* d_output, Gradients<SPEC, N_PANELS>&) {
        using T = typename SPEC::T;
        constexpr std::size_t LANES = SPEC::PANEL_LANES, N = SPEC::ACTION_DIM * LANES;
        const LogStdBounds<T> bounds(parameters);
        for (std::size_t i = 0; i < N; i++) {
            const T action = panel.action[i], sigma = panel.standard_deviation[i];
            const T one_minus_square = T(1) - action * action;
            const T d_u = (d_action[i] + d_log_probability * T(2) * action / (one_minus_square + SQUASH_EPSILON<T>)) *
                          one_minus_square;
            const T z = panel.deviation[i] / sigma;
            const T d_log_std = d_u * sigma * panel.noise[i] + d_log_probability * (z * (z - panel.noise[i]) - T(1));
            const T log_std = output[N + i];
            const bool is_padding = i % LANES >= n_samples;
            const bool is_clipped = bounds.has_clipped(log_std);
            d_output[i] = is_padding ? T(0) : d_u;
            d_output[N + i] = is_padding || is_clipped ? T(0) : d_log_std;
        }
    }

    // The heads are the only way from the features to the action.
    template <typename SPEC, std::size_t N_PANELS>
    auto latent_gradient(const StepNoise<SPEC>&, const typename SPEC::T*, std::size_t,
                         const Gradients<SPEC, N_PANELS>&) {
        return nn_models::panel_mlp::ZeroGradient<typename SPEC::T>{};
    }

    template <typename T>
    void count_step(const Parameters<T>&) {}

    template <typename DEVICE, typename T>
    T bounded_mean(DEVICE&, const Parameters<T>&, T mean) {
        return mean;
    }

    // Adds sigma epsilon to `target` [ACTION_DIM] for observation `i`; `log_std` [ACTION_DIM] is the actor's second
    // head.
    template <typename DEVICE, typename SPEC>
    void exploration_noise(DEVICE& device, SquashedGaussian<SPEC>, const Parameters<typename SPEC::T>& parameters,
                           const ActionNoise<typename SPEC::T>& noise, std::size_t i, const typename SPEC::T*,
                           const typename SPEC::T* log_std, typename SPEC::T* target) {
        using T = typename SPEC::T;
        constexpr std::size_t ACTION_DIM = SPEC::ACTION_DIM;
        if (!noise.engine && !noise.normal) {
            return;
        }
        if (noise.engine) {
            philox::normal<ACTION_DIM, 1>(*noise.engine, philox::Stream::EXPLORATION_NOISE,
                                          static_cast<std::uint32_t>(i), target);
        } else {
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                target[j] = static_cast<T>(noise.normal[i * ACTION_DIM + j]);
            }
        }
        const LogStdBounds<T> bounds(parameters);
        for (std::size_t j = 0; j < ACTION_DIM; j++) {
            target[j] *= math::exp(device.math, bounds.clip(log_std[j]));
        }
    }
}

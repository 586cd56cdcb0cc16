#pragma once

#include <rl_tools/nn/torch_activation/torch_activation.h>
#include <rl_tools/utils/simd/math.h>

namespace rl_tools::nn::torch_activation {
    // f(x) and f'(x) by the formulas of torch/nn/modules/activation.py, without branches: loops over it are to be
    // vectorised. What the caller does not use is not computed.
    template <typename ACTIVATION, typename T>
    RL_TOOLS_INLINE Point<T> evaluate(T x) {
        namespace simd = utils::simd::math;
        constexpr Function F = ACTIVATION::FUNCTION;
        static_assert(!is_differentiated_by_value(F));
        if constexpr (F == Function::TANH) {
            const T y = simd::tanh(x);
            return {y, T(1) - y * y};
        } else if constexpr (F == Function::ELU) {
            constexpr T ALPHA = T(ACTIVATION::ALPHA);
            const bool is_positive = x > 0;
            const T y = ALPHA * simd::expm1(is_positive ? T(0) : x);
            return {is_positive ? x : y, is_positive ? T(1) : y + ALPHA};
        } else if constexpr (F == Function::LEAKY_RELU) {
            const T slope = x > 0 ? T(1) : T(ACTIVATION::NEGATIVE_SLOPE);
            return {x * slope, slope};
        } else if constexpr (F == Function::GELU) {
            const auto [cumulative, density] = simd::normal(x);
            return {x * cumulative, cumulative + x * density};
        } else if constexpr (F == Function::GELU_TANH) {
            constexpr T SCALE = T(0.79788456080286535588), CUBIC = T(0.044715);  // sqrt(2 / pi)
            const T tanh = simd::tanh(SCALE * (x + CUBIC * x * x * x));
            const T weight = T(0.5) * (T(1) + tanh);
            const T d_argument = SCALE * (T(1) + T(3) * CUBIC * x * x);
            return {x * weight, weight + T(0.5) * x * (T(1) - tanh * tanh) * d_argument};
        } else if constexpr (F == Function::SILU) {
            const T sigmoid = simd::sigmoid(x);
            return {x * sigmoid, sigmoid * (T(1) + x * (T(1) - sigmoid))};
        } else if constexpr (F == Function::SIGMOID) {
            const T y = simd::sigmoid(x);
            return {y, y * (T(1) - y)};
        } else {
            static_assert(F == Function::SOFTPLUS);
            constexpr T BETA = T(ACTIVATION::BETA), THRESHOLD = T(ACTIVATION::THRESHOLD);
            const T scaled = BETA * x;
            const bool is_linear = scaled > THRESHOLD;
            // log(1 + e^s) = max(s, 0) + log(1 + e^-|s|), which can't overflow.
            const T e = simd::exp(-std::fabs(scaled));
            const T y = ((scaled > 0 ? scaled : T(0)) + simd::log1p_of_fraction(e)) / BETA;
            const T sigmoid = (scaled < 0 ? e : T(1)) / (T(1) + e);
            return {is_linear ? x : y, is_linear ? T(1) : sigmoid};
        }
    }

    // y = f(y)
    template <typename ACTIVATION, typename T>
    RL_TOOLS_NOINLINE void activate(T* y, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            y[i] = evaluate<ACTIVATION>(y[i]).value;
        }
    }

    // y = f(y), and the derivative there.
    template <typename ACTIVATION, typename T>
    RL_TOOLS_NOINLINE void activate(T* RL_TOOLS_RESTRICT y, T* RL_TOOLS_RESTRICT derivative, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            const Point<T> point = evaluate<ACTIVATION>(y[i]);
            y[i] = point.value;
            derivative[i] = point.derivative;
        }
    }
}

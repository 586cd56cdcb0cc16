#pragma once
// Activation functions y = f(x) as torch.nn defines them (torch/nn/modules/activation.py), one structure for each.
// RLtools' enumeration lacks most of them, and its GELU is another. Their twin in Python is the table in
// sb3_tinyrl/activations.py.
//
// A function is of one of two kinds, told apart by its base:
//
//   DerivativeFromValue    y says enough to pass a gradient, as for ReLU: `value` and `gradient` take scalars and
//   vectors
//                          alike, and a layer applies them in registers.
//   DerivativeKept         the forward pass keeps f'(x) beside y: `value_and_derivative` takes scalars and has neither
//                          branches nor calls, since loops over it are to be vectorised. What the caller does not use
//                          is not computed.
//
// A function with constants is a template over a structure that has them as `static constexpr double`; kernel_spec.h
// defines one.

#include <rl_tools/utils/simd/math.h>

namespace rl_tools::nn::torch_activation {
    namespace simd = utils::simd::math;

    struct DerivativeFromValue {
        static constexpr bool KEEPS_DERIVATIVE = false;
    };

    struct DerivativeKept {
        static constexpr bool KEEPS_DERIVATIVE = true;

        // dx = dy f'(x)
        template <typename X>
        RL_TOOLS_INLINE static X gradient(const X& derivative, const X& d_y) {
            return d_y * derivative;
        }
    };

    // f(x) and f'(x).
    template <typename T>
    struct Point {
        T value;
        T derivative;
    };

    // y = x
    struct Identity : DerivativeFromValue {
        template <typename X>
        RL_TOOLS_INLINE static X value(const X& x) {
            return x;
        }

        // dx = dy
        template <typename X>
        RL_TOOLS_INLINE static X gradient(const X&, const X& d_y) {
            return d_y;
        }
    };

    // y = max(x, 0); NaN stays NaN, as in torch.
    struct Relu : DerivativeFromValue {
        template <typename X>
        RL_TOOLS_INLINE static X value(const X& x) {
            const X zero = {};
            return x < zero ? zero : x;
        }

        // dx = dy where y > 0, none where y = 0; all of it where y is NaN, as in torch.
        template <typename X>
        RL_TOOLS_INLINE static X gradient(const X& y, const X& d_y) {
            const X zero = {};
            return y <= zero ? zero : d_y;
        }
    };

    // y = tanh(x), y' = 1 - y^2
    struct Tanh : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            const T y = simd::tanh(x);
            return {y, T(1) - y * y};
        }
    };

    // y = x for x > 0, ALPHA (e^x - 1) else;  y' = 1 for x > 0, y + ALPHA else
    template <typename CONSTANTS>
    struct Elu : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            constexpr T ALPHA = T(CONSTANTS::ALPHA);
            const bool is_positive = x > 0;
            const T y = ALPHA * simd::expm1(is_positive ? T(0) : x);
            return {is_positive ? x : y, is_positive ? T(1) : y + ALPHA};
        }
    };

    // y = x for x > 0, NEGATIVE_SLOPE x else
    template <typename CONSTANTS>
    struct LeakyRelu : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            const T slope = x > 0 ? T(1) : T(CONSTANTS::NEGATIVE_SLOPE);
            return {x * slope, slope};
        }
    };

    // y = x P(x), y' = P(x) + x p(x), with distribution P and density p of the standard normal
    struct Gelu : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            const auto [cumulative, density] = simd::normal(x);
            return {x * cumulative, cumulative + x * density};
        }
    };

    // torch.nn.GELU(approximate="tanh"): y = x w, w = (1 + tanh(u)) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
    // y' = w + x (1 - tanh(u)^2) u' / 2, u' = sqrt(2 / pi) (1 + 3 0.044715 x^2)
    struct GeluTanh : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            constexpr T SCALE = T(0.79788456080286535588), CUBIC = T(0.044715);  // sqrt(2 / pi)
            const T tanh = simd::tanh(SCALE * (x + CUBIC * x * x * x));
            const T weight = T(0.5) * (T(1) + tanh);
            const T d_argument = SCALE * (T(1) + T(3) * CUBIC * x * x);
            return {x * weight, weight + T(0.5) * x * (T(1) - tanh * tanh) * d_argument};
        }
    };

    // y = x s(x), y' = s (1 + x (1 - s)), with s(x) = 1 / (1 + e^-x)
    struct Silu : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            const T sigmoid = simd::sigmoid(x);
            return {x * sigmoid, sigmoid * (T(1) + x * (T(1) - sigmoid))};
        }
    };

    // y = 1 / (1 + e^-x), y' = y (1 - y)
    struct Sigmoid : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            const T y = simd::sigmoid(x);
            return {y, y * (T(1) - y)};
        }
    };

    // y = log(1 + e^(BETA x)) / BETA, y' = 1 / (1 + e^-(BETA x));  y = x, y' = 1 where BETA x > THRESHOLD
    template <typename CONSTANTS>
    struct Softplus : DerivativeKept {
        template <typename T>
        RL_TOOLS_INLINE static Point<T> value_and_derivative(T x) {
            constexpr T BETA = T(CONSTANTS::BETA), THRESHOLD = T(CONSTANTS::THRESHOLD);
            const T scaled = BETA * x;
            const bool is_linear = scaled > THRESHOLD;
            // log(1 + e^s) = max(s, 0) + log(1 + e^-|s|), which can't overflow.
            const T e = simd::exp(-std::fabs(scaled));
            const T y = ((scaled > 0 ? scaled : T(0)) + simd::log1p_of_fraction(e)) / BETA;
            const T sigmoid = (scaled < 0 ? e : T(1)) / (T(1) + e);
            return {is_linear ? x : y, is_linear ? T(1) : sigmoid};
        }
    };
}

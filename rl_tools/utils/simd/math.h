#pragma once
// Elementary functions without branches or calls, so that a loop over them becomes vector instructions: compilers do
// not vectorise those of <cmath> unless they may reorder arithmetic. NaN stays NaN; errors are given in units in the
// last place of the result and are held to by tests/rl_tools/math_test.cpp.

#include <cmath>
#include <cstdint>
#include <cstring>

#include <rl_tools/utils/simd/vector.h>

namespace rl_tools::utils::simd::math {
    // IEEE 754's formats, and what their precision makes of the constants below.
    template <typename T>
    struct Format;

    template <>
    struct Format<float> {
        using BITS = std::uint32_t;
        static constexpr BITS BIAS = 127, MANTISSA = 23;
        static constexpr float LN_2_HIGH = 0.693145751953125f;  // 15 bits: its products with exponents are exact
        static constexpr float LN_2_LOW = 1.4286068203094172e-06f;
        static constexpr float EXP_IS_ZERO = -105, EXP_IS_INFINITE = 89, EXPM1_IS_MINUS_ONE = -20;
    };

    template <>
    struct Format<double> {
        using BITS = std::uint64_t;
        static constexpr BITS BIAS = 1023, MANTISSA = 52;
        static constexpr double LN_2_HIGH = 0.69314718055989033019;  // 42 bits
        static constexpr double LN_2_LOW = 5.497923018708371e-14;
        static constexpr double EXP_IS_ZERO = -746, EXP_IS_INFINITE = 710, EXPM1_IS_MINUS_ONE = -40;
    };

    // Added to a number of moderate size, it leaves the nearest integer in the last bits.
    template <typename T>
    inline constexpr T ROUNDING = T(3) * T(typename Format<T>::BITS(1) << (Format<T>::MANTISSA - 1));

    template <typename T>
    RL_TOOLS_INLINE typename Format<T>::BITS to_bits(T x) {
        typename Format<T>::BITS bits;
        std::memcpy(&bits, &x, sizeof(x));
        return bits;
    }

    template <typename T>
    RL_TOOLS_INLINE T from_bits(typename Format<T>::BITS bits) {
        T x;
        std::memcpy(&x, &bits, sizeof(x));
        return x;
    }

    template <typename T>
    RL_TOOLS_INLINE T round(T x) {
        return (x + ROUNDING<T>)-ROUNDING<T>;
    }

    // 2^k for an integer k within the range of normal numbers.
    template <typename T>
    RL_TOOLS_INLINE T power_of_two(T k) {
        return from_bits<T>((to_bits(k + ROUNDING<T>) + Format<T>::BIAS) << Format<T>::MANTISSA);
    }

    // c_0 + c_1 x + c_2 x^2 + ...
    template <typename T>
    RL_TOOLS_INLINE T polynomial(T, T last) {
        return last;
    }
    template <typename T, typename... REST>
    RL_TOOLS_INLINE T polynomial(T x, T first, REST... rest) {
        return first + x * polynomial(x, rest...);
    }

    // x = k ln(2) + r, |r| <= ln(2) / 2
    template <typename T>
    struct Reduced {
        T k;
        T r;
    };
    template <typename T>
    RL_TOOLS_INLINE Reduced<T> reduce(T x) {
        const T k = round(x * T(1.44269504088896340736));
        return {k, (x - k * Format<T>::LN_2_HIGH) - k * Format<T>::LN_2_LOW};
    }

    // e^r - 1 for a reduced argument: its Taylor series, cut off below 2^-26 (float) and 2^-56 (double) of the sum.
    template <typename T>
    RL_TOOLS_INLINE T expm1_of_reduced(T r) {
        if constexpr (sizeof(T) == sizeof(float)) {
            return r +
                   r * r *
                       polynomial(r, T(1.0 / 2), T(1.0 / 6), T(1.0 / 24), T(1.0 / 120), T(1.0 / 720), T(1.0 / 5040));
        } else {
            return r + r * r *
                           polynomial(r, T(1.0 / 2), T(1.0 / 6), T(1.0 / 24), T(1.0 / 120), T(1.0 / 720), T(1.0 / 5040),
                                      T(1.0 / 40320), T(1.0 / 362880), T(1.0 / 3628800), T(1.0 / 39916800),
                                      T(1.0 / 479001600), T(1.0 / 6227020800));
        }
    }

    // Two units at most; underflows to denormals and zero, overflows to infinity.
    template <typename T>
    RL_TOOLS_INLINE T exp(T x) {
        x = x < Format<T>::EXP_IS_ZERO ? Format<T>::EXP_IS_ZERO : x;
        x = x > Format<T>::EXP_IS_INFINITE ? Format<T>::EXP_IS_INFINITE : x;
        const auto [k, r] = reduce(x);
        // In two steps, as 2^k alone may be out of range.
        const T half = round(k * T(0.5));
        return (T(1) + expm1_of_reduced(r)) * power_of_two(half) * power_of_two(k - half);
    }

    // e^x - 1, accurate near zero. Three units at most.
    template <typename T>
    RL_TOOLS_INLINE T expm1(T x) {
        x = x < Format<T>::EXPM1_IS_MINUS_ONE ? Format<T>::EXPM1_IS_MINUS_ONE : x;
        x = x > Format<T>::EXP_IS_INFINITE ? Format<T>::EXP_IS_INFINITE : x;
        const auto [k, r] = reduce(x);
        const T half_scale = power_of_two(k - T(1));  // 2^k itself may be infinite
        return T(2) * (expm1_of_reduced(r) * half_scale + (half_scale - T(0.5)));
    }

    // log(1 + f) = 2 atanh(f / (2 + f)) for sqrt(1/2) - 1 <= f <= sqrt(2) - 1, where the argument of atanh is 0.172 at
    // most: its Taylor series, cut off below 2^-27 (float) and 2^-58 (double) of the sum.
    template <typename T>
    RL_TOOLS_INLINE T log1p_of_reduced(T f) {
        const T s = f / (T(2) + f), square = s * s;
        const T twice = T(2) * s;
        if constexpr (sizeof(T) == sizeof(float)) {
            return twice + twice * square * polynomial(square, T(1.0 / 3), T(1.0 / 5), T(1.0 / 7), T(1.0 / 9));
        } else {
            return twice + twice * square *
                               polynomial(square, T(1.0 / 3), T(1.0 / 5), T(1.0 / 7), T(1.0 / 9), T(1.0 / 11),
                                          T(1.0 / 13), T(1.0 / 15), T(1.0 / 17), T(1.0 / 19), T(1.0 / 21));
        }
    }

    // The natural logarithm of a positive, finite, normal number. Three units at most.
    template <typename T>
    RL_TOOLS_INLINE T log(T x) {
        using BITS = typename Format<T>::BITS;
        constexpr BITS MANTISSA = Format<T>::MANTISSA, BIAS = Format<T>::BIAS;
        // x = 2^k m, sqrt(1/2) <= m < sqrt(2)
        const BITS sqrt_half = to_bits(T(0.70710678118654752440));
        const BITS biased_exponent = (to_bits(x) - sqrt_half + (BIAS << MANTISSA)) >> MANTISSA;
        const T k = from_bits<T>(to_bits(ROUNDING<T>) + biased_exponent) - (ROUNDING<T> + T(BIAS));
        const T m = from_bits<T>(to_bits(x) - ((biased_exponent - BIAS) << MANTISSA));
        const T result = k * Format<T>::LN_2_HIGH + (k * Format<T>::LN_2_LOW + log1p_of_reduced(m - T(1)));
        return x == x ? result : x;
    }

    // log(1 + x) for 0 <= x <= 1, accurate near zero. Three units at most.
    template <typename T>
    RL_TOOLS_INLINE T log1p_of_fraction(T x) {
        const bool is_large = x > T(0.41421356237309504880);
        const T ln_2 = is_large ? T(0.69314718055994530942) : T(0);
        return ln_2 + log1p_of_reduced(is_large ? (x - T(1)) * T(0.5) : x);
    }

    // Three units at most.
    template <typename T>
    RL_TOOLS_INLINE T tanh(T x) {
        const T e = expm1(T(-2) * std::fabs(x));
        return std::copysign(e / (T(2) + e), x);
    }

    // 1 / (1 + e^-x). Three units at most.
    template <typename T>
    RL_TOOLS_INLINE T sigmoid(T x) {
        return T(1) / (T(1) + exp(-x));
    }

    // sin(t) / t and cos(t) for t^2 = `square`, |t| <= pi / 4: their Taylor series, cut off below 2^-27 (float) and
    // 2^-56 (double) of the sum.
    template <typename T>
    RL_TOOLS_INLINE T sinc_of_reduced(T square) {
        if constexpr (sizeof(T) == sizeof(float)) {
            return polynomial(square, T(1), T(-1.0 / 6), T(1.0 / 120), T(-1.0 / 5040), T(1.0 / 362880));
        } else {
            return polynomial(square, T(1), T(-1.0 / 6), T(1.0 / 120), T(-1.0 / 5040), T(1.0 / 362880),
                              T(-1.0 / 39916800), T(1.0 / 6227020800), T(-1.0 / 1307674368000),
                              T(1.0 / 355687428096000));
        }
    }
    template <typename T>
    RL_TOOLS_INLINE T cos_of_reduced(T square) {
        if constexpr (sizeof(T) == sizeof(float)) {
            return polynomial(square, T(1), T(-1.0 / 2), T(1.0 / 24), T(-1.0 / 720), T(1.0 / 40320), T(-1.0 / 3628800));
        } else {
            return polynomial(square, T(1), T(-1.0 / 2), T(1.0 / 24), T(-1.0 / 720), T(1.0 / 40320), T(-1.0 / 3628800),
                              T(1.0 / 479001600), T(-1.0 / 87178291200), T(1.0 / 20922789888000));
        }
    }

    // A point of the unit circle.
    template <typename T>
    struct Direction {
        T cos;
        T sin;
    };
    // cos(2 pi x) and sin(2 pi x) for 0 <= x <= 1. Three units at most, of numbers in [1/2, 1) near the zeros at 1/4,
    // 1/2, 3/4 and 1.
    template <typename T>
    RL_TOOLS_INLINE Direction<T> direction_of_turns(T x) {
        const T quarter = round(T(4) * x);
        const T t = (x - T(0.25) * quarter) * T(6.28318530717958647693), square = t * t;
        const T sin = t * sinc_of_reduced(square), cos = cos_of_reduced(square);
        const bool is_swapped = quarter == T(1) || quarter == T(3);
        const T first = is_swapped ? sin : cos, second = is_swapped ? cos : sin;
        return {quarter == T(1) || quarter == T(2) ? -first : first,
                quarter == T(2) || quarter == T(3) ? -second : second};
    }

    // e^(z^2) erfc(z) for 0 <= z <= 6.25 and its value at 6.25 beyond: the polynomial in u = (4 - 2.28 z) / (4 + z)
    // that meets it in the zeros of the Chebyshev polynomial of degree 11 (float) or 20 (double), which leaves a
    // relative error of 2^-27 or 2^-61.
    template <typename T>
    RL_TOOLS_INLINE T scaled_erfc(T z) {
        z = z > T(6.25) ? T(6.25) : z;
        const T u = (T(4) - T(2.28) * z) / (T(4) + z);
        if constexpr (sizeof(T) == sizeof(float)) {
            return polynomial(u, T(2.843988479e-1), T(3.293337835e-1), T(2.089010324e-1), T(1.089031413e-1),
                              T(4.669097681e-2), T(1.627757275e-2), T(4.481236369e-3), T(9.100872100e-4),
                              T(1.095012486e-4), T(-2.900298700e-6), T(-3.278885162e-6));
        } else {
            return polynomial(u, T(2.84398847914233926e-1), T(3.29333787568098894e-1), T(2.08901031725240800e-1),
                              T(1.08903060095235150e-1), T(4.66909899470657931e-2), T(1.62780302248379365e-2),
                              T(4.48116264738141671e-3), T(9.09028268863462079e-4), T(1.09670369467277753e-4),
                              T(-1.81206473121784749e-6), T(-3.44934564678544896e-6), T(-4.29763707341814288e-7),
                              T(6.35123818875221390e-8), T(2.05643178561105286e-8), T(-8.86230714567979655e-10),
                              T(-8.18230061160894813e-10), T(1.00434457923665006e-11), T(3.28344048883812597e-11),
                              T(-2.99851406387874416e-13), T(-1.15627716545783484e-12));
        }
    }

    // The standard normal distribution at one point.
    template <typename T>
    struct Normal {
        T cumulative;
        T density;
    };
    // Three units of the numbers below 1 at most, 2^-24 (float) or 2^-53 (double); no relative accuracy in the tails.
    template <typename T>
    RL_TOOLS_INLINE Normal<T> normal(T x) {
        const T e = exp(T(-0.5) * x * x);
        const T tail = T(0.5) * scaled_erfc(std::fabs(x) * T(0.70710678118654752440)) * e;
        return {x > 0 ? T(1) - tail : tail, e * T(0.39894228040143267794)};
    }
}

// The activation function of kernel_spec.h: prints x, f(x) and the gradient that passes it in hexadecimal, for
// test_activations.py to compare with PyTorch's, and checks here that the gradient is that of a finite difference, that
// float agrees with double, and that vectors agree with scalars. Exits with 1 when a check fails.

#include <cmath>
#include <cstdio>
#include <limits>

#include "kernel_spec.h"

#include <rl_tools/nn/torch_activation/operations_cpu_simd.h>

namespace rlt = rl_tools;
using ACTIVATION = rlt::kernel_spec::ACTIVATION;

namespace {
    bool failed = false;

    void require(bool condition, const char* what, double x) {
        if (!condition) {
            std::printf("failed: %s at x = %.17g\n", what, x);
            failed = true;
        }
    }

    template <typename T>
    struct Result {
        T value;
        T gradient;
    };

    // f(x), and the gradient with respect to x from `d_y`, by way of what the forward pass leaves behind.
    template <typename F = ACTIVATION, typename T>
    Result<T> evaluate(T x, T d_y) {
        T y = x;
        if constexpr (F::KEEPS_DERIVATIVE) {
            T derivative, alone = x;
            rlt::nn::torch_activation::activate<F>(&y, &derivative, 1);
            rlt::nn::torch_activation::activate<F>(&alone, 1);
            require(alone == y || y != y, "a value is the same with and without its derivative",
                    static_cast<double>(x));
            return {y, F::gradient(derivative, d_y)};
        } else {
            y = F::value(x);
            return {y, F::gradient(y, d_y)};
        }
    }

    void check(double x) {
        const auto [value, gradient] = evaluate(x, 1.0);
        std::printf("%a %a %a\n", x, value, gradient);
        require(std::fabs(evaluate(x, -2.0).gradient + 2 * gradient) <= 1e-15, "the gradient is linear in d_y", x);
        // Central differences; their error is h^2 f'''/6 and the rounding of f divided by h.
        constexpr double H = 1e-5;
        const double difference = (evaluate(x + H, 1.0).value - evaluate(x - H, 1.0).value) / (2 * H);
        require(std::fabs(difference - gradient) < 2e-9, "the gradient is the finite difference", x);

        const float x_float = static_cast<float>(x);
        const auto expected = evaluate(static_cast<double>(x_float), 1.0);
        const auto rounded = evaluate(x_float, 1.0f);
        constexpr double EPSILON = std::numeric_limits<float>::epsilon();
        const double scale = 1 + std::fabs(x);
        require(std::fabs(static_cast<double>(rounded.value) - expected.value) < 4 * EPSILON * scale,
                "float's value agrees with double's", x);
        require(std::fabs(static_cast<double>(rounded.gradient) - expected.gradient) < 4 * EPSILON * scale,
                "float's gradient agrees with double's", x);
    }

    template <typename T, typename F = ACTIVATION>
    void check_special_values() {
        const T nan = std::numeric_limits<T>::quiet_NaN();
        const T value = evaluate(nan, T(1)).value;
        require(value != value, "NaN stays NaN", 0);
        if constexpr (!F::KEEPS_DERIVATIVE) {
            using VECTOR = rlt::utils::simd::Vector<T>;
            for (const T x : {T(-2), T(-0.0), T(0), T(0.5), T(3), nan}) {
                const VECTOR y = F::value(rlt::utils::simd::broadcast(x));
                const VECTOR d_x = F::gradient(y, rlt::utils::simd::broadcast(T(-1.5)));
                const auto expected = evaluate(x, T(-1.5));
                for (std::size_t lane = 0; lane < rlt::utils::simd::LANES<T>; lane++) {
                    require(y[lane] == expected.value || x != x, "a vector's value is a scalar's", x);
                    require(d_x[lane] == expected.gradient, "a vector's gradient is a scalar's", x);
                }
            }
        }
    }
}

int main() {
    // Off zero, where some functions have a kink.
    for (int i = -80; i <= 80; i++) {
        check(0.125 * i + 0.01);
    }
    check_special_values<float>();
    check_special_values<double>();
    return failed ? 1 : 0;
}

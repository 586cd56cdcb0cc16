#pragma once
// Functions that keep their derivative, applied to a layer that has been computed.

#include <type_traits>

#include <rl_tools/nn/torch_activation/torch_activation.h>

namespace rl_tools::nn::torch_activation {
    // What a layer applies to a line in registers: the function where its value says enough for the backward pass, the
    // identity where `activate` follows.
    template <typename ACTIVATION>
    using Fused = std::conditional_t<ACTIVATION::KEEPS_DERIVATIVE, Identity, ACTIVATION>;

    // y[n] = f(y[n])
    template <typename ACTIVATION, typename T>
    RL_TOOLS_NOINLINE void activate(T* y, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            y[i] = ACTIVATION::value_and_derivative(y[i]).value;
        }
    }

    // y[n] = f(y[n]), derivative[n] = f'(y[n]) of the y before
    template <typename ACTIVATION, typename T>
    RL_TOOLS_NOINLINE void activate(T* RL_TOOLS_RESTRICT y, T* RL_TOOLS_RESTRICT derivative, std::size_t n) {
        for (std::size_t i = 0; i < n; i++) {
            const Point<T> point = ACTIVATION::value_and_derivative(y[i]);
            y[i] = point.value;
            derivative[i] = point.derivative;
        }
    }
}

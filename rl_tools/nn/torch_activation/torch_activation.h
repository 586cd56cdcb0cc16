#pragma once
// Activation functions as torch.nn defines them. RLtools' enumeration lacks most of them, and its GELU is another.

#include <rl_tools/rl_tools.h>

namespace rl_tools::nn::torch_activation {
    // What follows a name is a constant of the type that names the function: `struct { static constexpr Function
    // FUNCTION; static constexpr double ALPHA; }`. kernel_spec.h defines one.
    enum class Function {
        IDENTITY,
        RELU,
        TANH,
        ELU,         // ALPHA
        LEAKY_RELU,  // NEGATIVE_SLOPE
        GELU,
        GELU_TANH,  // torch.nn.GELU(approximate="tanh")
        SILU,
        SIGMOID,
        SOFTPLUS,  // BETA, THRESHOLD
    };

    struct Identity {
        static constexpr Function FUNCTION = Function::IDENTITY;
    };

    // Whether the backward pass needs nothing but the value: a layer of these is finished in registers.
    constexpr bool is_differentiated_by_value(Function function) {
        return function == Function::IDENTITY || function == Function::RELU;
    }

    template <typename T>
    struct Point {
        T value;
        T derivative;
    };
}

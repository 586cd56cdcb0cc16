#pragma once
// Adam and AdamW over memory that PyTorch owns: a parameter and its moments are views of torch tensors.

#include <cstddef>
#include <cstdint>

#include <rl_tools/rl_tools.h>

namespace rl_tools::nn::optimizers::torch_adam {
    template <typename T>
    struct Parameter {
        T* value;
        T* exp_avg;         // null for target networks, which no optimiser updates
        T* exp_avg_sq;      // "
        T* max_exp_avg_sq;  // "; null without AMSGrad
        float* step;        // "; torch keeps one scalar for each parameter, in float32
    };

    // Run-time settings; a sweep over them recompiles nothing.
    struct HyperParameters {
        double learning_rate;
        double beta_1;
        double beta_2;
        double epsilon;
        double weight_decay;
        std::int64_t decoupled_weight_decay;  // whether it shrinks the weights (AdamW) or joins the gradient (Adam)
    };

    // The factors of one step, as `torch.optim.Adam` derives them from its hyperparameters in double
    // precision.
    template <typename T>
    struct Step {
        T one_minus_beta_1;
        T beta_2;
        T one_minus_beta_2;
        T step_size;                       // learning_rate / (1 - beta_1^t)
        T inverse_sqrt_bias_correction_2;  // 1 / sqrt(1 - beta_2^t)
        T epsilon;
        T weight_decay;  // what joins the gradient, in parts of the weight
        T shrinkage;     // what becomes of a weight before its step: 1 - learning_rate weight_decay with AdamW
    };
}

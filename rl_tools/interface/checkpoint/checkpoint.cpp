// The C interface of one checkpoint of RLtools: what sb3_tinyrl/_native/abi/checkpoint.py calls through ctypes.
// `kernel_spec.h` is the checkpoint, and comes where RLtools' own programs include theirs.

#include <rl_tools/operations/cpu.h>

#include "kernel_spec.h"

#include <cstdint>
#include <type_traits>

#include <rl_tools/interface/checkpoint/metadata.h>
#include <rl_tools/interface/export.h>
#include <rl_tools/nn/layers/dense/operations_generic.h>
#include <rl_tools/nn/layers/sample_and_squash/operations_generic.h>
#include <rl_tools/nn/layers/standardize/operations_generic.h>
#include <rl_tools/nn/layers/td3_sampling/operations_generic.h>
#include <rl_tools/nn_models/mlp/operations_generic.h>
#include <rl_tools/nn_models/mlp_unconditional_stddev/operations_generic.h>
#include <rl_tools/nn_models/sequential/operations_generic.h>

namespace rlt = rl_tools;

using DEVICE = rlt::devices::DefaultCPU;
using TI = DEVICE::index_t;
using RNG = DEVICE::SPEC::RANDOM::ENGINE<>;
using MODEL = std::decay_t<decltype(rl_tools::kernel_spec::MODEL)>;
using T = typename MODEL::TYPE_POLICY::DEFAULT;
using rl_tools::interface::checkpoint::Metadata;

static_assert(MODEL::INPUT_SHAPE::LENGTH == 3 && MODEL::INPUT_SHAPE::template GET<0> == 1 &&
                  MODEL::INPUT_SHAPE::template GET<1> == 1,
              "the checkpoint's model takes several observations at once; export it with a batch size of 1");

template <typename SPEC>
std::true_type is_sample_and_squash(const rlt::nn::layers::sample_and_squash::LayerForward<SPEC>*);
std::false_type is_sample_and_squash(const void*);

template <typename MODULE>
using IsSampleAndSquash = decltype(is_sample_and_squash(static_cast<const typename MODULE::CONTENT*>(nullptr)));

// Elements that `evaluate` writes. The layer in which SAC's actors end reads mean and log standard deviation.
template <typename MODULE>
constexpr TI output_dim() {
    if constexpr (!std::is_same_v<typename MODULE::NEXT_MODULE, rlt::nn_models::sequential::OutputModule>) {
        return output_dim<typename MODULE::NEXT_MODULE>();
    } else if constexpr (IsSampleAndSquash<MODULE>::value) {
        return MODULE::CONTENT::INPUT_DIM;
    } else {
        return rlt::get_last(typename MODULE::OUTPUT_SHAPE{});
    }
}

// Mean and standard deviation of the action before tanh where the last layer would draw one, else the model's output.
template <typename MODULE, typename INPUT>
void evaluate(DEVICE& device, const MODULE& module, const INPUT& input, RNG& rng, T* output) {
    using CONTENT = typename MODULE::CONTENT;
    constexpr bool IS_LAST = std::is_same_v<typename MODULE::NEXT_MODULE, rlt::nn_models::sequential::OutputModule>;
    if constexpr (IS_LAST && IsSampleAndSquash<MODULE>::value) {
        using PARAMETERS = typename CONTENT::SPEC::PARAMETERS;
        for (TI i = 0; i < CONTENT::DIM; i++) {
            const T log_std = rlt::math::clamp(device.math, rlt::get(device, input, 0, 0, CONTENT::DIM + i),
                                               static_cast<T>(PARAMETERS::LOG_STD_LOWER_BOUND),
                                               static_cast<T>(PARAMETERS::LOG_STD_UPPER_BOUND));
            output[i] = rlt::get(device, input, 0, 0, i);
            output[CONTENT::DIM + i] = rlt::math::exp(device.math, log_std);
        }
    } else {
        rlt::Tensor<rlt::tensor::Specification<T, TI, typename CONTENT::OUTPUT_SHAPE, false>> result;
        typename CONTENT::template Buffer<false> buffer;
        rlt::evaluate(device, module.content, input, result, buffer, rng, rlt::Mode<rlt::mode::Evaluation<>>{});
        if constexpr (IS_LAST) {
            for (TI i = 0; i < rlt::get_last(typename CONTENT::OUTPUT_SHAPE{}); i++) {
                output[i] = rlt::get(device, result, 0, 0, i);
            }
        } else {
            evaluate(device, module.next_module, result, rng, output);
        }
    }
}

RL_TOOLS_EXPORT void checkpoint_metadata(Metadata* metadata) {
    *metadata = {static_cast<std::int64_t>(rlt::get_last(typename MODEL::INPUT_SHAPE{})),
                 static_cast<std::int64_t>(output_dim<MODEL>()), sizeof(T)};
}

// `observation` [observation_dim], `output` [output_dim]; may run in several threads at once.
RL_TOOLS_EXPORT void checkpoint_evaluate(const T* observation, T* output) {
    DEVICE device;
    RNG rng;  // never drawn from in this mode
    rlt::init(device, rng, 0);
    rlt::Tensor<rlt::tensor::Specification<T, TI, typename MODEL::INPUT_SHAPE, false>> input;
    for (TI i = 0; i < rlt::get_last(typename MODEL::INPUT_SHAPE{}); i++) {
        rlt::set(device, input, observation[i], 0, 0, i);
    }
    evaluate(device, rl_tools::kernel_spec::MODEL, input, rng, output);
}

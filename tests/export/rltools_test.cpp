// Evaluates exported checkpoints with RLtools itself: reads N_OBSERVATIONS observations of each policy in turn as raw
// floats, and writes the actions in the environment's units. policies.h lists the policies and includes each of them in
// a namespace of its own.
#include <rl_tools/operations/cpu.h>
#include <rl_tools/nn/layers/dense/operations_generic.h>
#include <rl_tools/nn/layers/standardize/operations_generic.h>
#include <rl_tools/nn/layers/td3_sampling/operations_generic.h>
#include <rl_tools/nn_models/sequential/operations_generic.h>

#include "policies.h"

#include <cmath>
#include <cstdio>

namespace rlt = rl_tools;
using DEVICE = rlt::devices::DefaultCPU;
using TI = DEVICE::index_t;

// Evaluate the checkpoint's own example in the given mode.
template <typename ACTOR, typename INPUT, typename OUTPUT, typename MODE>
bool test_example(DEVICE& device, const ACTOR& actor, const INPUT& input, const OUTPUT& expected, const MODE& mode) {
    typename ACTOR::template Buffer<false> buffer;
    rlt::Tensor<rlt::tensor::Specification<float, TI, typename ACTOR::INPUT_SHAPE, false>> observation;
    rlt::Tensor<rlt::tensor::Specification<float, TI, typename ACTOR::OUTPUT_SHAPE, false>> action;
    DEVICE::SPEC::RANDOM::ENGINE<> rng;
    rlt::init(device, rng, 0);
    for (TI i = 0; i < INPUT::SHAPE::template GET<1>; i++) {
        for (TI j = 0; j < INPUT::SHAPE::template GET<2>; j++) {
            rlt::set(device, observation, rlt::get(device, input, 0, i, j), 0, 0, j);
        }
        rlt::evaluate(device, actor, observation, action, buffer, rng, mode);
        for (TI j = 0; j < OUTPUT::SHAPE::template GET<2>; j++) {
            if (!(std::abs(rlt::get(device, action, 0, 0, j) - rlt::get(device, expected, 0, i, j)) <= 2e-5f)) {
                return false;
            }
        }
    }
    return true;
}

template <typename ACTOR, TI ACTION_DIM>
bool run(DEVICE& device, const ACTOR& actor, const float (&low)[ACTION_DIM], const float (&high)[ACTION_DIM]) {
    typename ACTOR::template Buffer<false> buffer;
    rlt::Tensor<rlt::tensor::Specification<float, TI, typename ACTOR::INPUT_SHAPE, false>> observation;
    rlt::Tensor<rlt::tensor::Specification<float, TI, typename ACTOR::OUTPUT_SHAPE, false>> action;
    DEVICE::SPEC::RANDOM::ENGINE<> rng;
    rlt::init(device, rng, 0);
    for (int i = 0; i < N_OBSERVATIONS; i++) {
        if (std::fread(observation._data, sizeof(observation._data), 1, stdin) != 1) {
            return false;
        }
        // As TinyRL's `evaluate` does it, without a mode.
        rlt::evaluate(device, actor, observation, action, buffer, rng);
        for (TI j = 0; j < ACTION_DIM; j++) {
            const float value = low[j] + 0.5f * (rlt::get(device, action, 0, 0, j) + 1) * (high[j] - low[j]);
            std::fwrite(&value, sizeof(value), 1, stdout);
        }
    }
    return true;
}

#define RUN(POLICY)                                                                                                 \
    test_example(device, POLICY::rl_tools::checkpoint::actor::module,                                               \
                 POLICY::rl_tools::checkpoint::example::input::container,                                           \
                 POLICY::rl_tools::checkpoint::example::output::container, rlt::Mode<rlt::mode::Evaluation<>>{}) && \
        run(device, POLICY::policy::factory_function<>(), POLICY::policy::action::LOW,                              \
            POLICY::policy::action::HIGH) &&

int main() {
    DEVICE device;
    return FOR_EACH_POLICY(RUN) true ? 0 : 1;
}

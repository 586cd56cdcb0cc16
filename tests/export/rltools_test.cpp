// Evaluates exported checkpoints with RLtools itself, in each of its modes: reads N_OBSERVATIONS observations of each
// policy in turn as raw floats, and writes the actions. policies.h lists the policies and includes each of them in a
// namespace of its own.
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

// Evaluate the checkpoint's own example in one batch, in the given mode.
template <typename ACTOR, typename INPUT, typename OUTPUT, typename MODE>
bool test_example(DEVICE& device, const ACTOR& actor, const INPUT& input, const OUTPUT& expected, const MODE& mode) {
    static constexpr TI BATCH_SIZE = INPUT::SHAPE::template GET<1>;
    using BATCH_ACTOR = typename ACTOR::template CHANGE_BATCH_SIZE<TI, BATCH_SIZE>;
    static_assert(rlt::get_last(typename BATCH_ACTOR::OUTPUT_SHAPE{}) == OUTPUT::SHAPE::template GET<2>);
    typename ACTOR::template Buffer<false> buffer;
    rlt::Tensor<rlt::tensor::Specification<float, TI, typename ACTOR::INPUT_SHAPE, false>> observation;
    rlt::Tensor<rlt::tensor::Specification<float, TI, typename ACTOR::OUTPUT_SHAPE, false>> action;
    DEVICE::SPEC::RANDOM::ENGINE<> rng;
    rlt::init(device, rng, 0);
    for (TI i = 0; i < BATCH_SIZE; i++) {
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

template <typename ACTOR>
bool run(DEVICE& device, const ACTOR& actor) {
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
        std::fwrite(action._data, sizeof(action._data), 1, stdout);
    }
    return true;
}

#define RUN(POLICY)                                                                                                 \
    test_example(device, POLICY::rl_tools::checkpoint::actor::module,                                               \
                 POLICY::rl_tools::checkpoint::example::input::container,                                           \
                 POLICY::rl_tools::checkpoint::example::output::container, rlt::Mode<rlt::mode::Evaluation<>>{}) && \
        run(device, POLICY::policy::factory_function<>()) &&

int main() {
    DEVICE device;
    return FOR_EACH_POLICY(RUN) true ? 0 : 1;
}

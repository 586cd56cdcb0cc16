// Writes checkpoints with RLtools' own writer, each followed by what RLtools' own evaluation makes of one observation:
// argument 1 is the folder.

#include <cmath>
#include <fstream>
#include <iomanip>
#include <string>

#include <rl_tools/operations/cpu.h>

#include <rl_tools/nn/layers/dense/operations_generic.h>
#include <rl_tools/nn/layers/sample_and_squash/operations_generic.h>
#include <rl_tools/nn/layers/standardize/operations_generic.h>
#include <rl_tools/nn/layers/td3_sampling/operations_generic.h>
#include <rl_tools/nn_models/mlp/operations_generic.h>
#include <rl_tools/nn_models/mlp_unconditional_stddev/operations_generic.h>
#include <rl_tools/nn_models/sequential/operations_generic.h>

#include <rl_tools/containers/matrix/persist_code.h>
#include <rl_tools/containers/tensor/persist_code.h>
#include <rl_tools/numeric_types/persist_code.h>
#include <rl_tools/nn/parameters/persist_code.h>
#include <rl_tools/nn/layers/dense/persist_code.h>
#include <rl_tools/nn/layers/sample_and_squash/persist_code.h>
#include <rl_tools/nn/layers/standardize/persist_code.h>
#include <rl_tools/nn/layers/td3_sampling/persist_code.h>
#include <rl_tools/nn_models/mlp/persist_code.h>
#include <rl_tools/nn_models/mlp_unconditional_stddev/persist_code.h>
#include <rl_tools/nn_models/sequential/persist_code.h>

namespace rlt = rl_tools;
namespace layers = rlt::nn::layers;

using DEVICE = rlt::devices::DefaultCPU;
using TI = DEVICE::index_t;
using RNG = DEVICE::SPEC::RANDOM::ENGINE<>;
using Function = rlt::nn::activation_functions::ActivationFunction;
using CAPABILITY = rlt::nn::capability::Forward<>;

constexpr TI OBSERVATION_DIM = 5, OUTPUT_DIM = 4;

template <typename CONTENT, typename NEXT = rlt::nn_models::sequential::OutputModule>
using Module = rlt::nn_models::sequential::Module<CONTENT, NEXT>;

template <typename T>
struct NoNoise {
    static constexpr T STD = 0.25;
};

template <typename T>
struct Kinds {
    using POLICY = rlt::numeric_types::Policy<T>;
    using STANDARDIZE = layers::standardize::BindConfiguration<layers::standardize::Configuration<POLICY, TI>>;
    template <Function HIDDEN, Function OUTPUT, TI N_LAYERS>
    using CONFIGURATION = rlt::nn_models::mlp::Configuration<POLICY, TI, OUTPUT_DIM, N_LAYERS, 7, HIDDEN, OUTPUT>;
    template <Function HIDDEN, Function OUTPUT, TI N_LAYERS>
    using MLP = rlt::nn_models::mlp::BindConfiguration<CONFIGURATION<HIDDEN, OUTPUT, N_LAYERS>>;
    template <Function HIDDEN, TI N_LAYERS>
    using WITH_STANDARD_DEVIATION = rlt::nn_models::mlp_unconditional_stddev::BindConfiguration<
        CONFIGURATION<HIDDEN, Function::IDENTITY, N_LAYERS>>;
    template <TI DIM, Function FUNCTION>
    using DENSE = layers::dense::BindConfiguration<layers::dense::Configuration<POLICY, TI, DIM, FUNCTION>>;
    using SAMPLE_AND_SQUASH =
        layers::sample_and_squash::BindConfiguration<layers::sample_and_squash::Configuration<POLICY, TI>>;
    using TD3_SAMPLING =
        layers::td3_sampling::BindConfiguration<layers::td3_sampling::Configuration<POLICY, TI, NoNoise<T>>>;
};

template <typename LAYER>
void set_statistics(DEVICE&, LAYER&) {}

template <typename SPEC>
void set_statistics(DEVICE& device, layers::standardize::LayerForward<SPEC>& layer) {
    using T = typename SPEC::TYPE_POLICY::DEFAULT;
    for (TI i = 0; i < OBSERVATION_DIM; i++) {
        rlt::set(device, layer.mean.parameters, T(0.3) * static_cast<T>(i) - T(1), i);
        rlt::set(device, layer.precision.parameters, static_cast<T>(i) / T(3), i);  // the first is 0
    }
}

template <typename T, typename CHAIN, TI BATCH_SIZE = 1>
void write(const std::string& path) {
    using MODEL =
        rlt::nn_models::sequential::Build<CAPABILITY, CHAIN, rlt::tensor::Shape<TI, 1, BATCH_SIZE, OBSERVATION_DIM>>;
    DEVICE device;
    RNG rng;
    rlt::init(device);
    rlt::malloc(device, rng);
    rlt::init(device, rng, 1);
    MODEL model;
    rlt::malloc(device, model);
    rlt::init_weights(device, model, rng);
    set_statistics(device, model.content);
    rlt::Tensor<rlt::tensor::Specification<T, TI, typename MODEL::INPUT_SHAPE>> input;
    rlt::Tensor<rlt::tensor::Specification<T, TI, typename MODEL::OUTPUT_SHAPE>> output;
    typename MODEL::template Buffer<> buffer;
    rlt::malloc(device, input);
    rlt::malloc(device, output);
    rlt::malloc(device, buffer);
    for (TI i = 0; i < OBSERVATION_DIM; i++) {
        rlt::set(device, input, T(0.7) - T(0.45) * static_cast<T>(i), 0, 0, i);
    }
    rlt::evaluate(device, model, input, output, buffer, rng, rlt::Mode<rlt::mode::Evaluation<>>{});
    std::ofstream(path + ".h") << rlt::save_code(device, model, std::string("policy"));
    std::ofstream values(path + ".txt");
    values << std::setprecision(17);
    for (TI i = 0; i < rlt::get_last(typename MODEL::OUTPUT_SHAPE{}); i++) {
        values << rlt::get(device, output, 0, 0, i) << "\n";
    }
}

template <Function FUNCTION>
void write_function(const std::string& path) {
    using F = Kinds<float>;
    write<float, Module<F::MLP<FUNCTION, Function::IDENTITY, 4>, Module<F::SAMPLE_AND_SQUASH>>>(path + "_sac");
    write<float, Module<F::STANDARDIZE, Module<F::MLP<FUNCTION, Function::TANH, 3>, Module<F::TD3_SAMPLING>>>>(path +
                                                                                                               "_td3");
}

int main(int, char** arguments) {
    const std::string folder = std::string(arguments[1]) + "/";
    using F = Kinds<float>;
    using D = Kinds<double>;
    write_function<Function::IDENTITY>(folder + "identity");
    write_function<Function::RELU>(folder + "relu");
    write_function<Function::TANH>(folder + "tanh");
    write_function<Function::FAST_TANH>(folder + "fast_tanh");
    write_function<Function::SIGMOID>(folder + "sigmoid");
    write<double, Module<D::STANDARDIZE, Module<D::MLP<Function::RELU, Function::IDENTITY, 3>>>>(folder + "double");
    write<float, Module<F::DENSE<3, Function::RELU>, Module<F::DENSE<2, Function::TANH>>>>(folder + "dense");
    write<float, Module<F::MLP<Function::RELU, Function::IDENTITY, 3>>, 8>(folder + "batch");
    write<float, Module<F::STANDARDIZE, Module<F::WITH_STANDARD_DEVIATION<Function::TANH, 3>>>>(folder + "ppo");
}

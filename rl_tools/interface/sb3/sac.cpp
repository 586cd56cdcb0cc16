// The C interface of one SAC kernel: what sb3_tinyrl/_native/library.py calls through ctypes. No global
// state: kernels, threads and forks may live side by side.

#include <exception>
#include <memory>
#include <new>

#include "kernel_spec.h"

#include <rl_tools/rl/algorithms/sb3_sac/operations_cpu_simd.h>

#if defined(_WIN32)
#define RL_TOOLS_EXPORT extern "C" __declspec(dllexport)
#else
#define RL_TOOLS_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace rlt = rl_tools;
namespace sac = rl_tools::rl::algorithms::sb3_sac;
namespace spec = rl_tools::kernel_spec;

using SPEC = sac::Specification<spec::T, spec::OBSERVATION, spec::OBSERVATION_DIM, spec::ACTION_DIM, spec::N_CRITICS,
                                spec::BATCH_SIZE, spec::ACTIVATION, spec::ACTOR_LAYERS, spec::CRITIC_LAYERS>;
using T = SPEC::T;
using Parameter = rlt::nn::optimizers::torch_adam::Parameter<T>;
using ReplayBuffer = rlt::rl::components::SB3ReplayBuffer<SPEC::OBSERVATION>;
using Engine = rlt::random::philox::Engine;

namespace {
    template <typename NETWORK>
    void bind(rlt::nn_models::panel_mlp::Parameters<NETWORK>& network, const Parameter*& next) {
        for (auto& layer : network.layers) {
            layer.weights = *next++;
            layer.biases = *next++;
        }
    }
}

struct Kernel {
    explicit Kernel(unsigned n_threads)
        : device(n_threads),
          workspace(std::make_unique<sac::Workspace<SPEC>>()),
          scratch(std::make_unique<sac::Scratch<SPEC>[]>(n_threads)) {}

    rlt::devices::CPU_SIMD<rlt::devices::cpu::Specification<rlt::devices::math::CPU, rlt::devices::random::CPU,
                                                            rlt::devices::logging::CPU>>
        device;
    sac::ActorCritic<SPEC> networks{};
    std::unique_ptr<sac::Workspace<SPEC>> workspace;
    std::unique_ptr<sac::Scratch<SPEC>[]> scratch;
};

// To be raised with every change of the functions and structures below; ABI_VERSION in library.py is its twin.
RL_TOOLS_EXPORT std::uint32_t sb3_sac_abi_version() {
    return 2;
}

// Null where memory or threads are not to be had.
RL_TOOLS_EXPORT Kernel* sb3_sac_create(std::uint32_t n_threads) {
    try {
        return new Kernel(n_threads);
    } catch (const std::exception&) {
        return nullptr;
    }
}

RL_TOOLS_EXPORT void sb3_sac_destroy(Kernel* kernel) {
    delete kernel;
}

// `parameters`: weights and biases of each layer from the input on, of the actor (hidden layers, mean, log
// standard deviation), the critics and their targets.
RL_TOOLS_EXPORT void sb3_sac_bind(Kernel* kernel, const Parameter* parameters,
                                  const Parameter* log_entropy_coefficient) {
    const Parameter* next = parameters;
    bind(kernel->networks.actor, next);
    for (auto& critic : kernel->networks.critics) {
        bind(critic, next);
    }
    for (auto& critic : kernel->networks.target_critics) {
        bind(critic, next);
    }
    kernel->networks.log_entropy_coefficient = *log_entropy_coefficient;
}

// Gradient steps `first_step` to `first_step + n_steps - 1` of one call of SB3's `train`; `losses` has room
// for `n_steps`. Step i draws from `engine->counter + i`.
RL_TOOLS_EXPORT void sb3_sac_train(Kernel* kernel, const sac::HyperParameters* parameters, const ReplayBuffer* buffer,
                                   const Engine* engine, std::uint32_t n_threads, std::int64_t first_step,
                                   std::int64_t n_steps, sac::Losses* losses) {
    kernel->device.thread_pool.use(n_threads);
    sac::prepare(kernel->device, kernel->networks, *kernel->workspace);
    for (std::int64_t i = 0; i < n_steps; i++) {
        const Engine step_engine = {engine->key, engine->counter + static_cast<std::uint64_t>(i)};
        const bool polyak = (first_step + i) % parameters->target_update_interval == 0;
        losses[i] = sac::step(kernel->device, kernel->networks, *parameters, *buffer, step_engine, polyak,
                              i + 1 == n_steps, *kernel->workspace, kernel->scratch.get());
    }
}

// Scaled actions [n][ACTION_DIM] for observations [n][OBSERVATION_DIM].
RL_TOOLS_EXPORT void sb3_sac_act(Kernel* kernel, const SPEC::OBSERVATION* observations, std::int64_t n,
                                 const Engine* engine, std::int32_t deterministic, float* actions) {
    sac::act(kernel->device, kernel->networks, observations, static_cast<std::size_t>(n), *engine, deterministic != 0,
             kernel->scratch[0], actions);
}

// What a step with this engine draws: transitions [BATCH_SIZE] and the noise [BATCH_SIZE][ACTION_DIM] of
// actions and next actions. Tests feed it to SB3's update.
RL_TOOLS_EXPORT void sb3_sac_draw(const Engine* engine, std::int64_t n_rows, std::int64_t n_environments,
                                  std::int64_t* rows, std::int64_t* environments, T* action_noise,
                                  T* next_action_noise) {
    const rlt::devices::math::CPU math;
    for (std::size_t sample = 0; sample < SPEC::BATCH_SIZE; sample++) {
        using rlt::random::philox::Stream;
        const auto i = static_cast<std::uint32_t>(sample);
        const auto index = rlt::rl::components::sb3_replay_buffer::sample(*engine, n_rows, n_environments, i);
        rows[sample] = index.row;
        environments[sample] = index.environment;
        const std::size_t offset = sample * SPEC::ACTION_DIM;
        rlt::random::philox::normal<SPEC::ACTION_DIM>(math, *engine, Stream::ACTION_NOISE, i, action_noise + offset, 1);
        rlt::random::philox::normal<SPEC::ACTION_DIM>(math, *engine, Stream::NEXT_ACTION_NOISE, i,
                                                      next_action_noise + offset, 1);
    }
}

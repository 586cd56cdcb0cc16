// The C interface of one SAC kernel: what sb3_tinyrl/_native/abi/kernel.py calls through ctypes. No global
// state: kernels, threads and forks may live side by side.

#include <algorithm>
#include <exception>
#include <iterator>
#include <memory>
#include <new>

#include "kernel_spec.h"

#include <rl_tools/interface/export.h>
#include <rl_tools/rl/algorithms/sb3_sac/loop/operations_cpu_simd.h>
#include <rl_tools/rl/algorithms/sb3_sac/operations_cpu_simd.h>

namespace rlt = rl_tools;
namespace sac = rl_tools::rl::algorithms::sb3_sac;
namespace spec = rl_tools::kernel_spec;

using DEVICE_SPEC =
    rlt::devices::cpu::Specification<rlt::devices::math::CPU, rlt::devices::random::CPU, rlt::devices::logging::CPU>;
using DEVICE =
    std::conditional_t<spec::USE_BLAS, rlt::devices::CPU_SIMD_BLAS<DEVICE_SPEC>, rlt::devices::CPU_SIMD<DEVICE_SPEC>>;
using SPEC = sac::Specification<spec::T, DEVICE, spec::OBSERVATION, spec::OBSERVATION_DIM, spec::ACTION_DIM,
                                spec::N_CRITICS, spec::BATCH_SIZE, spec::ACTIVATION, spec::ACTOR_LAYERS,
                                spec::CRITIC_LAYERS, spec::USE_SDE, spec::OBSERVATION_DIVISOR>;
using T = SPEC::T;
using Parameter = rlt::nn::optimizers::torch_adam::Parameter<T>;
using ReplayBuffer = rlt::rl::components::SB3ReplayBuffer<SPEC::OBSERVATION>;
using StateDependentNoise = sac::distributions::StateDependentNoiseParameters<T>;
using Engine = rlt::random::philox::Engine;

namespace {
    template <typename DEVICE>
    DEVICE make_device(unsigned n_threads, [[maybe_unused]] const rlt::utils::blas::Library* blas) {
        if constexpr (spec::USE_BLAS) {
            return DEVICE(n_threads, *blas);
        } else {
            return DEVICE(n_threads);
        }
    }

    template <typename NETWORK>
    void bind(rlt::nn_models::panel_mlp::Parameters<NETWORK>& network, const Parameter*& next) {
        for (std::size_t i = 0; i < NETWORK::N_TRAINED_LAYERS; i++) {
            network.layers[i].weights = *next++;
            network.layers[i].biases = *next++;
        }
    }
}

struct Kernel {
    Kernel(unsigned n_threads, const rlt::utils::blas::Library* blas)
        : device(make_device<DEVICE>(n_threads, blas)),
          workspace(std::make_unique<sac::Workspace<SPEC>>()),
          scratch(std::make_unique<sac::Scratch<SPEC>[]>(device.thread_pool.size())) {
        sac::initialise(networks, *workspace);
    }

    DEVICE device;
    sac::ActorCritic<SPEC> networks{};
    sac::ActionSpace<SPEC::ACTION_DIM> action_space{};
    rlt::nn_models::panel_mlp::Activations<SPEC::ACTOR, 1> acting{};
    std::unique_ptr<sac::Workspace<SPEC>> workspace;
    std::unique_ptr<sac::Scratch<SPEC>[]> scratch;
};

// To be raised with every change of the functions and structures below; ABI_VERSION in kernel.py is its twin.
RL_TOOLS_EXPORT std::uint32_t sb3_sac_abi_version() {
    return 6;
}

// Null where memory is not to be had. `blas` is read by kernels that were compiled for a BLAS.
RL_TOOLS_EXPORT Kernel* sb3_sac_create(std::uint32_t n_threads, const rlt::utils::blas::Library* blas) {
    try {
        return new Kernel(n_threads, blas);
    } catch (const std::exception&) {
        return nullptr;
    }
}

// Threads that there are, the calling one among them: fewer than asked for where the operating system starts no more.
RL_TOOLS_EXPORT std::uint32_t sb3_sac_n_threads(const Kernel* kernel) {
    return kernel->device.thread_pool.size();
}

RL_TOOLS_EXPORT void sb3_sac_destroy(Kernel* kernel) {
    delete kernel;
}

// `parameters`: weights and biases of each layer from the input on, of the actor (hidden layers, mean, log
// standard deviation), the critics and their targets. With gSDE the actor ends with its mean, and
// `state_dependent_noise` has the rest. `action_low` and `action_high` are the environment's bounds [ACTION_DIM].
// A kernel that shall only act needs no more than the values of the actor's parameters.
RL_TOOLS_EXPORT void sb3_sac_bind(Kernel* kernel, const Parameter* parameters, const Parameter* log_entropy_coefficient,
                                  const StateDependentNoise* state_dependent_noise, const float* action_low,
                                  const float* action_high) {
    const Parameter* next = parameters;
    bind(kernel->networks.actor, next);
    for (auto& critic : kernel->networks.critics) {
        bind(critic, next);
    }
    for (auto& critic : kernel->networks.target_critics) {
        bind(critic, next);
    }
    kernel->networks.log_entropy_coefficient = *log_entropy_coefficient;
    kernel->networks.state_dependent_noise = *state_dependent_noise;
    std::copy_n(action_low, SPEC::ACTION_DIM, kernel->action_space.low);
    std::copy_n(action_high, SPEC::ACTION_DIM, kernel->action_space.high);
}

// From now on gradient steps add the seconds of each phase to `seconds` [Phase::N], until it is null.
RL_TOOLS_EXPORT void sb3_sac_time_phases(Kernel* kernel, double* seconds) {
    kernel->workspace->phase_seconds = seconds;
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

// Collects and trains with compiled environments until `schedule` says that it returns; see `loop::run`.
RL_TOOLS_EXPORT sac::loop::Status sb3_sac_run(Kernel* kernel, const sac::HyperParameters* parameters,
                                              const ReplayBuffer* buffer,
                                              const sac::loop::CompiledEnvironments* environments,
                                              const sac::loop::Schedule* schedule, std::uint64_t key,
                                              const sac::loop::ExplorationMatrices<T>* exploration,
                                              std::uint32_t n_threads, sac::loop::State* state,
                                              sac::loop::EpisodeStatistics* episodes) {
    kernel->device.thread_pool.use(n_threads);
    return sac::loop::run(kernel->device, kernel->networks, *parameters, kernel->action_space, *buffer, *environments,
                          *schedule, key, *exploration, *kernel->workspace, kernel->scratch.get(), *state, episodes);
}

// Actions for observations [n][OBSERVATION_DIM]: `actions` [2][n][ACTION_DIM] receives those in [-1, 1] and then those
// in the environment's bounds. Noise is drawn from `engine`, or made of `normal` [n][ACTION_DIM], or with gSDE of
// `matrices`, where that of observation i begins `matrix_stride` elements behind that of observation i - 1; all are
// null for deterministic actions. Returns whether all actions are finite. May be called while another thread trains.
RL_TOOLS_EXPORT std::int32_t sb3_sac_act(Kernel* kernel, const float* observations, std::int64_t n,
                                         const Engine* engine, const float* normal, const T* matrices,
                                         std::int64_t matrix_stride, float* actions) {
    const auto n_observations = static_cast<std::size_t>(n);
    const sac::ActionNoise<T> noise = {engine, normal, matrices, static_cast<std::size_t>(matrix_stride)};
    return sac::act(kernel->device, kernel->networks, kernel->action_space, observations, n_observations, noise,
                    kernel->acting, actions, actions + n_observations * SPEC::ACTION_DIM);
}

// Draws `n` matrices [LATENT_DIM][ACTION_DIM] of exploration noise; nothing without gSDE.
RL_TOOLS_EXPORT void sb3_sac_sample_matrices([[maybe_unused]] const Kernel* kernel,
                                             [[maybe_unused]] const Engine* engine, [[maybe_unused]] std::int64_t n,
                                             [[maybe_unused]] T* matrices) {
    if constexpr (SPEC::USE_SDE) {
        for (std::int64_t i = 0; i < n; i++) {
            sac::distributions::sample_matrix<SPEC::LATENT_DIM, SPEC::ACTION_DIM>(
                kernel->device.math, kernel->networks.state_dependent_noise, *engine, static_cast<std::uint32_t>(i),
                matrices + static_cast<std::size_t>(i) * SPEC::LATENT_DIM * SPEC::ACTION_DIM);
        }
    }
}

// What a step with this engine draws: transitions [BATCH_SIZE] and the noise [BATCH_SIZE][ACTION_DIM] of
// actions and next actions; with gSDE instead of the noise one matrix of standard normal variates
// [LATENT_DIM][ACTION_DIM] in `noise`. Tests feed it to SB3's update.
RL_TOOLS_EXPORT void sb3_sac_draw(const ReplayBuffer* buffer, const Engine* engine, std::int64_t* rows,
                                  std::int64_t* environments, T* noise, [[maybe_unused]] T* next_noise) {
    using rlt::random::philox::normal;
    using rlt::random::philox::Stream;
    const rlt::devices::math::CPU math;
    for (std::size_t sample = 0; sample < SPEC::BATCH_SIZE; sample++) {
        const auto i = static_cast<std::uint32_t>(sample);
        const auto index = rlt::rl::components::sb3_replay_buffer::sample(*buffer, *engine, i);
        rows[sample] = index.row;
        environments[sample] = index.environment;
        if constexpr (!SPEC::USE_SDE) {
            const std::size_t offset = sample * SPEC::ACTION_DIM;
            normal<SPEC::ACTION_DIM>(math, *engine, Stream::ACTION_NOISE, i, noise + offset, 1);
            normal<SPEC::ACTION_DIM>(math, *engine, Stream::NEXT_ACTION_NOISE, i, next_noise + offset, 1);
        }
    }
    if constexpr (SPEC::USE_SDE) {
        for (std::size_t k = 0; k < SPEC::LATENT_DIM; k++) {
            normal<SPEC::ACTION_DIM>(math, *engine, Stream::NOISE_MATRIX, static_cast<std::uint32_t>(k),
                                     noise + k * SPEC::ACTION_DIM, 1);
        }
    }
}

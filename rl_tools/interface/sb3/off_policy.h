#pragma once
// The C interface of one kernel: what sb3_tinyrl/_native/abi/kernel.py calls through ctypes. A translation unit for an
// algorithm defines `ALGORITHM` (see rl/components/off_policy_loop) and `DEVICE`, and includes this. No global state:
// kernels, threads and forks may live side by side.

#include <algorithm>
#include <exception>
#include <memory>
#include <new>

#include <rl_tools/interface/export.h>
#include <rl_tools/rl/components/off_policy_loop/operations_cpu.h>
#include <rl_tools/utils/background/background.h>

using Parameter = rl_tools::nn::optimizers::torch_adam::Parameter<ALGORITHM::T>;
using PolicyParameters = ALGORITHM::POLICY::Parameters;
using HyperParameters = ALGORITHM::HyperParameters;
using Losses = ALGORITHM::Losses;
using ReplayBuffer = rl_tools::rl::components::SB3ReplayBuffer<ALGORITHM::OBSERVATION>;
using Request = rl_tools::rl::components::off_policy_loop::Request<ALGORITHM::OBSERVATION, ALGORITHM::T>;
using Result = rl_tools::rl::components::off_policy_loop::Result<Losses>;
using Engine = rl_tools::random::philox::Engine;

namespace {
    template <typename DEVICE>
    DEVICE make_device(unsigned n_threads, [[maybe_unused]] const rl_tools::utils::blas::Library* blas) {
        if constexpr (std::is_constructible_v<DEVICE, unsigned, const rl_tools::utils::blas::Library&>) {
            return DEVICE(n_threads, *blas);
        } else {
            return DEVICE(n_threads);
        }
    }
}

// Arguments of `kernel_train`.
struct Training {
    HyperParameters hyper_parameters;
    ReplayBuffer replay_buffer;
    Engine engine;
    std::uint32_t n_threads;
    std::int64_t first_step, n_steps;
    Losses* losses;
};

struct Kernel {
    Kernel(unsigned n_threads, const rl_tools::utils::blas::Library* blas)
        : device(make_device<DEVICE>(n_threads, blas)), algorithm(device, device.thread_pool.size()) {}

    DEVICE device;
    ALGORITHM algorithm;
    ALGORITHM::Acting acting{};
    Training training{};                     // beside the caller, as of the last `kernel_start_training`
    rl_tools::utils::Background background;  // the last member: it ends before what it computes with
};

namespace {
    std::int64_t take_steps(Kernel& kernel, const Training& training) {
        refresh_transposed_weights(kernel.algorithm);
        for (std::int64_t i = 0; i < training.n_steps; i++) {
            const Engine engine = {training.engine.key, training.engine.counter + static_cast<std::uint64_t>(i)};
            if (!step(kernel.algorithm, training.hyper_parameters, training.replay_buffer, engine,
                      {training.first_step + i, i + 1 == training.n_steps}, training.losses[i])) {
                return i;
            }
        }
        return training.n_steps;
    }

    std::int64_t train(Kernel& kernel, const Training& training) {
        kernel.device.thread_pool.use(training.n_threads);
        const std::int64_t n_taken = take_steps(kernel, training);
        kernel.device.thread_pool.pause();
        return n_taken;
    }
}

// Null if memory can't be allocated. `blas` is read by kernels that were compiled for a
// BLAS.
RL_TOOLS_EXPORT Kernel* kernel_create(std::uint32_t n_threads, const rl_tools::utils::blas::Library* blas) {
    try {
        return new Kernel(n_threads, blas);
    } catch (const std::exception&) {
        return nullptr;
    }
}

// Threads that there are, the calling one among them: fewer than asked for where the operating system starts no more.
RL_TOOLS_EXPORT std::uint32_t kernel_n_threads(const Kernel* kernel) {
    return kernel->device.thread_pool.size();
}

RL_TOOLS_EXPORT void kernel_destroy(Kernel* kernel) {
    delete kernel;
}

// `parameters`: those of the networks, in the order of the algorithm's `bind`; `policy`: what its policy has beside
// them. `action_low` and `action_high` are the environment's bounds [ACTION_DIM]. For acting, only the `value` pointers
// of the actor's parameters are needed; all others may be null.
RL_TOOLS_EXPORT void kernel_bind(Kernel* kernel, const Parameter* parameters, const PolicyParameters* policy,
                                 const float* action_low, const float* action_high) {
    kernel->background.wait();
    auto& algorithm = kernel->algorithm;
    bind(algorithm, parameters);
    algorithm.networks.policy = *policy;
    std::copy_n(action_low, ALGORITHM::ACTION_DIM, algorithm.action_space.low);
    std::copy_n(action_high, ALGORITHM::ACTION_DIM, algorithm.action_space.high);
}

// From now on gradient steps add the seconds of each phase to `seconds` [Phase::N], until it is null.
RL_TOOLS_EXPORT void kernel_time_phases(Kernel* kernel, double* seconds) {
    kernel->background.wait();
    kernel->algorithm.workspace->phase_seconds = seconds;
}

// Gradient steps `first_step` to `first_step + n_steps - 1` of one call of SB3's `train`; `losses` has room
// for `n_steps`. Step i draws from `engine->counter + i`. `n_taken` tells how many were taken: all, or those before the
// first with numbers that are not finite. (What a function returns is lost where Python has a signal to handle first.)
RL_TOOLS_EXPORT void kernel_train(Kernel* kernel, const HyperParameters* hyper_parameters,
                                  const ReplayBuffer* replay_buffer, const Engine* engine, std::uint32_t n_threads,
                                  std::int64_t first_step, std::int64_t n_steps, Losses* losses,
                                  std::int64_t* n_taken) {
    kernel->background.wait();
    *n_taken = train(*kernel, {*hyper_parameters, *replay_buffer, *engine, n_threads, first_step, n_steps, losses});
}

// The same beside the caller: `n_taken` tells so when they have ended. Until `kernel_finish_training` the memory
// that all of these point at, but for themselves, stays where it is and is written by nobody else; of the networks,
// too.
RL_TOOLS_EXPORT void kernel_start_training(Kernel* kernel, const HyperParameters* hyper_parameters,
                                           const ReplayBuffer* replay_buffer, const Engine* engine,
                                           std::uint32_t n_threads, std::int64_t first_step, std::int64_t n_steps,
                                           Losses* losses, std::int64_t* n_taken) {
    kernel->background.wait();
    kernel->training = {*hyper_parameters, *replay_buffer, *engine, n_threads, first_step, n_steps, losses};
    kernel->background.start([kernel, n_taken] { *n_taken = train(*kernel, kernel->training); });
}

// Returns when these gradient steps have ended.
RL_TOOLS_EXPORT void kernel_finish_training(Kernel* kernel) {
    kernel->background.wait();
}

// Collects and trains with compiled environments; see `off_policy_loop::run`.
RL_TOOLS_EXPORT void kernel_run(Kernel* kernel, const HyperParameters* hyper_parameters, const Request* request,
                                std::uint32_t n_threads, Result* result) {
    kernel->background.wait();
    kernel->device.thread_pool.use(n_threads);
    try {
        rl_tools::rl::components::off_policy_loop::run(kernel->algorithm, *hyper_parameters, *request, *result);
    } catch (const std::bad_alloc&) {  // which it throws before the first step, if at all
        result->status = rl_tools::rl::components::off_policy_loop::Status::NO_MEMORY;
    }
    kernel->device.thread_pool.pause();
}

// Actions for observations [n][OBSERVATION_DIM]: `actions` [2][n][ACTION_DIM] receives those in [-1, 1] and then those
// in the environment's bounds. Noise is drawn from `engine`, or made of `normal` [n][ACTION_DIM], or with gSDE of
// `matrices`, where that of observation i begins `matrix_stride` elements behind that of observation i - 1; all are
// null for deterministic actions. Returns whether all actions are finite. May be called while another thread trains.
RL_TOOLS_EXPORT std::int32_t kernel_act(Kernel* kernel, const float* observations, std::int64_t n, const Engine* engine,
                                        const float* normal, const ALGORITHM::T* matrices, std::int64_t matrix_stride,
                                        float* actions) {
    const auto n_observations = static_cast<std::size_t>(n);
    return act(kernel->algorithm, kernel->acting, observations, n_observations,
               {engine, normal, matrices, static_cast<std::size_t>(matrix_stride)}, actions,
               actions + n_observations * ALGORITHM::ACTION_DIM);
}

// Draws `n` matrices [LATENT_DIM][ACTION_DIM] of exploration noise; nothing without gSDE.
RL_TOOLS_EXPORT void kernel_sample_matrices([[maybe_unused]] const Kernel* kernel,
                                            [[maybe_unused]] const Engine* engine, [[maybe_unused]] std::int64_t n,
                                            [[maybe_unused]] ALGORITHM::T* matrices) {
    if constexpr (ALGORITHM::HAS_NOISE_MATRIX) {
        for (std::int64_t i = 0; i < n; i++) {
            sample_exploration_matrix(
                kernel->algorithm, *engine, static_cast<std::uint32_t>(i),
                matrices + static_cast<std::size_t>(i) * ALGORITHM::LATENT_DIM * ALGORITHM::ACTION_DIM);
        }
    }
}

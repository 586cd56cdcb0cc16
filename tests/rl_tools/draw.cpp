// What a gradient step draws, so that tests can feed it to SB3's update; called by tests/draw.py. One library for all
// kernels: nothing here depends on the types of a replay buffer's observations.

#include <utility>

#include <rl_tools/interface/export.h>
#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/components/sb3_replay_buffer/operations_generic.h>

namespace philox = rl_tools::random::philox;
using ReplayBuffer = rl_tools::rl::components::SB3ReplayBuffer<float>;

namespace {
    constexpr std::size_t MAX_DIM = 32;

    template <typename T>
    using Normal = void (*)(const philox::Engine&, philox::Stream, std::uint32_t, T*);

    template <typename T, std::size_t DIM>
    void normal(const philox::Engine& engine, philox::Stream stream, std::uint32_t sample, T* target) {
        philox::normal<DIM, 1>(engine, stream, sample, target);
    }

    template <typename T, std::size_t... INDEX>
    void rows(std::index_sequence<INDEX...>, const philox::Engine& engine, philox::Stream stream, std::int64_t n,
              std::int64_t dim, T* target) {
        constexpr Normal<T> FUNCTIONS[] = {normal<T, INDEX + 1>...};
        for (std::int64_t i = 0; i < n; i++) {
            FUNCTIONS[dim - 1](engine, stream, static_cast<std::uint32_t>(i), target + i * dim);
        }
    }
}

// Rows and environments [n] of the transitions that the samples of a batch are.
RL_TOOLS_EXPORT void draw_transitions(const ReplayBuffer* buffer, const philox::Engine* engine, std::int64_t n,
                                      std::int64_t* rows, std::int64_t* environments) {
    for (std::int64_t i = 0; i < n; i++) {
        const auto index =
            rl_tools::rl::components::sb3_replay_buffer::sample(*buffer, *engine, static_cast<std::uint32_t>(i));
        rows[i] = index.row;
        environments[i] = index.environment;
    }
}

// Standard normal variates [n][dim] of a stream; `dim` is MAX_DIM at most.
RL_TOOLS_EXPORT void draw_normal_float32(const philox::Engine* engine, philox::Stream stream, std::int64_t n,
                                         std::int64_t dim, float* target) {
    rows(std::make_index_sequence<MAX_DIM>{}, *engine, stream, n, dim, target);
}

RL_TOOLS_EXPORT void draw_normal_float64(const philox::Engine* engine, philox::Stream stream, std::int64_t n,
                                         std::int64_t dim, double* target) {
    rows(std::make_index_sequence<MAX_DIM>{}, *engine, stream, n, dim, target);
}

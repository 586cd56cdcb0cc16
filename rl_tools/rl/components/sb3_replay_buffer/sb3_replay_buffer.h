#pragma once
// The arrays of `stable_baselines3.common.buffers.ReplayBuffer`, read where they lie.

#include <cstddef>
#include <cstdint>

#include <rl_tools/rl_tools.h>

namespace rl_tools::rl::components {
    template <typename T_OBSERVATION>
    struct SB3ReplayBuffer {
        const T_OBSERVATION* observations;       // [row][environment][OBSERVATION_DIM]
        const T_OBSERVATION* next_observations;  // "
        const float* actions;                    // [row][environment][ACTION_DIM], scaled to [-1, 1]
        const float* rewards;                    // [row][environment]
        const float* dones;                      // "
        const float* timeouts;                   // "; 1 where the episode was cut by a time limit
        std::int64_t n_environments;
        std::int64_t n_rows;  // filled so far
    };

    namespace sb3_replay_buffer {
        struct Index {
            std::uint32_t row;
            std::uint32_t environment;
        };
    }
}

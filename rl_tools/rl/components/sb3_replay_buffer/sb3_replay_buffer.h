#pragma once
// The arrays of `stable_baselines3.common.buffers.ReplayBuffer`, read and written where they lie.

#include <cstddef>
#include <cstdint>

#include <rl_tools/rl_tools.h>

namespace rl_tools::rl::components {
    namespace sb3_replay_buffer {
        // One entry of a dictionary of observations: its type and number of elements.
        template <typename T_T, std::size_t T_DIM>
        struct Entry {
            using T = T_T;
            static constexpr std::size_t DIM = T_DIM;
        };

        // Stands in the place of an observation's type where observations are dictionaries. `observations` and
        // `next_observations` of the buffer are then addresses of an `EntryArray` for each entry, in this order.
        template <typename... ENTRY>
        struct Entries {};

        struct EntryArray {
            const void* values;                // [row][environment][DIM] of the entry's type
            const double* mean;                // [DIM]; null where the entry is not normalised
            const double* standard_deviation;  // "
        };
    }

    template <typename T_OBSERVATION>
    struct SB3ReplayBuffer {
        T_OBSERVATION* observations;       // [row][environment][OBSERVATION_DIM]
        T_OBSERVATION* next_observations;  // "; null if the next row of `observations` holds them
        float* actions;                    // [row][environment][ACTION_DIM], scaled to [-1, 1]
        float* rewards;                    // [row][environment]
        float* dones;                      // "
        float* timeouts;                   // "; 1 where the episode was cut by a time limit
        const float* discounts;            // [row], only if `is_batch`; null: use gamma
        std::int64_t n_environments;
        std::int64_t capacity;   // rows of the arrays
        std::int64_t first_row;  // transitions are drawn from `n_rows` rows from this one on, and on from row 0
        std::int64_t n_rows;
        std::int64_t newest_row;  // where n-step returns end, because older episodes follow
        std::int64_t is_batch;    // whether row i is sample i of a batch that the caller has drawn
        // `stable_baselines3.common.buffers.NStepReplayBuffer`
        std::int64_t n_steps;
        const float* n_step_discounts;  // [n_steps + 1], the powers of gamma as SB3 rounds them; null without
        // `stable_baselines3.common.vec_env.VecNormalize`, with the statistics of this moment
        const double* observation_mean;                // [OBSERVATION_DIM], null without normalisation
        const double* observation_standard_deviation;  // "
        double observation_clip;
        double reward_standard_deviation;  // 0 without normalisation
        double reward_clip;
    };

    namespace sb3_replay_buffer {
        struct Index {
            std::uint32_t row;
            std::uint32_t environment;
        };

        // One transition but for its vectors.
        template <typename T>
        struct Outcome {
            T reward;
            T done;      // 0 at a time limit, where the episode would have gone on (SB3 issue 284)
            T discount;  // of the value of the next observation
        };
    }
}

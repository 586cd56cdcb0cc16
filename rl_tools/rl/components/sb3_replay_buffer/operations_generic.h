#pragma once

#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/components/sb3_replay_buffer/sb3_replay_buffer.h>

namespace rl_tools::rl::components::sb3_replay_buffer {
    // Uniform over all stored transitions, with replacement.
    inline Index sample(const random::philox::Engine& engine, std::int64_t n_rows, std::int64_t n_environments,
                        std::uint32_t sample) {
        namespace philox = random::philox;
        const philox::Block bits = philox::block(engine, philox::Stream::TRANSITION, sample);
        return {philox::uniform_int(bits.words[0], bits.words[1], static_cast<std::uint32_t>(n_rows)),
                philox::uniform_int(bits.words[2], bits.words[3], static_cast<std::uint32_t>(n_environments))};
    }

    // Copies one transition into lane `lane` of feature-major panels; `done` is 0 at a time limit, where the
    // episode would have gone on (SB3 issue 284).
    template <std::size_t OBSERVATION_DIM, std::size_t ACTION_DIM, std::size_t STRIDE, typename OBSERVATION, typename T>
    inline void gather(const SB3ReplayBuffer<OBSERVATION>& buffer, Index index, std::size_t lane, T* observation,
                       T* next_observation, T* action, T& reward, T& done) {
        const std::size_t transition = index.row * static_cast<std::size_t>(buffer.n_environments) + index.environment;
        const OBSERVATION* source = buffer.observations + transition * OBSERVATION_DIM;
        const OBSERVATION* next_source = buffer.next_observations + transition * OBSERVATION_DIM;
        for (std::size_t i = 0; i < OBSERVATION_DIM; i++) {
            // Through float32, as SB3's `preprocess_obs` casts.
            observation[i * STRIDE + lane] = static_cast<T>(static_cast<float>(source[i]));
            next_observation[i * STRIDE + lane] = static_cast<T>(static_cast<float>(next_source[i]));
        }
        for (std::size_t i = 0; i < ACTION_DIM; i++) {
            action[i * STRIDE + lane] = static_cast<T>(buffer.actions[transition * ACTION_DIM + i]);
        }
        reward = static_cast<T>(buffer.rewards[transition]);
        done = static_cast<T>(buffer.dones[transition] * (1 - buffer.timeouts[transition]));
    }
}

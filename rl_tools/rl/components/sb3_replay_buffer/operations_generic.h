#pragma once

#include <rl_tools/random/philox/operations_generic.h>
#include <rl_tools/rl/components/sb3_replay_buffer/sb3_replay_buffer.h>

namespace rl_tools::rl::components::sb3_replay_buffer {
    // Uniform over all stored transitions, with replacement; or simply the sample's own row of a batch.
    template <typename OBSERVATION>
    inline Index sample(const SB3ReplayBuffer<OBSERVATION>& buffer, const random::philox::Engine& engine,
                        std::uint32_t sample) {
        namespace philox = random::philox;
        if (buffer.is_batch) {
            return {sample, 0};
        }
        const philox::Block bits = philox::block(engine, philox::Stream::TRANSITION, sample);
        const std::int64_t row = buffer.first_row + philox::uniform_int(bits.words[0], bits.words[1],
                                                                        static_cast<std::uint32_t>(buffer.n_rows));
        return {static_cast<std::uint32_t>(row % buffer.capacity),
                philox::uniform_int(bits.words[2], bits.words[3], static_cast<std::uint32_t>(buffer.n_environments))};
    }

    template <typename OBSERVATION>
    inline std::size_t transition(const SB3ReplayBuffer<OBSERVATION>& buffer, Index index) {
        return index.row * static_cast<std::size_t>(buffer.n_environments) + index.environment;
    }

    // numpy's `clip(value, -bound, bound)`, which leaves NaN.
    inline double clip(double value, double bound) {
        const double raised = value < -bound ? -bound : value;
        return raised > bound ? bound : raised;
    }

    // Element `i` of an observation as the networks see it. In float32, as SB3's `preprocess_obs` casts; normalised in
    // float64 before, as VecNormalize does.
    template <std::size_t DIVISOR, typename OBSERVATION>
    inline float preprocess(const SB3ReplayBuffer<OBSERVATION>& buffer, OBSERVATION value, std::size_t i) {
        if (!buffer.observation_mean) {
            return static_cast<float>(value) / static_cast<float>(DIVISOR);
        }
        const double normalised =
            (static_cast<double>(value) - buffer.observation_mean[i]) / buffer.observation_standard_deviation[i];
        return static_cast<float>(clip(normalised, buffer.observation_clip)) / static_cast<float>(DIVISOR);
    }

    template <typename OBSERVATION>
    inline float reward(const SB3ReplayBuffer<OBSERVATION>& buffer, std::size_t transition) {
        const float value = buffer.rewards[transition];
        if (buffer.reward_standard_deviation == 0) {
            return value;
        }
        const double normalised = static_cast<double>(value) / buffer.reward_standard_deviation;
        return static_cast<float>(clip(normalised, buffer.reward_clip));
    }

    // Adds up the rewards of the next `n_steps` transitions or of those until the episode ends, and moves `index` to
    // the last of them. Returns how many there were.
    template <typename OBSERVATION>
    inline std::int64_t n_step_return(const SB3ReplayBuffer<OBSERVATION>& buffer, Index& index, float& sum) {
        sum = 0;
        for (std::int64_t step = 0;; step++) {
            const std::size_t current = transition(buffer, index);
            sum += reward(buffer, current) * buffer.n_step_discounts[step];
            const bool ends = buffer.dones[current] != 0 || buffer.timeouts[current] != 0 ||
                              static_cast<std::int64_t>(index.row) == buffer.newest_row;
            if (ends || step + 1 == buffer.n_steps) {
                return step + 1;
            }
            index.row = static_cast<std::uint32_t>((index.row + 1) % buffer.capacity);
        }
    }

    // Copies one transition into lane `lane` of feature-major panels.
    template <std::size_t OBSERVATION_DIM, std::size_t ACTION_DIM, std::size_t DIVISOR, std::size_t STRIDE,
              typename OBSERVATION, typename T>
    inline Outcome<T> gather(const SB3ReplayBuffer<OBSERVATION>& buffer, Index index, double gamma, std::size_t lane,
                             T* observation, T* next_observation, T* action) {
        const std::size_t first = transition(buffer, index);
        for (std::size_t i = 0; i < ACTION_DIM; i++) {
            action[i * STRIDE + lane] = static_cast<T>(buffer.actions[first * ACTION_DIM + i]);
        }
        float sum_of_rewards;
        T discount = static_cast<T>(buffer.discounts ? static_cast<double>(buffer.discounts[index.row]) : gamma);
        if (buffer.n_step_discounts) {
            discount = static_cast<T>(buffer.n_step_discounts[n_step_return(buffer, index, sum_of_rewards)]);
        } else {
            sum_of_rewards = reward(buffer, first);
        }
        const std::size_t last = transition(buffer, index);
        const Index following = {static_cast<std::uint32_t>((index.row + 1) % buffer.capacity), index.environment};
        const OBSERVATION* source = buffer.observations + first * OBSERVATION_DIM;
        const OBSERVATION* next_source = buffer.next_observations
                                             ? buffer.next_observations + last * OBSERVATION_DIM
                                             : buffer.observations + transition(buffer, following) * OBSERVATION_DIM;
        for (std::size_t i = 0; i < OBSERVATION_DIM; i++) {
            observation[i * STRIDE + lane] = static_cast<T>(preprocess<DIVISOR>(buffer, source[i], i));
            next_observation[i * STRIDE + lane] = static_cast<T>(preprocess<DIVISOR>(buffer, next_source[i], i));
        }
        return {static_cast<T>(sum_of_rewards), static_cast<T>(buffer.dones[last] * (1 - buffer.timeouts[last])),
                discount};
    }

    // The transitions of one step of each environment, from compiled environments: float32 throughout.
    struct Step {
        const float* observations;       // [environment][OBSERVATION_DIM]
        const float* next_observations;  // "
        const float* actions;            // [environment][ACTION_DIM]
        const float* rewards;            // [environment]
        const std::uint8_t* terminated;  // "
        const std::uint8_t* truncated;   // "
    };

    // Writes row `row` as SB3's `add` does. Without `handle_timeout_termination` nothing tells time limits apart.
    template <std::size_t OBSERVATION_DIM, std::size_t ACTION_DIM, typename OBSERVATION>
    inline void store(SB3ReplayBuffer<OBSERVATION>& buffer, std::int64_t row, const Step& step,
                      bool handle_timeout_termination) {
        const auto n = static_cast<std::size_t>(buffer.n_environments);
        const std::size_t first = static_cast<std::size_t>(row) * n;
        const std::size_t following = static_cast<std::size_t>((row + 1) % buffer.capacity) * n;
        OBSERVATION* next_observations = buffer.next_observations ? buffer.next_observations + first * OBSERVATION_DIM
                                                                  : buffer.observations + following * OBSERVATION_DIM;
        for (std::size_t i = 0; i < n * OBSERVATION_DIM; i++) {
            buffer.observations[first * OBSERVATION_DIM + i] = static_cast<OBSERVATION>(step.observations[i]);
            next_observations[i] = static_cast<OBSERVATION>(step.next_observations[i]);
        }
        for (std::size_t i = 0; i < n * ACTION_DIM; i++) {
            buffer.actions[first * ACTION_DIM + i] = step.actions[i];
        }
        for (std::size_t i = 0; i < n; i++) {
            const bool is_time_limit = step.truncated[i] && !step.terminated[i];
            buffer.rewards[first + i] = step.rewards[i];
            buffer.dones[first + i] = step.terminated[i] || step.truncated[i] ? 1.0f : 0.0f;
            if (handle_timeout_termination) {
                buffer.timeouts[first + i] = is_time_limit ? 1.0f : 0.0f;
            }
        }
    }

    // Which rows may be drawn when the next to be written is `position`.
    template <typename OBSERVATION>
    inline void set_position(SB3ReplayBuffer<OBSERVATION>& buffer, std::int64_t position, bool is_full) {
        buffer.first_row = 0;
        buffer.n_rows = is_full ? buffer.capacity : position;
        buffer.newest_row = (position + buffer.capacity - 1) % buffer.capacity;
        if (!buffer.next_observations && is_full) {
            // The observation that followed the newest transition has overwritten the oldest one's.
            buffer.first_row = position + 1;
            buffer.n_rows = buffer.capacity - 1;
        }
    }
}

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

    // An element of an observation as the networks see it. In float32, as SB3's `preprocess_obs` casts; normalised in
    // float64 before, as VecNormalize does, where there are a mean and a standard deviation of that element.
    template <std::size_t DIVISOR, typename VALUE>
    inline float preprocess(VALUE value, const double* mean, const double* standard_deviation, std::size_t i,
                            double bound) {
        if (!mean) {
            return static_cast<float>(value) / static_cast<float>(DIVISOR);
        }
        const double normalised = (static_cast<double>(value) - mean[i]) / standard_deviation[i];
        return static_cast<float>(clip(normalised, bound)) / static_cast<float>(DIVISOR);
    }

    // target[i * STRIDE] = element i of the observation of a transition.
    template <std::size_t DIM, std::size_t DIVISOR, std::size_t STRIDE, typename OBSERVATION, typename T>
    inline void read(const SB3ReplayBuffer<OBSERVATION>& buffer, const OBSERVATION* observations,
                     std::size_t transition, T* target) {
        const OBSERVATION* source = observations + transition * DIM;
        for (std::size_t i = 0; i < DIM; i++) {
            target[i * STRIDE] = static_cast<T>(preprocess<DIVISOR>(
                source[i], buffer.observation_mean, buffer.observation_standard_deviation, i, buffer.observation_clip));
        }
    }

    // target[i * STRIDE] = element i of one entry of a dictionary.
    template <typename ENTRY, std::size_t DIVISOR, std::size_t STRIDE, typename T>
    inline void read_entry(const EntryArray& entry, std::size_t transition, double bound, T* target) {
        const auto* source = static_cast<const typename ENTRY::T*>(entry.values) + transition * ENTRY::DIM;
        for (std::size_t i = 0; i < ENTRY::DIM; i++) {
            target[i * STRIDE] =
                static_cast<T>(preprocess<DIVISOR>(source[i], entry.mean, entry.standard_deviation, i, bound));
        }
    }

    // The same for all entries, one behind the other.
    template <std::size_t DIM, std::size_t DIVISOR, std::size_t STRIDE, typename... ENTRY, typename T>
    inline void read(const SB3ReplayBuffer<Entries<ENTRY...>>& buffer, const Entries<ENTRY...>* entries,
                     std::size_t transition, T* target) {
        static_assert((ENTRY::DIM + ... + 0) == DIM, "the entries are the whole observation");
        const auto* array = reinterpret_cast<const EntryArray*>(entries);
        ((read_entry<ENTRY, DIVISOR, STRIDE>(*array++, transition, buffer.observation_clip, target),
          target += ENTRY::DIM * STRIDE),
         ...);
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
        read<OBSERVATION_DIM, DIVISOR, STRIDE>(buffer, buffer.observations, first, observation + lane);
        if (buffer.next_observations) {
            read<OBSERVATION_DIM, DIVISOR, STRIDE>(buffer, buffer.next_observations, last, next_observation + lane);
        } else {
            const Index following = {static_cast<std::uint32_t>((index.row + 1) % buffer.capacity), index.environment};
            read<OBSERVATION_DIM, DIVISOR, STRIDE>(buffer, buffer.observations, transition(buffer, following),
                                                   next_observation + lane);
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

    // Compiled environments have no dictionaries: a loop over such a buffer is never run.
    template <std::size_t OBSERVATION_DIM, std::size_t ACTION_DIM, typename... ENTRY>
    inline void store(SB3ReplayBuffer<Entries<ENTRY...>>&, std::int64_t, const Step&, bool) {}

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

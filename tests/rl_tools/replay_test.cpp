// Gathering from and storing to SB3's replay buffer against its rules written down independently: every data type,
// n-step returns, normalisation, and the memory-optimised ring. Exits with 1 at the first failure.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include <rl_tools/rl/components/sb3_replay_buffer/operations_generic.h>

namespace replay = rl_tools::rl::components::sb3_replay_buffer;
using rl_tools::rl::components::SB3ReplayBuffer;

constexpr std::size_t OBSERVATION_DIM = 3, ACTION_DIM = 2, STRIDE = 4, LANE = 2;
constexpr std::int64_t ROWS = 6, ENVIRONMENTS = 2;

namespace {
    void require(double value, double expected, const char* what, std::size_t i) {
        if (value != expected) {
            std::printf("%s %zu is %.9g, expected %.9g\n", what, i, value, expected);
            std::exit(1);
        }
    }

    // Arrays in which each number tells where it lies, and small enough for 8 bits.
    template <typename OBSERVATION>
    struct Arrays {
        std::vector<OBSERVATION> observations, next_observations;
        std::vector<float> actions, rewards, dones, timeouts;
        SB3ReplayBuffer<OBSERVATION> view{};

        Arrays()
            : observations(ROWS * ENVIRONMENTS * OBSERVATION_DIM),
              next_observations(observations.size()),
              actions(ROWS * ENVIRONMENTS * ACTION_DIM),
              rewards(ROWS * ENVIRONMENTS),
              dones(rewards.size()),
              timeouts(rewards.size()) {
            for (std::size_t i = 0; i < observations.size(); i++) {
                observations[i] = static_cast<OBSERVATION>(i);
                next_observations[i] = static_cast<OBSERVATION>(64 + i);
            }
            for (std::size_t i = 0; i < actions.size(); i++) {
                actions[i] = 0.01f * static_cast<float>(i);
            }
            for (std::size_t i = 0; i < rewards.size(); i++) {
                rewards[i] = static_cast<float>(1 << i);
            }
            view.observations = observations.data();
            view.next_observations = next_observations.data();
            view.actions = actions.data();
            view.rewards = rewards.data();
            view.dones = dones.data();
            view.timeouts = timeouts.data();
            view.n_environments = ENVIRONMENTS;
            view.capacity = view.n_rows = ROWS;
            view.newest_row = ROWS - 1;
        }
    };

    template <typename T>
    struct Gathered {
        T observation[OBSERVATION_DIM * STRIDE], next_observation[OBSERVATION_DIM * STRIDE],
            action[ACTION_DIM * STRIDE];
        replay::Outcome<T> outcome;
    };

    template <typename T, std::size_t DIVISOR = 1, typename OBSERVATION>
    Gathered<T> gather(const SB3ReplayBuffer<OBSERVATION>& view, std::uint32_t row, std::uint32_t environment) {
        Gathered<T> result;
        std::fill_n(result.observation, OBSERVATION_DIM * STRIDE, T(-1));
        result.outcome = replay::gather<OBSERVATION_DIM, ACTION_DIM, DIVISOR, STRIDE>(
            view, {row, environment}, 0.99, LANE, result.observation, result.next_observation, result.action);
        return result;
    }

    template <typename OBSERVATION, typename T, std::size_t DIVISOR>
    void test_data_type() {
        Arrays<OBSERVATION> arrays;
        arrays.dones[9] = arrays.dones[7] = 1;
        arrays.timeouts[7] = 1;
        for (std::uint32_t row = 0; row < ROWS; row++) {
            for (std::uint32_t environment = 0; environment < ENVIRONMENTS; environment++) {
                const auto result = gather<T, DIVISOR>(arrays.view, row, environment);
                const std::size_t at = row * ENVIRONMENTS + environment;
                for (std::size_t i = 0; i < OBSERVATION_DIM; i++) {
                    const std::size_t element = at * OBSERVATION_DIM + i, lane = i * STRIDE + LANE;
                    const float divisor = DIVISOR;
                    require(result.observation[lane], static_cast<float>(element) / divisor, "observation", i);
                    require(result.next_observation[lane], static_cast<float>(64 + element) / divisor, "next", i);
                    require(result.observation[lane + 1], -1, "the lane beside", i);
                }
                for (std::size_t i = 0; i < ACTION_DIM; i++) {
                    require(result.action[i * STRIDE + LANE], arrays.actions[at * ACTION_DIM + i], "action", i);
                }
                require(result.outcome.reward, 1 << at, "reward", at);
                require(result.outcome.done, at == 9, "done, but not at a time limit,", at);
                require(result.outcome.discount, static_cast<T>(0.99), "discount", at);
            }
        }
    }

    void test_n_step_returns() {
        Arrays<float> arrays;
        const std::vector<float> discounts{1.0f, 0.5f, 0.25f, 0.125f};
        arrays.view.n_steps = 3;
        arrays.view.n_step_discounts = discounts.data();
        arrays.view.newest_row = 1;  // older episodes follow, so the oldest transition is in row 2
        arrays.dones[4 * ENVIRONMENTS] = 1;
        arrays.timeouts[5 * ENVIRONMENTS + 1] = arrays.dones[5 * ENVIRONMENTS + 1] = 1;
        const auto require_return = [&](std::uint32_t row, std::uint32_t environment, std::int64_t n, double done) {
            const auto result = gather<double>(arrays.view, row, environment);
            float sum = 0;
            for (std::int64_t step = 0; step < n; step++) {
                sum += arrays.rewards[(row + step) % ROWS * ENVIRONMENTS + environment] * discounts[step];
            }
            const std::size_t last = (row + n - 1) % ROWS * ENVIRONMENTS + environment;
            require(result.outcome.reward, sum, "n-step return of row", row);
            require(result.outcome.discount, discounts[n], "n-step discount of row", row);
            require(result.outcome.done, done, "n-step done of row", row);
            require(result.next_observation[LANE], static_cast<float>(64 + last * OBSERVATION_DIM), "n-step next", row);
            require(result.observation[LANE], (row * ENVIRONMENTS + environment) * OBSERVATION_DIM, "first", row);
        };
        require_return(2, 0, 3, 1);  // the last of three ends the episode
        require_return(3, 0, 2, 1);  // the episode ends before
        require_return(4, 0, 1, 1);
        require_return(4, 1, 2, 0);  // a time limit ends it, but is no end
        require_return(5, 0, 3, 0);  // around the end of the ring, up to the newest row
        require_return(0, 1, 2, 0);  // the newest row ends it
        require_return(2, 1, 3, 0);  // nothing ends it
    }

    void test_normalisation() {
        Arrays<std::uint8_t> arrays;
        const std::vector<double> mean{1.5, 2.5, 30}, deviation{2, 4, 0.5};
        arrays.view.observation_mean = mean.data();
        arrays.view.observation_standard_deviation = deviation.data();
        arrays.view.observation_clip = 5;
        arrays.view.reward_standard_deviation = 3;
        arrays.view.reward_clip = 10;
        for (std::uint32_t row = 0; row < ROWS; row++) {
            const auto result = gather<double, 255>(arrays.view, row, 1);
            const std::size_t at = row * ENVIRONMENTS + 1;
            for (std::size_t i = 0; i < OBSERVATION_DIM; i++) {
                const auto normalised = [&](double x) {
                    return static_cast<float>(std::clamp((x - mean[i]) / deviation[i], -5.0, 5.0)) / 255.0f;
                };
                const double x = static_cast<double>(at * OBSERVATION_DIM + i);
                require(result.observation[i * STRIDE + LANE], normalised(x), "normalised observation", i);
                require(result.next_observation[i * STRIDE + LANE], normalised(64 + x), "normalised next", i);
            }
            const auto reward = static_cast<float>(std::min(static_cast<double>(1 << at) / 3, 10.0));
            require(result.outcome.reward, reward, "normalised reward", row);
        }
    }

    // What `add` writes is what is gathered, and only rows whose next observation is still there may be drawn.
    template <typename OBSERVATION>
    void test_store(bool optimises_memory, bool handles_timeouts) {
        Arrays<OBSERVATION> arrays;
        if (optimises_memory) {
            arrays.view.next_observations = nullptr;
        }
        constexpr std::int64_t N_STEPS = 9;
        std::int64_t position = 0;
        bool is_full = false;
        for (std::int64_t t = 0; t < N_STEPS; t++) {
            std::vector<float> observations, next_observations, actions;
            for (std::size_t i = 0; i < ENVIRONMENTS * OBSERVATION_DIM; i++) {
                observations.push_back(static_cast<float>(t * 10 + static_cast<std::int64_t>(i)));
                next_observations.push_back(static_cast<float>((t + 1) * 10 + static_cast<std::int64_t>(i)));
            }
            for (std::size_t i = 0; i < ENVIRONMENTS * ACTION_DIM; i++) {
                actions.push_back(static_cast<float>(t) + 0.25f * static_cast<float>(i));
            }
            const std::vector<float> rewards{static_cast<float>(t), static_cast<float>(-t)};
            const std::vector<std::uint8_t> terminated{t == 7, t == 8}, truncated{t == 6, t == 8};
            replay::store<OBSERVATION_DIM, ACTION_DIM>(arrays.view, position,
                                                       {observations.data(), next_observations.data(), actions.data(),
                                                        rewards.data(), terminated.data(), truncated.data()},
                                                       handles_timeouts);
            position = (position + 1) % ROWS;
            is_full = is_full || position == 0;
            replay::set_position(arrays.view, position, is_full);
        }
        require(static_cast<double>(arrays.view.newest_row), (N_STEPS - 1) % ROWS, "the newest row", 0);
        const std::int64_t n_rows = optimises_memory ? ROWS - 1 : ROWS;
        require(static_cast<double>(arrays.view.n_rows), static_cast<double>(n_rows), "the number of rows", 0);
        bool seen[N_STEPS] = {};
        for (std::uint32_t sample = 0; sample < 200; sample++) {
            const auto index = replay::sample(arrays.view, {3, 0}, sample);
            const auto result = gather<double>(arrays.view, index.row, index.environment);
            const auto t = static_cast<std::int64_t>(result.action[LANE] - 0.25 * 2 * index.environment);
            seen[t] = true;
            const double expected = static_cast<double>(t * 10) + 3 * index.environment;
            require(result.observation[LANE], expected, "stored observation of step", t);
            require(result.next_observation[LANE], expected + 10, "stored next observation of step", t);
            require(result.outcome.reward, index.environment == 0 ? t : -t, "stored reward of step", t);
            const bool ends = index.environment == 0 ? t == 6 || t == 7 : t == 8;
            const bool is_time_limit = handles_timeouts && index.environment == 0 && t == 6;
            require(result.outcome.done, ends && !is_time_limit, "stored end of step", t);
        }
        for (std::int64_t t = 0; t < N_STEPS; t++) {
            require(seen[t], t >= N_STEPS - n_rows, "whether it was drawn: step", t);
        }
    }
}

int main() {
    test_data_type<float, float, 1>();
    test_data_type<float, double, 1>();
    test_data_type<double, float, 1>();
    test_data_type<std::int8_t, float, 1>();
    test_data_type<std::uint8_t, double, 255>();
    test_data_type<std::int16_t, float, 1>();
    test_data_type<std::uint16_t, float, 1>();
    test_data_type<std::int32_t, float, 1>();
    test_data_type<std::uint32_t, float, 1>();
    test_data_type<std::int64_t, double, 1>();
    test_data_type<std::uint64_t, double, 1>();
    test_n_step_returns();
    test_normalisation();
    for (const bool optimises_memory : {false, true}) {
        for (const bool handles_timeouts : {false, true}) {
            test_store<float>(optimises_memory, handles_timeouts);
            test_store<double>(optimises_memory, handles_timeouts);
        }
    }
    std::puts("ok");
    return 0;
}

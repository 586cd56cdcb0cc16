// Drives the C interface of an environment, for the sanitizers: memory that is read or written out of bounds,
// undefined arithmetic, leaks. Exits with 1 when a check fails.

#include <cstdio>
#include <memory>
#include <random>

#include <rl_tools/interface/environment/environment.cpp>

namespace {
    constexpr std::size_t N = 5, STEPS = 300;
    constexpr std::int64_t STEP_LIMIT = 40;

    struct Destroy {
        void operator()(Environments* environments) const { environment_destroy(environments); }
    };
    using Handle = std::unique_ptr<Environments, Destroy>;

    // Each array in an allocation of its own and of exactly its size, so that the sanitizer sees the edges.
    struct Buffers {
        explicit Buffers(std::size_t n)
            : observations(n * ENVIRONMENT::OBSERVATION_DIM),
              rewards(n),
              terminated(n),
              truncated(n),
              final_observations(n * ENVIRONMENT::OBSERVATION_DIM),
              episode_returns(n),
              episode_lengths(n) {}

        Results results() {
            return {observations.data(),       rewards.data(),         terminated.data(),     truncated.data(),
                    final_observations.data(), episode_returns.data(), episode_lengths.data()};
        }

        std::vector<T> observations, rewards;
        std::vector<std::uint8_t> terminated, truncated;
        std::vector<T> final_observations;
        std::vector<double> episode_returns;
        std::vector<std::int64_t> episode_lengths;
    };

    Handle started(std::size_t n, std::uint64_t first_seed, Buffers& buffers) {
        Handle environments(environment_create(static_cast<std::int64_t>(n)));
        for (std::size_t i = 0; i < n; i++) {
            environment_seed(environments.get(), static_cast<std::int64_t>(i), first_seed + i);
        }
        const std::vector<std::uint8_t> mask(n, 1);
        std::int64_t culprit;
        environment_reset(environments.get(), mask.data(), 1, buffers.observations.data(), &culprit);
        environment_reset(environments.get(), mask.data(), 0, buffers.observations.data(), &culprit);
        return environments;
    }

    // Whether a batch and its members, stepped alone, see the same.
    bool agree(episode::Autoreset autoreset) {
        Buffers together(N);
        const Handle batch = started(N, 0, together);
        std::vector<Buffers> apart(N, Buffers(1));
        std::vector<Handle> members;
        for (std::size_t i = 0; i < N; i++) {
            members.push_back(started(1, i, apart[i]));
        }
        std::mt19937 random(0);
        std::normal_distribution<T> normal;
        for (std::size_t step = 0; step < STEPS; step++) {
            std::vector<T> actions(N * ENVIRONMENT::ACTION_DIM);
            for (T& action : actions) {
                action = 2 * normal(random);
            }
            std::int64_t culprit;
            const Results results = together.results();
            if (environment_step(batch.get(), actions.data(), STEP_LIMIT, autoreset, &results, &culprit) !=
                Status::DONE) {
                return false;
            }
            for (std::size_t i = 0; i < N; i++) {
                const std::size_t first = i * ENVIRONMENT::ACTION_DIM;
                const std::vector<T> action(actions.begin() + first, actions.begin() + first + ENVIRONMENT::ACTION_DIM);
                const Results result = apart[i].results();
                if (environment_step(members[i].get(), action.data(), STEP_LIMIT, autoreset, &result, &culprit) !=
                        Status::DONE ||
                    apart[i].rewards[0] != together.rewards[i] ||
                    std::memcmp(apart[i].observations.data(),
                                together.observations.data() + i * ENVIRONMENT::OBSERVATION_DIM,
                                sizeof(T) * ENVIRONMENT::OBSERVATION_DIM) != 0) {
                    return false;
                }
            }
        }
        return true;
    }

    // Whether steps are refused where they should be.
    bool refuses() {
        Buffers buffers(1);
        const Handle environment = started(1, 0, buffers);
        const Results results = buffers.results();
        std::vector<T> action(ENVIRONMENT::ACTION_DIM);
        const auto step = [&] {
            std::int64_t culprit;
            return environment_step(environment.get(), action.data(), 1, episode::Autoreset::DISABLED, &results,
                                    &culprit);
        };
        action.back() = std::numeric_limits<T>::quiet_NaN();
        if (step() != Status::ACTION_NOT_FINITE) {
            return false;
        }
        action.back() = 0;
        return step() == Status::DONE && step() == Status::EPISODE_HAS_ENDED;
    }
}

int main() {
    const Handle one(environment_create(1));
    if (environment_check(one.get()) != episode::Flaw::NONE) {
        std::puts("the environment writes another observation than it declares");
        return 1;
    }
    if (!agree(episode::Autoreset::NEXT_STEP) || !agree(episode::Autoreset::SAME_STEP)) {
        std::puts("a batch differs from its members");
        return 1;
    }
    if (!refuses()) {
        std::puts("a step was taken that should not be");
        return 1;
    }
    std::puts("ok");
    return 0;
}

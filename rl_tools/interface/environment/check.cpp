// Runs an environment with random actions, for a build with sanitizers: `check N_STEPS SEED`. What is wrong goes to
// stderr, by the sanitizers or by this, and the exit status is not 0 then.

#include <rl_tools/interface/environment/environment.cpp>

#include <cstdio>
#include <cstdlib>
#include <random>

namespace {
    constexpr std::size_t N = 4;
    constexpr std::int64_t LONGEST_EPISODE = 200;
    const char* const FUNCTIONS[] = {"",
                                     "init",
                                     "sample_initial_parameters or initial_parameters",
                                     "sample_initial_state or initial_state",
                                     "step",
                                     "reward",
                                     "terminated",
                                     "observe",
                                     "visit_parameters",
                                     "visit_state",
                                     "visit_info"};

    [[noreturn]] void fail(const char* what) {
        std::fprintf(stderr, "check-env: %s\n", what);
        std::exit(1);
    }

    void require_success(const Environments& environments) {
        const auto& failure = environments.failure;
        if (failure.function != episode::Function::NONE) {
            std::fprintf(stderr, "check-env: %s() threw an exception: %s\n",
                         FUNCTIONS[static_cast<std::size_t>(failure.function)], failure.message.c_str());
            std::exit(1);
        }
    }

    template <typename VALUE>
    void require_finite(const std::vector<VALUE>& values, const char* what) {
        for (const VALUE value : values) {
            if (!std::isfinite(value)) {
                fail(what);
            }
        }
    }

    // What visit_parameters and visit_state show of the environments, into allocations of exactly its size.
    void read(Environments* environments) {
        for (const auto shown : {episode::Shown::PARAMETERS, episode::Shown::STATE}) {
            std::vector<double> values(environments->n_elements[static_cast<std::size_t>(shown)]);
            for (std::size_t i = 0; i < N; i++) {
                environment_read(environments, shown, static_cast<std::int64_t>(i), values.data());
                require_success(*environments);
                require_finite(values, shown == episode::Shown::STATE
                                           ? "visit_state() shows NaN or an infinite value"
                                           : "visit_parameters() shows NaN or an infinite value");
            }
        }
    }
}

int main(int, char** arguments) {
    const std::int64_t n_steps = std::atoll(arguments[1]);
    const std::uint64_t seed = std::strtoull(arguments[2], nullptr, 10);
    Environments* environments = environment_create(N);
    require_success(*environments);
    environment_describe(environments);
    require_success(*environments);
    std::vector<T> observation_low(ENVIRONMENT::OBSERVATION_DIM), observation_high(ENVIRONMENT::OBSERVATION_DIM);
    std::vector<T> low(ENVIRONMENT::ACTION_DIM), high(ENVIRONMENT::ACTION_DIM);
    environment_bounds(observation_low.data(), observation_high.data(), low.data(), high.data());

    // Each in an allocation of its own and of exactly its size, so that the sanitizers see the edges.
    std::vector<T> observations(N * ENVIRONMENT::OBSERVATION_DIM), final_observations(observations), rewards(N);
    std::vector<std::uint8_t> terminated(N), truncated(N);
    const std::vector<std::uint8_t> all(N, 1);
    std::vector<double> episode_returns(N);
    std::vector<std::int64_t> episode_lengths(N);
    std::vector<double> infos(N * environments->n_elements[static_cast<std::size_t>(episode::Shown::INFO)]);
    const Results results = {
        observations.data(),       rewards.data(),         terminated.data(),      truncated.data(),
        final_observations.data(), episode_returns.data(), episode_lengths.data(), infos.data()};
    std::vector<T> actions(N * ENVIRONMENT::ACTION_DIM);
    std::mt19937_64 rng(seed);
    std::uniform_real_distribution<double> uniform(0, 1);
    std::int64_t culprit = 0;
    for (std::size_t i = 0; i < N; i++) {
        environment_seed(environments, static_cast<std::int64_t>(i), seed + i);
    }
    for (const std::int32_t nominal : {1, 0}) {
        environment_reset(environments, all.data(), nominal, observations.data(), &culprit);
        require_success(*environments);
        require_finite(observations, "observe() wrote NaN or an infinite value after a reset");
        read(environments);
    }
    for (std::int64_t step = 0; step < n_steps; step++) {
        for (std::size_t i = 0; i < actions.size(); i++) {
            const std::size_t j = i % ENVIRONMENT::ACTION_DIM;
            // Now and then the bounds themselves, for some time, as a policy that has learned nothing would choose.
            const double at = step / 50 % 3 == 1 ? static_cast<double>(step / 150 % 2) : uniform(rng);
            actions[i] = static_cast<T>(low[j] + at * (static_cast<double>(high[j]) - low[j]));
        }
        environment_step(environments, actions.data(), LONGEST_EPISODE, episode::Autoreset::SAME_STEP, &results,
                         &culprit);
        require_success(*environments);
        require_finite(rewards, "reward() returned NaN or an infinite value");
        require_finite(observations, "observe() wrote NaN or an infinite value");
        require_finite(final_observations, "observe() wrote NaN or an infinite value at the end of an episode");
        require_finite(infos, "visit_info() shows NaN or an infinite value");
        if (step % LONGEST_EPISODE == 0) {
            read(environments);
        }
    }
    // Only now: it is to find what the sanitizers can't, an observation with elements that are never written.
    const auto flaw = environment_check(environments);
    require_success(*environments);
    if (flaw == episode::Flaw::OBSERVES_TOO_LITTLE) {
        fail("observe() leaves elements of the observation unset");
    }
    environment_destroy(environments);
    return 0;
}

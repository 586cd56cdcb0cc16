// Runs an environment with random actions, for a build with sanitizers: `check N_STEPS SEED SECONDS`. What is wrong
// goes to stderr, by the sanitizers or by this, and the exit status is not 0 then; else the last line of stdout says
// what was done.

#define RL_TOOLS_CHECKED

#include <rl_tools/interface/environment/environment.cpp>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <sstream>

#include <rl_tools/interface/environment/thrown_from.h>

#include <sanitizer/asan_interface.h>
#include <sys/time.h>

// Of AddressSanitizer; its header is missing from GCC's.
extern "C" std::size_t __sanitizer_get_current_allocated_bytes();

namespace {
    constexpr std::size_t N = 4;
    // At first, so that many begin; then what the author declares.
    constexpr std::int64_t LONGEST_EPISODE = 200;
    constexpr unsigned char UNTOUCHED = 0xF5;  // as a float -6.2e32, which no environment observes
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
                                     "visit_info",
                                     "the constructor State, Parameters or Environment"};
    bool is_done = false;

    [[noreturn]] void fail(const std::string& what) {
        std::fprintf(stderr, "check-env: %s\n", what.c_str());
        is_done = true;
        std::exit(1);
    }

    // The author's code has called std::exit, and is on the stack.
    void tell_of_exit() {
        if (!is_done) {
            std::fprintf(stderr, "check-env: the environment ended the process, as by std::exit\n");
            __sanitizer_print_stack_trace();
            std::_Exit(1);
        }
    }

    // The time is up, and where it was spent is on the stack.
    void tell_of_loop(int) {
        std::fprintf(stderr,
                     "check-env: the steps did not end in time, and were ended here: expected no loop without an end; "
                     "for steps that are slow, ask for fewer (--steps) or allow more seconds (--seconds)\n");
        __sanitizer_print_stack_trace();
        std::_Exit(1);
    }

    void set_time_limit(double seconds) {
        std::signal(SIGALRM, tell_of_loop);
        itimerval limit{};
        limit.it_value.tv_sec = static_cast<time_t>(std::min(seconds, 1e9));
        limit.it_value.tv_usec = static_cast<suseconds_t>(std::fmod(seconds, 1) * 999'998) + 1;  // not 0, which is none
        setitimer(ITIMER_REAL, &limit, nullptr);
    }

    void require_success(const Environments& environments) {
        const auto& failure = environments.failure;
        if (failure.function != episode::Function::NONE) {
            std::fprintf(stderr, "check-env: %s() threw an exception: %s\n",
                         FUNCTIONS[static_cast<std::size_t>(failure.function)], failure.message.c_str());
            thrown_from::print();
            is_done = true;
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

    bool is_untouched(T value) {
        T untouched;
        std::memset(&untouched, UNTOUCHED, sizeof(untouched));
        return value == untouched;
    }

    void require_written(const std::vector<T>& observations) {
        for (std::size_t i = 0; i < observations.size(); i++) {
            if (is_untouched(observations[i])) {
                fail("observe() leaves elements of the observation unset, the first of them " +
                     std::to_string(i % ENVIRONMENT::OBSERVATION_DIM));
            }
        }
    }

    // What comes after a State and the Parameters is not theirs.
    void fence(Environments& environments) {
        for (Episode& episode : environments.episodes) {
            for (const auto& [end, fence] : {std::pair<void*, void*>{&episode.parameters + 1, &episode.state},
                                             std::pair<void*, void*>{&episode.state + 1, &episode.rng}}) {
                ASAN_POISON_MEMORY_REGION(end, static_cast<char*>(fence) - static_cast<char*>(end));
            }
        }
    }

    // Fills the stack that the next calls will use: a variable that is not set is another number then.
    __attribute__((noinline)) void scribble(unsigned char value) {
        unsigned char bytes[1 << 14];
        std::memset(bytes, value, sizeof(bytes));
        asm volatile("" : : "r"(bytes) : "memory");
    }

    // The environments, and all that a step leaves, each in an allocation of its own and of exactly its size, so that
    // the sanitizers see the edges.
    struct Run {
        Environments* environments = environment_create(N);
        std::vector<T> observations, final_observations, rewards;
        std::vector<std::uint8_t> terminated, truncated;
        std::vector<double> episode_returns, infos;
        std::vector<std::int64_t> episode_lengths;
        std::int64_t culprit = 0;

        // `is_reversed`: whether the first environment has the seed of the last, and so on.
        explicit Run(std::uint64_t seed, bool is_reversed)
            : observations(N * ENVIRONMENT::OBSERVATION_DIM),
              final_observations(observations),
              rewards(N),
              terminated(N),
              truncated(N),
              episode_returns(N),
              episode_lengths(N) {
            require_success(*environments);
            fence(*environments);
            environment_describe(environments);
            require_success(*environments);
            infos.resize(n_elements(episode::Shown::INFO));
            for (std::size_t i = 0; i < N; i++) {
                environment_seed(environments, static_cast<std::int64_t>(i), seed + (is_reversed ? N - 1 - i : i));
            }
        }

        std::size_t n_elements(episode::Shown shown) const {
            return N * environments->n_elements[static_cast<std::size_t>(shown)];
        }

        void forget() { std::memset(observations.data(), UNTOUCHED, observations.size() * sizeof(T)); }

        void reset(bool nominal) {
            const std::vector<std::uint8_t> all(N, 1);
            forget();
            environment_reset(environments, all.data(), nominal, observations.data(), &culprit);
            require_success(*environments);
            require_written(observations);
            require_finite(observations, "observe() wrote NaN or an infinite value after a reset");
        }

        void step(const std::vector<T>& actions, std::int64_t step_limit) {
            const Results results = {
                observations.data(),       rewards.data(),         terminated.data(),      truncated.data(),
                final_observations.data(), episode_returns.data(), episode_lengths.data(), infos.data()};
            forget();
            environment_step(environments, actions.data(), step_limit, episode::Autoreset::SAME_STEP, &results,
                             &culprit);
            require_success(*environments);
            require_written(observations);
            require_written(final_observations);
            require_finite(rewards, "reward() returned NaN or an infinite value");
            require_finite(observations, "observe() wrote NaN or an infinite value");
            require_finite(final_observations, "observe() wrote NaN or an infinite value at the end of an episode");
            require_finite(infos, "visit_info() shows NaN or an infinite value");
        }

        // What visit_parameters and visit_state show.
        void read() {
            for (const auto shown : {episode::Shown::PARAMETERS, episode::Shown::STATE}) {
                std::vector<double> values(n_elements(shown) / N);
                for (std::size_t i = 0; i < N; i++) {
                    environment_read(environments, shown, static_cast<std::int64_t>(i), values.data());
                    require_success(*environments);
                    require_finite(values, shown == episode::Shown::STATE
                                               ? "visit_state() shows NaN or an infinite value"
                                               : "visit_parameters() shows NaN or an infinite value");
                }
            }
        }
    };

    // What contradicts the declarations, but harms no memory: told at the end, as there may be worse.
    struct Contradiction {
        std::string first;

        template <typename... PARTS>
        void note(const PARTS&... parts) {
            if (first.empty()) {
                std::ostringstream text;
                text.precision(std::numeric_limits<T>::max_digits10);
                (text << ... << parts);
                first = text.str();
            }
        }
    };

    // The elements of all environments, from the last environment to the first.
    template <typename VALUE>
    std::vector<VALUE> reversed(const std::vector<VALUE>& values) {
        const std::size_t n = values.size() / N;
        std::vector<VALUE> result(values.size());
        for (std::size_t i = 0; i < values.size(); i++) {
            result[i] = values[(N - 1 - i / n) * n + i % n];
        }
        return result;
    }

    template <typename VALUE>
    void compare(const std::vector<VALUE>& ours, const std::vector<VALUE>& reversed_ones, const char* what,
                 Contradiction& contradiction) {
        const std::vector<VALUE> theirs = reversed(reversed_ones);
        for (std::size_t i = 0; i < ours.size(); i++) {
            if (ours[i] != theirs[i]) {
                contradiction.note(what, " does not follow the seed: with the same seed and actions it was ", +ours[i],
                                   " and ", +theirs[i],
                                   "; draw from `rng` only, keep all that changes in State, and set each variable "
                                   "before it is read");
                return;
            }
        }
    }

    void compare(const Run& ours, const Run& theirs, Contradiction& contradiction) {
        compare(ours.rewards, theirs.rewards, "what reward() returns", contradiction);
        compare(ours.terminated, theirs.terminated, "what terminated() returns", contradiction);
        compare(ours.observations, theirs.observations, "what observe() writes", contradiction);
        compare(ours.infos, theirs.infos, "what visit_info() shows", contradiction);
    }

    struct Bounds {
        std::vector<T> observation_low, observation_high, action_low, action_high;

        Bounds()
            : observation_low(ENVIRONMENT::OBSERVATION_DIM),
              observation_high(observation_low),
              action_low(ENVIRONMENT::ACTION_DIM),
              action_high(action_low) {
            environment_bounds(observation_low.data(), observation_high.data(), action_low.data(), action_high.data());
        }

        void require_inside(const std::vector<T>& observations, Contradiction& contradiction) const {
            for (std::size_t i = 0; i < observations.size(); i++) {
                const std::size_t j = i % ENVIRONMENT::OBSERVATION_DIM;
                if (observations[i] < observation_low[j] || observations[i] > observation_high[j]) {
                    contradiction.note("observe() wrote ", observations[i], " for element ", j,
                                       ", which OBSERVATION_LOW and OBSERVATION_HIGH say lies between ",
                                       observation_low[j], " and ", observation_high[j]);
                }
            }
        }
    };

    // Whether memory is taken in each quarter of the steps and not given back.
    struct Growth {
        std::size_t at_last = 0, n_growing = 0;

        void look(std::int64_t n_steps, Contradiction& contradiction) {
            const std::size_t now = __sanitizer_get_current_allocated_bytes();
            const bool grows = at_last > 0 && now >= at_last + static_cast<std::size_t>(n_steps);
            n_growing = grows ? n_growing + 1 : 0;
            if (n_growing == 3) {
                contradiction.note("the environment takes memory that it does not give back, ",
                                   (now - at_last) / (2 * N * static_cast<std::size_t>(n_steps)),
                                   " bytes in each step");
            }
            at_last = now;
        }
    };

    // Which of the functions that may be left out there are; one with other arguments than expected is not called.
    std::string optional_functions() {
        namespace complete = rl_tools::rl::environment_wrappers::complete;
        using AUTHORS = ENVIRONMENT::ENVIRONMENT;
        using PARAMETERS = ENVIRONMENT::Parameters;
        using STATE = ENVIRONMENT::State;
        using VISITOR = episode::ReadFields;
        const std::pair<const char*, bool> functions[] = {
            {"init", complete::EXISTS<complete::Init, DEVICE&, AUTHORS&>},
            {"sample_initial_parameters",
             complete::EXISTS<complete::SampleInitialParameters, DEVICE&, AUTHORS&, PARAMETERS&, Episode::RNG&>},
            {"initial_parameters", complete::EXISTS<complete::InitialParameters, DEVICE&, AUTHORS&, PARAMETERS&>},
            {"initial_state", complete::EXISTS<complete::InitialState, DEVICE&, AUTHORS&, PARAMETERS&, STATE&>},
            {"visit_parameters", complete::EXISTS<complete::VisitParameters, DEVICE&, AUTHORS&, PARAMETERS&, VISITOR&>},
            {"visit_state", complete::EXISTS<complete::VisitState, DEVICE&, AUTHORS&, STATE&, VISITOR&>},
            {"visit_info", complete::SHOWS_INFO<DEVICE, ENVIRONMENT, VISITOR>}};
        std::string present, absent;
        for (const auto& [name, exists] : functions) {
            std::string& list = exists ? present : absent;
            list += (list.empty() ? "" : ", ") + std::string(name);
        }
        return "optional functions: " + (present.empty() ? "none" : present) +
               (absent.empty() ? "" : "; left out: " + absent);
    }
}

int main(int, char** arguments) {
    std::atexit(tell_of_exit);
    const std::int64_t n_steps = std::atoll(arguments[1]);
    const std::uint64_t seed = std::strtoull(arguments[2], nullptr, 10);
    set_time_limit(std::atof(arguments[3]));
    Run run(seed, false), repeated(seed, true);
    const Bounds bounds;
    Contradiction contradiction;
    for (const bool nominal : {true, false}) {
        for (Run* one : {&run, &repeated}) {
            scribble(one == &run ? 0x3F : 0xBF);
            one->reset(nominal);
            one->read();
        }
        compare(run, repeated, contradiction);
        bounds.require_inside(run.observations, contradiction);
    }
    std::vector<T> actions(N * ENVIRONMENT::ACTION_DIM);
    std::mt19937_64 rng(seed);
    std::uniform_real_distribution<double> uniform(0, 1);
    Growth growth;
    std::int64_t n_episodes = 0, shortest = n_steps, longest = 0;
    T lowest = std::numeric_limits<T>::max(), highest = std::numeric_limits<T>::lowest();
    for (std::int64_t step = 0; step < n_steps; step++) {
        for (std::size_t i = 0; i < actions.size(); i++) {
            const std::size_t j = i % ENVIRONMENT::ACTION_DIM;
            // Now and then the bounds themselves, for some time, as a policy that has learned nothing would choose.
            const double at = step / 50 % 3 == 1 ? static_cast<double>(step / 150 % 2) : uniform(rng);
            actions[i] = static_cast<T>(bounds.action_low[j] +
                                        at * (static_cast<double>(bounds.action_high[j]) - bounds.action_low[j]));
        }
        const std::int64_t step_limit = step < n_steps / 2 ? LONGEST_EPISODE : ENVIRONMENT::EPISODE_STEP_LIMIT;
        scribble(0x3F);
        run.step(actions, step_limit);
        scribble(0xBF);
        repeated.step(reversed(actions), step_limit);
        compare(run, repeated, contradiction);
        bounds.require_inside(run.observations, contradiction);
        bounds.require_inside(run.final_observations, contradiction);
        for (std::size_t i = 0; i < N; i++) {
            lowest = std::min(lowest, run.rewards[i]);
            highest = std::max(highest, run.rewards[i]);
            if (run.terminated[i] || run.truncated[i]) {
                n_episodes++;
                shortest = std::min(shortest, run.episode_lengths[i]);
                longest = std::max(longest, run.episode_lengths[i]);
            }
        }
        if (step % LONGEST_EPISODE == 0) {
            run.read();
        }
        if (n_steps >= 4 && (step + 1) % (n_steps / 4) == 0) {
            growth.look(n_steps / 4, contradiction);
        }
    }
    for (const Run* one : {&run, &repeated}) {
        environment_destroy(one->environments);
    }
    if (!contradiction.first.empty()) {
        fail(contradiction.first);
    }
    is_done = true;
    std::ostringstream summary;
    summary << n_steps << " steps without an error; ";
    if (n_episodes > 0) {
        summary << n_episodes << " episodes of " << shortest << " to " << longest << " steps";
    } else {
        summary << "no episode ended";
    }
    summary << ", rewards from " << lowest << " to " << highest << "; " << optional_functions();
    std::printf("\ncheck-env: %s\n", summary.str().c_str());
    return 0;
}

// Drives the C interface of the kernel over a shape given at compile time, for the sanitizers: memory that is
// read or written out of bounds, uninitialised threads, undefined arithmetic. Exits with 1 when a check
// fails. With an argument it prints all that was computed instead, to be compared with other compilers and processors.

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <random>
#include <vector>

#include <rl_tools/interface/sb3/sac.cpp>

#if defined(__SANITIZE_THREAD__)  // of g++
#define UNDER_THREAD_SANITIZER
#elif defined(__has_feature)  // of clang++
#if __has_feature(thread_sanitizer)
#define UNDER_THREAD_SANITIZER
#endif
#endif

namespace rlt = rl_tools;
namespace sac = rl_tools::rl::algorithms::sb3_sac;
namespace loop = rl_tools::rl::components::off_policy_loop;
using T = SPEC::T;
using rlt::interface::environment::Results;
using rlt::interface::environment::Status;

// Their episodes end at each third step, in turn by themselves and at a time limit.
struct Environments {
    std::size_t n;
    std::int64_t n_steps;
};

namespace {
    Status step(Environments* environments, const float* actions, std::int64_t, rlt::rl::components::episode::Autoreset,
                const Results* results, std::int64_t*) {
        const bool ends = ++environments->n_steps % 3 == 0, by_itself = environments->n_steps % 2 == 0;
        for (std::size_t i = 0; i < environments->n; i++) {
            for (std::size_t j = 0; j < SPEC::OBSERVATION_DIM; j++) {
                const float observation = 0.1f * actions[i * SPEC::ACTION_DIM] + static_cast<float>(j % 3);
                results->observations[i * SPEC::OBSERVATION_DIM + j] = ends ? 0.25f : observation;
                results->final_observations[i * SPEC::OBSERVATION_DIM + j] = observation;
            }
            results->rewards[i] = actions[i * SPEC::ACTION_DIM];
            results->terminated[i] = ends && by_itself;
            results->truncated[i] = ends && !by_itself;
            results->episode_returns[i] = 1;
            results->episode_lengths[i] = 3;
        }
        return Status::DONE;
    }

    // Stands in for a BLAS that the sanitizers could not see into: C = op(A) op(B) + beta C.
    template <typename SCALAR>
    void gemm(int order, int transpose_a, int transpose_b, int m, int n, int k, SCALAR alpha, const SCALAR* a, int lda,
              const SCALAR* b, int ldb, SCALAR beta, SCALAR* c, int ldc) {
        if (order != rlt::utils::blas::ROW_MAJOR) {
            std::abort();
        }
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                SCALAR sum = 0;
                for (int l = 0; l < k; l++) {
                    sum += (transpose_a == rlt::utils::blas::TRANSPOSE ? a[l * lda + i] : a[i * lda + l]) *
                           (transpose_b == rlt::utils::blas::TRANSPOSE ? b[j * ldb + l] : b[l * ldb + j]);
                }
                // As of a BLAS: nothing is read where nothing is added to.
                c[i * ldc + j] = alpha * sum + (beta == 0 ? SCALAR(0) : beta * c[i * ldc + j]);
            }
        }
    }

    // Each tensor in an allocation of its own and of exactly its size, so that the sanitizer sees the edges.
    struct Tensors {
        std::vector<std::unique_ptr<std::vector<T>>> values;
        std::vector<std::unique_ptr<float>> steps;
        std::mt19937 random{0};
        bool amsgrad = false;

        // Between -scale and scale. The standard library's distributions are not the same everywhere.
        double uniform(double scale) { return scale * (random() / 2147483648.0 - 1); }

        T* add(std::size_t size, T scale) {
            values.push_back(std::make_unique<std::vector<T>>(size));
            for (T& value : *values.back()) {
                value = scale == 0 ? T(0) : static_cast<T>(uniform(static_cast<double>(scale)));
            }
            return values.back()->data();
        }

        Parameter parameter(std::size_t size, bool trained) {
            Parameter result{add(size, T(0.3)), nullptr, nullptr, nullptr, nullptr};
            if (trained) {
                result.exp_avg = add(size, T(0));
                result.exp_avg_sq = add(size, T(0));
                result.max_exp_avg_sq = amsgrad ? add(size, T(0)) : nullptr;
                steps.push_back(std::make_unique<float>(0.0f));
                result.step = steps.back().get();
            }
            return result;
        }

        template <typename NETWORK>
        void network(bool trained, std::vector<Parameter>& parameters) {
            for (std::size_t layer = 0; layer < NETWORK::N_TRAINED_LAYERS; layer++) {
                const std::size_t out = NETWORK::output_dim(layer);
                parameters.push_back(parameter(out * NETWORK::input_dim(layer), trained));
                parameters.push_back(parameter(out, trained));
            }
        }
    };

    template <typename ALGORITHM>
    typename ALGORITHM::POLICY::Parameters policy_parameters([[maybe_unused]] Tensors& tensors) {
        if constexpr (ALGORITHM::HAS_NOISE_MATRIX) {
            return {tensors.parameter(SPEC::LATENT_DIM * SPEC::ACTION_DIM, true), 2.0, 1};
        } else {
            return {-20, 2};
        }
    }

    // Some rollouts of the loop, beyond the end of the replay buffer, with their gradient steps after them or with the
    // steps of the next one; `matrices` has room for those of all environments.
    void collect(Kernel* kernel, const sac::HyperParameters& hyper_parameters, const ReplayBuffer& buffer,
                 std::uint32_t n_threads, T* matrices, bool overlaps) {
        constexpr std::int64_t STEPS = 13;
        const auto n = static_cast<std::size_t>(buffer.n_environments);
        Environments environments{n, 0};
        std::vector<float> observations(n * SPEC::OBSERVATION_DIM, 0.25f), final_observations(observations), rewards(n);
        std::vector<std::uint8_t> terminated(n), truncated(n);
        std::vector<double> returns(n);
        std::vector<std::int64_t> lengths(n);
        const Results results{observations.data(),       rewards.data(), terminated.data(), truncated.data(),
                              final_observations.data(), returns.data(), lengths.data()};
        const std::vector<double> learning_rates(STEPS, 1e-3);
        std::vector<loop::EpisodeStatistics> episodes(STEPS * n);
        Request request{};
        request.schedule = {2, 0, 3, 1, 1, STEPS, 0, 1000.0, learning_rates.data(), overlaps, 0.0};
        request.key = 7;
        request.environments = {step, &environments, &results, 0};
        request.replay_buffer = buffer;
        request.exploration = {matrices, matrices + SPEC::LATENT_DIM * SPEC::ACTION_DIM};
        request.episodes = episodes.data();
        Result result;
        kernel_run(kernel, &hyper_parameters, &request, n_threads, &result);
        const bool is_complete = result.status == loop::Status::DONE && result.n_steps == STEPS &&
                                 result.n_updates == (overlaps ? 17 : 18) &&
                                 result.n_episodes == static_cast<std::int64_t>(4 * n);
        if (!is_complete) {
            std::puts("the loop did not do what it was told");
            std::exit(1);
        }
    }

    // After a step the critics' values of the policy's actions are still there: the smallest is the one that was taken.
    void check_minimum(const Kernel* kernel) {
        auto& workspace = *kernel->algorithm.workspace;
        for (std::uint32_t sample = 0; sample < SPEC::BATCH_SIZE; sample++) {
            const std::size_t p = sample / SPEC::PANEL_LANES, lane = sample % SPEC::PANEL_LANES;
            const T smallest = workspace.critics[workspace.smallest_critic[sample]].output(p)[lane];
            for (auto& critic : workspace.critics) {
                if (critic.output(p)[lane] < smallest) {
                    std::printf("sample %u has a smaller critic than the one taken\n", sample);
                    std::exit(1);
                }
            }
        }
        const T nan = std::numeric_limits<T>::quiet_NaN();
        if (!sac::is_smaller(nan, T(0)) || sac::is_smaller(T(0), nan) || sac::is_smaller(T(1), T(0))) {
            std::puts("NaN has to win, as in torch");
            std::exit(1);
        }
    }

    // Actions while another thread trains, from weights that change meanwhile: it reads them as they are, which
    // ThreadSanitizer would report.
    void act_beside([[maybe_unused]] Kernel* kernel, [[maybe_unused]] const Engine& engine) {
#ifndef UNDER_THREAD_SANITIZER
        const std::vector<float> seen(3 * SPEC::OBSERVATION_DIM, 1.0f);
        std::vector<float> chosen(2 * 3 * SPEC::ACTION_DIM);
        std::vector<T> matrix(SPEC::LATENT_DIM * SPEC::ACTION_DIM);
        for (int i = 0; i < 20; i++) {
            kernel_sample_matrices(kernel, &engine, 1, matrix.data());
            if (!kernel_act(kernel, seen.data(), 3, &engine, nullptr, matrix.data(), 0, chosen.data())) {
                std::puts("actions beside gradient steps are not finite");
                std::exit(1);
            }
        }
#endif
    }

    // Gradient steps in two calls, beside this thread.
    void train_beside(Kernel* kernel, const sac::HyperParameters& hyper_parameters, const ReplayBuffer& buffer,
                      const Engine& engine, std::uint32_t n_threads, std::vector<sac::Losses>& losses) {
        const auto n_steps = static_cast<std::int64_t>(losses.size());
        const Engine last_engine{engine.key, engine.counter + static_cast<std::uint64_t>(n_steps) - 1};
        std::int64_t n_first = 0, n_last = 0;
        kernel_start_training(kernel, &hyper_parameters, &buffer, &engine, n_threads, 0, n_steps - 1, losses.data(),
                              &n_first);
        act_beside(kernel, engine);
        kernel_start_training(kernel, &hyper_parameters, &buffer, &last_engine, n_threads, n_steps - 1, 1,
                              &losses.back(), &n_last);
        kernel_finish_training(kernel);
        if (n_first != n_steps - 1 || n_last != 1) {
            std::puts("gradient steps beside the caller were not taken");
            std::exit(1);
        }
    }

    // The weights after some steps with this number of threads, and of the loop if it `collects`; `in_all_ways` with
    // AMSGrad and a ring of n-step returns and normalised observations.
    std::vector<T> train(std::uint32_t n_threads, bool in_all_ways, bool collects) {
        constexpr std::int64_t ROWS = 5, ENVIRONMENTS = 2, STEPS = 6;
        Tensors tensors;
        tensors.amsgrad = in_all_ways;
        std::vector<Parameter> parameters;
        tensors.network<SPEC::ACTOR>(true, parameters);
        for (std::size_t i = 0; i < 2 * SPEC::N_CRITICS; i++) {
            tensors.network<SPEC::CRITIC>(i < SPEC::N_CRITICS, parameters);
        }
        parameters.push_back(tensors.parameter(1, true));  // the logarithm of the entropy coefficient

        std::vector<SPEC::OBSERVATION> observations(ROWS * ENVIRONMENTS * SPEC::OBSERVATION_DIM);
        for (auto& value : observations) {
            value = static_cast<SPEC::OBSERVATION>(tensors.uniform(2));
        }
        std::vector<float> actions(ROWS * ENVIRONMENTS * SPEC::ACTION_DIM, 0.5f);
        std::vector<float> rewards(ROWS * ENVIRONMENTS, 1.0f), dones(ROWS * ENVIRONMENTS, 0.0f);
        std::vector<float> timeouts(ROWS * ENVIRONMENTS, 0.0f);
        const std::vector<double> means(SPEC::OBSERVATION_DIM, 0.5), deviations(SPEC::OBSERVATION_DIM, 2.0);
        const std::vector<float> discounts{1.0f, 0.5f, 0.25f, 0.125f};
        ReplayBuffer buffer{};
        buffer.observations = buffer.next_observations = observations.data();
        buffer.actions = actions.data();
        buffer.rewards = rewards.data();
        buffer.dones = dones.data();
        buffer.timeouts = timeouts.data();
        buffer.n_environments = ENVIRONMENTS;
        buffer.capacity = buffer.n_rows = ROWS;
        buffer.newest_row = ROWS - 1;
        if (in_all_ways) {
            buffer.next_observations = nullptr;
            buffer.first_row = 3;
            buffer.n_rows = ROWS - 1;
            buffer.n_steps = 3;
            buffer.n_step_discounts = discounts.data();
            buffer.observation_mean = means.data();
            buffer.observation_standard_deviation = deviations.data();
            buffer.observation_clip = 1;
            buffer.reward_standard_deviation = 2;
            buffer.reward_clip = 1;
        }
        const rlt::nn::optimizers::torch_adam::HyperParameters adam{1e-3, 0.9, 0.999, 1e-8, 0.01, 1};
        const sac::HyperParameters hyper_parameters{adam, adam, adam, 0.99, 0.005, -1.0, 0.0, 1};
        const Engine engine{7, 0};

        const rlt::utils::blas::Library blas{gemm<float>, gemm<double>};
        Kernel* kernel = kernel_create(n_threads, &blas);
        if (!kernel) {
            std::abort();
        }
        const auto policy = policy_parameters<ALGORITHM>(tensors);
        const std::vector<float> low(SPEC::ACTION_DIM, -2.0f), high(SPEC::ACTION_DIM, 2.0f);
        kernel_bind(kernel, parameters.data(), &policy, low.data(), high.data());
        std::vector<sac::Losses> losses(STEPS);
        if (n_threads == 1) {
            std::int64_t n_taken = 0;
            kernel_train(kernel, &hyper_parameters, &buffer, &engine, n_threads, 0, STEPS, losses.data(), &n_taken);
            if (n_taken != STEPS) {
                std::puts("gradient steps were not taken");
                std::exit(1);
            }
        } else {
            train_beside(kernel, hyper_parameters, buffer, engine, n_threads, losses);
        }
        check_minimum(kernel);
        // More observations than a panel holds.
        constexpr std::int64_t N = 2 * SPEC::PANEL_LANES + 3;
        constexpr std::size_t MATRIX = SPEC::LATENT_DIM * SPEC::ACTION_DIM;
        const std::vector<float> seen(N * SPEC::OBSERVATION_DIM, 1.0f);
        std::vector<float> chosen(2 * N * SPEC::ACTION_DIM);
        std::vector<T> matrices(N * MATRIX);
        kernel_sample_matrices(kernel, &engine, N, matrices.data());
        kernel_act(kernel, seen.data(), N, &engine, nullptr, matrices.data(), MATRIX, chosen.data());
        if (collects) {
            collect(kernel, hyper_parameters, buffer, n_threads, matrices.data(), false);
            collect(kernel, hyper_parameters, buffer, n_threads, matrices.data(), true);
        }
        kernel_destroy(kernel);

        std::vector<T> result;
        for (const auto& value : tensors.values) {
            result.insert(result.end(), value->begin(), value->end());
        }
        for (const auto& loss : losses) {
            result.push_back(static_cast<T>(loss.critic_loss));
            result.push_back(static_cast<T>(loss.actor_loss));
        }
        result.insert(result.end(), chosen.begin(), chosen.end());
        return result;
    }
}

int main(int argc, char**) {
    if (argc > 1) {
        for (const bool in_all_ways : {false, true}) {
            // Without the loop, which keeps actions in float32: there, a last bit of float64 can become one of float32.
            for (const T value : train(1, in_all_ways, false)) {
                std::printf("%.17g\n", static_cast<double>(value));
            }
        }
        return 0;
    }
    for (const bool in_all_ways : {false, true}) {
        const std::vector<T> alone = train(1, in_all_ways, true);
        for (const T value : alone) {
            if (!std::isfinite(value)) {
                std::puts("a value is not finite");
                return 1;
            }
        }
        for (const std::uint32_t n_threads : {2u, 3u, 16u}) {
            if (train(n_threads, in_all_ways, true) != alone) {
                std::printf("%u threads give other values than one\n", n_threads);
                return 1;
            }
        }
    }
    std::puts("ok");
    return 0;
}

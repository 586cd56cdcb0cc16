// Each policy against scalar definitions written down independently, in double: actions and log probabilities from the
// formulas, gradients from finite differences of those, at clipping boundaries, too. Exits with 1 at the first failure.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include <rl_tools/rl/policies/squashed_gaussian/operations_cpu_simd.h>
#include <rl_tools/rl/policies/state_dependent_noise/operations_cpu_simd.h>

namespace policies = rl_tools::rl::policies;
namespace philox = rl_tools::random::philox;

using T = double;
using DEVICE = rl_tools::devices::DefaultCPU_SIMD;
constexpr std::size_t LATENT_DIM = 5, ACTION_DIM = 3, LANES = 16, N = ACTION_DIM * LANES, N_SAMPLES = 13;
using SPEC = policies::Specification<T, LATENT_DIM, ACTION_DIM, LANES>;
constexpr T LARGEST = 1 - std::numeric_limits<T>::epsilon();

namespace {
    void require(bool condition, const char* what, T value, T expected, std::size_t i) {
        if (!condition) {
            std::printf("%s of element %zu is %.17g, expected %.17g\n", what, i, value, expected);
            std::exit(1);
        }
    }

    void require_close(T value, T expected, T tolerance, const char* what, std::size_t i) {
        require(std::abs(value - expected) <= tolerance * (1 + std::abs(expected)), what, value, expected, i);
    }

    std::vector<T> normal(std::size_t n, T scale, unsigned seed) {
        std::mt19937 random(seed);
        std::normal_distribution<T> distribution(0, scale);
        std::vector<T> values(n);
        for (T& value : values) {
            value = distribution(random);
        }
        return values;
    }

    T clamp(T x, T low, T high) {
        return x < low ? low : x > high ? high : x;
    }

    // (f(x + h) - f(x - h)) / 2h
    template <typename FUNCTION>
    T finite_difference(T& x, FUNCTION f) {
        constexpr T STEP = 1e-6;
        const T centre = x;
        x = centre + STEP;
        const T above = f();
        x = centre - STEP;
        const T below = f();
        x = centre;
        return (above - below) / (2 * STEP);
    }

    // log of the density of a = tanh(u), u ~ Normal(mean, sigma^2), in one dimension.
    T log_density(T u, T mean, T variance) {
        const T derivative = 1 / std::pow(std::cosh(u), 2);  // 1 - a^2, without the cancellation
        return -std::log(std::sqrt(2 * std::acos(T(-1)) * variance)) - (u - mean) * (u - mean) / (2 * variance) -
               std::log(derivative + 1e-6);
    }

    // The loss of one action without its constant parts: k log pi + d_action a, with the gradient of Q given.
    struct Loss {
        T k;
        T d_action;
        T operator()(T action, T log_probability) const { return k * log_probability + d_action * action; }
    };

    namespace gaussian {
        using namespace policies::squashed_gaussian;

        T loss(const Loss& loss, T mean, T log_std, T epsilon) {
            const T sigma = std::exp(clamp(log_std, -20, 2));
            const T u = mean + sigma * epsilon;
            return loss(std::tanh(u), log_density(u, mean, sigma * sigma));
        }

        void test(DEVICE& device) {
            std::vector<T> output = normal(2 * N, 1, 1);
            const std::vector<T> d_action = normal(N, 1, 3);
            // Beyond and at both ends of the clipped range, and near saturation of tanh.
            output[N + 0] = 3;
            output[N + 1] = -25;
            output[N + 2] = 2;
            output[N + 3] = -20;
            output[4] = 4;
            auto panel = std::make_unique<Panel<SPEC>>();
            constexpr std::uint32_t FIRST_SAMPLE = 32;
            sample_noise({1, 2}, philox::Stream::ACTION_NOISE, FIRST_SAMPLE, N_SAMPLES, *panel);
            const std::vector<T> epsilon(panel->noise, panel->noise + N);
            for (std::size_t i = 0; i < N; i++) {
                const bool is_padding = i % LANES >= N_SAMPLES;
                require((epsilon[i] == 0) == is_padding, "the noise", epsilon[i], 0, i);
            }
            const Parameters<T> parameters{-20, 2};
            const StepNoise<SPEC> noise{};
            Scratch<SPEC> scratch;
            Gradients<SPEC, 1> gradients;
            sample_action(device, parameters, noise, nullptr, output.data(), *panel, scratch);

            std::vector<T> log_probability(LANES, 0);
            for (std::size_t i = 0; i < N; i++) {
                const T sigma = std::exp(clamp(output[N + i], -20, 2)), u = output[i] + sigma * epsilon[i];
                require_close(panel->action[i], std::tanh(u), 1e-13, "the Gaussian's action", i);
                log_probability[i % LANES] += log_density(u, output[i], sigma * sigma);
            }
            for (std::size_t lane = 0; lane < LANES; lane++) {
                require_close(panel->log_probability[lane], log_probability[lane], 1e-6, "the Gaussian's log pi", lane);
            }

            constexpr T K = 0.3;
            std::vector<T> d_output(2 * N, -1);
            sample_action_gradient(K, parameters, output.data(), *panel, d_action.data(), N_SAMPLES, 0, d_output.data(),
                                   gradients);
            for (std::size_t i = 0; i < N; i++) {
                if (i % LANES >= N_SAMPLES) {
                    require(d_output[i] == 0, "padding's d_mean", d_output[i], 0, i);
                    require(d_output[N + i] == 0, "padding's d_log_std", d_output[N + i], 0, i);
                    continue;
                }
                T mean = output[i], log_std = output[N + i];
                const auto f = [&] { return loss({K, d_action[i]}, mean, log_std, epsilon[i]); };
                // A tiny sigma makes the density steep, and its finite difference coarse.
                if (log_std > -15) {
                    require_close(d_output[i], finite_difference(mean, f), 1e-6, "the Gaussian's d_mean", i);
                }
                if (log_std > 2 || log_std < -20) {
                    require(d_output[N + i] == 0, "the clipped d_log_std", d_output[N + i], 0, i);
                } else if (log_std == 2) {
                    // At the bound torch's clamp passes the gradient: that from inside.
                    log_std -= 1e-5;
                    require_close(d_output[N + i], finite_difference(log_std, f), 1e-3, "d_log_std at its bound", i);
                } else if (log_std == -20) {
                    // Too steep for a finite difference; u hardly depends on such a sigma, so -k log(sigma) is left.
                    require_close(d_output[N + i], -K, 1e-6, "d_log_std at its bound", i);
                } else {
                    require_close(d_output[N + i], finite_difference(log_std, f), 1e-6, "the Gaussian's d_log_std", i);
                }
            }

            T exploration[ACTION_DIM] = {};
            std::vector<float> given(2 * ACTION_DIM, 0.5f);
            exploration_noise(device, policies::SquashedGaussian<SPEC>{}, parameters,
                              {nullptr, given.data(), nullptr, 0}, 1, nullptr, output.data() + N, exploration);
            for (std::size_t j = 0; j < ACTION_DIM; j++) {
                const T expected = 0.5 * std::exp(clamp(output[N + j], -20, 2));
                require_close(exploration[j], expected, 1e-13, "the exploration noise", j);
            }
        }
    }

    namespace gsde {
        using namespace policies::state_dependent_noise;

        struct Model {
            std::vector<T> log_std;  // [LATENT_DIM][ACTION_DIM]
            std::vector<T> latent;   // [LATENT_DIM][LANES]
            std::vector<T> mean;     // [ACTION_DIM][LANES]
            std::vector<T> epsilon;  // [LATENT_DIM][ACTION_DIM]
            T clip_mean;
            bool use_expln;

            T sigma(std::size_t k, std::size_t j) const {
                const T x = log_std[k * ACTION_DIM + j];
                return use_expln && x > 0 ? std::log(1 + x + 1e-6) + 1 : std::exp(x);
            }
            T noise(std::size_t j, std::size_t lane) const {
                T sum = 0;
                for (std::size_t k = 0; k < LATENT_DIM; k++) {
                    sum += sigma(k, j) * epsilon[k * ACTION_DIM + j] * latent[k * LANES + lane];
                }
                return sum;
            }
            T variance(std::size_t j, std::size_t lane) const {
                T sum = 1e-6;
                for (std::size_t k = 0; k < LATENT_DIM; k++) {
                    sum += std::pow(sigma(k, j) * latent[k * LANES + lane], 2);
                }
                return sum;
            }
            // From what the heads and the variance give; SB3 forgets u and takes it back from the action.
            static T log_probability(T mean, T action, T variance) {
                return log_density(std::atanh(clamp(action, -LARGEST, LARGEST)), mean, variance);
            }
            T loss(const Loss& loss, T mean, T noise, T variance) const {
                const T clipped = clamp(mean, -clip_mean, clip_mean), action = std::tanh(clipped + noise);
                return loss(action, log_probability(clipped, action, variance));
            }
            // The sum over samples and actions, through everything that depends on log_std and latent.
            T loss(T k, const std::vector<T>& d_action) const {
                T sum = 0;
                for (std::size_t i = 0; i < N; i++) {
                    const std::size_t j = i / LANES, lane = i % LANES;
                    if (lane < N_SAMPLES) {
                        sum += loss({k, d_action[i]}, mean[i], noise(j, lane), variance(j, lane));
                    }
                }
                return sum;
            }
        };

        void test(DEVICE& device, bool use_expln) {
            Model model{normal(LATENT_DIM * ACTION_DIM, 0.4, 4),
                        normal(LATENT_DIM * LANES, 0.5, 5),
                        normal(N, 0.5, 6),
                        {},
                        1.0,
                        use_expln};
            const std::vector<T> d_action = normal(N, 1, 7);
            model.mean[0] = 1.5;   // clipped
            model.mean[1] = -1.5;  // "
            constexpr T K = 0.3;
            std::vector<T> exp_avg(model.log_std.size(), 0), exp_avg_sq(exp_avg);
            float n_steps = 0;
            Parameters<T> parameters{{model.log_std.data(), exp_avg.data(), exp_avg_sq.data(), nullptr, &n_steps},
                                     model.clip_mean,
                                     use_expln};
            auto noise = std::make_unique<StepNoise<SPEC>>();
            for (T& bias : noise->variance_biases) {
                bias = VARIANCE_EPSILON<T>;
            }
            sample_step_noise(device, parameters, {1, 2}, *noise);
            model.epsilon.assign(noise->normal, noise->normal + StepNoise<SPEC>::DIM);

            alignas(64) T latent[LATENT_DIM * LANES], output[2 * N], d_output[2 * N];
            std::copy(model.latent.begin(), model.latent.end(), latent);
            for (std::size_t i = 0; i < N; i++) {
                output[i] = model.mean[i];
                output[N + i] = model.noise(i / LANES, i % LANES);
                T product = 0;
                for (std::size_t k = 0; k < LATENT_DIM; k++) {
                    product += noise->weights[i / LANES * LATENT_DIM + k] * latent[k * LANES + i % LANES];
                }
                require_close(product, output[N + i], 1e-13, "the noise matrix' product", i);
            }
            auto panel = std::make_unique<Panel<SPEC>>();
            auto scratch = std::make_unique<Scratch<SPEC>>();
            auto gradients = std::make_unique<Gradients<SPEC, 1>>();
            sample_action(device, parameters, *noise, latent, output, *panel, *scratch);
            std::vector<T> log_probability(LANES, 0);
            for (std::size_t i = 0; i < N; i++) {
                const T mean = clamp(model.mean[i], -1, 1), action = std::tanh(mean + output[N + i]);
                require_close(panel->action[i], action, 1e-13, "gSDE's action", i);
                log_probability[i % LANES] +=
                    Model::log_probability(mean, action, model.variance(i / LANES, i % LANES));
            }
            for (std::size_t lane = 0; lane < LANES; lane++) {
                require_close(panel->log_probability[lane], log_probability[lane], 1e-9, "gSDE's log pi", lane);
            }

            sample_action_gradient(K, parameters, output, *panel, d_action.data(), N_SAMPLES, 0, d_output, *gradients);
            for (std::size_t i = 0; i < N; i++) {
                const std::size_t j = i / LANES, lane = i % LANES;
                T mean = output[i], noise_value = output[N + i], variance = model.variance(j, lane);
                const auto f = [&] {
                    return lane < N_SAMPLES ? model.loss({K, d_action[i]}, mean, noise_value, variance) : 0;
                };
                require_close(d_output[i], finite_difference(mean, f), 1e-6, "gSDE's d_mean", i);
                require_close(d_output[N + i], finite_difference(noise_value, f), 1e-6, "gSDE's d_noise", i);
                require_close(gradients->variance(0)[i], finite_difference(variance, f), 1e-6, "gSDE's d_s2", i);
            }

            // The features, by way of the variance alone: the heads' part is the network's backward pass.
            const auto latent_line = latent_gradient(*noise, latent, 0, *gradients);
            for (std::size_t k = 0; k < LATENT_DIM; k++) {
                for (std::size_t lane = 0; lane < LANES; lane += rl_tools::panel::LINE_LANES<T>) {
                    alignas(64) T line[rl_tools::panel::LINE_LANES<T>];
                    rl_tools::panel::store_line(line, latent_line(k, lane));
                    for (std::size_t i = 0; i < rl_tools::panel::LINE_LANES<T>; i++) {
                        T expected = 0;
                        T& x = model.latent[k * LANES + lane + i];
                        for (std::size_t j = 0; j < ACTION_DIM; j++) {
                            const T slope = finite_difference(x, [&] { return model.variance(j, lane + i); });
                            expected += gradients->variance(0)[j * LANES + lane + i] * slope;
                        }
                        require_close(line[i], expected, 1e-6, "gSDE's d_latent", k * LANES + lane + i);
                    }
                }
            }

            // Adam's first moment after one step is (1 - beta_1) times the gradient; Adam moves the weights, too.
            std::vector<T> expected(model.log_std.size());
            for (std::size_t i = 0; i < expected.size(); i++) {
                expected[i] = finite_difference(model.log_std[i], [&] { return model.loss(K, d_action); });
            }
            const rl_tools::nn::optimizers::torch_adam::HyperParameters adam{1e-3, 0.9, 0.999, 1e-8, 0, 0};
            update(rl_tools::nn::optimizers::torch_adam::next_step<T>(adam, n_steps), parameters, *noise, latent,
                   d_output, *gradients, *scratch);
            count_step(parameters);
            require(n_steps == 1, "the number of steps", n_steps, 1, 0);
            for (std::size_t i = 0; i < expected.size(); i++) {
                require_close(exp_avg[i] / 0.1, expected[i], 1e-6, "gSDE's d_log_std", i);
            }
        }

        // tanh(u) rounds to 1: atanh can't take it back, the action is clipped, and the mean's own gradient remains.
        void test_saturation(DEVICE& device) {
            std::vector<T> log_std(LATENT_DIM * ACTION_DIM, -1);
            const Parameters<T> parameters{{log_std.data(), nullptr, nullptr, nullptr, nullptr}, 1000, 0};
            auto noise = std::make_unique<StepNoise<SPEC>>();
            for (T& bias : noise->variance_biases) {
                bias = VARIANCE_EPSILON<T>;
            }
            sample_step_noise(device, parameters, {1, 2}, *noise);
            alignas(64) T latent[LATENT_DIM * LANES], output[2 * N], d_output[2 * N];
            std::fill(latent, latent + LATENT_DIM * LANES, 0.5);
            std::fill(output, output + N, 30);
            std::fill(output + N, output + 2 * N, 0.25);
            const std::vector<T> d_action(N, 1);
            auto panel = std::make_unique<Panel<SPEC>>();
            auto scratch = std::make_unique<Scratch<SPEC>>();
            auto gradients = std::make_unique<Gradients<SPEC, 1>>();
            sample_action(device, parameters, *noise, latent, output, *panel, *scratch);
            sample_action_gradient(T(0.3), parameters, output, *panel, d_action.data(), N_SAMPLES, 0, d_output,
                                   *gradients);
            const T u = std::atanh(LARGEST);
            for (std::size_t i = 0; i < N; i++) {
                require(panel->action[i] == 1, "the saturated action", panel->action[i], 1, i);
                if (i % LANES < N_SAMPLES) {
                    T variance = 1e-6;
                    for (std::size_t k = 0; k < LATENT_DIM; k++) {
                        variance += std::pow(std::exp(-1.0) * 0.5, 2);
                    }
                    require(d_output[N + i] == 0, "the saturated d_noise", d_output[N + i], 0, i);
                    require_close(d_output[i], 0.3 * (u - 30) / variance, 1e-9, "the saturated d_mean", i);
                }
            }
        }
    }
}

int main() {
    DEVICE device(2);
    gaussian::test(device);
    gsde::test(device, false);
    gsde::test(device, true);
    gsde::test_saturation(device);
    std::puts("ok");
    return 0;
}

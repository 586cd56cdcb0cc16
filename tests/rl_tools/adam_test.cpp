// Adam's step and the targets' step against their formulas in long double, in each variant and for sizes that fill
// vectors and sizes that do not. SCALAR is given at compile time.

#include "reference.h"

#include <rl_tools/nn/optimizers/torch_adam/operations_cpu_simd.h>

namespace adam = rl_tools::nn::optimizers::torch_adam;
using T = SCALAR;
using reference::Matrix;
using reference::random_matrix;
using reference::Scalar;
using reference::Sum;

namespace {
    // torch/optim/adam.py, as its documentation writes it; one element.
    struct Element {
        Scalar value, exp_avg, exp_avg_sq, max_exp_avg_sq;

        void step(const adam::HyperParameters& h, Scalar gradient, double t, bool amsgrad) {
            const Scalar decay = h.weight_decay, rate = h.learning_rate, beta_1 = h.beta_1, beta_2 = h.beta_2;
            if (h.decoupled_weight_decay) {
                value -= rate * decay * value;
            } else {
                gradient += decay * value;
            }
            exp_avg = beta_1 * exp_avg + (1 - beta_1) * gradient;
            exp_avg_sq = beta_2 * exp_avg_sq + (1 - beta_2) * gradient * gradient;
            max_exp_avg_sq = std::max(max_exp_avg_sq, exp_avg_sq);
            const Scalar m = exp_avg / (1 - std::pow(beta_1, Scalar(t)));
            const Scalar v = (amsgrad ? max_exp_avg_sq : exp_avg_sq) / (1 - std::pow(beta_2, Scalar(t)));
            value -= rate * m / (std::sqrt(v) + Scalar(h.epsilon));
        }
    };

    void test_step(std::size_t n, double weight_decay, bool decoupled, bool amsgrad) {
        const adam::HyperParameters h = {3e-3, 0.9, 0.99, 1e-8, weight_decay, decoupled};
        constexpr std::size_t OFFSET = 3;
        constexpr double STEPS = 6;
        Matrix<T> value = random_matrix<T>(1, OFFSET + n, 1), exp_avg(1, OFFSET + n), exp_avg_sq(1, OFFSET + n),
                  max_exp_avg_sq(1, OFFSET + n);
        std::vector<Element> expected;
        for (const T x : value.values) {
            expected.push_back({x, 0, 0, 0});
        }
        const adam::Parameter<T> parameter = {value.values.data(), exp_avg.values.data(), exp_avg_sq.values.data(),
                                              amsgrad ? max_exp_avg_sq.values.data() : nullptr, nullptr};
        for (double t = 1; t <= STEPS; t++) {
            // Shrinking, so that the largest second moment is an earlier one.
            Matrix<T> gradient = random_matrix<T>(1, n, static_cast<unsigned>(t));
            for (std::size_t i = 0; i < n; i++) {
                gradient.values[i] /= T(t * t * t);
                expected[OFFSET + i].step(h, gradient.values[i], t, amsgrad);
            }
            adam::update(adam::next_step<T>(h, t - 1), gradient.values.data(), parameter, OFFSET, n);
        }
        Matrix<Sum> values(1, OFFSET + n), firsts(1, OFFSET + n), seconds(1, OFFSET + n), largest(1, OFFSET + n);
        for (std::size_t i = 0; i < expected.size(); i++) {
            values.values[i] = {expected[i].value, 1};
            firsts.values[i] = {expected[i].exp_avg, 1};
            seconds.values[i] = {expected[i].exp_avg_sq, expected[i].exp_avg_sq};
            largest.values[i] = {expected[i].max_exp_avg_sq, expected[i].max_exp_avg_sq};
        }
        const std::initializer_list<std::size_t> shape = {n, weight_decay > 0, decoupled, amsgrad};
        reference::expect_equal(value, values, "Adam's value", shape);
        reference::expect_equal(exp_avg, firsts, "Adam's exp_avg", shape);
        reference::expect_equal(exp_avg_sq, seconds, "Adam's exp_avg_sq", shape);
        if (amsgrad) {
            reference::expect_equal(max_exp_avg_sq, largest, "Adam's max_exp_avg_sq", shape);
        }
    }

    // target = (1 - tau) target + tau value
    void test_polyak(std::size_t n) {
        const T tau = T(0.3);
        const auto value = random_matrix<T>(1, n, 1);
        auto target = random_matrix<T>(1, n, 2);
        Matrix<Sum> expected(1, n);
        for (std::size_t i = 0; i < n; i++) {
            expected.values[i].add((1 - Scalar(tau)) * Scalar(target.values[i]));
            expected.values[i].add(Scalar(tau) * Scalar(value.values[i]));
        }
        adam::polyak(tau, T(1) - tau, value.values.data(), target.values.data(), n);
        reference::expect_equal(target, expected, "polyak", {n});
    }
}

int main() {
    for (const std::size_t n : {1, 15, 16, 17, 64, 100, 257}) {
        for (const bool amsgrad : {false, true}) {
            test_step(n, 0, false, amsgrad);
            test_step(n, 0.1, false, amsgrad);
            test_step(n, 0.1, true, amsgrad);
        }
        test_polyak(n);
    }
    return reference::result();
}

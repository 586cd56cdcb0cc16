#pragma once
// What the kernel's operations compute, element by element in long double as their equations read: the oracle of the
// tests of single operations. Matrices are row-major and dense here, [feature][sample] where the kernel has panels.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <limits>
#include <random>
#include <vector>

namespace reference {
    using Scalar = long double;

    // An element, and the sum of the magnitudes it was added up from: what rounding is a fraction of.
    struct Sum {
        Scalar value = 0;
        Scalar magnitude = 0;

        void add(Scalar term) {
            value += term;
            magnitude += std::fabs(term);
        }
    };

    template <typename T>
    struct Matrix {
        std::size_t rows, columns;
        std::vector<T> values;

        Matrix(std::size_t rows, std::size_t columns) : rows(rows), columns(columns), values(rows * columns) {}
        T& at(std::size_t row, std::size_t column) { return values.at(row * columns + column); }
        const T& at(std::size_t row, std::size_t column) const { return values.at(row * columns + column); }
    };

    // Numbers around zero, the same ones each time.
    template <typename T>
    Matrix<T> random_matrix(std::size_t rows, std::size_t columns, unsigned seed) {
        std::mt19937 random(seed);
        std::uniform_real_distribution<T> uniform(-1, 1);
        Matrix<T> result(rows, columns);
        for (T& value : result.values) {
            value = uniform(random);
        }
        return result;
    }

    // C[M][N] = A[M][K] B[K][N]
    template <typename T>
    Matrix<Sum> product(const Matrix<T>& a, const Matrix<T>& b) {
        Matrix<Sum> c(a.rows, b.columns);
        for (std::size_t i = 0; i < a.rows; i++) {
            for (std::size_t j = 0; j < b.columns; j++) {
                for (std::size_t k = 0; k < a.columns; k++) {
                    c.at(i, j).add(Scalar(a.at(i, k)) * Scalar(b.at(k, j)));
                }
            }
        }
        return c;
    }

    // B[N][M] = A^T
    template <typename T>
    Matrix<T> transposed(const Matrix<T>& a) {
        Matrix<T> b(a.columns, a.rows);
        for (std::size_t i = 0; i < a.rows; i++) {
            for (std::size_t j = 0; j < a.columns; j++) {
                b.at(j, i) = a.at(i, j);
            }
        }
        return b;
    }

    // y[OUT][n] = W[OUT][IN] x[IN][n] + b[OUT][1], before an activation function
    template <typename T>
    Matrix<Sum> linear(const Matrix<T>& weights, const Matrix<T>& biases, const Matrix<T>& x) {
        Matrix<Sum> y = product(weights, x);
        for (std::size_t i = 0; i < y.rows; i++) {
            for (std::size_t j = 0; j < y.columns; j++) {
                y.at(i, j).add(biases.at(i, 0));
            }
        }
        return y;
    }

    // A[M][1] = sum over columns of B[M][N]
    template <typename T>
    Matrix<Sum> row_sums(const Matrix<T>& b) {
        Matrix<Sum> a(b.rows, 1);
        for (std::size_t i = 0; i < b.rows; i++) {
            for (std::size_t j = 0; j < b.columns; j++) {
                a.at(i, 0).add(b.at(i, j));
            }
        }
        return a;
    }

    // The batch as the kernel has it, [panel][feature][lane] in an allocation of exactly its size; lanes without a
    // sample are zero.
    template <typename T>
    std::vector<T> to_panels(const Matrix<T>& x, std::size_t panel_lanes) {
        const std::size_t n_panels = (x.columns + panel_lanes - 1) / panel_lanes;
        std::vector<T> panels(n_panels * x.rows * panel_lanes, T(0));
        for (std::size_t feature = 0; feature < x.rows; feature++) {
            for (std::size_t sample = 0; sample < x.columns; sample++) {
                const std::size_t p = sample / panel_lanes, lane = sample % panel_lanes;
                panels.at((p * x.rows + feature) * panel_lanes + lane) = x.at(feature, sample);
            }
        }
        return panels;
    }

    // Back again, for `n` samples.
    template <typename T>
    Matrix<T> from_panels(const std::vector<T>& panels, std::size_t features, std::size_t n, std::size_t panel_lanes) {
        Matrix<T> x(features, n);
        for (std::size_t feature = 0; feature < features; feature++) {
            for (std::size_t sample = 0; sample < n; sample++) {
                const std::size_t p = sample / panel_lanes, lane = sample % panel_lanes;
                x.at(feature, sample) = panels.at((p * features + feature) * panel_lanes + lane);
            }
        }
        return x;
    }

    inline bool failed = false;

    // Compares element by element to a few units of rounding, and says which function, shape and element differ.
    template <typename T>
    void expect_equal(const Matrix<T>& actual, const Matrix<Sum>& expected, const char* what,
                      std::initializer_list<std::size_t> shape) {
        constexpr Scalar UNITS = 8;
        for (std::size_t i = 0; i < actual.rows; i++) {
            for (std::size_t j = 0; j < actual.columns; j++) {
                const Sum& sum = expected.at(i, j);
                const Scalar error = std::fabs(Scalar(actual.at(i, j)) - sum.value);
                if (!(error <= UNITS * Scalar(std::numeric_limits<T>::epsilon()) * sum.magnitude)) {
                    std::printf("%s of %zu bytes, shape", what, sizeof(T));
                    for (const std::size_t dim : shape) {
                        std::printf(" %zu", dim);
                    }
                    std::printf(": [%zu][%zu] is %.9g, expected %.9Lg\n", i, j, static_cast<double>(actual.at(i, j)),
                                sum.value);
                    failed = true;
                    return;
                }
            }
        }
    }

    inline int result() {
        if (!failed) {
            std::puts("ok");
        }
        return failed ? 1 : 0;
    }
}

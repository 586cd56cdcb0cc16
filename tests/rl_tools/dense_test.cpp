// Each operation of a dense layer and of the transposes it needs, against the scalar definitions of reference.h, over
// shapes that fill lines, tiles and panels and shapes that do not. SCALAR is given at compile time.

#include <algorithm>

#include "reference.h"

#include <rl_tools/nn/layers/panel_dense/operations_cpu_mux.h>

namespace rlt = rl_tools;
namespace panel = rl_tools::panel;
namespace dense = rl_tools::nn::layers::panel_dense;
namespace torch_activation = rl_tools::nn::torch_activation;
using T = SCALAR;
using reference::from_panels;
using reference::Matrix;
using reference::random_matrix;
using reference::Sum;
using reference::to_panels;
using Device = rlt::devices::DefaultCPU_SIMD;
using BlasDevice = rlt::devices::CPU_SIMD_BLAS<rlt::devices::DefaultCPUSpecification>;

namespace {
    constexpr std::size_t LINE = panel::LINE_LANES<T>;

    // Stands in for a BLAS: C = op(A) op(B) + beta C.
    template <typename S>
    void gemm(int, int transpose_a, int transpose_b, int m, int n, int k, S alpha, const S* a, int lda, const S* b,
              int ldb, S beta, S* c, int ldc) {
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                S sum = 0;
                for (int l = 0; l < k; l++) {
                    sum += (transpose_a == rlt::utils::blas::TRANSPOSE ? a[l * lda + i] : a[i * lda + l]) *
                           (transpose_b == rlt::utils::blas::TRANSPOSE ? b[j * ldb + l] : b[l * ldb + j]);
                }
                c[i * ldc + j] = alpha * sum + (beta == 0 ? S(0) : beta * c[i * ldc + j]);
            }
        }
    }

    Device device(1);
    BlasDevice blas_device(1, {gemm<float>, gemm<double>});

    // y[OUT][:] = relu(W x + b) of one panel.
    template <std::size_t IN, std::size_t OUT, std::size_t PANEL_LANES, typename DEVICE>
    void test_forward(DEVICE& on, const char* what) {
        const auto weights = random_matrix<T>(OUT, IN, 1), biases = random_matrix<T>(OUT, 1, 2);
        const auto x = random_matrix<T>(IN, PANEL_LANES, 3);
        Matrix<Sum> expected = reference::linear(weights, biases, x);
        for (const bool has_relu : {false, true}) {
            Matrix<T> y(OUT, PANEL_LANES);
            if (has_relu) {
                dense::forward<IN, OUT, PANEL_LANES, torch_activation::Relu>(
                    on, weights.values.data(), biases.values.data(), x.values.data(), y.values.data());
                for (Sum& sum : expected.values) {
                    sum.value = std::max(sum.value, reference::Scalar(0));
                }
            } else {
                dense::forward<IN, OUT, PANEL_LANES, torch_activation::Identity>(
                    on, weights.values.data(), biases.values.data(), x.values.data(), y.values.data());
            }
            reference::expect_equal(y, expected, what, {IN, OUT, PANEL_LANES, has_relu});
        }
    }

    // y[OUT] = relu(W x + b) of one sample.
    template <std::size_t IN, std::size_t OUT>
    void test_forward_single() {
        const auto weights = random_matrix<T>(OUT, IN, 1), biases = random_matrix<T>(OUT, 1, 2);
        const auto x = random_matrix<T>(IN, 1, 3);
        Matrix<Sum> expected = reference::linear(weights, biases, x);
        Matrix<T> y(OUT, 1);
        dense::forward_single<IN, OUT, torch_activation::Identity>(weights.values.data(), biases.values.data(),
                                                                   x.values.data(), y.values.data());
        reference::expect_equal(y, expected, "forward_single", {IN, OUT});
        dense::forward_single<IN, OUT, torch_activation::Relu>(weights.values.data(), biases.values.data(),
                                                               x.values.data(), y.values.data());
        for (Sum& sum : expected.values) {
            sum.value = std::max(sum.value, reference::Scalar(0));
        }
        reference::expect_equal(y, expected, "forward_single with ReLU", {IN, OUT});
    }

    struct KeptDerivative : torch_activation::DerivativeKept {};

    // d_x = (W^T d_y + extra) f', where f' is that of ReLU, kept, or none.
    template <std::size_t IN, std::size_t OUT, std::size_t PANEL_LANES>
    void test_backward_input() {
        constexpr std::size_t LD = OUT + 3;
        const auto weights = random_matrix<T>(OUT, IN, 1), d_y = random_matrix<T>(OUT, PANEL_LANES, 2);
        const auto below = random_matrix<T>(IN, PANEL_LANES, 3), extra = random_matrix<T>(IN, PANEL_LANES, 4);
        Matrix<T> transposed(IN, LD);
        dense::transpose_weights<IN, 0, LD, false>(weights.values.data(), 0, OUT, transposed.values.data());
        Matrix<Sum> none = reference::product(reference::transposed(weights), d_y);
        for (std::size_t i = 0; i < none.values.size(); i++) {
            none.values[i].add(extra.values[i]);
        }
        Matrix<Sum> relu = none, kept = none;
        for (std::size_t i = 0; i < none.values.size(); i++) {
            relu.values[i].value *= below.values[i] > 0;
            kept.values[i].value *= below.values[i];
        }
        const auto extra_gradient = [&](std::size_t row, std::size_t lane) {
            return panel::load_line(extra.values.data() + row * PANEL_LANES + lane);
        };
        Matrix<T> d_x(IN, PANEL_LANES);
        const auto run = [&](auto f_below) {
            dense::backward_input<IN, OUT, LD, PANEL_LANES, decltype(f_below)>(
                transposed.values.data(), d_y.values.data(), below.values.data(), d_x.values.data(), extra_gradient);
        };
        run(torch_activation::Identity{});
        reference::expect_equal(d_x, none, "backward_input", {IN, OUT, PANEL_LANES});
        run(torch_activation::Relu{});
        reference::expect_equal(d_x, relu, "backward_input through ReLU", {IN, OUT, PANEL_LANES});
        run(KeptDerivative{});
        reference::expect_equal(d_x, kept, "backward_input through a derivative", {IN, OUT, PANEL_LANES});

        for (std::size_t i = 0; i < none.values.size(); i++) {
            none.values[i].value -= reference::Scalar(extra.values[i]);
        }
        dense::backward_input<IN, IN, OUT, PANEL_LANES>(blas_device, weights.values.data(), d_y.values.data(), T(0),
                                                        d_x.values.data());
        reference::expect_equal(d_x, none, "backward_input with a BLAS", {IN, OUT, PANEL_LANES});
        dense::backward_activation<torch_activation::Relu>(below.values.data(), d_x.values.data(), d_x.values.size());
        for (std::size_t i = 0; i < none.values.size(); i++) {
            none.values[i].value *= below.values[i] > 0;
        }
        reference::expect_equal(d_x, none, "backward_activation", {IN, OUT, PANEL_LANES});
    }

    // d_W = sum over the batch of d_y x^T, all three ways, and d_b; of rows FIRST to FIRST + ROWS of a layer of
    // D_Y_DIM.
    template <std::size_t IN, std::size_t ROWS, std::size_t BATCH, std::size_t PANEL_LANES>
    void test_weight_gradient() {
        constexpr std::size_t FIRST = 2, D_Y_DIM = ROWS + 3, N_PANELS = panel::n_blocks(BATCH, PANEL_LANES);
        const auto x = random_matrix<T>(IN, BATCH, 1), d_y = random_matrix<T>(D_Y_DIM, BATCH, 2);
        Matrix<T> rows(ROWS, BATCH);
        std::copy_n(d_y.values.begin() + FIRST * BATCH, ROWS * BATCH, rows.values.begin());
        const Matrix<Sum> expected = reference::product(rows, reference::transposed(x));

        const std::vector<T> x_panels = to_panels(x, PANEL_LANES), d_y_panels = to_panels(d_y, PANEL_LANES);
        const T* d_y_rows = d_y_panels.data() + FIRST * PANEL_LANES;
        std::vector<T> columns(panel::n_blocks(IN, LINE) * LINE * N_PANELS * PANEL_LANES, T(7));
        for (std::size_t p = 0; p < N_PANELS; p++) {
            dense::transpose_input<IN, N_PANELS, PANEL_LANES>(x_panels.data() + p * IN * PANEL_LANES, p,
                                                              columns.data());
        }
        Matrix<T> seen(IN, BATCH);
        Matrix<Sum> x_expected(IN, BATCH);
        for (std::size_t feature = 0; feature < panel::n_blocks(IN, LINE) * LINE; feature++) {
            for (std::size_t sample = 0; sample < N_PANELS * PANEL_LANES; sample++) {
                const T value = columns[(feature / LINE * N_PANELS * PANEL_LANES + sample) * LINE + feature % LINE];
                if (feature < IN && sample < BATCH) {
                    seen.at(feature, sample) = value;
                    x_expected.at(feature, sample).value = x.at(feature, sample);
                } else if (value != 0) {
                    std::printf("transpose_input: padding [%zu][%zu] is not zero\n", feature, sample);
                    reference::failed = true;
                }
            }
        }
        reference::expect_equal(seen, x_expected, "transpose_input", {IN, BATCH, PANEL_LANES});

        Matrix<T> d_weights(ROWS, IN), d_biases(ROWS, 1);
        dense::weight_gradient<IN, ROWS, D_Y_DIM, N_PANELS, PANEL_LANES>(d_y_rows, columns.data(),
                                                                         d_weights.values.data());
        reference::expect_equal(d_weights, expected, "weight_gradient", {IN, ROWS, BATCH, PANEL_LANES});
        dense::weight_gradient<IN, ROWS, D_Y_DIM, N_PANELS, PANEL_LANES>(blas_device, d_y_rows, x_panels.data(),
                                                                         d_weights.values.data());
        reference::expect_equal(d_weights, expected, "weight_gradient with a BLAS", {IN, ROWS, BATCH, PANEL_LANES});
        dense::bias_gradient<ROWS, D_Y_DIM, N_PANELS, PANEL_LANES>(d_y_rows, d_biases.values.data());
        reference::expect_equal(d_biases, reference::row_sums(rows), "bias_gradient", {ROWS, BATCH, PANEL_LANES});
    }

    // The same of a layer of few rows, which reads the squares of x.
    template <std::size_t IN, std::size_t ROWS, std::size_t BATCH, std::size_t PANEL_LANES>
    void test_weight_gradient_of_few_rows() {
        constexpr std::size_t D_Y_DIM = ROWS + 1, N_PANELS = panel::n_blocks(BATCH, PANEL_LANES);
        const auto x = random_matrix<T>(IN, BATCH, 1), d_y = random_matrix<T>(D_Y_DIM, BATCH, 2);
        Matrix<T> rows(ROWS, BATCH), squares = x;
        std::copy_n(d_y.values.begin() + BATCH, ROWS * BATCH, rows.values.begin());
        for (T& value : squares.values) {
            value *= value;
        }
        const std::vector<T> x_panels = to_panels(x, PANEL_LANES), d_y_panels = to_panels(d_y, PANEL_LANES);
        Matrix<T> d_weights(ROWS, IN);
        dense::weight_gradient_of_few_rows<IN, ROWS, D_Y_DIM, N_PANELS, PANEL_LANES>(
            d_y_panels.data() + PANEL_LANES, x_panels.data(), d_weights.values.data(), [](const panel::Line<T>& line) {
                panel::Line<T> square = panel::constant_line(T{0});
                panel::multiply_accumulate(square, line, line);
                return square;
            });
        reference::expect_equal(d_weights, reference::product(rows, reference::transposed(squares)),
                                "weight_gradient_of_few_rows", {IN, ROWS, BATCH, PANEL_LANES});
    }

    // W^T for some of the rows, and what must be left alone.
    template <std::size_t IN, std::size_t OUT, bool PADDED>
    void test_transpose_weights() {
        constexpr std::size_t FIRST_COLUMN = IN / 3, N_COLUMNS = IN - FIRST_COLUMN;
        constexpr std::size_t LD = PADDED ? panel::n_blocks(OUT, LINE) * LINE : OUT;
        constexpr std::size_t FIRST_ROW = OUT > LINE ? LINE : 0;
        const auto weights = random_matrix<T>(OUT, IN, 1);
        Matrix<T> transposed(N_COLUMNS, LD), rows(N_COLUMNS, OUT);
        for (T& value : transposed.values) {
            value = T(7);
        }
        dense::transpose_weights<IN, FIRST_COLUMN, LD, PADDED>(weights.values.data(), FIRST_ROW, OUT,
                                                               transposed.values.data());
        Matrix<Sum> expected(N_COLUMNS, OUT);
        for (std::size_t column = 0; column < N_COLUMNS; column++) {
            for (std::size_t row = 0; row < OUT; row++) {
                rows.at(column, row) = transposed.at(column, row);
                expected.at(column, row).value = row < FIRST_ROW ? T(7) : weights.at(row, FIRST_COLUMN + column);
            }
        }
        reference::expect_equal(rows, expected, "transpose_weights", {IN, OUT, PADDED});
    }

    template <std::size_t IN, std::size_t OUT>
    void test_shape() {
        test_forward<IN, OUT, LINE>(device, "forward");
        test_forward<IN, OUT, 2 * LINE>(device, "forward");
        test_forward<IN, OUT, LINE>(blas_device, "forward with a BLAS");
        test_forward_single<IN, OUT>();
        test_backward_input<IN, OUT, LINE>();
        test_transpose_weights<IN, OUT, true>();
        test_transpose_weights<IN, OUT, false>();
    }

    template <std::size_t... WIDTH>
    void test_widths() {
        (test_shape<WIDTH, 17>(), ...);
        (test_shape<16, WIDTH>(), ...);
    }

    template <std::size_t... BATCH>
    void test_batches() {
        (test_weight_gradient<17, 16, BATCH, LINE>(), ...);
        (test_weight_gradient<100, 17, BATCH, 2 * LINE>(), ...);
        (test_weight_gradient_of_few_rows<17, 3, BATCH, LINE>(), ...);
        (test_weight_gradient_of_few_rows<100, 1, BATCH, 2 * LINE>(), ...);
    }

    template <std::size_t... WIDTH>
    void test_gradient_widths() {
        (test_weight_gradient<WIDTH, 5, 100, LINE>(), ...);
        (test_weight_gradient<5, WIDTH, 100, LINE>(), ...);
        (test_weight_gradient_of_few_rows<WIDTH, 2, 100, LINE>(), ...);
    }
}

int main() {
    test_widths<1, 15, 16, 17, 64, 100, 257>();
    test_shape<257, 257>();
    // Rows that would share the sets of the first-level cache, in a wide panel: tiles of W are copied.
    test_forward<2048 / sizeof(T), 17, 2 * LINE>(device, "forward with copies");
    test_forward<2048 / sizeof(T), 17, 4 * LINE>(device, "forward with copies");
    test_backward_input<17, 100, 2 * LINE>();
    test_backward_input<17, 100, 4 * LINE>();
    test_batches<1, 16, 100, 256>();
    test_gradient_widths<1, 15, 16, 17, 64, 100, 257>();
    return reference::result();
}

#pragma once
// A dense layer y = f(W x + b) on one panel, and its gradients. W is torch's: [OUT][IN], row-major.

#include <rl_tools/containers/panel/operations_cpu_simd.h>
#include <rl_tools/nn/activation_functions.h>
#include <rl_tools/nn/optimizers/torch_adam/operations_cpu_simd.h>

namespace rl_tools::nn::layers::panel_dense {
    using activation_functions::ActivationFunction;
    using panel::Line;

    // Rows of W^T are padded to whole lines.
    template <typename T>
    constexpr std::size_t padded(std::size_t dim) {
        return (dim + panel::SIZE<T> - 1) / panel::SIZE<T> * panel::SIZE<T>;
    }

    template <ActivationFunction F, typename T>
    RL_TOOLS_INLINE Line<T> activation(Line<T> line) {
        static_assert(F == ActivationFunction::RELU || F == ActivationFunction::IDENTITY);
        if constexpr (F == ActivationFunction::RELU) {
            for (auto& vector : line.vectors) {
                vector = utils::simd::relu<T>(vector);
            }
        }
        return line;
    }

    template <typename T>
    RL_TOOLS_INLINE Line<T> constant_line(T value) {
        Line<T> line;
        for (auto& vector : line.vectors) {
            vector = utils::simd::broadcast(value);
        }
        return line;
    }

    // y[OUT][:] = f(W[OUT][IN] x[IN][:] + b[OUT])
    template <std::size_t IN, std::size_t OUT, ActivationFunction F, typename T>
    RL_TOOLS_NOINLINE void forward(const T* weights, const T* biases, const T* x, T* y) {
        panel::multiply<T, OUT, IN, IN>(
            weights, x, 1, 0, [biases](std::size_t row) { return constant_line(biases[row]); },
            [y](std::size_t row, const Line<T>& line) {
                panel::store_line(y + row * panel::SIZE<T>, activation<F>(line));
            });
    }

    // d_x[IN][:] = W^T[IN][OUT] d_y[OUT][:], through the ReLU that made x.
    template <std::size_t IN, std::size_t OUT, ActivationFunction F_BELOW, typename T>
    RL_TOOLS_NOINLINE void backward_input(const T* transposed_weights, const T* d_y, const T* x, T* d_x) {
        static_assert(F_BELOW == ActivationFunction::RELU || F_BELOW == ActivationFunction::IDENTITY);
        panel::multiply<T, IN, OUT, padded<T>(OUT)>(
            transposed_weights, d_y, 1, 0, [](std::size_t) { return constant_line(T{0}); },
            [x, d_x](std::size_t row, Line<T> line) {
                if constexpr (F_BELOW == ActivationFunction::RELU) {
                    const Line<T> y = panel::load_line(x + row * panel::SIZE<T>);
                    for (std::size_t v = 0; v < panel::VECTORS<T>; v++) {
                        line.vectors[v] = utils::simd::relu_gradient<T>(y.vectors[v], line.vectors[v]);
                    }
                }
                panel::store_line(d_x + row * panel::SIZE<T>, line);
            });
    }

    // x_columns[sample][SIZE] = x[panel][first_column + column][sample]: the right-hand side of
    // `weight_gradient`.
    template <std::size_t IN, std::size_t N_PANELS, typename T>
    RL_TOOLS_NOINLINE void gather_columns(const T* x, std::size_t first_column, T* x_columns) {
        constexpr std::size_t SIZE = panel::SIZE<T>;
        const std::size_t n_columns = IN - first_column < SIZE ? IN - first_column : SIZE;
        for (std::size_t p = 0; p < N_PANELS; p++) {
            panel::transpose_block(x + (p * IN + first_column) * SIZE, SIZE, n_columns, x_columns + p * SIZE * SIZE,
                                   SIZE);
        }
    }

    // d_W[OUT][SIZE] = sum over panels and samples of d_y[panel][OUT][sample] x_columns[panel][sample][SIZE]
    //
    // `D_Y_DIM` rows lie between two panels of d_y (more than OUT where a head shares its panel with
    // another).
    template <std::size_t OUT, std::size_t D_Y_DIM, std::size_t N_PANELS, typename T>
    RL_TOOLS_NOINLINE void weight_gradient(const T* d_y, const T* x_columns, T* d_weights) {
        constexpr std::size_t SIZE = panel::SIZE<T>;
        panel::multiply<T, OUT, SIZE, SIZE>(
            d_y, x_columns, N_PANELS, D_Y_DIM * SIZE, [](std::size_t) { return constant_line(T{0}); },
            [d_weights](std::size_t row, const Line<T>& line) { panel::store_line(d_weights + row * SIZE, line); });
    }

    // d_b[OUT] = sum over panels and samples of d_y[panel][OUT][sample]
    template <std::size_t OUT, std::size_t D_Y_DIM, std::size_t N_PANELS, typename T>
    RL_TOOLS_NOINLINE void bias_gradient(const T* d_y, T* d_biases) {
        constexpr std::size_t SIZE = panel::SIZE<T>;
        for (std::size_t row = 0; row < OUT; row++) {
            Line<T> sums = constant_line(T{0});
            for (std::size_t p = 0; p < N_PANELS; p++) {
                const Line<T> line = panel::load_line(d_y + (p * D_Y_DIM + row) * SIZE);
                for (std::size_t v = 0; v < panel::VECTORS<T>; v++) {
                    sums.vectors[v] = sums.vectors[v] + line.vectors[v];
                }
            }
            T sum = 0;
            for (const auto& vector : sums.vectors) {
                sum += utils::simd::sum<T>(vector);
            }
            d_biases[row] = sum;
        }
    }

    // transposed[column][row] = W[row][column] for the columns from `first_column` to `end_column`;
    // `transposed` begins at the first of them and has `TRANSPOSED_DIM` rows to a column. The padding behind
    // `OUT` rows is overwritten only where `OWNS_PADDING`: behind one head may lie another.
    template <std::size_t IN, std::size_t OUT, std::size_t TRANSPOSED_DIM, bool OWNS_PADDING, typename T>
    RL_TOOLS_NOINLINE void transpose(const T* weights, std::size_t first_column, std::size_t end_column,
                                     T* transposed) {
        constexpr std::size_t SIZE = panel::SIZE<T>;
        std::size_t column = first_column;
        if constexpr (OWNS_PADDING) {
            for (; column + SIZE <= end_column; column += SIZE) {
                for (std::size_t row = 0; row < OUT; row += SIZE) {
                    panel::transpose_block(weights + row * IN + column, IN, OUT - row,
                                           transposed + (column - first_column) * TRANSPOSED_DIM + row, TRANSPOSED_DIM);
                }
            }
        }
        for (; column < end_column; column++) {
            for (std::size_t row = 0; row < OUT; row++) {
                transposed[(column - first_column) * TRANSPOSED_DIM + row] = weights[row * IN + column];
            }
        }
    }
}

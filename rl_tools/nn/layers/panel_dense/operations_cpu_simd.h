#pragma once
// A dense layer y = f(W x + b) on one panel, and its gradients. W is torch's: [OUT][IN], row-major. f is ReLU or the
// identity; any other function is applied to a finished layer.

#include <rl_tools/containers/panel/operations_cpu_simd.h>
#include <rl_tools/containers/panel/transpose.h>
#include <rl_tools/devices/cpu_simd.h>
#include <rl_tools/nn/torch_activation/torch_activation.h>

namespace rl_tools::nn::layers::panel_dense {
    using panel::Line;
    using torch_activation::Function;

    template <Function F, typename T>
    RL_TOOLS_INLINE Line<T> activation(Line<T> line) {
        static_assert(F == Function::RELU || F == Function::IDENTITY);
        if constexpr (F == Function::RELU) {
            for (auto& vector : line.vectors) {
                vector = utils::simd::relu<T>(vector);
            }
        }
        return line;
    }

    // d_y through the function that made y: by way of y itself for ReLU, of the function's derivative for others.
    template <Function F, typename T>
    RL_TOOLS_INLINE Line<T> activation_gradient(const Line<T>& y_or_derivative, Line<T> d_y) {
        for (std::size_t v = 0; v < panel::VECTORS<T>; v++) {
            if constexpr (F == Function::RELU) {
                d_y.vectors[v] = utils::simd::relu_gradient<T>(y_or_derivative.vectors[v], d_y.vectors[v]);
            } else {
                d_y.vectors[v] = d_y.vectors[v] * y_or_derivative.vectors[v];
            }
        }
        return d_y;
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
    template <std::size_t IN, std::size_t OUT, std::size_t SIZE, Function F, typename DEVICE_SPEC, typename T>
    RL_TOOLS_NOINLINE void forward(devices::CPU_SIMD<DEVICE_SPEC>&, const T* weights, const T* biases, const T* x,
                                   T* y) {
        panel::multiply_panel<T, OUT, IN, IN, SIZE>(
            weights, x, [biases](std::size_t row, std::size_t) { return constant_line(biases[row]); },
            [y](std::size_t row, std::size_t lane, const Line<T>& line) {
                panel::store_line(y + row * SIZE + lane, activation<F>(line));
            });
    }

    // W[ROWS][IN] x[IN] + b[ROWS], the sums of several rows at a time so that none waits for itself.
    template <std::size_t IN, std::size_t ROWS, Function F, typename T>
    RL_TOOLS_INLINE void forward_sample_rows(const T* weights, const T* biases, const T* x, T* y) {
        constexpr std::size_t LANES = utils::simd::LANES<T>;
        constexpr std::size_t N_VECTORISED = IN / LANES * LANES;
        utils::simd::Vector<T> sums[ROWS] = {};
        for (std::size_t k = 0; k < N_VECTORISED; k += LANES) {
            const utils::simd::Vector<T> inputs = utils::simd::load(x + k);
            for (std::size_t row = 0; row < ROWS; row++) {
                sums[row] = sums[row] + utils::simd::load(weights + row * IN + k) * inputs;
            }
        }
        for (std::size_t row = 0; row < ROWS; row++) {
            T sum = biases[row] + utils::simd::sum<T>(sums[row]);
            for (std::size_t k = N_VECTORISED; k < IN; k++) {
                sum += weights[row * IN + k] * x[k];
            }
            y[row] = F == Function::RELU && sum < 0 ? T{0} : sum;
        }
    }

    // y[OUT] = f(W[OUT][IN] x[IN] + b[OUT]) for a single sample.
    template <std::size_t IN, std::size_t OUT, Function F, typename T>
    RL_TOOLS_NOINLINE void forward_sample(const T* weights, const T* biases, const T* x, T* y) {
        constexpr std::size_t ROWS = 4;
        constexpr std::size_t REST = OUT % ROWS;
        for (std::size_t row = 0; row < OUT - REST; row += ROWS) {
            forward_sample_rows<IN, ROWS, F>(weights + row * IN, biases + row, x, y + row);
        }
        if constexpr (REST > 0) {
            constexpr std::size_t ROW = OUT - REST;
            forward_sample_rows<IN, REST, F>(weights + ROW * IN, biases + ROW, x, y + ROW);
        }
    }

    // d_x[IN][:] = W^T[IN][OUT] d_y[OUT][:] + other_gradient(IN), through the function that made x: by way of x itself
    // for ReLU, of the function's derivatives for others. `TRANSPOSED_DIM` elements lie between two rows of W^T.
    template <std::size_t IN, std::size_t OUT, std::size_t TRANSPOSED_DIM, std::size_t SIZE, Function F_BELOW,
              typename T, typename OTHER_GRADIENT>
    RL_TOOLS_NOINLINE void backward_input(const T* transposed_weights, const T* d_y, const T* x_or_derivative, T* d_x,
                                          OTHER_GRADIENT other_gradient) {
        panel::multiply_panel<T, IN, OUT, TRANSPOSED_DIM, SIZE>(
            transposed_weights, d_y, other_gradient, [=](std::size_t row, std::size_t lane, Line<T> line) {
                if constexpr (F_BELOW != Function::IDENTITY) {
                    const Line<T> below = panel::load_line(x_or_derivative + row * SIZE + lane);
                    line = activation_gradient<F_BELOW>(below, line);
                }
                panel::store_line(d_x + row * SIZE + lane, line);
            });
    }

    // Columns of x are kept as blocks of as many features as a cache line holds: [block][sample of the batch][feature].
    //
    // x_columns[block][p * SIZE + sample][feature] = x[block * panel::SIZE + feature][sample] for panel `p`.
    template <std::size_t IN, std::size_t N_PANELS, std::size_t SIZE, typename T>
    RL_TOOLS_NOINLINE void transpose_input(const T* x, std::size_t p, T* x_columns) {
        constexpr std::size_t BLOCK = panel::SIZE<T>;
        for (std::size_t block = 0; block < panel::n_blocks(IN, BLOCK); block++) {
            for (std::size_t lane = 0; lane < SIZE; lane += BLOCK) {
                panel::transpose_block(x + block * BLOCK * SIZE + lane, SIZE, IN - block * BLOCK,
                                       x_columns + ((block * N_PANELS + p) * SIZE + lane) * BLOCK, BLOCK);
            }
        }
    }

    // d_W[ROWS][IN] = sum over panels and samples of d_y[panel][ROWS][sample] x_columns[block][sample][feature]
    //
    // `ROWS` rows of the layer, whose gradients in two neighbouring panels lie `D_Y_DIM` rows apart.
    template <std::size_t IN, std::size_t ROWS, std::size_t D_Y_DIM, std::size_t N_PANELS, std::size_t SIZE, typename T>
    RL_TOOLS_NOINLINE void weight_gradient(const T* d_y, const T* x_columns, T* d_weights) {
        constexpr std::size_t BLOCK = panel::SIZE<T>;
        for (std::size_t block = 0; block < panel::n_blocks(IN, BLOCK); block++) {
            T* columns = d_weights + block * BLOCK;
            const std::size_t n_columns = IN - block * BLOCK < BLOCK ? IN - block * BLOCK : BLOCK;
            panel::multiply<T, ROWS, SIZE, SIZE>(
                d_y, x_columns + block * N_PANELS * SIZE * BLOCK, N_PANELS, D_Y_DIM * SIZE,
                [](std::size_t) { return constant_line(T{0}); },
                [columns, n_columns](std::size_t row, const Line<T>& line) {
                    panel::store_line(columns + row * IN, line, n_columns);
                });
        }
    }

    // The same for a layer of few rows that reads `input(x)`, straight from the panels of x: transposing them would
    // cost more than the products.
    template <std::size_t IN, std::size_t ROWS, std::size_t D_Y_DIM, std::size_t N_PANELS, std::size_t PANEL_SIZE,
              typename T, typename INPUT>
    RL_TOOLS_NOINLINE void weight_gradient_of_few_rows(const T* d_y, const T* x, T* d_weights, INPUT input) {
        constexpr std::size_t SIZE = panel::SIZE<T>;
        constexpr std::size_t GROUP = 4;  // sums that are added up at the same time
        static_assert(SIZE % GROUP == 0);
        for (std::size_t block = 0; block < panel::n_blocks(IN, SIZE); block++) {
            const std::size_t n_columns = IN - block * SIZE < SIZE ? IN - block * SIZE : SIZE;
            for (std::size_t row = 0; row < ROWS; row++) {
                alignas(panel::ALIGNMENT) T sums[SIZE * SIZE] = {};  // [feature][lane]
                for (std::size_t first = 0; first < n_columns; first += GROUP) {
                    // The last group repeats the last feature rather than read behind it.
                    const T* feature[GROUP];
                    Line<T> sum[GROUP];
                    for (std::size_t i = 0; i < GROUP; i++) {
                        const std::size_t column = first + i < n_columns ? first + i : n_columns - 1;
                        feature[i] = x + (block * SIZE + column) * PANEL_SIZE;
                        sum[i] = constant_line(T{0});
                    }
                    for (std::size_t p = 0; p < N_PANELS; p++) {
                        for (std::size_t lane = 0; lane < PANEL_SIZE; lane += SIZE) {
                            const Line<T> d_line = panel::load_line(d_y + (p * D_Y_DIM + row) * PANEL_SIZE + lane);
                            for (std::size_t i = 0; i < GROUP; i++) {
                                panel::multiply_accumulate(
                                    sum[i], d_line, input(panel::load_line(feature[i] + p * IN * PANEL_SIZE + lane)));
                            }
                        }
                    }
                    for (std::size_t i = 0; i < GROUP; i++) {
                        panel::store_line(sums + (first + i) * SIZE, sum[i]);
                    }
                }
                alignas(panel::ALIGNMENT) T by_lane[SIZE * SIZE];  // [lane][feature]
                panel::transpose_block(sums, SIZE, SIZE, by_lane, SIZE);
                Line<T> total = constant_line(T{0});
                for (std::size_t lane = 0; lane < SIZE; lane++) {
                    panel::accumulate(total, panel::load_line(by_lane + lane * SIZE));
                }
                panel::store_line(d_weights + row * IN + block * SIZE, total, n_columns);
            }
        }
    }

    // d_b[ROWS] = sum over panels and samples of d_y[panel][ROWS][sample]
    template <std::size_t ROWS, std::size_t D_Y_DIM, std::size_t N_PANELS, std::size_t SIZE, typename T>
    RL_TOOLS_NOINLINE void bias_gradient(const T* d_y, T* d_biases) {
        for (std::size_t row = 0; row < ROWS; row++) {
            Line<T> sums = constant_line(T{0});
            for (std::size_t p = 0; p < N_PANELS; p++) {
                for (std::size_t lane = 0; lane < SIZE; lane += panel::SIZE<T>) {
                    panel::accumulate(sums, panel::load_line(d_y + (p * D_Y_DIM + row) * SIZE + lane));
                }
            }
            T sum = 0;
            for (const auto& vector : sums.vectors) {
                sum += utils::simd::sum<T>(vector);
            }
            d_biases[row] = sum;
        }
    }

    // transposed[column][row] = W[row][column] for the rows from `first_row` to `end_row`. `transposed` begins at
    // column `FIRST_COLUMN` and has `TRANSPOSED_DIM` rows to a column; where `PADDED`, up to SIZE - 1 rows behind
    // `end_row` are overwritten.
    template <std::size_t IN, std::size_t FIRST_COLUMN, std::size_t TRANSPOSED_DIM, bool PADDED, typename T>
    RL_TOOLS_NOINLINE void transpose_weights(const T* weights, std::size_t first_row, std::size_t end_row,
                                             T* transposed) {
        constexpr std::size_t SIZE = panel::SIZE<T>;
        constexpr std::size_t N_COLUMNS = IN - FIRST_COLUMN;
        constexpr std::size_t N_BLOCKED = PADDED ? N_COLUMNS / SIZE * SIZE : 0;
        weights += FIRST_COLUMN;
        for (std::size_t column = 0; column < N_BLOCKED; column += SIZE) {
            for (std::size_t row = first_row; row < end_row; row += SIZE) {
                panel::transpose_block(weights + row * IN + column, IN, end_row - row,
                                       transposed + column * TRANSPOSED_DIM + row, TRANSPOSED_DIM);
            }
        }
        for (std::size_t column = N_BLOCKED; column < N_COLUMNS; column++) {
            for (std::size_t row = first_row; row < end_row; row++) {
                transposed[column * TRANSPOSED_DIM + row] = weights[row * IN + column];
            }
        }
    }
}

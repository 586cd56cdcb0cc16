#pragma once
// A dense layer y = f(W x + b) on one panel, and its gradients. W is torch's: [OUT][IN], row-major. f is a function
// that works in registers; any other is applied to a finished layer (torch_activation::activate).
//
// Gradients are prefixed with `d_`: d_y is that of the loss with respect to y.

#include <type_traits>

#include <rl_tools/containers/panel/operations_cpu_simd.h>
#include <rl_tools/containers/panel/transpose.h>
#include <rl_tools/devices/cpu_simd.h>
#include <rl_tools/nn/torch_activation/operations_cpu_simd.h>

namespace rl_tools::nn::layers::panel_dense {
    namespace tuning = devices::tuning;
    using panel::constant_line;
    using panel::Line;
    using torch_activation::Identity;

    // y[:] = f(x[:])
    template <typename F, typename T>
    RL_TOOLS_INLINE Line<T> activation(Line<T> line) {
        for (auto& vector : line.vectors) {
            vector = F::value(vector);
        }
        return line;
    }

    // forward: y = f(x)
    // d_x[:] = d_y[:] f'(x[:]), where f'(x) is known by way of y, or has been kept.
    template <typename F, typename T>
    RL_TOOLS_INLINE Line<T> activation_gradient(const Line<T>& y_or_derivative, Line<T> d_y) {
        for (std::size_t v = 0; v < panel::VECTORS<T>; v++) {
            d_y.vectors[v] = F::gradient(y_or_derivative.vectors[v], d_y.vectors[v]);
        }
        return d_y;
    }

    // y[OUT][:] = f(W[OUT][IN] x[IN][:] + b[OUT])
    //
    // All of one panel: [:] are its PANEL_LANES samples.
    template <std::size_t IN, std::size_t OUT, std::size_t PANEL_LANES, typename F, typename DEVICE_SPEC, typename T>
    RL_TOOLS_NOINLINE void forward(devices::CPU_SIMD<DEVICE_SPEC>&, const T* weights, const T* biases, const T* x,
                                   T* y) {
        panel::multiply_panel<T, OUT, IN, IN, PANEL_LANES>(
            weights, x, [biases](std::size_t row, std::size_t) { return constant_line(biases[row]); },
            [y](std::size_t row, std::size_t lane, const Line<T>& line) {
                panel::store_line(y + row * PANEL_LANES + lane, activation<F>(line));
            });
    }

    // y[ROWS] = f(W[ROWS][IN] x[IN] + b[ROWS])
    //
    // ROWS independent accumulators hide the latency of multiply-adds.
    template <std::size_t IN, std::size_t ROWS, typename F, typename T>
    RL_TOOLS_INLINE void forward_single_rows(const T* weights, const T* biases, const T* x, T* y) {
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
            y[row] = F::value(sum);
        }
    }

    // y[OUT] = f(W[OUT][IN] x[IN] + b[OUT])
    //
    // A single sample (a "gemv"), feature behind feature.
    template <std::size_t IN, std::size_t OUT, typename F, typename T>
    RL_TOOLS_NOINLINE void forward_single(const T* weights, const T* biases, const T* x, T* y) {
        constexpr std::size_t ROWS = tuning::SINGLE_ROWS, REST = OUT % ROWS;
        for (std::size_t row = 0; row < OUT - REST; row += ROWS) {
            forward_single_rows<IN, ROWS, F>(weights + row * IN, biases + row, x, y + row);
        }
        if constexpr (REST > 0) {
            constexpr std::size_t ROW = OUT - REST;
            forward_single_rows<IN, REST, F>(weights + ROW * IN, biases + ROW, x, y + ROW);
        }
    }

    // forward: y[OUT][:] = W[OUT][IN] x[IN][:] + b[OUT], x = f(...)
    // d_x[IN][:] = (W^T[IN][OUT] d_y[OUT][:] + extra_gradient(IN, :)) f'
    //
    // `x_or_derivative` [IN][:] is what the forward pass left of f, the activation function of the layer below. LD
    // elements lie between two rows of W^T. `extra_gradient(row, lane)` is a line of what x receives from elsewhere.
    template <std::size_t IN, std::size_t OUT, std::size_t LD, std::size_t PANEL_LANES, typename F_BELOW, typename T,
              typename EXTRA_GRADIENT>
    RL_TOOLS_NOINLINE void backward_input(const T* transposed_weights, const T* d_y, const T* x_or_derivative, T* d_x,
                                          EXTRA_GRADIENT extra_gradient) {
        panel::multiply_panel<T, IN, OUT, LD, PANEL_LANES>(
            transposed_weights, d_y, extra_gradient, [=](std::size_t row, std::size_t lane, Line<T> line) {
                if constexpr (!std::is_same_v<F_BELOW, Identity>) {
                    const Line<T> below = panel::load_line(x_or_derivative + row * PANEL_LANES + lane);
                    line = activation_gradient<F_BELOW>(below, line);
                }
                panel::store_line(d_x + row * PANEL_LANES + lane, line);
            });
    }

    // x_columns[block][p * PANEL_LANES + lane][feature] = x[block * LINE_LANES + feature][lane]
    //
    // Panel `p` of N_PANELS as block columns, see panel.h. Features behind IN, in the last block, are zero.
    template <std::size_t IN, std::size_t N_PANELS, std::size_t PANEL_LANES, typename T>
    RL_TOOLS_NOINLINE void transpose_input(const T* x, std::size_t p, T* x_columns) {
        constexpr std::size_t BLOCK = panel::LINE_LANES<T>;
        for (std::size_t block = 0; block < panel::n_blocks(IN, BLOCK); block++) {
            for (std::size_t lane = 0; lane < PANEL_LANES; lane += BLOCK) {
                panel::transpose_block(x + block * BLOCK * PANEL_LANES + lane, PANEL_LANES, IN - block * BLOCK,
                                       x_columns + ((block * N_PANELS + p) * PANEL_LANES + lane) * BLOCK, BLOCK);
            }
        }
    }

    // forward: y[panel][OUT][:] = W[OUT][IN] x[panel][IN][:] + b[OUT]
    // d_W[ROWS][IN] = sum over panel, lane of d_y[panel][ROWS][lane] x_columns[:][panel, lane][:]
    //
    // ROWS of the layer's OUT rows: `d_y` begins at the first of them, and D_Y_DIM rows lie between two panels.
    template <std::size_t IN, std::size_t ROWS, std::size_t D_Y_DIM, std::size_t N_PANELS, std::size_t PANEL_LANES,
              typename T>
    RL_TOOLS_NOINLINE void weight_gradient(const T* d_y, const T* x_columns, T* d_weights) {
        constexpr std::size_t BLOCK = panel::LINE_LANES<T>, BLOCK_STRIDE = N_PANELS * PANEL_LANES * BLOCK;
        constexpr std::size_t N_BLOCKS = panel::n_blocks(IN, BLOCK), LINES = tuning::InstructionSet::TILE_LINES;
        const auto multiply_blocks = [=](std::size_t block, auto lines) RL_TOOLS_INLINE_LAMBDA {
            panel::multiply<T, ROWS, PANEL_LANES, PANEL_LANES, lines, BLOCK_STRIDE>(
                d_y, x_columns + block * BLOCK_STRIDE, N_PANELS, D_Y_DIM * PANEL_LANES,
                [](std::size_t, std::size_t) { return constant_line(T{0}); },
                [=](std::size_t row, std::size_t line, const Line<T>& sum) {
                    const std::size_t column = (block + line) * BLOCK;
                    panel::store_line(d_weights + row * IN + column, sum, IN - column < BLOCK ? IN - column : BLOCK);
                });
        };
        if constexpr (N_BLOCKS >= LINES) {
            for (std::size_t block = 0; block + LINES <= N_BLOCKS; block += LINES) {
                multiply_blocks(block, std::integral_constant<std::size_t, LINES>{});
            }
        }
        if constexpr (N_BLOCKS % LINES != 0) {
            for (std::size_t block = N_BLOCKS / LINES * LINES; block < N_BLOCKS; block++) {
                multiply_blocks(block, std::integral_constant<std::size_t, 1>{});
            }
        }
    }

    // forward: y[panel][OUT][:] = W[OUT][IN] input(x[panel][IN][:]) + b[OUT]
    // d_W[ROWS][IN] = sum over panel, lane of d_y[panel][ROWS][lane] input(x[panel][IN][lane])
    //
    // For a layer of few rows, straight from the panels of x: transposing them would cost more than the products.
    // `input` maps lines. The lanes of a line are added up at the end, by way of a transpose.
    template <std::size_t IN, std::size_t ROWS, std::size_t D_Y_DIM, std::size_t N_PANELS, std::size_t PANEL_LANES,
              typename T, typename INPUT>
    RL_TOOLS_NOINLINE void weight_gradient_of_few_rows(const T* d_y, const T* x, T* d_weights, INPUT input) {
        constexpr std::size_t BLOCK = panel::LINE_LANES<T>;
        constexpr std::size_t GROUP = tuning::FEW_ROWS_FEATURES;
        static_assert(BLOCK % GROUP == 0);
        for (std::size_t block = 0; block < panel::n_blocks(IN, BLOCK); block++) {
            const std::size_t n_columns = IN - block * BLOCK < BLOCK ? IN - block * BLOCK : BLOCK;
            for (std::size_t row = 0; row < ROWS; row++) {
                alignas(panel::ALIGNMENT) T sums[BLOCK * BLOCK] = {};  // [feature][lane]
                for (std::size_t first = 0; first < n_columns; first += GROUP) {
                    // The last group repeats the last feature rather than read behind it.
                    const T* feature[GROUP];
                    Line<T> sum[GROUP];
                    for (std::size_t i = 0; i < GROUP; i++) {
                        const std::size_t column = first + i < n_columns ? first + i : n_columns - 1;
                        feature[i] = x + (block * BLOCK + column) * PANEL_LANES;
                        sum[i] = constant_line(T{0});
                    }
                    for (std::size_t p = 0; p < N_PANELS; p++) {
                        for (std::size_t lane = 0; lane < PANEL_LANES; lane += BLOCK) {
                            const Line<T> d_line = panel::load_line(d_y + (p * D_Y_DIM + row) * PANEL_LANES + lane);
                            for (std::size_t i = 0; i < GROUP; i++) {
                                panel::multiply_accumulate(
                                    sum[i], d_line, input(panel::load_line(feature[i] + p * IN * PANEL_LANES + lane)));
                            }
                        }
                    }
                    for (std::size_t i = 0; i < GROUP; i++) {
                        panel::store_line(sums + (first + i) * BLOCK, sum[i]);
                    }
                }
                alignas(panel::ALIGNMENT) T by_lane[BLOCK * BLOCK];  // [lane][feature]
                panel::transpose_block(sums, BLOCK, BLOCK, by_lane, BLOCK);
                Line<T> total = constant_line(T{0});
                for (std::size_t lane = 0; lane < BLOCK; lane++) {
                    panel::accumulate(total, panel::load_line(by_lane + lane * BLOCK));
                }
                panel::store_line(d_weights + row * IN + block * BLOCK, total, n_columns);
            }
        }
    }

    // forward: y[panel][OUT][:] = W[OUT][IN] x[panel][IN][:] + b[OUT]
    // d_b[ROWS] = sum over panel, lane of d_y[panel][ROWS][lane]
    template <std::size_t ROWS, std::size_t D_Y_DIM, std::size_t N_PANELS, std::size_t PANEL_LANES, typename T>
    RL_TOOLS_NOINLINE void bias_gradient(const T* d_y, T* d_biases) {
        for (std::size_t row = 0; row < ROWS; row++) {
            Line<T> sums = constant_line(T{0});
            for (std::size_t p = 0; p < N_PANELS; p++) {
                for (std::size_t lane = 0; lane < PANEL_LANES; lane += panel::LINE_LANES<T>) {
                    panel::accumulate(sums, panel::load_line(d_y + (p * D_Y_DIM + row) * PANEL_LANES + lane));
                }
            }
            T sum = 0;
            for (const auto& vector : sums.vectors) {
                sum += utils::simd::sum<T>(vector);
            }
            d_biases[row] = sum;
        }
    }

    // transposed[column - FIRST_COLUMN][row] = W[row][column] for column in [FIRST_COLUMN, IN), row in [first_row,
    // end_row)
    //
    // LD rows of W lie between two columns. Where `PADDED`, up to LINE_LANES - 1 rows behind `end_row` are overwritten.
    template <std::size_t IN, std::size_t FIRST_COLUMN, std::size_t LD, bool PADDED, typename T>
    RL_TOOLS_NOINLINE void transpose_weights(const T* weights, std::size_t first_row, std::size_t end_row,
                                             T* transposed) {
        constexpr std::size_t BLOCK = panel::LINE_LANES<T>;
        constexpr std::size_t N_COLUMNS = IN - FIRST_COLUMN;
        constexpr std::size_t N_BLOCKED = PADDED ? N_COLUMNS / BLOCK * BLOCK : 0;
        weights += FIRST_COLUMN;
        for (std::size_t column = 0; column < N_BLOCKED; column += BLOCK) {
            for (std::size_t row = first_row; row < end_row; row += BLOCK) {
                panel::transpose_block(weights + row * IN + column, IN, end_row - row, transposed + column * LD + row,
                                       LD);
            }
        }
        for (std::size_t column = N_BLOCKED; column < N_COLUMNS; column++) {
            for (std::size_t row = first_row; row < end_row; row++) {
                transposed[column * LD + row] = weights[row * IN + column];
            }
        }
    }
}

#pragma once

#include <utility>

#include <rl_tools/containers/panel/panel.h>
#include <rl_tools/devices/cpu_simd.h>

namespace rl_tools::panel {
    template <typename T>
    RL_TOOLS_INLINE Line<T> load_line(const T* source) {
        Line<T> line;
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            line.vectors[v] = utils::simd::load(source + v * utils::simd::LANES<T>);
        }
        return line;
    }

    template <typename T>
    RL_TOOLS_INLINE void store_line(T* target, const Line<T>& line) {
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            utils::simd::store(target + v * utils::simd::LANES<T>, line.vectors[v]);
        }
    }

    // The first `n` elements only.
    template <typename T>
    RL_TOOLS_INLINE void store_line(T* target, const Line<T>& line, std::size_t n) {
        if (n == SIZE<T>) {
            store_line(target, line);
        } else {
            std::memcpy(target, &line, n * sizeof(T));
        }
    }

    // sum += a
    template <typename T>
    RL_TOOLS_INLINE void accumulate(Line<T>& sum, const Line<T>& a) {
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            sum.vectors[v] = sum.vectors[v] + a.vectors[v];
        }
    }

    // sum += a * b
    template <typename T>
    RL_TOOLS_INLINE void multiply_accumulate(Line<T>& sum, const Line<T>& a, const Line<T>& b) {
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            sum.vectors[v] = sum.vectors[v] + a.vectors[v] * b.vectors[v];
        }
    }

    // sum += a * b
    template <typename T>
    RL_TOOLS_INLINE void multiply_accumulate(Line<T>& sum, T a, const Line<T>& b) {
        const utils::simd::Vector<T> factor = utils::simd::broadcast(a);
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            sum.vectors[v] = sum.vectors[v] + factor * b.vectors[v];
        }
    }

    // Sums that a tile of few rows is split into, over every SPLITS-th k: one alone would wait for itself.
    template <typename T, std::size_t ROWS, std::size_t K>
    constexpr std::size_t n_splits() {
        constexpr std::size_t SUMS = 8;  // that hide the latency of multiply-adds
        std::size_t splits = 1;
        while (2 * splits * ROWS * VECTORS<T> <= SUMS && K % (2 * splits) == 0) {
            splits *= 2;
        }
        return splits;
    }

    // tile[row][:] += sum over block, k of A[block * A_BLOCK + row * A_ROW + k] * B[block * K + k][:]
    //
    // A is read where it lies: one block of K = inputs for weights (A_ROW = K), one block a panel for
    // gradients (A_ROW = K = SIZE). B is a panel.
    template <std::size_t K, std::size_t A_ROW, typename T, std::size_t SPLITS, std::size_t ROWS, std::size_t... ROW>
    RL_TOOLS_INLINE void multiply_tile(Line<T> (&tile)[SPLITS][ROWS], const T* a, const T* b, std::size_t n_blocks,
                                       std::size_t a_block, std::index_sequence<ROW...>) {
        for (std::size_t block = 0; block < n_blocks; block++, a += a_block) {
            for (std::size_t k = 0; k < K; k += SPLITS) {
                for (std::size_t split = 0; split < SPLITS; split++, b += SIZE<T>) {
                    const Line<T> line = load_line(b);
                    (multiply_accumulate(tile[split][ROW], a[ROW * A_ROW + k + split], line), ...);
                }
            }
        }
    }

    // A block of rows of `A B`, handed to the epilogue while it is still in registers:
    // `initialise(row)` gives the line that the sums start from, `finish(row, line)` takes the result.
    template <typename T, std::size_t ROWS, std::size_t K, std::size_t A_ROW, typename INITIALISE, typename FINISH,
              std::size_t... ROW>
    RL_TOOLS_INLINE void multiply_rows(const T* a, const T* b, std::size_t n_blocks, std::size_t a_block,
                                       std::size_t first_row, INITIALISE initialise, FINISH finish,
                                       std::index_sequence<ROW...> rows) {
        constexpr std::size_t SPLITS = n_splits<T, ROWS, K>();
        Line<T> tile[SPLITS][ROWS] = {{initialise(first_row + ROW)...}};
        multiply_tile<K, A_ROW>(tile, a + first_row * A_ROW, b, n_blocks, a_block, rows);
        for (std::size_t split = 1; split < SPLITS; split++) {
            (accumulate(tile[0][ROW], tile[split][ROW]), ...);
        }
        (finish(first_row + ROW, tile[0][ROW]), ...);
    }

    // All `ROWS` rows of `A B`, tile by tile. See `multiply_tile` for the layout of A and B.
    template <typename T, std::size_t ROWS, std::size_t K, std::size_t A_ROW, typename INITIALISE, typename FINISH>
    RL_TOOLS_INLINE void multiply(const T* a, const T* b, std::size_t n_blocks, std::size_t a_block,
                                  INITIALISE initialise, FINISH finish) {
        using TILING = Tiling<T, ROWS>;
        std::size_t row = 0;
        for (std::size_t tile = 0; tile < TILING::N_HIGH; tile++, row += TILING::LOW + 1) {
            multiply_rows<T, TILING::LOW + 1, K, A_ROW>(a, b, n_blocks, a_block, row, initialise, finish,
                                                        std::make_index_sequence<TILING::LOW + 1>{});
        }
        for (; row < ROWS; row += TILING::LOW) {
            multiply_rows<T, TILING::LOW, K, A_ROW>(a, b, n_blocks, a_block, row, initialise, finish,
                                                    std::make_index_sequence<TILING::LOW>{});
        }
    }
}

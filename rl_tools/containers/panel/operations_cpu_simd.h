#pragma once

#include <utility>

#include <rl_tools/containers/panel/panel.h>
#include <rl_tools/devices/cpu_simd.h>

#if defined(__GNUC__) || defined(__clang__)
#define RL_TOOLS_NOINLINE __attribute__((noinline))
#define RL_TOOLS_INLINE __attribute__((always_inline)) inline
#else
#define RL_TOOLS_NOINLINE
#define RL_TOOLS_INLINE inline
#endif

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

    // sum += a * b
    template <typename T>
    RL_TOOLS_INLINE void multiply_accumulate(Line<T>& sum, T a, const Line<T>& b) {
        const utils::simd::Vector<T> factor = utils::simd::broadcast(a);
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            sum.vectors[v] = sum.vectors[v] + factor * b.vectors[v];
        }
    }

    // tile[row][:] += sum over block, k of A[block * A_BLOCK + row * A_ROW + k] * B[block * K + k][:]
    //
    // A is read where it lies: one block of K = inputs for weights (A_ROW = K), one block a panel for
    // gradients (A_ROW = K = SIZE). B is a panel.
    template <typename T, std::size_t ROWS, std::size_t K, std::size_t A_ROW, std::size_t... ROW>
    RL_TOOLS_INLINE void multiply_tile(Line<T> (&tile)[ROWS], const T* a, const T* b, std::size_t n_blocks,
                                       std::size_t a_block, std::index_sequence<ROW...>) {
        for (std::size_t block = 0; block < n_blocks; block++, a += a_block) {
            for (std::size_t k = 0; k < K; k++, b += SIZE<T>) {
                const Line<T> line = load_line(b);
                (multiply_accumulate(tile[ROW], a[ROW * A_ROW + k], line), ...);
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
        Line<T> tile[ROWS] = {initialise(first_row + ROW)...};
        multiply_tile<T, ROWS, K, A_ROW>(tile, a + first_row * A_ROW, b, n_blocks, a_block, rows);
        (finish(first_row + ROW, tile[ROW]), ...);
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

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define RL_TOOLS_HAS_SHUFFLEVECTOR
#endif
#endif

#ifdef RL_TOOLS_HAS_SHUFFLEVECTOR
    // One stage of the butterfly transpose: swaps the off-diagonal blocks of DISTANCE x DISTANCE between two
    // rows.
    template <std::size_t DISTANCE, typename T, std::size_t... LANE>
    RL_TOOLS_INLINE void exchange(utils::simd::Vector<T>& upper, utils::simd::Vector<T>& lower,
                                  std::index_sequence<LANE...>) {
        constexpr std::size_t N = sizeof...(LANE);
        const auto u = upper, l = lower;
        upper = __builtin_shufflevector(u, l, ((LANE & DISTANCE) ? N + LANE - DISTANCE : LANE)...);
        lower = __builtin_shufflevector(u, l, ((LANE & DISTANCE) ? N + LANE : LANE + DISTANCE)...);
    }

    template <std::size_t DISTANCE, typename T>
    RL_TOOLS_INLINE void transpose_registers(utils::simd::Vector<T>* rows) {
        constexpr std::size_t N = utils::simd::LANES<T>;
        if constexpr (DISTANCE < N) {
            for (std::size_t row = 0; row < N; row++) {
                if (!(row & DISTANCE)) {
                    exchange<DISTANCE, T>(rows[row], rows[row + DISTANCE], std::make_index_sequence<N>{});
                }
            }
            transpose_registers<2 * DISTANCE, T>(rows);
        }
    }
#endif

    // target[column][row] = source[row][column] for a block of SIZE x SIZE; rows from `n_rows` on count as
    // zero.
    template <typename T>
    RL_TOOLS_INLINE void transpose_block(const T* source, std::size_t source_row, std::size_t n_rows, T* target,
                                         std::size_t target_row) {
#ifdef RL_TOOLS_HAS_SHUFFLEVECTOR
        constexpr std::size_t N = utils::simd::LANES<T>;
        for (std::size_t block_row = 0; block_row < SIZE<T>; block_row += N) {
            for (std::size_t block_column = 0; block_column < SIZE<T>; block_column += N) {
                utils::simd::Vector<T> rows[N];
#pragma GCC unroll 16
                for (std::size_t row = 0; row < N; row++) {
                    rows[row] = block_row + row < n_rows
                                    ? utils::simd::load(source + (block_row + row) * source_row + block_column)
                                    : utils::simd::broadcast(T{0});
                }
                transpose_registers<1, T>(rows);
#pragma GCC unroll 16
                for (std::size_t column = 0; column < N; column++) {
                    utils::simd::store(target + (block_column + column) * target_row + block_row, rows[column]);
                }
            }
        }
#else
        for (std::size_t column = 0; column < SIZE<T>; column++) {
            for (std::size_t row = 0; row < SIZE<T>; row++) {
                target[column * target_row + row] = row < n_rows ? source[row * source_row + column] : T{0};
            }
        }
#endif
    }
}

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

    // tile[row][:] += sum over block, k of A[block * A_BLOCK + row * A_ROW + k] * B[(block * K + k) * B_ROW][:]
    //
    // A is read where it lies: one block of K = inputs for weights (A_ROW = K), one block a panel for gradients
    // (A_ROW = K = samples of a panel). Of B's rows one line is read.
    template <std::size_t K, std::size_t A_ROW, std::size_t B_ROW, typename T, std::size_t SPLITS, std::size_t ROWS,
              std::size_t... ROW>
    RL_TOOLS_INLINE void multiply_tile(Line<T> (&tile)[SPLITS][ROWS], const T* a, const T* b, std::size_t n_blocks,
                                       std::size_t a_block, std::index_sequence<ROW...>) {
        for (std::size_t block = 0; block < n_blocks; block++, a += a_block) {
            for (std::size_t k = 0; k < K; k += SPLITS) {
                for (std::size_t split = 0; split < SPLITS; split++, b += B_ROW) {
                    const Line<T> line = load_line(b);
                    (multiply_accumulate(tile[split][ROW], a[ROW * A_ROW + k + split], line), ...);
                }
            }
        }
    }

    // A block of rows of `A B`, handed to the epilogue while it is still in registers:
    // `initialise(row)` gives the line that the sums start from, `finish(row, line)` takes the result.
    template <typename T, std::size_t K, std::size_t A_ROW, std::size_t B_ROW, typename INITIALISE, typename FINISH,
              std::size_t... ROW>
    RL_TOOLS_INLINE void multiply_rows(const T* a, const T* b, std::size_t n_blocks, std::size_t a_block,
                                       std::size_t first_row, INITIALISE initialise, FINISH finish,
                                       std::index_sequence<ROW...> rows) {
        constexpr std::size_t ROWS = sizeof...(ROW), SPLITS = n_splits<T, ROWS, K>();
        Line<T> tile[SPLITS][ROWS] = {{initialise(first_row + ROW)...}};
        multiply_tile<K, A_ROW, B_ROW>(tile, a, b, n_blocks, a_block, rows);
        for (std::size_t split = 1; split < SPLITS; split++) {
            (accumulate(tile[0][ROW], tile[split][ROW]), ...);
        }
        (finish(first_row + ROW, tile[0][ROW]), ...);
    }

    // Calls `function(first_row, rows)` for each tile of `ROWS` rows, with an index sequence of the tile's rows.
    template <typename T, std::size_t ROWS, typename FUNCTION>
    RL_TOOLS_INLINE void for_each_tile(FUNCTION function) {
        using TILING = Tiling<T, ROWS>;
        std::size_t row = 0;
        for (std::size_t tile = 0; tile < TILING::N_HIGH; tile++, row += TILING::LOW + 1) {
            function(row, std::make_index_sequence<TILING::LOW + 1>{});
        }
        for (; row < ROWS; row += TILING::LOW) {
            function(row, std::make_index_sequence<TILING::LOW>{});
        }
    }

    // All `ROWS` rows of `A B` for one line of B. See `multiply_tile` for the layout of A and B.
    template <typename T, std::size_t ROWS, std::size_t K, std::size_t A_ROW, typename INITIALISE, typename FINISH>
    RL_TOOLS_INLINE void multiply(const T* a, const T* b, std::size_t n_blocks, std::size_t a_block,
                                  INITIALISE initialise, FINISH finish) {
        for_each_tile<T, ROWS>([&](std::size_t row, auto rows) RL_TOOLS_INLINE_LAMBDA {
            multiply_rows<T, K, A_ROW, SIZE<T>>(a + row * A_ROW, b, n_blocks, a_block, row, initialise, finish, rows);
        });
    }

    // A[ROWS][A_ROW] B for a panel B[K][PANEL_SIZE], each tile of A with all lines of the panel one after the other:
    // `initialise(row, lane)` and `finish(row, lane, line)` are told where the line begins.
    template <typename T, std::size_t ROWS, std::size_t K, std::size_t A_ROW, std::size_t PANEL_SIZE,
              typename INITIALISE, typename FINISH>
    RL_TOOLS_INLINE void multiply_panel(const T* a, const T* b, INITIALISE initialise, FINISH finish) {
        constexpr bool COPIES = PANEL_SIZE > SIZE<T> && A_ROW * sizeof(T) % ALIASING_BYTES == 0;
        constexpr std::size_t COPY_ROW = K + SIZE<T>;
        [[maybe_unused]] alignas(ALIGNMENT) T copy[COPIES ? tile_rows<T>() * COPY_ROW : 1];
        for_each_tile<T, ROWS>([&](std::size_t row, auto rows) RL_TOOLS_INLINE_LAMBDA {
            const T* tile = a + row * A_ROW;
            if constexpr (COPIES) {
                for (std::size_t i = 0; i < rows.size(); i++) {
                    std::memcpy(copy + i * COPY_ROW, tile + i * A_ROW, K * sizeof(T));
                }
                tile = copy;
            }
            for (std::size_t lane = 0; lane < PANEL_SIZE; lane += SIZE<T>) {
                multiply_rows<T, K, COPIES ? COPY_ROW : A_ROW, PANEL_SIZE>(
                    tile, b + lane, 1, 0, row, [&](std::size_t i) { return initialise(i, lane); },
                    [&](std::size_t i, const Line<T>& line) { finish(i, lane, line); }, rows);
            }
        });
    }
}

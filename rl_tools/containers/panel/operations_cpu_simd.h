#pragma once
// Lines, and products of matrices a register tile at a time. See panel.h for drawings.

#include <utility>

#include <rl_tools/containers/panel/panel.h>

namespace rl_tools::panel {
    // line[LINE_LANES] = source[LINE_LANES]
    template <typename T>
    RL_TOOLS_INLINE Line<T> load_line(const T* source) {
        Line<T> line;
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            line.vectors[v] = utils::simd::load(source + v * utils::simd::LANES<T>);
        }
        return line;
    }

    // target[LINE_LANES] = line[LINE_LANES]
    template <typename T>
    RL_TOOLS_INLINE void store_line(T* target, const Line<T>& line) {
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            utils::simd::store(target + v * utils::simd::LANES<T>, line.vectors[v]);
        }
    }

    // target[n] = line[n], the first `n` lanes only.
    template <typename T>
    RL_TOOLS_INLINE void store_line(T* target, const Line<T>& line, std::size_t n) {
        if (n == LINE_LANES<T>) {
            store_line(target, line);
        } else {
            std::memcpy(target, &line, n * sizeof(T));
        }
    }

    // line[:] = value
    template <typename T>
    RL_TOOLS_INLINE Line<T> constant_line(T value) {
        Line<T> line;
        for (auto& vector : line.vectors) {
            vector = utils::simd::broadcast(value);
        }
        return line;
    }

    // sum[:] += a[:]
    template <typename T>
    RL_TOOLS_INLINE void accumulate(Line<T>& sum, const Line<T>& a) {
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            sum.vectors[v] = sum.vectors[v] + a.vectors[v];
        }
    }

    // sum[:] += a[:] b[:]
    template <typename T>
    RL_TOOLS_INLINE void multiply_accumulate(Line<T>& sum, const Line<T>& a, const Line<T>& b) {
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            sum.vectors[v] = sum.vectors[v] + a.vectors[v] * b.vectors[v];
        }
    }

    // sum[:] += a b[:]
    template <typename T>
    RL_TOOLS_INLINE void multiply_accumulate(Line<T>& sum, T a, const Line<T>& b) {
        const utils::simd::Vector<T> factor = utils::simd::broadcast(a);
        for (std::size_t v = 0; v < VECTORS<T>; v++) {
            sum.vectors[v] = sum.vectors[v] + factor * b.vectors[v];
        }
    }

    // The sums of a register tile, for each of its lines and rows.
    template <typename T, std::size_t LINES, std::size_t MR>
    struct Tile {
        Line<T> lines[LINES][MR];
    };

    // sums[line][row][:] += a b[line][:]
    template <typename T, std::size_t LINES, std::size_t MR>
    RL_TOOLS_INLINE void multiply_accumulate(Tile<T, LINES, MR>& sums, std::size_t row, T a,
                                             const Line<T> (&b)[LINES]) {
        for (std::size_t line = 0; line < LINES; line++) {
            multiply_accumulate(sums.lines[line][row], a, b[line]);
        }
    }

    // Independent accumulators of each sum: accumulator s takes k = s, s + ACCUMULATORS, ... A tile of few rows can't
    // hide the latency of multiply-adds otherwise.
    template <typename T, std::size_t MR, std::size_t LINES, std::size_t K>
    constexpr std::size_t n_accumulators() {
        std::size_t n = 1;
        while (2 * n * MR * LINES * VECTORS<T> <= tuning::InstructionSet::ACCUMULATORS && K % (2 * n) == 0) {
            n *= 2;
        }
        return n;
    }

    // tile[k % ACCUMULATORS][line][row][:] += sum over block, k of A[block][row][k] B[line][block * K + k][:]
    //
    // A is read where it lies: one block of K = IN for weights (LDA = IN), one block a panel for gradients (LDA = K =
    // PANEL_LANES). `a_stride` elements lie between two blocks of A, LDA between its rows, LDB between those of B, and
    // LINE_STRIDE between two lines of B.
    template <std::size_t K, std::size_t LDA, std::size_t LDB, std::size_t LINE_STRIDE, typename T, std::size_t LINES,
              std::size_t MR, std::size_t ACCUMULATORS, std::size_t... ROW>
    RL_TOOLS_INLINE void multiply_tile(Tile<T, LINES, MR> (&tiles)[ACCUMULATORS], const T* a, const T* b,
                                       std::size_t n_blocks, std::size_t a_stride, std::index_sequence<ROW...>) {
        for (std::size_t block = 0; block < n_blocks; block++, a += a_stride) {
            for (std::size_t k = 0; k < K; k += ACCUMULATORS) {
                for (std::size_t s = 0; s < ACCUMULATORS; s++, b += LDB) {
                    Line<T> b_lines[LINES];
                    for (std::size_t line = 0; line < LINES; line++) {
                        b_lines[line] = load_line(b + line * LINE_STRIDE);
                    }
                    (multiply_accumulate(tiles[s], ROW, a[ROW * LDA + k + s], b_lines), ...);
                }
            }
        }
    }

    // epilogue(line, row, bias(line, row) + A[row][:] B[line][:]) for the MR rows from `first_row` on, while they are
    // in registers.
    template <typename T, std::size_t K, std::size_t LDA, std::size_t LDB, std::size_t LINES, std::size_t LINE_STRIDE,
              typename BIAS, typename EPILOGUE, std::size_t... ROW>
    RL_TOOLS_INLINE void multiply_rows(const T* a, const T* b, std::size_t n_blocks, std::size_t a_stride,
                                       std::size_t first_row, BIAS bias, EPILOGUE epilogue,
                                       std::index_sequence<ROW...> rows) {
        constexpr std::size_t MR = sizeof...(ROW), ACCUMULATORS = n_accumulators<T, MR, LINES, K>();
        Tile<T, LINES, MR> tiles[ACCUMULATORS] = {};
        for (std::size_t line = 0; line < LINES; line++) {
            ((tiles[0].lines[line][ROW] = bias(first_row + ROW, line)), ...);
        }
        multiply_tile<K, LDA, LDB, LINE_STRIDE>(tiles, a, b, n_blocks, a_stride, rows);
        for (std::size_t line = 0; line < LINES; line++) {
            for (std::size_t s = 1; s < ACCUMULATORS; s++) {
                (accumulate(tiles[0].lines[line][ROW], tiles[s].lines[line][ROW]), ...);
            }
            (epilogue(first_row + ROW, line, tiles[0].lines[line][ROW]), ...);
        }
    }

    // Calls `function(first_row, rows)` for each tile of `ROWS` rows, with an index sequence of the tile's rows.
    template <typename T, std::size_t ROWS, std::size_t LINES, typename FUNCTION>
    RL_TOOLS_INLINE void for_each_tile(FUNCTION function) {
        using TILING = Tiling<T, ROWS, LINES>;
        std::size_t row = 0;
        for (std::size_t tile = 0; tile < TILING::MR_PLUS_1_TILES; tile++, row += TILING::MR + 1) {
            function(row, std::make_index_sequence<TILING::MR + 1>{});
        }
        for (; row < ROWS; row += TILING::MR) {
            function(row, std::make_index_sequence<TILING::MR>{});
        }
    }

    // epilogue(row, line, bias(row, line) + sum over block of A[block][ROWS][K] B[line][block][K][LINE_LANES])
    //
    // `LINES` lines of columns, LINE_STRIDE elements apart; see `multiply_tile` for the layout of A.
    template <typename T, std::size_t ROWS, std::size_t K, std::size_t LDA, std::size_t LINES, std::size_t LINE_STRIDE,
              typename BIAS, typename EPILOGUE>
    RL_TOOLS_INLINE void multiply(const T* a, const T* b, std::size_t n_blocks, std::size_t a_stride, BIAS bias,
                                  EPILOGUE epilogue) {
        for_each_tile<T, ROWS, LINES>([&](std::size_t row, auto rows) RL_TOOLS_INLINE_LAMBDA {
            multiply_rows<T, K, LDA, LINE_LANES<T>, LINES, LINE_STRIDE>(a + row * LDA, b, n_blocks, a_stride, row, bias,
                                                                        epilogue, rows);
        });
    }

    // epilogue(row, lane, bias(row, lane) + A[ROWS][K] B[K][PANEL_LANES]) for a panel B, where `lane` is the first of a
    // line.
    //
    // Each tile of A is multiplied with all lines of the panel, as many at a time as a register tile has, so it is
    // copied where its rows would drive each other out of the cache until then.
    template <typename T, std::size_t ROWS, std::size_t K, std::size_t LDA, std::size_t PANEL_LANES, typename BIAS,
              typename EPILOGUE>
    RL_TOOLS_INLINE void multiply_panel(const T* a, const T* b, BIAS bias, EPILOGUE epilogue) {
        constexpr std::size_t LINES = tile_lines(PANEL_LANES / LINE_LANES<T>), TILE_LANES = LINES * LINE_LANES<T>;
        constexpr bool COPIES = PANEL_LANES > TILE_LANES && LDA * sizeof(T) % tuning::L1_ALIASING_BYTES == 0;
        constexpr std::size_t LD_COPY = K + LINE_LANES<T>;
        [[maybe_unused]] alignas(ALIGNMENT) T copy[COPIES ? max_mr<T, LINES>() * LD_COPY : 1];
        for_each_tile<T, ROWS, LINES>([&](std::size_t row, auto rows) RL_TOOLS_INLINE_LAMBDA {
            const T* tile = a + row * LDA;
            if constexpr (COPIES) {
                for (std::size_t i = 0; i < rows.size(); i++) {
                    std::memcpy(copy + i * LD_COPY, tile + i * LDA, K * sizeof(T));
                }
                tile = copy;
            }
            for (std::size_t lane = 0; lane < PANEL_LANES; lane += TILE_LANES) {
                multiply_rows<T, K, COPIES ? LD_COPY : LDA, PANEL_LANES, LINES, LINE_LANES<T>>(
                    tile, b + lane, 1, 0, row,
                    [&](std::size_t i, std::size_t line) { return bias(i, lane + line * LINE_LANES<T>); },
                    [&](std::size_t i, std::size_t line, const Line<T>& sum) {
                        epilogue(i, lane + line * LINE_LANES<T>, sum);
                    },
                    rows);
            }
        });
    }
}

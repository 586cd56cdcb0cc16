#pragma once
// Batches as panels. How many samples a panel has is the device's choice (its `PANEL`), a multiple of what fills a
// cache line.
//
// Our own products want one cache line: a layer of one panel stays in the first-level cache, they read torch's
// row-major weights without packing them, and each operation on a feature is a whole number of vectors. Only weights
// too large for the second-level cache are worth several lines to a panel.
//
// A panel is a row-major matrix whose columns are samples, its lanes. With PANEL_LANES = LINE_LANES = 16 (float), the
// batch lies as [panel][feature][lane]:
//
//                 lane 0   1   2        15               sample = panel * PANEL_LANES + lane
//               +--------------------------+
//     feature 0 |  x00 x01 x02  ...   x0,15 |  <- one line: one cache line, VECTORS registers
//     feature 1 |  x10 x11 x12  ...   x1,15 |
//        ...    |                           |
//               +--------------------------+  next panel: the next PANEL_LANES samples of the batch
//
// A product Y = A B (+ bias) is computed a register tile at a time: MR rows of A with one line of B's columns. Here for
// AVX2, whose 16 registers hold 6 x 2 accumulators, the 2 vectors of one row of B, and one broadcast of A:
//
//                       B  [K][LDB]     k-th row: | b b b b b b b b | b b b b b b b b |
//
//     A [MR][LDA]                       tile:      vector 0          vector 1
//       a(0,k) -- broadcast ------------------->  | sum  sum ...    | sum  sum ...    |   row 0
//       a(1,k) -- broadcast ------------------->  | sum  sum ...    | sum  sum ...    |   row 1
//        ...                                                                               ...
//       a(5,k) -- broadcast ------------------->  | sum  sum ...    | sum  sum ...    |   row 5 = MR - 1
//
// The layouts of the kernel, of which only the first is torch's:
//
//     weights          [OUT][IN]                  row-major, in torch's memory
//     W^T              [column of W][LD]          LD >= OUT, padded; what a gradient passes on its way down
//     panels           [panel][feature][lane]     values and gradients of a layer
//     block columns    [block][sample][feature]   a layer's inputs, LINE_LANES features to a block; B of d_W = d_Y X^T
//     single           [feature]                  one sample, at the beginning of a panel's memory; acting

#include <rl_tools/utils/simd/vector.h>

namespace rl_tools::panel {
    namespace tuning = devices::tuning;

    inline constexpr std::size_t ALIGNMENT = tuning::CACHE_LINE_BYTES;

    // Lanes of a cache line.
    template <typename T>
    inline constexpr std::size_t LINE_LANES = ALIGNMENT / sizeof(T);

    // Vectors of a cache line.
    template <typename T>
    inline constexpr std::size_t VECTORS = LINE_LANES<T> / utils::simd::LANES<T>;

    // Blocks of `size` that hold `dim` elements, the last of them perhaps in part: ceil(dim / size).
    constexpr std::size_t n_blocks(std::size_t dim, std::size_t size) {
        return (dim + size - 1) / size;
    }

    // Lines of a register tile for a panel of so many.
    constexpr std::size_t tile_lines(std::size_t panel_lines) {
        return panel_lines % tuning::InstructionSet::TILE_LINES == 0 ? tuning::InstructionSet::TILE_LINES : 1;
    }

    // Rows of the highest register tile: MR x LINES x VECTORS accumulators, the vectors of one row of B and one
    // broadcast of A fill the registers. For AVX2: 6 x 1 x 2 + 2 + 1 = 15 of 16; for AVX-512: 14 x 2 x 1 + 2 + 1 = 31
    // of 32.
    template <typename T, std::size_t LINES>
    constexpr std::size_t max_mr() {
        using SET = tuning::InstructionSet;
        constexpr std::size_t COLUMNS = LINES * VECTORS<T>, ROWS = (SET::REGISTERS - COLUMNS - 1) / COLUMNS;
        return ROWS < SET::MAX_TILE_ROWS ? ROWS : SET::MAX_TILE_ROWS;
    }

    // `ROWS` rows split into tiles of MR and MR + 1 rows: 256 rows are 4 x 24 + 7 x 23 rather than 10 x 24 + 16,
    // because low tiles cannot hide the latency of their sums.
    template <typename T, std::size_t ROWS, std::size_t LINES>
    struct Tiling {
        static constexpr std::size_t N_TILES = n_blocks(ROWS, max_mr<T, LINES>());
        static constexpr std::size_t MR = ROWS / N_TILES;
        static constexpr std::size_t MR_PLUS_1_TILES = ROWS % N_TILES;
    };

    // One row of a register tile: the lanes of one feature that fill a cache line.
    template <typename T>
    struct Line {
        utils::simd::Vector<T> vectors[VECTORS<T>];
    };
}

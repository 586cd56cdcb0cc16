#pragma once
// Batches as panels: `[panel][feature][sample]`. How many samples a panel has is the device's choice (its `PANEL`), a
// multiple of what fills a cache line.
//
// Our own products want one cache line: a layer of one panel stays in the first-level cache, they read torch's
// row-major weights without packing them, and each operation on a feature is a whole number of vectors. Only weights
// too large for the second-level cache are worth several lines to a panel.

#include <rl_tools/utils/simd/vector.h>

namespace rl_tools::panel {
    inline constexpr std::size_t ALIGNMENT = 64;

    // Samples in a cache line.
    template <typename T>
    inline constexpr std::size_t SIZE = ALIGNMENT / sizeof(T);

    // Rows that lie a multiple of this apart share so few sets of the first-level cache that they drive each other
    // out of it.
    inline constexpr std::size_t ALIASING_BYTES = 2048;

    // Blocks of `size` that hold `dim` elements, the last of them perhaps in part.
    constexpr std::size_t n_blocks(std::size_t dim, std::size_t size) {
        return (dim + size - 1) / size;
    }

    // Vectors in one feature of a panel.
    template <typename T>
    inline constexpr std::size_t VECTORS = SIZE<T> / utils::simd::LANES<T>;

    inline constexpr std::size_t MAX_TILE_ROWS = 24;

    // Rows of a register tile: the accumulators, one row of B and one broadcast of A fill the registers. More
    // than 24 rows of AVX-512 made g++ 12 spill.
    template <typename T>
    constexpr std::size_t tile_rows() {
        const std::size_t rows = (utils::simd::REGISTERS - VECTORS<T> - 1) / VECTORS<T>;
        return rows < MAX_TILE_ROWS ? rows : MAX_TILE_ROWS;
    }

    // `ROWS` rows split into tiles whose heights differ by one at most: 256 rows are 4 x 24 + 7 x 23 rather
    // than 10 x 24 + 16, because low tiles cannot hide the latency of their sums.
    template <typename T, std::size_t ROWS>
    struct Tiling {
        static constexpr std::size_t N_TILES = n_blocks(ROWS, tile_rows<T>());
        static constexpr std::size_t LOW = ROWS / N_TILES;
        static constexpr std::size_t N_HIGH = ROWS % N_TILES;
    };

    // One row of a register tile: samples of one feature that fill a cache line.
    template <typename T>
    struct Line {
        utils::simd::Vector<T> vectors[VECTORS<T>];
    };
}

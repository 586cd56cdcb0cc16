#pragma once
// Every number of the kernel that belongs to a machine. Nothing else decides by the instruction set: for a new one, add
// a structure here and measure. sb3_tinyrl/bench/fma_peak.cpp, which measures what a machine can do at most, reads the
// same page.
//
// The numbers were chosen on Zen 3 (AVX2: 32 KiB of L1, 512 KiB of L2 a core) and checked on Zen 4 (AVX-512).

#include <chrono>
#include <cstddef>

namespace rl_tools::devices::tuning {
    // VECTOR_BYTES    of a register
    // REGISTERS       vectors that the architecture has names for
    // MAX_TILE_ROWS   rows of a register tile at most, where fewer fill the registers
    // TILE_LINES      lines of a register tile, where there are as many: more multiply-adds for each number loaded
    // ACCUMULATORS    independent sums that hide the latency of multiply-adds: latency times multiply-adds per cycle
    // SHUFFLE_BYTES   of the vectors that transposes shuffle
    struct SSE {
        static constexpr std::size_t VECTOR_BYTES = 16;
        static constexpr std::size_t REGISTERS = 16;
        static constexpr std::size_t MAX_TILE_ROWS = 24;
        static constexpr std::size_t TILE_LINES = 1;
        static constexpr std::size_t ACCUMULATORS = 8;
        static constexpr std::size_t SHUFFLE_BYTES = 16;
    };

    // AVX and AVX2.
    struct AVX {
        static constexpr std::size_t VECTOR_BYTES = 32;
        static constexpr std::size_t REGISTERS = 16;
        static constexpr std::size_t MAX_TILE_ROWS = 24;
        static constexpr std::size_t TILE_LINES = 1;
        static constexpr std::size_t ACCUMULATORS = 8;
        static constexpr std::size_t SHUFFLE_BYTES = 32;
    };

    struct AVX512 {
        static constexpr std::size_t VECTOR_BYTES = 64;
        static constexpr std::size_t REGISTERS = 32;
        static constexpr std::size_t MAX_TILE_ROWS = 24;  // with more, g++ 12 spills
        static constexpr std::size_t TILE_LINES = 2;
        static constexpr std::size_t ACCUMULATORS = 8;
        static constexpr std::size_t SHUFFLE_BYTES = 32;  // g++ 12 splits some shuffles of 64
    };

    struct NEON {
        static constexpr std::size_t VECTOR_BYTES = 16;
        static constexpr std::size_t REGISTERS = 32;
        static constexpr std::size_t MAX_TILE_ROWS = 24;
        static constexpr std::size_t TILE_LINES = 1;
        static constexpr std::size_t ACCUMULATORS = 8;
        static constexpr std::size_t SHUFFLE_BYTES = 16;
    };

#if defined(__AVX512F__)
    using InstructionSet = AVX512;
#elif defined(__AVX__)
    using InstructionSet = AVX;
#elif defined(__aarch64__)
    using InstructionSet = NEON;
#else
    using InstructionSet = SSE;
#endif

    inline constexpr std::size_t CACHE_LINE_BYTES = 64;

    // Rows that lie a multiple of this apart share so few sets of the first-level cache that they drive each other
    // out of it.
    inline constexpr std::size_t L1_ALIASING_BYTES = 2048;

    // Weights of a layer from which on reading them once for several lines of samples pays: they have left the
    // second-level cache by the next panel.
    inline constexpr std::size_t WIDE_PANEL_WEIGHT_BYTES = std::size_t{1} << 20;

    // Lines of samples in such a panel, for a batch of so many lines: threads want some panels to share.
    constexpr std::size_t wide_panel_lines(std::size_t batch_lines) {
        return batch_lines < 12 ? 2 : batch_lines < 16 ? 3 : 4;
    }

    // Lines of samples in any other panel: those of a register tile, unless the padding of the last panel costs as much
    // as such tiles gain.
    constexpr std::size_t panel_lines(std::size_t batch_lines) {
        constexpr std::size_t LINES = InstructionSet::TILE_LINES;
        return batch_lines % LINES == 0 || batch_lines >= 16 ? LINES : 1;
    }

    // Samples in a panel for a BLAS at most: large enough for a product to repay its call and the packing of its
    // weights, small enough for several threads to share a batch.
    inline constexpr std::size_t BLAS_PANEL_LANES = 64;

    // Rows of W whose products with a single sample run at the same time, an accumulator each.
    inline constexpr std::size_t SINGLE_ROWS = 4;

    // Features of a gradient's row that are summed over the batch at the same time, an accumulator each.
    inline constexpr std::size_t FEW_ROWS_FEATURES = 4;

    // Rows of gSDE's matrix that one task draws.
    inline constexpr std::size_t NOISE_MATRIX_ROWS_PER_TASK = 16;

    // How long a thread without work stays awake: longer than what Python does between two updates, and than a quick
    // environment takes for a step.
    inline constexpr std::chrono::microseconds LONGEST_WAIT_AWAKE{500};

    // The same where the next job is known to be far: longer than from one call of a kernel to the next.
    inline constexpr std::chrono::microseconds SHORTEST_WAIT_AWAKE{50};
}

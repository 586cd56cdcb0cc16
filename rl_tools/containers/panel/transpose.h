#pragma once
// Transposes of SIZE x SIZE blocks.

#include <utility>

#include <rl_tools/containers/panel/panel.h>

#if defined(RL_TOOLS_VECTOR_TYPES) && defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define RL_TOOLS_HAS_SHUFFLEVECTOR
#endif
#endif

namespace rl_tools::panel {
#ifdef RL_TOOLS_HAS_SHUFFLEVECTOR
    // Vectors of 32 bytes at most: g++ 12 splits some of the shuffles of 64.
    template <typename T>
    struct ShuffleVector {
        static constexpr std::size_t BYTES = utils::simd::VECTOR_BYTES < 32 ? utils::simd::VECTOR_BYTES : 32;
        static constexpr std::size_t LANES = BYTES / sizeof(T);
        typedef T TYPE __attribute__((vector_size(BYTES)));
    };

    // One stage of the butterfly: swaps the off-diagonal blocks of DISTANCE x DISTANCE between two rows.
    template <std::size_t DISTANCE, typename VECTOR, std::size_t... LANE>
    RL_TOOLS_INLINE void exchange(VECTOR& upper, VECTOR& lower, std::index_sequence<LANE...>) {
        constexpr std::size_t N = sizeof...(LANE);
        const VECTOR u = upper, l = lower;
        upper = __builtin_shufflevector(u, l, ((LANE & DISTANCE) ? N + LANE - DISTANCE : LANE)...);
        lower = __builtin_shufflevector(u, l, ((LANE & DISTANCE) ? N + LANE : LANE + DISTANCE)...);
    }

    template <std::size_t DISTANCE, std::size_t N, typename VECTOR>
    RL_TOOLS_INLINE void transpose_registers(VECTOR* rows) {
        if constexpr (DISTANCE < N) {
            for (std::size_t row = 0; row < N; row++) {
                if (!(row & DISTANCE)) {
                    exchange<DISTANCE>(rows[row], rows[row + DISTANCE], std::make_index_sequence<N>{});
                }
            }
            transpose_registers<2 * DISTANCE, N>(rows);
        }
    }

    // target[column][row] = source[row][column] for a block of SIZE x SIZE; rows from `n_rows` on count as zero.
    template <typename T>
    RL_TOOLS_INLINE void transpose_block(const T* source, std::size_t source_row, std::size_t n_rows, T* target,
                                         std::size_t target_row) {
        using VECTOR = typename ShuffleVector<T>::TYPE;
        constexpr std::size_t N = ShuffleVector<T>::LANES;
        for (std::size_t block_row = 0; block_row < SIZE<T>; block_row += N) {
            for (std::size_t block_column = 0; block_column < SIZE<T>; block_column += N) {
                VECTOR rows[N] = {};
#pragma GCC unroll 16
                for (std::size_t row = 0; row < N; row++) {
                    if (block_row + row < n_rows) {
                        std::memcpy(&rows[row], source + (block_row + row) * source_row + block_column, sizeof(VECTOR));
                    }
                }
                transpose_registers<1, N>(rows);
#pragma GCC unroll 16
                for (std::size_t column = 0; column < N; column++) {
                    std::memcpy(target + (block_column + column) * target_row + block_row, &rows[column],
                                sizeof(VECTOR));
                }
            }
        }
    }
#else
    template <typename T>
    void transpose_block(const T* source, std::size_t source_row, std::size_t n_rows, T* target,
                         std::size_t target_row) {
        for (std::size_t column = 0; column < SIZE<T>; column++) {
            for (std::size_t row = 0; row < SIZE<T>; row++) {
                target[column * target_row + row] = row < n_rows ? source[row * source_row + column] : T{0};
            }
        }
    }
#endif
}

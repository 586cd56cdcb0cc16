#pragma once
// Transposes of LINE_LANES x LINE_LANES blocks in registers.

#include <cstdint>
#include <type_traits>
#include <utility>

#include <rl_tools/containers/panel/panel.h>

namespace rl_tools::panel {
    template <typename T>
    struct ShuffleVector {
        static constexpr std::size_t BYTES = tuning::InstructionSet::SHUFFLE_BYTES;
        static constexpr std::size_t LANES = BYTES / sizeof(T);
        using INDEX = std::conditional_t<sizeof(T) == sizeof(std::int32_t), std::int32_t, std::int64_t>;
        typedef T TYPE __attribute__((vector_size(BYTES)));
        typedef INDEX INDICES __attribute__((vector_size(BYTES)));
    };

    // result[i] = (u, l)[INDEX_i], where (u, l) are the lanes of `u` and then those of `l`.
    template <typename T, std::size_t... INDEX>
    RL_TOOLS_INLINE typename ShuffleVector<T>::TYPE shuffle(const typename ShuffleVector<T>::TYPE& u,
                                                            const typename ShuffleVector<T>::TYPE& l) {
#if defined(__clang__) || __GNUC__ >= 12
        return __builtin_shufflevector(u, l, INDEX...);
#else
        // As g++ before 12 has it.
        return __builtin_shuffle(u, l, typename ShuffleVector<T>::INDICES{INDEX...});
#endif
    }

    // One stage of the butterfly: swaps the off-diagonal blocks of DISTANCE x DISTANCE between two rows.
    template <typename T, std::size_t DISTANCE, std::size_t... LANE>
    RL_TOOLS_INLINE void exchange(typename ShuffleVector<T>::TYPE& upper, typename ShuffleVector<T>::TYPE& lower,
                                  std::index_sequence<LANE...>) {
        constexpr std::size_t N = sizeof...(LANE);
        const auto u = upper, l = lower;
        upper = shuffle<T, ((LANE & DISTANCE) ? N + LANE - DISTANCE : LANE)...>(u, l);
        lower = shuffle<T, ((LANE & DISTANCE) ? N + LANE : LANE + DISTANCE)...>(u, l);
    }

    // rows[i][j] = rows[j][i] for a block of N x N, N = LANES, in log2(N) stages.
    template <typename T, std::size_t DISTANCE = 1>
    RL_TOOLS_INLINE void transpose_registers(typename ShuffleVector<T>::TYPE* rows) {
        constexpr std::size_t N = ShuffleVector<T>::LANES;
        if constexpr (DISTANCE < N) {
            for (std::size_t row = 0; row < N; row++) {
                if (!(row & DISTANCE)) {
                    exchange<T, DISTANCE>(rows[row], rows[row + DISTANCE], std::make_index_sequence<N>{});
                }
            }
            transpose_registers<T, 2 * DISTANCE>(rows);
        }
    }

    // target[column][row] = source[row][column] for a block of LINE_LANES x LINE_LANES, whose rows lie `ld_source` and
    // `ld_target` elements apart; rows of the source from `n_rows` on count as zero and are not read.
    template <typename T>
    RL_TOOLS_INLINE void transpose_block(const T* source, std::size_t ld_source, std::size_t n_rows, T* target,
                                         std::size_t ld_target) {
        using VECTOR = typename ShuffleVector<T>::TYPE;
        constexpr std::size_t N = ShuffleVector<T>::LANES;
        for (std::size_t block_row = 0; block_row < LINE_LANES<T>; block_row += N) {
            for (std::size_t block_column = 0; block_column < LINE_LANES<T>; block_column += N) {
                VECTOR rows[N] = {};
#pragma GCC unroll 16
                for (std::size_t row = 0; row < N; row++) {
                    if (block_row + row < n_rows) {
                        std::memcpy(&rows[row], source + (block_row + row) * ld_source + block_column, sizeof(VECTOR));
                    }
                }
                transpose_registers<T>(rows);
#pragma GCC unroll 16
                for (std::size_t column = 0; column < N; column++) {
                    std::memcpy(target + (block_column + column) * ld_target + block_row, &rows[column],
                                sizeof(VECTOR));
                }
            }
        }
    }
}

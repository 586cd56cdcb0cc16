#pragma once
// The CPU with vectors, threads and the matrix products of a BLAS: selects the operations in the files named
// operations_cpu_simd_blas.h, and for all else those of the CPU with vectors. (RLtools' own devices::CPU_BLAS is linked
// with its library and knows no threads of ours.)

#include <rl_tools/devices/cpu_simd.h>
#include <rl_tools/utils/blas/blas.h>

namespace rl_tools::devices {
    template <typename T_SPEC>
    struct CPU_SIMD_BLAS : CPU_SIMD<T_SPEC> {
        utils::blas::Library blas;
        CPU_SIMD_BLAS(unsigned n_threads, const utils::blas::Library& blas) : CPU_SIMD<T_SPEC>(n_threads), blas(blas) {}

        // Batches that do not fill their panels are spread evenly over them.
        template <typename T, std::size_t BATCH_SIZE, std::size_t LARGEST_LAYER>
        struct PANEL {
            static constexpr std::size_t N_PANELS = panel::n_blocks(BATCH_SIZE, tuning::BLAS_PANEL_LANES);
            static constexpr std::size_t LANES =
                panel::n_blocks(panel::n_blocks(BATCH_SIZE, N_PANELS), panel::LINE_LANES<T>) * panel::LINE_LANES<T>;
            static constexpr bool HAS_TRANSPOSES = false;
        };
    };
}

#pragma once
// The CPU with vectors and threads: selects the operations in the files named operations_cpu_simd.h.

#include <rl_tools/operations/cpu.h>

#include <rl_tools/containers/panel/panel.h>
#include <rl_tools/utils/thread_pool/thread_pool.h>

namespace rl_tools::devices {
    template <typename T_SPEC>
    struct CPU_SIMD : CPU<T_SPEC> {
        utils::ThreadPool thread_pool;
        explicit CPU_SIMD(unsigned n_threads) : thread_pool(n_threads) {}

        // How a batch is cut into panels, and whether products read transposed copies of their operands. Weights too
        // large for the second-level cache are read for several lines of samples at a time, yet such that threads have
        // some panels to share.
        template <typename T, std::size_t BATCH_SIZE, std::size_t LARGEST_LAYER>
        struct PANEL {
            static constexpr bool IS_LARGE = LARGEST_LAYER * sizeof(T) >= (1 << 20);
            static constexpr std::size_t N_LINES = panel::n_blocks(BATCH_SIZE, panel::SIZE<T>);
            static constexpr std::size_t LINES = !IS_LARGE || N_LINES == 1 ? 1
                                                 : N_LINES < 12            ? 2
                                                 : N_LINES < 16            ? 3
                                                                           : 4;
            static constexpr std::size_t SIZE = LINES * panel::SIZE<T>;
            static constexpr bool HAS_TRANSPOSES = true;
        };
    };
    using DefaultCPU_SIMD = CPU_SIMD<DefaultCPUSpecification>;
}

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

        // How a batch is cut into panels, and whether products read transposed copies of their operands.
        template <typename T, std::size_t BATCH_SIZE, std::size_t LARGEST_LAYER>
        struct PANEL {
            static constexpr std::size_t BATCH_LINES = panel::n_blocks(BATCH_SIZE, panel::LINE_LANES<T>);
            static constexpr bool IS_WIDE =
                LARGEST_LAYER * sizeof(T) >= tuning::WIDE_PANEL_WEIGHT_BYTES && BATCH_LINES > 1;
            static constexpr std::size_t LANES =
                (IS_WIDE ? tuning::wide_panel_lines(BATCH_LINES) : tuning::panel_lines(BATCH_LINES)) *
                panel::LINE_LANES<T>;
            static constexpr bool HAS_TRANSPOSES = true;
        };
    };
    using DefaultCPU_SIMD = CPU_SIMD<DefaultCPUSpecification>;
}

#pragma once
// The CPU with vectors and threads: selects the operations in the files named operations_cpu_simd.h.

#include <rl_tools/operations/cpu.h>

#include <rl_tools/utils/thread_pool/thread_pool.h>

namespace rl_tools::devices {
    template <typename T_SPEC>
    struct CPU_SIMD : CPU<T_SPEC> {
        utils::ThreadPool thread_pool;
        explicit CPU_SIMD(unsigned n_threads) : thread_pool(n_threads) {}
    };
    using DefaultCPU_SIMD = CPU_SIMD<DefaultCPUSpecification>;
}

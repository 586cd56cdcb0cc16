// What the FMA units of this machine can do at most: independent chains of multiply-adds that never leave the
// registers. Called through ctypes.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include <rl_tools/devices/tuning.h>

namespace {
    using rl_tools::devices::tuning::InstructionSet;
    constexpr int LANES = InstructionSet::VECTOR_BYTES / sizeof(float);
    // Enough chains to hide the latency, few enough for the registers.
    constexpr int CHAINS = InstructionSet::REGISTERS / 4 * 3;
    typedef float Vector __attribute__((vector_size(LANES * sizeof(float))));
    using Clock = std::chrono::steady_clock;

    constexpr int N_STEPS = 100000;
    constexpr double FLOP_PER_ROUND = 2.0 * LANES * CHAINS * N_STEPS;

    // x <- x m + a, which tends to one. Spelled out by the template, since a loop over an array may be left in memory.
    template <std::size_t... I>
    void multiply_add(Vector (&chains)[CHAINS], float m, float a, std::index_sequence<I...>) {
        const Vector factor = m - Vector{}, summand = a - Vector{};
        Vector x[] = {chains[I]...};
        for (int step = 0; step < N_STEPS; step++) {
            ((x[I] = x[I] * factor + summand), ...);
        }
        ((chains[I] = x[I]), ...);
    }

    // Floating-point operations per second of one thread, from when all have started.
    double measure(std::atomic<int>& n_missing, double seconds) {
        volatile float m = 0.999999f, a = 0.000001f;  // volatile: unknown to the compiler
        Vector chains[CHAINS] = {};
        n_missing--;
        while (n_missing > 0) {
            std::this_thread::yield();
        }
        const auto start = Clock::now();
        double flop = 0, elapsed = 0;
        while (elapsed < seconds) {
            multiply_add(chains, m, a, std::make_index_sequence<CHAINS>{});
            flop += FLOP_PER_ROUND;
            elapsed = std::chrono::duration<double>(Clock::now() - start).count();
        }
        volatile float result = 0;
        for (const auto& x : chains) {
            result = result + x[0];
        }
        return flop / elapsed;
    }
}

extern "C" __attribute__((visibility("default"))) double fma_peak(int n_threads, double seconds) {
    std::atomic<int> n_missing(n_threads);
    std::vector<double> rates(n_threads);
    std::vector<std::thread> threads;
    for (auto& rate : rates) {
        threads.emplace_back([&] { rate = measure(n_missing, seconds); });
    }
    double sum = 0;
    for (int i = 0; i < n_threads; i++) {
        threads[i].join();
        sum += rates[i];
    }
    return sum;
}

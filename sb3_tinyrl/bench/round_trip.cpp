// How long it takes until a thread that has written to memory sees what another one wrote in answer. Called through
// ctypes.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace {
    using Clock = std::chrono::steady_clock;

    constexpr int TRIPS = 256;                 // between two looks at the clock
    constexpr int LOOKS_BEFORE_YIELD = 10000;  // for an answer, lest the other thread waits for this core

    // A cache line for each direction.
    struct Mailbox {
        alignas(128) std::atomic<std::uint32_t> message{0};
    };

    // Returns what comes after `last`.
    std::uint32_t next(const Mailbox& mailbox, std::uint32_t last) {
        for (int looks = 0;; looks++) {
            const std::uint32_t message = mailbox.message.load(std::memory_order_acquire);
            if (message != last) {
                return message;
            }
            if (looks > LOOKS_BEFORE_YIELD) {
                std::this_thread::yield();
            }
        }
    }
}

extern "C" __attribute__((visibility("default"))) double round_trip(double seconds) {
    constexpr std::uint32_t END = UINT32_MAX;
    Mailbox question, answer;
    std::thread other([&] {
        for (std::uint32_t last = 0; last != END;) {
            last = next(question, last);
            answer.message.store(last, std::memory_order_release);
        }
    });
    std::uint32_t n_trips = 0;
    const auto make_trip = [&] {
        question.message.store(n_trips + 1, std::memory_order_release);
        n_trips = next(answer, n_trips);
    };
    make_trip();  // until the other thread has started
    std::vector<double> times;
    const auto start = Clock::now();
    for (auto last = start; last - start < std::chrono::duration<double>(seconds);) {
        for (int i = 0; i < TRIPS; i++) {
            make_trip();
        }
        const auto now = Clock::now();
        times.push_back(std::chrono::duration<double>(now - last).count() / TRIPS);
        last = now;
    }
    question.message.store(END, std::memory_order_release);
    other.join();
    // One of the fastest: the threads may begin on the same core, and other programs may take it now and then.
    const auto fast = times.begin() + times.size() / 10;
    std::nth_element(times.begin(), fast, times.end());
    return *fast;
}

#pragma once
// Where the time of a gradient step goes.

#include <chrono>
#include <cstddef>

namespace rl_tools::rl::components {
    // Adds the seconds since the last call, or since its construction, to those of a phase: an enumeration's value.
    // With null for `seconds` it does not look at the clock.
    template <typename PHASE>
    class PhaseTimer {
      public:
        explicit PhaseTimer(double* seconds) : seconds(seconds) {
            if (seconds) {
                start = Clock::now();
            }
        }

        void end(PHASE phase) {
            if (seconds) {
                const auto now = Clock::now();
                seconds[static_cast<std::size_t>(phase)] += std::chrono::duration<double>(now - start).count();
                start = now;
            }
        }

      private:
        using Clock = std::chrono::steady_clock;
        double* seconds;  // [PHASE::N]
        Clock::time_point start;
    };
}

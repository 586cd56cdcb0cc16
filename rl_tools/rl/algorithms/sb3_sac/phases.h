#pragma once
// Where the time of a gradient step goes, for those who want to know.

#include <chrono>
#include <cstddef>

namespace rl_tools::rl::algorithms::sb3_sac {
    // What a gradient step does one after the other; PHASES in sb3_tinyrl/_native/abi/kernel.py names them.
    enum class Phase : std::size_t {
        TRANSPOSE_WEIGHTS,
        SAMPLE_NOISE_MATRIX,
        EVALUATE_CRITICS,
        UPDATE_CRITICS,
        EVALUATE_ACTIONS,
        DIFFERENTIATE_ACTIONS,
        DIFFERENTIATE_ACTOR,
        UPDATE_ACTOR,
        N
    };

    // Adds the seconds since the last call, or since its construction, to those of a phase. Without a place to add them
    // to it does not look at the clock.
    class PhaseTimer {
      public:
        explicit PhaseTimer(double* seconds) : seconds(seconds) {
            if (seconds) {
                start = Clock::now();
            }
        }

        void end(Phase phase) {
            if (seconds) {
                const auto now = Clock::now();
                seconds[static_cast<std::size_t>(phase)] += std::chrono::duration<double>(now - start).count();
                start = now;
            }
        }

      private:
        using Clock = std::chrono::steady_clock;
        double* seconds;  // [Phase::N]
        Clock::time_point start;
    };
}

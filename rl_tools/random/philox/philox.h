#pragma once
// Counter-based random numbers: the value depends on key and counter only, never on who asked before, so any
// thread can draw any sample and the stream is resumed by remembering one number.

#include <cstdint>

#include <rl_tools/rl_tools.h>

namespace rl_tools::random::philox {
    // Independent uses of the same key.
    enum class Stream : std::uint32_t {
        TRANSITION,
        ACTION_NOISE,
        NEXT_ACTION_NOISE,
        EXPLORATION_NOISE,
        NOISE_MATRIX,
        EXPLORATION_MATRIX,
        ENVIRONMENT
    };

    struct Engine {
        std::uint64_t key;
        std::uint64_t counter;  // one for each update or exploration step
    };

    struct Block {
        std::uint32_t words[4];
    };
}

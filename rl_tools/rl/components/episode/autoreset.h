#pragma once

#include <cstdint>

namespace rl_tools::rl::components::episode {
    // When an episode that has ended starts anew, in the words of Gymnasium's AutoresetMode.
    enum class Autoreset : std::int32_t { DISABLED, NEXT_STEP, SAME_STEP };
}

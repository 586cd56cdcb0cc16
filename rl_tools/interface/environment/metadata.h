#pragma once

#include <cstdint>

namespace rl_tools::interface::environment {
    struct Metadata {
        std::int64_t observation_dim;
        std::int64_t action_dim;
        std::int64_t episode_step_limit;  // 0: none
        std::int64_t episode_bytes;
    };
}

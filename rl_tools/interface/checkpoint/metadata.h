#pragma once

#include <cstdint>

namespace rl_tools::interface::checkpoint {
    struct Metadata {
        std::int64_t observation_dim;
        std::int64_t output_dim;
        std::int64_t scalar_bytes;
    };
}

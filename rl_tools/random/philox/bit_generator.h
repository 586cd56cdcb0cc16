#pragma once
// Philox's blocks word after word, for callers that draw an unknown number of them: a
// UniformRandomBitGenerator of the standard library, so an engine of RLtools' distributions on the CPU.

#include <cstdint>
#include <limits>

#include <rl_tools/random/philox/operations_generic.h>

namespace rl_tools::random::philox {
    struct BitGenerator {
        using result_type = std::uint32_t;
        static constexpr std::uint32_t WORDS = sizeof(Block::words) / sizeof(result_type);

        Engine engine;  // of the next block
        Block block;
        std::uint32_t next_word;

        static constexpr result_type min() { return 0; }
        static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }
        result_type operator()() {
            if (next_word == WORDS) {
                block = philox::block(engine, Stream::ENVIRONMENT, 0);
                engine.counter++;
                next_word = 0;
            }
            return block.words[next_word++];
        }
    };

    inline void seed(BitGenerator& generator, std::uint64_t key) {
        generator = {{key, 0}, {}, BitGenerator::WORDS};
    }
}

#pragma once

#include <cmath>

#include <rl_tools/random/philox/philox.h>
#include <rl_tools/utils/simd/math.h>

namespace rl_tools::random::philox {
    // Philox4x32-10. Algorithm and constants: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy
    // as 1, 2, 3", SC 2011.
    inline Block block(const Engine& engine, Stream stream, std::uint32_t index) {
        constexpr std::uint32_t MULTIPLIER_0 = 0xD2511F53u, MULTIPLIER_1 = 0xCD9E8D57u;
        constexpr std::uint32_t WEYL_0 = 0x9E3779B9u, WEYL_1 = 0xBB67AE85u;
        constexpr int ROUNDS = 10;
        std::uint32_t x0 = static_cast<std::uint32_t>(engine.counter);
        std::uint32_t x1 = static_cast<std::uint32_t>(engine.counter >> 32);
        std::uint32_t x2 = index;
        std::uint32_t x3 = static_cast<std::uint32_t>(stream);
        std::uint32_t key_0 = static_cast<std::uint32_t>(engine.key);
        std::uint32_t key_1 = static_cast<std::uint32_t>(engine.key >> 32);
        for (int round = 0; round < ROUNDS; round++) {
            const std::uint64_t product_0 = std::uint64_t{MULTIPLIER_0} * x0;
            const std::uint64_t product_1 = std::uint64_t{MULTIPLIER_1} * x2;
            x0 = static_cast<std::uint32_t>(product_1 >> 32) ^ x1 ^ key_0;
            x2 = static_cast<std::uint32_t>(product_0 >> 32) ^ x3 ^ key_1;
            x1 = static_cast<std::uint32_t>(product_1);
            x3 = static_cast<std::uint32_t>(product_0);
            key_0 += WEYL_0;
            key_1 += WEYL_1;
        }
        return {{x0, x1, x2, x3}};
    }

    // A whole number below `bound`: floor(bound * u / 2^64) of 64 random bits u, whose bias is below bound /
    // 2^64.
    inline std::uint32_t uniform_int(std::uint32_t high, std::uint32_t low, std::uint32_t bound) {
        const std::uint64_t carry = (std::uint64_t{low} * bound) >> 32;
        return static_cast<std::uint32_t>((std::uint64_t{high} * bound + carry) >> 32);
    }

    // Two standard normal variates (Box and Muller 1958) from two words.
    template <typename T>
    inline void normal_pair(std::uint32_t word_0, std::uint32_t word_1, T& first, T& second) {
        namespace math = utils::simd::math;
        constexpr T SCALE = T(1) / T(4294967296.0);
        // Half a step above the grid: never the logarithm of zero.
        const T uniform = (static_cast<T>(word_0) + T(0.5)) * SCALE;
        const T radius = std::sqrt(T(-2) * math::log(uniform));
        const auto direction = math::direction_of_turns(static_cast<T>(word_1) * SCALE);
        first = radius * direction.cos;
        second = radius * direction.sin;
    }

    // target[DIM][LANES]: `DIM` standard normal variates that belong to each of `LANES` samples from `first_sample` on.
    //
    // Nothing branches, so that the loop becomes vector instructions over the samples.
    template <std::size_t DIM, std::size_t LANES, typename T>
    inline void normal(const Engine& engine, Stream stream, std::uint32_t first_sample, T* target) {
        constexpr std::uint32_t BLOCKS = (DIM + 3) / 4;
        for (std::uint32_t i = 0; i < BLOCKS; i++) {
            for (std::uint32_t lane = 0; lane < LANES; lane++) {
                const Block bits = block(engine, stream, (first_sample + lane) * BLOCKS + i);
                T values[4];
                normal_pair(bits.words[0], bits.words[1], values[0], values[1]);
                normal_pair(bits.words[2], bits.words[3], values[2], values[3]);
                for (std::size_t j = 0; j < 4 && 4 * i + j < DIM; j++) {
                    target[(4 * i + j) * LANES + lane] = values[j];
                }
            }
        }
    }
}

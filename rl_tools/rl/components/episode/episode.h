#pragma once
// One environment as Gymnasium and Stable-Baselines3 see it: seeded, cut at a time limit, with the statistics of the
// running episode. All callers step environments through this, so the same seed and actions give the
// same numbers alone, in a batch and in a training loop.

#include <cstdint>
#include <string>

#include <rl_tools/operations/cpu.h>

#include <rl_tools/random/philox/bit_generator.h>
#include <rl_tools/rl/components/episode/autoreset.h>

namespace rl_tools::rl::components {
    namespace episode {
        // Memory that nothing may touch, in a build that checks: what comes before it may have been written beyond.
        struct alignas(16) Fence {
            unsigned char bytes[64];
        };
    }

    template <typename T_ENVIRONMENT>
    struct Episode {
        using ENVIRONMENT = T_ENVIRONMENT;
        using RNG = devices::random::CPU::ENGINE<random::philox::BitGenerator>;
        typename ENVIRONMENT::Parameters parameters;
#ifdef RL_TOOLS_CHECKED
        episode::Fence after_parameters;
#endif
        typename ENVIRONMENT::State state;
#ifdef RL_TOOLS_CHECKED
        episode::Fence after_state;
#endif
        RNG rng;
        std::int64_t n_steps;
        double episode_return;  // in double, as SB3's Monitor adds rewards up
        bool terminated;
        bool truncated;
    };

    namespace episode {
        // The author's functions, as far as they can throw; the constructors are those of the structs.
        enum class Function : std::int32_t {
            NONE,
            INIT,
            INITIAL_PARAMETERS,
            INITIAL_STATE,
            STEP,
            REWARD,
            TERMINATED,
            OBSERVE,
            VISIT_PARAMETERS,
            VISIT_STATE,
            VISIT_INFO,
            CONSTRUCTOR
        };

        // What one of them has thrown.
        struct Failure {
            Function function;
            std::string message;
        };

        enum class Flaw : std::int32_t { NONE, OBSERVES_TOO_LITTLE, OBSERVES_TOO_MUCH };
    }
}

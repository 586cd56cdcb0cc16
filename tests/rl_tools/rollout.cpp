// Steps an environment from a program of its own, in surroundings unlike those of the environment's library, and
// prints each reward and observation in hexadecimal. Its twin is test_rollout_bits.py.

#include <rl_tools/operations/cpu.h>

#include "environment.h"

#include <cstdio>

#include <rl_tools/rl/algorithms/sb3_sac/operations_cpu_simd.h>
#include <rl_tools/rl/components/episode/operations_cpu.h>

namespace episode = rl_tools::rl::components::episode;

using T = float;
using DEVICE = rl_tools::devices::DefaultCPU;
using ENVIRONMENT =
    rl_tools::rl::environment_wrappers::Complete<T, DEVICE::index_t, ENVIRONMENT_FACTORY<T, DEVICE::index_t>>;

int main() {
    constexpr int STEPS = 500, STEP_LIMIT = 100, SEED = 3;
    DEVICE device;
    ENVIRONMENT environment;
    rl_tools::init(device, environment);
    rl_tools::rl::components::Episode<ENVIRONMENT> running{};
    T observation[ENVIRONMENT::OBSERVATION_DIM], action[ENVIRONMENT::ACTION_DIM];
    episode::seed(running, SEED);
    episode::reset(device, environment, running, false, observation);
    for (int step = 0; step < STEPS; step++) {
        for (int i = 0; i < static_cast<int>(ENVIRONMENT::ACTION_DIM); i++) {
            action[i] = T(0.25) * static_cast<T>((7 * step + 3 * i) % 9 - 4);
        }
        const T reward = episode::step(device, environment, running, action, STEP_LIMIT, observation);
        std::printf("%a", static_cast<double>(reward));
        for (const T value : observation) {
            std::printf(" %a", static_cast<double>(value));
        }
        std::printf("\n");
        if (episode::has_ended(running)) {
            episode::reset(device, environment, running, false, observation);
        }
    }
    return 0;
}

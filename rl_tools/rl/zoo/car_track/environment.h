#pragma once
// RLtools' car on a track two metres wide and high, rewarded for its velocity ahead; leaving the track terminates.
// Observations: those of the car, and the free distance to the left, ahead and to the right, as fractions of half a
// metre.

#include <limits>

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environments/car/operations_generic.h>

namespace rl_tools::rl::zoo {
    template <typename T, typename TI>
    struct CarTrack : environments::CarTrack<environments::car::SpecificationTrack<T, TI, 100, 100, 20>> {
        static constexpr TI EPISODE_STEP_LIMIT = 1000;  // RLtools sets none; ten seconds
        static constexpr T ANY = std::numeric_limits<T>::infinity();
        static constexpr T OBSERVATION_LOW[] = {-ANY, -ANY, -ANY, -ANY, -ANY, -ANY, 0, 0, 0};
        static constexpr T OBSERVATION_HIGH[] = {ANY, ANY, ANY, ANY, ANY, ANY, 1, 1, 1};
    };
}

template <typename T, typename TI>
using ENVIRONMENT_FACTORY = rl_tools::rl::zoo::CarTrack<T, TI>;

#pragma once
// RLtools' quadrotor ("learning to fly"), a Crazyflie that is to hover at the origin. Actions: rotor speeds, from the
// lowest (-1) to the highest (1).

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environments/l2f/operations_generic.h>

template <typename T, typename TI>
using ENVIRONMENT_FACTORY =
    rl_tools::rl::environments::Multirotor<rl_tools::rl::environments::l2f::Specification<T, TI>>;

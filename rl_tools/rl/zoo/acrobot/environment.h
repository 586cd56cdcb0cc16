#pragma once
// RLtools' acrobot: the dynamics of Gymnasium's Acrobot-v1 with a continuous torque between the links; -1 for each step
// until the tip is a link's length above the base.

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environments/acrobot/operations_cpu.h>

#include <rl_tools/rl/zoo/acrobot/bounds.h>

template <typename T, typename TI>
using ENVIRONMENT_FACTORY = rl_tools::rl::zoo::BoundedAcrobot<
    rl_tools::rl::environments::Acrobot<rl_tools::rl::environments::acrobot::Specification<T, TI>>>;

#pragma once
// RLtools' acrobot, to be swung up and balanced: starts anywhere, never terminates, and is rewarded for both links
// pointing up.

#include <rl_tools/operations/cpu.h>
#include <rl_tools/rl/environments/acrobot/operations_cpu.h>

#include <rl_tools/rl/zoo/acrobot/bounds.h>

template <typename T, typename TI>
using ENVIRONMENT_FACTORY = rl_tools::rl::zoo::BoundedAcrobot<
    rl_tools::rl::environments::AcrobotSwingup<rl_tools::rl::environments::acrobot::Specification<T, TI>>>;

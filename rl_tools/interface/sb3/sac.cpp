// A kernel for soft actor-critic, of the shapes in `kernel_spec.h`.

#include "kernel_spec.h"

#include <rl_tools/devices/cpu_simd_blas.h>
#include <rl_tools/rl/algorithms/sb3_sac/operations_cpu_simd.h>
#include <rl_tools/rl/policies/squashed_gaussian/operations_cpu_simd.h>
#include <rl_tools/rl/policies/state_dependent_noise/operations_cpu_simd.h>

namespace spec = rl_tools::kernel_spec;

using DEVICE_SPEC = rl_tools::devices::DefaultCPUSpecification;
using DEVICE = std::conditional_t<spec::USE_BLAS, rl_tools::devices::CPU_SIMD_BLAS<DEVICE_SPEC>,
                                  rl_tools::devices::CPU_SIMD<DEVICE_SPEC>>;
template <typename SPEC>
using POLICY = std::conditional_t<spec::USE_SDE, rl_tools::rl::policies::StateDependentNoise<SPEC>,
                                  rl_tools::rl::policies::SquashedGaussian<SPEC>>;
using SPEC = rl_tools::rl::algorithms::sb3_sac::Specification<
    spec::T, DEVICE, spec::OBSERVATION, spec::OBSERVATION_DIM, spec::ACTION_DIM, spec::N_CRITICS, spec::BATCH_SIZE,
    spec::ACTIVATION, spec::ACTOR_LAYERS, spec::CRITIC_LAYERS, POLICY, spec::OBSERVATION_DIVISOR>;
using ALGORITHM = rl_tools::rl::algorithms::sb3_sac::Algorithm<SPEC>;

#include <rl_tools/interface/sb3/off_policy.h>

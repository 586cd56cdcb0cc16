#pragma once
// Soft actor-critic exactly as `stable_baselines3.SAC.train` computes it.

#include <algorithm>

#include <rl_tools/nn_models/panel_mlp/panel_mlp.h>
#include <rl_tools/random/philox/philox.h>
#include <rl_tools/rl/algorithms/sb3_sac/distributions/squashed_gaussian/squashed_gaussian.h>
#include <rl_tools/rl/algorithms/sb3_sac/distributions/state_dependent_noise/state_dependent_noise.h>
#include <rl_tools/rl/algorithms/sb3_sac/phases.h>
#include <rl_tools/rl/components/sb3_replay_buffer/sb3_replay_buffer.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    // Shapes and structure; everything else is a run-time argument.
    template <typename T_T, typename T_DEVICE, typename T_OBSERVATION, std::size_t T_OBSERVATION_DIM,
              std::size_t T_ACTION_DIM, std::size_t T_N_CRITICS, std::size_t T_BATCH_SIZE, typename T_ACTIVATION,
              typename T_ACTOR_LAYERS, typename T_CRITIC_LAYERS, bool T_USE_SDE, std::size_t T_OBSERVATION_DIVISOR>
    struct Specification {
        using T = T_T;
        using OBSERVATION = T_OBSERVATION;
        static constexpr std::size_t OBSERVATION_DIM = T_OBSERVATION_DIM;
        static constexpr std::size_t ACTION_DIM = T_ACTION_DIM;
        static constexpr std::size_t N_CRITICS = T_N_CRITICS;
        static constexpr std::size_t BATCH_SIZE = T_BATCH_SIZE;
        static constexpr bool USE_SDE = T_USE_SDE;
        static constexpr std::size_t OBSERVATION_DIVISOR = T_OBSERVATION_DIVISOR;  // 255 for images
        static constexpr std::size_t LARGEST_LAYER =
            std::max(nn_models::panel_mlp::largest_layer(OBSERVATION_DIM, T_ACTOR_LAYERS{}),
                     nn_models::panel_mlp::largest_layer(OBSERVATION_DIM + ACTION_DIM, T_CRITIC_LAYERS{}));
        using PANEL = typename T_DEVICE::template PANEL<T, BATCH_SIZE, LARGEST_LAYER>;
        static constexpr std::size_t SIZE = PANEL::LANES;
        static constexpr std::size_t N_PANELS = panel::n_blocks(BATCH_SIZE, SIZE);
        static_assert(OBSERVATION_DIM > 0 && ACTION_DIM > 0 && N_CRITICS > 0 && BATCH_SIZE > 0);

        // Heads: mean and log standard deviation of the Gaussian; with gSDE mean and noise, whose weights are drawn.
        using ACTOR = nn_models::panel_mlp::Specification<T, PANEL, T_ACTIVATION, OBSERVATION_DIM, T_ACTOR_LAYERS, 2,
                                                          ACTION_DIM, 0, USE_SDE ? 1 : 2>;
        static constexpr std::size_t LATENT_DIM = ACTOR::LAST_DIM;
        using Distribution = std::conditional_t<USE_SDE, distributions::StateDependentNoise<T, ACTION_DIM, SIZE>,
                                                distributions::SquashedGaussian<T, ACTION_DIM, SIZE>>;
        using CRITIC = nn_models::panel_mlp::Specification<T, PANEL, T_ACTIVATION, OBSERVATION_DIM + ACTION_DIM,
                                                           T_CRITIC_LAYERS, 1, 1, ACTION_DIM>;
    };

    struct HyperParameters {
        nn::optimizers::torch_adam::HyperParameters actor_optimizer;
        nn::optimizers::torch_adam::HyperParameters critic_optimizer;
        nn::optimizers::torch_adam::HyperParameters entropy_coefficient_optimizer;
        double gamma;
        double tau;
        double target_entropy;
        double entropy_coefficient;  // used where it is fixed, that is where its parameter has no value
        std::int64_t target_update_interval;
    };

    // The environment's bounds of its actions.
    template <std::size_t ACTION_DIM>
    struct ActionSpace {
        float low[ACTION_DIM];
        float high[ACTION_DIM];
    };

    // What is added to the mean of actions; all null for deterministic ones.
    template <typename T>
    struct ActionNoise {
        const random::philox::Engine* engine;  // draws standard normal variates,
        const float* normal;                   // [n][ACTION_DIM] or somebody else has drawn them
        const T* matrices;                     // with gSDE instead: of observation i from i * matrix_stride on
        std::size_t matrix_stride;
    };

    // What SB3 logs of one gradient step.
    struct Losses {
        double entropy_coefficient;
        double entropy_coefficient_loss;
        double critic_loss;
        double actor_loss;
    };

    // Takes the place of what a distribution does not need.
    struct Nothing {};

    // What one thread needs for one task.
    template <typename T_SPEC>
    struct Scratch {
        using ACTOR = typename T_SPEC::ACTOR;
        using CRITIC = typename T_SPEC::CRITIC;
        using StateDependentNoise = distributions::StateDependentNoiseScratch<typename T_SPEC::T, T_SPEC::LATENT_DIM,
                                                                              T_SPEC::ACTION_DIM, T_SPEC::SIZE>;
        union {
            struct {
                nn_models::panel_mlp::ForwardValues<ACTOR, 1> actor;
                nn_models::panel_mlp::ForwardValues<CRITIC, 1> critic;
                nn_models::panel_mlp::Gradients<CRITIC, 1> critic_gradients;
                typename T_SPEC::Distribution policy;
            } evaluation;
            nn_models::panel_mlp::UpdateScratch<ACTOR> actor_update;
            nn_models::panel_mlp::UpdateScratch<CRITIC> critic_update;
        };
        std::conditional_t<T_SPEC::USE_SDE, StateDependentNoise, Nothing> state_dependent_noise;
    };

    // What lives from one phase of an update to the next.
    template <typename T_SPEC>
    struct Workspace {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        template <typename NETWORK>
        using Activations = nn_models::panel_mlp::ForwardValues<NETWORK, SPEC::N_PANELS>;
        template <typename NETWORK>
        using Gradients = nn_models::panel_mlp::Gradients<NETWORK, SPEC::N_PANELS>;
        template <typename NETWORK>
        using TransposedInputs = nn_models::panel_mlp::TransposedInputs<NETWORK, SPEC::N_PANELS>;
        template <typename NETWORK>
        using TransposedWeights = nn_models::panel_mlp::TransposedWeights<NETWORK>;
        using ACTOR = typename SPEC::ACTOR;
        using CRITIC = typename SPEC::CRITIC;
        using NoiseMatrix = distributions::NoiseMatrix<T, SPEC::LATENT_DIM, SPEC::ACTION_DIM>;

        Activations<ACTOR> actor;
        Gradients<ACTOR> actor_gradients;
        Activations<CRITIC> critics[SPEC::N_CRITICS];
        Gradients<CRITIC> critic_gradients[SPEC::N_CRITICS];
        typename SPEC::Distribution policy[SPEC::N_PANELS];
        std::conditional_t<SPEC::USE_SDE, NoiseMatrix, Nothing> noise_matrix;
        alignas(panel::ALIGNMENT) T d_variance[SPEC::USE_SDE ? SPEC::N_PANELS * SPEC::ACTION_DIM * SPEC::SIZE : 1];
        // For each sample which critic is the smallest, and for each critic the samples where it is.
        std::uint32_t smallest_critic[SPEC::N_PANELS * SPEC::SIZE];
        std::uint32_t samples_of_critic[SPEC::N_CRITICS][SPEC::BATCH_SIZE];
        std::size_t n_samples_of_critic[SPEC::N_CRITICS];
        alignas(panel::ALIGNMENT) T d_actions[SPEC::N_PANELS * SPEC::ACTION_DIM * SPEC::SIZE];
        alignas(panel::ALIGNMENT) T critic_loss[SPEC::N_PANELS * SPEC::SIZE];
        alignas(panel::ALIGNMENT) T actor_loss[SPEC::N_PANELS * SPEC::SIZE];
        TransposedInputs<ACTOR> actor_transposed_inputs;
        TransposedInputs<CRITIC> critics_transposed_inputs[SPEC::N_CRITICS];
        TransposedWeights<ACTOR> actor_transposed_weights;
        TransposedWeights<CRITIC> critics_transposed_weights[SPEC::N_CRITICS];
        double* phase_seconds;  // [Phase::N], added to; null where nobody wants to know
    };

    template <typename T_SPEC>
    struct ActorCritic {
        using SPEC = T_SPEC;
        nn_models::panel_mlp::Parameters<typename SPEC::ACTOR> actor;
        nn_models::panel_mlp::Parameters<typename SPEC::CRITIC> critics[SPEC::N_CRITICS];
        nn_models::panel_mlp::Parameters<typename SPEC::CRITIC> target_critics[SPEC::N_CRITICS];
        nn::optimizers::torch_adam::Parameter<typename SPEC::T> log_entropy_coefficient;       // value null where fixed
        distributions::StateDependentNoiseParameters<typename SPEC::T> state_dependent_noise;  // of gSDE
    };
}

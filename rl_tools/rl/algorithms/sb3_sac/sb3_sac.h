#pragma once
// Soft actor-critic exactly as `stable_baselines3.SAC.train` computes it.

#include <algorithm>
#include <memory>

#include <rl_tools/nn_models/panel_mlp/panel_mlp.h>
#include <rl_tools/rl/components/phase_timer.h>
#include <rl_tools/rl/components/sb3_replay_buffer/sb3_replay_buffer.h>
#include <rl_tools/rl/policies/policy.h>

namespace rl_tools::rl::algorithms::sb3_sac {
    // Width of what the heads of a network read.
    template <std::size_t... HIDDEN_DIMS>
    constexpr std::size_t latent_dim(std::size_t input_dim, std::index_sequence<HIDDEN_DIMS...>) {
        std::size_t dim = input_dim;
        ((dim = HIDDEN_DIMS), ...);
        return dim;
    }

    // Shapes and structure; everything else is a run-time argument. `T_POLICY` is one of rl/policies.
    template <typename T_T, typename T_DEVICE, typename T_OBSERVATION, std::size_t T_OBSERVATION_DIM,
              std::size_t T_ACTION_DIM, std::size_t T_N_CRITICS, std::size_t T_BATCH_SIZE, typename T_ACTIVATION,
              typename T_ACTOR_LAYERS, typename T_CRITIC_LAYERS, template <typename> class T_POLICY,
              std::size_t T_OBSERVATION_DIVISOR>
    struct Specification {
        using T = T_T;
        using DEVICE = T_DEVICE;
        using OBSERVATION = T_OBSERVATION;
        static constexpr std::size_t OBSERVATION_DIM = T_OBSERVATION_DIM;
        static constexpr std::size_t ACTION_DIM = T_ACTION_DIM;
        static constexpr std::size_t N_CRITICS = T_N_CRITICS;
        static constexpr std::size_t BATCH_SIZE = T_BATCH_SIZE;
        static constexpr std::size_t OBSERVATION_DIVISOR = T_OBSERVATION_DIVISOR;  // 255 for images
        static constexpr std::size_t LATENT_DIM = latent_dim(OBSERVATION_DIM, T_ACTOR_LAYERS{});
        static constexpr std::size_t LARGEST_LAYER =
            std::max(nn_models::panel_mlp::largest_layer(OBSERVATION_DIM, T_ACTOR_LAYERS{}),
                     nn_models::panel_mlp::largest_layer(OBSERVATION_DIM + ACTION_DIM, T_CRITIC_LAYERS{}));
        using PANEL = typename T_DEVICE::template PANEL<T, BATCH_SIZE, LARGEST_LAYER>;
        static constexpr std::size_t PANEL_LANES = PANEL::LANES;
        static constexpr std::size_t N_PANELS = panel::n_blocks(BATCH_SIZE, PANEL_LANES);
        static_assert(OBSERVATION_DIM > 0 && ACTION_DIM > 0 && N_CRITICS > 0 && BATCH_SIZE > 0);

        using POLICY = T_POLICY<policies::Specification<T, LATENT_DIM, ACTION_DIM, PANEL_LANES>>;
        using ACTOR = nn_models::panel_mlp::Specification<T, PANEL, T_ACTIVATION, OBSERVATION_DIM, T_ACTOR_LAYERS,
                                                          POLICY::N_HEADS, ACTION_DIM, 0, POLICY::N_TRAINED_HEADS>;
        using CRITIC = nn_models::panel_mlp::Specification<T, PANEL, T_ACTIVATION, OBSERVATION_DIM + ACTION_DIM,
                                                           T_CRITIC_LAYERS, 1, 1, ACTION_DIM>;
        static_assert(ACTOR::LAST_DIM == LATENT_DIM);

        // The layer that writes head `i` of the actor.
        static constexpr std::size_t head(std::size_t i) { return ACTOR::N_HIDDEN + i; }
    };

    struct HyperParameters {
        nn::optimizers::torch_adam::HyperParameters actor_optimizer;
        nn::optimizers::torch_adam::HyperParameters critic_optimizer;
        nn::optimizers::torch_adam::HyperParameters entropy_coefficient_optimizer;
        double gamma;
        double tau;
        double target_entropy;
        double entropy_coefficient;  // used if it is fixed: its parameter has no value then
        std::int64_t target_update_interval;
    };

    inline void set_learning_rate(HyperParameters& parameters, double learning_rate) {
        parameters.actor_optimizer.learning_rate = learning_rate;
        parameters.critic_optimizer.learning_rate = learning_rate;
        parameters.entropy_coefficient_optimizer.learning_rate = learning_rate;
    }

    // What SB3 logs of one gradient step.
    struct Losses {
        double entropy_coefficient;
        double entropy_coefficient_loss;
        double critic_loss;
        double actor_loss;

        Losses& operator+=(const Losses& other) {
            entropy_coefficient += other.entropy_coefficient;
            entropy_coefficient_loss += other.entropy_coefficient_loss;
            critic_loss += other.critic_loss;
            actor_loss += other.actor_loss;
            return *this;
        }
        Losses operator/(double n) const {
            return {entropy_coefficient / n, entropy_coefficient_loss / n, critic_loss / n, actor_loss / n};
        }
    };

    // What a gradient step does one after the other; PHASES in sb3_tinyrl/_native/abi/kernel.py names them.
    enum class Phase : std::size_t {
        TRANSPOSE_WEIGHTS,
        SAMPLE_NOISE_MATRIX,
        EVALUATE_CRITICS,
        UPDATE_CRITICS,
        EVALUATE_ACTIONS,
        DIFFERENTIATE_ACTIONS,
        DIFFERENTIATE_ACTOR,
        UPDATE_ACTOR,
        N
    };

    // The environment's bounds of its actions.
    template <std::size_t ACTION_DIM>
    struct ActionSpace {
        float low[ACTION_DIM];
        float high[ACTION_DIM];
    };

    // All that is learned, in torch's memory.
    template <typename T_SPEC>
    struct Networks {
        using SPEC = T_SPEC;
        nn_models::panel_mlp::Parameters<typename SPEC::ACTOR> actor;
        nn_models::panel_mlp::Parameters<typename SPEC::CRITIC> critics[SPEC::N_CRITICS];
        nn_models::panel_mlp::Parameters<typename SPEC::CRITIC> target_critics[SPEC::N_CRITICS];
        nn::optimizers::torch_adam::Parameter<typename SPEC::T> log_entropy_coefficient;  // value null if it is fixed
        typename SPEC::POLICY::Parameters policy;
    };

    // Memory of one thread for one task.
    template <typename T_SPEC>
    struct Scratch {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        using ACTOR = typename SPEC::ACTOR;
        using CRITIC = typename SPEC::CRITIC;
        union {
            struct {
                nn_models::panel_mlp::ForwardValues<ACTOR, 1> actor;    // for s'
                nn_models::panel_mlp::ForwardValues<CRITIC, 1> critic;  // for (s', a'), one target after the other
                nn_models::panel_mlp::Gradients<CRITIC, 1> critic_gradients;
            } evaluation;
            nn_models::panel_mlp::UpdateScratch<ACTOR> actor_update;
            nn_models::panel_mlp::UpdateScratch<CRITIC> critic_update;
        };
        typename SPEC::POLICY::Scratch policy;
    };

    // What lives from one phase of an update to the next.
    template <typename T_SPEC>
    struct Workspace {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        template <typename NETWORK>
        using ForwardValues = nn_models::panel_mlp::ForwardValues<NETWORK, SPEC::N_PANELS>;
        template <typename NETWORK>
        using Gradients = nn_models::panel_mlp::Gradients<NETWORK, SPEC::N_PANELS>;
        template <typename NETWORK>
        using TransposedInputs = nn_models::panel_mlp::TransposedInputs<NETWORK, SPEC::N_PANELS>;
        template <typename NETWORK>
        using TransposedWeights = nn_models::panel_mlp::TransposedWeights<NETWORK>;
        using ACTOR = typename SPEC::ACTOR;
        using CRITIC = typename SPEC::CRITIC;
        using POLICY = typename SPEC::POLICY;

        ForwardValues<ACTOR> actor;
        Gradients<ACTOR> actor_gradients;
        ForwardValues<CRITIC> critics[SPEC::N_CRITICS];
        Gradients<CRITIC> critic_gradients[SPEC::N_CRITICS];
        typename POLICY::StepNoise step_noise;
        typename POLICY::Panel policy[SPEC::N_PANELS];
        // For the targets: s', a' ~ pi(s') and the rest of each panel's transitions, and Q'(s', a') of each critic.
        alignas(panel::ALIGNMENT) T next_observations[SPEC::N_PANELS * SPEC::OBSERVATION_DIM * SPEC::PANEL_LANES];
        typename POLICY::Panel next_policy[SPEC::N_PANELS];
        components::sb3_replay_buffer::Outcome<T> outcomes[SPEC::N_PANELS * SPEC::PANEL_LANES];
        alignas(panel::ALIGNMENT) T next_values[SPEC::N_CRITICS][SPEC::N_PANELS * SPEC::PANEL_LANES];
        typename POLICY::template Gradients<SPEC::N_PANELS> policy_gradients;
        // For each sample which critic is the smallest, and for each critic the samples where it is.
        std::uint32_t smallest_critic[SPEC::N_PANELS * SPEC::PANEL_LANES];
        std::uint32_t samples_of_critic[SPEC::N_CRITICS][SPEC::BATCH_SIZE];
        std::size_t n_samples_of_critic[SPEC::N_CRITICS];
        alignas(panel::ALIGNMENT) T d_actions[SPEC::N_PANELS * SPEC::ACTION_DIM * SPEC::PANEL_LANES];
        alignas(panel::ALIGNMENT) T critic_losses[SPEC::N_CRITICS][SPEC::N_PANELS * SPEC::PANEL_LANES];
        alignas(panel::ALIGNMENT) T actor_loss[SPEC::N_PANELS * SPEC::PANEL_LANES];
        bool is_finite[SPEC::N_PANELS];  // of each panel: its batch, its actions and its targets
        TransposedInputs<ACTOR> actor_transposed_inputs;
        TransposedInputs<CRITIC> critics_transposed_inputs[SPEC::N_CRITICS];
        TransposedWeights<ACTOR> actor_transposed_weights;
        TransposedWeights<CRITIC> critics_transposed_weights[SPEC::N_CRITICS];
        double* phase_seconds;  // [Phase::N], accumulated; null if nothing is timed
    };

    // Where the caller's gradient step stands in its call of SB3's `train`.
    struct StepPosition {
        std::int64_t index;  // 0 for the first step of the call
        bool is_last;        // no step follows before `refresh_transposed_weights`
    };

    // What all phases of one gradient step share.
    template <typename T_SPEC>
    struct Context {
        using SPEC = T_SPEC;
        typename SPEC::DEVICE& device;
        Networks<SPEC>& networks;
        const HyperParameters& hyper_parameters;
        const components::SB3ReplayBuffer<typename SPEC::OBSERVATION>& replay_buffer;
        random::philox::Engine engine;
        typename SPEC::T entropy_coefficient;  // before its own step
        Workspace<SPEC>& workspace;
        Scratch<SPEC>* scratch;  // [thread]
    };

    // Networks and memory of one learner: an ALGORITHM in the sense of rl/components/off_policy_loop. `Acting` is the
    // memory of one thread that acts.
    template <typename T_SPEC>
    struct Algorithm {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        using DEVICE = typename SPEC::DEVICE;
        using POLICY = typename SPEC::POLICY;
        using HyperParameters = sb3_sac::HyperParameters;
        using Losses = sb3_sac::Losses;
        using OBSERVATION = typename SPEC::OBSERVATION;
        using Acting = nn_models::panel_mlp::ForwardValues<typename SPEC::ACTOR, 1>;
        static constexpr std::size_t OBSERVATION_DIM = SPEC::OBSERVATION_DIM;
        static constexpr std::size_t ACTION_DIM = SPEC::ACTION_DIM;
        static constexpr std::size_t LATENT_DIM = SPEC::LATENT_DIM;
        static constexpr bool HAS_NOISE_MATRIX = POLICY::HAS_NOISE_MATRIX;

        // `device` has at most `n_threads` threads and outlives the algorithm.
        Algorithm(DEVICE& device, unsigned n_threads)
            : device(device),
              workspace(std::make_unique<Workspace<SPEC>>()),
              scratch(std::make_unique<Scratch<SPEC>[]>(n_threads)) {
            initialise(workspace->step_noise, networks.actor);
        }

        DEVICE& device;
        Networks<SPEC> networks{};
        ActionSpace<SPEC::ACTION_DIM> action_space{};
        std::unique_ptr<Workspace<SPEC>> workspace;
        std::unique_ptr<Scratch<SPEC>[]> scratch;
    };
}

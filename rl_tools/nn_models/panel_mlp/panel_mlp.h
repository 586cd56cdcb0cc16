#pragma once
// A multilayer perceptron over panels: hidden layers with one activation function, then one or more linear heads
// that read the last of them (the actor's mean and log standard deviation; the critic's value). Its parameters live
// in torch's memory.

#include <utility>

#include <rl_tools/containers/panel/panel.h>
#include <rl_tools/nn/optimizers/torch_adam/torch_adam.h>
#include <rl_tools/nn/torch_activation/torch_activation.h>

namespace rl_tools::nn_models::panel_mlp {
    // Weights of the largest hidden layer.
    template <std::size_t... HIDDEN_DIMS>
    constexpr std::size_t largest_layer([[maybe_unused]] std::size_t input_dim, std::index_sequence<HIDDEN_DIMS...>) {
        std::size_t largest = 0;
        ((largest = input_dim * HIDDEN_DIMS > largest ? input_dim * HIDDEN_DIMS : largest, input_dim = HIDDEN_DIMS),
         ...);
        return largest;
    }

    // `PANEL` is the device's. `INPUT_GRADIENT_DIM` counts the last inputs whose gradient is needed: the actions of a
    // critic. `N_TRAINED_HEADS` counts the first heads that have an optimiser: the weights of the others belong to
    // somebody else.
    template <typename T_T, typename T_PANEL, typename T_ACTIVATION, std::size_t T_INPUT_DIM, typename T_HIDDEN_DIMS,
              std::size_t T_N_HEADS, std::size_t T_HEAD_DIM, std::size_t T_INPUT_GRADIENT_DIM,
              std::size_t T_N_TRAINED_HEADS = T_N_HEADS>
    struct Specification;

    template <typename T_T, typename T_PANEL, typename T_ACTIVATION, std::size_t T_INPUT_DIM,
              std::size_t... T_HIDDEN_DIMS, std::size_t T_N_HEADS, std::size_t T_HEAD_DIM,
              std::size_t T_INPUT_GRADIENT_DIM, std::size_t T_N_TRAINED_HEADS>
    struct Specification<T_T, T_PANEL, T_ACTIVATION, T_INPUT_DIM, std::index_sequence<T_HIDDEN_DIMS...>, T_N_HEADS,
                         T_HEAD_DIM, T_INPUT_GRADIENT_DIM, T_N_TRAINED_HEADS> {
        static_assert(T_INPUT_DIM > 0 && T_N_HEADS > 0 && T_HEAD_DIM > 0 && ((T_HIDDEN_DIMS > 0) && ...));
        static_assert(T_INPUT_GRADIENT_DIM <= T_INPUT_DIM && T_N_TRAINED_HEADS <= T_N_HEADS);
        using T = T_T;
        using ACTIVATION = T_ACTIVATION;
        static constexpr std::size_t SIZE = T_PANEL::SIZE;
        static constexpr bool HAS_TRANSPOSES = T_PANEL::HAS_TRANSPOSES;
        static constexpr std::size_t INPUT_DIM = T_INPUT_DIM;
        static constexpr std::size_t INPUT_GRADIENT_DIM = T_INPUT_GRADIENT_DIM;
        static constexpr std::size_t N_HIDDEN = sizeof...(T_HIDDEN_DIMS);
        static constexpr std::size_t N_HEADS = T_N_HEADS;
        static constexpr std::size_t HEAD_DIM = T_HEAD_DIM;
        static constexpr std::size_t OUTPUT_DIM = N_HEADS * HEAD_DIM;
        // Layers are numbered from the input: the hidden ones, then the heads.
        static constexpr std::size_t N_LAYERS = N_HIDDEN + N_HEADS;
        static constexpr std::size_t N_TRAINED_LAYERS = N_HIDDEN + T_N_TRAINED_HEADS;

      private:
        static constexpr std::size_t WIDTHS[N_HIDDEN + 1] = {INPUT_DIM, T_HIDDEN_DIMS...};

        static constexpr std::size_t max_width() {
            std::size_t max = OUTPUT_DIM;
            for (std::size_t width : WIDTHS) {
                max = width > max ? width : max;
            }
            return max;
        }

      public:
        static constexpr std::size_t LAST_DIM = WIDTHS[N_HIDDEN];
        static constexpr std::size_t HIDDEN_SUM = (std::size_t{0} + ... + T_HIDDEN_DIMS);
        static constexpr std::size_t MAX_WIDTH = max_width();

        static constexpr bool is_head(std::size_t layer) { return layer >= N_HIDDEN; }
        static constexpr std::size_t input_dim(std::size_t layer) { return is_head(layer) ? LAST_DIM : WIDTHS[layer]; }
        static constexpr std::size_t output_dim(std::size_t layer) {
            return is_head(layer) ? HEAD_DIM : WIDTHS[layer + 1];
        }
        // Features of the hidden layers below `layer`.
        static constexpr std::size_t hidden_offset(std::size_t layer) {
            std::size_t offset = 0;
            for (std::size_t below = 0; below < layer; below++) {
                offset += WIDTHS[below + 1];
            }
            return offset;
        }
    };

    template <typename T_SPEC>
    struct Parameters {
        using SPEC = T_SPEC;
        using Parameter = nn::optimizers::torch_adam::Parameter<typename SPEC::T>;
        struct Layer {
            Parameter weights;  // [OUT][IN]
            Parameter biases;   // [OUT]
        };
        Layer layers[SPEC::N_LAYERS];
    };

    // A number for each input, hidden unit and output, of `N_PANELS` panels.
    template <typename T_SPEC, std::size_t T_N_PANELS>
    struct Layers {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        static constexpr std::size_t N_PANELS = T_N_PANELS;
        static constexpr std::size_t SIZE = SPEC::SIZE;

        alignas(panel::ALIGNMENT) T input_panels[N_PANELS * SPEC::INPUT_DIM * SIZE];
        alignas(panel::ALIGNMENT) T hidden_panels[N_PANELS * (SPEC::HIDDEN_SUM > 0 ? SPEC::HIDDEN_SUM : 1) * SIZE];
        alignas(panel::ALIGNMENT) T output_panels[N_PANELS * SPEC::OUTPUT_DIM * SIZE];

        T* input(std::size_t p) { return input_panels + p * SPEC::INPUT_DIM * SIZE; }
        T* output(std::size_t p) { return output_panels + p * SPEC::OUTPUT_DIM * SIZE; }

        // What a layer reads.
        template <std::size_t LAYER>
        T* layer_input(std::size_t p) {
            constexpr std::size_t BELOW = SPEC::is_head(LAYER) ? SPEC::N_HIDDEN : LAYER;
            if constexpr (BELOW == 0) {
                return input(p);
            } else {
                return layer_output<BELOW - 1>(p);
            }
        }
        // What a layer writes; heads lie one behind the other in the output.
        template <std::size_t LAYER>
        T* layer_output(std::size_t p) {
            if constexpr (SPEC::is_head(LAYER)) {
                return output(p) + (LAYER - SPEC::N_HIDDEN) * SPEC::HEAD_DIM * SIZE;
            } else {
                return hidden_panels + (N_PANELS * SPEC::hidden_offset(LAYER) + p * SPEC::output_dim(LAYER)) * SIZE;
            }
        }
    };

    // The gradients with respect to the values of a forward pass.
    template <typename SPEC, std::size_t N_PANELS>
    using Gradients = Layers<SPEC, N_PANELS>;

    // The values of a forward pass, and what the backward pass needs beside them.
    template <typename T_SPEC, std::size_t T_N_PANELS>
    struct Activations : Layers<T_SPEC, T_N_PANELS> {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        static constexpr bool HAS_DERIVATIVES =
            SPEC::N_HIDDEN > 0 && !nn::torch_activation::is_differentiated_by_value(SPEC::ACTIVATION::FUNCTION);
        static constexpr std::size_t SIZE = SPEC::SIZE;

        alignas(panel::ALIGNMENT) T derivative_panels[HAS_DERIVATIVES ? T_N_PANELS * SPEC::HIDDEN_SUM * SIZE : 1];

        // What a hidden layer's part of the backward pass reads: derivatives of the activation function, or the
        // layer's output where that says enough.
        template <std::size_t LAYER>
        T* layer_derivative(std::size_t p) {
            static_assert(!SPEC::is_head(LAYER));
            if constexpr (HAS_DERIVATIVES) {
                return derivative_panels +
                       (T_N_PANELS * SPEC::hidden_offset(LAYER) + p * SPEC::output_dim(LAYER)) * SIZE;
            } else {
                return this->template layer_output<LAYER>(p);
            }
        }
    };

    // What the hidden layers read, sample by sample: the right-hand side of their weights' gradients. Empty for devices
    // without transposes, as is the next.
    template <typename T_SPEC, std::size_t T_N_PANELS>
    struct TransposedInputs {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        static constexpr std::size_t BLOCK = panel::SIZE<T>;

        static constexpr std::size_t offset(std::size_t layer) {
            std::size_t n_blocks = 0;
            for (std::size_t below = 0; below < layer; below++) {
                n_blocks += panel::n_blocks(SPEC::input_dim(below), BLOCK);
            }
            return n_blocks * T_N_PANELS * SPEC::SIZE * BLOCK;
        }

        alignas(panel::ALIGNMENT) T data[SPEC::HAS_TRANSPOSES && SPEC::N_HIDDEN > 0 ? offset(SPEC::N_HIDDEN) : 1];

        template <std::size_t LAYER>
        T* layer() {
            return data + offset(LAYER);
        }
    };

    // W^T of everything that gradients pass on their way down: the backward pass reads it row by row, where columns of
    // W would share a few cache sets.
    template <typename T_SPEC>
    struct TransposedWeights {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;

        // Columns of W that are kept: all but those of inputs whose gradient nobody needs.
        static constexpr std::size_t first_column(std::size_t layer) {
            const bool reads_input = layer == 0 || SPEC::N_HIDDEN == 0;
            return reads_input ? SPEC::INPUT_DIM - SPEC::INPUT_GRADIENT_DIM : 0;
        }
        static constexpr std::size_t n_columns(std::size_t layer) {
            return SPEC::input_dim(layer) - first_column(layer);
        }
        // Rows of W to a column, for hidden layers with padding to whole blocks, and by one more where columns would
        // share a few cache sets again; the heads share one matrix.
        static constexpr std::size_t row_dim(std::size_t layer) {
            if (SPEC::is_head(layer)) {
                return SPEC::OUTPUT_DIM;
            }
            constexpr std::size_t BLOCK = panel::SIZE<T>;
            const std::size_t dim = panel::n_blocks(SPEC::output_dim(layer), BLOCK) * BLOCK;
            return dim * sizeof(T) % panel::ALIASING_BYTES == 0 ? dim + BLOCK : dim;
        }
        static constexpr std::size_t offset(std::size_t layer) {
            std::size_t sum = 0;
            for (std::size_t below = 0; below < layer && below < SPEC::N_HIDDEN; below++) {
                sum += n_columns(below) * row_dim(below);
            }
            return sum;
        }
        static constexpr std::size_t DIM = offset(SPEC::N_HIDDEN) + n_columns(SPEC::N_HIDDEN) * row_dim(SPEC::N_HIDDEN);

        alignas(panel::ALIGNMENT) T data[SPEC::HAS_TRANSPOSES && DIM > 0 ? DIM : 1];

        // Where column `first_column(LAYER)` of the layer begins.
        template <std::size_t LAYER>
        T* layer() {
            constexpr std::size_t HEAD_ROW = SPEC::is_head(LAYER) ? (LAYER - SPEC::N_HIDDEN) * SPEC::HEAD_DIM : 0;
            return data + offset(LAYER) + HEAD_ROW;
        }
    };

    // The gradients of the rows that one task of `update` handles.
    template <typename T_SPEC>
    struct UpdateScratch {
        using T = typename T_SPEC::T;
        static constexpr std::size_t ROWS = T_SPEC::SIZE > T_SPEC::HEAD_DIM ? T_SPEC::SIZE : T_SPEC::HEAD_DIM;
        alignas(panel::ALIGNMENT) T weights[ROWS * T_SPEC::MAX_WIDTH];
        alignas(panel::ALIGNMENT) T biases[ROWS];
    };
}

#pragma once

#include <rl_tools/nn/layers/panel_dense/operations_cpu_simd.h>
#include <rl_tools/nn_models/panel_mlp/panel_mlp.h>

namespace rl_tools::nn_models::panel_mlp {
    namespace dense = nn::layers::panel_dense;
    namespace adam = nn::optimizers::torch_adam;
    using nn::activation_functions::ActivationFunction;

    // What an update needs beside the gradients.
    template <typename T>
    struct UpdateRule {
        adam::Step<T> step;
        bool transpose;  // whether W^T is read again before it is made anew
        bool polyak;     // whether the target network moves
        T tau;
        T one_minus_tau;
    };

    template <typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void forward(const Parameters<SPEC>& parameters, Activations<SPEC, N_PANELS>& activations, std::size_t p,
                 std::index_sequence<LAYER...>) {
        (dense::forward<SPEC::input_dim(LAYER), SPEC::output_dim(LAYER),
                        SPEC::is_head(LAYER) ? ActivationFunction::IDENTITY : ActivationFunction::RELU>(
             parameters.layers[LAYER].weights.value, parameters.layers[LAYER].biases.value,
             activations.template layer_input<LAYER>(p), activations.template layer_output<LAYER>(p)),
         ...);
    }

    // output[OUTPUT_DIM][:] of panel `p` from input[INPUT_DIM][:], keeping what the backward pass needs.
    template <typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS>
    void forward(devices::CPU_SIMD<DEVICE_SPEC>&, const Parameters<SPEC>& parameters,
                 Activations<SPEC, N_PANELS>& activations, std::size_t p) {
        forward(parameters, activations, p, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    template <std::size_t LAYER, typename SPEC, std::size_t N_PANELS, std::size_t N_GRADIENT_PANELS>
    void backward_layer(TransposedWeights<SPEC>& transposed, Activations<SPEC, N_PANELS>& activations, std::size_t p,
                        Activations<SPEC, N_GRADIENT_PANELS>& gradients, std::size_t gradient_p) {
        using TRANSPOSED = TransposedWeights<SPEC>;
        constexpr std::size_t FIRST = TRANSPOSED::first_column(LAYER);
        constexpr std::size_t N_COLUMNS = TRANSPOSED::n_columns(LAYER);
        constexpr std::size_t D_Y_DIM = SPEC::is_head(LAYER) ? SPEC::OUTPUT_DIM : SPEC::output_dim(LAYER);
        constexpr bool READS_INPUT = LAYER == 0 || SPEC::N_HIDDEN == 0;
        if constexpr (N_COLUMNS > 0) {
            // All heads at once: their gradients lie one behind the other, as do their rows of W^T.
            dense::backward_input<N_COLUMNS, D_Y_DIM,
                                  READS_INPUT ? ActivationFunction::IDENTITY : ActivationFunction::RELU>(
                transposed.template layer<LAYER>(), gradients.template layer_output<LAYER>(gradient_p),
                activations.template layer_input<LAYER>(p),
                gradients.template layer_input<LAYER>(gradient_p) + FIRST * panel::SIZE<typename SPEC::T>);
        }
        if constexpr (!READS_INPUT) {
            backward_layer<LAYER - 1>(transposed, activations, p, gradients, gradient_p);
        }
    }

    // The gradients of panel `p` with respect to all hidden layers and to the last INPUT_GRADIENT_DIM inputs,
    // from that with respect to the output. `gradient_p` is the panel of `gradients` they are kept in.
    template <typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS, std::size_t N_GRADIENT_PANELS>
    void backward(devices::CPU_SIMD<DEVICE_SPEC>&, TransposedWeights<SPEC>& transposed,
                  Activations<SPEC, N_PANELS>& activations, std::size_t p,
                  Activations<SPEC, N_GRADIENT_PANELS>& gradients, std::size_t gradient_p) {
        backward_layer<SPEC::N_HIDDEN>(transposed, activations, p, gradients, gradient_p);
    }

    template <std::size_t LAYER, typename SPEC>
    void transpose_layer(const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed,
                         std::size_t first_column, std::size_t end_column) {
        using TRANSPOSED = TransposedWeights<SPEC>;
        constexpr std::size_t KEPT_FROM = TRANSPOSED::first_column(LAYER);
        first_column = first_column > KEPT_FROM ? first_column : KEPT_FROM;
        if (first_column < end_column) {
            dense::transpose<SPEC::input_dim(LAYER), SPEC::output_dim(LAYER), TRANSPOSED::row_dim(LAYER),
                             !SPEC::is_head(LAYER)>(
                parameters.layers[LAYER].weights.value, first_column, end_column,
                transposed.template layer<LAYER>() + (first_column - KEPT_FROM) * TRANSPOSED::row_dim(LAYER));
        }
    }

    template <typename SPEC, std::size_t... LAYER>
    void transpose(const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed,
                   std::index_sequence<LAYER...>) {
        (transpose_layer<LAYER>(parameters, transposed, 0, SPEC::input_dim(LAYER)), ...);
    }

    // Makes W^T anew, after somebody else may have changed W.
    template <typename DEVICE_SPEC, typename SPEC>
    void transpose(devices::CPU_SIMD<DEVICE_SPEC>&, const Parameters<SPEC>& parameters,
                   TransposedWeights<SPEC>& transposed) {
        transpose(parameters, transposed, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    // An update is split into tasks of SIZE columns of one layer's weights each.
    template <typename SPEC>
    constexpr std::size_t n_update_tasks(std::size_t layer) {
        return (SPEC::input_dim(layer) + panel::SIZE<typename SPEC::T> - 1) / panel::SIZE<typename SPEC::T>;
    }
    template <typename SPEC>
    constexpr std::size_t n_update_tasks() {
        std::size_t sum = 0;
        for (std::size_t layer = 0; layer < SPEC::N_LAYERS; layer++) {
            sum += n_update_tasks<SPEC>(layer);
        }
        return sum;
    }

    template <typename T>
    void apply(const UpdateRule<T>& rule, const T* gradients, const adam::Parameter<T>& parameter,
               const adam::Parameter<T>* target, std::size_t offset, std::size_t n) {
        T* value = parameter.value + offset;
        adam::update(rule.step, gradients, value, parameter.exp_avg + offset, parameter.exp_avg_sq + offset, n);
        if (rule.polyak) {
            adam::polyak(rule.tau, rule.one_minus_tau, value, target->value + offset, n);
        }
    }

    template <std::size_t LAYER, typename SPEC, std::size_t N_PANELS>
    void update_block(const UpdateRule<typename SPEC::T>& rule, Parameters<SPEC>& parameters, Parameters<SPEC>* target,
                      TransposedWeights<SPEC>& transposed, Activations<SPEC, N_PANELS>& activations,
                      Activations<SPEC, N_PANELS>& gradients, UpdateScratch<SPEC, N_PANELS>& scratch,
                      std::size_t block) {
        constexpr std::size_t IN = SPEC::input_dim(LAYER), OUT = SPEC::output_dim(LAYER);
        constexpr std::size_t D_Y_DIM = SPEC::is_head(LAYER) ? SPEC::OUTPUT_DIM : OUT;
        constexpr std::size_t SIZE = panel::SIZE<typename SPEC::T>;
        const std::size_t first_column = block * SIZE;
        const std::size_t n_columns = IN - first_column < SIZE ? IN - first_column : SIZE;
        const auto* d_y = gradients.template layer_output<LAYER>(0);
        auto& layer = parameters.layers[LAYER];
        auto* target_layer = target ? &target->layers[LAYER] : nullptr;

        dense::gather_columns<IN, N_PANELS>(activations.template layer_input<LAYER>(0), first_column, scratch.inputs);
        dense::weight_gradient<OUT, D_Y_DIM, N_PANELS>(d_y, scratch.inputs, scratch.gradients);
        for (std::size_t row = 0; row < OUT; row++) {
            apply(rule, scratch.gradients + row * SIZE, layer.weights, target ? &target_layer->weights : nullptr,
                  row * IN + first_column, n_columns);
        }
        if (rule.transpose) {
            transpose_layer<LAYER>(parameters, transposed, first_column, first_column + n_columns);
        }
        if (block == 0) {
            dense::bias_gradient<OUT, D_Y_DIM, N_PANELS>(d_y, scratch.gradients);
            apply(rule, scratch.gradients, layer.biases, target ? &target_layer->biases : nullptr, 0, OUT);
        }
    }

    template <typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void update(const UpdateRule<typename SPEC::T>& rule, Parameters<SPEC>& parameters, Parameters<SPEC>* target,
                TransposedWeights<SPEC>& transposed, Activations<SPEC, N_PANELS>& activations,
                Activations<SPEC, N_PANELS>& gradients, UpdateScratch<SPEC, N_PANELS>& scratch, std::size_t task,
                std::index_sequence<LAYER...>) {
        std::size_t first = 0;
        ((task >= first && task < first + n_update_tasks<SPEC>(LAYER)
              ? update_block<LAYER>(rule, parameters, target, transposed, activations, gradients, scratch, task - first)
              : void(),
          first += n_update_tasks<SPEC>(LAYER)),
         ...);
    }

    // One task of the step: the gradient of some weights, summed over the batch in a fixed order by one
    // thread, and what follows from it while it is in the cache: Adam, the target network, W^T.
    template <typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS>
    void update(devices::CPU_SIMD<DEVICE_SPEC>&, const UpdateRule<typename SPEC::T>& rule, Parameters<SPEC>& parameters,
                Parameters<SPEC>* target, TransposedWeights<SPEC>& transposed, Activations<SPEC, N_PANELS>& activations,
                Activations<SPEC, N_PANELS>& gradients, UpdateScratch<SPEC, N_PANELS>& scratch, std::size_t task) {
        update(rule, parameters, target, transposed, activations, gradients, scratch, task,
               std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    // Torch counts the steps of each parameter on its own.
    template <typename SPEC>
    void count_step(Parameters<SPEC>& parameters) {
        for (auto& layer : parameters.layers) {
            *layer.weights.step += 1;
            *layer.biases.step += 1;
        }
    }
}

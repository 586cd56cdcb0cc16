#pragma once

#include <rl_tools/nn/layers/panel_dense/operations_cpu_mux.h>
#include <rl_tools/nn/optimizers/torch_adam/operations_cpu_simd.h>
#include <rl_tools/nn/torch_activation/operations_cpu_simd.h>
#include <rl_tools/nn_models/panel_mlp/panel_mlp.h>

namespace rl_tools::nn_models::panel_mlp {
    namespace dense = nn::layers::panel_dense;
    namespace adam = nn::optimizers::torch_adam;
    namespace torch_activation = nn::torch_activation;

    // What an update needs beside the gradients.
    template <typename T>
    struct UpdateRule {
        adam::Step<T> step;
        bool transpose;  // whether W^T is read again before it is made anew
        bool polyak;     // whether the target network moves
        T tau;
        T one_minus_tau;
    };

    // The part of a layer's activation function that is applied in registers, and whether there is another.
    template <std::size_t LAYER, typename SPEC>
    using FusedActivation = torch_activation::Fused<
        std::conditional_t<SPEC::is_head(LAYER), torch_activation::Identity, typename SPEC::ACTIVATION>>;
    template <std::size_t LAYER, typename SPEC>
    constexpr bool HAS_ACTIVATION_PASS = !SPEC::is_head(LAYER) && SPEC::ACTIVATION::KEEPS_DERIVATIVE;

    template <std::size_t LAYER, bool KEEP_DERIVATIVES, typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void forward_layer(DEVICE& device, const Parameters<SPEC>& parameters, Activations<SPEC, N_PANELS>& activations,
                       std::size_t p) {
        constexpr std::size_t OUT = SPEC::output_dim(LAYER), SIZE = SPEC::SIZE;
        auto* output = activations.template layer_output<LAYER>(p);
        dense::forward<SPEC::input_dim(LAYER), OUT, SIZE, FusedActivation<LAYER, SPEC>>(
            device, parameters.layers[LAYER].weights.value, parameters.layers[LAYER].biases.value,
            activations.template layer_input<LAYER>(p), output);
        if constexpr (HAS_ACTIVATION_PASS<LAYER, SPEC> && KEEP_DERIVATIVES) {
            torch_activation::activate<typename SPEC::ACTIVATION>(
                output, activations.template layer_derivative<LAYER>(p), OUT * SIZE);
        } else if constexpr (HAS_ACTIVATION_PASS<LAYER, SPEC>) {
            torch_activation::activate<typename SPEC::ACTIVATION>(output, OUT * SIZE);
        }
    }

    template <bool KEEP_DERIVATIVES, typename DEVICE, typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void forward(DEVICE& device, const Parameters<SPEC>& parameters, Activations<SPEC, N_PANELS>& activations,
                 std::size_t p, std::index_sequence<LAYER...>) {
        (forward_layer<LAYER, KEEP_DERIVATIVES>(device, parameters, activations, p), ...);
    }

    // output[OUTPUT_DIM][:] of panel `p` from input[INPUT_DIM][:], keeping what the backward pass needs.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void forward(DEVICE& device, const Parameters<SPEC>& parameters, Activations<SPEC, N_PANELS>& activations,
                 std::size_t p) {
        forward<true>(device, parameters, activations, p, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    // The same where no backward pass follows.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void evaluate(DEVICE& device, const Parameters<SPEC>& parameters, Activations<SPEC, N_PANELS>& activations,
                  std::size_t p) {
        forward<false>(device, parameters, activations, p, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    template <std::size_t LAYER, typename SPEC>
    void forward_sample_layer(const Parameters<SPEC>& parameters, Activations<SPEC, 1>& activations) {
        constexpr std::size_t OUT = SPEC::output_dim(LAYER);
        auto* output = activations.template layer_output<LAYER>(0);
        dense::forward_sample<SPEC::input_dim(LAYER), OUT, FusedActivation<LAYER, SPEC>>(
            parameters.layers[LAYER].weights.value, parameters.layers[LAYER].biases.value,
            activations.template layer_input<LAYER>(0), output);
        if constexpr (HAS_ACTIVATION_PASS<LAYER, SPEC>) {
            torch_activation::activate<typename SPEC::ACTIVATION>(output, OUT);
        }
    }

    template <typename SPEC, std::size_t... LAYER>
    void forward_sample(const Parameters<SPEC>& parameters, Activations<SPEC, 1>& activations,
                        std::index_sequence<LAYER...>) {
        (forward_sample_layer<LAYER>(parameters, activations), ...);
    }

    // The same for a single sample and the trained layers, feature behind feature at the beginning of input and layers.
    // Each head begins where its panel would.
    template <typename DEVICE_SPEC, typename SPEC>
    void forward_sample(devices::CPU_SIMD<DEVICE_SPEC>&, const Parameters<SPEC>& parameters,
                        Activations<SPEC, 1>& activations) {
        forward_sample(parameters, activations, std::make_index_sequence<SPEC::N_TRAINED_LAYERS>{});
    }

    // Here and below: without hidden layers there is nothing to do, and g++ complains of unused parameters.
    template <typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void transpose_inputs([[maybe_unused]] Activations<SPEC, N_PANELS>& activations, [[maybe_unused]] std::size_t p,
                          [[maybe_unused]] TransposedInputs<SPEC, N_PANELS>& transposed,
                          std::index_sequence<LAYER...>) {
        (dense::transpose_input<SPEC::input_dim(LAYER), N_PANELS, SPEC::SIZE>(
             activations.template layer_input<LAYER>(p), p, transposed.template layer<LAYER>()),
         ...);
    }

    // To be called after `forward`, while the panel is still in the cache. Nothing for devices without transposes.
    template <typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS>
    void transpose_inputs(devices::CPU_SIMD<DEVICE_SPEC>&, Activations<SPEC, N_PANELS>& activations, std::size_t p,
                          TransposedInputs<SPEC, N_PANELS>& transposed) {
        constexpr std::size_t N_TRANSPOSED = SPEC::HAS_TRANSPOSES ? SPEC::N_HIDDEN : 0;
        transpose_inputs(activations, p, transposed, std::make_index_sequence<N_TRANSPOSED>{});
    }

    // A type of its own rather than a lambda, so that layers of equal shape share their code.
    template <typename T>
    struct NoOtherGradient {
        RL_TOOLS_INLINE panel::Line<T> operator()(std::size_t, std::size_t) const { return dense::constant_line(T{0}); }
    };

    // d_x of a hidden layer or of all heads at once: their gradients lie one behind the other, as do their rows of W^T.
    // `below` is what made x, as the backward pass knows it.
    template <std::size_t LAYER, typename F_BELOW, typename DEVICE_SPEC, typename SPEC, typename T,
              typename OTHER_GRADIENT>
    void backward_input(devices::CPU_SIMD<DEVICE_SPEC>&, const Parameters<SPEC>&, TransposedWeights<SPEC>& transposed,
                        const T* d_y, const T* below, T* d_x, OTHER_GRADIENT other_gradient) {
        using TRANSPOSED = TransposedWeights<SPEC>;
        constexpr std::size_t D_Y_DIM = SPEC::is_head(LAYER) ? SPEC::OUTPUT_DIM : SPEC::output_dim(LAYER);
        dense::backward_input<TRANSPOSED::n_columns(LAYER), D_Y_DIM, TRANSPOSED::row_dim(LAYER), SPEC::SIZE, F_BELOW>(
            transposed.template layer<LAYER>(), d_y, below, d_x, other_gradient);
    }

    // The same with a BLAS, which reads W itself.
    template <std::size_t LAYER, typename F_BELOW, typename DEVICE_SPEC, typename SPEC, typename T,
              typename OTHER_GRADIENT>
    void backward_input(devices::CPU_SIMD_BLAS<DEVICE_SPEC>& device, const Parameters<SPEC>& parameters,
                        TransposedWeights<SPEC>&, const T* d_y, [[maybe_unused]] const T* below, T* d_x,
                        [[maybe_unused]] OTHER_GRADIENT other_gradient) {
        constexpr std::size_t IN = SPEC::input_dim(LAYER), OUT = SPEC::output_dim(LAYER), SIZE = SPEC::SIZE;
        constexpr std::size_t FIRST = TransposedWeights<SPEC>::first_column(LAYER), N_COLUMNS = IN - FIRST;
        constexpr bool HAS_OTHER_GRADIENT = !std::is_same_v<OTHER_GRADIENT, NoOtherGradient<T>>;
        if constexpr (HAS_OTHER_GRADIENT) {
            for (std::size_t row = 0; row < N_COLUMNS; row++) {
                for (std::size_t lane = 0; lane < SIZE; lane += panel::SIZE<T>) {
                    panel::store_line(d_x + row * SIZE + lane, other_gradient(row, lane));
                }
            }
        }
        constexpr std::size_t N_LAYERS = SPEC::is_head(LAYER) ? SPEC::N_HEADS : 1;
        for (std::size_t i = 0; i < N_LAYERS; i++) {
            dense::backward_input<IN, N_COLUMNS, OUT, SIZE>(device, parameters.layers[LAYER + i].weights.value + FIRST,
                                                            d_y + i * OUT * SIZE, T(HAS_OTHER_GRADIENT || i > 0), d_x);
        }
        if constexpr (!std::is_same_v<F_BELOW, torch_activation::Identity>) {
            dense::backward_activation<F_BELOW>(below, d_x, N_COLUMNS * SIZE);
        }
    }

    template <std::size_t LAYER, typename DEVICE, typename SPEC, std::size_t N_PANELS, std::size_t N_GRADIENT_PANELS,
              typename OTHER_GRADIENT>
    void backward_layer(DEVICE& device, const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed,
                        Activations<SPEC, N_PANELS>& activations, std::size_t p,
                        Gradients<SPEC, N_GRADIENT_PANELS>& gradients, std::size_t gradient_p,
                        [[maybe_unused]] OTHER_GRADIENT other_gradient) {
        using TRANSPOSED = TransposedWeights<SPEC>;
        constexpr bool READS_INPUT = LAYER == 0 || SPEC::N_HIDDEN == 0;
        if constexpr (TRANSPOSED::n_columns(LAYER) > 0) {
            const typename SPEC::T* d_y = gradients.template layer_output<LAYER>(gradient_p);
            auto* d_x =
                gradients.template layer_input<LAYER>(gradient_p) + TRANSPOSED::first_column(LAYER) * SPEC::SIZE;
            const typename SPEC::T* below;
            if constexpr (READS_INPUT) {
                below = activations.template layer_input<LAYER>(p);
                backward_input<LAYER, torch_activation::Identity>(device, parameters, transposed, d_y, below, d_x,
                                                                  other_gradient);
            } else {
                below = activations.template layer_derivative<LAYER - 1>(p);
                backward_input<LAYER, typename SPEC::ACTIVATION>(device, parameters, transposed, d_y, below, d_x,
                                                                 other_gradient);
            }
        }
        if constexpr (!READS_INPUT) {
            backward_layer<LAYER - 1>(device, parameters, transposed, activations, p, gradients, gradient_p,
                                      NoOtherGradient<typename SPEC::T>{});
        }
    }

    // The gradients of panel `p` with respect to all hidden layers and to the last INPUT_GRADIENT_DIM inputs,
    // from that with respect to the output. `gradient_p` is the panel of `gradients` they are kept in.
    // `other_gradient(feature, first_sample)` is what the features that the heads read receive from elsewhere, a line
    // of samples at a time.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS, std::size_t N_GRADIENT_PANELS,
              typename OTHER_GRADIENT = NoOtherGradient<typename SPEC::T>>
    void backward(DEVICE& device, const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed,
                  Activations<SPEC, N_PANELS>& activations, std::size_t p,
                  Gradients<SPEC, N_GRADIENT_PANELS>& gradients, std::size_t gradient_p,
                  OTHER_GRADIENT other_gradient = {}) {
        backward_layer<SPEC::N_HIDDEN>(device, parameters, transposed, activations, p, gradients, gradient_p,
                                       other_gradient);
    }

    template <std::size_t LAYER, typename SPEC, std::size_t N_PANELS>
    void gather_layer(Activations<SPEC, N_PANELS>& source, const std::uint32_t* samples, std::size_t n_samples,
                      Activations<SPEC, 1>& target) {
        using T = typename SPEC::T;
        constexpr std::size_t SIZE = SPEC::SIZE;
        const T* lanes[SIZE];
        for (std::size_t lane = 0; lane < SIZE; lane++) {
            const std::uint32_t sample = samples[lane < n_samples ? lane : 0];
            lanes[lane] = source.template layer_derivative<LAYER>(sample / SIZE) + sample % SIZE;
        }
        T* row = target.template layer_derivative<LAYER>(0);
        for (std::size_t feature = 0; feature < SPEC::output_dim(LAYER); feature++, row += SIZE) {
            for (std::size_t lane = 0; lane < SIZE; lane++) {
                row[lane] = lanes[lane][feature * SIZE];
            }
        }
    }

    template <typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void gather_derivatives([[maybe_unused]] Activations<SPEC, N_PANELS>& source,
                            [[maybe_unused]] const std::uint32_t* samples, [[maybe_unused]] std::size_t n_samples,
                            [[maybe_unused]] Activations<SPEC, 1>& target, std::index_sequence<LAYER...>) {
        (gather_layer<LAYER>(source, samples, n_samples, target), ...);
    }

    // Collects what the backward pass reads of `n_samples` samples, one panel at most, from wherever in the batch they
    // are; lanes behind them repeat the first.
    template <typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS>
    void gather_derivatives(devices::CPU_SIMD<DEVICE_SPEC>&, Activations<SPEC, N_PANELS>& source,
                            const std::uint32_t* samples, std::size_t n_samples, Activations<SPEC, 1>& target) {
        gather_derivatives(source, samples, n_samples, target, std::make_index_sequence<SPEC::N_HIDDEN>{});
    }

    template <std::size_t LAYER, typename SPEC>
    void transpose_layer(const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed, std::size_t first_row,
                         std::size_t end_row) {
        using TRANSPOSED = TransposedWeights<SPEC>;
        if constexpr (SPEC::HAS_TRANSPOSES && TRANSPOSED::n_columns(LAYER) > 0) {
            dense::transpose_weights<SPEC::input_dim(LAYER), TRANSPOSED::first_column(LAYER),
                                     TRANSPOSED::row_dim(LAYER), !SPEC::is_head(LAYER)>(
                parameters.layers[LAYER].weights.value, first_row, end_row, transposed.template layer<LAYER>());
        }
    }

    template <typename SPEC, std::size_t... LAYER>
    void transpose(const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed,
                   std::index_sequence<LAYER...>) {
        (transpose_layer<LAYER>(parameters, transposed, 0, SPEC::output_dim(LAYER)), ...);
    }

    // Makes W^T anew, after somebody else may have changed W.
    template <typename DEVICE_SPEC, typename SPEC>
    void transpose(devices::CPU_SIMD<DEVICE_SPEC>&, const Parameters<SPEC>& parameters,
                   TransposedWeights<SPEC>& transposed) {
        transpose(parameters, transposed, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    // An update is split into tasks of SIZE rows of one hidden layer each, or of one trained head. Rows rather than
    // columns, as a row's weights and moments lie one behind the other.
    template <typename SPEC>
    constexpr std::size_t n_update_tasks(std::size_t layer) {
        return SPEC::is_head(layer) ? 1 : panel::n_blocks(SPEC::output_dim(layer), SPEC::SIZE);
    }
    template <typename SPEC>
    constexpr std::size_t n_update_tasks() {
        std::size_t sum = 0;
        for (std::size_t layer = 0; layer < SPEC::N_TRAINED_LAYERS; layer++) {
            sum += n_update_tasks<SPEC>(layer);
        }
        return sum;
    }

    template <typename T>
    void apply(const UpdateRule<T>& rule, const T* gradients, const adam::Parameter<T>& parameter,
               const adam::Parameter<T>* target, std::size_t offset, std::size_t n) {
        adam::update(rule.step, gradients, parameter, offset, n);
        if (rule.polyak) {
            adam::polyak(rule.tau, rule.one_minus_tau, parameter.value + offset, target->value + offset, n);
        }
    }

    struct SameInput {
        template <typename LINE>
        RL_TOOLS_INLINE LINE operator()(const LINE& x) const {
            return x;
        }
    };

    // d_W of some rows of a hidden layer; `first_row` selects those of d_y.
    template <std::size_t LAYER, std::size_t ROWS, typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS,
              typename T>
    void weight_gradient(devices::CPU_SIMD<DEVICE_SPEC>&, Activations<SPEC, N_PANELS>&,
                         TransposedInputs<SPEC, N_PANELS>& transposed_inputs, const T* d_y, T* d_weights) {
        dense::weight_gradient<SPEC::input_dim(LAYER), ROWS, SPEC::output_dim(LAYER), N_PANELS, SPEC::SIZE>(
            d_y, transposed_inputs.template layer<LAYER>(), d_weights);
    }

    // The same with a BLAS, which reads x itself.
    template <std::size_t LAYER, std::size_t ROWS, typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS,
              typename T>
    void weight_gradient(devices::CPU_SIMD_BLAS<DEVICE_SPEC>& device, Activations<SPEC, N_PANELS>& activations,
                         TransposedInputs<SPEC, N_PANELS>&, const T* d_y, T* d_weights) {
        dense::weight_gradient<SPEC::input_dim(LAYER), ROWS, SPEC::output_dim(LAYER), N_PANELS, SPEC::SIZE>(
            device, d_y, activations.template layer_input<LAYER>(0), d_weights);
    }

    template <std::size_t LAYER, std::size_t ROWS, typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void update_rows(DEVICE& device, const UpdateRule<typename SPEC::T>& rule, Parameters<SPEC>& parameters,
                     Parameters<SPEC>* target, TransposedWeights<SPEC>& transposed_weights,
                     Activations<SPEC, N_PANELS>& activations, TransposedInputs<SPEC, N_PANELS>& transposed_inputs,
                     Gradients<SPEC, N_PANELS>& gradients, UpdateScratch<SPEC>& scratch, std::size_t first_row) {
        constexpr std::size_t IN = SPEC::input_dim(LAYER);
        constexpr std::size_t D_Y_DIM = SPEC::is_head(LAYER) ? SPEC::OUTPUT_DIM : SPEC::output_dim(LAYER);
        const typename SPEC::T* d_y = gradients.template layer_output<LAYER>(0) + first_row * SPEC::SIZE;
        auto& layer = parameters.layers[LAYER];
        auto* target_layer = target ? &target->layers[LAYER] : nullptr;

        if constexpr (SPEC::is_head(LAYER)) {
            dense::weight_gradient_of_few_rows<IN, ROWS, D_Y_DIM, N_PANELS, SPEC::SIZE>(
                d_y, activations.template layer_input<LAYER>(0), scratch.weights, SameInput{});
        } else {
            weight_gradient<LAYER, ROWS>(device, activations, transposed_inputs, d_y, scratch.weights);
        }
        dense::bias_gradient<ROWS, D_Y_DIM, N_PANELS, SPEC::SIZE>(d_y, scratch.biases);
        apply(rule, scratch.weights, layer.weights, target ? &target_layer->weights : nullptr, first_row * IN,
              ROWS * IN);
        apply(rule, scratch.biases, layer.biases, target ? &target_layer->biases : nullptr, first_row, ROWS);
        if (rule.transpose) {
            transpose_layer<LAYER>(parameters, transposed_weights, first_row, first_row + ROWS);
        }
    }

    template <std::size_t LAYER, typename DEVICE, typename SPEC, typename... ARGUMENTS>
    void update_layer(DEVICE& device, const UpdateRule<typename SPEC::T>& rule, Parameters<SPEC>& parameters,
                      std::size_t block, ARGUMENTS&... arguments) {
        constexpr std::size_t OUT = SPEC::output_dim(LAYER), SIZE = SPEC::SIZE;
        if constexpr (SPEC::is_head(LAYER)) {
            update_rows<LAYER, OUT>(device, rule, parameters, arguments..., 0);
        } else {
            if (OUT >= SIZE && block < OUT / SIZE) {
                update_rows<LAYER, (OUT < SIZE ? OUT : SIZE)>(device, rule, parameters, arguments..., block * SIZE);
            }
            if constexpr (OUT % SIZE != 0) {
                if (block == OUT / SIZE) {
                    update_rows<LAYER, OUT % SIZE>(device, rule, parameters, arguments..., block * SIZE);
                }
            }
        }
    }

    template <std::size_t... LAYER, typename DEVICE, typename SPEC, typename... ARGUMENTS>
    void update(std::index_sequence<LAYER...>, DEVICE& device, const UpdateRule<typename SPEC::T>& rule,
                Parameters<SPEC>& parameters, std::size_t task, ARGUMENTS&... arguments) {
        std::size_t first = 0;
        ((task >= first && task < first + n_update_tasks<SPEC>(LAYER)
              ? update_layer<LAYER>(device, rule, parameters, task - first, arguments...)
              : void(),
          first += n_update_tasks<SPEC>(LAYER)),
         ...);
    }

    // One task of the step: the gradient of some rows, summed over the batch in a fixed order by one thread, and what
    // follows from it while it is in the cache: Adam, the target network (null without one), W^T.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void update(DEVICE& device, const UpdateRule<typename SPEC::T>& rule, Parameters<SPEC>& parameters,
                Parameters<SPEC>* target, TransposedWeights<SPEC>& transposed_weights,
                Activations<SPEC, N_PANELS>& activations, TransposedInputs<SPEC, N_PANELS>& transposed_inputs,
                Gradients<SPEC, N_PANELS>& gradients, UpdateScratch<SPEC>& scratch, std::size_t task) {
        update(std::make_index_sequence<SPEC::N_TRAINED_LAYERS>{}, device, rule, parameters, task, target,
               transposed_weights, activations, transposed_inputs, gradients, scratch);
    }

    // Torch counts the steps of each parameter on its own.
    template <typename SPEC>
    void count_step(Parameters<SPEC>& parameters) {
        for (std::size_t i = 0; i < SPEC::N_TRAINED_LAYERS; i++) {
            *parameters.layers[i].weights.step += 1;
            *parameters.layers[i].biases.step += 1;
        }
    }
}

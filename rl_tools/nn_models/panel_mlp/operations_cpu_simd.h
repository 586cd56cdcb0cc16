#pragma once
// Passes through a multilayer perceptron and the update of its weights, one template instance for each layer. The
// arithmetic is that of panel_dense; here is only which memory each layer reads and writes. The functions that a caller
// uses stand behind the pieces they are made of.
//
//     x_0 = input, x_{l+1} = f(W_l x_l + b_l) for the hidden layers l, output_h = V_h x_last + c_h for each head h

#include <type_traits>
#include <utility>

#include <rl_tools/nn/layers/panel_dense/operations_cpu_mux.h>
#include <rl_tools/nn/optimizers/torch_adam/operations_cpu_simd.h>
#include <rl_tools/nn/torch_activation/operations_cpu_simd.h>
#include <rl_tools/nn_models/panel_mlp/panel_mlp.h>

namespace rl_tools::nn_models::panel_mlp {
    namespace dense = nn::layers::panel_dense;
    namespace adam = nn::optimizers::torch_adam;
    namespace torch_activation = nn::torch_activation;

    // --- Forward -----------------------------------------------------------------------------------------------------

    // The part of a layer's activation function that is applied in registers, and whether there is another.
    template <std::size_t LAYER, typename SPEC>
    using FusedActivation = torch_activation::Fused<
        std::conditional_t<SPEC::is_head(LAYER), torch_activation::Identity, typename SPEC::ACTIVATION>>;
    template <std::size_t LAYER, typename SPEC>
    constexpr bool HAS_ACTIVATION_PASS = !SPEC::is_head(LAYER) && SPEC::ACTIVATION::KEEPS_DERIVATIVE;

    // y[OUT][:] = f(W[OUT][IN] x[IN][:] + b[OUT]) of one layer and panel `p`; f' [OUT][:] where it is kept.
    template <std::size_t LAYER, bool KEEP_DERIVATIVES, typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void forward_layer(DEVICE& device, const Parameters<SPEC>& parameters, ForwardValues<SPEC, N_PANELS>& values,
                       std::size_t p) {
        constexpr std::size_t OUT = SPEC::output_dim(LAYER), PANEL_LANES = SPEC::PANEL_LANES;
        auto* output = values.template layer_output<LAYER>(p);
        dense::forward<SPEC::input_dim(LAYER), OUT, PANEL_LANES, FusedActivation<LAYER, SPEC>>(
            device, parameters.layers[LAYER].weights.value, parameters.layers[LAYER].biases.value,
            values.template layer_input<LAYER>(p), output);
        if constexpr (HAS_ACTIVATION_PASS<LAYER, SPEC> && KEEP_DERIVATIVES) {
            torch_activation::activate<typename SPEC::ACTIVATION>(output, values.template layer_derivative<LAYER>(p),
                                                                  OUT * PANEL_LANES);
        } else if constexpr (HAS_ACTIVATION_PASS<LAYER, SPEC>) {
            torch_activation::activate<typename SPEC::ACTIVATION>(output, OUT * PANEL_LANES);
        }
    }

    template <bool KEEP_DERIVATIVES, typename DEVICE, typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void forward_layers(DEVICE& device, const Parameters<SPEC>& parameters, ForwardValues<SPEC, N_PANELS>& values,
                        std::size_t p, std::index_sequence<LAYER...>) {
        (forward_layer<LAYER, KEEP_DERIVATIVES>(device, parameters, values, p), ...);
    }

    // output[OUTPUT_DIM][:] of panel `p` from input[INPUT_DIM][:], keeping what the backward pass needs.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void forward(DEVICE& device, const Parameters<SPEC>& parameters, ForwardValues<SPEC, N_PANELS>& values,
                 std::size_t p) {
        forward_layers<true>(device, parameters, values, p, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    // The same where no backward pass follows.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void evaluate(DEVICE& device, const Parameters<SPEC>& parameters, ForwardValues<SPEC, N_PANELS>& values,
                  std::size_t p) {
        forward_layers<false>(device, parameters, values, p, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    // y[OUT] = f(W[OUT][IN] x[IN] + b[OUT]) of one layer, at the beginning of the memory of panel 0.
    template <std::size_t LAYER, typename SPEC>
    void forward_single_layer(const Parameters<SPEC>& parameters, ForwardValues<SPEC, 1>& values) {
        constexpr std::size_t OUT = SPEC::output_dim(LAYER);
        auto* output = values.template layer_output<LAYER>(0);
        dense::forward_single<SPEC::input_dim(LAYER), OUT, FusedActivation<LAYER, SPEC>>(
            parameters.layers[LAYER].weights.value, parameters.layers[LAYER].biases.value,
            values.template layer_input<LAYER>(0), output);
        if constexpr (HAS_ACTIVATION_PASS<LAYER, SPEC>) {
            torch_activation::activate<typename SPEC::ACTIVATION>(output, OUT);
        }
    }

    template <typename SPEC, std::size_t... LAYER>
    void forward_single_layers(const Parameters<SPEC>& parameters, ForwardValues<SPEC, 1>& values,
                               std::index_sequence<LAYER...>) {
        (forward_single_layer<LAYER>(parameters, values), ...);
    }

    // output[HEAD_DIM] of the trained heads from input[INPUT_DIM], a single sample: feature behind feature at the
    // beginning of input and layers. Each head begins where its panel would.
    template <typename DEVICE_SPEC, typename SPEC>
    void forward_single(devices::CPU_SIMD<DEVICE_SPEC>&, const Parameters<SPEC>& parameters,
                        ForwardValues<SPEC, 1>& values) {
        forward_single_layers(parameters, values, std::make_index_sequence<SPEC::N_TRAINED_LAYERS>{});
    }

    // Here and below: without hidden layers there is nothing to do, and g++ complains of unused parameters.
    template <typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void transpose_layer_inputs([[maybe_unused]] ForwardValues<SPEC, N_PANELS>& values, [[maybe_unused]] std::size_t p,
                                [[maybe_unused]] TransposedInputs<SPEC, N_PANELS>& transposed,
                                std::index_sequence<LAYER...>) {
        (dense::transpose_input<SPEC::input_dim(LAYER), N_PANELS, SPEC::PANEL_LANES>(
             values.template layer_input<LAYER>(p), p, transposed.template layer<LAYER>()),
         ...);
    }

    // x_l of panel `p` as block columns, for the weights' gradients of the hidden layers. To be called after `forward`,
    // while the panel is still in the cache. Nothing for devices without transposes.
    template <typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS>
    void transpose_inputs(devices::CPU_SIMD<DEVICE_SPEC>&, ForwardValues<SPEC, N_PANELS>& values, std::size_t p,
                          TransposedInputs<SPEC, N_PANELS>& transposed) {
        constexpr std::size_t N_TRANSPOSED = SPEC::HAS_TRANSPOSES ? SPEC::N_HIDDEN : 0;
        transpose_layer_inputs(values, p, transposed, std::make_index_sequence<N_TRANSPOSED>{});
    }

    // --- Backward ----------------------------------------------------------------------------------------------------

    // A type of its own rather than a lambda, so that layers of equal shape share their code.
    template <typename T>
    struct ZeroGradient {
        RL_TOOLS_INLINE panel::Line<T> operator()(std::size_t, std::size_t) const { return panel::constant_line(T{0}); }
    };

    // One panel on its way down: panel `p` of `values`, whose gradients are kept in panel `gradient_p` of `gradients`.
    template <typename T_SPEC, std::size_t N_PANELS, std::size_t N_GRADIENT_PANELS>
    struct BackwardPass {
        using SPEC = T_SPEC;
        const Parameters<SPEC>& parameters;
        TransposedWeights<SPEC>& transposed_weights;
        ForwardValues<SPEC, N_PANELS>& values;
        std::size_t p;
        Gradients<SPEC, N_GRADIENT_PANELS>& gradients;
        std::size_t gradient_p;
    };

    // forward: y[OUT][:] = W[OUT][IN] x[IN][:] + b[OUT]
    // d_x[N_COLUMNS][:] = (W^T[N_COLUMNS][OUT] d_y[OUT][:] + extra_gradient) f'(x)
    //
    // Of a hidden layer, or of all heads at once: their gradients lie one behind the other, as do their rows of W^T.
    // `below` is what the forward pass left of f, see panel_dense.
    template <std::size_t LAYER, typename F_BELOW, typename DEVICE_SPEC, typename PASS, typename T,
              typename EXTRA_GRADIENT>
    void backward_input(devices::CPU_SIMD<DEVICE_SPEC>&, const PASS& pass, const T* d_y, const T* below, T* d_x,
                        EXTRA_GRADIENT extra_gradient) {
        using SPEC = typename PASS::SPEC;
        using TRANSPOSED = TransposedWeights<SPEC>;
        constexpr std::size_t D_Y_DIM = SPEC::is_head(LAYER) ? SPEC::OUTPUT_DIM : SPEC::output_dim(LAYER);
        dense::backward_input<TRANSPOSED::n_columns(LAYER), D_Y_DIM, TRANSPOSED::ld(LAYER), SPEC::PANEL_LANES, F_BELOW>(
            pass.transposed_weights.template layer<LAYER>(), d_y, below, d_x, extra_gradient);
    }

    // The same with a BLAS, which reads W itself: extra_gradient, then one product a head, then f'.
    template <std::size_t LAYER, typename F_BELOW, typename DEVICE_SPEC, typename PASS, typename T,
              typename EXTRA_GRADIENT>
    void backward_input(devices::CPU_SIMD_BLAS<DEVICE_SPEC>& device, const PASS& pass, const T* d_y,
                        [[maybe_unused]] const T* below, T* d_x, [[maybe_unused]] EXTRA_GRADIENT extra_gradient) {
        using SPEC = typename PASS::SPEC;
        constexpr std::size_t IN = SPEC::input_dim(LAYER), OUT = SPEC::output_dim(LAYER);
        constexpr std::size_t PANEL_LANES = SPEC::PANEL_LANES;
        constexpr std::size_t FIRST = TransposedWeights<SPEC>::first_column(LAYER), N_COLUMNS = IN - FIRST;
        constexpr bool HAS_EXTRA_GRADIENT = !std::is_same_v<EXTRA_GRADIENT, ZeroGradient<T>>;
        if constexpr (HAS_EXTRA_GRADIENT) {
            for (std::size_t row = 0; row < N_COLUMNS; row++) {
                for (std::size_t lane = 0; lane < PANEL_LANES; lane += panel::LINE_LANES<T>) {
                    panel::store_line(d_x + row * PANEL_LANES + lane, extra_gradient(row, lane));
                }
            }
        }
        constexpr std::size_t N_LAYERS = SPEC::is_head(LAYER) ? SPEC::N_HEADS : 1;
        for (std::size_t i = 0; i < N_LAYERS; i++) {
            dense::backward_input<IN, N_COLUMNS, OUT, PANEL_LANES>(
                device, pass.parameters.layers[LAYER + i].weights.value + FIRST, d_y + i * OUT * PANEL_LANES,
                T(HAS_EXTRA_GRADIENT || i > 0), d_x);
        }
        if constexpr (!std::is_same_v<F_BELOW, torch_activation::Identity>) {
            dense::backward_activation<F_BELOW>(below, d_x, N_COLUMNS * PANEL_LANES);
        }
    }

    // d_x of the layer (of all heads for the first of them), then of the layers below it.
    template <std::size_t LAYER, typename DEVICE, typename PASS, typename EXTRA_GRADIENT>
    void backward_layers(DEVICE& device, const PASS& pass, [[maybe_unused]] EXTRA_GRADIENT extra_gradient) {
        using SPEC = typename PASS::SPEC;
        using T = typename SPEC::T;
        using TRANSPOSED = TransposedWeights<SPEC>;
        constexpr bool READS_INPUT = LAYER == 0 || SPEC::N_HIDDEN == 0;
        if constexpr (TRANSPOSED::n_columns(LAYER) > 0) {
            const T* d_y = pass.gradients.template layer_output<LAYER>(pass.gradient_p);
            T* d_x = pass.gradients.template layer_input<LAYER>(pass.gradient_p) +
                     TRANSPOSED::first_column(LAYER) * SPEC::PANEL_LANES;
            if constexpr (READS_INPUT) {
                const T* below = pass.values.template layer_input<LAYER>(pass.p);
                backward_input<LAYER, torch_activation::Identity>(device, pass, d_y, below, d_x, extra_gradient);
            } else {
                const T* below = pass.values.template layer_derivative<LAYER - 1>(pass.p);
                backward_input<LAYER, typename SPEC::ACTIVATION>(device, pass, d_y, below, d_x, extra_gradient);
            }
        }
        if constexpr (!READS_INPUT) {
            backward_layers<LAYER - 1>(device, pass, ZeroGradient<T>{});
        }
    }

    // The gradients of panel `p` with respect to all hidden layers and to the last INPUT_GRADIENT_DIM inputs,
    // from that with respect to the output, which is in panel `gradient_p` of `gradients`, where they go, too.
    // `extra_gradient(feature, lane)` is what the features that the heads read receive from elsewhere, a line at a
    // time.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS, std::size_t N_GRADIENT_PANELS,
              typename EXTRA_GRADIENT = ZeroGradient<typename SPEC::T>>
    void backward(DEVICE& device, const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed_weights,
                  ForwardValues<SPEC, N_PANELS>& values, std::size_t p, Gradients<SPEC, N_GRADIENT_PANELS>& gradients,
                  std::size_t gradient_p, EXTRA_GRADIENT extra_gradient = {}) {
        const BackwardPass<SPEC, N_PANELS, N_GRADIENT_PANELS> pass = {parameters, transposed_weights, values,
                                                                      p,          gradients,          gradient_p};
        backward_layers<SPEC::N_HIDDEN>(device, pass, extra_gradient);
    }

    // target[feature][lane] = source[panel of the sample][feature][its lane], of what one layer left for the backward
    // pass.
    template <std::size_t LAYER, typename SPEC, std::size_t N_PANELS>
    void gather_layer(ForwardValues<SPEC, N_PANELS>& source, const std::uint32_t* samples, std::size_t n_samples,
                      ForwardValues<SPEC, 1>& target) {
        using T = typename SPEC::T;
        constexpr std::size_t PANEL_LANES = SPEC::PANEL_LANES;
        const T* lanes[PANEL_LANES];
        for (std::size_t lane = 0; lane < PANEL_LANES; lane++) {
            const std::uint32_t sample = samples[lane < n_samples ? lane : 0];
            lanes[lane] = source.template layer_derivative<LAYER>(sample / PANEL_LANES) + sample % PANEL_LANES;
        }
        T* row = target.template layer_derivative<LAYER>(0);
        for (std::size_t feature = 0; feature < SPEC::output_dim(LAYER); feature++, row += PANEL_LANES) {
            for (std::size_t lane = 0; lane < PANEL_LANES; lane++) {
                row[lane] = lanes[lane][feature * PANEL_LANES];
            }
        }
    }

    template <typename SPEC, std::size_t N_PANELS, std::size_t... LAYER>
    void gather_layers([[maybe_unused]] ForwardValues<SPEC, N_PANELS>& source,
                       [[maybe_unused]] const std::uint32_t* samples, [[maybe_unused]] std::size_t n_samples,
                       [[maybe_unused]] ForwardValues<SPEC, 1>& target, std::index_sequence<LAYER...>) {
        (gather_layer<LAYER>(source, samples, n_samples, target), ...);
    }

    // Collects what the backward pass reads of `n_samples` samples, one panel at most, from wherever in the batch they
    // are; lanes behind them repeat the first.
    template <typename DEVICE_SPEC, typename SPEC, std::size_t N_PANELS>
    void gather_derivatives(devices::CPU_SIMD<DEVICE_SPEC>&, ForwardValues<SPEC, N_PANELS>& source,
                            const std::uint32_t* samples, std::size_t n_samples, ForwardValues<SPEC, 1>& target) {
        gather_layers(source, samples, n_samples, target, std::make_index_sequence<SPEC::N_HIDDEN>{});
    }

    // --- W^T ---------------------------------------------------------------------------------------------------------

    // W^T of one layer, for its rows from `first_row` to `end_row`.
    template <std::size_t LAYER, typename SPEC>
    void transpose_layer(const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed, std::size_t first_row,
                         std::size_t end_row) {
        using TRANSPOSED = TransposedWeights<SPEC>;
        if constexpr (SPEC::HAS_TRANSPOSES && TRANSPOSED::n_columns(LAYER) > 0) {
            dense::transpose_weights<SPEC::input_dim(LAYER), TRANSPOSED::first_column(LAYER), TRANSPOSED::ld(LAYER),
                                     !SPEC::is_head(LAYER)>(parameters.layers[LAYER].weights.value, first_row, end_row,
                                                            transposed.template layer<LAYER>());
        }
    }

    template <typename SPEC, std::size_t... LAYER>
    void transpose_layers(const Parameters<SPEC>& parameters, TransposedWeights<SPEC>& transposed,
                          std::index_sequence<LAYER...>) {
        (transpose_layer<LAYER>(parameters, transposed, 0, SPEC::output_dim(LAYER)), ...);
    }

    // Makes W^T anew, after the user or torch may have changed W.
    template <typename DEVICE_SPEC, typename SPEC>
    void refresh_transposed_weights(devices::CPU_SIMD<DEVICE_SPEC>&, const Parameters<SPEC>& parameters,
                                    TransposedWeights<SPEC>& transposed) {
        transpose_layers(parameters, transposed, std::make_index_sequence<SPEC::N_LAYERS>{});
    }

    // --- Update ------------------------------------------------------------------------------------------------------

    // What follows Adam's step of a weight.
    struct StepFlags {
        bool update_targets;   // whether the target network moves
        bool keep_transposes;  // whether W^T is read again before `refresh_transposed_weights`
    };

    template <typename T>
    struct UpdateRule {
        adam::Step<T> step;
        StepFlags flags;
        T tau;
        T one_minus_tau;
    };

    // Everything that one network's update reads and writes; shared by its tasks.
    template <typename T_SPEC, std::size_t T_N_PANELS>
    struct Update {
        using SPEC = T_SPEC;
        using T = typename SPEC::T;
        static constexpr std::size_t N_PANELS = T_N_PANELS;
        Parameters<SPEC>* parameters;
        Parameters<SPEC>* targets;  // null without a target network
        ForwardValues<SPEC, N_PANELS>* values;
        TransposedInputs<SPEC, N_PANELS>* transposed_inputs;
        Gradients<SPEC, N_PANELS>* gradients;
        TransposedWeights<SPEC>* transposed_weights;
        UpdateRule<T> rule;
    };

    // An update is split into tasks of PANEL_LANES rows of one hidden layer each, or of one trained head. Rows rather
    // than columns, as a row's weights and moments lie one behind the other.
    template <typename SPEC>
    constexpr std::size_t n_update_tasks(std::size_t layer) {
        return SPEC::is_head(layer) ? 1 : panel::n_blocks(SPEC::output_dim(layer), SPEC::PANEL_LANES);
    }
    template <typename SPEC>
    constexpr std::size_t n_update_tasks() {
        std::size_t sum = 0;
        for (std::size_t layer = 0; layer < SPEC::N_TRAINED_LAYERS; layer++) {
            sum += n_update_tasks<SPEC>(layer);
        }
        return sum;
    }

    // forward: y[panel][OUT][:] = W[OUT][IN] x[panel][IN][:] + b[OUT]
    // d_W[ROWS][IN] = sum over panel, lane of d_y[panel][ROWS][lane] x[panel][:][lane]^T
    //
    // Of some rows of a hidden layer; `d_y` begins at the first of them.
    template <std::size_t LAYER, std::size_t ROWS, typename DEVICE_SPEC, typename UPDATE, typename T>
    void weight_gradient(devices::CPU_SIMD<DEVICE_SPEC>&, const UPDATE& update, const T* d_y, T* d_weights) {
        using SPEC = typename UPDATE::SPEC;
        dense::weight_gradient<SPEC::input_dim(LAYER), ROWS, SPEC::output_dim(LAYER), UPDATE::N_PANELS,
                               SPEC::PANEL_LANES>(d_y, update.transposed_inputs->template layer<LAYER>(), d_weights);
    }

    // The same with a BLAS, which reads x itself.
    template <std::size_t LAYER, std::size_t ROWS, typename DEVICE_SPEC, typename UPDATE, typename T>
    void weight_gradient(devices::CPU_SIMD_BLAS<DEVICE_SPEC>& device, const UPDATE& update, const T* d_y,
                         T* d_weights) {
        using SPEC = typename UPDATE::SPEC;
        dense::weight_gradient<SPEC::input_dim(LAYER), ROWS, SPEC::output_dim(LAYER), UPDATE::N_PANELS,
                               SPEC::PANEL_LANES>(device, d_y, update.values->template layer_input<LAYER>(0),
                                                  d_weights);
    }

    // p <- Adam(p, gradient), target <- (1 - tau) target + tau p, for elements [offset, offset + n) of one parameter.
    //
    // A template over T alone, so that all layers and networks share it: with copies inlined into each, g++ contracted
    // other pairs of products and sums in some of them, and last bits differed.
    template <typename T>
    void step_parameter(const UpdateRule<T>& rule, const T* gradients, const adam::Parameter<T>& parameter,
                        const adam::Parameter<T>* target, std::size_t offset, std::size_t n) {
        adam::update(rule.step, gradients, parameter, offset, n);
        if (rule.flags.update_targets) {
            adam::polyak(rule.tau, rule.one_minus_tau, parameter.value + offset, target->value + offset, n);
        }
    }

    struct IdentityInput {
        template <typename LINE>
        RL_TOOLS_INLINE LINE operator()(const LINE& x) const {
            return x;
        }
    };

    // d_W and d_b of ROWS rows of a layer from `first_row` on, their step, and W^T of them.
    template <std::size_t LAYER, std::size_t ROWS, typename DEVICE, typename UPDATE>
    void update_rows(DEVICE& device, const UPDATE& update, UpdateScratch<typename UPDATE::SPEC>& scratch,
                     std::size_t first_row) {
        using SPEC = typename UPDATE::SPEC;
        constexpr std::size_t IN = SPEC::input_dim(LAYER), N_PANELS = UPDATE::N_PANELS, LANES = SPEC::PANEL_LANES;
        constexpr std::size_t D_Y_DIM = SPEC::is_head(LAYER) ? SPEC::OUTPUT_DIM : SPEC::output_dim(LAYER);
        const typename SPEC::T* d_y = update.gradients->template layer_output<LAYER>(0) + first_row * LANES;
        auto& layer = update.parameters->layers[LAYER];
        auto* target = update.targets ? &update.targets->layers[LAYER] : nullptr;

        if constexpr (SPEC::is_head(LAYER)) {
            dense::weight_gradient_of_few_rows<IN, ROWS, D_Y_DIM, N_PANELS, LANES>(
                d_y, update.values->template layer_input<LAYER>(0), scratch.weights, IdentityInput{});
        } else {
            weight_gradient<LAYER, ROWS>(device, update, d_y, scratch.weights);
        }
        dense::bias_gradient<ROWS, D_Y_DIM, N_PANELS, LANES>(d_y, scratch.biases);
        step_parameter(update.rule, scratch.weights, layer.weights, target ? &target->weights : nullptr, first_row * IN,
                       ROWS * IN);
        step_parameter(update.rule, scratch.biases, layer.biases, target ? &target->biases : nullptr, first_row, ROWS);
        if (update.rule.flags.keep_transposes) {
            transpose_layer<LAYER>(*update.parameters, *update.transposed_weights, first_row, first_row + ROWS);
        }
    }

    // Task `block` of a layer: its rows from block * PANEL_LANES on, fewer in the last block; all of a head.
    template <std::size_t LAYER, typename DEVICE, typename UPDATE>
    void update_layer(DEVICE& device, const UPDATE& update, UpdateScratch<typename UPDATE::SPEC>& scratch,
                      std::size_t block) {
        using SPEC = typename UPDATE::SPEC;
        constexpr std::size_t OUT = SPEC::output_dim(LAYER), ROWS = SPEC::PANEL_LANES;
        if constexpr (SPEC::is_head(LAYER)) {
            update_rows<LAYER, OUT>(device, update, scratch, 0);
        } else {
            if (OUT >= ROWS && block < OUT / ROWS) {
                update_rows<LAYER, (OUT < ROWS ? OUT : ROWS)>(device, update, scratch, block * ROWS);
            }
            if constexpr (OUT % ROWS != 0) {
                if (block == OUT / ROWS) {
                    update_rows<LAYER, OUT % ROWS>(device, update, scratch, block * ROWS);
                }
            }
        }
    }

    template <std::size_t... LAYER, typename DEVICE, typename UPDATE>
    void update_layers(std::index_sequence<LAYER...>, DEVICE& device, const UPDATE& update,
                       UpdateScratch<typename UPDATE::SPEC>& scratch, std::size_t task) {
        using SPEC = typename UPDATE::SPEC;
        std::size_t first = 0;
        ((task >= first && task < first + n_update_tasks<SPEC>(LAYER)
              ? update_layer<LAYER>(device, update, scratch, task - first)
              : void(),
          first += n_update_tasks<SPEC>(LAYER)),
         ...);
    }

    // One task of the step: the gradient of some rows, summed over the batch in a fixed order by one thread, and what
    // follows from it while it is in the cache: Adam, the target network, W^T.
    template <typename DEVICE, typename SPEC, std::size_t N_PANELS>
    void update(DEVICE& device, const Update<SPEC, N_PANELS>& update, UpdateScratch<SPEC>& scratch, std::size_t task) {
        update_layers(std::make_index_sequence<SPEC::N_TRAINED_LAYERS>{}, device, update, scratch, task);
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

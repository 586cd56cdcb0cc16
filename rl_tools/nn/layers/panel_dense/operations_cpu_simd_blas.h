#pragma once
// A dense layer on one panel with a BLAS: each product is one call, for a panel is a row-major matrix
// [feature][PANEL_LANES].

#include <rl_tools/devices/cpu_simd_blas.h>
#include <rl_tools/nn/layers/panel_dense/operations_cpu_simd.h>

namespace rl_tools::nn::layers::panel_dense {
    namespace blas = utils::blas;

    // y[OUT][:] = f(W[OUT][IN] x[IN][:] + b[OUT])
    template <std::size_t IN, std::size_t OUT, std::size_t PANEL_LANES, typename F, typename DEVICE_SPEC, typename T>
    RL_TOOLS_NOINLINE void forward(devices::CPU_SIMD_BLAS<DEVICE_SPEC>& device, const T* weights, const T* biases,
                                   const T* x, T* y) {
        blas::gemm<OUT, PANEL_LANES, IN>(device.blas, blas::NO_TRANSPOSE, weights, IN, blas::NO_TRANSPOSE, x,
                                         PANEL_LANES, T(0), y, PANEL_LANES);
        for (std::size_t row = 0; row < OUT; row++) {
            const Line<T> bias = constant_line(biases[row]);
            for (std::size_t lane = 0; lane < PANEL_LANES; lane += panel::LINE_LANES<T>) {
                T* target = y + row * PANEL_LANES + lane;
                Line<T> line = panel::load_line(target);
                panel::accumulate(line, bias);
                panel::store_line(target, activation<F>(line));
            }
        }
    }

    // forward: y[OUT][:] = W[OUT][IN] x[IN][:] + b[OUT]
    // d_x[N_COLUMNS][:] = W^T[N_COLUMNS][OUT] d_y[OUT][:] + beta d_x[N_COLUMNS][:]
    //
    // N_COLUMNS neighbouring columns of W, at the first of which `weights` begins.
    template <std::size_t IN, std::size_t N_COLUMNS, std::size_t OUT, std::size_t PANEL_LANES, typename DEVICE_SPEC,
              typename T>
    void backward_input(devices::CPU_SIMD_BLAS<DEVICE_SPEC>& device, const T* weights, const T* d_y, T beta, T* d_x) {
        blas::gemm<N_COLUMNS, PANEL_LANES, OUT>(device.blas, blas::TRANSPOSE, weights, IN, blas::NO_TRANSPOSE, d_y,
                                                PANEL_LANES, beta, d_x, PANEL_LANES);
    }

    // forward: y = f(x)
    // d_y[n] = d_y[n] f'(x[n]), `n` a multiple of LINE_LANES
    template <typename F, typename T>
    RL_TOOLS_NOINLINE void backward_activation(const T* y_or_derivative, T* d_y, std::size_t n) {
        for (std::size_t i = 0; i < n; i += panel::LINE_LANES<T>) {
            const Line<T> line = panel::load_line(d_y + i);
            panel::store_line(d_y + i, activation_gradient<F>(panel::load_line(y_or_derivative + i), line));
        }
    }

    // forward: y[panel][OUT][:] = W[OUT][IN] x[panel][IN][:] + b[OUT]
    // d_W[ROWS][IN] = sum over panel of d_y[panel][ROWS][:] x[panel][IN][:]^T
    //
    // ROWS of the layer's OUT rows: `d_y` begins at the first of them, and D_Y_DIM rows lie between two panels.
    template <std::size_t IN, std::size_t ROWS, std::size_t D_Y_DIM, std::size_t N_PANELS, std::size_t PANEL_LANES,
              typename DEVICE_SPEC, typename T>
    RL_TOOLS_NOINLINE void weight_gradient(devices::CPU_SIMD_BLAS<DEVICE_SPEC>& device, const T* d_y, const T* x,
                                           T* d_weights) {
        for (std::size_t p = 0; p < N_PANELS; p++) {
            blas::gemm<ROWS, IN, PANEL_LANES>(device.blas, blas::NO_TRANSPOSE, d_y + p * D_Y_DIM * PANEL_LANES,
                                              PANEL_LANES, blas::TRANSPOSE, x + p * IN * PANEL_LANES, PANEL_LANES,
                                              T(p > 0), d_weights, IN);
        }
    }
}

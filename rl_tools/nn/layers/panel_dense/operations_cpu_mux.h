#pragma once
// A dense layer for all devices that have one: callers name the functions, the device selects among them.

#include <rl_tools/nn/layers/panel_dense/operations_cpu_simd.h>
#include <rl_tools/nn/layers/panel_dense/operations_cpu_simd_blas.h>

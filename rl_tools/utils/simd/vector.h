#pragma once
// Vectors as wide as the registers of the target, written with the compiler's vector types.

#include <cstddef>
#include <cstring>

#include <rl_tools/rl_tools.h>

#include <rl_tools/devices/tuning.h>

#if !defined(__GNUC__) && !defined(__clang__)
#error "sb3_tinyrl's kernels use the vector types of GCC and Clang: compile them with g++, clang++ or zig c++."
#endif

#define RL_TOOLS_NOINLINE __attribute__((noinline))
#define RL_TOOLS_INLINE __attribute__((always_inline)) inline
#define RL_TOOLS_INLINE_LAMBDA __attribute__((always_inline))

// Never inlined or cloned for a caller: each call site might contract other pairs of multiplications and additions, and
// the last bits would differ.
#if defined(__clang__)
#define RL_TOOLS_OPAQUE RL_TOOLS_NOINLINE
#else
#define RL_TOOLS_OPAQUE __attribute__((noipa))
#endif

namespace rl_tools::utils::simd {
    inline constexpr std::size_t VECTOR_BYTES = devices::tuning::InstructionSet::VECTOR_BYTES;

    template <typename T>
    inline constexpr std::size_t LANES = VECTOR_BYTES / sizeof(T);

    template <typename T>
    struct VectorType {
        typedef T TYPE __attribute__((vector_size(VECTOR_BYTES)));
    };
    template <typename T>
    using Vector = typename VectorType<T>::TYPE;

    // vector[LANES] = source[LANES], at any address
    template <typename T>
    inline Vector<T> load(const T* source) {
        Vector<T> vector;
        std::memcpy(&vector, source, sizeof(vector));
        return vector;
    }

    // target[LANES] = vector[LANES], at any address
    template <typename T>
    inline void store(T* target, const Vector<T>& vector) {
        std::memcpy(target, &vector, sizeof(vector));
    }

    // vector[:] = value, in one instruction, where g++ 12 would set lane after lane of a loop.
    template <typename T>
    inline Vector<T> broadcast(T value) {
        return value - Vector<T>{};
    }

    // Adds the lanes in a fixed order, so that the bits do not depend on the optimiser's choice of shuffles.
    template <typename T>
    inline T sum(const Vector<T>& vector) {
        alignas(VECTOR_BYTES) T lanes[LANES<T>];
        store(lanes, vector);
        for (std::size_t half = LANES<T> / 2; half > 0; half /= 2) {
            for (std::size_t lane = 0; lane < half; lane++) {
                lanes[lane] += lanes[lane + half];
            }
        }
        return lanes[0];
    }
}

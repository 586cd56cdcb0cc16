#pragma once
// Vectors as wide as the registers of the target, written with the compiler's vector types; any other C++17
// compiler gets a plain array with the same operators.

#include <cstddef>
#include <cstring>

#include <rl_tools/rl_tools.h>

// RL_TOOLS_DISABLE_VECTOR_TYPES is for the test of what other compilers get.
#if (defined(__GNUC__) || defined(__clang__)) && !defined(RL_TOOLS_DISABLE_VECTOR_TYPES)
#define RL_TOOLS_VECTOR_TYPES
#endif

#if defined(__GNUC__) || defined(__clang__)
#define RL_TOOLS_NOINLINE __attribute__((noinline))
#define RL_TOOLS_INLINE __attribute__((always_inline)) inline
#define RL_TOOLS_INLINE_LAMBDA __attribute__((always_inline))
#else
#define RL_TOOLS_NOINLINE
#define RL_TOOLS_INLINE inline
#define RL_TOOLS_INLINE_LAMBDA
#endif

// One piece of machine code, whoever calls it: inlined or cloned for a caller, the compiler would fuse other pairs of
// multiplications and additions, and the last bits would differ.
#if defined(__GNUC__) && !defined(__clang__)
#define RL_TOOLS_OPAQUE __attribute__((noipa))
#else
#define RL_TOOLS_OPAQUE RL_TOOLS_NOINLINE
#endif

namespace rl_tools::utils::simd {
#if defined(__AVX512F__)
    inline constexpr std::size_t VECTOR_BYTES = 64;
    inline constexpr std::size_t REGISTERS = 32;
#elif defined(__AVX__)
    inline constexpr std::size_t VECTOR_BYTES = 32;
    inline constexpr std::size_t REGISTERS = 16;
#elif defined(__aarch64__)
    inline constexpr std::size_t VECTOR_BYTES = 16;
    inline constexpr std::size_t REGISTERS = 32;
#else
    inline constexpr std::size_t VECTOR_BYTES = 16;
    inline constexpr std::size_t REGISTERS = 16;
#endif

    template <typename T>
    inline constexpr std::size_t LANES = VECTOR_BYTES / sizeof(T);

#ifdef RL_TOOLS_VECTOR_TYPES
    template <typename T>
    struct VectorType {
        typedef T TYPE __attribute__((vector_size(VECTOR_BYTES)));
    };
    template <typename T>
    using Vector = typename VectorType<T>::TYPE;
#else
    template <typename T>
    struct alignas(VECTOR_BYTES) Vector {
        T lanes[LANES<T>];
        T operator[](std::size_t lane) const { return lanes[lane]; }
        T& operator[](std::size_t lane) { return lanes[lane]; }
    };
    template <typename T, typename OPERATION>
    Vector<T> elementwise(const Vector<T>& a, const Vector<T>& b, OPERATION operation) {
        Vector<T> result;
        for (std::size_t lane = 0; lane < LANES<T>; lane++) {
            result[lane] = operation(a[lane], b[lane]);
        }
        return result;
    }
    template <typename T>
    Vector<T> operator+(const Vector<T>& a, const Vector<T>& b) {
        return elementwise(a, b, [](T x, T y) { return x + y; });
    }
    template <typename T>
    Vector<T> operator*(const Vector<T>& a, const Vector<T>& b) {
        return elementwise(a, b, [](T x, T y) { return x * y; });
    }
#endif

    template <typename T>
    inline Vector<T> load(const T* source) {
        Vector<T> vector;
        std::memcpy(&vector, source, sizeof(vector));
        return vector;
    }

    template <typename T>
    inline void store(T* target, const Vector<T>& vector) {
        std::memcpy(target, &vector, sizeof(vector));
    }

    template <typename T>
    inline Vector<T> broadcast(T value) {
#ifdef RL_TOOLS_VECTOR_TYPES
        // One instruction, where g++ 12 would set lane after lane of a loop.
        return value - Vector<T>{};
#else
        Vector<T> vector;
        for (std::size_t lane = 0; lane < LANES<T>; lane++) {
            vector[lane] = value;
        }
        return vector;
#endif
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

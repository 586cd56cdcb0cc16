#pragma once
// What we call of a BLAS. Nothing is linked: the caller, who has loaded the library, hands over the addresses of its
// functions, which must compute in the calling thread and may be called from several at once.

#include <cstddef>
#include <type_traits>

namespace rl_tools::utils::blas {
    // `cblas_sgemm` and `cblas_dgemm` with 32-bit integers, as every BLAS has them.
    template <typename T>
    using Gemm = void (*)(int order, int transpose_a, int transpose_b, int m, int n, int k, T alpha, const T* a,
                          int lda, const T* b, int ldb, T beta, T* c, int ldc);

    struct Library {
        Gemm<float> sgemm;
        Gemm<double> dgemm;
    };

    // The numbers that the interface gives these words.
    inline constexpr int ROW_MAJOR = 101;
    enum Transpose : int { NO_TRANSPOSE = 111, TRANSPOSE = 112 };

    // C[M][N] = op(A)[M][K] op(B)[K][N] + beta C, all row-major; `lda`, `ldb` and `ldc` elements lie between two rows.
    template <std::size_t M, std::size_t N, std::size_t K, typename T>
    void gemm(const Library& library, Transpose op_a, const T* a, std::size_t lda, Transpose op_b, const T* b,
              std::size_t ldb, T beta, T* c, std::size_t ldc) {
        Gemm<T> function;
        if constexpr (std::is_same_v<T, float>) {
            function = library.sgemm;
        } else {
            function = library.dgemm;
        }
        function(ROW_MAJOR, op_a, op_b, int{M}, int{N}, int{K}, T(1), a, static_cast<int>(lda), b,
                 static_cast<int>(ldb), beta, c, static_cast<int>(ldc));
    }
}

// The BLAS calls that RLtools makes, passed on to OpenBLAS as scipy-openblas32 names it.

#include <cblas.h>

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void cblas_sgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, blasint m,
                        blasint n, blasint k, float alpha, const float* a, blasint lda, const float* b, blasint ldb,
                        float beta, float* c, blasint ldc) {
    scipy_cblas_sgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

EXPORT void cblas_dgemm(CBLAS_ORDER order, CBLAS_TRANSPOSE transpose_a, CBLAS_TRANSPOSE transpose_b, blasint m,
                        blasint n, blasint k, double alpha, const double* a, blasint lda, const double* b, blasint ldb,
                        double beta, double* c, blasint ldc) {
    scipy_cblas_dgemm(order, transpose_a, transpose_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* tensor/gemm.h - matrix products, row-major, cut over the threads of base.
 *
 *     C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C        op(X) = X, or its transpose where ta/tb
 *
 * lda, ldb, ldc: floats between rows as stored (so A is [k,m] where ta). beta 0 does not read C.
 * The cut depends on the shape and the number of threads only: results repeat bit for bit. Inside a
 * task of the pool the product runs on that thread alone.
 */
#ifndef KUA_TENSOR_GEMM_H
#define KUA_TENSOR_GEMM_H

#include "base/base.h"

/* f32 throughout, oneDNN's sgemm. KUA_NOMEM/KUA_INTERNAL where oneDNN fails. */
kua_status kua__gemm(bool ta, bool tb, size_t m, size_t n, size_t k, float alpha, const float *a,
                     size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* Inputs are rounded to bf16 on the way, products are summed in f32. Where the processor has no
 * bf16 products (kua__cpu_has_bf16()) this is kua__gemm. beta is 0 or 1. */
kua_status kua__gemm_bf16(bool ta, bool tb, size_t m, size_t n, size_t k, const float *a,
                          size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc);

/* To be called once on each thread before it calls oneDNN by itself: oneDNN must not start threads
 * of its own. */
void kua__dnnl_single_thread(void);

#endif

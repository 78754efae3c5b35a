/* tensor/gemm_bf16.h - one thread's share of a product in bf16; between gemm_bf16.c and the
 * kernel's file. */
#ifndef KUA_TENSOR_GEMM_BF16_H
#define KUA_TENSOR_GEMM_BF16_H

#include "base/base.h"

/* C[m,n] (+)= op(A) op(B); all matrices f32 in memory, as in kua__gemm. */
typedef struct kua__bf16_product {
    bool ta, tb, add;
    size_t m, n, k, lda, ldb, ldc;
    const float *a, *b;
    float *c;
} kua__bf16_product;

enum { KUA__BF16_ROWS = 12, KUA__BF16_COLS = 32 }; /* of the kernel's tile: cuts are multiples */

#if defined(__x86_64__)
void kua__bf16_multiply_avx512(const kua__bf16_product *p);
#endif

#endif

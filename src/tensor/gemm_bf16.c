/* gemm_bf16.c - mixed-precision products: where they run, and their cut over the threads.
 *
 * Training multiplies matrices that exist in f32 only and whose number of rows changes with every
 * ragged batch. A library's primitive would have to be built per shape, and its inputs converted
 * and packed in a pass before; here the conversion is the packing, and any shape will do. The cut
 * is that of kua__gemm: the longer side of C.
 */
#include "tensor/gemm.h"

#include <assert.h>

#include "tensor/gemm_bf16.h"
#include "tensor/kernels.h"

enum { SMALL_WORK = 1 << 17 }; /* as in gemm.c */

#if defined(__x86_64__)
static void part_task(void *ctx, size_t first, size_t last)
{
    kua__bf16_product p = *(const kua__bf16_product *)ctx;
    if (p.m >= p.n) {
        size_t from = first * KUA__BF16_ROWS, to = KUA__MIN(last * KUA__BF16_ROWS, p.m);
        p.a += p.ta ? from : from * p.lda;
        p.c += from * p.ldc;
        p.m = to - from;
    } else {
        size_t from = first * KUA__BF16_COLS, to = KUA__MIN(last * KUA__BF16_COLS, p.n);
        p.b += p.tb ? from * p.ldb : from;
        p.c += from;
        p.n = to - from;
    }
    kua__bf16_multiply_avx512(&p);
}

static void multiply(kua__bf16_product *p)
{
    assert(p->m && p->n && p->k);
    size_t side = p->m >= p->n ? p->m : p->n;
    size_t unit = p->m >= p->n ? KUA__BF16_ROWS : KUA__BF16_COLS;
    if (p->m * p->n * p->k <= SMALL_WORK)
        kua__bf16_multiply_avx512(p);
    else
        kua__parallel_for((side + unit - 1) / unit, 1, part_task, p);
}
#endif

kua_status kua__gemm_bf16(bool ta, bool tb, size_t m, size_t n, size_t k, const float *a,
                          size_t lda, const float *b, size_t ldb, float beta, float *c, size_t ldc)
{
    assert(beta == 0 || beta == 1);
    assert(lda >= (ta ? m : k) && ldb >= (tb ? k : n) && ldc >= n);
    assert(m == 0 || n == 0 || (c && (k == 0 || (a && b))));
#if defined(__x86_64__)
    if (kua__cpu_has_bf16() && k > 0) {
        if (m == 0 || n == 0) return KUA_OK;
        kua__bf16_product p = {ta, tb, beta != 0, m, n, k, lda, ldb, ldc, a, b, c};
        multiply(&p);
        return KUA_OK;
    }
#endif
    return kua__gemm(ta, tb, m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

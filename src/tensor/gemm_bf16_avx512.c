/* gemm_bf16_avx512.c - the kernel of mixed-precision products: vdpbf16ps on tiles of 12 x 32.
 *
 * vdpbf16ps takes pairs: c += a0 b0 + a1 b1, with (a0, a1) neighbours along k in one 32-bit lane.
 * So both inputs are packed as pairs, converted from f32 on the way:
 *
 *     B panel  [KC/2 pairs][32 columns]                  two vectors per step along k
 *     A tile   [12 rows][KC/2 pairs]   A as stored       one pair, broadcast
 *              [KC/2 pairs][16 rows]   A transposed      (either way packing writes whole vectors)
 *
 *     for k by KC: for n by NC: pack B
 *         for m by MC: pack A
 *             for each panel, for each tile: 24 accumulators
 *
 * The packed blocks of B (768 KiB) and of A (210 KiB) stay in the second-level cache, from which a
 * panel of B streams past the tiles of A. A smaller block along k would keep a panel in the first,
 * but read and write C the more often: on an encoder's shapes 256 is a tenth slower, 384 a
 * twentieth. Edges are packed with zeros and stored through masks. The blocks lie on the stack.
 */
#include "tensor/gemm_bf16.h"

#if defined(__x86_64__)
#include <assert.h>

#include "tensor/bf16_avx512.h"

enum {
    MR = KUA__BF16_ROWS,
    NR = KUA__BF16_COLS,
    KC = 768,
    PAIRS = KC / 2,
    NC = 512,
    MC = 8 * MR,
    PITCH =
        PAIRS + 16, /* of A's rows: not a power of two, or all rows would meet in one cache set */
    LANES = 16      /* of A's transposed tiles: one vector, of which MR are used */
};

typedef struct blocks {
    uint32_t b[NC / NR][PAIRS][NR] __attribute__((aligned(64))); /* 768 KiB */
    /* one room for both layouts of a tile: [PAIRS][LANES] transposed, [MR][PITCH] as stored */
    uint32_t a[MC / MR][PAIRS * LANES + MR * 16] __attribute__((aligned(64)));
} blocks;

_Static_assert(MR *PITCH <= PAIRS * LANES + MR * 16, "a tile of A fits either way");
_Static_assert(NC % NR == 0 && MC % MR == 0 && KC % 32 == 0, "blocks hold whole panels and tiles");

/* ---- packing ---- */

/* One tile of A from its transpose: rows k, k + 1 of up to 12 columns. */
static void pack_a_transposed(uint32_t *tile, const float *a, size_t lda, size_t k, size_t m)
{
    for (size_t p = 0; p < k; p += 2) {
        const float *x = a + p * lda, *y = p + 1 < k ? x + lda : NULL;
        _mm512_store_si512(tile + p / 2 * LANES, pairs_across(x, y, m));
    }
}

/* ---- the tile ---- */

#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

static inline void store_row(float *c, __m512 left, __m512 right, size_t n, bool add)
{
    __mmask16 l = lanes(n), r = n > 16 ? lanes(n - 16) : 0;
    if (add) {
        left = _mm512_add_ps(left, _mm512_maskz_loadu_ps(l, c));
        right = _mm512_add_ps(right, _mm512_maskz_loadu_ps(r, c + 16));
    }
    _mm512_mask_storeu_ps(c, l, left);
    _mm512_mask_storeu_ps(c + 16, r, right);
}

/* C[m,n] (+)= tile panel; A's pair (i, p) is at a[i * row + p * step]. */
static inline __attribute__((always_inline)) void
multiply_tile(const uint32_t *a, size_t row, size_t step, const uint32_t panel[][NR], size_t pairs,
              float *c, size_t ldc, size_t m, size_t n, bool add)
{
#define ZERO(i) __m512 l##i = _mm512_setzero_ps(), r##i = _mm512_setzero_ps();
    EACH_ROW(ZERO)
#undef ZERO
    for (size_t p = 0; p < pairs; p++, a += step) {
        __m512bh left = (__m512bh)_mm512_load_si512(panel[p]);
        __m512bh right = (__m512bh)_mm512_load_si512(panel[p] + 16);
#define STEP(i)                                                                                    \
    {                                                                                              \
        __m512bh pair = (__m512bh)_mm512_set1_epi32((int)a[i * row]);                              \
        l##i = _mm512_dpbf16_ps(l##i, pair, left);                                                 \
        r##i = _mm512_dpbf16_ps(r##i, pair, right);                                                \
    }
        EACH_ROW(STEP)
#undef STEP
    }
#define STORE(i)                                                                                   \
    if (i < m) store_row(c + i * ldc, l##i, r##i, n, add);
    EACH_ROW(STORE)
#undef STORE
}

/* All tiles of a packed block of A with all panels of a packed block of B. */
static void multiply_blocks(const blocks *block, bool ta, size_t m, size_t n, size_t k, float *c,
                            size_t ldc, bool add)
{
    assert(m <= MC && n <= NC && k <= KC);
    size_t pairs = (k + 1) / 2;
    for (size_t j = 0; j < n; j += NR) {
        for (size_t i = 0; i < m; i += MR) {
            const uint32_t *tile = block->a[i / MR];
            size_t rows = KUA__MIN(MR, m - i), cols = KUA__MIN(NR, n - j);
            float *to = c + i * ldc + j;
            if (ta)
                multiply_tile(tile, 1, LANES, block->b[j / NR], pairs, to, ldc, rows, cols, add);
            else
                multiply_tile(tile, PITCH, 1, block->b[j / NR], pairs, to, ldc, rows, cols, add);
        }
    }
}

static void pack_b(blocks *block, const kua__bf16_product *p, size_t k0, size_t k, size_t n0,
                   size_t n)
{
    for (size_t j = 0; j < n; j += NR) {
        size_t cols = KUA__MIN(NR, n - j);
        if (p->tb)
            pack_panel_transposed(block->b[j / NR][0], p->b + (n0 + j) * p->ldb + k0, p->ldb, k,
                                  cols);
        else
            pack_panel_rows(block->b[j / NR][0], NR, p->b + k0 * p->ldb + n0 + j, p->ldb, k, cols);
    }
}

static void pack_a(blocks *block, const kua__bf16_product *p, size_t k0, size_t k, size_t m0,
                   size_t m)
{
    for (size_t i = 0; i < m; i += MR) {
        size_t rows = KUA__MIN(MR, m - i);
        if (p->ta)
            pack_a_transposed(block->a[i / MR], p->a + k0 * p->lda + m0 + i, p->lda, k, rows);
        else
            pack_rows(block->a[i / MR], PITCH, MR, p->a + (m0 + i) * p->lda + k0, p->lda, k, rows);
    }
}

void kua__bf16_multiply_avx512(const kua__bf16_product *p)
{
    assert(p->m && p->n && p->k);
    blocks block;
    /* Blocks of k are added in order: the sum of an element does not depend on the cut. */
    for (size_t k0 = 0; k0 < p->k; k0 += KC) {
        size_t k = KUA__MIN(KC, p->k - k0);
        for (size_t n0 = 0; n0 < p->n; n0 += NC) {
            size_t n = KUA__MIN(NC, p->n - n0);
            pack_b(&block, p, k0, k, n0, n);
            for (size_t m0 = 0; m0 < p->m; m0 += MC) {
                size_t m = KUA__MIN(MC, p->m - m0);
                pack_a(&block, p, k0, k, m0, m);
                multiply_blocks(&block, p->ta, m, n, k, p->c + m0 * p->ldc + n0, p->ldc,
                                p->add || k0 > 0);
            }
        }
    }
}
#endif

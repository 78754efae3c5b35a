/* softmax_bf16_avx512.c - the tiles of the fused softmax loss; the plan is told in softmax_bf16.c.
 *
 *     share_tile   12 rows x 32 items of logits, k = dim; their exponentials leave as bf16, twice
 *     mix_tile     12 rows x 32 columns of dh, k = items of a block
 *     turn_tile    12 columns x 32 items of dw^T, k = rows of the chunk
 *
 * 24 accumulators, two vectors and a broadcast pair: 27 of 32 registers. A panel of w (8 KiB at dim
 * 128) or a slice of it (16 KiB) stays in the first-level cache while all tiles of rows pass.
 *
 * exp(x) = 2^n 2^f with n = round(x log2 e); 2^f by a polynomial of degree 5 on [-.5, .5], relative
 * error 2e-7.
 */
#include "tensor/softmax_blocks.h"

#if defined(__x86_64__)
#include <assert.h>
#include <math.h>

#include "tensor/bf16_avx512.h"
#include "tensor/kernels.h"

enum {
    TILE = KUA__SHARE_ROWS,
    WIDE = KUA__SHARE_ITEMS,
    BLOCK_TILES = 16, /* rows that a thread works on while a block of items passes */
    BLOCK_PANELS = 8,
    BLOCK_ROWS = BLOCK_TILES * TILE,
    E_PITCH = BLOCK_PANELS * 16 + 16, /* pairs between rows; not a power of two: cache sets */
    A_PITCH_MAX = KUA__SHARE_DIM_MAX / 2 + 16
};

_Static_assert(KUA__SHARE_DIM_MAX % 32 == 0, "rows of dh and of pairs are whole vectors");
typedef struct row_block {
    uint32_t e[BLOCK_ROWS * E_PITCH] __attribute__((aligned(64))); /* pairs of items */
    uint32_t a[BLOCK_ROWS * A_PITCH_MAX] __attribute__((aligned(64)));
    float sum[BLOCK_ROWS][16] __attribute__((aligned(64))); /* of exponentials, by lane */
    float dh[BLOCK_ROWS * KUA__SHARE_DIM_MAX] __attribute__((aligned(64)));
} row_block;

#define EACH_ROW(X)          X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define EACH_PAIR_OF_ROWS(X) X(0, 1) X(2, 3) X(4, 5) X(6, 7) X(8, 9) X(10, 11)

/* l_i, r_i += sum over pairs of a(i, p) panel[p]; a(i, p) is at a[i * row + p * step]. */
#define MULTIPLY(a, row, step, panel, pairs)                                                       \
    for (size_t p = 0; p < (pairs); p++) {                                                         \
        __m512bh left = (__m512bh)_mm512_load_si512((panel) + p * WIDE);                           \
        __m512bh right = (__m512bh)_mm512_load_si512((panel) + p * WIDE + 16);                     \
        const uint32_t *at = (a) + p * (step);                                                     \
        MULTIPLY_ROW(0, row)                                                                       \
        MULTIPLY_ROW(1, row)                                                                       \
        MULTIPLY_ROW(2, row)                                                                       \
        MULTIPLY_ROW(3, row)                                                                       \
        MULTIPLY_ROW(4, row)                                                                       \
        MULTIPLY_ROW(5, row)                                                                       \
        MULTIPLY_ROW(6, row)                                                                       \
        MULTIPLY_ROW(7, row)                                                                       \
        MULTIPLY_ROW(8, row)                                                                       \
        MULTIPLY_ROW(9, row)                                                                       \
        MULTIPLY_ROW(10, row)                                                                      \
        MULTIPLY_ROW(11, row)                                                                      \
    }

#define MULTIPLY_ROW(i, row)                                                                       \
    {                                                                                              \
        __m512bh pair = (__m512bh)_mm512_set1_epi32((int)at[(i) * (row)]);                         \
        l##i = _mm512_dpbf16_ps(l##i, pair, left);                                                 \
        r##i = _mm512_dpbf16_ps(r##i, pair, right);                                                \
    }

/* exp(x - shift) = 2^(x log2 e - shift2) */
static inline __m512 exp_shifted(__m512 x, __m512 shift2)
{
    __m512 y = _mm512_fmsub_ps(x, _mm512_set1_ps(1.44269504f), shift2);
    __m512 n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(y, n), q = _mm512_set1_ps(1.3398874e-3f);
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(9.6184373e-3f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(5.5503324e-2f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(2.4022648e-1f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(6.9314720e-1f));
    q = _mm512_fmadd_ps(q, f, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(q, n);
}

/* 32 exponentials of one row: summed, and kept as pairs of items. */
static inline __m512i finish_row(__m512 left, __m512 right, float shift, float *sum, uint32_t *e)
{
    __m512 shift2 = _mm512_set1_ps(shift * 1.44269504f);
    left = exp_shifted(left, shift2);
    right = exp_shifted(right, shift2);
    _mm512_store_ps(sum, _mm512_add_ps(_mm512_load_ps(sum), _mm512_add_ps(left, right)));
    __m512i both = (__m512i)_mm512_cvtne2ps_pbh(right, left);
    _mm512_store_si512(e, both);
    return both;
}

/* Two rows of 32 as 32 pairs. */
static inline void store_pairs(uint32_t *to, __m512i x, __m512i y)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    /* words 2i and 2i + 1 of the index: i of x, i of y */
    __m512i low =
        _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(32)), 16));
    __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    _mm512_store_si512(to, _mm512_permutex2var_epi16(x, low, y));
    _mm512_store_si512(to + 16, _mm512_permutex2var_epi16(x, high, y));
}

typedef struct share_tile_args {
    const uint32_t *a; /* [12][pitch] pairs of h */
    size_t pitch;
    const uint32_t *panel; /* [depth][32] */
    size_t depth;
    const float *bias, *shift; /* [32], [12] */
    float (*sum)[16];          /* [12] */
    uint32_t *e;               /* [12] rows E_PITCH apart */
    uint32_t *share;           /* [6][32] */
} share_tile_args;

static void share_tile(const share_tile_args *t)
{
    __m512 bias_left = _mm512_load_ps(t->bias), bias_right = _mm512_load_ps(t->bias + 16);
    size_t pitch = t->pitch;
#define BEGIN(i) __m512 l##i = bias_left, r##i = bias_right;
    EACH_ROW(BEGIN)
#undef BEGIN
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): pack_rows has written every row */
    MULTIPLY(t->a, pitch, 1, t->panel, t->depth)
#define FINISH(i, k)                                                                               \
    {                                                                                              \
        __m512i x = finish_row(l##i, r##i, t->shift[i], t->sum[i], t->e + (i)*E_PITCH);            \
        __m512i y = finish_row(l##k, r##k, t->shift[k], t->sum[k], t->e + (k)*E_PITCH);            \
        store_pairs(t->share + (i) / 2 * WIDE, x, y);                                              \
    }
    EACH_PAIR_OF_ROWS(FINISH)
#undef FINISH
}

/* c[12][stride] (+)= e panel, c aligned */
static void mix_tile(const uint32_t *e, const uint32_t *slice, size_t pairs, float *c,
                     size_t stride, bool add)
{
#define BEGIN(i)                                                                                   \
    __m512 l##i = _mm512_setzero_ps(), r##i = _mm512_setzero_ps();                                 \
    if (add) {                                                                                     \
        l##i = _mm512_load_ps(c + (i)*stride);                                                     \
        r##i = _mm512_load_ps(c + (i)*stride + 16);                                                \
    }
    EACH_ROW(BEGIN)
#undef BEGIN
    MULTIPLY(e, E_PITCH, 1, slice, pairs)
#define END(i)                                                                                     \
    _mm512_store_ps(c + (i)*stride, l##i);                                                         \
    _mm512_store_ps(c + (i)*stride + 16, r##i);
    EACH_ROW(END)
#undef END
}

/* c[12][32] (+)= h_scaled^T share */
static void turn_tile(const uint32_t *h, const uint32_t *share, size_t pairs, float *c, bool add)
{
#define BEGIN(i)                                                                                   \
    __m512 l##i = _mm512_setzero_ps(), r##i = _mm512_setzero_ps();                                 \
    if (add) {                                                                                     \
        l##i = _mm512_load_ps(c + (i)*WIDE);                                                       \
        r##i = _mm512_load_ps(c + (i)*WIDE + 16);                                                  \
    }
    EACH_ROW(BEGIN)
#undef BEGIN
    MULTIPLY(h, 1, 16, share, pairs)
#define END(i)                                                                                     \
    _mm512_store_ps(c + (i)*WIDE, l##i);                                                           \
    _mm512_store_ps(c + (i)*WIDE + 16, r##i);
    EACH_ROW(END)
#undef END
}

/* The same of the last 4 or 8 rows of c, h's other lanes being zero. */
#define TURN_SHORT(name, EACH)                                                                     \
    static void name(const uint32_t *h, const uint32_t *share, size_t pairs, float *c, bool add)   \
    {                                                                                              \
        EACH(BEGIN_SHORT)                                                                          \
        for (size_t p = 0; p < pairs; p++) {                                                       \
            __m512bh left = (__m512bh)_mm512_load_si512(share + p * WIDE);                         \
            __m512bh right = (__m512bh)_mm512_load_si512(share + p * WIDE + 16);                   \
            const uint32_t *at = h + p * 16;                                                       \
            EACH(STEP_SHORT)                                                                       \
        }                                                                                          \
        EACH(END_SHORT)                                                                            \
    }
#define BEGIN_SHORT(i)                                                                             \
    __m512 l##i = _mm512_setzero_ps(), r##i = _mm512_setzero_ps();                                 \
    if (add) {                                                                                     \
        l##i = _mm512_load_ps(c + (i)*WIDE);                                                       \
        r##i = _mm512_load_ps(c + (i)*WIDE + 16);                                                  \
    }
#define STEP_SHORT(i) MULTIPLY_ROW(i, 1)
#define END_SHORT(i)                                                                               \
    _mm512_store_ps(c + (i)*WIDE, l##i);                                                           \
    _mm512_store_ps(c + (i)*WIDE + 16, r##i);
#define FOUR(X)  X(0) X(1) X(2) X(3)
#define EIGHT(X) FOUR(X) X(4) X(5) X(6) X(7)
TURN_SHORT(turn_four, FOUR)
TURN_SHORT(turn_eight, EIGHT)

/* ---- packing w ---- */

void kua__softmax_pack_avx512(kua__softmax_blocks *b, size_t first, size_t last)
{
    assert(first <= last && last <= b->panels);
    const kua__softmax_problem *p = b->problem;
    size_t dim = p->dim, pairs = b->panels * 16;
    for (size_t panel = first; panel < last; panel++) {
        size_t item = panel * WIDE, n = KUA__MIN(WIDE, p->items - item);
        const float *w = p->w + item * dim;
        pack_panel_transposed(b->w_along + panel * b->depth * WIDE, w, dim, dim, n);
        for (size_t slice = 0; p->dh && slice < b->slices; slice++) {
            uint32_t *to = b->w_across + (slice * pairs + panel * 16) * WIDE;
            size_t cols = KUA__MIN(WIDE, dim - slice * WIDE);
            if (n < WIDE) memset(to, 0, 16 * WIDE * sizeof(*to));
            pack_panel_rows(to, WIDE, w + slice * WIDE, dim, n, cols);
        }
    }
}

/* ---- rows ---- */

/* Panels [p0, p1) against the rows of a block. */
static void share_block(const kua__softmax_blocks *b, row_block *block, size_t row, size_t tiles,
                        size_t p0, size_t p1)
{
    assert(p0 < p1 && p1 - p0 <= BLOCK_PANELS && tiles <= BLOCK_TILES);
    size_t pitch = b->depth + 16, pairs = b->chunk_rows / 2;
    for (size_t panel = p0; panel < p1; panel++) {
        for (size_t i = 0; i < tiles; i++) {
            size_t r = i * TILE;
            share_tile(&(share_tile_args){
                .a = block->a + r * pitch,
                .pitch = pitch,
                .panel = b->w_along + panel * b->depth * WIDE,
                .depth = b->depth,
                .bias = b->bias + panel * WIDE,
                .shift = b->shift + row + r,
                .sum = block->sum + r,
                .e = block->e + r * E_PITCH + (panel - p0) * 16,
                .share = b->share + (panel * pairs + (row + r) / 2) * WIDE,
            });
        }
    }
    size_t stride = b->slices * WIDE;
    for (size_t slice = 0; b->problem->dh && slice < b->slices; slice++) {
        const uint32_t *w = b->w_across + (slice * b->panels + p0) * 16 * WIDE;
        for (size_t i = 0; i < tiles; i++) {
            float *dh = block->dh + i * TILE * stride + slice * WIDE;
            mix_tile(block->e + i * TILE * E_PITCH, w, (p1 - p0) * 16, dh, stride, p0 > 0);
        }
    }
}

/* The row's loss and dh, now that its total is known. */
static void finish_loss(const kua__softmax_blocks *b, size_t row, const float *dh)
{
    assert(row < b->n);
    const kua__softmax_problem *p = b->problem;
    const kua__kernels *k = kua__kernels_get();
    size_t r = b->first + row, dim = p->dim;
    uint32_t target = p->target[r];
    b->row_loss[row] = 0;
    if (target == KUA__NO_ID) {
        if (p->dh) memset(p->dh + r * dim, 0, dim * sizeof(*p->dh));
        return;
    }
    const float *h = p->h + r * dim, *w = p->w + (size_t)target * dim;
    float logit = k->dot(h, w, dim) + b->bias[target];
    float loss = logf(b->total[row]) + b->shift[row] - logit;
    b->row_loss[row] = KUA__MAX(loss, 0);
    if (!p->dh) return;
    k->scale(p->dh + r * dim, dh, p->each / b->total[row], dim);
    k->axpy(p->dh + r * dim, w, -p->each, dim);
}

/* Two rows of h over their totals, turned into columns. */
static void scale_pair(const kua__softmax_blocks *b, size_t row)
{
    assert(row % 2 == 0 && row + 1 < b->chunk_rows);
    const kua__softmax_problem *p = b->problem;
    float scaled[2][KUA__SHARE_DIM_MAX];
    size_t dim = p->dim;
    for (size_t i = 0; i < 2; i++) {
        bool counts = row + i < b->n && p->target[b->first + row + i] != KUA__NO_ID;
        if (counts)
            kua__kernels_get()->scale(scaled[i], p->h + (b->first + row + i) * dim,
                                      p->each / b->total[row + i], dim);
        else
            memset(scaled[i], 0, dim * sizeof(float));
    }
    for (size_t tile = 0; tile < b->tiles; tile++) {
        size_t at = tile * TILE, n = KUA__MIN(TILE, dim - at);
        uint32_t *to = b->h_scaled + (tile * (b->chunk_rows / 2) + row / 2) * 16;
        _mm512_store_si512(to, pairs_across(scaled[0] + at, scaled[1] + at, n));
    }
}

static void finish_block(const kua__softmax_blocks *b, const row_block *block, size_t row,
                         size_t tiles)
{
    size_t stride = b->slices * WIDE;
    for (size_t r = 0; r < tiles * TILE; r++) {
        b->total[row + r] = _mm512_reduce_add_ps(_mm512_load_ps(block->sum[r]));
        if (row + r < b->n) finish_loss(b, row + r, block->dh + r * stride);
    }
    for (size_t r = 0; b->problem->dw && r < tiles * TILE; r += 2)
        scale_pair(b, row + r);
}

void kua__softmax_rows_avx512(const kua__softmax_blocks *b, size_t first, size_t last)
{
    assert(b->depth <= KUA__SHARE_DIM_MAX / 2 && first * TILE < b->n);
    const kua__softmax_problem *p = b->problem;
    row_block block;
    for (size_t tile = first; tile < last; tile += BLOCK_TILES) {
        size_t tiles = KUA__MIN(BLOCK_TILES, last - tile), row = tile * TILE;
        size_t real = KUA__MIN(tiles * TILE, b->n - row);
        pack_rows(block.a, b->depth + 16, tiles * TILE, p->h + (b->first + row) * p->dim, p->dim,
                  p->dim, real);
        memset(block.sum, 0, sizeof(block.sum));
        for (size_t p0 = 0; p0 < b->panels; p0 += BLOCK_PANELS)
            share_block(b, &block, row, tiles, p0, KUA__MIN(p0 + BLOCK_PANELS, b->panels));
        finish_block(b, &block, row, tiles);
    }
}

/* ---- items ---- */

void kua__softmax_items_avx512(const kua__softmax_blocks *b, size_t first, size_t last)
{
    assert(b->problem->dw && first <= last && last <= b->panels);
    size_t pitch = b->chunk_rows / 2, pairs = (b->n + 1) / 2;
    for (size_t panel = first; panel < last; panel++) {
        for (size_t tile = 0; tile < b->tiles; tile++) {
            size_t rows = KUA__MIN(TILE, b->problem->dim - tile * TILE);
            (rows <= 4 ? turn_four
             : rows <= 8
                 ? turn_eight
                 : turn_tile)(b->h_scaled + tile * pitch * 16, b->share + panel * pitch * WIDE,
                              pairs, b->dw + (panel * b->tiles + tile) * TILE * WIDE, b->first > 0);
        }
    }
}

/* [dim][32 items] -> [32 items][dim] */
void kua__softmax_unpack_avx512(const kua__softmax_blocks *b, size_t first, size_t last)
{
    assert(b->problem->dw && first <= last && last <= b->panels);
    const kua__softmax_problem *p = b->problem;
    for (size_t part = first * 2; part < last * 2; part++) {
        size_t item = part * 16, n = item < p->items ? KUA__MIN(16, p->items - item) : 0;
        const float *from = b->dw + part / 2 * b->tiles * TILE * WIDE + part % 2 * 16;
        for (size_t c = 0; c < p->dim; c += 16) {
            size_t cols = KUA__MIN(16, p->dim - c);
            __m512i r[16];
            for (size_t i = 0; i < 16; i++)
                r[i] = i < cols ? _mm512_load_si512(from + (c + i) * WIDE) : _mm512_setzero_si512();
            transpose16(r);
            for (size_t i = 0; i < n; i++)
                _mm512_mask_storeu_epi32(p->dw + (item + i) * p->dim + c, lanes(cols), r[i]);
        }
    }
}
#endif

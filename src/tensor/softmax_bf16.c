/* softmax_bf16.c - the fused softmax loss: how the work is cut, and how its memory lies.
 *
 * Three products are needed: the logits h w^T, dh = share w and dw = share^T h. Computed one after
 * the other they would write and read a matrix of rows x items several times; computing logits
 * again for each would cost a fourth product. Here, for a chunk of rows,
 *
 *     rows   (threads share the chunk's rows)         for 256 items at a time:
 *               logits of 12 x 32 in registers -> exp -> bf16 -> kept twice:
 *                 as pairs of items in the second-level cache, multiplied by w into dh at once,
 *                 and as pairs of rows for later
 *            totals of the rows are known now: dh and h are divided by them
 *     items  (threads share the items)                dw += share^T (h / total)
 *
 * The exponentials are not divided by their row's total before they are multiplied, which is what
 * lets dh be summed while the total is still growing. Nor is the row's largest logit known then,
 * only a shift: 0 where |h| max |w| is small (cosines over a temperature, what this is for), else
 * the largest logit of the target and of 64 items. The true one may be up to 65 above it before f32
 * and bf16 end; a row's total tells when it was more, and then the call gives up.
 *
 * What is exact: the target's part of both gradients, the sums over items (f32), the cut: results
 * do not depend on the number of threads.
 */
#include "tensor/softmax_bf16.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#include "tensor/kernels.h"
#include "tensor/softmax_blocks.h"

enum {
    TILE = KUA__SHARE_ROWS,
    WIDE = KUA__SHARE_ITEMS,
    CHUNK_BYTES = 16 << 20, /* of shares */
    CHUNK_TILES_MIN = 16,
    CHUNK_TILES_MAX = 64,
    SAMPLED = 64 /* items that a row's shift is guessed from */
};

/* exp(-SAFE) .. exp(SAFE) and their sums are far from the ends of f32 and bf16. */
static const float SAFE = 40, TOTAL_MIN = 1e-25f, TOTAL_MAX = 1e30f, NOWHERE = -1e30f;

bool kua__softmax_bf16_fits(const kua__softmax_problem *p)
{
    return kua__cpu_has_bf16() && p->dim >= 1 && p->dim <= KUA__SHARE_DIM_MAX && p->items >= 1 &&
           p->rows >= 1;
}

static size_t up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit;
}

static kua__softmax_blocks blocks_of(const kua__softmax_problem *p)
{
    assert(p->items >= 1 && p->dim >= 1 && p->rows >= 1);
    kua__softmax_blocks b = {.problem = p};
    b.panels = up(p->items, WIDE);
    b.depth = up(p->dim, 32) * 16;
    b.slices = up(p->dim, 32);
    b.tiles = up(p->dim, TILE);
    /* As many rows as their shares fit in CHUNK_BYTES: they are read again for dw. */
    size_t tiles = CHUNK_BYTES / (b.panels * WIDE * TILE * sizeof(uint16_t));
    tiles = KUA__MIN(KUA__MAX(tiles, CHUNK_TILES_MIN), CHUNK_TILES_MAX);
    b.chunk_rows = KUA__MIN(tiles, up(p->rows, TILE)) * TILE;
    return b;
}

/* Hands out `scratch` (NULL: only counts); returns the floats used. */
static size_t place(kua__softmax_blocks *b, float *scratch)
{
    size_t at = 0, pairs = b->chunk_rows / 2;
    /* In the order of the pointers below; each is rounded up to 64 bytes. */
    size_t wanted[] = {b->panels * b->depth * WIDE,
                       b->slices * b->panels * 16 * WIDE,
                       b->panels * WIDE,
                       b->panels * pairs * WIDE,
                       b->tiles * pairs * 16,
                       b->panels * b->tiles * TILE * WIDE,
                       b->chunk_rows,
                       b->chunk_rows,
                       b->chunk_rows};
    float *part[KUA__COUNT(wanted)];
    for (size_t i = 0; i < KUA__COUNT(wanted); i++) {
        part[i] = scratch ? scratch + at : NULL;
        at += up(wanted[i], 16) * 16;
    }
    b->w_along = (uint32_t *)part[0];
    b->w_across = (uint32_t *)part[1];
    b->bias = part[2];
    b->share = (uint32_t *)part[3];
    b->h_scaled = (uint32_t *)part[4];
    b->dw = part[5];
    b->shift = part[6];
    b->total = part[7];
    b->row_loss = part[8];
    return at;
}

size_t kua__softmax_bf16_scratch(const kua__softmax_problem *p)
{
    kua__softmax_blocks b = blocks_of(p);
    return place(&b, NULL);
}

#if defined(__x86_64__)
static void pack_task(void *ctx, size_t first, size_t last)
{
    kua__softmax_pack_avx512(ctx, first, last);
}

static void rows_task(void *ctx, size_t first, size_t last)
{
    kua__softmax_rows_avx512(ctx, first, last);
}

static void items_task(void *ctx, size_t first, size_t last)
{
    kua__softmax_items_avx512(ctx, first, last);
}

static void unpack_task(void *ctx, size_t first, size_t last)
{
    kua__softmax_unpack_avx512(ctx, first, last);
}

static float length_of(const float *x, size_t n)
{
    return sqrtf(kua__kernels_get()->dot(x, x, n));
}

/* The bias, the largest |w| and |bias|: no logit is larger than |h| most + most_bias. */
static void bound_logits(kua__softmax_blocks *b)
{
    const kua__softmax_problem *p = b->problem;
    for (size_t i = 0; i < b->panels * WIDE; i++) {
        b->bias[i] = i >= p->items ? NOWHERE : p->bias ? p->bias[i] : 0;
        if (i >= p->items) continue;
        float length = length_of(p->w + i * p->dim, p->dim);
        b->most = KUA__MAX(b->most, length);
        b->most_bias = KUA__MAX(b->most_bias, fabsf(b->bias[i]));
    }
}

/* The largest logit of a few items and of the target: the row's largest is not far above. */
static float sampled_most(const kua__softmax_blocks *b, size_t r)
{
    assert(r < b->problem->rows);
    const kua__softmax_problem *p = b->problem;
    const kua__kernels *k = kua__kernels_get();
    const float *h = p->h + r * p->dim;
    size_t step = up(p->items, SAMPLED);
    float most = -FLT_MAX;
    for (size_t i = 0; i < p->items; i += step) {
        float logit = k->dot(h, p->w + i * p->dim, p->dim) + b->bias[i];
        most = KUA__MAX(most, logit);
    }
    uint32_t target = p->target[r];
    if (target == KUA__NO_ID) return most;
    float logit = k->dot(h, p->w + (size_t)target * p->dim, p->dim) + b->bias[target];
    return KUA__MAX(most, logit);
}

static void shift_task(void *ctx, size_t first, size_t last)
{
    const kua__softmax_blocks *b = ctx;
    const kua__softmax_problem *p = b->problem;
    for (size_t row = first; row < last; row++) {
        if (row >= b->n) { /* packed as zeros: no logit is above the largest bias */
            b->shift[row] = b->most_bias;
            continue;
        }
        size_t r = b->first + row;
        float bound = length_of(p->h + r * p->dim, p->dim) * b->most;
        b->shift[row] = bound + b->most_bias > SAFE ? sampled_most(b, r) : 0;
    }
}

/* Adds up the chunk's losses; false where a total cannot be trusted. The exponentials of a row that
 * does not count are multiplied by 0, for which they must be finite. */
static bool add_losses(const kua__softmax_blocks *b, kua__softmax_problem *p)
{
    for (size_t r = 0; r < b->n; r++) {
        bool counts = p->target[b->first + r] != KUA__NO_ID;
        bool good = b->total[r] < TOTAL_MAX && (!counts || b->total[r] > TOTAL_MIN);
        if (!good) return false; /* so, too, for NaN */
        if (counts) p->loss += b->row_loss[r];
    }
    return true;
}

/* The target's part of dw: rows in order, so that equal targets add up alike in every run. */
static void subtract_targets(const kua__softmax_problem *p)
{
    for (size_t r = 0; r < p->rows; r++) {
        if (p->target[r] == KUA__NO_ID) continue;
        assert(p->target[r] < p->items);
        kua__kernels_get()->axpy(p->dw + (size_t)p->target[r] * p->dim, p->h + r * p->dim, -p->each,
                                 p->dim);
    }
}

bool kua__softmax_bf16(kua__softmax_problem *p, float *scratch)
{
    assert(kua__softmax_bf16_fits(p) && scratch && (uintptr_t)scratch % 64 == 0);
    kua__softmax_blocks b = blocks_of(p);
    size_t used = place(&b, scratch);
    assert(used == kua__softmax_bf16_scratch(p));
    (void)used;
    bound_logits(&b);
    p->loss = 0;
    kua__parallel_for(b.panels, 8, pack_task, &b);
    for (; b.first < p->rows; b.first += b.n) {
        b.n = KUA__MIN(b.chunk_rows, p->rows - b.first);
        kua__parallel_for(b.chunk_rows, 64, shift_task, &b);
        kua__parallel_for(up(b.n, TILE), 1, rows_task, &b);
        if (!add_losses(&b, p)) return false;
        if (p->dw) kua__parallel_for(b.panels, 4, items_task, &b);
    }
    if (!p->dw) return true;
    kua__parallel_for(b.panels, 8, unpack_task, &b);
    subtract_targets(p);
    return true;
}
#else
bool kua__softmax_bf16(kua__softmax_problem *p, float *scratch)
{
    (void)p, (void)scratch;
    assert(!"kua__softmax_bf16_fits() is false here");
    return false;
}
#endif

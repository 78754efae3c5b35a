/* dropout.c - zeroes a random share, without keeping the mask.
 *
 * Each element's fate is a function of (seed, step, number of the operation, index): the backward
 * pass draws the same mask again, which costs less than reading one from memory, and any number of
 * threads gives the same mask.
 *
 * The share of zeros is rounded to 1 / 65536, so that a draw is 16 bits; what is kept grows by the
 * rounded share, and the mean stays what it was.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>

typedef struct dropout {
    kua__var *x, *y;
    kua__mask mask;
    /* the pass under way */
    float *to;
    const float *from;
    bool add;
} dropout;

static void drop_task(void *ctx, size_t first, size_t last)
{
    const dropout *op = ctx;
    size_t from = first * KUA__MASK_BLOCK;
    size_t n = KUA__MIN(last * KUA__MASK_BLOCK, op->x->rows * op->x->cols) - from;
    kua__kernels_get()->dropout(op->to + from, op->from + from, n, from, &op->mask, op->add);
}

static void drop(dropout *op)
{
    assert(op->to && op->from);
    size_t blocks = (op->x->rows * op->x->cols + KUA__MASK_BLOCK - 1) / KUA__MASK_BLOCK;
    if (blocks) kua__parallel_for(blocks, KUA__GRAIN / KUA__MASK_BLOCK, drop_task, op);
}

static void dropout_back(kua__tape *t, void *ctx)
{
    dropout *op = ctx;
    op->to = kua__grad(t, op->x, &op->add);
    op->from = op->y->grad;
    if (op->to) drop(op);
}

kua__var *kua__dropout(kua__tape *t, kua__var *x, float p)
{
    if (!x) return NULL;
    if (!(p >= 0 && p < 1))
        return kua__tape_fail(t, KUA_INVALID, "dropout: p is %g, must be in 0..1", (double)p);
    uint32_t threshold = (uint32_t)lroundf(p * 65536);
    threshold = KUA__MIN(threshold, 65535);
    if (threshold == 0 || !kua__tape_training(t)) return x;
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants);
    if (!y) return NULL;
    float scale = 65536.0f / (65536.0f - (float)threshold);
    dropout op = {.x = x, .y = y, .to = y->value, .from = x->value};
    op.mask = (kua__mask){kua__tape_seed(t), kua__tape_stream(t), threshold, scale};
    drop(&op);
    return kua__tape_node(t, y, dropout_back, &op, sizeof(op));
}

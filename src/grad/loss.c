/* loss.c - sums to a single number, and losses over small dense matrices.
 *
 * The softmax loss over a whole item table is another matter (softmax_loss.c): here logits exist as
 * a matrix. Sums run in double precision over chunks of a fixed length, on one thread: they are a
 * small part of a step.
 *
 * Every loss is a mean, over rows that count or over elements, and 0 where there are none: an empty
 * batch then steps nothing and is no error.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>

enum { SUM_CHUNK = 4096 };

typedef struct reduced {
    kua__var *x, *y;
    float factor; /* dx = factor dy, for every element */
} reduced;

static void reduced_back(kua__tape *t, void *ctx)
{
    const reduced *op = ctx;
    size_t n = op->x->rows * op->x->cols;
    float *dx = kua__grad_zeroed(t, op->x), d = op->factor * op->y->grad[0];
    if (!dx) return;
    kua__grad_touch(op->x, 0, op->x->rows);
    for (size_t i = 0; i < n; i++)
        dx[i] += d;
}

static double sum_of(const float *x, size_t n)
{
    assert(x || n == 0);
    double sum = 0;
    for (size_t i = 0; i < n; i += SUM_CHUNK)
        sum += kua__kernels_get()->sum(x + i, KUA__MIN(SUM_CHUNK, n - i));
    return sum;
}

static kua__var *reduce(kua__tape *t, kua__var *x, float factor)
{
    kua__var *y = kua__tape_result(t, 1, 1, x->wants);
    if (!y) return NULL;
    y->value[0] = (float)(factor * sum_of(x->value, x->rows * x->cols));
    return KUA__NODE(t, y, reduced_back, reduced, x, y, factor);
}

kua__var *kua__sum(kua__tape *t, kua__var *x)
{
    return x ? reduce(t, x, 1) : NULL;
}

kua__var *kua__mean(kua__tape *t, kua__var *x)
{
    if (!x) return NULL;
    size_t n = x->rows * x->cols;
    return reduce(t, x, n ? 1.0f / (float)n : 0);
}

/* ---- cross-entropy ---- */

typedef struct cross_entropy {
    kua__var *x, *y;
    const uint32_t *target; /* [rows] */
    float *share;           /* [rows, cols] softmax */
    float *row_loss;        /* [rows] */
    size_t counted;
    float *dx;
    bool add;
} cross_entropy;

static void cross_entropy_task(void *ctx, size_t first, size_t last)
{
    const cross_entropy *op = ctx;
    const kua__kernels *k = kua__kernels_get();
    size_t n = op->x->cols;
    for (size_t r = first; r < last; r++) {
        const float *x = op->x->value + r * n;
        float *share = op->share + r * n;
        op->row_loss[r] = 0;
        if (op->target[r] == KUA__NO_ID) continue;
        float most = k->max(x, n), sum = k->exp_sum(share, x, most, n);
        /* Less the largest logit: no exponential above 1, and at least one that is. */
        k->scale(share, share, 1.0f / sum, n);
        op->row_loss[r] = logf(sum) + most - x[op->target[r]];
    }
}

/* d/dx of -log softmax(x)[target] = softmax(x) - (1 at the target). */
static void cross_entropy_back_task(void *ctx, size_t first, size_t last)
{
    assert(((const cross_entropy *)ctx)->counted >= 1);
    const cross_entropy *op = ctx;
    const kua__kernels *k = kua__kernels_get();
    size_t n = op->x->cols;
    float d = op->y->grad[0] / (float)op->counted;
    for (size_t r = first; r < last; r++) {
        float *dx = op->dx + r * n;
        if (op->target[r] == KUA__NO_ID) {
            if (!op->add) memset(dx, 0, n * sizeof(*dx));
            continue;
        }
        (op->add ? k->axpy : k->scale)(dx, op->share + r * n, d, n);
        dx[op->target[r]] -= d;
    }
}

static void cross_entropy_back(kua__tape *t, void *ctx)
{
    cross_entropy *op = ctx;
    op->dx = kua__grad(t, op->x, &op->add);
    if (op->dx && op->x->rows)
        kua__parallel_for(op->x->rows, kua__row_grain(op->x->cols), cross_entropy_back_task, op);
}

kua__var *kua__cross_entropy(kua__tape *t, kua__var *logits, const uint32_t *target)
{
    if (!logits) return NULL;
    size_t rows = logits->rows, cols = logits->cols;
    assert(target || rows == 0);
    cross_entropy op = {.x = logits, .target = target};
    for (size_t r = 0; r < rows; r++) {
        if (target[r] != KUA__NO_ID && target[r] >= cols)
            return kua__tape_fail(t, KUA_INVALID,
                                  "cross_entropy: target[%zu] is %u, logits are %zux%zu", r,
                                  target[r], rows, cols);
        op.counted += target[r] != KUA__NO_ID;
    }
    op.y = kua__tape_result(t, 1, 1, logits->wants);
    op.share = kua__tape_floats(t, rows, cols);
    op.row_loss = kua__tape_floats(t, rows, 1);
    if (!op.y || !op.share || !op.row_loss) return NULL;
    if (rows) kua__parallel_for(rows, kua__row_grain(cols), cross_entropy_task, &op);
    op.y->value[0] = op.counted ? (float)(sum_of(op.row_loss, rows) / (double)op.counted) : 0;
    op.counted = KUA__MAX(op.counted, 1); /* the way back divides by it */
    return kua__tape_node(t, op.y, cross_entropy_back, &op, sizeof(op));
}

/* ---- binary cross-entropy and squared error ---- */

typedef struct bce {
    kua__var *x, *y;
    const float *target;
} bce;

static void bce_back(kua__tape *t, void *ctx)
{
    /* sigmoid(x) - target, in two sums, so that no third matrix is needed. */
    const bce *op = ctx;
    size_t n = op->x->rows * op->x->cols;
    float *share = kua__tape_scratch(t, n), *dx = kua__grad_zeroed(t, op->x);
    if (!dx || !share) return;
    kua__grad_touch(op->x, 0, op->x->rows);
    float d = op->y->grad[0] / (float)KUA__MAX(n, 1);
    kua__apply_unary(kua__kernels_get()->sigmoid, share, op->x->value, n);
    kua__apply_scale(dx, share, d, n, true);
    kua__apply_scale(dx, op->target, -d, n, true);
}

kua__var *kua__bce(kua__tape *t, kua__var *logits, const float *target)
{
    if (!logits) return NULL;
    size_t n = logits->rows * logits->cols;
    assert(target || n == 0);
    kua__var *y = kua__tape_result(t, 1, 1, logits->wants);
    if (!y) return NULL;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        float x = logits->value[i]; /* log(1 + e^x) - x z without overflow */
        sum += fmaxf(x, 0) - x * target[i] + log1pf(expf(-fabsf(x)));
    }
    y->value[0] = (float)(sum / (double)KUA__MAX(n, 1));
    return KUA__NODE(t, y, bce_back, bce, logits, y, target);
}

typedef struct mse {
    kua__var *a, *b, *y;
    float *difference;
} mse;

static void mse_back(kua__tape *t, void *ctx)
{
    const mse *op = ctx;
    size_t n = op->a->rows * op->a->cols;
    float d = 2 * op->y->grad[0] / (float)KUA__MAX(n, 1);
    bool add;
    float *da = kua__grad(t, op->a, &add);
    if (da) kua__apply_scale(da, op->difference, d, n, add);
    float *db = kua__grad(t, op->b, &add);
    if (db) kua__apply_scale(db, op->difference, -d, n, add);
}

kua__var *kua__mse(kua__tape *t, kua__var *a, kua__var *b)
{
    if (!a || !b) return NULL;
    if (a->rows != b->rows || a->cols != b->cols)
        return kua__tape_fail_shapes(t, "mse", "a", a, "b", b);
    size_t n = a->rows * a->cols;
    kua__var *y = kua__tape_result(t, 1, 1, a->wants || b->wants);
    float *difference = kua__tape_floats(t, a->rows, a->cols);
    if (!y || !difference) return NULL;
    kua__apply_binary(kua__kernels_get()->sub, difference, a->value, b->value, n);
    double sum = 0;
    for (size_t i = 0; i < n; i += SUM_CHUNK)
        sum += kua__kernels_get()->dot(difference + i, difference + i, KUA__MIN(SUM_CHUNK, n - i));
    y->value[0] = (float)(sum / (double)KUA__MAX(n, 1));
    return KUA__NODE(t, y, mse_back, mse, a, b, y, difference);
}

/* norm.c - operations on each row by itself: softmax, layer norm, RMS norm, L2 normalisation.
 *
 * Rows are cut over the threads. Gains and biases collect a sum over all rows: each part of the cut
 * has a partial sum of its own, and the parts are added in order, so the sum depends on the number
 * of threads but not on which was faster.
 *
 * What a row keeps for its way back (`stat`): layer norm its mean and 1 / deviation, RMS norm
 * 1 / root of the mean square, L2 1 / length; softmax needs its result only.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>

typedef struct rows_op {
    kua__var *x, *y, *gain, *bias;
    float *stat;   /* [rows, 1 or 2] what each row keeps for its way back */
    float epsilon; /* added under the root; L2: the least length */
    float *dx;     /* [rows, cols]; NULL: not wanted */
    bool add;
    float *partial; /* [parts, 2, cols]: of gain, of bias */
    size_t parts;
} rows_op;

static void each_row(const kua__var *x, kua__range_fn task, rows_op *op)
{
    if (x->rows && x->cols) kua__parallel_for(x->rows, kua__row_grain(x->cols), task, op);
}

static bool good_row(kua__tape *t, const char *name, const char *which, const kua__var *x,
                     const kua__var *row)
{
    if (!row || (row->rows == 1 && row->cols == x->cols)) return true;
    kua__tape_fail_shapes(t, name, "x", x, which, row);
    return false;
}

/* ---- softmax ---- */

static void softmax_task(void *ctx, size_t first, size_t last)
{
    const rows_op *op = ctx;
    size_t n = op->x->cols;
    for (size_t r = first; r < last; r++)
        kua__kernels_get()->softmax(op->y->value + r * n, op->x->value + r * n, n);
}

static void softmax_back_task(void *ctx, size_t first, size_t last)
{
    const rows_op *op = ctx;
    size_t n = op->x->cols;
    for (size_t r = first; r < last; r++) {
        const float *y = op->y->value + r * n, *dy = op->y->grad + r * n;
        kua__kernels_get()->softmax_back(op->dx + r * n, y, dy, n, op->add);
    }
}

static void softmax_back(kua__tape *t, void *ctx)
{
    rows_op *op = ctx;
    op->dx = kua__grad(t, op->x, &op->add);
    if (op->dx) each_row(op->x, softmax_back_task, op);
}

kua__var *kua__softmax(kua__tape *t, kua__var *x)
{
    if (!x) return NULL;
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants);
    if (!y) return NULL;
    rows_op op = {.x = x, .y = y};
    each_row(x, softmax_task, &op);
    return kua__tape_node(t, y, softmax_back, &op, sizeof(op));
}

/* ---- layer norm and RMS norm ---- */

static const float *value_of(const kua__var *v)
{
    return v ? v->value : NULL;
}

static void layer_norm_task(void *ctx, size_t first, size_t last)
{
    const rows_op *op = ctx;
    size_t n = op->x->cols;
    for (size_t r = first; r < last; r++)
        kua__kernels_get()->layer_norm(op->y->value + r * n, op->stat + 2 * r, op->x->value + r * n,
                                       value_of(op->gain), value_of(op->bias), op->epsilon, n);
}

static void rms_norm_task(void *ctx, size_t first, size_t last)
{
    const rows_op *op = ctx;
    size_t n = op->x->cols;
    for (size_t r = first; r < last; r++)
        kua__kernels_get()->rms_norm(op->y->value + r * n, op->stat + r, op->x->value + r * n,
                                     value_of(op->gain), op->epsilon, n);
}

static void layer_norm_back_task(void *ctx, size_t first, size_t last)
{
    assert(last <= ((const rows_op *)ctx)->parts);
    const rows_op *op = ctx;
    size_t n = op->x->cols, rows = op->x->rows;
    for (size_t part = first; part < last; part++) {
        float *dgain = op->partial ? op->partial + part * 2 * n : NULL;
        for (size_t r = rows * part / op->parts; r < rows * (part + 1) / op->parts; r++)
            kua__kernels_get()->layer_norm_back(op->dx ? op->dx + r * n : NULL, dgain,
                                                dgain ? dgain + n : NULL, op->x->value + r * n,
                                                value_of(op->gain), op->y->grad + r * n,
                                                op->stat + 2 * r, n, op->add);
    }
}

static void rms_norm_back_task(void *ctx, size_t first, size_t last)
{
    const rows_op *op = ctx;
    size_t n = op->x->cols, rows = op->x->rows;
    for (size_t part = first; part < last; part++) {
        float *dgain = op->partial ? op->partial + part * 2 * n : NULL;
        for (size_t r = rows * part / op->parts; r < rows * (part + 1) / op->parts; r++)
            kua__kernels_get()->rms_norm_back(op->dx ? op->dx + r * n : NULL, dgain,
                                              op->x->value + r * n, value_of(op->gain),
                                              op->y->grad + r * n, op->stat + r, n, op->add);
    }
}

static void add_partials(kua__tape *t, const rows_op *op, kua__var *row, size_t offset)
{
    assert(!row || offset + op->x->cols <= 2 * op->x->cols);
    float *d = row ? kua__grad_zeroed(t, row) : NULL;
    if (!d) return;
    size_t n = op->x->cols;
    kua__grad_touch(row, 0, 1);
    for (size_t part = 0; part < op->parts; part++)
        kua__kernels_get()->axpy(d, op->partial + part * 2 * n + offset, 1, n);
}

static void norm_back(kua__tape *t, rows_op *op, kua__range_fn task)
{
    size_t n = op->x->cols;
    bool row_wanted = (op->gain && op->gain->wants) || (op->bias && op->bias->wants);
    op->dx = kua__grad(t, op->x, &op->add);
    /* A fixed number of parts, whoever works on them: the sum is the same whether or not a thread
     * comes late. */
    op->parts = op->x->rows >= kua__row_grain(n) ? (size_t)kua__threads() : 1;
    op->partial = row_wanted ? kua__tape_scratch(t, op->parts * 2 * n) : NULL;
    if (kua__tape_status(t)) return;
    if (op->partial) memset(op->partial, 0, op->parts * 2 * n * sizeof(float));
    kua__parallel_for(op->parts, 1, task, op);
    add_partials(t, op, op->gain, 0);
    add_partials(t, op, op->bias, n);
}

static void layer_norm_back(kua__tape *t, void *ctx)
{
    norm_back(t, ctx, layer_norm_back_task);
}

static void rms_norm_back(kua__tape *t, void *ctx)
{
    norm_back(t, ctx, rms_norm_back_task);
}

static kua__var *norm(kua__tape *t, rows_op op, size_t stats, kua__range_fn task,
                      kua__backward_fn back)
{
    assert(stats >= 1 && stats <= 2);
    kua__var *x = op.x;
    if (x->cols == 0)
        return kua__tape_fail(t, KUA_SHAPE, "norm: x is %zux0, has no columns", x->rows);
    bool wants = x->wants || (op.gain && op.gain->wants) || (op.bias && op.bias->wants);
    op.y = kua__tape_result(t, x->rows, x->cols, wants);
    op.stat = kua__tape_floats(t, x->rows, stats);
    if (!op.y || !op.stat) return NULL;
    each_row(x, task, &op);
    return kua__tape_node(t, op.y, back, &op, sizeof(op));
}

kua__var *kua__layer_norm(kua__tape *t, kua__var *x, kua__var *gain, kua__var *bias, float epsilon)
{
    if (!x || !good_row(t, "layer_norm", "gain", x, gain) ||
        !good_row(t, "layer_norm", "bias", x, bias))
        return NULL;
    rows_op op = {.x = x, .gain = gain, .bias = bias, .epsilon = epsilon};
    return norm(t, op, 2, layer_norm_task, layer_norm_back);
}

kua__var *kua__rms_norm(kua__tape *t, kua__var *x, kua__var *gain, float epsilon)
{
    if (!x || !good_row(t, "rms_norm", "gain", x, gain)) return NULL;
    rows_op op = {.x = x, .gain = gain, .epsilon = epsilon};
    return norm(t, op, 1, rms_norm_task, rms_norm_back);
}

/* ---- L2 ---- */

/* stat[r] = 1 / max(|x|, epsilon), negative where epsilon won: then y is linear in x. */
static void l2_task(void *ctx, size_t first, size_t last)
{
    const rows_op *op = ctx;
    size_t n = op->x->cols;
    for (size_t r = first; r < last; r++) {
        const float *x = op->x->value + r * n;
        float length = sqrtf(kua__kernels_get()->dot(x, x, n));
        float inverse = 1.0f / KUA__MAX(length, op->epsilon);
        op->stat[r] = length > op->epsilon ? inverse : -inverse;
        kua__kernels_get()->scale(op->y->value + r * n, x, inverse, n);
    }
}

/* dx = (dy - y (y . dy)) / |x| */
static void l2_back_task(void *ctx, size_t first, size_t last)
{
    const rows_op *op = ctx;
    const kua__kernels *k = kua__kernels_get();
    size_t n = op->x->cols;
    for (size_t r = first; r < last; r++) {
        const float *y = op->y->value + r * n, *dy = op->y->grad + r * n;
        float *dx = op->dx + r * n, inverse = fabsf(op->stat[r]);
        (op->add ? k->axpy : k->scale)(dx, dy, inverse, n);
        if (op->stat[r] > 0) k->axpy(dx, y, -inverse * k->dot(y, dy, n), n);
    }
}

static void l2_back(kua__tape *t, void *ctx)
{
    rows_op *op = ctx;
    op->dx = kua__grad(t, op->x, &op->add);
    if (op->dx) each_row(op->x, l2_back_task, op);
}

kua__var *kua__l2_normalize(kua__tape *t, kua__var *x, float epsilon)
{
    assert(epsilon > 0);
    if (!x) return NULL;
    rows_op op = {.x = x, .epsilon = epsilon};
    return norm(t, op, 1, l2_task, l2_back);
}

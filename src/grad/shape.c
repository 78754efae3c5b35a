/* shape.c - joining, cutting and picking rows and columns, and pooling the rows of each sequence.
 *
 * All of it moves numbers; the way back moves gradients the other way, and adds where several
 * results were made of one number (a row picked twice). Who writes decides how work is cut: by rows
 * where each is written once, by columns where rows may meet.
 *
 * Slices of rows are views: the rows of x lie one after another. Slices of columns are copies.
 */
#include "grad/apply.h"

#include <assert.h>

/* ---- concat ---- */

typedef struct joined {
    kua__var **part; /* [n] */
    size_t n;
    kua__var *y;
    bool by_cols;
} joined;

/* Between part i and its place in y, which begins `at` floats into y: from the part into y, or
 * (back) y's gradient into the part's. */
static void copy_part(const joined *op, size_t i, size_t at, float *part, bool add, bool back)
{
    assert(i < op->n);
    const kua__var *x = op->part[i], *y = op->y;
    size_t stride = op->by_cols ? y->cols : x->cols;
    if (back)
        kua__copy_rows(part, x->cols, y->grad + at, stride, x->rows, x->cols, add);
    else
        kua__copy_rows(y->value + at, stride, part, x->cols, x->rows, x->cols, false);
}

static size_t part_step(const joined *op, size_t i)
{
    const kua__var *x = op->part[i];
    return op->by_cols ? x->cols : x->rows * x->cols;
}

static void joined_back(kua__tape *t, void *ctx)
{
    const joined *op = ctx;
    for (size_t i = 0, at = 0; i < op->n; at += part_step(op, i), i++) {
        bool add;
        float *dx = kua__grad(t, op->part[i], &add);
        if (dx) copy_part(op, i, at, dx, add, true);
    }
}

static kua__var *join(kua__tape *t, const char *name, kua__var *const *parts, size_t n,
                      bool by_cols)
{
    assert(parts && n >= 1);
    size_t rows = 0, cols = 0;
    bool wants = false;
    for (size_t i = 0; i < n; i++) {
        const kua__var *x = parts[i];
        if (!x) return NULL;
        if (by_cols ? x->rows != parts[0]->rows : x->cols != parts[0]->cols)
            return kua__tape_fail_shapes(t, name, "the first", parts[0], "another", x);
        rows = by_cols ? x->rows : rows + x->rows;
        cols = by_cols ? cols + x->cols : x->cols;
        wants |= x->wants;
    }
    joined op = {kua__tape_copy(t, parts, n * sizeof(*parts)), n,
                 kua__tape_result(t, rows, cols, wants), by_cols};
    if (!op.y) return NULL;
    for (size_t i = 0, at = 0; i < n; at += part_step(&op, i), i++)
        copy_part(&op, i, at, parts[i]->value, false, false);
    return kua__tape_node(t, op.y, joined_back, &op, sizeof(op));
}

kua__var *kua__concat_cols(kua__tape *t, kua__var *const *parts, size_t n)
{
    return join(t, "concat_cols", parts, n, true);
}

kua__var *kua__concat_rows(kua__tape *t, kua__var *const *parts, size_t n)
{
    return join(t, "concat_rows", parts, n, false);
}

/* ---- slices ---- */

typedef struct slice {
    kua__var *x, *y;
    size_t first;
} slice;

static void slice_cols_back(kua__tape *t, void *ctx)
{
    const slice *op = ctx;
    const kua__var *y = op->y;
    float *dx = kua__grad_zeroed(t, op->x);
    if (!dx) return;
    kua__grad_touch(op->x, 0, op->x->rows);
    kua__copy_rows(dx + op->first, op->x->cols, y->grad, y->cols, y->rows, y->cols, true);
}

kua__var *kua__slice_cols(kua__tape *t, kua__var *x, size_t first, size_t n)
{
    if (!x) return NULL;
    if (first > x->cols || n > x->cols - first)
        return kua__tape_fail(t, KUA_SHAPE,
                              "slice_cols: x is %zux%zu, wanted are columns %zu to %zu", x->rows,
                              x->cols, first, first + n);
    kua__var *y = kua__tape_result(t, x->rows, n, x->wants);
    if (!y) return NULL;
    kua__copy_rows(y->value, n, x->value + first, x->cols, x->rows, n, false);
    return KUA__NODE(t, y, slice_cols_back, slice, x, y, first);
}

static void slice_rows_back(kua__tape *t, void *ctx)
{
    /* A view of the values, but a gradient of its own: only those rows of dx are touched. */
    const slice *op = ctx;
    float *dx = kua__grad_zeroed(t, op->x);
    if (!dx) return;
    kua__grad_touch(op->x, op->first, op->y->rows);
    kua__add_to(dx + op->first * op->x->cols, op->y->grad, op->y->rows * op->y->cols);
}

kua__var *kua__slice_rows(kua__tape *t, kua__var *x, size_t first, size_t n)
{
    if (!x) return NULL;
    if (first > x->rows || n > x->rows - first)
        return kua__tape_fail(t, KUA_SHAPE, "slice_rows: x is %zux%zu, wanted are rows %zu to %zu",
                              x->rows, x->cols, first, first + n);
    kua__var *y = kua__tape_view(t, n, x->cols, x->value + first * x->cols, x->wants);
    return y ? KUA__NODE(t, y, slice_rows_back, slice, x, y, first) : NULL;
}

/* ---- picking rows ---- */

typedef struct gather {
    kua__var *x, *y;
    const uint32_t *index; /* [y->rows] */
    float *dx;
} gather;

static void gather_task(void *ctx, size_t first, size_t last)
{
    const gather *op = ctx;
    size_t n = op->y->cols;
    for (size_t r = first; r < last; r++)
        memcpy(op->y->value + r * n, op->x->value + op->index[r] * n, n * sizeof(float));
}

/* A row may be picked twice, so threads share columns, not rows. */
static void scatter_task(void *ctx, size_t first, size_t last)
{
    const gather *op = ctx;
    size_t n = op->y->cols;
    for (size_t r = 0; r < op->y->rows; r++) {
        float *dx = op->dx + op->index[r] * n + first;
        kua__kernels_get()->add(dx, dx, op->y->grad + r * n + first, last - first);
    }
}

static void gather_back(kua__tape *t, void *ctx)
{
    /* Marked here and not by the threads: each of those sees all rows, and would mark all. */
    gather *op = ctx;
    op->dx = kua__grad_zeroed(t, op->x);
    if (!op->dx || op->y->cols == 0) return;
    for (size_t r = 0; r < op->y->rows; r++)
        kua__grad_touch(op->x, op->index[r], 1);
    size_t n = op->y->cols, grain = op->y->rows * n <= KUA__GRAIN ? n : 32;
    kua__parallel_for(n, grain, scatter_task, op);
}

static kua__var *gather_unchecked(kua__tape *t, kua__var *x, const uint32_t *index, size_t n)
{
    gather op = {x, kua__tape_result(t, n, x->cols, x->wants), index, NULL};
    if (!op.y) return NULL;
    if (n) kua__parallel_for(n, kua__row_grain(x->cols), gather_task, &op);
    return kua__tape_node(t, op.y, gather_back, &op, sizeof(op));
}

kua__var *kua__gather_rows(kua__tape *t, kua__var *x, const uint32_t *index, size_t n)
{
    assert(index || n == 0);
    if (!x) return NULL;
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= x->rows)
            return kua__tape_fail(t, KUA_INVALID, "gather_rows: index[%zu] is %u, x is %zux%zu", i,
                                  index[i], x->rows, x->cols);
    }
    return gather_unchecked(t, x, index, n);
}

/* ---- one row per sequence ---- */

/* The first or last row of every sequence; an empty one has neither. */
static kua__var *end_row(kua__tape *t, const char *name, kua__var *x, kua__ragged seq, bool last)
{
    if (!x || !kua__ragged_check(t, name, x, seq)) return NULL;
    uint32_t *index = kua__tape_alloc(t, seq.n * sizeof(*index));
    if (!index) return NULL;
    for (size_t i = 0; i < seq.n; i++) {
        if (seq.at[i] == seq.at[i + 1])
            return kua__tape_fail(t, KUA_INVALID, "%s: sequence %zu of %zu is empty", name, i,
                                  seq.n);
        index[i] = last ? seq.at[i + 1] - 1 : seq.at[i];
    }
    return gather_unchecked(t, x, index, seq.n);
}

kua__var *kua__first_row(kua__tape *t, kua__var *x, kua__ragged seq)
{
    return end_row(t, "first_row", x, seq, false);
}

kua__var *kua__last_row(kua__tape *t, kua__var *x, kua__ragged seq)
{
    return end_row(t, "last_row", x, seq, true);
}

typedef struct pool {
    kua__var *x, *y;
    kua__ragged seq;
    uint32_t
        *best; /* [seq.n, cols], max only: the row that won; KUA__NO_ID: the sequence is empty */
    float *dx;
    bool add;
} pool;

static size_t pool_grain(const pool *op)
{
    /* By what a sequence has on average; + 1 twice, for no sequences and for empty ones. */
    return kua__row_grain(op->x->rows * op->x->cols / (op->seq.n + 1) + 1);
}

static void mean_task(void *ctx, size_t first, size_t last)
{
    const pool *op = ctx;
    size_t n = op->x->cols;
    for (size_t i = first; i < last; i++) {
        float *y = op->y->value + i * n;
        uint32_t from = op->seq.at[i], to = op->seq.at[i + 1];
        memset(y, 0, n * sizeof(*y));
        for (uint32_t r = from; r < to; r++)
            kua__kernels_get()->axpy(y, op->x->value + r * n, 1.0f / (float)(to - from), n);
    }
}

static void mean_back_task(void *ctx, size_t first, size_t last)
{
    const pool *op = ctx;
    const kua__kernels *k = kua__kernels_get();
    size_t n = op->x->cols;
    for (size_t i = first; i < last; i++) {
        uint32_t from = op->seq.at[i], to = op->seq.at[i + 1];
        for (uint32_t r = from; r < to; r++) {
            float share = 1.0f / (float)(to - from);
            (op->add ? k->axpy : k->scale)(op->dx + r * n, op->y->grad + i * n, share, n);
        }
    }
}

static void mean_back(kua__tape *t, void *ctx)
{
    pool *op = ctx;
    op->dx = kua__grad(t, op->x, &op->add); /* every row belongs to a sequence: all are written */
    if (op->dx && op->seq.n) kua__parallel_for(op->seq.n, pool_grain(op), mean_back_task, op);
}

kua__var *kua__mean_rows(kua__tape *t, kua__var *x, kua__ragged seq)
{
    if (!x || !kua__ragged_check(t, "mean_rows", x, seq)) return NULL;
    pool op = {.x = x, .y = kua__tape_result(t, seq.n, x->cols, x->wants), .seq = seq};
    if (!op.y) return NULL;
    if (seq.n) kua__parallel_for(seq.n, pool_grain(&op), mean_task, &op);
    return kua__tape_node(t, op.y, mean_back, &op, sizeof(op));
}

static void max_task(void *ctx, size_t first, size_t last)
{
    const pool *op = ctx;
    size_t n = op->x->cols;
    /* The first of equal ones wins, and gets all of the gradient. */
    for (size_t i = first; i < last; i++) {
        for (size_t j = 0; j < n; j++) {
            uint32_t best = op->seq.at[i] < op->seq.at[i + 1] ? op->seq.at[i] : KUA__NO_ID;
            for (uint32_t r = op->seq.at[i]; r < op->seq.at[i + 1]; r++) {
                if (op->x->value[r * n + j] > op->x->value[best * n + j]) best = r;
            }
            op->best[i * n + j] = best;
            op->y->value[i * n + j] = best == KUA__NO_ID ? 0 : op->x->value[best * n + j];
        }
    }
}

static void max_back(kua__tape *t, void *ctx)
{
    const pool *op = ctx;
    size_t n = op->x->cols;
    float *dx = kua__grad_zeroed(t, op->x);
    if (!dx) return;
    kua__grad_touch(op->x, 0, op->x->rows);
    for (size_t i = 0; i < op->seq.n * n; i++) {
        if (op->best[i] != KUA__NO_ID) dx[op->best[i] * n + i % n] += op->y->grad[i];
    }
}

kua__var *kua__max_rows(kua__tape *t, kua__var *x, kua__ragged seq)
{
    if (!x || !kua__ragged_check(t, "max_rows", x, seq)) return NULL;
    pool op = {.x = x, .y = kua__tape_result(t, seq.n, x->cols, x->wants), .seq = seq};
    op.best = kua__tape_alloc(t, seq.n * x->cols * sizeof(*op.best));
    if (!op.y || !op.best) return NULL;
    if (seq.n) kua__parallel_for(seq.n, pool_grain(&op), max_task, &op);
    return kua__tape_node(t, op.y, max_back, &op, sizeof(op));
}

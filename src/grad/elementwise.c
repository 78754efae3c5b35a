/* elementwise.c - sums, products and activations, element by element or with one row or column
 * repeated.
 *
 *     forward    a kernel over the whole matrix, cut over the threads (apply.c)
 *     backward   dx = f'(x) dy by a kernel of its own, which either writes or adds (`add`)
 *
 * Which of x and y an activation keeps for its way back is which of them tells the slope: y for
 * relu, sigmoid and tanh; x where the function is not one to one (gelu, silu).
 *
 * Where the gradient of an input is that of the result (add, sub, add_row), it is handed over
 * (kua__grad_pass) and not copied: y's is free when its node has run. It is therefore asked for
 * last.
 */
#include "grad/apply.h"

#include <assert.h>

static size_t size_of(const kua__var *x)
{
    return x->rows * x->cols;
}

static bool same_shape(kua__tape *t, const char *name, const kua__var *a, const kua__var *b)
{
    if (a->rows == b->rows && a->cols == b->cols) return true;
    kua__tape_fail_shapes(t, name, "a", a, "b", b);
    return false;
}

/* ---- add, subtract, multiply ---- */

typedef struct pair {
    kua__var *a, *b, *y;
} pair;

/* b first: a may then take over y's gradient as it is. */
static void add_back(kua__tape *t, void *ctx)
{
    const pair *op = ctx;
    bool add;
    float *db = kua__grad(t, op->b, &add);
    if (db) kua__apply_scale(db, op->y->grad, 1, size_of(op->y), add);
    kua__grad_pass(t, op->a, op->y);
}

static void sub_back(kua__tape *t, void *ctx)
{
    const pair *op = ctx;
    bool add;
    float *db = kua__grad(t, op->b, &add);
    if (db) kua__apply_scale(db, op->y->grad, -1, size_of(op->y), add);
    kua__grad_pass(t, op->a, op->y);
}

static void mul_back(kua__tape *t, void *ctx)
{
    /* a and b may be one variable (x * x): the second kua__grad then says to add. */
    const pair *op = ctx;
    const kua__kernels *k = kua__kernels_get();
    bool add;
    float *da = kua__grad(t, op->a, &add);
    if (da)
        kua__apply_binary(add ? k->mul_add : k->mul, da, op->b->value, op->y->grad, size_of(op->y));
    float *db = kua__grad(t, op->b, &add);
    if (db)
        kua__apply_binary(add ? k->mul_add : k->mul, db, op->a->value, op->y->grad, size_of(op->y));
}

/* Both of one shape; `fn` writes y, which is neither of them. */
static kua__var *pairwise(kua__tape *t, const char *name, kua__binary_fn fn, kua__backward_fn back,
                          kua__var *a, kua__var *b)
{
    if (!a || !b || !same_shape(t, name, a, b)) return NULL;
    kua__var *y = kua__tape_result(t, a->rows, a->cols, a->wants || b->wants);
    if (!y) return NULL;
    kua__apply_binary(fn, y->value, a->value, b->value, size_of(y));
    return KUA__NODE(t, y, back, pair, a, b, y);
}

kua__var *kua__add(kua__tape *t, kua__var *a, kua__var *b)
{
    return pairwise(t, "add", kua__kernels_get()->add, add_back, a, b);
}

kua__var *kua__sub(kua__tape *t, kua__var *a, kua__var *b)
{
    return pairwise(t, "sub", kua__kernels_get()->sub, sub_back, a, b);
}

kua__var *kua__mul(kua__tape *t, kua__var *a, kua__var *b)
{
    return pairwise(t, "mul", kua__kernels_get()->mul, mul_back, a, b);
}

/* ---- scaling, and what only changes the gradient ---- */

typedef struct scaled {
    kua__var *x, *y;
    float factor; /* of the gradient */
} scaled;

static void scaled_back(kua__tape *t, void *ctx)
{
    const scaled *op = ctx;
    bool add;
    float *dx = kua__grad(t, op->x, &add);
    if (dx) kua__apply_scale(dx, op->y->grad, op->factor, size_of(op->y), add);
}

kua__var *kua__scale(kua__tape *t, kua__var *x, float factor)
{
    if (!x) return NULL;
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants);
    if (!y) return NULL;
    kua__apply_scale(y->value, x->value, factor, size_of(y), false);
    return KUA__NODE(t, y, scaled_back, scaled, x, y, factor);
}

kua__var *kua__reverse_grad(kua__tape *t, kua__var *x, float lambda)
{
    /* Ganin and Lempitsky (2015): what is above learns a task, what is below unlearns it. */
    if (!x) return NULL;
    kua__var *y = kua__tape_view(t, x->rows, x->cols, x->value, x->wants);
    return y ? KUA__NODE(t, y, scaled_back, scaled, x, y, -lambda) : NULL;
}

kua__var *kua__stop_grad(kua__tape *t, kua__var *x)
{
    return x ? kua__tape_view(t, x->rows, x->cols, x->value, false) : NULL;
}

/* ---- a row or a column with every row ---- */

typedef struct repeated {
    kua__var *x, *row, *y;
} repeated;

static void add_row_back(kua__tape *t, void *ctx)
{
    const repeated *op = ctx;
    float *drow = kua__grad_zeroed(t, op->row);
    if (drow) {
        kua__grad_touch(op->row, 0, 1);
        kua__sum_rows(drow, op->y->grad, op->y->rows, op->y->cols);
    }
    kua__grad_pass(t, op->x, op->y);
}

kua__var *kua__add_row(kua__tape *t, kua__var *x, kua__var *row)
{
    if (!x || !row) return NULL;
    if (row->rows != 1 || row->cols != x->cols)
        return kua__tape_fail_shapes(t, "add_row", "x", x, "row", row);
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants || row->wants);
    if (!y) return NULL;
    kua__copy_rows(y->value, x->cols, x->value, x->cols, x->rows, x->cols, false);
    kua__add_row_to(y->value, row->value, x->rows, x->cols);
    return KUA__NODE(t, y, add_row_back, repeated, x, row, y);
}

typedef struct mul_job {
    float *y;
    const float *x, *factor;
    size_t rows, cols;
    bool add;
} mul_job;

static void mul_row_task(void *ctx, size_t first, size_t last)
{
    const mul_job *job = ctx;
    const kua__kernels *k = kua__kernels_get();
    for (size_t r = first; r < last; r++) {
        size_t at = r * job->cols;
        (job->add ? k->mul_add : k->mul)(job->y + at, job->x + at, job->factor, job->cols);
    }
}

static void mul_col_task(void *ctx, size_t first, size_t last)
{
    const mul_job *job = ctx;
    const kua__kernels *k = kua__kernels_get();
    for (size_t r = first; r < last; r++) {
        size_t at = r * job->cols;
        (job->add ? k->axpy : k->scale)(job->y + at, job->x + at, job->factor[r], job->cols);
    }
}

static void mul_rows(kua__range_fn task, mul_job job)
{
    assert(job.y && job.x && job.factor);
    if (job.rows) kua__parallel_for(job.rows, kua__row_grain(job.cols), task, &job);
}

/* drow[j] += sum over r of x[r,j] dy[r,j], each thread with columns of its own */
static void mul_row_sum_task(void *ctx, size_t first, size_t last)
{
    const mul_job *job = ctx;
    for (size_t r = 0; r < job->rows; r++) {
        size_t at = r * job->cols + first;
        kua__kernels_get()->mul_add(job->y + first, job->x + at, job->factor + at, last - first);
    }
}

static void mul_row_back(kua__tape *t, void *ctx)
{
    const repeated *op = ctx;
    const kua__var *y = op->y;
    bool add;
    float *dx = kua__grad(t, op->x, &add);
    if (dx) mul_rows(mul_row_task, (mul_job){dx, y->grad, op->row->value, y->rows, y->cols, add});
    float *drow = kua__grad_zeroed(t, op->row);
    if (!drow) return;
    kua__grad_touch(op->row, 0, 1);
    mul_job job = {drow, op->x->value, y->grad, y->rows, y->cols, true};
    if (y->cols) kua__parallel_for(y->cols, 32, mul_row_sum_task, &job);
}

kua__var *kua__mul_row(kua__tape *t, kua__var *x, kua__var *row)
{
    if (!x || !row) return NULL;
    if (row->rows != 1 || row->cols != x->cols)
        return kua__tape_fail_shapes(t, "mul_row", "x", x, "row", row);
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants || row->wants);
    if (!y) return NULL;
    mul_rows(mul_row_task, (mul_job){y->value, x->value, row->value, x->rows, x->cols, false});
    return KUA__NODE(t, y, mul_row_back, repeated, x, row, y);
}

static void mul_col_back(kua__tape *t, void *ctx)
{
    const repeated *op = ctx;
    const kua__var *y = op->y, *x = op->x;
    bool add;
    float *dx = kua__grad(t, op->x, &add);
    if (dx) mul_rows(mul_col_task, (mul_job){dx, y->grad, op->row->value, y->rows, y->cols, add});
    float *dcol = kua__grad_zeroed(t, op->row);
    for (size_t r = 0; dcol && r < y->rows; r++) {
        size_t at = r * y->cols;
        dcol[r] += kua__kernels_get()->dot(x->value + at, y->grad + at, y->cols);
    }
    if (dcol) kua__grad_touch(op->row, 0, op->row->rows);
}

kua__var *kua__mul_col(kua__tape *t, kua__var *x, kua__var *col)
{
    if (!x || !col) return NULL;
    if (col->cols != 1 || col->rows != x->rows)
        return kua__tape_fail_shapes(t, "mul_col", "x", x, "col", col);
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants || col->wants);
    if (!y) return NULL;
    mul_rows(mul_col_task, (mul_job){y->value, x->value, col->value, x->rows, x->cols, false});
    return KUA__NODE(t, y, mul_col_back, repeated, x, col, y);
}

/* ---- activations ---- */

typedef struct activation {
    kua__var *x, *y;
    kua__slope_fn slope;
    bool from_result; /* the slope is told by y, not by x */
} activation;

static void activation_back(kua__tape *t, void *ctx)
{
    const activation *op = ctx;
    bool add;
    float *dx = kua__grad(t, op->x, &add);
    const float *seen = op->from_result ? op->y->value : op->x->value;
    if (dx) kua__apply_slope(op->slope, dx, seen, op->y->grad, size_of(op->y), add);
}

static kua__var *activate(kua__tape *t, kua__var *x, kua__unary_fn fn, kua__slope_fn slope,
                          bool from_result)
{
    assert(fn && slope);
    if (!x) return NULL;
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants);
    if (!y) return NULL;
    kua__apply_unary(fn, y->value, x->value, size_of(y));
    return KUA__NODE(t, y, activation_back, activation, x, y, slope, from_result);
}

kua__var *kua__gelu(kua__tape *t, kua__var *x)
{
    return activate(t, x, kua__kernels_get()->gelu, kua__kernels_get()->gelu_back, false);
}

kua__var *kua__relu(kua__tape *t, kua__var *x)
{
    return activate(t, x, kua__kernels_get()->relu, kua__kernels_get()->relu_back, true);
}

kua__var *kua__sigmoid(kua__tape *t, kua__var *x)
{
    return activate(t, x, kua__kernels_get()->sigmoid, kua__kernels_get()->sigmoid_back, true);
}

kua__var *kua__tanh(kua__tape *t, kua__var *x)
{
    return activate(t, x, kua__kernels_get()->tanh, kua__kernels_get()->tanh_back, true);
}

kua__var *kua__silu(kua__tape *t, kua__var *x)
{
    return activate(t, x, kua__kernels_get()->silu, kua__kernels_get()->silu_back, false);
}

typedef struct swiglu {
    kua__var *x, *y;
    float *dx;
    bool add;
} swiglu;

static void swiglu_task(void *ctx, size_t first, size_t last)
{
    const swiglu *op = ctx;
    size_t n = op->y->cols;
    for (size_t r = first; r < last; r++) {
        const float *a = op->x->value + 2 * n * r;
        kua__kernels_get()->swiglu(op->y->value + n * r, a, a + n, n);
    }
}

static void swiglu_back_task(void *ctx, size_t first, size_t last)
{
    const swiglu *op = ctx;
    size_t n = op->y->cols;
    for (size_t r = first; r < last; r++) {
        const float *a = op->x->value + 2 * n * r;
        float *da = op->dx + 2 * n * r;
        kua__kernels_get()->swiglu_back(da, da + n, a, a + n, op->y->grad + n * r, n, op->add);
    }
}

static void swiglu_back(kua__tape *t, void *ctx)
{
    swiglu *op = ctx;
    op->dx = kua__grad(t, op->x, &op->add);
    if (op->dx && op->y->rows)
        kua__parallel_for(op->y->rows, kua__row_grain(op->x->cols), swiglu_back_task, op);
}

kua__var *kua__swiglu(kua__tape *t, kua__var *x)
{
    if (!x) return NULL;
    if (x->cols % 2)
        return kua__tape_fail(t, KUA_SHAPE, "swiglu: x is %zux%zu, columns must be even", x->rows,
                              x->cols);
    kua__var *y = kua__tape_result(t, x->rows, x->cols / 2, x->wants);
    if (!y) return NULL;
    swiglu op = {.x = x, .y = y};
    if (x->rows) kua__parallel_for(x->rows, kua__row_grain(x->cols), swiglu_task, &op);
    return kua__tape_node(t, y, swiglu_back, &op, sizeof(op));
}

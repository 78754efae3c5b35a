/* apply.c - kernels over whole matrices, cut over the threads.
 *
 * The cut changes no result: elements do not depend on their neighbours, and sums over rows are cut
 * by columns. A grain keeps small matrices on one thread: waking another costs more than they do.
 */
#include "grad/apply.h"

#include <assert.h>

#include "tensor/gemm.h"

typedef struct flat_job {
    kua__unary_fn unary; /* one of the three, or none: axpy or scale by factor */
    kua__binary_fn binary;
    kua__slope_fn slope;
    float *y;
    const float *a, *b;
    float factor;
    bool add;
} flat_job;

static void flat_task(void *ctx, size_t first, size_t last)
{
    const flat_job *job = ctx;
    float *y = job->y + first;
    size_t n = last - first;
    if (job->unary)
        job->unary(y, job->a + first, n);
    else if (job->binary)
        job->binary(y, job->a + first, job->b + first, n);
    else if (job->slope)
        job->slope(y, job->a + first, job->b + first, n, job->add);
    else if (job->add)
        kua__kernels_get()->axpy(y, job->a + first, job->factor, n);
    else
        kua__kernels_get()->scale(y, job->a + first, job->factor, n);
}

static void flat(flat_job job, size_t n)
{
    assert(n == 0 || (job.y && job.a));
    if (n) kua__parallel_for(n, KUA__GRAIN, flat_task, &job);
}

void kua__apply_unary(kua__unary_fn fn, float *y, const float *x, size_t n)
{
    flat((flat_job){.unary = fn, .y = y, .a = x}, n);
}

void kua__apply_binary(kua__binary_fn fn, float *y, const float *a, const float *b, size_t n)
{
    flat((flat_job){.binary = fn, .y = y, .a = a, .b = b}, n);
}

void kua__apply_slope(kua__slope_fn fn, float *dx, const float *x, const float *dy, size_t n,
                      bool add)
{
    flat((flat_job){.slope = fn, .y = dx, .a = x, .b = dy, .add = add}, n);
}

void kua__apply_scale(float *y, const float *x, float factor, size_t n, bool add)
{
    flat((flat_job){.y = y, .a = x, .factor = factor, .add = add}, n);
}

void kua__add_to(float *y, const float *x, size_t n)
{
    kua__apply_scale(y, x, 1, n, true);
}

/* ---- rows ---- */

typedef struct rows_job {
    float *y;
    const float *x;
    size_t y_stride, x_stride, rows, cols; /* strides in floats; 0: the same row again and again */
    bool add;
} rows_job;

static void copy_task(void *ctx, size_t first, size_t last)
{
    const rows_job *job = ctx;
    for (size_t r = first; r < last; r++) {
        float *y = job->y + r * job->y_stride;
        const float *x = job->x + r * job->x_stride;
        if (job->add)
            kua__kernels_get()->add(y, y, x, job->cols);
        else
            memcpy(y, x, job->cols * sizeof(*y));
    }
}

void kua__copy_rows(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                    size_t cols, bool add)
{
    assert(rows <= 1 || y_stride >= cols); /* rows of y do not overlap: threads write them */
    rows_job job = {y, x, y_stride, x_stride, rows, cols, add};
    if (rows && cols) kua__parallel_for(rows, kua__row_grain(cols), copy_task, &job);
}

static void sum_task(void *ctx, size_t first, size_t last)
{
    /* Columns first .. last of all rows, in order: who adds a column adds all of it. */
    const rows_job *job = ctx;
    for (size_t r = 0; r < job->rows; r++) {
        const float *x = job->x + r * job->x_stride + first;
        kua__kernels_get()->add(job->y + first, job->y + first, x, last - first);
    }
}

void kua__sum_rows(float *sum, const float *x, size_t rows, size_t cols)
{
    rows_job job = {.y = sum, .x = x, .x_stride = cols, .rows = rows, .cols = cols};
    size_t grain = rows * cols <= KUA__GRAIN ? cols : 32;
    if (rows && cols) kua__parallel_for(cols, grain, sum_task, &job);
}

void kua__add_row_to(float *y, const float *row, size_t rows, size_t cols)
{
    kua__copy_rows(y, cols, row, 0, rows, cols, true);
}

void kua__product(kua__tape *t, bool ta, bool tb, size_t m, size_t n, size_t k, const float *a,
                  size_t lda, const float *b, size_t ldb, bool add, float *c)
{
    assert(t && (m == 0 || n == 0 || c));
    kua_status st;
    if (kua__tape_bf16(t))
        st = kua__gemm_bf16(ta, tb, m, n, k, a, lda, b, ldb, add ? 1.0f : 0.0f, c, n);
    else
        st = kua__gemm(ta, tb, m, n, k, 1.0f, a, lda, b, ldb, add ? 1.0f : 0.0f, c, n);
    if (st) kua__tape_fail_status(t, st);
}

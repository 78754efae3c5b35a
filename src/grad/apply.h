/* grad/apply.h - kernels over whole matrices, cut over the threads; shared by the files of
 * operations. */
#ifndef KUA_GRAD_APPLY_H
#define KUA_GRAD_APPLY_H

#include "grad/tape.h"
#include "tensor/kernels.h"

/* Elements or rows a thread must have before another is woken. */
enum { KUA__GRAIN = 1 << 14 };

static inline size_t kua__row_grain(size_t cols)
{
    return cols >= KUA__GRAIN ? 1 : KUA__GRAIN / (cols ? cols : 1);
}

typedef void (*kua__unary_fn)(float *y, const float *x, size_t n);
typedef void (*kua__binary_fn)(float *y, const float *a, const float *b, size_t n);
typedef void (*kua__slope_fn)(float *dx, const float *x, const float *dy, size_t n, bool add);

void kua__apply_unary(kua__unary_fn fn, float *y, const float *x, size_t n);
void kua__apply_binary(kua__binary_fn fn, float *y, const float *a, const float *b, size_t n);
void kua__apply_slope(kua__slope_fn fn, float *dx, const float *x, const float *dy, size_t n,
                      bool add);
/* y = factor x, or y += factor x where add */
void kua__apply_scale(float *y, const float *x, float factor, size_t n, bool add);
void kua__add_to(float *y, const float *x, size_t n); /* y += x */
/* Rows of `cols` floats, with any distance between them: y = x, or y += x. */
void kua__copy_rows(float *y, size_t y_stride, const float *x, size_t x_stride, size_t rows,
                    size_t cols, bool add);
/* sum[cols] += the sum of x's rows; each thread has columns of its own, so the order is fixed. */
void kua__sum_rows(float *sum, const float *x, size_t rows, size_t cols);
/* Every row of y += row. */
void kua__add_row_to(float *y, const float *row, size_t rows, size_t cols);
/* C = op(A) op(B) (+ C where add), in bf16 if the tape says so; a failure goes to the tape. */
void kua__product(kua__tape *t, bool ta, bool tb, size_t m, size_t n, size_t k, const float *a,
                  size_t lda, const float *b, size_t ldb, bool add, float *c);

#endif

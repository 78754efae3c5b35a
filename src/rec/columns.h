/* rec/columns.h - the columns of the inverse of a matrix that is sparse in part.
 *
 *     kua__columns_problem p = {.n = n, .row = gram_row, .column = take, .ctx = me};
 *     st = kua__inverse_columns(&p, monitor);
 *
 * The matrix is symmetric positive definite and given row by row, the inverse is given back a few
 * columns at a time; neither exists as a whole here. See columns.c for how and why.
 */
#ifndef KUA_REC_COLUMNS_H
#define KUA_REC_COLUMNS_H

#include "base/base.h"

enum { KUA__COLUMNS = 64 };

typedef struct kua__columns_problem {
    size_t n;
    /* out[n] := row i of the matrix. Called by several threads. */
    void (*row)(void *ctx, size_t i, float *out);
    /* Columns first .. first + width of the inverse, in the order that was chosen: x[k,
     * KUA__COLUMNS] holds the elements of rows order[k]. Called once for each range, by several
     * threads. */
    void (*columns)(void *ctx, size_t first, size_t width, const float *x);
    void *ctx;
    uint32_t *order; /* [n] result: which row stands at place k; known before `columns` is called */
    size_t n_sparse; /* result: how many rows were eliminated one by one */
    double dense_seconds; /* result: time of the dense inverse of the others */
} kua__columns_problem;

/* KUA_INVALID: not positive definite. */
kua_status kua__inverse_columns(kua__columns_problem *problem, const kua_monitor *monitor);

#endif

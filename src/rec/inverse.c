/* inverse.c - inverse by Cholesky, in place, block by block.
 *
 *     A = L L^T          block columns from the left: diagonal block, panel below it, update of what is right of it
 *     X = L^-1           block rows from the top, over L
 *     P = X^T X          block rows from the top, over X: row i of P needs rows >= i of X only
 *
 * Each step is a matrix product (kua__gemm) over the lower triangle; diagonal blocks are done by plain loops in double
 * precision. Only blocks on and below the diagonal are touched until the end, when the upper triangle is mirrored.
 */
#include "rec/inverse.h"

#include <math.h>
#include <string.h>

#include "tensor/gemm.h"

enum { BLOCK = 192 };

typedef struct inverse {
    float *a;
    size_t n;
    float *diagonal; /* [BLOCK, BLOCK] inverse of a diagonal block's factor */
    float *panel;    /* [n, BLOCK] */
} inverse;

static size_t block_size(const inverse *v, size_t at)
{
    return KUA__MIN((size_t)BLOCK, v->n - at);
}

/* Cholesky of the diagonal block at `at`, in place; then its inverse into v->diagonal (lower). */
static kua_status factor_diagonal(inverse *v, size_t at, size_t m)
{
    float *a = v->a + at * v->n + at, *inv = v->diagonal;
    for (size_t j = 0; j < m; j++) {
        for (size_t i = j; i < m; i++) {
            double sum = a[i * v->n + j];
            for (size_t k = 0; k < j; k++) sum -= (double)a[i * v->n + k] * (double)a[j * v->n + k];
            if (i == j && !(sum > 0)) return kua__fail(KUA_INVALID, "a matrix is not positive definite at row %zu", at + i);
            a[i * v->n + j] = (float)(i == j ? sqrt(sum) : sum / (double)a[j * v->n + j]);
        }
    }
    memset(inv, 0, BLOCK * BLOCK * sizeof(*inv));
    for (size_t j = 0; j < m; j++) {
        for (size_t i = j; i < m; i++) {
            double sum = i == j ? 1 : 0;
            for (size_t k = j; k < i; k++) sum -= (double)a[i * v->n + k] * (double)inv[k * BLOCK + j];
            inv[i * BLOCK + j] = (float)(sum / (double)a[i * v->n + i]);
        }
    }
    return KUA_OK;
}

/* A22 -= panel panel^T, lower blocks only: one product per block column. */
static kua_status update_right(inverse *v, size_t from, size_t m)
{
    kua_status st = KUA_OK;
    for (size_t j = from; !st && j < v->n; j += BLOCK) {
        size_t w = block_size(v, j);
        const float *rows = v->panel + (j - from) * BLOCK;
        st = kua__gemm(false, true, v->n - j, w, m, -1, rows, BLOCK, rows, BLOCK, 1, v->a + j * v->n + j, v->n);
    }
    return st;
}

static kua_status factor(inverse *v, const kua_monitor *monitor)
{
    for (size_t at = 0; at < v->n; at += BLOCK) {
        size_t m = block_size(v, at), below = v->n - at - m;
        float *panel = v->a + (at + m) * v->n + at;
        KUA__TRY(factor_diagonal(v, at, m));
        if (below) KUA__TRY(kua__gemm(false, true, below, m, m, 1, panel, v->n, v->diagonal, BLOCK, 0, v->panel, BLOCK));
        for (size_t i = 0; i < below; i++) memcpy(panel + i * v->n, v->panel + i * BLOCK, m * sizeof(*panel));
        /* The inverse of the factor's diagonal block is what the next step needs in its place. */
        for (size_t i = 0; i < m; i++) memcpy(v->a + (at + i) * v->n + at, v->diagonal + i * BLOCK, m * sizeof(*panel));
        KUA__TRY(update_right(v, at + m, m));
        KUA__TRY(kua__progress(monitor, "invert, step 1 of 3", at + m, v->n));
    }
    return KUA_OK;
}

/* X_i,: = -X_ii L_i,: X above; the diagonal blocks hold X_ii already. */
static kua_status invert_factor(inverse *v, const kua_monitor *monitor)
{
    for (size_t at = BLOCK; at < v->n; at += BLOCK) {
        size_t m = block_size(v, at);
        float *row = v->a + at * v->n, *sum = v->panel; /* [m, at] */
        for (size_t j = 0; j < at; j += BLOCK) {
            size_t w = block_size(v, j);
            KUA__TRY(kua__gemm(false, false, m, w, at - j, 1, row + j, v->n, v->a + j * v->n + j, v->n, 0, sum + j, v->n));
        }
        KUA__TRY(kua__gemm(false, false, m, at, m, -1, row + at, v->n, sum, v->n, 0, row, v->n));
        KUA__TRY(kua__progress(monitor, "invert, step 2 of 3", at + m, v->n));
    }
    return KUA_OK;
}

/* P_i,0..i = sum over k >= i of X_k,i^T X_k,0..i */
static kua_status multiply(inverse *v, const kua_monitor *monitor)
{
    for (size_t at = 0; at < v->n; at += BLOCK) {
        size_t m = block_size(v, at), width = at + m;
        const float *below = v->a + at * v->n;
        KUA__TRY(kua__gemm(true, false, m, width, v->n - at, 1, below + at, v->n, below, v->n, 0, v->panel, v->n));
        for (size_t i = 0; i < m; i++) memcpy(v->a + (at + i) * v->n, v->panel + i * v->n, width * sizeof(*v->a));
        KUA__TRY(kua__progress(monitor, "invert, step 3 of 3", at + m, v->n));
    }
    return KUA_OK;
}

/* Zeros above the diagonal inside diagonal blocks were set with the inverse of each; here the result is mirrored. */
static void mirror(void *ctx, size_t first, size_t last)
{
    inverse *v = ctx;
    for (size_t i = first; i < last; i++) {
        for (size_t j = 0; j < i; j++) v->a[j * v->n + i] = v->a[i * v->n + j];
    }
}

kua_status kua__inverse_spd(float *a, size_t n, const kua_monitor *monitor)
{
    inverse v = {.a = a, .n = n};
    kua_status st = KUA__NEW_ARRAY(&v.diagonal, BLOCK * BLOCK, "a block");
    if (!st) st = KUA__NEW_ARRAY(&v.panel, n * BLOCK, "a panel");
    if (!st) st = factor(&v, monitor);
    if (!st) st = invert_factor(&v, monitor);
    if (!st) st = multiply(&v, monitor);
    if (!st) kua__parallel_for(n, 64, mirror, &v);
    kua__free(v.diagonal);
    kua__free(v.panel);
    return st;
}

/* inverse.c - inverse by halves, in place.
 *
 *     A = [ B  C^T ]        P = B^-1                      recursion
 *         [ C  D   ]        T = P C^T                     written over the unused upper right block
 *                           Q = (D - C T)^-1              recursion on the Schur complement
 *                           C := -Q T^T
 *                           P := P - T C                  since P + T Q T^T is the upper left block
 *
 * Every step is one matrix product over half the size, so that nearly all the work runs at the
 * speed of kua__gemm, which a Cholesky factorisation in narrow panels does not reach. Of D and P
 * only the lower triangle is updated (in panels of block columns) and mirrored afterwards, which
 * brings the count to that of Cholesky: 6 (n/2)^3 on this level, n^3 in all. Blocks of BASE are
 * inverted by plain loops in double precision.
 *
 * Accuracy: a principal block of a positive definite matrix and its Schur complement are
 * conditioned no worse than the matrix itself, so the error is that of the condition number times
 * 6e-8.
 */
#include "rec/inverse.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/gemm.h"

enum { BASE = 48, UNIT = 48, PANELS = 12 };

typedef struct progress {
    const kua_monitor *monitor;
    uint64_t done, total; /* thousands of millions of operations */
    double work;          /* operations */
} progress;

/* ---- small blocks ---- */

/* w[n, n] := its Cholesky factor (lower); then x := the factor's inverse (lower). */
static kua_status factor(double *w, double *x, size_t n)
{
    for (size_t j = 0; j < n; j++) {
        for (size_t i = j; i < n; i++) {
            double sum = w[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= w[i * n + k] * w[j * n + k];
            if (i == j && !(sum > 0))
                return kua__fail(KUA_INVALID, "a matrix is not positive definite (pivot %g)", sum);
            w[i * n + j] = i == j ? sqrt(sum) : sum / w[j * n + j];
        }
    }
    for (size_t j = 0; j < n; j++) {
        for (size_t i = j; i < n; i++) {
            double sum = i == j ? 1 : 0;
            for (size_t k = j; k < i; k++)
                sum -= w[i * n + k] * x[k * n + j];
            x[i * n + j] = sum / w[i * n + i];
        }
    }
    return KUA_OK;
}

static kua_status invert_small(float *a, size_t n, size_t ld)
{
    double w[BASE * BASE], x[BASE * BASE] = {0};
    assert(n <= BASE);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++)
            w[i * n + j] = (double)a[i * ld + j];
    }
    KUA__TRY(factor(w, x, n));
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t k = i; k < n; k++)
                sum += x[k * n + i] * x[k * n + j];
            a[i * ld + j] = a[j * ld + i] = (float)sum;
        }
    }
    return KUA_OK;
}

/* ---- mirrors ---- */

typedef struct mirror {
    const float *from;
    float *to;
    size_t rows, cols, ld;
    bool lower; /* only below the diagonal */
} mirror;

enum { TILE = 16 };

/* to[j, i] = from[i, j], tile by tile, for rows of tiles [first, last). */
static void mirror_rows(void *ctx, size_t first, size_t last)
{
    const mirror *m = ctx;
    size_t end = KUA__MIN(last * TILE, m->rows);
    for (size_t top = first * TILE; top < end; top += TILE) {
        size_t bottom = KUA__MIN(top + TILE, end);
        size_t right_end = m->lower ? KUA__MIN(bottom, m->cols) : m->cols;
        for (size_t left = 0; left < right_end; left += TILE) {
            size_t right = KUA__MIN(left + TILE, right_end);
            for (size_t j = left; j < right; j++) {
                for (size_t i = m->lower ? KUA__MAX(top, j + 1) : top; i < bottom; i++)
                    m->to[j * m->ld + i] = m->from[i * m->ld + j];
            }
        }
    }
}

/* Rows near the bottom of a triangle are longer: many short ranges keep the threads level. */
static void mirror_chunk(void *ctx, int thread, size_t first, size_t last)
{
    (void)thread;
    mirror_rows(ctx, first, last);
}

static void mirror_lower(float *a, size_t n, size_t ld)
{
    mirror m = {a, a, n, n, ld, true};
    kua__parallel_chunks((n + TILE - 1) / TILE, 8, mirror_chunk, &m);
}

static void mirror_block(const float *from, float *to, size_t rows, size_t cols, size_t ld)
{
    mirror m = {from, to, rows, cols, ld, false};
    kua__parallel_chunks((rows + TILE - 1) / TILE, 8, mirror_chunk, &m);
}

/* ---- halves ---- */

/* Lower triangle of c[n, n] -= a[n, k] b[k, n], one panel of columns after the other. */
static kua_status subtract_lower(float *c, size_t n, size_t k, const float *a, const float *b,
                                 size_t ld, progress *p)
{
    size_t width = KUA__MAX((size_t)UNIT, (n / PANELS + UNIT - 1) / UNIT * UNIT);
    for (size_t j = 0; j < n; j += width) {
        size_t w = KUA__MIN(width, n - j);
        KUA__TRY(kua__gemm(false, false, n - j, w, k, -1, a + j * ld, ld, b + j, ld, 1,
                           c + j * ld + j, ld));
        p->work += 2.0 * (double)(n - j) * (double)w * (double)k;
        p->done = KUA__MIN((uint64_t)(p->work / 1e9), p->total - 1);
        KUA__TRY(kua__progress(p->monitor, "invert", p->done, p->total));
    }
    return KUA_OK;
}

static kua_status invert(float *a, size_t n, size_t ld, progress *p)
{
    if (n <= BASE) return invert_small(a, n, ld);
    size_t h = KUA__MIN((n / 2 + UNIT - 1) / UNIT * UNIT, n - 1), r = n - h;
    float *b = a, *t = a + h, *c = a + h * ld, *d = a + h * ld + h;
    KUA__TRY(invert(b, h, ld, p));
    KUA__TRY(kua__gemm(false, true, h, r, h, 1, b, ld, c, ld, 0, t, ld));
    KUA__TRY(subtract_lower(d, r, h, c, t, ld, p));
    KUA__TRY(invert(d, r, ld, p));
    KUA__TRY(kua__gemm(false, true, r, h, r, -1, d, ld, t, ld, 0, c, ld));
    KUA__TRY(subtract_lower(b, h, r, t, c, ld, p));
    mirror_lower(b, h, ld);
    mirror_block(c, t, r, h, ld);
    p->work += 2.0 * (double)h * (double)r * (double)n;
    return KUA_OK;
}

kua_status kua__inverse_spd(float *a, size_t n, size_t ld, const kua_monitor *monitor)
{
    assert(ld >= n && (a || n == 0));
    double work = (double)n * (double)n * (double)n;
    progress p = {.monitor = monitor, .total = 1 + (uint64_t)(work / 1e9)};
    if (n == 0) return KUA_OK;
    KUA__TRY(invert(a, n, ld, &p));
    return kua__progress(monitor, "invert", p.total, p.total);
}

/* eigen.c - the symmetric eigenproblem: Householder reduction to tridiagonal form, then QL with
 * implicit shifts (Golub and Van Loan, "Matrix computations", 8.3; Wilkinson and Reinsch, 1971).
 *
 *     A  --reflections-->  T = Q^T A Q, tridiagonal  --rotations-->  diagonal
 *
 * Vectors are kept as rows throughout (R = Q^T): reflections and rotations then run along memory.
 *
 * Invariants
 *   E1  R has orthonormal rows at every moment.
 *   E2  R A R^T is tridiagonal after reduce(), with diagonal d and off[i] between i and i + 1.
 */
#include "tensor/eigen.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

enum { SWEEPS_MAX = 60 }; /* of QL for one value; 2 or 3 are usual */

static double dot(const double *a, const double *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* v becomes the unit vector whose reflection I - 2 v v^T maps x onto the first axis; returns what
 * the first element becomes. v is 0 where x is on the axis already. */
static double reflection(double *v, const double *x, size_t n)
{
    assert(n >= 1);
    double length = sqrt(dot(x, x, n)), rest = n > 1 ? dot(x + 1, x + 1, n - 1) : 0;
    memset(v, 0, n * sizeof(*v));
    if (rest == 0) return x[0];
    double to = x[0] > 0 ? -length : length; /* away from x[0]: nothing cancels in v[0] */
    memcpy(v, x, n * sizeof(*v));
    v[0] -= to;
    double scale = 1 / sqrt(dot(v, v, n));
    for (size_t i = 0; i < n; i++)
        v[i] *= scale;
    return to;
}

/* A = H A H for the reflection of v, on the m x m block at `a` (rows n apart): A -= 2 (v w^T +
 * w v^T) with w = A v - (v . A v) v. */
static void reflect_both_sides(double *a, size_t n, const double *v, double *w, size_t m)
{
    for (size_t i = 0; i < m; i++)
        w[i] = dot(a + i * n, v, m);
    double along = dot(v, w, m);
    for (size_t i = 0; i < m; i++)
        w[i] -= along * v[i];
    for (size_t i = 0; i < m; i++) {
        double vi = 2 * v[i], wi = 2 * w[i];
        for (size_t j = 0; j < m; j++)
            a[i * n + j] -= vi * w[j] + wi * v[j];
    }
}

/* d[n], off[n] and R (vectors) of E2. The reflections are kept in the rows of a's finished part. */
static void reduce(size_t n, double *a, double *d, double *off, double *r, double *work)
{
    for (size_t k = 0; k + 1 < n; k++) {
        size_t m = n - k - 1;
        double *v = work, *column = work + n;
        for (size_t i = 0; i < m; i++)
            column[i] = a[(k + 1 + i) * n + k];
        d[k] = a[k * n + k];
        off[k] = reflection(v, column, m);
        reflect_both_sides(a + (k + 1) * n + k + 1, n, v, column, m);
        memcpy(a + k * n + k + 1, v, m * sizeof(*v));
    }
    d[n - 1] = a[n * n - 1];
    off[n - 1] = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++)
            r[i * n + j] = i == j;
    }
    for (size_t k = n - 1; k-- > 0;) { /* R = H_last ... H_0, from the left */
        const double *v = a + k * n + k + 1;
        size_t m = n - k - 1;
        for (size_t i = k + 1; i < n; i++) {
            double *row = r + i * n + k + 1, s = 2 * dot(row, v, m);
            for (size_t j = 0; j < m; j++)
                row[j] -= s * v[j];
        }
    }
}

/* Rows x and y of R, which stay orthonormal (E1). */
static void rotate(double *x, double *y, size_t n, double c, double s)
{
    for (size_t k = 0; k < n; k++) {
        double xk = x[k], yk = y[k];
        y[k] = s * xk + c * yk;
        x[k] = c * xk - s * yk;
    }
}

/* One QL step with an implicit shift on the unreduced block first .. last. */
static void ql_step(size_t n, size_t first, size_t last, double *d, double *off, double *r)
{
    assert(first < last && last < n);
    double g = (d[first + 1] - d[first]) / (2 * off[first]);
    g = d[last] - d[first] + off[first] / (g + copysign(hypot(g, 1), g));
    double s = 1, c = 1, p = 0;
    for (size_t i = last; i-- > first;) {
        double f = s * off[i], b = c * off[i], h = hypot(f, g);
        off[i + 1] = h;
        if (h == 0) { /* the block falls apart here */
            d[i + 1] -= p;
            off[last] = 0;
            return;
        }
        s = f / h;
        c = g / h;
        g = d[i + 1] - p;
        double q = (d[i] - g) * s + 2 * c * b;
        p = s * q;
        d[i + 1] = g + p;
        g = c * q - b;
        rotate(r + i * n, r + (i + 1) * n, n, c, s);
    }
    d[first] -= p;
    off[first] = g;
    off[last] = 0;
}

static kua_status diagonalize(size_t n, double *d, double *off, double *r)
{
    for (size_t first = 0; first < n; first++) { /* values before it are done */
        for (size_t sweep = 0;; sweep++) {
            size_t last = first;
            /* The block ends where the element beside the diagonal is nothing beside its two. */
            while (last + 1 < n &&
                   fabs(off[last]) > DBL_EPSILON * (fabs(d[last]) + fabs(d[last + 1])))
                last++;
            if (last == first) break;
            if (sweep == SWEEPS_MAX)
                return kua__fail(KUA_INTERNAL, "eigen: value %zu of %zu did not converge", first,
                                 n);
            ql_step(n, first, last, d, off, r);
        }
    }
    return KUA_OK;
}

/* By selection: n swaps of rows at most. Signs are fixed so that results do not hang on rounding.
 */
static void sort_down(size_t n, double *values, double *vectors)
{
    for (size_t i = 0; i < n; i++) {
        size_t best = i;
        for (size_t j = i + 1; j < n; j++)
            best = values[j] > values[best] ? j : best;
        double value = values[i], *a = vectors + i * n, *b = vectors + best * n, most = 0;
        values[i] = values[best];
        values[best] = value;
        for (size_t k = 0; k < n && best != i; k++) {
            double x = a[k];
            a[k] = b[k];
            b[k] = x;
        }
        for (size_t k = 0; k < n; k++)
            most = fabs(a[k]) > fabs(most) ? a[k] : most;
        for (size_t k = 0; k < n && most < 0; k++)
            a[k] = -a[k];
    }
}

kua_status kua__eigen_symmetric(size_t n, double *a, double *values, double *vectors)
{
    assert(n >= 1 && a && values && vectors);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            if (!isfinite(a[i * n + j]))
                return kua__fail(KUA_INVALID, "eigen: element %zu,%zu of %zux%zu is not finite", i,
                                 j, n, n);
            a[j * n + i] = a[i * n + j];
        }
    }
    double *work = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&work, 3 * n, "an eigenproblem"));
    reduce(n, a, values, work + 2 * n, vectors, work);
    kua_status st = diagonalize(n, values, work + 2 * n, vectors);
    if (!st) sort_down(n, values, vectors);
    kua__free(work);
    return st;
}

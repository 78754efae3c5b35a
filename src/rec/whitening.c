/* whitening.c - principal components by the covariance's eigenvectors, block by block: memory is
 * that of a block and of [dim, dim], whatever the number of rows. */
#include "rec/whitening.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "tensor/eigen.h"
#include "tensor/gemm.h"

enum { BLOCK = 1024 }; /* rows centred at a time */

/* ---- statistics ---- */

static bool has_text(const float *x, size_t dim)
{
    for (size_t c = 0; c < dim; c++) {
        if (x[c] != 0) return true;
    }
    return false;
}

/* Fills w->mean with the help of sum[dim]; returns how many rows have a text. */
static size_t find_mean(kua__whitening *w, const kua__vectors *lists, size_t n_lists, double *sum)
{
    size_t rows = 0;
    memset(sum, 0, w->dim * sizeof(*sum));
    for (size_t d = 0; d < n_lists; d++) {
        for (size_t i = 0; i < lists[d].n; i++) {
            const float *x = lists[d].row + i * w->dim;
            rows += has_text(x, w->dim);
            for (size_t c = 0; c < w->dim; c++)
                sum[c] += (double)x[c];
        }
    }
    for (size_t c = 0; c < w->dim; c++)
        w->mean[c] = (float)(sum[c] / (double)KUA__MAX(rows, 1));
    return rows;
}

static void centre(const kua__whitening *w, const float *vector, size_t rows, float *out)
{
    for (size_t i = 0; i < rows; i++) {
        const float *x = vector + i * w->dim;
        bool some = has_text(x, w->dim);
        for (size_t c = 0; c < w->dim; c++)
            out[i * w->dim + c] = some ? x[c] - w->mean[c] : 0;
    }
}

/* Scratch of a fit. */
typedef struct scratch {
    double *square, *vectors, *values; /* [dim, dim], [dim, dim], [dim] */
    float *block, *product;            /* [BLOCK, dim], [dim, dim] */
} scratch;

/* square = sum of x x^T over the centred rows */
static kua_status add_squares(const kua__whitening *w, const kua__vectors *lists, size_t n_lists,
                              scratch *s)
{
    size_t dim = w->dim;
    memset(s->square, 0, dim * dim * sizeof(*s->square));
    for (size_t d = 0; d < n_lists; d++) {
        for (size_t first = 0; first < lists[d].n; first += BLOCK) {
            size_t rows = KUA__MIN((size_t)BLOCK, lists[d].n - first);
            centre(w, lists[d].row + first * dim, rows, s->block);
            KUA__TRY(kua__gemm(true, false, dim, dim, rows, 1, s->block, dim, s->block, dim, 0,
                               s->product, dim));
            for (size_t i = 0; i < dim * dim; i++)
                s->square[i] += (double)s->product[i];
        }
    }
    return KUA_OK;
}

static void fill_basis(kua__whitening *w, const scratch *s, size_t rows, double power)
{
    for (size_t i = 0; i < w->k; i++) {
        bool some = s->values[i] > 1e-9 * s->values[0];
        double variance = s->values[i] / (double)KUA__MAX(rows, 1);
        double scale = some ? pow(variance, -power / 2) : 0;
        for (size_t c = 0; c < w->dim; c++)
            w->basis[i * w->dim + c] = (float)(scale * s->vectors[i * w->dim + c]);
    }
}

/* ---- fitting ---- */

static kua_status make_room(kua__whitening *w)
{
    KUA__TRY(KUA__NEW_ARRAY(&w->mean, w->dim, "the whitening of text vectors"));
    return KUA__NEW_ARRAY(&w->basis, w->k * w->dim, "the whitening of text vectors");
}

static kua_status make_scratch(scratch *s, size_t dim)
{
    KUA__TRY(KUA__NEW_ARRAY(&s->square, dim * dim, "principal components"));
    KUA__TRY(KUA__NEW_ARRAY(&s->vectors, dim * dim, "principal components"));
    KUA__TRY(KUA__NEW_ARRAY(&s->values, dim, "principal components"));
    KUA__TRY(KUA__NEW_ARRAY(&s->block, BLOCK * dim, "principal components"));
    return KUA__NEW_ARRAY(&s->product, dim * dim, "principal components");
}

static void free_scratch(scratch *s)
{
    kua__free(s->square);
    kua__free(s->vectors);
    kua__free(s->values);
    kua__free(s->block);
    kua__free(s->product);
}

kua_status kua__whitening_fit(kua__whitening *w, const kua__vectors *lists, size_t n_lists,
                              size_t dim, size_t k, double power)
{
    size_t all = 0;
    scratch s = {0};
    assert(n_lists >= 1 && dim >= 1 && k >= 1 && !w->mean);
    for (size_t d = 0; d < n_lists; d++)
        all += lists[d].n;
    k = KUA__MIN(k, KUA__MAX(all, 2) - 1); /* centred rows span no more */
    *w = (kua__whitening){.dim = dim, .k = KUA__MIN(k, dim)};
    kua_status st = make_room(w);
    if (!st) st = make_scratch(&s, dim);
    size_t rows = st ? 0 : find_mean(w, lists, n_lists, s.values);
    if (!st) st = add_squares(w, lists, n_lists, &s);
    if (!st) st = kua__eigen_symmetric(dim, s.square, s.values, s.vectors);
    if (!st) fill_basis(w, &s, rows, power);
    free_scratch(&s);
    return st;
}

static double sum_of_lengths(const float *row, size_t n, size_t k)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t c = 0; c < k; c++)
            square += (double)row[i * k + c] * (double)row[i * k + c];
        sum += sqrt(square);
    }
    return sum;
}

kua_status kua__whitening_to_unit(kua__whitening *w, const kua__vectors *lists, size_t n_lists)
{
    double sum = 0, rows = 0;
    float *out = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&out, BLOCK * w->k, "text vectors"));
    kua_status st = KUA_OK;
    for (size_t d = 0; d < n_lists; d++) {
        for (size_t first = 0; first < lists[d].n && !st; first += BLOCK) {
            size_t part = KUA__MIN((size_t)BLOCK, lists[d].n - first);
            st = kua__whitening_apply(w, lists[d].row + first * w->dim, part, out);
            if (!st) sum += sum_of_lengths(out, part, w->k);
        }
        rows += (double)lists[d].n;
    }
    for (size_t i = 0; i < w->k * w->dim && sum > 0; i++)
        w->basis[i] *= (float)(rows / sum);
    kua__free(out);
    return st;
}

kua_status kua__whitening_copy(kua__whitening *to, const kua__whitening *from)
{
    assert(!to->mean && from->mean);
    *to = (kua__whitening){.dim = from->dim, .k = from->k};
    KUA__TRY(make_room(to));
    memcpy(to->mean, from->mean, to->dim * sizeof(float));
    memcpy(to->basis, from->basis, to->k * to->dim * sizeof(float));
    return KUA_OK;
}

/* ---- use ---- */

kua_status kua__whitening_apply(const kua__whitening *w, const float *vector, size_t n, float *out)
{
    float *block = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&block, BLOCK * w->dim, "text vectors"));
    kua_status st = KUA_OK;
    for (size_t i = 0; i < n && !st; i += BLOCK) {
        size_t rows = KUA__MIN((size_t)BLOCK, n - i);
        centre(w, vector + i * w->dim, rows, block);
        st = kua__gemm(false, true, rows, w->k, w->dim, 1, block, w->dim, w->basis, w->dim, 0,
                       out + i * w->k, w->k);
    }
    kua__free(block);
    return st;
}

void kua__whitening_release(kua__whitening *w)
{
    kua__free(w->mean);
    kua__free(w->basis);
    *w = (kua__whitening){0};
}

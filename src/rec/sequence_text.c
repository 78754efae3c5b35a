/* sequence_text.c - whitening of text vectors.
 *
 * Sentence vectors lie in a narrow cone: their cosines differ little. Dividing each principal
 * component by the square root of its deviation (half way to full whitening) spreads them without
 * blowing up the noise of the last components; full whitening lost on every split that was tried.
 * The statistics belong to the body: a transferred adaptor needs the ones it was trained with.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "rec/sequence_model.h"
#include "tensor/eigen.h"
#include "tensor/gemm.h"

enum { BLOCK = 1024 }; /* rows centred at a time */

static size_t mean_of(const kua__sequence_domain *domains, size_t n, size_t dim, double *mean)
{
    size_t rows = 0;
    memset(mean, 0, dim * sizeof(*mean));
    for (size_t d = 0; d < n; d++) {
        size_t items = domains[d].train->log->n_items;
        for (size_t i = 0; i < items; i++) {
            for (size_t c = 0; c < dim; c++)
                mean[c] += domains[d].side->vector[i * dim + c];
        }
        rows += items;
    }
    for (size_t c = 0; c < dim; c++)
        mean[c] /= (double)KUA__MAX(rows, 1);
    return rows;
}

static void centre(const float *vector, const float *mean, size_t rows, size_t dim, float *out)
{
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < dim; c++)
            out[i * dim + c] = vector[i * dim + c] - mean[c];
    }
}

/* square[dim, dim] = sum of x x^T over the centred rows of all domains */
static kua_status add_squares(const kua__whitening *w, const kua__sequence_domain *domains,
                              size_t n, float *block, float *square)
{
    size_t dim = w->dim;
    memset(square, 0, dim * dim * sizeof(*square));
    for (size_t d = 0; d < n; d++) {
        size_t items = domains[d].train->log->n_items;
        for (size_t i = 0; i < items; i += BLOCK) {
            size_t rows = KUA__MIN(BLOCK, items - i);
            centre(domains[d].side->vector + i * dim, w->mean, rows, dim, block);
            KUA__TRY(
                kua__gemm(true, false, dim, dim, rows, 1, block, dim, block, dim, 1, square, dim));
        }
    }
    return KUA_OK;
}

static void fill_basis(kua__whitening *w, const double *values, const double *vectors, size_t rows)
{
    double least = values[0] * 1e-6;
    for (size_t i = 0; i < w->k; i++) {
        double variance = fmax(values[i], least) / (double)KUA__MAX(rows, 1);
        double scale = variance > 0 ? 1 / sqrt(sqrt(variance)) : 0;
        for (size_t c = 0; c < w->dim; c++)
            w->basis[i * w->dim + c] = (float)(scale * vectors[i * w->dim + c]);
    }
}

/* So that the mean row has length 1. */
static kua_status scale_basis(kua__whitening *w, const kua__sequence_domain *domains, size_t n,
                              float *out)
{
    double sum = 0;
    size_t rows = 0;
    for (size_t d = 0; d < n; d++) {
        size_t items = domains[d].train->log->n_items;
        for (size_t first = 0; first < items; first += BLOCK) {
            size_t part = KUA__MIN(BLOCK, items - first);
            KUA__TRY(kua__whitening_apply(w, domains[d].side->vector + first * w->dim, part, out));
            for (size_t i = 0; i < part; i++) {
                double square = 0;
                for (size_t c = 0; c < w->k; c++)
                    square += (double)out[i * w->k + c] * out[i * w->k + c];
                sum += sqrt(square);
            }
        }
        rows += items;
    }
    for (size_t i = 0; i < w->k * w->dim && sum > 0; i++)
        w->basis[i] *= (float)((double)rows / sum);
    return KUA_OK;
}

static kua_status fit_into(kua__whitening *w, const kua__sequence_domain *domains, size_t n,
                           double *work, float *block)
{
    size_t dim = w->dim;
    double *square = work, *vectors = work + dim * dim, *values = work + 2 * dim * dim;
    size_t rows = mean_of(domains, n, dim, values);
    for (size_t c = 0; c < dim; c++)
        w->mean[c] = (float)values[c];
    float *square32 = block + BLOCK * dim;
    KUA__TRY(add_squares(w, domains, n, block, square32));
    for (size_t i = 0; i < dim * dim; i++)
        square[i] = square32[i];
    KUA__TRY(kua__eigen_symmetric(dim, square, values, vectors));
    fill_basis(w, values, vectors, rows);
    return scale_basis(w, domains, n, block);
}

static kua_status make_room(kua__whitening *w)
{
    KUA__TRY(KUA__NEW_ARRAY(&w->mean, w->dim, "the whitening of text vectors"));
    return KUA__NEW_ARRAY(&w->basis, w->k * w->dim, "the whitening of text vectors");
}

kua_status kua__whitening_fit(kua__whitening *w, const kua__sequence_domain *domains, size_t n,
                              size_t k)
{
    size_t dim = domains[0].side->dim, rows = 0;
    assert(n >= 1 && dim >= 1 && k >= 1 && !w->mean);
    for (size_t d = 0; d < n; d++) {
        assert(domains[d].side->vector && domains[d].side->dim == dim);
        rows += domains[d].train->log->n_items;
    }
    k = KUA__MIN(k, KUA__MAX(rows, 2) - 1); /* centred rows span no more */
    *w = (kua__whitening){.dim = dim, .k = KUA__MIN(k, dim)};
    double *work = NULL;
    float *block = NULL;
    kua_status st;
    KUA__GOTO(st, make_room(w));
    KUA__GOTO(st, KUA__NEW_ARRAY(&work, 2 * dim * dim + dim, "principal components"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&block, BLOCK * dim + dim * dim, "principal components"));
    st = fit_into(w, domains, n, work, block);
done:
    kua__free(work);
    kua__free(block);
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

kua_status kua__whitening_apply(const kua__whitening *w, const float *vector, size_t n, float *out)
{
    float *block = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&block, BLOCK * w->dim, "text vectors"));
    kua_status st = KUA_OK;
    for (size_t i = 0; i < n && !st; i += BLOCK) {
        size_t rows = KUA__MIN(BLOCK, n - i);
        centre(vector + i * w->dim, w->mean, rows, w->dim, block);
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

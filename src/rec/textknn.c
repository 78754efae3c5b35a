/* textknn.c - items whose texts are like what the user had: cosine to the weighted mean of the
 * history's whitened vectors.
 *
 *     z_i = norm( V^T (x_i - mean) / deviation^whitening )
 *           V: the `components` main directions of the domain's text vectors
 *     score(user, j) = < sum over history i of weight(i) z_i , z_j >
 *
 * It needs no other buyers, so it is the row to beat for new items and new categories. Half
 * whitening (the square root of the deviation) takes away what all texts of a shop share without
 * blowing up noise. Vectors are projected block by block: memory is that of z, not of a second copy
 * of the texts' vectors.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "rec/common.h"
#include "rec/recommenders.h"
#include "tensor/eigen.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"

enum { ROWS = 1024 };

typedef struct textknn {
    kua__simple base;
    kua__weighing weighing;
    double components, whitening;
    float *z; /* [n_items, k], rows of length 1; 0 where an item has no text */
    size_t k, n_z;
    double with_components, with_whitening; /* what z was made with */
} textknn;

static void describe(kua__rec *rec, kua__parts *parts)
{
    textknn *t = (textknn *)rec;
    kua__parts_array(parts, "z", KUA__F32, (void **)&t->z, &t->n_z);
    KUA__TUNE(parts, "components", &t->components, 128, 128, 256)->costly = true;
    KUA__TUNE(parts, "whitening", &t->whitening, .5, .5, .3, .7)->costly = true;
    kua__parts_weighing(parts, &t->base, &t->weighing, .5);
}

static void release(kua__rec *rec)
{
    kua__simple_free(rec, describe);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    return kua__simple_create(&kua__rec_textknn, sizeof(textknn), settings, out);
}

/* ---- whitening ---- */

static bool has_text(const float *x, size_t dim)
{
    for (size_t c = 0; c < dim; c++) {
        if (x[c] != 0) return true;
    }
    return false;
}

/* Scratch of one whitening: rows come in blocks. */
typedef struct whitening {
    const kua__side *side;
    size_t n, dim, k;
    float *mean;    /* [dim] */
    float *block;   /* [ROWS, dim] rows of the domain minus the mean */
    float *product; /* [dim, dim] */
    float *basis;   /* [k, dim] main directions over their deviation to the power of whitening */
    double *cov, *values, *vectors;
} whitening;

static kua_status find_mean(whitening *w)
{
    double *sum = NULL, counted = 0;
    KUA__TRY(KUA__NEW_ZEROED(&sum, w->dim, "a mean"));
    for (size_t i = 0; i < w->n; i++) {
        const float *x = w->side->vector + i * w->dim;
        counted += has_text(x, w->dim) ? 1 : 0;
        for (size_t c = 0; c < w->dim; c++)
            sum[c] += (double)x[c];
    }
    for (size_t c = 0; c < w->dim; c++)
        w->mean[c] = (float)(sum[c] / KUA__MAX(counted, 1));
    kua__free(sum);
    return KUA_OK;
}

/* Rows first .. first + rows into w->block; rows without text stay 0. */
static void centre(whitening *w, size_t first, size_t rows)
{
    for (size_t i = 0; i < rows; i++) {
        const float *x = w->side->vector + (first + i) * w->dim;
        bool some = has_text(x, w->dim);
        for (size_t c = 0; c < w->dim; c++)
            w->block[i * w->dim + c] = some ? x[c] - w->mean[c] : 0;
    }
}

static kua_status find_covariance(whitening *w)
{
    size_t dim = w->dim;
    memset(w->cov, 0, dim * dim * sizeof(*w->cov));
    for (size_t first = 0; first < w->n; first += ROWS) {
        size_t rows = KUA__MIN((size_t)ROWS, w->n - first);
        centre(w, first, rows);
        KUA__TRY(kua__gemm(true, false, dim, dim, rows, 1, w->block, dim, w->block, dim, 0,
                           w->product, dim));
        for (size_t i = 0; i < dim * dim; i++)
            w->cov[i] += (double)w->product[i] / (double)w->n;
    }
    return KUA_OK;
}

static void make_basis(whitening *w, double power)
{
    for (size_t r = 0; r < w->k; r++) {
        bool some = w->values[r] > 1e-9 * w->values[0];
        double scale = some ? pow(w->values[r], -power / 2) : 0; /* values: squared deviations */
        for (size_t c = 0; c < w->dim; c++)
            w->basis[r * w->dim + c] = (float)(w->vectors[r * w->dim + c] * scale);
    }
}

static kua_status project(whitening *w, float *z)
{
    const kua__kernels *kernels = kua__kernels_get();
    size_t dim = w->dim, k = w->k;
    for (size_t first = 0; first < w->n; first += ROWS) {
        size_t rows = KUA__MIN((size_t)ROWS, w->n - first);
        centre(w, first, rows);
        KUA__TRY(kua__gemm(false, true, rows, k, dim, 1, w->block, dim, w->basis, dim, 0,
                           z + first * k, k));
    }
    for (size_t i = 0; i < w->n; i++) {
        float *row = z + i * k, square = kernels->dot(row, row, k);
        kernels->scale(row, row, square > 0 ? 1 / sqrtf(square) : 0, k);
    }
    return KUA_OK;
}

static kua_status whitening_open(whitening *w)
{
    size_t dim = w->dim, rows = KUA__MIN(w->n, (size_t)ROWS);
    KUA__TRY(KUA__NEW_ARRAY(&w->mean, dim, "a mean"));
    KUA__TRY(KUA__NEW_ARRAY(&w->block, rows * dim, "item vectors"));
    KUA__TRY(KUA__NEW_ARRAY(&w->product, dim * dim, "a covariance"));
    KUA__TRY(KUA__NEW_ARRAY(&w->basis, w->k * dim, "directions"));
    KUA__TRY(KUA__NEW_ARRAY(&w->cov, dim * dim, "a covariance"));
    KUA__TRY(KUA__NEW_ARRAY(&w->values, dim, "a covariance"));
    return KUA__NEW_ARRAY(&w->vectors, dim * dim, "a covariance");
}

static void whitening_close(whitening *w)
{
    kua__free(w->mean);
    kua__free(w->block);
    kua__free(w->product);
    kua__free(w->basis);
    kua__free(w->cov);
    kua__free(w->values);
    kua__free(w->vectors);
}

static kua_status make_z(textknn *t, const kua__side *side)
{
    size_t n = t->base.rec.n_items, k = KUA__MIN(KUA__MAX((size_t)t->components, 1), side->dim);
    whitening w = {.side = side, .n = n, .dim = side->dim, .k = k};
    kua__free(t->z);
    t->z = NULL, t->k = k, t->n_z = n * k;
    kua_status st = KUA__NEW_ARRAY(&t->z, t->n_z, "item vectors");
    if (!st) st = whitening_open(&w);
    if (!st) st = find_mean(&w);
    if (!st) st = find_covariance(&w);
    if (!st) st = kua__eigen_symmetric(w.dim, w.cov, w.values, w.vectors);
    if (!st) make_basis(&w, t->whitening);
    if (!st) st = project(&w, t->z);
    whitening_close(&w);
    return st;
}

/* ---- the recommender ---- */

static kua_status prepare(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    textknn *t = (textknn *)rec;
    (void)monitor;
    if (t->z && t->with_components == t->components && t->with_whitening == t->whitening)
        return KUA_OK;
    t->with_components = t->components, t->with_whitening = t->whitening;
    return make_z(t, &world->side);
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    kua__pairs users;
    if (!world->side.vector)
        return kua__fail(KUA_INVALID, "textknn: the items have no vectors; kua encode makes them");
    KUA__TRY(kua__simple_begin(rec, world, describe, &users));
    kua__pairs_release(&users);
    return kua__choose(rec, world, describe, prepare, monitor);
}

static void wish(const textknn *t, const kua__bag *bag, float *out)
{
    const kua__kernels *kernels = kua__kernels_get();
    memset(out, 0, t->k * sizeof(*out));
    for (size_t i = 0; i < bag->n; i++)
        kernels->axpy(out, t->z + bag->item[i] * t->k, bag->weight[i], t->k);
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const textknn *t = (const textknn *)rec;
    size_t n_items = rec->n_items;
    float *wishes = NULL;
    kua__bag bag = {0};
    kua_status st = KUA__NEW_ARRAY(&wishes, n * t->k, "wishes");
    for (size_t q = 0; !st && q < n; q++) {
        st = kua__bag_fill(&bag, &queries[q].target, &t->weighing, queries[q].now, n_items);
        if (!st) wish(t, &bag, wishes + q * t->k);
    }
    if (!st)
        st = kua__gemm(false, true, n, n_items, t->k, 1, wishes, t->k, t->z, t->k, 0, scores,
                       n_items);
    for (size_t q = 0; !st && q < n; q++)
        st = kua__again_finish(&t->base.again, &queries[q], &bag, scores + q * n_items);
    kua__free(wishes);
    kua__bag_release(&bag);
    return st;
}

static kua_status save(const kua__rec *rec, const char *folder)
{
    return kua__simple_save(rec, folder, describe);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_textknn, sizeof(textknn), describe, NULL};
    KUA__TRY(kua__simple_load(&kind, folder, world, out));
    textknn *t = (textknn *)*out;
    size_t n = (*out)->n_items;
    t->k = n ? t->n_z / n : 0;
    if (t->k * n == t->n_z) return KUA_OK;
    kua_status st = kua__fail(KUA_FORMAT, "%s: %zu numbers for %zu items", folder, t->n_z, n);
    release(*out);
    *out = NULL;
    return st;
}

const kua__rec_ops kua__rec_textknn = {
    .name = "textknn",
    .summary = "items whose texts are like what the user had",
    .settings =
        "{\"components\": [\"auto\", \"main directions of the text vectors that are kept\"],"
        "\"whitening\": [\"auto\", \"directions are divided by their deviation to this "
        "power\"]," KUA__WEIGHING_SETTINGS "," KUA__AGAIN_SETTINGS "}",
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = release,
};

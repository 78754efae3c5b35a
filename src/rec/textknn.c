/* textknn.c - items whose texts are like what the user had: cosine to the decayed mean of the history's whitened vectors.
 *
 *     z_i = norm( V^T (x_i - mean) / deviation^.5 )     V: the `components` main directions of the domain's text vectors
 *     score(user, j) = < sum over history i of weight(i) z_i , z_j >
 *
 * It needs no other buyers, so it is the row to beat for new items and new categories. Half whitening (the square root of
 * the deviation) takes away what all texts of a shop share without blowing up noise.
 */
#include <math.h>

#include "rec/common.h"
#include "rec/recommenders.h"
#include "tensor/eigen.h"
#include "tensor/gemm.h"

typedef struct textknn {
    kua__rec rec;
    double decay, half_life;
    size_t k, n_z;
    float *z; /* [n_items, k], rows of length 1; 0 where an item has no text */
} textknn;

static void release(kua__rec *rec)
{
    textknn *t = (textknn *)rec;
    kua__free(t->z);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(t);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    textknn *t = kua__calloc(1, sizeof(*t));
    if (!t) return kua__fail_nomem(sizeof(*t), "a recommender");
    t->rec = (kua__rec){.ops = &kua__rec_textknn, .settings = json_deep_copy(settings), .facts = json_object()};
    *out = &t->rec;
    return KUA_OK;
}

/* ---- whitening ------------------------------------------------------------------------------------------------------------ */

static bool has_text(const float *x, size_t dim)
{
    for (size_t c = 0; c < dim; c++) {
        if (x[c] != 0) return true;
    }
    return false;
}

/* centred[n, dim]: rows minus their mean; rows without text stay 0. */
static void centre(const kua__side *side, size_t n, float *mean, float *centred)
{
    size_t dim = side->dim, counted = 0;
    memset(mean, 0, dim * sizeof(*mean));
    for (size_t i = 0; i < n; i++) {
        const float *x = side->vector + i * dim;
        counted += has_text(x, dim);
        for (size_t c = 0; c < dim; c++) mean[c] += x[c];
    }
    for (size_t c = 0; c < dim; c++) mean[c] /= (float)KUA__MAX(counted, 1);
    for (size_t i = 0; i < n; i++) {
        const float *x = side->vector + i * dim;
        bool some = has_text(x, dim);
        for (size_t c = 0; c < dim; c++) centred[i * dim + c] = some ? x[c] - mean[c] : 0;
    }
}

/* basis[k, dim]: main directions over the square root of their deviation. */
static kua_status principal(const float *centred, size_t n, size_t dim, size_t k, float *basis)
{
    float *product = NULL;
    double *cov = NULL, *values = NULL, *vectors = NULL;
    kua_status st = KUA__NEW_ARRAY(&product, dim * dim, "a covariance");
    if (!st) st = KUA__NEW_ARRAY(&cov, dim * dim, "a covariance");
    if (!st) st = KUA__NEW_ARRAY(&values, dim, "a covariance");
    if (!st) st = KUA__NEW_ARRAY(&vectors, dim * dim, "a covariance");
    if (!st) st = kua__gemm(true, false, dim, dim, n, 1, centred, dim, centred, dim, 0, product, dim);
    for (size_t i = 0; !st && i < dim * dim; i++) cov[i] = product[i] / (double)n;
    if (!st) st = kua__eigen_symmetric(dim, cov, values, vectors);
    for (size_t r = 0; !st && r < k; r++) {
        double scale = values[r] > 1e-12 ? pow(values[r], -.25) : 0;
        for (size_t c = 0; c < dim; c++) basis[r * dim + c] = (float)(vectors[r * dim + c] * scale);
    }
    kua__free(product);
    kua__free(cov);
    kua__free(values);
    kua__free(vectors);
    return st;
}

static void normalise(float *z, size_t n, size_t k)
{
    for (size_t i = 0; i < n; i++) {
        double square = 0;
        for (size_t c = 0; c < k; c++) square += (double)z[i * k + c] * (double)z[i * k + c];
        float scale = square > 0 ? (float)(1 / sqrt(square)) : 0;
        for (size_t c = 0; c < k; c++) z[i * k + c] *= scale;
    }
}

static kua_status whiten(textknn *t, const kua__side *side, size_t n)
{
    size_t dim = side->dim;
    float *mean = NULL, *centred = NULL, *basis = NULL;
    t->k = KUA__MIN((size_t)kua__setting(&t->rec, "components"), dim);
    t->n_z = n * t->k;
    kua_status st = KUA__NEW_ARRAY(&mean, dim, "a mean");
    if (!st) st = KUA__NEW_ARRAY(&centred, n * dim, "item vectors");
    if (!st) st = KUA__NEW_ARRAY(&basis, t->k * dim, "directions");
    if (!st) st = KUA__NEW_ARRAY(&t->z, t->n_z, "item vectors");
    if (!st) centre(side, n, mean, centred);
    if (!st) st = principal(centred, n, dim, t->k, basis);
    if (!st) st = kua__gemm(false, true, n, t->k, dim, 1, centred, dim, basis, dim, 0, t->z, t->k);
    if (!st) normalise(t->z, n, t->k);
    kua__free(mean);
    kua__free(centred);
    kua__free(basis);
    return st;
}

/* ---- the recommender ---------------------------------------------------------------------------------------------------------- */

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    textknn *t = (textknn *)rec;
    if (!world->side.vector) return kua__fail(KUA_INVALID, "textknn: the items have no vectors; kua encode makes them");
    bool clock = world->train.log->has_clock;
    kua__tunable tunables[] = {
        {"half_life", &t->half_life, {0, 60, 240}, clock ? 3 : 1, 0, false},
        {"decay", &t->decay, {1, .7, .5, .3}, 4, .5, false},
    };
    rec->n_items = world->train.log->n_items;
    KUA__TRY(whiten(t, &world->side, rec->n_items));
    kua__tunables_read(rec, tunables, 2);
    return kua__choose(rec, world, tunables, 2, NULL, monitor);
}

static kua_status wish(const textknn *t, const kua__query *query, float *out)
{
    const kua__history *h = &query->target;
    uint32_t *item = NULL;
    float *weight = NULL;
    kua_status st = KUA__NEW_ARRAY(&item, h->n, "a history");
    if (!st) st = KUA__NEW_ARRAY(&weight, h->n, "a history");
    size_t n = st ? 0 : kua__history_weights(h, t->decay, t->half_life, query->now, item, weight);
    memset(out, 0, t->k * sizeof(*out));
    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < t->k; c++) out[c] += weight[i] * t->z[item[i] * t->k + c];
    }
    kua__free(item);
    kua__free(weight);
    return st;
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const textknn *t = (const textknn *)rec;
    float *wishes = NULL;
    kua_status st = KUA__NEW_ARRAY(&wishes, n * t->k, "wishes");
    for (size_t q = 0; !st && q < n; q++) st = wish(t, &queries[q], wishes + q * t->k);
    if (!st) st = kua__gemm(false, true, n, rec->n_items, t->k, 1, wishes, t->k, t->z, t->k, 0, scores, rec->n_items);
    kua__free(wishes);
    return st;
}

#define SAVED(t)    {{"z", KUA__F32, (void **)&(t)->z, &(t)->n_z}}
#define TUNABLES(t) {{.key = "half_life", .value = &(t)->half_life}, {.key = "decay", .value = &(t)->decay}}

static kua_status save(const kua__rec *rec, const char *folder)
{
    textknn *t = (textknn *)rec;
    return kua__simple_save(rec, folder, (kua__saved[])SAVED(t), 1, (kua__tunable[])TUNABLES(t), 2);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    (void)world;
    json_t *settings = NULL;
    *out = NULL;
    KUA__TRY(kua__simple_settings(folder, "textknn", &settings));
    kua_status st = create(settings, out);
    json_decref(settings);
    textknn *t = (textknn *)*out;
    if (!st) st = kua__simple_load(*out, folder, (kua__saved[])SAVED(t), 1, (kua__tunable[])TUNABLES(t), 2);
    if (!st) {
        t->k = (*out)->n_items ? t->n_z / (*out)->n_items : 0;
        if (!t->k || t->k * (*out)->n_items != t->n_z) st = kua__fail(KUA_FORMAT, "%s: %zu numbers for %zu items", folder, t->n_z, (*out)->n_items);
    }
    if (st && *out) {
        release(*out);
        *out = NULL;
    }
    return st;
}

const kua__rec_ops kua__rec_textknn = {
    .name = "textknn",
    .summary = "items whose texts are like what the user had",
    .settings = "{\"components\": [128, \"main directions of the text vectors that are kept\"],"
                "\"decay\": [\"auto\", \"weight of a history item per event after it\"],"
                "\"half_life\": [\"auto\", \"days after which a purchase counts half, in place of decay; 0: decay\"]}",
    .create = create, .fit = fit, .score = score, .save = save, .load = load, .free = release,
};

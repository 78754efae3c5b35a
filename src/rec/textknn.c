/* textknn.c - items whose texts are like what the user had: cosine to the weighted mean of the
 * history's whitened vectors.
 *
 *     z_i = norm( V^T (x_i - mean) / deviation^whitening )
 *           V: the `components` main directions of the domain's text vectors
 *     score(user, j) = < sum over history i of weight(i) z_i , z_j >
 *
 * It needs no other buyers, so it is the row to beat for new items and new categories
 * (rec/whitening.h says why the vectors are whitened).
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "rec/common.h"
#include "rec/recommenders.h"
#include "rec/whitening.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"

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

static kua_status make_z(textknn *t, const kua__side *side)
{
    const kua__kernels *kernels = kua__kernels_get();
    const kua__vectors all = {side->vector, t->base.rec.n_items};
    size_t k = KUA__MAX((size_t)t->components, 1);
    kua__whitening w = {0};
    kua__free(t->z);
    t->z = NULL;
    kua_status st = kua__whitening_fit(&w, &all, 1, side->dim, k, t->whitening);
    t->k = w.k, t->n_z = all.n * w.k;
    if (!st) st = KUA__NEW_ARRAY(&t->z, t->n_z, "item vectors");
    if (!st) st = kua__whitening_apply(&w, all.row, all.n, t->z);
    for (size_t i = 0; i < all.n && !st; i++) {
        float *row = t->z + i * t->k, square = kernels->dot(row, row, t->k);
        kernels->scale(row, row, square > 0 ? 1 / sqrtf(square) : 0, t->k);
    }
    kua__whitening_release(&w);
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

static kua_status check(kua__rec *rec, const kua__world *world, const char *folder)
{
    textknn *t = (textknn *)rec;
    size_t n = rec->n_items;
    (void)world;
    t->k = n ? t->n_z / n : 0;
    if (t->k * n == t->n_z) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %zu numbers for %zu items", folder, t->n_z, n);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_textknn, sizeof(textknn), describe, NULL, check};
    return kua__simple_load(&kind, folder, world, out);
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

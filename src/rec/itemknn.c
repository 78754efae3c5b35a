/* itemknn.c - items bought by the same people: cosine with shrinkage, nearest neighbours, history
 * decay.
 *
 *     score(user, j) = sum over the history's items i of weight(i) sim(i, j)
 *
 * With history decay this row beats most published neural models on Amazon's categories.
 */
#include <string.h>

#include "rec/neighbours.h"
#include "rec/recommenders.h"

enum { KEEP_MOST = 300 };

typedef struct itemknn {
    kua__simple base;
    kua__weighing weighing;
    double keep, shrink, user_power;
    kua__neighbours near;
    /* while choosing */
    kua__pairs users, items;
    kua__nearest lists;                        /* up to KEEP_MOST a list */
    double with_shrink, with_power, with_keep; /* what lists and near were made with */
} itemknn;

static void describe(kua__rec *rec, kua__parts *parts)
{
    itemknn *k = (itemknn *)rec;
    bool repeats = k->base.repeats;
    kua__neighbours_parts(&k->near, "near", parts);
    KUA__TUNE(parts, "shrink", &k->shrink, 20, 5, 20)->costly = true;
    KUA__TUNE(parts, "user_power", &k->user_power, repeats ? .5 : 0, 0, .5)->costly = true;
    KUA__TUNE(parts, "neighbours", &k->keep, repeats ? 300 : 20, 20, 50, 100, 300);
    kua__parts_weighing(parts, &k->base, &k->weighing, .7);
}

static void release_counts(itemknn *k)
{
    kua__pairs_release(&k->users);
    kua__pairs_release(&k->items);
    kua__nearest_release(&k->lists);
}

static void release(kua__rec *rec)
{
    release_counts((itemknn *)rec);
    kua__simple_free(rec, describe);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    return kua__simple_create(&kua__rec_itemknn, sizeof(itemknn), settings, out);
}

static kua_status make_lists(itemknn *k)
{
    float *weight = NULL;
    size_t keep = KUA__MAX((size_t)k->keep, (size_t)KEEP_MOST);
    kua__nearest_release(&k->lists);
    KUA__TRY(kua__pairs_user_weights(&k->users, k->user_power, &weight));
    kua_status st =
        kua__nearest_build(&k->users, &k->items, weight, true, k->shrink, keep, &k->lists);
    kua__free(weight);
    return st;
}

static kua_status prepare(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    itemknn *k = (itemknn *)rec;
    bool same = k->lists.best && k->with_shrink == k->shrink && k->with_power == k->user_power;
    (void)world, (void)monitor;
    if (same && k->near.rows.at && k->with_keep == k->keep) return KUA_OK;
    kua__neighbours_release(&k->near);
    if (!same) KUA__TRY(make_lists(k));
    k->with_shrink = k->shrink, k->with_power = k->user_power, k->with_keep = k->keep;
    return kua__neighbours_from(&k->lists, (size_t)KUA__MAX(k->keep, 1), &k->near);
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    itemknn *k = (itemknn *)rec;
    KUA__TRY(kua__simple_begin(rec, world, describe, &k->users));
    KUA__TRY(kua__pairs_transpose(&k->users, &k->items));
    KUA__TRY(kua__choose(rec, world, describe, prepare, monitor));
    release_counts(k);
    return KUA_OK;
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const itemknn *k = (const itemknn *)rec;
    kua__bag bag = {0};
    kua_status st = KUA_OK;
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; !st && q < n; q++) {
        float *row = scores + q * rec->n_items;
        st = kua__bag_fill(&bag, &queries[q].target, &k->weighing, queries[q].now, rec->n_items);
        if (!st) kua__neighbours_add(&k->near, &bag, 1, row);
        if (!st) st = kua__again_finish(&k->base.again, &queries[q], &bag, row);
    }
    kua__bag_release(&bag);
    return st;
}

static kua_status save(const kua__rec *rec, const char *folder)
{
    return kua__simple_save(rec, folder, describe);
}

static kua_status check(kua__rec *rec, const kua__world *world, const char *folder)
{
    itemknn *k = (itemknn *)rec;
    (void)world;
    return kua__neighbours_check(&k->near, rec->n_items, rec->n_items, folder);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_itemknn, sizeof(itemknn), describe, NULL, check};
    return kua__simple_load(&kind, folder, world, out);
}

const kua__rec_ops kua__rec_itemknn = {
    .name = "itemknn",
    .summary = "items that the same people buy: cosine, nearest neighbours, history decay",
    .settings = "{\"neighbours\": [\"auto\", \"items kept per item\"],"
                "\"shrink\": [\"auto\", \"added to the denominator of the cosine\"],"
                "\"user_power\": [\"auto\", \"a user of n items counts "
                "n^-user_power\"]," KUA__WEIGHING_SETTINGS "," KUA__AGAIN_SETTINGS "}",
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = release,
};

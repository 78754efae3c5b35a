/* crossknn.c - the simple transfer: what the target's buyers bought in the sources, by item-to-item
 * cosine over shared users.
 *
 *     sim(i, j) = co(i, j) / (sqrt(|i| |j|) + shrink)      i in a source, j in the target
 *     score(user, j) = sum over sources, over the user's items i there, of weight(i) sim(i, j)
 *                      + target_weight * the same over the user's items in the target itself
 *
 * Every transfer strategy has to beat this row; it needs users whom source and target share.
 */
#include <string.h>

#include "rec/neighbours.h"
#include "rec/recommenders.h"

enum { SOURCES_MAX = 16, KEEP_MOST = 300 };

typedef struct crossknn {
    kua__simple base;
    kua__weighing weighing;
    double keep, shrink, user_power, target_weight;
    size_t n_sources;
    kua__neighbours near[1 + SOURCES_MAX]; /* the target's own, then the sources' */
    /* while choosing */
    kua__pairs users[1 + SOURCES_MAX], target_items;
    kua__nearest lists[1 + SOURCES_MAX];
    double with_shrink, with_power, with_keep; /* what lists and near were made with */
} crossknn;

static void describe(kua__rec *rec, kua__parts *parts)
{
    crossknn *c = (crossknn *)rec;
    bool repeats = c->base.repeats;
    for (size_t i = 0; i <= c->n_sources; i++) {
        char prefix[12];
        snprintf(prefix, sizeof(prefix), "near%u", (unsigned)i % 100);
        kua__neighbours_parts(&c->near[i], prefix, parts);
    }
    KUA__TUNE(parts, "shrink", &c->shrink, 20, 5, 20)->costly = true;
    KUA__TUNE(parts, "user_power", &c->user_power, repeats ? .5 : 0, 0, .5)->costly = true;
    KUA__TUNE(parts, "neighbours", &c->keep, 300, 20, 50, 100, 300);
    kua__parts_weighing(parts, &c->base, &c->weighing, .9);
    KUA__TUNE(parts, "target_weight", &c->target_weight, 1, 0, .3, 1, 3);
}

static void release_counts(crossknn *c)
{
    for (size_t i = 0; i <= c->n_sources; i++) {
        kua__pairs_release(&c->users[i]);
        kua__nearest_release(&c->lists[i]);
    }
    kua__pairs_release(&c->target_items);
}

static void release(kua__rec *rec)
{
    release_counts((crossknn *)rec);
    kua__simple_free(rec, describe);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    return kua__simple_create(&kua__rec_crossknn, sizeof(crossknn), settings, out);
}

/* ---- fitting ---- */

/* A user of many source items says little about each; the target's own pairs go by its own. */
static kua_status make_lists(crossknn *c, size_t i)
{
    float *weight = NULL;
    size_t keep = KUA__MAX((size_t)c->keep, (size_t)KEEP_MOST);
    kua__nearest_release(&c->lists[i]);
    KUA__TRY(kua__pairs_user_weights(&c->users[i], c->user_power, &weight));
    kua_status st = kua__nearest_build(&c->users[i], &c->target_items, weight, i == 0, c->shrink,
                                       keep, &c->lists[i]);
    kua__free(weight);
    return st;
}

static kua_status prepare(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    crossknn *c = (crossknn *)rec;
    bool same_lists =
        c->with_keep > 0 && c->with_shrink == c->shrink && c->with_power == c->user_power;
    bool same = same_lists && c->with_keep == c->keep;
    (void)world, (void)monitor;
    for (size_t i = 0; !same && i <= c->n_sources; i++) {
        if (!same_lists) KUA__TRY(make_lists(c, i));
        kua__neighbours_release(&c->near[i]);
        KUA__TRY(kua__neighbours_from(&c->lists[i], (size_t)KUA__MAX(c->keep, 1), &c->near[i]));
    }
    c->with_shrink = c->shrink, c->with_power = c->user_power, c->with_keep = c->keep;
    return KUA_OK;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    crossknn *c = (crossknn *)rec;
    if (world->n_sources < 1 || world->n_sources > SOURCES_MAX)
        return kua__fail(KUA_INVALID,
                         "crossknn: %zu sources, expected 1..%d (as the strategy of a transfer)",
                         world->n_sources, SOURCES_MAX);
    c->n_sources = world->n_sources;
    KUA__TRY(kua__simple_begin(rec, world, describe, &c->users[0]));
    KUA__TRY(kua__pairs_transpose(&c->users[0], &c->target_items));
    for (size_t i = 0; i < c->n_sources; i++)
        KUA__TRY(kua__pairs_from_cut(&world->sources[i].cut, &c->users[1 + i]));
    KUA__TRY(kua__choose(rec, world, describe, prepare, monitor));
    release_counts(c);
    return KUA_OK;
}

/* ---- scoring ---- */

static kua_status add_history(const crossknn *c, size_t i, const kua__history *history, int64_t now,
                              float scale, kua__bag *bag, float *scores)
{
    KUA__TRY(kua__bag_fill(bag, history, &c->weighing, now, c->near[i].rows.n_rows));
    kua__neighbours_add(&c->near[i], bag, scale, scores);
    return KUA_OK;
}

static kua_status score_one(const crossknn *c, const kua__query *query, kua__bag *bag,
                            float *scores)
{
    for (size_t i = 0; query->sources && i < c->n_sources; i++)
        KUA__TRY(add_history(c, 1 + i, &query->sources[i], query->now, 1, bag, scores));
    float own = (float)c->target_weight;
    if (own > 0) KUA__TRY(add_history(c, 0, &query->target, query->now, own, bag, scores));
    return kua__again_finish(&c->base.again, query, bag, scores);
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    kua__bag bag = {0};
    kua_status st = KUA_OK;
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; !st && q < n; q++)
        st = score_one((const crossknn *)rec, &queries[q], &bag, scores + q * rec->n_items);
    kua__bag_release(&bag);
    return st;
}

/* ---- files ---- */

static kua_status save(const kua__rec *rec, const char *folder)
{
    return kua__simple_save(rec, folder, describe);
}

static kua_status check(kua__rec *rec, const kua__world *world, const char *folder)
{
    crossknn *c = (crossknn *)rec;
    for (size_t i = 0; i <= c->n_sources; i++) {
        size_t n_from = i ? world->sources[i - 1].cut.log->n_items : rec->n_items;
        KUA__TRY(kua__neighbours_check(&c->near[i], n_from, rec->n_items, folder));
    }
    return KUA_OK;
}

/* The number of sources says how many arrays there are. */
static void count_sources(kua__rec *rec, const kua__world *world)
{
    ((crossknn *)rec)->n_sources = KUA__MIN(world->n_sources, (size_t)SOURCES_MAX);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_crossknn, sizeof(crossknn), describe, count_sources,
                                   check};
    return kua__simple_load(&kind, folder, world, out);
}

const kua__rec_ops kua__rec_crossknn = {
    .name = "crossknn",
    .summary = "source item to target item over shared users",
    .settings = "{\"neighbours\": [\"auto\", \"items kept per target item\"],"
                "\"shrink\": [\"auto\", \"added to the denominator of the cosine\"],"
                "\"user_power\": [\"auto\", \"a user of n items counts n^-user_power\"],"
                "\"target_weight\": [\"auto\", \"weight of the target's own item-to-item scores; "
                "0: sources "
                "only\"]," KUA__WEIGHING_SETTINGS "," KUA__AGAIN_SETTINGS "}",
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = release,
};

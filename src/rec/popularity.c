/* popularity.c - what sells: purchases per item, a user's repeated and older ones counting less.
 *
 *     score(item) = sum over users of n              counts 0
 *                   sum over users of log(1 + n)     counts 1
 *                   sum over users of the newest     counts 2
 *
 *     n   the user's purchases of it, each weighing 2^(-age / half_life)
 *
 * These differ where people buy again: a few households with a pet make its food a bestseller by
 * purchases, but nobody else wants it.
 */
#include <assert.h>
#include <string.h>

#include "rec/common.h"
#include "rec/recommenders.h"

typedef struct popularity {
    kua__simple base;
    kua__weighing weighing;
    float *score; /* [n_items] */
    size_t n;
} popularity;

static void describe(kua__rec *rec, kua__parts *parts)
{
    popularity *p = (popularity *)rec;
    kua__parts_array(parts, "score", KUA__F32, (void **)&p->score, &p->n);
    KUA__TUNE(parts, "half_life", &p->weighing.half_life, 0, 0, 30, 60, 120)->n *= p->base.clock;
    KUA__TUNE(parts, "counts", &p->weighing.counts, 1, 0, 1, 2)->n *= p->base.repeats;
    p->weighing.decay = 1;
}

static void release(kua__rec *rec)
{
    kua__simple_free(rec, describe);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    return kua__simple_create(&kua__rec_popularity, sizeof(popularity), settings, out);
}

static kua_status count(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    popularity *p = (popularity *)rec;
    int64_t now = kua__cut_now(&world->train);
    kua__bag bag = {0};
    kua_status st = KUA_OK;
    (void)monitor;
    memset(p->score, 0, p->n * sizeof(*p->score));
    for (uint32_t u = 0; !st && u < world->train.log->n_users; u++) {
        kua__history history = kua__cut_history(&world->train, u);
        st = kua__bag_fill(&bag, &history, &p->weighing, now, p->n);
        for (size_t i = 0; !st && i < bag.n; i++)
            p->score[bag.item[i]] += bag.weight[i];
    }
    kua__bag_release(&bag);
    return st;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    popularity *p = (popularity *)rec;
    kua__pairs users;
    KUA__TRY(kua__simple_begin(rec, world, describe, &users));
    kua__pairs_release(&users);
    p->n = rec->n_items;
    KUA__TRY(KUA__NEW_ZEROED(&p->score, p->n, "item counts"));
    return kua__choose(rec, world, describe, count, monitor);
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const popularity *p = (const popularity *)rec;
    (void)queries;
    assert(p->score);
    for (size_t q = 0; q < n; q++)
        memcpy(scores + q * p->n, p->score, p->n * sizeof(*scores));
    return KUA_OK;
}

static kua_status save(const kua__rec *rec, const char *folder)
{
    return kua__simple_save(rec, folder, describe);
}

static kua_status check(kua__rec *rec, const kua__world *world, const char *folder)
{
    const popularity *p = (const popularity *)rec;
    (void)world;
    if (p->n == rec->n_items) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %zu scores for %zu items", folder, p->n, rec->n_items);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_popularity, sizeof(popularity), describe, NULL, check};
    return kua__simple_load(&kind, folder, world, out);
}

const kua__rec_ops kua__rec_popularity = {
    .name = "popularity",
    .summary = "what sells, recently",
    .settings =
        "{\"half_life\": [\"auto\", \"days after which a purchase counts half; 0: all count "
        "alike\"],"
        "\"counts\": [\"auto\", \"a user with n purchases counts 0: n, 1: log(1 + n), 2: once\"]}",
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = release,
};

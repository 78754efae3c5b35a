/* repeat.c - what this user buys again; what is popular where that says nothing.
 *
 *     score(user, item) = log(1 + sum over the user's events with it of 2^(-age / half_life))
 *                         rate(item)^power + 1e-6 popularity(item)
 *
 * With positions in place of ages where the domain has no clock. All of it is rec/again.h; this
 * file makes a recommender of it. The simplest model of a grocery basket, and a hard row to beat
 * there (Li et al., "A next basket recommendation reality check", 2023).
 */
#include <string.h>

#include "rec/common.h"
#include "rec/recommenders.h"

typedef struct repeat {
    kua__simple base;
} repeat;

static void describe(kua__rec *rec, kua__parts *parts)
{
    repeat *r = (repeat *)rec;
    kua__again *a = &r->base.again;
    bool clock = r->base.clock;
    kua__tunable *half_life =
        KUA__TUNE(parts, "half_life", &a->half_life, clock ? 180 : 0, 45, 90, 120, 180, 240, 400);
    kua__tunable *decay = KUA__TUNE(parts, "decay", &a->decay, clock ? 1 : .98, 1, .98, .95, .9);
    kua__tunable *power = KUA__TUNE(parts, "power", &a->power, .5, 0, .5, 1);
    half_life->n *= clock;
    decay->n *= !clock;
    half_life->again = decay->again = power->again = true;
}

static void release(kua__rec *rec)
{
    kua__simple_free(rec, describe);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    return kua__simple_create(&kua__rec_repeat, sizeof(repeat), settings, out);
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    kua__pairs users;
    KUA__TRY(kua__simple_begin(rec, world, describe, &users));
    kua__pairs_release(&users);
    return kua__choose(rec, world, describe, NULL, monitor);
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    kua__again again = ((const repeat *)rec)->base.again;
    kua__bag bag = {0};
    kua_status st = KUA_OK;
    again.weight = 1;
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; !st && q < n; q++)
        st = kua__again_finish(&again, &queries[q], &bag, scores + q * rec->n_items);
    kua__bag_release(&bag);
    return st;
}

static kua_status save(const kua__rec *rec, const char *folder)
{
    return kua__simple_save(rec, folder, describe);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_repeat, sizeof(repeat), describe, NULL, NULL};
    return kua__simple_load(&kind, folder, world, out);
}

const kua__rec_ops kua__rec_repeat = {
    .name = "repeat",
    .summary = "what this user buys again",
    .settings =
        "{\"half_life\": [\"auto\", \"days after which a purchase counts half; 0: by decay\"],"
        "\"decay\": [\"auto\", \"weight of an event per event after it\"],"
        "\"power\": [\"auto\", \"of the share of an item's buyers who buy it again\"]}",
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = release,
};

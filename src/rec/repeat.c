/* repeat.c - what this user buys again: personal frequency with decay, popularity where that says nothing.
 *
 *     score(user, item) = sum over the user's events with the item of 2^(-age / half_life)  (or decay^position)
 *                         + epsilon popularity(item)
 *
 * The simplest model of a grocery basket, and a hard row to beat there (Li et al., "A next basket recommendation reality
 * check", 2023).
 */
#include <math.h>

#include "rec/common.h"
#include "rec/recommenders.h"

typedef struct repeat {
    kua__rec rec;
    double half_life, decay;
    float *popularity; /* [n_items] share of the most popular one's events, times 1e-6 */
    size_t n;
    bool clock;
} repeat;

static void release(kua__rec *rec)
{
    repeat *r = (repeat *)rec;
    kua__free(r->popularity);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(r);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    repeat *r = kua__calloc(1, sizeof(*r));
    if (!r) return kua__fail_nomem(sizeof(*r), "a recommender");
    r->rec = (kua__rec){.ops = &kua__rec_repeat, .settings = json_deep_copy(settings), .facts = json_object()};
    *out = &r->rec;
    return KUA_OK;
}

static void count(repeat *r, const kua__cut *cut)
{
    float most = 1;
    for (size_t u = 0; u < cut->log->n_users; u++) {
        for (size_t i = cut->log->user_at[u]; i < cut->end[u]; i++) r->popularity[cut->log->item[i]]++;
    }
    for (size_t i = 0; i < r->n; i++) most = KUA__MAX(most, r->popularity[i]);
    for (size_t i = 0; i < r->n; i++) r->popularity[i] *= 1e-6f / most;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    repeat *r = (repeat *)rec;
    r->clock = world->train.log->has_clock;
    kua__tunable tunables[] = {{"half_life", &r->half_life, {30, 60, 120, 240, 1000}, r->clock ? 5 : 1, r->clock ? 120 : 0, false},
                               {"decay", &r->decay, {.9, .97, 1}, r->clock ? 1 : 3, .97, false}};
    if (!r->clock) tunables[0].candidate[0] = 0;
    rec->n_items = r->n = world->train.log->n_items;
    KUA__TRY(KUA__NEW_ZEROED(&r->popularity, r->n, "item counts"));
    count(r, &world->train);
    kua__tunables_read(rec, tunables, 2);
    return kua__choose(rec, world, tunables, 2, NULL, monitor);
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const repeat *r = (const repeat *)rec;
    for (size_t q = 0; q < n; q++) {
        const kua__history *h = &queries[q].target;
        uint32_t *item = NULL;
        float *weight = NULL;
        kua_status st = KUA__NEW_ARRAY(&item, h->n, "a history");
        if (!st) st = KUA__NEW_ARRAY(&weight, h->n, "a history");
        size_t have = st ? 0 : kua__history_weights(h, r->decay, r->half_life, queries[q].now, item, weight);
        memcpy(scores + q * r->n, r->popularity, r->n * sizeof(*scores));
        for (size_t i = 0; i < have; i++) scores[q * r->n + item[i]] += weight[i];
        kua__free(item);
        kua__free(weight);
        if (st) return st;
    }
    return KUA_OK;
}

#define SAVED(r)    {{"popularity", KUA__F32, (void **)&(r)->popularity, &(r)->n}}
#define TUNABLES(r) {{.key = "half_life", .value = &(r)->half_life}, {.key = "decay", .value = &(r)->decay}}

static kua_status save(const kua__rec *rec, const char *folder)
{
    repeat *r = (repeat *)rec;
    return kua__simple_save(rec, folder, (kua__saved[])SAVED(r), 1, (kua__tunable[])TUNABLES(r), 2);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    (void)world;
    json_t *settings = NULL;
    *out = NULL;
    KUA__TRY(kua__simple_settings(folder, "repeat", &settings));
    kua_status st = create(settings, out);
    json_decref(settings);
    repeat *r = (repeat *)*out;
    if (!st) st = kua__simple_load(*out, folder, (kua__saved[])SAVED(r), 1, (kua__tunable[])TUNABLES(r), 2);
    if (!st && r->n != (*out)->n_items) st = kua__fail(KUA_FORMAT, "%s: %zu counts for %zu items", folder, r->n, (*out)->n_items);
    if (st && *out) {
        release(*out);
        *out = NULL;
    }
    return st;
}

const kua__rec_ops kua__rec_repeat = {
    .name = "repeat",
    .summary = "what this user buys again",
    .settings = "{\"half_life\": [\"auto\", \"days after which a purchase counts half; 0: by position\"],"
                "\"decay\": [\"auto\", \"weight of an event per event after it, where the domain has no clock\"]}",
    .create = create, .fit = fit, .score = score, .save = save, .load = load, .free = release,
};

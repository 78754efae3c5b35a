/* userknn.c - people who buy alike: what the asker's nearest users bought.
 *
 *     sim(a, v)   = <w_a, w_v> / (|w_a| |w_v| + shrink)     over items
 *     score(a, j) = sum over the k most similar users v of sim(a, v) b_v(j)
 *
 *     w_v        log(1 + events) idf^power
 *     w_a        the asker's history as weighed by decay, half_life and counts, times idf^power
 *     b_v(j)     1, or with a clock 2^(-age of v's newest event with j / neighbour_half_life)
 *
 * The asker himself is no neighbour; what he bought before is mixed in by rec/again.h. The model is
 * the users' rows; everything else is made from them at fit and at load by the same code.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "rec/common.h"
#include "rec/recommenders.h"

typedef struct userknn {
    kua__simple base;
    kua__weighing weighing;
    double keep, shrink, idf_power, recent;
    kua__pairs users; /* weight: how many events */
    float *days;      /* [users.n] age of the newest event at the end of training */
    size_t n_at, n_days, n_users;
    /* made from the above */
    kua__pairs items; /* items x users, weight: w_v(item) */
    float *norm;      /* [n_users] |w_v| */
    float *idf;       /* [n_items] idf^power */
    float *bought;    /* [users.n] b_v */
    double with_idf, with_recent;
} userknn;

static void describe(kua__rec *rec, kua__parts *parts)
{
    userknn *k = (userknn *)rec;
    kua__parts_array(parts, "users.at", KUA__I64, (void **)&k->users.at, &k->n_at);
    kua__parts_array(parts, "users.item", KUA__I32, (void **)&k->users.col, &k->users.n);
    kua__parts_array(parts, "users.events", KUA__F32, (void **)&k->users.weight, &k->users.n);
    kua__parts_array(parts, "users.days", KUA__F32, (void **)&k->days, &k->n_days);
    KUA__TUNE(parts, "neighbours", &k->keep, 200, 50, 100, 200, 400, 800);
    KUA__TUNE(parts, "shrink", &k->shrink, 0, 0, 10, 30);
    KUA__TUNE(parts, "idf_power", &k->idf_power, 1, 0, .5, 1);
    KUA__TUNE(parts, "neighbour_half_life", &k->recent, 0, 0, 120, 240)->n *= k->base.clock;
    kua__parts_weighing(parts, &k->base, &k->weighing, .9);
}

static void release_made(userknn *k)
{
    kua__pairs_release(&k->items);
    kua__free(k->norm);
    kua__free(k->idf);
    kua__free(k->bought);
    k->norm = k->idf = k->bought = NULL;
}

static void release(kua__rec *rec)
{
    release_made((userknn *)rec);
    kua__simple_free(rec, describe);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    return kua__simple_create(&kua__rec_userknn, sizeof(userknn), settings, out);
}

/* ---- what is made from the users' rows ---- */

static kua_status find_idf(userknn *k)
{
    const kua__pairs *items = &k->items;
    KUA__TRY(KUA__NEW_ARRAY(&k->idf, items->n_rows, "item weights"));
    for (size_t i = 0; i < items->n_rows; i++) {
        double buyers = (double)(items->at[i + 1] - items->at[i]);
        k->idf[i] = (float)pow(log(1 + (double)items->n_cols / (1 + buyers)), k->idf_power);
    }
    return KUA_OK;
}

static kua_status find_norms(userknn *k)
{
    double *square = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&k->norm, k->users.n_rows, "user norms"));
    KUA__TRY(KUA__NEW_ZEROED(&square, k->users.n_rows, "user norms"));
    for (size_t i = 0; i < k->items.n_rows; i++) {
        for (size_t at = k->items.at[i]; at < k->items.at[i + 1]; at++) {
            float w = log1pf(k->items.weight[at]) * k->idf[i];
            k->items.weight[at] = w;
            square[k->items.col[at]] += (double)w * (double)w;
        }
    }
    for (size_t u = 0; u < k->users.n_rows; u++)
        k->norm[u] = (float)sqrt(square[u]);
    kua__free(square);
    return KUA_OK;
}

static kua_status make(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    userknn *k = (userknn *)rec;
    (void)world, (void)monitor;
    if (k->bought && k->with_idf == k->idf_power && k->with_recent == k->recent) return KUA_OK;
    release_made(k);
    KUA__TRY(kua__pairs_transpose(&k->users, &k->items));
    KUA__TRY(find_idf(k));
    KUA__TRY(find_norms(k));
    KUA__TRY(KUA__NEW_ARRAY(&k->bought, k->users.n, "users' purchases"));
    for (size_t i = 0; i < k->users.n; i++)
        k->bought[i] = k->recent > 0 ? (float)exp2(-(double)k->days[i] / k->recent) : 1;
    k->with_idf = k->idf_power, k->with_recent = k->recent;
    return KUA_OK;
}

/* ---- fitting ---- */

/* Age of each (user, item)'s newest event; events are in time order, so the last one stands. */
static kua_status find_days(userknn *k, const kua__cut *cut)
{
    const kua__log *log = cut->log;
    int64_t now = kua__cut_now(cut);
    float *day = NULL;
    k->n_days = k->users.n;
    KUA__TRY(KUA__NEW_ZEROED(&k->days, k->n_days, "users' purchases"));
    KUA__TRY(KUA__NEW_ARRAY(&day, log->n_items, "days"));
    for (size_t u = 0; log->has_clock && u < log->n_users; u++) {
        for (size_t i = log->user_at[u]; i < cut->end[u]; i++)
            day[log->item[i]] = (float)((double)(now - log->time[i]) / 86400);
        for (size_t i = k->users.at[u]; i < k->users.at[u + 1]; i++)
            k->days[i] = day[k->users.col[i]];
    }
    kua__free(day);
    return KUA_OK;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    userknn *k = (userknn *)rec;
    KUA__TRY(kua__simple_begin(rec, world, describe, &k->users));
    k->n_users = k->users.n_rows;
    k->n_at = k->n_users + 1;
    KUA__TRY(find_days(k, &world->train));
    return kua__choose(rec, world, describe, make, monitor);
}

/* ---- scoring ---- */

typedef struct scratch {
    kua__bag bag;
    float *dot;      /* [n_users] 0 between queries */
    kua__near *near; /* [n_users] */
} scratch;

/* Users who share an item with the asker; the most similar come first. */
static size_t find_neighbours(const userknn *k, uint32_t asker, scratch *s)
{
    double square = 0;
    size_t n = 0;
    for (size_t i = 0; i < s->bag.n; i++) {
        uint32_t item = s->bag.item[i];
        float w = s->bag.weight[i] * k->idf[item];
        square += (double)w * (double)w;
        for (size_t at = k->items.at[item]; at < k->items.at[item + 1]; at++) {
            uint32_t user = k->items.col[at];
            float product = w * k->items.weight[at];
            if (product == 0) continue; /* too small; else dot would not tell who was met */
            if (s->dot[user] == 0) s->near[n++].id = user;
            s->dot[user] += product;
        }
    }
    size_t others = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t user = s->near[i].id;
        double sim =
            (double)s->dot[user] / (sqrt(square) * (double)k->norm[user] + k->shrink + 1e-9);
        s->dot[user] = 0;
        if (user != asker) s->near[others++] = (kua__near){user, (float)sim};
    }
    return kua__near_top(s->near, others, (size_t)KUA__MAX(k->keep, 1));
}

static kua_status score_one(const userknn *k, const kua__query *query, scratch *s, float *scores)
{
    size_t n_items = k->base.rec.n_items;
    KUA__TRY(kua__bag_fill(&s->bag, &query->target, &k->weighing, query->now, n_items));
    size_t n = find_neighbours(k, query->user, s);
    for (size_t v = 0; v < n; v++) {
        uint32_t user = s->near[v].id;
        for (size_t i = k->users.at[user]; i < k->users.at[user + 1]; i++)
            scores[k->users.col[i]] += s->near[v].weight * k->bought[i];
    }
    return kua__again_finish(&k->base.again, query, &s->bag, scores);
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const userknn *k = (const userknn *)rec;
    scratch s = {0};
    assert(k->bought);
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    kua_status st = KUA__NEW_ZEROED(&s.dot, k->n_users, "similarities");
    if (!st) st = KUA__NEW_ARRAY(&s.near, k->n_users, "similarities");
    for (size_t q = 0; !st && q < n; q++)
        st = score_one(k, &queries[q], &s, scores + q * rec->n_items);
    kua__bag_release(&s.bag);
    kua__free(s.dot);
    kua__free(s.near);
    return st;
}

/* ---- files ---- */

static kua_status save(const kua__rec *rec, const char *folder)
{
    return kua__simple_save(rec, folder, describe);
}

static kua_status check(kua__rec *rec, const kua__world *world, const char *folder)
{
    userknn *k = (userknn *)rec;
    k->users.n_rows = k->n_users = k->n_at - 1;
    k->users.n_cols = rec->n_items;
    if (k->n_at == 0 || k->n_days != k->users.n)
        return kua__fail(KUA_FORMAT, "%s: %zu ages for %zu pairs", folder, k->n_days, k->users.n);
    KUA__TRY(kua__pairs_check(&k->users, k->n_at, folder));
    return make(rec, world, NULL);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_userknn, sizeof(userknn), describe, NULL, check};
    return kua__simple_load(&kind, folder, world, out);
}

const kua__rec_ops kua__rec_userknn = {
    .name = "userknn",
    .summary = "what people who buy alike bought",
    .settings =
        "{\"neighbours\": [\"auto\", \"users looked at\"],"
        "\"shrink\": [\"auto\", \"added to the denominator of the cosine\"],"
        "\"idf_power\": [\"auto\", \"of an item's rarity in the similarity of two users\"],"
        "\"neighbour_half_life\": [\"auto\", \"days after which a neighbour's purchase counts "
        "half; 0: all count alike\"]," KUA__WEIGHING_SETTINGS "," KUA__AGAIN_SETTINGS "}",
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = release,
};

/* recommend.c - answers: the best items for a user, items like an item, a user's history.
 *
 *     user, moment -> histories until then (target and sources) -> scorer -> all items but those of
 *                     the history -> the best `room` -> ids, names, categories
 *
 * An answer as of a past day knows what was known then: histories are cut at the moment. The model
 * is the one that there is now, which may have learnt from later events; an evaluation
 * (kua_evaluate) is how to judge one.
 *
 * Strings of hits are the shop's in memory, which the workspace keeps until its next import.
 */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/scorer.h"
#include "rec/common.h"

/* The first `room` of list[n], as answers. */
static void take_best(kua__near *list, size_t n, const kua__shop *shop, size_t first_item,
                      kua_hit *hits, size_t room, size_t *out)
{
    *out = room ? kua__near_top(list, n, room) : 0;
    for (size_t i = 0; i < *out; i++) {
        const kua__item *item = &shop->items[first_item + list[i].id];
        hits[i] = (kua_hit){item->id, item->name, item->category, list[i].weight};
    }
}

/* ---- recommend ---- */

static kua_status find_user(const kua__shop *shop, const char *user, uint32_t *out)
{
    *out = kua__ids_find(&shop->users, user, strlen(user));
    return *out == KUA__NO_ID ? kua__fail(KUA_NOTFOUND, "no such user: '%s'", user) : KUA_OK;
}

static kua_status parse_moment(const char *date, int64_t fallback, int64_t *out)
{
    *out = fallback;
    if (!date || kua__parse_date(date, strlen(date), out)) return KUA_OK;
    return kua__fail(KUA_INVALID, "'%s' is no date, expected YYYY-MM-DD", date);
}

/* Events of a user before a moment; logs without a clock are known whole. */
static kua__history history_until(const kua__log *log, uint32_t user, int64_t until)
{
    assert(user + 1 <= log->n_users);
    size_t first = log->user_at[user], end = log->user_at[user + 1];
    /* Oldest first: what is too late is at the end. */
    while (log->has_clock && end > first && log->time[end - 1] >= until)
        end--;
    return (kua__history){log->item + first, log->time + first, log->type + first, end - first};
}

static kua_status open_named(kua_workspace *ws, const kua_recommend_options *o, kua__kept *out)
{
    if (o->model) return kua__kept_open(ws, o->model, 0, out);
    if (!o->domain)
        return kua__fail(KUA_INVALID,
                         "recommend: give a model, or a domain with a published model");
    json_t *row = NULL;
    const kua__shop *shop = NULL;
    uint32_t number = 0;
    KUA__TRY(kua__engine_shop(ws, &shop));
    KUA__TRY(kua__shop_domain(shop, o->domain, &number));
    KUA__TRY(kua__store_published(ws->store, o->domain, &row));
    kua_status st = kua__kept_open(ws, json_string_value(json_object_get(row, "name")),
                                   (int)json_integer_value(json_object_get(row, "version")), out);
    json_decref(row);
    return st;
}

/* list[n_items of the target]: items that may be recommended, with their scores; *n of them. */
static kua_status answer(const kua__stage *stage, kua__scorer *scorer, uint32_t user, int64_t now,
                         bool repeats, kua__near *list, size_t *n)
{
    const kua__domain *domain = &stage->shop->domains[stage->side[0].domain];
    kua__history *sources = NULL;
    float *scores = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&sources, stage->n_sources, "histories"));
    kua_status st = KUA__NEW_ARRAY(&scores, domain->n_items, "scores");
    kua__query query = {.user = user,
                        .now = now,
                        .target = history_until(&domain->log, user, now),
                        .sources = sources};
    for (size_t i = 0; i < stage->n_sources; i++) {
        sources[i] = history_until(&stage->shop->domains[stage->side[1 + i].domain].log, user, now);
    }
    if (!st) st = kua__scorer_score(scorer, &query, 1, scores);
    /* The lowest float marks what may not be recommended. */
    for (size_t i = 0; !st && !repeats && i < query.target.n; i++)
        scores[query.target.item[i]] = -FLT_MAX;
    for (size_t i = 0; !st && i < domain->n_items; i++) {
        if (scores[i] > -FLT_MAX) list[(*n)++] = (kua__near){(uint32_t)i, scores[i]};
    }
    kua__free(sources);
    kua__free(scores);
    return st;
}

/* Just after the last event: all of it is known then. */
static int64_t last_moment(const kua__log *log)
{
    int64_t last = 0;
    for (size_t i = 0; i < log->n_events; i++)
        last = KUA__MAX(last, log->time[i]);
    return last + 1;
}

kua_status kua_recommend(kua_workspace *ws, const kua_recommend_options *o, kua_hit *hits,
                         size_t room, size_t *n)
{
    assert(ws && o && o->user && (hits || room == 0) && n);
    *n = 0;
    kua__kept model = {0};
    kua__stage stage = {0};
    kua__scorer scorer = {0};
    kua__near *list = NULL;
    size_t n_list = 0;
    uint32_t user = 0;
    int64_t now = 0;
    kua_status st;
    KUA__GOTO(st, open_named(ws, o, &model));
    KUA__GOTO(st, kua__kept_stage(ws, &model, NULL, &stage));
    KUA__GOTO(st, find_user(stage.shop, o->user, &user));
    const kua__domain *domain = &stage.shop->domains[stage.side[0].domain];
    KUA__GOTO(st, parse_moment(o->as_of, last_moment(&domain->log), &now));
    kua__world world = kua__stage_final(&stage, 1);
    KUA__GOTO(st, kua__scorer_open(ws, &model, 0, &stage, &world, false, &scorer));
    KUA__GOTO(st, KUA__NEW_ARRAY(&list, domain->n_items, "scores"));
    KUA__GOTO(st, answer(&stage, &scorer, user, now, o->repeats, list, &n_list));
    take_best(list, n_list, stage.shop, domain->first_item, hits, room, n);
done:
    kua__free(list);
    kua__scorer_release(&scorer);
    kua__stage_release(&stage);
    kua__kept_release(&model);
    return st;
}

/* ---- similar ---- */

/* In the order of domains: an id that two domains have is the first one's. */
static kua_status find_item(const kua__shop *shop, const char *id, uint32_t *out)
{
    for (uint32_t i = 0; i < shop->n_items; i++) {
        if (kua__streq(shop->items[i].id, id)) {
            *out = i;
            return KUA_OK;
        }
    }
    return kua__fail(KUA_NOTFOUND, "no such item: '%s'", id);
}

static float cosine(const float *a, const float *b, size_t n)
{
    float ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += a[i] * b[i];
        aa += a[i] * a[i];
        bb += b[i] * b[i];
    }
    return aa > 0 && bb > 0 ? ab / sqrtf(aa * bb) : -1;
}

kua_status kua_similar(kua_workspace *ws, const char *item, const char *domain, kua_hit *hits,
                       size_t room, size_t *n)
{
    assert(ws && item && (hits || room == 0) && n);
    *n = 0;
    const kua__shop *shop = NULL;
    float *own = NULL, *theirs = NULL;
    size_t dim = 0, same = 0;
    uint32_t at = 0, d = 0;
    kua__near *list = NULL;
    size_t n_list = 0;
    kua_status st;
    KUA__GOTO(st, kua__engine_shop(ws, &shop));
    KUA__GOTO(st, find_item(shop, item, &at));
    d = shop->items[at].domain;
    KUA__GOTO(st, kua__engine_vectors(ws, shop, d, &own, &dim));
    if (!own) KUA__GOTO(st, kua__fail(KUA_NOTFOUND, "no vectors yet; kua encode makes them"));
    const float *query = own + (at - shop->domains[d].first_item) * dim;
    if (domain) KUA__GOTO(st, kua__shop_domain(shop, domain, &d));
    KUA__GOTO(st, kua__engine_vectors(ws, shop, d, &theirs, &same));
    if (same != dim) /* another process has encoded with another model meanwhile */
        KUA__GOTO(st, kua__fail(KUA_NOTFOUND, "the vectors are being made anew; ask again"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&list, shop->domains[d].n_items, "similarities"));
    for (size_t i = 0; i < shop->domains[d].n_items; i++) {
        if (shop->domains[d].first_item + i == at) continue;
        list[n_list++] = (kua__near){(uint32_t)i, cosine(query, theirs + i * dim, dim)};
    }
    take_best(list, n_list, shop, shop->domains[d].first_item, hits, room, n);
done:
    kua__free(list);
    kua__free(own);
    kua__free(theirs);
    return st;
}

/* ---- history ---- */

kua_status kua_history(kua_workspace *ws, const char *user, const char *domain, const char *before,
                       const char *after, kua_hit *hits, size_t room, size_t *n)
{
    assert(ws && user && domain && (hits || room == 0) && n);
    *n = 0;
    const kua__shop *shop = NULL;
    uint32_t u = 0, d = 0;
    int64_t low = 0, high = 0;
    KUA__TRY(kua__engine_shop(ws, &shop));
    KUA__TRY(find_user(shop, user, &u));
    KUA__TRY(kua__shop_domain(shop, domain, &d));
    KUA__TRY(parse_moment(after, INT64_MIN, &low));
    KUA__TRY(parse_moment(before, INT64_MAX, &high));
    const kua__log *log = &shop->domains[d].log;
    size_t first = log->user_at[u], end = log->user_at[u + 1];
    for (size_t k = 0; k < end - first && *n < room; k++) {
        size_t i = after ? first + k : end - 1 - k; /* what came next, or what came last */
        if (log->time[i] < low || log->time[i] >= high) continue;
        const kua__item *item = &shop->items[shop->domains[d].first_item + log->item[i]];
        hits[(*n)++] = (kua_hit){item->id, item->name, item->category, log->value[i]};
    }
    return KUA_OK;
}

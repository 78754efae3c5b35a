/* report_data.c - the data's picture in the report: the categories, the people they share, events
 * per week, what was cleaned.
 *
 * A shop may have dozens of categories; the source and the target are shown, then the largest ones
 * up to DOMAINS_SHOWN, and the rest as one line.
 */
#include <assert.h>

#include "base/json.h"
#include "engine/engine.h"

enum { DOMAINS_SHOWN = 6, WEEKS_MAX = 520, WEEK = 7 * 86400 };

typedef struct picture {
    const kua__shop *shop;
    const json_t *roles;
    size_t *shown; /* [n_shown] domains: the sources, the target, then the largest */
    size_t n_shown;
    int64_t first, last; /* of the events of all domains; first > last: no domain has a clock */
} picture;

static void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value ? value : json_null());
}

static void widen(const kua__log *log, int64_t *first, int64_t *last)
{
    for (size_t i = 0; log->has_clock && i < log->n_events; i++) {
        *first = KUA__MIN(*first, log->time[i]);
        *last = KUA__MAX(*last, log->time[i]);
    }
}

/* ---- which categories ---- */

static const char *role_of(const picture *p, size_t d)
{
    return json_string_value(json_object_get(p->roles, p->shop->domains[d].name));
}

static bool is_shown(const picture *p, size_t d)
{
    for (size_t i = 0; i < p->n_shown; i++) {
        if (p->shown[i] == d) return true;
    }
    return false;
}

/* The largest domain that is not shown yet, or n_domains. */
static size_t next_largest(const picture *p)
{
    size_t best = p->shop->n_domains, most = 0;
    for (size_t d = 0; d < p->shop->n_domains; d++) {
        size_t events = p->shop->domains[d].log.n_events;
        if (is_shown(p, d) || events <= most) continue;
        best = d;
        most = events;
    }
    return best;
}

static void choose_domains(picture *p)
{
    static const char *const roles[] = {"source", "target"};
    for (size_t r = 0; r < KUA__COUNT(roles); r++) {
        for (size_t d = 0; d < p->shop->n_domains; d++) {
            if (role_of(p, d) && kua__streq(role_of(p, d), roles[r])) p->shown[p->n_shown++] = d;
        }
    }
    while (p->n_shown < DOMAINS_SHOWN) {
        size_t d = next_largest(p);
        if (d == p->shop->n_domains) break;
        p->shown[p->n_shown++] = d;
    }
}

static const json_t *inspected(const json_t *inspect, const char *name)
{
    json_t *domain;
    size_t i;
    json_array_foreach(json_object_get(inspect, "domains"), i, domain)
    {
        if (kua__streq(json_string_value(json_object_get(domain, "name")), name)) return domain;
    }
    return NULL;
}

static json_t *one_domain(const picture *p, size_t d, const json_t *seen)
{
    const kua__domain *domain = &p->shop->domains[d];
    int64_t first = INT64_MAX, last = INT64_MIN;
    json_t *out = json_pack("{s:s, s:O, s:O, s:O}", "name", domain->name, "items",
                            json_object_get(seen, "items"), "users", json_object_get(seen, "users"),
                            "events", json_object_get(seen, "events"));
    if (role_of(p, d)) put(out, "role", json_string(role_of(p, d)));
    widen(&domain->log, &first, &last);
    if (first <= last) {
        put(out, "first", json_integer(first));
        put(out, "last", json_integer(last));
    }
    return out;
}

static json_t *domain_list(const picture *p, const json_t *inspect)
{
    assert(p->n_shown <= p->shop->n_domains);
    json_t *list = json_array();
    for (size_t i = 0; i < p->n_shown; i++) {
        const json_t *seen = inspected(inspect, p->shop->domains[p->shown[i]].name);
        if (seen) json_array_append_new(list, one_domain(p, p->shown[i], seen));
    }
    return list;
}

/* What the domains add up to that are not shown; NULL: all are. */
static json_t *others(const picture *p, const json_t *inspect)
{
    json_int_t n = 0, items = 0, events = 0;
    for (size_t d = 0; d < p->shop->n_domains; d++) {
        const json_t *seen = inspected(inspect, p->shop->domains[d].name);
        if (is_shown(p, d)) continue;
        n++;
        items += json_integer_value(json_object_get(seen, "items"));
        events += json_integer_value(json_object_get(seen, "events"));
    }
    return n ? json_pack("{s:I, s:I, s:I}", "domains", n, "items", items, "events", events) : NULL;
}

/* ---- activity ---- */

static json_t *weekly(const kua__log *log, int64_t first, size_t weeks)
{
    json_t *list = json_array();
    size_t *count = kua__calloc(weeks, sizeof(*count));
    for (size_t i = 0; count && i < log->n_events; i++) {
        size_t week = (size_t)((log->time[i] - first) / WEEK);
        if (log->time[i] >= first && week < weeks) count[week]++;
    }
    for (size_t w = 0; count && w < weeks; w++)
        json_array_append_new(list, json_integer((json_int_t)count[w]));
    kua__free(count);
    return list;
}

/* Whole weeks only: a started one would look like a collapse. NULL: fewer than two. */
static json_t *activity(const picture *p)
{
    if (p->last <= p->first || p->last - p->first < 2 * WEEK) return NULL;
    size_t weeks = KUA__MIN((size_t)((p->last - p->first) / WEEK), (size_t)WEEKS_MAX);
    json_t *times = json_array(), *series = json_array();
    for (size_t w = 0; w < weeks; w++)
        json_array_append_new(times, json_integer(p->first + (json_int_t)w * WEEK));
    for (size_t d = 0; d < p->shop->n_domains; d++) {
        const kua__domain *domain = &p->shop->domains[d];
        if (!role_of(p, d)) continue;
        json_array_append_new(series, json_pack("{s:s, s:o}", "name", domain->name, "count",
                                                weekly(&domain->log, p->first, weeks)));
    }
    return json_pack("{s:s, s:o, s:b, s:o}", "step", "week", "time", times, "log", 1, "series",
                     series);
}

/* ---- all of it ---- */

static json_t *fill(const picture *p, const json_t *inspect)
{
    json_t *rest = others(p, inspect), *active = activity(p);
    json_t *data = json_pack("{s:o, s:O, s:O}", "domains", domain_list(p, inspect), "shared_users",
                             json_object_get(inspect, "shared_users"), "cleaned",
                             json_object_get(inspect, "cleaned"));
    if (rest) put(data, "others", rest);
    if (active) put(data, "activity", active);
    return data;
}

kua_status kua__engine_picture(kua_workspace *ws, const kua__shop *shop, const json_t *roles,
                               json_t **out)
{
    assert(shop && json_is_object(roles));
    json_t *inspect = NULL;
    picture p = {.shop = shop, .roles = roles, .first = INT64_MAX, .last = INT64_MIN};
    *out = NULL;
    KUA__TRY(kua__store_inspect(ws->store, &inspect));
    kua_status st = KUA__NEW_ARRAY(&p.shown, shop->n_domains + DOMAINS_SHOWN, "domains");
    if (!st) {
        for (size_t d = 0; d < shop->n_domains; d++)
            widen(&shop->domains[d].log, &p.first, &p.last);
        choose_domains(&p);
        *out = fill(&p, inspect);
    }
    kua__free(p.shown);
    json_decref(inspect);
    return st;
}

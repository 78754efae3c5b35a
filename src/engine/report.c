/* report.c - gathers what the registry, the store and the result tables know into the data of the
 * HTML report.
 *
 * The page's schema is at the head of eval/report.c. The rows of the tables say which models are
 * meant; their records give training curves, verdicts and cost.
 */
#include "eval/report.h"

#include <string.h>
#include <time.h>

#include "base/json.h"
#include "engine/engine.h"

enum { EXAMPLE_ITEMS = 8, HISTORY_MAX = 400, WEEK = 7 * 86400 };

typedef struct gathering {
    kua_workspace *ws;
    const kua__shop *shop;
    const char *domain;
    const json_t *input; /* {"tables", "users"} */
    json_t *names;       /* models of the tables, in their order */
    json_t *data;
} gathering;

static void put(json_t *object, const char *key, json_t *value)
{
    json_object_set_new(object, key, value ? value : json_null());
}

/* ---- which models ---- */

static void add_name(json_t *names, const char *name)
{
    size_t i;
    json_t *have;
    size_t n = strlen(name);
    if (kua__has_suffix(name, ":raw")) n -= 4;
    json_array_foreach(names, i, have)
    {
        if (json_string_length(have) == n && !memcmp(json_string_value(have), name, n)) return;
    }
    json_array_append_new(names, json_stringn(name, n));
}

static void collect_names(gathering *g)
{
    size_t i, j;
    json_t *table, *row;
    json_array_foreach(json_object_get(g->input, "tables"), i, table)
    {
        json_array_foreach(json_object_get(table, "rows"), j, row)
        {
            const char *name = json_string_value(json_object_get(row, "model"));
            if (name) add_name(g->names, name);
        }
    }
}

/* ---- curves, verdicts, cost ---- */

static json_t *column(const json_t *curve, const char *key)
{
    json_t *list = json_array(), *point;
    size_t i;
    json_array_foreach(curve, i, point)
    {
        json_array_append(list, json_object_get(point, key));
    }
    return list;
}

static void add_curves(const json_t *record, const char *name, json_t *training)
{
    size_t i;
    json_t *seed;
    json_array_foreach(json_object_get(record, "seeds"), i, seed)
    {
        const json_t *curve = json_object_get(json_object_get(seed, "facts"), "curve");
        if (json_array_size(curve) < 2) continue;
        char title[160];
        snprintf(title, sizeof(title), "%s, seed %lld", name,
                 (long long)json_integer_value(json_object_get(seed, "seed")));
        json_array_append_new(training,
                              json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", title, "measure",
                                        "ndcg@10", "epoch", column(curve, "epoch"), "valid",
                                        column(curve, "valid"), "loss", column(curve, "loss")));
    }
}

static kua_status add_models(gathering *g)
{
    json_t *training = json_array(), *verdicts = json_array(), *cost = json_array(), *name;
    size_t i;
    kua_status st = KUA_OK;
    json_array_foreach(g->names, i, name)
    {
        kua__model model = {0};
        st = kua__model_open(g->ws, json_string_value(name), 0, &model);
        if (st) break;
        const json_t *record = json_object_get(model.row, "record");
        add_curves(record, model.name, training);
        if (json_object_get(record, "verdict"))
            json_array_append(verdicts, json_object_get(record, "verdict"));
        json_array_append_new(cost, json_pack("{s:s, s:O, s:O}", "step", model.name, "seconds",
                                              json_object_get(record, "seconds"), "bytes",
                                              json_object_get(record, "peak_bytes")));
        kua__model_release(&model);
    }
    put(g->data, "training", training);
    put(g->data, "verdicts", verdicts);
    put(g->data, "cost", cost);
    return st;
}

/* ---- the data's picture ---- */

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

static json_t *activity(const gathering *g, const json_t *roles)
{
    int64_t first = INT64_MAX, last = INT64_MIN;
    for (size_t d = 0; d < g->shop->n_domains; d++) {
        const kua__log *log = &g->shop->domains[d].log;
        for (size_t i = 0; log->has_clock && i < log->n_events; i++) {
            first = KUA__MIN(first, log->time[i]);
            last = KUA__MAX(last, log->time[i]);
        }
    }
    if (first >= last) return NULL;
    size_t weeks = KUA__MIN((size_t)((last - first) / WEEK) + 1, (size_t)520);
    json_t *times = json_array(), *series = json_array();
    for (size_t w = 0; w < weeks; w++)
        json_array_append_new(times, json_integer(first + (json_int_t)w * WEEK));
    for (size_t d = 0; d < g->shop->n_domains; d++) {
        const kua__domain *domain = &g->shop->domains[d];
        if (!json_object_get(roles, domain->name)) continue;
        json_array_append_new(series, json_pack("{s:s, s:o}", "name", domain->name, "count",
                                                weekly(&domain->log, first, weeks)));
    }
    return json_pack("{s:s, s:o, s:b, s:o}", "step", "week", "time", times, "log", 1, "series",
                     series);
}

/* The target and every source of a verdict, by name. */
static json_t *domain_roles(const gathering *g)
{
    json_t *roles = json_object(), *verdict, *source;
    size_t i, j;
    json_array_foreach(json_object_get(g->data, "verdicts"), i, verdict)
    {
        json_array_foreach(json_object_get(verdict, "sources"), j, source)
        {
            put(roles, json_string_value(source), json_string("source"));
        }
    }
    put(roles, g->domain, json_string("target"));
    return roles;
}

static kua_status add_data(gathering *g)
{
    json_t *inspect = NULL, *domain;
    size_t i;
    KUA__TRY(kua__store_inspect(g->ws->store, &inspect));
    json_t *roles = domain_roles(g), *domains = json_object_get(inspect, "domains");
    json_array_foreach(domains, i, domain)
    {
        const json_t *role =
            json_object_get(roles, json_string_value(json_object_get(domain, "name")));
        if (role) json_object_set(domain, "role", (json_t *)role);
    }
    json_t *data = json_pack("{s:O, s:O, s:O}", "domains", domains, "shared_users",
                             json_object_get(inspect, "shared_users"), "cleaned",
                             json_object_get(inspect, "cleaned"));
    json_t *active = activity(g, roles);
    if (active) put(data, "activity", active);
    put(g->data, "data", data);
    json_decref(roles);
    json_decref(inspect);
    return KUA_OK;
}

/* ---- examples ---- */

static bool among(const kua_hit *hits, size_t n, const char *item)
{
    for (size_t i = 0; i < n; i++) {
        if (kua__streq(hits[i].item, item)) return true;
    }
    return false;
}

static json_t *example_list(const kua_hit *hits, size_t n, const kua_hit *before, size_t n_before,
                            const kua_hit *after, size_t n_after)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n && json_array_size(list) < EXAMPLE_ITEMS; i++) {
        if (among(hits, i, hits[i].item)) continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b}", "name", hits[i].name,
                                              "category", hits[i].category, "known",
                                              among(before, n_before, hits[i].item), "hit",
                                              among(after, n_after, hits[i].item)));
    }
    return list;
}

static kua_status add_example(gathering *g, const char *user, const char *cut, json_t *examples)
{
    static kua_hit before[HISTORY_MAX], after[HISTORY_MAX], hits[EXAMPLE_ITEMS];
    size_t n_before = 0, n_after = 0, n = 0;
    kua_recommend_options o = {
        .domain = g->domain, .user = user, .as_of = cut, .repeats = cut != NULL};
    kua_status st = kua_recommend(g->ws, &o, hits, EXAMPLE_ITEMS, &n);
    if (st == KUA_NOTFOUND)
        return KUA_OK; /* nothing is published yet: the report has no examples */
    if (!st) st = kua_history(g->ws, user, g->domain, cut, NULL, before, HISTORY_MAX, &n_before);
    if (!st && cut)
        st = kua_history(g->ws, user, g->domain, NULL, cut, after, HISTORY_MAX, &n_after);
    if (st) return st;
    char title[120];
    snprintf(title, sizeof(title), "Customer %.60s", user);
    json_array_append_new(
        examples, json_pack("{s:s, s:s, s:o, s:o, s:o}", "user", user, "title", title, "before",
                            example_list(before, n_before, NULL, 0, NULL, 0), "recommended",
                            example_list(hits, n, before, n_before, after, n_after), "after",
                            example_list(after, n_after, before, n_before, hits, n)));
    return KUA_OK;
}

static kua_status add_examples(gathering *g)
{
    json_t *examples = json_array(), *user, *published = NULL;
    size_t i;
    kua_status st = kua__store_published(g->ws->store, g->domain, &published);
    if (!st) {
        const char *split =
            json_string_value(json_object_get(json_object_get(published, "record"), "split"));
        char cut[32];
        bool time = split && kua__has_prefix(split, "time=");
        if (time) snprintf(cut, sizeof(cut), "%.*s", (int)strcspn(split + 5, ","), split + 5);
        put(g->data, "published", json_incref(json_object_get(published, "name")));
        json_array_foreach(json_object_get(g->input, "users"), i, user)
        {
            if (!st) st = add_example(g, json_string_value(user), time ? cut : NULL, examples);
        }
    }
    json_decref(published);
    put(g->data, "examples", examples);
    return st == KUA_NOTFOUND ? KUA_OK : st;
}

/* ---- head ---- */

static void add_head(gathering *g)
{
    json_t *verdict = json_array_get(json_object_get(g->data, "verdicts"), 0), *source;
    kua__buf title = {0};
    size_t i;
    kua__buf_puts(&title, verdict ? "From " : "Recommendations in ");
    json_array_foreach(json_object_get(verdict, "sources"), i, source)
    {
        kua__buf_printf(&title, "%s%s", i ? ", " : "", json_string_value(source));
    }
    kua__buf_printf(&title, "%s%s", verdict ? " to " : "", g->domain);
    char now[32];
    kua__format_date((int64_t)time(NULL), now);
    put(g->data, "title", json_string(title.data ? title.data : ""));
    put(g->data, "generated", json_string(now));
    put(g->data, "version", json_string(KUA_VERSION));
    if (verdict) put(g->data, "headline", json_incref(json_object_get(verdict, "words")));
    json_object_set(g->data, "tables", json_object_get(g->input, "tables"));
    if (json_object_get(g->input, "scaling"))
        json_object_set(g->data, "scaling", json_object_get(g->input, "scaling"));
    kua__buf_release(&title);
}

kua_status kua_report(kua_workspace *ws, const char *domain, const char *tables,
                      const char *out_file)
{
    json_t *input = NULL;
    KUA__TRY(kua__json_parse("report tables", tables ? tables : "{}",
                             strlen(tables ? tables : "{}"), &input));
    gathering g = {
        .ws = ws, .domain = domain, .input = input, .names = json_array(), .data = json_object()};
    uint32_t number = 0;
    kua_status st = kua__engine_shop(ws, &g.shop);
    if (!st) st = kua__shop_domain(g.shop, domain, &number);
    collect_names(&g);
    if (!st) st = add_models(&g);
    if (!st) st = add_data(&g);
    if (!st) st = add_examples(&g);
    add_head(&g);
    if (!st) st = kua__report_write(out_file, g.data);
    json_decref(g.names);
    json_decref(g.data);
    json_decref(input);
    return st;
}

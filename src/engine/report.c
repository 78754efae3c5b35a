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

enum { EXAMPLE_ITEMS = 8, EXAMPLE_BEFORE = 5, EXAMPLE_SOURCE_ITEMS = 3, HISTORY_MAX = 400 };

typedef struct gathering {
    kua_workspace *ws;
    const kua__shop *shop;
    const char *domain;
    const json_t *input; /* {"tables", "users", "cost", "scaling"} */
    json_t *names;       /* models of the tables, in their order */
    json_t *roles;       /* domain: "source" or "target" */
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

static void add_verdict(const kua__kept *model, json_t *verdicts)
{
    const json_t *verdict = json_object_get(json_object_get(model->row, "record"), "verdict");
    if (!verdict) return;
    json_t *copy = json_copy((json_t *)verdict);
    put(copy, "model", json_string(model->name));
    json_array_append_new(verdicts, copy);
}

static json_t *cost_of(const char *step, const json_t *record)
{
    json_t *row = json_pack("{s:s}", "step", step);
    static const char *const from[] = {"seconds", "peak_bytes"}, *const to[] = {"seconds", "bytes"};
    for (size_t i = 0; i < KUA__COUNT(from); i++) {
        json_t *value = json_object_get(record, from[i]);
        if (value) json_object_set(row, to[i], value);
    }
    return row;
}

static void describe_model(gathering *g, const kua__kept *model)
{
    const json_t *record = json_object_get(model->row, "record");
    add_curves(record, model->name, json_object_get(g->data, "training"));
    add_verdict(model, json_object_get(g->data, "verdicts"));
    json_array_append_new(json_object_get(g->data, "cost"), cost_of(model->name, record));
    json_array_append_new(json_object_get(g->data, "models"),
                          json_pack("{s:s, s:s, s:s, s:s}", "name", model->name, "kind",
                                    model->kind, "strategy", model->strategy, "sources",
                                    model->sources));
}

/* The newest model of the sources of a verdict: trained once for all strategies. */
static kua_status add_source_cost(gathering *g)
{
    json_t *rows = NULL;
    KUA__TRY(kua__store_models(g->ws->store, "source", &rows));
    const json_t *record =
        json_object_get(json_array_get(rows, json_array_size(rows) - 1), "record");
    const char *of = json_string_value(json_object_get(record, "of"));
    if (of && json_array_size(json_object_get(g->data, "verdicts"))) {
        char step[160];
        snprintf(step, sizeof(step), "source: %s", of);
        json_array_append_new(json_object_get(g->data, "cost"), cost_of(step, record));
    }
    json_decref(rows);
    return KUA_OK;
}

static kua_status add_models(gathering *g)
{
    json_t *name, *cost = json_object_get(g->input, "cost");
    size_t i;
    put(g->data, "training", json_array());
    put(g->data, "verdicts", json_array());
    put(g->data, "models", json_array());
    put(g->data, "cost", cost ? json_copy(cost) : json_array());
    json_array_foreach(g->names, i, name)
    {
        kua__kept model = {0};
        KUA__TRY(kua__kept_open(g->ws, json_string_value(name), 0, &model));
        describe_model(g, &model);
        kua__kept_release(&model);
    }
    return add_source_cost(g);
}

/* ---- roles ---- */

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
    json_t *picture = NULL;
    g->roles = domain_roles(g);
    KUA__TRY(kua__engine_picture(g->ws, g->shop, g->roles, &picture));
    put(g->data, "data", picture);
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
                            const kua_hit *after, size_t n_after, size_t room)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n && json_array_size(list) < room; i++) {
        if (among(hits, i, hits[i].item)) continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:b}", "name", hits[i].name,
                                              "category", hits[i].category, "known",
                                              among(before, n_before, hits[i].item), "hit",
                                              among(after, n_after, hits[i].item)));
    }
    return list;
}

/* What the user last bought in each source before `cut`, as further entries of `list`. */
static kua_status add_source_history(gathering *g, const char *user, const char *cut, json_t *list)
{
    static kua_hit before[HISTORY_MAX];
    const char *source;
    json_t *role, *item;
    json_object_foreach(g->roles, source, role)
    {
        size_t n = 0, i;
        if (!kua__streq(json_string_value(role), "source")) continue;
        KUA__TRY(kua_history(g->ws, user, source, cut, NULL, before, HISTORY_MAX, &n));
        json_t *some = example_list(before, n, NULL, 0, NULL, 0, EXAMPLE_SOURCE_ITEMS);
        json_array_foreach(some, i, item)
        {
            put(item, "domain", json_string(source));
            json_array_append(list, item);
        }
        json_decref(some);
    }
    return KUA_OK;
}

static kua_status add_example(gathering *g, const char *user, const char *cut, json_t *examples)
{
    static kua_hit before[HISTORY_MAX], after[HISTORY_MAX], hits[EXAMPLE_ITEMS];
    size_t n_before = 0, n_after = 0, n = 0;
    kua_recommend_options o = {
        .domain = g->domain, .user = user, .as_of = cut, .repeats = cut != NULL};
    KUA__TRY(kua_recommend(g->ws, &o, hits, EXAMPLE_ITEMS, &n));
    KUA__TRY(kua_history(g->ws, user, g->domain, cut, NULL, before, HISTORY_MAX, &n_before));
    if (cut) KUA__TRY(kua_history(g->ws, user, g->domain, NULL, cut, after, HISTORY_MAX, &n_after));
    char title[120];
    snprintf(title, sizeof(title), "Customer %.60s", user);
    json_t *had = example_list(before, n_before, NULL, 0, NULL, 0, EXAMPLE_BEFORE);
    json_array_append_new(
        examples,
        json_pack("{s:s, s:s, s:o, s:o, s:o}", "user", user, "title", title, "before", had,
                  "recommended",
                  example_list(hits, n, before, n_before, after, n_after, EXAMPLE_ITEMS), "after",
                  example_list(after, n_after, before, n_before, hits, n, EXAMPLE_ITEMS)));
    return add_source_history(g, user, cut, had);
}

static kua_status add_examples(gathering *g)
{
    json_t *examples = json_array(), *user, *published = NULL;
    size_t i;
    put(g->data, "examples", examples);
    kua_status st = kua__store_published(g->ws->store, g->domain, &published);
    if (st == KUA_NOTFOUND) return KUA_OK; /* nothing is published yet */
    if (st) return st;
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
    json_decref(published);
    return st;
}

/* ---- head ---- */

/* The verdict on the published model, or the first one. */
static const json_t *main_verdict(const gathering *g)
{
    const json_t *verdicts = json_object_get(g->data, "verdicts"), *published;
    json_t *verdict;
    size_t i;
    published = json_object_get(g->data, "published");
    json_array_foreach(verdicts, i, verdict)
    {
        if (published && json_equal(json_object_get(verdict, "model"), published)) return verdict;
    }
    return json_array_get(verdicts, 0);
}

static void write_sources(kua__buf *b, const json_t *verdict)
{
    json_t *source;
    size_t i;
    json_array_foreach(json_object_get(verdict, "sources"), i, source)
    {
        kua__buf_printf(b, "%s%s", i ? ", " : "", json_string_value(source));
    }
}

/* The verdict in words for somebody who knows no statistics. */
static void write_headline(kua__buf *b, const json_t *verdict, const char *domain)
{
    const json_t *everybody = json_array_get(json_object_get(verdict, "slices"), 0);
    bool better = json_number_value(json_object_get(everybody, "low")) > 0;
    kua__buf_puts(b, "What was learned from ");
    write_sources(b, verdict);
    if (!json_is_true(json_object_get(verdict, "transfer"))) {
        kua__buf_printf(b,
                        " is not used in %s: there it was not shown to be as good as what was "
                        "learned from %s alone.",
                        domain, domain);
    } else if (better) {
        kua__buf_printf(b, " makes recommendations in %s better, and is used there.", domain);
    } else {
        kua__buf_printf(b,
                        " is used in %s: there it is as good as what was learned from %s alone, "
                        "but not shown to be better.",
                        domain, domain);
    }
    if (json_is_true(json_object_get(verdict, "partly")))
        kua__buf_puts(b, " For some groups of people it is switched off; they are named below.");
}

static void put_buf(json_t *object, const char *key, kua__buf *b)
{
    put(object, key, json_string(b->data ? b->data : ""));
    kua__buf_release(b);
}

static void add_head(gathering *g)
{
    const json_t *verdict = main_verdict(g);
    kua__buf title = {0}, headline = {0};
    kua__buf_puts(&title, verdict ? "From " : "Recommendations in ");
    write_sources(&title, verdict);
    kua__buf_printf(&title, "%s%s", verdict ? " to " : "", g->domain);
    put_buf(g->data, "title", &title);
    if (verdict) {
        write_headline(&headline, verdict, g->domain);
        put_buf(g->data, "headline", &headline);
    }
    char now[32];
    kua__format_date((int64_t)time(NULL), now);
    now[10] = 0; /* the day */
    put(g->data, "generated", json_string(now));
    put(g->data, "version", json_string(KUA_VERSION));
    json_object_set(g->data, "tables", json_object_get(g->input, "tables"));
    if (json_object_get(g->input, "scaling"))
        json_object_set(g->data, "scaling", json_object_get(g->input, "scaling"));
}

/* The page leaves out what is missing, so a member of another kind would be passed over in silence.
 */
static kua_status parse_input(const char *text, json_t **out)
{
    static const char *const lists[] = {"tables", "users", "cost"};
    KUA__TRY(kua__json_parse("report tables", text, strlen(text), out));
    if (!json_is_object(*out))
        return kua__fail(KUA_FORMAT, "report tables: expected a JSON object {\"tables\": [..]}");
    for (size_t i = 0; i < KUA__COUNT(lists); i++) {
        const json_t *list = json_object_get(*out, lists[i]);
        if (list && !json_is_array(list))
            return kua__fail(KUA_FORMAT, "report tables: %s is not a list", lists[i]);
    }
    json_t *user;
    size_t k;
    json_array_foreach(json_object_get(*out, "users"), k, user)
    {
        if (!json_is_string(user))
            return kua__fail(KUA_FORMAT, "report tables: users: element %zu is not a text", k);
    }
    const json_t *scaling = json_object_get(*out, "scaling");
    return !scaling || json_is_array(json_object_get(scaling, "steps"))
               ? KUA_OK
               : kua__fail(KUA_FORMAT, "report tables: scaling has no list of steps");
}

kua_status kua_report(kua_workspace *ws, const char *domain, const char *tables,
                      const char *out_file)
{
    json_t *input = NULL;
    kua_status st = parse_input(tables ? tables : "{}", &input);
    gathering g = {
        .ws = ws, .domain = domain, .input = input, .names = json_array(), .data = json_object()};
    uint32_t number = 0;
    if (!st) st = kua__engine_shop(ws, &g.shop);
    if (!st) st = kua__shop_domain(g.shop, domain, &number);
    if (!st) collect_names(&g);
    if (!st) st = add_models(&g);
    if (!st) st = add_data(&g);
    if (!st) st = add_examples(&g);
    if (!st) add_head(&g);
    if (!st) st = kua__report_write(out_file, g.data);
    json_decref(g.names);
    json_decref(g.roles);
    json_decref(g.data);
    json_decref(input);
    return st;
}

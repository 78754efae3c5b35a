/* train.c - the jobs that make models: kua_train on one domain, kua_transfer from others under the
 * guard.
 *
 *     kua_train      stage of the target -> fit -> next version of NAME
 *     kua_transfer   stage of target and sources
 *                      -> target-only of the same split and seeds: found in the registry or trained
 *                      -> the model of the sources, where the strategy begins from one (source.c)
 *                      -> fit -> next version of NAME
 *                      -> guard compares the two on validation -> verdict into the record
 *
 * What is compared is fitted with the same settings, seeds and split: a transfer that wins because
 * its settings are better would prove nothing. A strategy that trains no sequence model has no such
 * settings, and is compared with the latest target-only there is.
 *
 * The version is registered before the guard is asked, so that an interrupted verdict loses no
 * training; a model without a verdict is used as it is.
 */
#include "engine/engine.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "transfer/guard.h"
#include "transfer/transfer.h"

/* ---- what exists ---- */

/* `settings` is the JSON text of a recommender's or strategy's table. */
static kua_status describe(json_t *list, const char *name, const char *summary,
                           const char *settings)
{
    unsigned long lost = kua__json_lost();
    json_t *parsed = NULL;
    KUA__TRY(kua__json_parse(name, settings, strlen(settings), &parsed));
    json_array_append_new(
        list, json_pack("{s:s, s:s, s:o}", "name", name, "summary", summary, "settings", parsed));
    return kua__json_whole(lost, "a report");
}

/* Gives out a list, or releases it after a failure. */
static kua_status report_list(json_t *list, kua_status st, char **report)
{
    if (!st) return kua__engine_report(list, report);
    json_decref(list);
    return st;
}

kua_status kua_kinds(char **report)
{
    assert(report);
    *report = NULL;
    json_t *list = json_array();
    kua_status st = KUA_OK;
    for (size_t i = 0; !st && kua__rec_all[i]; i++) {
        const kua__rec_ops *ops = kua__rec_all[i];
        st = describe(list, ops->name, ops->summary, ops->settings);
    }
    return report_list(list, st, report);
}

kua_status kua_strategies(char **report)
{
    assert(report);
    *report = NULL;
    json_t *list = json_array();
    kua_status st = KUA_OK;
    for (size_t i = 0; !st && kua__strategy_all[i]; i++) {
        const kua__strategy *strategy = kua__strategy_all[i];
        st = describe(list, strategy->name, strategy->summary, strategy->settings);
    }
    return report_list(list, st, report);
}

static kua_status unknown(const char *what, const char *name, char *(*names)(void))
{
    char *list = names();
    kua_status st =
        kua__fail(KUA_INVALID, "no %s '%s'; there is: %s", what, name, list ? list : "");
    kua__free(list);
    return st;
}

static char *kind_names(void)
{
    kua__buf b = {0};
    for (size_t i = 0; kua__rec_all[i]; i++)
        kua__buf_printf(&b, "%s%s", i ? ", " : "", kua__rec_all[i]->name);
    return b.data;
}

static char *strategy_names(void)
{
    kua__buf b = {0};
    for (size_t i = 0; kua__strategy_all[i]; i++)
        kua__buf_printf(&b, "%s%s", i ? ", " : "", kua__strategy_all[i]->name);
    return b.data;
}

static kua_status parse_settings(const char *text, json_t **out)
{
    *out = NULL;
    if (!text) return KUA_OK;
    KUA__TRY(kua__json_parse("settings", text, strlen(text), out));
    return json_is_object(*out) ? KUA_OK
                                : kua__fail(KUA_INVALID, "settings: expected a JSON object");
}

/* The registry's row with the record's members beside it. */
static kua_status model_report(const kua__kept *model, char **report)
{
    unsigned long lost = kua__json_lost();
    json_t *all = json_deep_copy(model->row);
    json_t *record = json_incref(json_object_get(all, "record"));
    json_object_del(all, "record");
    json_object_update(all, record);
    json_decref(record);
    return report_list(all, kua__json_whole(lost, "a report"), report);
}

/* ---- train ---- */

kua_status kua_train(kua_workspace *ws, const kua_train_options *o, char **report)
{
    assert(ws && o && o->domain && o->kind && o->name);
    if (report) *report = NULL;
    kua__recipe recipe = {.kind = o->kind, .ops = kua__rec_find(o->kind)};
    if (!recipe.ops) return unknown("model", o->kind, kind_names);
    kua__stage stage = {0};
    kua__kept model = {0};
    json_t *settings = NULL;
    kua_status st = kua__engine_lock(ws);
    if (!st) st = parse_settings(o->settings, &settings);
    recipe.settings = settings;
    if (!st) st = kua__stage_open(ws, o->domain, NULL, o->split, &stage);
    if (!st) {
        st = kua__engine_train(ws, &stage, &recipe, o->name, o->seed ? o->seed : 1,
                               o->seeds ? (size_t)o->seeds : 1, NULL, &model);
    }
    kua__stage_release(&stage);
    json_decref(settings);
    if (!st) st = model_report(&model, report);
    kua__kept_release(&model);
    return st;
}

/* ---- transfer ---- */

kua_status kua__engine_own_settings(const kua__rec_ops *ops, const json_t *given, json_t **out)
{
    assert(ops && out);
    unsigned long lost = kua__json_lost();
    json_t *known = NULL, *own = json_object(), *value;
    const char *key;
    *out = NULL;
    kua_status st = kua__json_parse(ops->name, ops->settings, strlen(ops->settings), &known);
    json_object_foreach((json_t *)given, key, value)
    {
        if (json_object_get(known, key)) json_object_set(own, key, value);
    }
    json_decref(known);
    if (!st) st = kua__json_whole(lost, "settings");
    if (st)
        json_decref(own);
    else
        *out = own;
    return st;
}

static bool is_target_only(const json_t *row, const char *kind, const char *domain,
                           const char *split, const json_t *settings, uint64_t seed, size_t seeds)
{
    const json_t *record = json_object_get(row, "record"), *list = json_object_get(record, "seeds");
    const char *sources = json_string_value(json_object_get(record, "sources"));
    return kua__streq(json_string_value(json_object_get(row, "kind")), kind) &&
           kua__streq(json_string_value(json_object_get(row, "domain")), domain) &&
           !(sources && *sources) &&
           kua__streq(json_string_value(json_object_get(record, "split")), split) &&
           (!settings || json_equal(json_object_get(record, "settings"), settings)) &&
           json_array_size(list) >= seeds &&
           json_integer_value(json_object_get(json_array_get(list, 0), "seed")) == (json_int_t)seed;
}

/* A model of the target alone: an existing one with these settings (any: with whatever settings),
 * or a new one called "target-only". */
static kua_status target_only(kua_workspace *ws, const kua__stage *stage, const kua__recipe *recipe,
                              bool any, uint64_t seed, size_t seeds, kua__kept *out)
{
    const char *domain = stage->shop->domains[stage->side[0].domain].name;
    json_t *rows = NULL, *settings = NULL;
    KUA__TRY(kua__engine_own_settings(recipe->ops, recipe->settings, &settings));
    kua_status st = kua__store_models(ws->store, NULL, &rows);
    for (size_t i = json_array_size(rows); !st && i-- > 0;) {
        const json_t *row = json_array_get(rows, i);
        if (!is_target_only(row, recipe->kind, domain, stage->split_text, any ? NULL : settings,
                            seed, seeds))
            continue;
        st = kua__kept_open(ws, json_string_value(json_object_get(row, "name")),
                            (int)json_integer_value(json_object_get(row, "version")), out);
        json_decref(rows);
        json_decref(settings);
        return st;
    }
    json_decref(rows);
    kua__stage alone = *stage;
    alone.n_sources = 0;
    kua__recipe plain = {.kind = recipe->kind, .ops = recipe->ops, .settings = settings};
    if (!st) {
        kua__log_line(ws->monitor, KUA_LOG_INFO,
                      "target-only: training the model of %s alone, to compare with", domain);
        st = kua__engine_train(ws, &alone, &plain, "target-only", seed, seeds, NULL, out);
    }
    json_decref(settings);
    return st;
}

static kua_status load_results(kua_workspace *ws, const kua__kept *model, size_t n,
                               kua__eval_result *out)
{
    assert(n <= model->n_seeds);
    kua_status st = KUA_OK;
    for (size_t k = 0; !st && k < n; k++) {
        char *folder = kua__kept_folder(ws, model->name, model->version, k);
        st = folder ? kua__result_load(folder, &out[k]) : kua__fail_nomem(0, "a path");
        kua__free(folder);
    }
    return st;
}

static kua_status decide(kua_workspace *ws, const kua__stage *stage, const kua__kept *base,
                         const kua__kept *moved, json_t **out)
{
    kua__world world = kua__stage_choosing(stage, 1);
    kua__eval_set set = {0};
    kua__eval_result *results = NULL;
    kua__verdict verdict = {0};
    size_t n = KUA__MIN(base->n_seeds, moved->n_seeds); /* seeds are compared pair by pair */
    KUA__TRY(kua__engine_valid_set(stage, &world, &set));
    kua_status st = KUA__NEW_ZEROED(&results, 2 * n, "validation results");
    if (!st) st = load_results(ws, base, n, results);
    if (!st) st = load_results(ws, moved, n, results + n);
    kua__guard_options options = {.strategy = moved->strategy, .seed = 1};
    if (!st) st = kua__guard_decide(&set, results, n, results + n, n, &options, &verdict);
    if (!st) st = kua__verdict_json(&verdict, out);
    kua__verdict_release(&verdict);
    for (size_t k = 0; results && k < 2 * n; k++)
        kua__eval_result_release(&results[k]);
    kua__free(results);
    kua__eval_set_release(&set);
    return st;
}

/* Asks the guard about a fitted strategy and writes its verdict, and what it was compared with,
 * into the record. */
static kua_status judge(kua_workspace *ws, const kua__stage *stage, const kua_transfer_options *o,
                        const kua__kept *base, kua__kept *moved)
{
    json_t *verdict = NULL;
    KUA__TRY(decide(ws, stage, base, moved, &verdict));
    unsigned long lost = kua__json_lost();
    json_object_set_new(verdict, "strategy", json_string(o->strategy));
    json_object_set_new(verdict, "target", json_string(o->target));
    json_object_set_new(verdict, "sources", json_pack("[s]", moved->sources));
    json_t *record = json_object_get(moved->row, "record");
    json_object_set_new(record, "verdict", verdict);
    json_object_set_new(record, "target_only",
                        json_pack("{s:s, s:i}", "name", base->name, "version", base->version));
    KUA__TRY(kua__json_whole(lost, "a verdict"));
    return kua__store_model_record(ws->store, moved->name, moved->version, record);
}

/* A misspelt setting would be passed over in silence otherwise. */
static kua_status check_settings(const kua__recipe *recipe, const json_t *given)
{
    unsigned long lost = kua__json_lost();
    const char *own = recipe->ops->settings, *more = recipe->strategy->settings, *key;
    json_t *known = NULL, *added = NULL, *value;
    kua_status st = kua__json_parse(recipe->ops->name, own, strlen(own), &known);
    if (!st) st = kua__json_parse(recipe->strategy->name, more, strlen(more), &added);
    if (!st) json_object_update(known, added);
    if (!st) st = kua__json_whole(lost, "settings");
    json_object_foreach((json_t *)given, key, value)
    {
        if (!st && !json_object_get(known, key)) {
            st = kua__fail(KUA_INVALID,
                           "strategy %s: no setting '%s'; kua transfer WS --list shows them",
                           recipe->strategy->name, key);
        }
    }
    json_decref(known);
    json_decref(added);
    return st;
}

static kua_status transfer(kua_workspace *ws, const kua_transfer_options *o,
                           const kua__recipe *recipe, const json_t *settings, kua__kept *model)
{
    kua__stage stage = {0};
    kua__kept base = {0};
    uint64_t seed = o->seed ? o->seed : 1;
    size_t seeds = o->seeds ? (size_t)o->seeds : 1;
    const kua__rec_ops *ops = kua__rec_find("sequence");
    kua__recipe reference = {.kind = "sequence", .ops = ops, .settings = settings};
    KUA__TRY(kua__stage_open(ws, o->target, o->sources, o->split, &stage));
    kua__rec *source = NULL;
    kua_status st = stage.n_sources ? check_settings(recipe, settings)
                                    : kua__fail(KUA_INVALID, "transfer: no source is named in '%s'",
                                                o->sources ? o->sources : "");
    bool any =
        recipe->ops != ops; /* a strategy that trains no sequence model has no settings for one */
    if (!st) st = target_only(ws, &stage, &reference, any, seed, seeds, &base);
    json_t *own = NULL;
    if (!st) st = kua__engine_own_settings(ops, settings, &own);
    if (!st && recipe->strategy->needs_source)
        st = kua__engine_source(ws, &stage, o->sources, own, seed, &source);
    json_decref(own);
    kua__recipe moved = *recipe;
    moved.source = source;
    if (recipe->ops == ops)
        moved.before = json_object_get(
            json_array_get(json_object_get(json_object_get(base.row, "record"), "seeds"), 0),
            "facts");
    json_t *extra = json_pack("{s:s}", "sources", o->sources ? o->sources : "");
    if (!st && !extra) st = kua__fail_nomem(0, "a model's record");
    if (!st) {
        kua__log_line(ws->monitor, KUA_LOG_INFO, "%s: moving to %s", o->strategy, o->target);
        st = kua__engine_train(ws, &stage, &moved, o->name, seed, seeds, extra, model);
    } else {
        json_decref(extra);
    }
    kua__rec_free(source);
    if (!st) st = judge(ws, &stage, o, &base, model);
    kua__kept_release(&base);
    kua__stage_release(&stage);
    return st;
}

kua_status kua_transfer(kua_workspace *ws, const kua_transfer_options *o, char **report)
{
    assert(ws && o && o->target && o->strategy && o->name);
    if (report) *report = NULL;
    const kua__strategy *strategy = kua__strategy_find(o->strategy);
    if (!strategy) return unknown("strategy", o->strategy, strategy_names);
    kua__recipe recipe = {
        .kind = strategy->rec, .ops = kua__rec_find(strategy->rec), .strategy = strategy};
    kua__kept model = {0};
    json_t *settings = NULL;
    kua_status st = kua__engine_lock(ws);
    if (!st) st = parse_settings(o->settings, &settings);
    recipe.settings = settings;
    if (!st) st = transfer(ws, o, &recipe, settings, &model);
    if (!st) st = model_report(&model, report);
    kua__kept_release(&model);
    json_decref(settings);
    return st;
}

/* source.c - the model of the sources, g(.; w_S): trained once, kept in the registry, shared by all
 * strategies.
 *
 * The texts of the target's items take part in the whitening, so it is a model for one target. It
 * sees the sources up to where training ends, so that it serves the fit that chooses and the
 * final one alike without leaking; a model of the same sources, split, settings and seed is loaded
 * instead of trained again, and an interrupted training goes on from its checkpoint.
 */
#include "engine/engine.h"

#include <string.h>

#include "base/json.h"
#include "rec/sequence.h"

static const char source_name[] = "source";

/* The first source as if it were a target, since a recommender is loaded for a domain. */
static kua__world source_world(const kua__stage *stage, uint64_t seed)
{
    const kua__source *first = &stage->source[0];
    return (kua__world){
        .side = first->side, .train = first->cut, .valid = first->cut, .seed = seed};
}

static const char *target_name(const kua__stage *stage)
{
    return stage->shop->domains[stage->side[0].domain].name;
}

static bool is_wanted(const json_t *row, const kua__stage *stage, const char *sources,
                      const json_t *settings, uint64_t seed)
{
    const json_t *record = json_object_get(row, "record");
    const json_t *first = json_array_get(json_object_get(record, "seeds"), 0);
    return kua__streq(json_string_value(json_object_get(record, "of")), sources) &&
           kua__streq(json_string_value(json_object_get(record, "split")), stage->split_text) &&
           kua__streq(json_string_value(json_object_get(record, "target")), target_name(stage)) &&
           json_equal(json_object_get(record, "settings"), settings) &&
           json_integer_value(json_object_get(first, "seed")) == (json_int_t)seed;
}

/* Damaged, gone, or of another version of kua: a model of the sources can be trained again. */
static bool is_unreadable(kua_status st)
{
    return st == KUA_FORMAT || st == KUA_SHAPE || st == KUA_IO || st == KUA_NOTFOUND;
}

static kua_status find_existing(kua_workspace *ws, const kua__stage *stage, const char *sources,
                                const json_t *settings, uint64_t seed, const kua__world *world,
                                kua__rec **out)
{
    json_t *rows = NULL;
    KUA__TRY(kua__store_models(ws->store, source_name, &rows));
    kua_status st = KUA_OK;
    for (size_t i = json_array_size(rows); !st && !*out && i-- > 0;) {
        const json_t *row = json_array_get(rows, i);
        if (!is_wanted(row, stage, sources, settings, seed)) continue;
        kua__kept model = {0};
        st = kua__kept_open(ws, source_name,
                            (int)json_integer_value(json_object_get(row, "version")), &model);
        if (!st) st = kua__kept_load(ws, &model, 0, world, out);
        if (!st)
            kua__log_line(ws->monitor, KUA_LOG_INFO, "source: taking the model of %s, version %d",
                          sources, model.version);
        if (is_unreadable(st)) {
            kua__log_line(ws->monitor, KUA_LOG_WARN, "it is left aside: %s", kua_error_message());
            st = KUA_OK;
        }
        kua__kept_release(&model);
    }
    json_decref(rows);
    return st;
}

static kua_status pretrain(const kua_workspace *ws, const kua__stage *stage, const json_t *settings,
                           uint64_t seed, kua__rec **out)
{
    kua__sequence_domain *domains = NULL;
    kua__cut *valid = NULL;
    kua__rec *complete = NULL; /* only for its settings */
    char *checkpoint = NULL;
    kua_status st = kua__engine_checkpoint(ws, source_name, seed, &checkpoint);
    if (!st) st = KUA__NEW_ARRAY(&domains, stage->n_sources, "sources");
    if (!st) st = KUA__NEW_ARRAY(&valid, stage->n_sources, "sources");
    for (size_t i = 0; !st && i < stage->n_sources; i++) {
        valid[i] = (kua__cut){stage->source[i].cut.log, stage->side[1 + i].split.test_at};
        domains[i] =
            (kua__sequence_domain){&stage->source[i].side, &stage->source[i].cut, &valid[i]};
    }
    if (!st) st = kua__rec_create("sequence", settings, &complete);
    const kua__stage_side *target = &stage->side[0];
    size_t items = stage->shop->domains[target->domain].n_items;
    kua__pretraining what = {
        .domains = domains, .n = stage->n_sources, .seed = seed, .checkpoint = checkpoint};
    if (target->vector && target->dim == stage->source[0].side.dim)
        what.target = (kua__vectors){target->vector, items};
    if (!st) what.settings = complete->settings;
    if (!st) st = kua__sequence_pretrain(&what, ws->monitor, out);
    kua__rec_free(complete);
    kua__free(checkpoint);
    kua__free(domains);
    kua__free(valid);
    return st;
}

static kua_status keep(kua_workspace *ws, const kua__stage *stage, const char *sources,
                       const json_t *settings, uint64_t seed, const kua__rec *rec, double seconds)
{
    json_t *record =
        json_pack("{s:s, s:s, s:s, s:O, s:f, s:I, s:[{s:I, s:O}]}", "of", sources, "target",
                  target_name(stage), "split", stage->split_text, "settings", settings, "seconds",
                  seconds, "peak_bytes", (json_int_t)kua__peak_rss_bytes(), "seeds", "seed",
                  (json_int_t)seed, "facts", rec->facts);
    json_t *rows = NULL;
    kua_status st = record ? kua__store_models(ws->store, source_name, &rows)
                           : kua__fail_nomem(0, "a model's record");
    int version = st ? 0 : (int)json_array_size(rows) + 1;
    char *folder = st ? NULL : kua__kept_folder(ws, source_name, version, 0);
    if (!st) st = folder ? kua__make_folders(folder) : kua__fail_nomem(0, "a path");
    if (!st) st = rec->ops->save(rec, folder);
    kua__model_row row = {.name = source_name,
                          .kind = "sequence",
                          .domain = stage->shop->domains[stage->side[1].domain].name,
                          .strategy = "",
                          .record = record};
    if (!st) st = kua__store_model_add(ws->store, &row, &version);
    kua__free(folder);
    json_decref(rows);
    json_decref(record);
    return st;
}

kua_status kua__engine_source(kua_workspace *ws, const kua__stage *stage, const char *sources,
                              const json_t *settings, uint64_t seed, kua__rec **out)
{
    *out = NULL;
    json_t *given = settings ? kua__json_copy(settings) : json_object();
    kua__world world = source_world(stage, seed);
    kua_status st = find_existing(ws, stage, sources, given, seed, &world, out);
    if (!st && !*out) {
        double start = kua__seconds();
        kua__log_line(ws->monitor, KUA_LOG_INFO, "source: training the model of %s", sources);
        st = pretrain(ws, stage, given, seed, out);
        if (!st) st = keep(ws, stage, sources, given, seed, *out, kua__seconds() - start);
    }
    json_decref(given);
    return st;
}

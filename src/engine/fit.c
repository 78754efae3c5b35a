/* fit.c - fits a recipe on a stage: choose on validation, fit for the test, keep both's traces.
 *
 *     choosing world --fit--> model, its ranks on validation (for the guard), facts.chosen
 *     final world    --fit with what was chosen--> the model that is kept    (time splits only)
 *
 * Why two fits: with a clock the validation period is the most recent past at the time of the test,
 * and a shop would not leave it out. What was chosen there (epochs, settings) stays chosen, so that
 * the second fit looks at no validation. The first fit's ranks are the guard's evidence, since the
 * second one has learnt from those events.
 *
 * Keeping: models/NAME/VERSION/seed-K is written first and the registry's row last. A job that dies
 * in between leaves a folder without a row, which the next version of that number writes over.
 */
#include "engine/engine.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "transfer/transfer.h"

void kua__fitted_release(kua__fitted *f)
{
    assert(f);
    kua__rec_free(f->rec);
    kua__eval_result_release(&f->valid);
    json_decref(f->facts);
    *f = (kua__fitted){0};
}

kua_status kua__engine_valid_set(const kua__stage *stage, const kua__world *world,
                                 kua__eval_set *out)
{
    assert(stage && stage->side && world && out);
    bool time = stage->side[0].split.kind == KUA__SPLIT_TIME;
    kua__eval_options options = {
        .part = KUA__PART_VALID, .mask_seen = !time, .sold_only = time, .seed = 1};
    return kua__eval_set_build(out, world, &stage->side[0].split, &options);
}

static kua_status fit_once(const kua__recipe *recipe, kua__world *world, const json_t *settings,
                           const kua_monitor *monitor, kua__rec **out)
{
    assert(recipe->ops || recipe->strategy);
    world->checkpoint = recipe->checkpoint;
    if (recipe->strategy)
        return recipe->strategy->fit(world, recipe->source, settings, monitor, out);
    return kua__rec_fitted(recipe->ops, settings, world, monitor, out);
}

/* Settings as given, with what the first fit chose over them. */
static kua_status chosen_settings(const json_t *given, const json_t *facts, json_t **out)
{
    unsigned long lost = kua__json_lost();
    *out = given ? kua__json_copy(given) : json_object();
    json_object_update(*out, json_object_get(facts, "chosen"));
    kua_status st = kua__json_whole(lost, "a model's settings");
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

/* Settings as given; for partners, what an earlier fit on the same data chose. */
static kua_status first_settings(const kua__recipe *recipe, json_t **out)
{
    static const char key[] = "partner_settings";
    const json_t *given = recipe->settings;
    json_t *chosen = json_object_get(json_object_get(recipe->before, "chosen"), key);
    unsigned long lost = kua__json_lost();
    *out = given ? kua__json_copy(given) : json_object();
    if (chosen && !json_object_get(given, key)) json_object_set(*out, key, chosen);
    kua_status st = kua__json_whole(lost, "a model's settings");
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

static bool needs_final_fit(const kua__stage *stage)
{
    return stage->side[0].split.kind == KUA__SPLIT_TIME;
}

static kua_status fit_final(const kua__stage *stage, const kua__recipe *recipe, uint64_t seed,
                            const kua_monitor *monitor, kua__fitted *f)
{
    kua__world final = kua__stage_final(stage, seed);
    json_t *settings = NULL;
    KUA__TRY(chosen_settings(recipe->settings, f->facts, &settings));
    kua__rec_free(f->rec); /* before the next: one model in memory at a time */
    f->rec = NULL;
    kua_status st = fit_once(recipe, &final, settings, monitor, &f->rec);
    json_decref(settings);
    return st;
}

kua_status kua__engine_fit(const kua__stage *stage, const kua__recipe *recipe, uint64_t seed,
                           const kua__eval_set *valid_set, const kua_monitor *monitor,
                           kua__fitted *out)
{
    assert(stage && stage->side && recipe && out);
    *out = (kua__fitted){0};
    kua__world choosing = kua__stage_choosing(stage, seed), final = kua__stage_final(stage, seed);
    const kua__log *log = choosing.train.log;
    KUA__TRY(kua__leak_check(&final, log, &stage->side[0].split, KUA__PART_TEST));
    json_t *settings = NULL;
    KUA__TRY(first_settings(recipe, &settings));
    kua_status st = fit_once(recipe, &choosing, settings, monitor, &out->rec);
    json_decref(settings);
    if (!st) {
        assert(out->rec->facts);
        out->facts = json_incref(out->rec->facts);
    }
    if (!st && valid_set) st = kua__eval_rec(valid_set, out->rec, monitor, &out->valid);
    if (!st && needs_final_fit(stage)) st = fit_final(stage, recipe, seed, monitor, out);
    if (st) kua__fitted_release(out);
    return st;
}

/* ---- keeping ---- */

static kua_status save_fitted(kua_workspace *ws, const kua__fitted *f, const char *name,
                              int version, size_t k)
{
    char *folder = kua__kept_folder(ws, name, version, k);
    if (!folder) return kua__fail_nomem(0, "a path");
    kua_status st = kua__make_folders(folder);
    if (!st) st = f->rec->ops->save(f->rec, folder);
    if (!st && f->valid.n_users) st = kua__result_save(&f->valid, folder);
    kua__free(folder);
    return st;
}

/* 0: there is none. Rows come oldest first. */
static kua_status newest_version(kua_workspace *ws, const char *name, int *out)
{
    json_t *rows = NULL;
    KUA__TRY(kua__store_models(ws->store, name, &rows));
    size_t n = json_array_size(rows);
    *out = n ? (int)json_integer_value(json_object_get(json_array_get(rows, n - 1), "version")) : 0;
    json_decref(rows);
    return KUA_OK;
}

static kua_status seed_record(const kua__fitted *f, const kua__eval_set *set, uint64_t seed,
                              json_t *seeds)
{
    double ndcg = 0, recall = 0;
    if (f->valid.n_users) {
        KUA__TRY(kua__eval_mean(set, &f->valid, KUA__NDCG_10, &ndcg));
        KUA__TRY(kua__eval_mean(set, &f->valid, KUA__RECALL_10, &recall));
    }
    json_t *one = json_pack("{s:I, s:{s:f, s:f}, s:O}", "seed", (json_int_t)seed, "valid",
                            "ndcg@10", ndcg, "recall@10", recall, "facts", f->facts);
    return json_array_append_new(seeds, one) ? kua__fail_nomem(0, "a model's record") : KUA_OK;
}

/* A model's name is a folder's name too. */
static kua_status check_name(const char *name)
{
    size_t n = strlen(name);
    for (size_t i = 0; i < n; i++) {
        bool good = strchr("-_.+", name[i]) ? i > 0
                                            : (name[i] >= '0' && name[i] <= '9') ||
                                                  (name[i] >= 'a' && name[i] <= 'z') ||
                                                  (name[i] >= 'A' && name[i] <= 'Z');
        if (!good) n = 0;
    }
    return n >= 1 && n <= 80
               ? KUA_OK
               : kua__fail(
                     KUA_INVALID,
                     "model name '%s': expected 1 to 80 letters, digits, '-', '_', '.' or '+'",
                     name);
}

kua_status kua__engine_checkpoint(const kua_workspace *ws, const char *name, uint64_t seed,
                                  char **out)
{
    assert(ws && name && out);
    *out = NULL;
    char *folder = kua__path_join(ws->path, "checkpoints");
    kua__buf path = {0};
    kua__buf_printf(&path, "%s/%s-%llu", folder ? folder : "", name, (unsigned long long)seed);
    kua_status st = folder ? kua__make_folders(folder) : kua__fail_nomem(0, "a path");
    if (!st) st = kua__buf_status(&path);
    kua__free(folder);
    if (st)
        kua__buf_release(&path);
    else
        *out = path.data;
    return st;
}

static kua_status fit_seeds(kua_workspace *ws, const kua__stage *stage, const kua__recipe *recipe,
                            const char *name, int version, uint64_t seed, size_t n, json_t *seeds)
{
    kua__world world = kua__stage_choosing(stage, seed);
    kua__eval_set set = {0};
    kua_status st = kua__engine_valid_set(stage, &world, &set);
    bool has_set = !st;
    if (st == KUA_INVALID || st == KUA_NOTFOUND)
        st = KUA_OK; /* nothing held out for validation: fit all the same */
    for (size_t k = 0; !st && k < n; k++) {
        kua__fitted fitted;
        kua__recipe own = *recipe;
        char *checkpoint = NULL;
        st = kua__engine_checkpoint(ws, name, seed + k, &checkpoint);
        own.checkpoint = checkpoint;
        /* What the first seed chose for its partners, the others take: the data are the same. */
        if (k > 0) own.before = json_object_get(json_array_get(seeds, k - 1), "facts");
        if (!st)
            st =
                kua__engine_fit(stage, &own, seed + k, has_set ? &set : NULL, ws->monitor, &fitted);
        kua__free(checkpoint);
        if (st) break;
        st = save_fitted(ws, &fitted, name, version, k);
        if (!st) st = seed_record(&fitted, &set, seed + k, seeds);
        kua__fitted_release(&fitted);
    }
    if (has_set) kua__eval_set_release(&set);
    return st;
}

static kua_status fill_record(json_t *record, const kua__stage *stage, const kua__recipe *recipe,
                              json_t *seeds, double seconds)
{
    unsigned long lost = kua__json_lost();
    json_object_set_new(record, "split", json_string(stage->split_text));
    json_object_set_new(record, "settings",
                        recipe->settings ? kua__json_copy(recipe->settings) : json_object());
    json_object_set(record, "seeds", seeds);
    json_object_set(record, "metrics", json_object_get(json_array_get(seeds, 0), "valid"));
    json_object_set_new(record, "seconds", json_real(seconds));
    json_object_set_new(record, "peak_bytes", json_integer((json_int_t)kua__peak_rss_bytes()));
    return kua__json_whole(lost, "a model's record");
}

kua_status kua__engine_train(kua_workspace *ws, const kua__stage *stage, const kua__recipe *recipe,
                             const char *name, uint64_t seed, size_t n_seeds, json_t *extra,
                             kua__kept *out)
{
    assert(ws && stage && recipe && recipe->kind && name && n_seeds >= 1 && out);
    double start = kua__seconds();
    json_t *seeds = json_array(), *record = extra ? extra : json_object();
    int version = 0;
    kua_status st = check_name(name);
    if (!st && (!seeds || !record)) st = kua__fail_nomem(0, "a model's record");
    if (!st) st = newest_version(ws, name, &version);
    if (!st) st = fit_seeds(ws, stage, recipe, name, ++version, seed, n_seeds, seeds);
    if (!st) st = fill_record(record, stage, recipe, seeds, kua__seconds() - start);
    if (!st) {
        kua__model_row row = {.name = name,
                              .kind = recipe->kind,
                              .domain = stage->shop->domains[stage->side[0].domain].name,
                              .strategy = recipe->strategy ? recipe->strategy->name : NULL,
                              .record = record};
        st = kua__store_model_add(ws->store, &row, &version);
    }
    json_decref(seeds);
    json_decref(record);
    return st ? st : kua__kept_open(ws, name, version, out);
}

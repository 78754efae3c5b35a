/* engine/engine.h - what the engine's files share: the workspace, and the stage that a job on one
 * domain stands on.
 *
 *     workspace folder
 *       kua.db                          records and the model registry (store)
 *       vectors/MODEL.safetensors       one row per distinct text, keyed by the text's hash
 *       models/NAME/VERSION/seed-1/     one folder per fitted seed
 *       rejects/                        lines that an import could not read
 */
#ifndef KUA_ENGINE_ENGINE_H
#define KUA_ENGINE_ENGINE_H

#include <jansson.h>

#include "data/split.h"
#include "eval/eval.h"
#include "kua/engine.h"
#include "rec/rec.h"
#include "store/store.h"

struct kua_workspace {
    char *path;
    kua__store *store;
    const kua_monitor *monitor;
    kua__shop *shop; /* loaded at first use; dropped by an import */
    kua__lock lock;
    bool locked;
};

/* The shop in memory, loaded once. Borrowed. */
kua_status kua__engine_shop(kua_workspace *ws, const kua__shop **out);
void kua__engine_forget(kua_workspace *ws);
/* Takes the workspace's lock for writing, once per workspace. */
kua_status kua__engine_lock(kua_workspace *ws);
/* Turns a report into text and releases it; `report` may be NULL (nobody asked). */
kua_status kua__engine_report(json_t *json, char **report);
/* WS/<folder>/<name>, owned */
char *kua__engine_path(const kua_workspace *ws, const char *folder, const char *name);

/* ---- vectors ---- */

/* Text vectors of one domain's items, [n_items, dim]; rows of zeros where an item has no text. *out
 * is NULL where the workspace has not been encoded. */
kua_status kua__engine_vectors(kua_workspace *ws, const kua__shop *shop, uint32_t domain,
                               float **out, size_t *dim);

/* ---- the stage: target and sources, cut by a split ---- */

typedef struct kua__stage_side {
    uint32_t domain;
    kua__split split;
    float *vector;
    size_t dim;
} kua__stage_side;

typedef struct kua__stage {
    const kua__shop *shop;
    char *split_text;      /* "leave-one-out", "given", "time=2017-11-05" */
    kua__stage_side *side; /* [1 + n_sources], the target first */
    size_t n_sources;
    kua__source *source;     /* [n_sources] cut where training ends */
    kua__source *source_all; /* [n_sources] cut where validation ends */
} kua__stage;

/* `split`: NULL for the workspace's default; `sources`: comma-separated, NULL for none. */
kua_status kua__stage_open(kua_workspace *ws, const char *target, const char *sources,
                           const char *split, kua__stage *out);
void kua__stage_release(kua__stage *stage);

/* What a fit may see. Choosing: train before validation, validation known. Final: everything before
 * the test. */
kua__world kua__stage_choosing(const kua__stage *stage, uint64_t seed);
kua__world kua__stage_final(const kua__stage *stage, uint64_t seed);

/* ---- models on disk ---- */

/* One version of a model as the registry has it; strings are borrowed from `row`. */
typedef struct kua__kept {
    json_t *row; /* the registry's object, owned */
    const char *name, *kind, *strategy, *domain, *sources,
        *split; /* strategy, sources: "" for none */
    int version;
    size_t n_seeds;
    const json_t *settings; /* as given */
} kua__kept;

kua_status kua__kept_open(kua_workspace *ws, const char *name, int version, kua__kept *out);
void kua__kept_release(kua__kept *model);
/* WS/models/NAME/VERSION/seed-K (K counts from 0), owned. */
char *kua__kept_folder(const kua_workspace *ws, const char *name, int version, size_t k);
/* Loads seed k of a model, ready to score. `world` must outlive *out. */
kua_status kua__kept_load(kua_workspace *ws, const kua__kept *model, size_t k,
                          const kua__world *world, kua__rec **out);
/* The stage on which a model was fitted; `split` NULL: its own. */
kua_status kua__kept_stage(kua_workspace *ws, const kua__kept *model, const char *split,
                           kua__stage *out);

/* ---- the report ---- */

/* The data's picture ("data" in the schema at the head of eval/report.c); `roles`: {domain:
 * "source" or "target"}. */
kua_status kua__engine_picture(kua_workspace *ws, const kua__shop *shop, const json_t *roles,
                               json_t **out);

/* ---- fitting ---- */

/* What is to be fitted: a recommender alone, or a strategy that ends in one. */
typedef struct kua__recipe {
    const char *kind; /* "sequence"; of a strategy: what it ends in */
    const kua__rec_ops *ops;
    const struct kua__strategy *strategy; /* NULL: none */
    const json_t *settings;               /* as given; NULL: none */
    const kua__rec *source;               /* model of the sources, where the strategy needs one */
    const json_t *before;   /* facts of another seed's fit, or of target-only's: what it chose for
                               the partners need not be sought again; NULL: none */
    const char *checkpoint; /* file from which an interrupted fit goes on; NULL: none */
} kua__recipe;

/* One fitted seed: the model for the test, and how the one that chose did on validation. */
typedef struct kua__fitted {
    kua__rec *rec;
    kua__eval_result valid; /* n_users == 0: there is no validation */
    json_t *facts;
} kua__fitted;

kua_status kua__engine_fit(const kua__stage *stage, const kua__recipe *recipe, uint64_t seed,
                           const kua__eval_set *valid_set, const kua_monitor *monitor,
                           kua__fitted *out);
void kua__fitted_release(kua__fitted *fitted);

/* WS/checkpoints/NAME-SEED, owned, its folder made: where an interrupted fit of this name and seed
 * goes on. */
kua_status kua__engine_checkpoint(const kua_workspace *ws, const char *name, uint64_t seed,
                                  char **out);

/* Of the given settings (NULL: none) those that the recommender itself knows, owned: what
 * target-only and the model of the sources are fitted with. */
kua_status kua__engine_own_settings(const kua__rec_ops *ops, const json_t *given, json_t **out);
/* The model of a stage's sources, from the registry or trained now (and kept). */
kua_status kua__engine_source(kua_workspace *ws, const kua__stage *stage, const char *sources,
                              const json_t *settings, uint64_t seed, kua__rec **out);

/* Fits `seeds` models and keeps them as the next version of `name`; *out is its open registry row.
 */
kua_status kua__engine_train(kua_workspace *ws, const kua__stage *stage, const kua__recipe *recipe,
                             const char *name, uint64_t seed, size_t seeds, json_t *extra,
                             kua__kept *out);

/* Validation questions of a stage: what the guard and the choice of settings look at. KUA_NOTFOUND
 * where the split leaves none. `world` must outlive the set. */
kua_status kua__engine_valid_set(const kua__stage *stage, const kua__world *world,
                                 kua__eval_set *out);
kua_status kua__result_save(const kua__eval_result *result, const char *folder);
kua_status kua__result_load(const char *folder, kua__eval_result *out);

#endif

/* kua/engine.h - the loop from a shop's files to recommendations in another category, job by job.
 *
 * Everything lives in a *workspace*, a folder: one SQLite file for items, users, events and the
 * model registry, and safetensors files for item vectors and models.
 *
 *     kua_workspace *ws = NULL;
 *     kua_train_options knn = {.domain = "beauty", .kind = "itemknn", .name = "m"};
 *     kua_recommend_options who = {.model = "m", .user = "A1YJEY40YUW4SE"};
 *     kua_hit hits[10];
 *     size_t n = 0;
 *     kua_status st = kua_workspace_open("shop", NULL, &ws);
 *     if (!st) st = kua_train(ws, &knn, NULL);
 *     if (!st) st = kua_recommend(ws, &who, hits, 10, &n);
 *     if (st) fprintf(stderr, "%s\n", kua_error_message());
 *     kua_workspace_close(ws);
 *
 * The usual order of jobs: kua_import, kua_encode, kua_train or kua_transfer, kua_evaluate,
 * kua_publish, kua_recommend.
 *
 * Reports
 *     Long jobs return what they did as JSON text in *report, owned by the caller (kua_text_free).
 *     Pass NULL where it is of no interest. Every member is described beside its job.
 *
 * Errors
 *     Every function returns a kua_status; kua_error_message() tells file, line, field and value.
 *     On failure *report is NULL and the workspace is as it was before the job; a canceled
 *     kua_encode keeps the vectors that are done.
 *
 * Threads
 *     A workspace belongs to one thread at a time; jobs use all cores themselves. One process may
 *     have a workspace open for writing: a second one gets KUA_STORE from its first writing job.
 *     Reading jobs (kua_inspect, kua_evaluate, kua_recommend, kua_similar, kua_models) may run
 *     beside a writer; but where kua_evaluate fits a transferred model anew, for another split, and
 *     that takes a new model of its sources, it writes.
 *
 * Cancelling
 *     The monitor's progress callback returns false: KUA_CANCELED. An import leaves nothing
 *     behind; a training leaves a checkpoint from which the same call resumes.
 */
#ifndef KUA_ENGINE_H
#define KUA_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kua/encoder.h"
#include "kua/monitor.h"
#include "kua/pretrain.h"
#include "kua/status.h"
#include "kua/tokenizer.h"

typedef struct kua_workspace kua_workspace;

/* ---- the workspace ---- */

/* Makes the folder (and its parents) and an empty store in it. KUA_INVALID: there is a workspace
 * already. */
KUA_MUST_CHECK kua_status kua_workspace_create(const char *path);

/* Opens a workspace. monitor may be NULL and must outlive the workspace.
 * KUA_NOTFOUND: no workspace there. KUA_FORMAT: made by a newer version. */
KUA_MUST_CHECK kua_status kua_workspace_open(const char *path, const kua_monitor *monitor,
                                             kua_workspace **out);
void kua_workspace_close(kua_workspace *ws); /* NULL is allowed */
void kua_text_free(char *report);            /* NULL is allowed */
void kua_threads(int n); /* how many threads jobs use; 0: all cores (the default) */

/* ---- import and look ---- */

typedef struct kua_import_options {
    const char *domain; /* put all items here; NULL: the mapping's domain column decides */
    const char *items;  /* file: RecBole .item, .csv, .tsv, .jsonl; NULL: none */
    const char *events; /* file: RecBole .inter, .csv, .tsv, .jsonl; NULL: none */
    const char *users;  /* file; NULL: none */
    const char *map;    /* JSON file that names columns; NULL: RecBole's names */
    const char *train, *valid, *test; /* a given split: three event files in place of `events` */
    const char
        *settings; /* JSON object: {"max_bad_share": .01, "k_core": 0, ...}; NULL: defaults */
} kua_import_options;

/* Reads files into the store in one transaction; a repeat adds nothing.
 * Report: {"files": [...], "items": n, "users": n, "events": n, "cleaned": [{"step": .., "removed":
 * n, "why": ..}], "rejects": path} KUA_FORMAT: a file is not what it should be, or more lines are
 * bad than allowed. */
KUA_MUST_CHECK kua_status kua_import(kua_workspace *ws, const kua_import_options *options,
                                     char **report);

/* What the store holds: {"domains": [{"name", "items", "users", "events", "sparsity", "first",
 * "last", ..}], "shared_users": [..], "cleaned": [..], ..}. */
KUA_MUST_CHECK kua_status kua_inspect(kua_workspace *ws, char **report);

/* ---- encode ---- */

/* Encodes every distinct item text that has no vector yet of this model and precision; others are
 * replaced. `model`: a folder, or a name from the model cache. Report: {"model", "precision",
 * "dim", "texts", "encoded", "seconds", "texts_per_second", "tokens_per_second"} */
KUA_MUST_CHECK kua_status kua_encode(kua_workspace *ws, const char *model, kua_precision precision,
                                     char **report);

/* Encodes a text file, one text a line, into a safetensors file: "vectors" [lines, dim] f32. Needs
 * no workspace. */
KUA_MUST_CHECK kua_status kua_encode_file(const char *model, kua_precision precision,
                                          const char *text_file, const char *out_file,
                                          const kua_monitor *monitor, char **report);

/* Learns a vocabulary from a text file, one text a line: kua_tokenizer_train().
 * Report: {"kind", "vocab_size", "merges", "words", "forgotten", "lines", "seconds", "out"} */
KUA_MUST_CHECK kua_status kua_vocabulary_file(const char *text_file,
                                              const kua_tokenizer_training *training,
                                              const char *folder, char **report);

/* Pre-trains a model on the texts of some domains' items (comma-separated; NULL: of all). With
 * `bought_together` and the contrastive objective, items that follow one another in the training
 * part of a user's history are partners. options and report as in kua/pretrain.h; its model may be
 * a name from the model cache. KUA_NOTFOUND: no such domain. */
KUA_MUST_CHECK kua_status kua_pretrain_workspace(kua_workspace *ws, const char *domains,
                                                 bool bought_together,
                                                 const kua_pretrain_options *options,
                                                 char **report);

/* The folder of `model`: itself where it is a folder, else $KUA_CACHE/models/NAME (default
 * ~/.cache/kua). Owned: kua_text_free. */
KUA_MUST_CHECK kua_status kua_model_folder(const char *model, char **folder);

/* ---- train and transfer ---- */

typedef struct kua_train_options {
    const char *domain;
    const char *kind;     /* sequence, itemknn, userknn, ease, textknn, repeat, popularity, ... */
    const char *name;     /* the model's name; a new version where it exists */
    uint64_t seed;        /* 0: 1 */
    int seeds;            /* fits this many models, seed, seed + 1, ...; 0: 1 */
    const char *split;    /* "leave-one-out" (default), "given", "time=DATE" */
    const char *settings; /* JSON object of the recommender's settings; NULL: defaults */
} kua_train_options;

/* Fits on the training part of the split and keeps the model as a new version.
 * Report: {"name", "version", "kind", "domain", "split", "seconds", "peak_bytes", "seeds":
 * [{"seed", "facts": {..}}], "valid": {..}} */
KUA_MUST_CHECK kua_status kua_train(kua_workspace *ws, const kua_train_options *options,
                                    char **report);

typedef struct kua_transfer_options {
    const char *sources; /* comma-separated domains */
    const char *target;
    const char *strategy; /* target-only, crossknn, frozen, finetune, ... */
    const char *name;
    uint64_t seed;
    int seeds;
    const char *split;
    const char *settings;
} kua_transfer_options;

/* Fits target-only and the strategy, asks the guard, and keeps what it allows under `name`.
 * Report: as kua_train, with "sources", "strategy", "verdict": {"transfer": bool, "words": "...",
 * "slices": [..]}. */
KUA_MUST_CHECK kua_status kua_transfer(kua_workspace *ws, const kua_transfer_options *options,
                                       char **report);

/* JSON array of {"name", "summary", "settings"} of every recommender and of every strategy. */
KUA_MUST_CHECK kua_status kua_kinds(char **report);
KUA_MUST_CHECK kua_status kua_strategies(char **report);

/* ---- evaluate ---- */

typedef struct kua_evaluate_options {
    const char *models; /* comma-separated; the first is the one that others are compared with where
                           `baseline` is NULL */
    const char *baseline; /* differences are measured against it; NULL: the first */
    const char *domain;   /* NULL: the domain of the models */
    const char
        *split; /* NULL: the one the models were trained with; another one: they are fitted anew */
    bool mask_seen;       /* items of the history are not recommended */
    bool new_only;        /* only what was new to the user is relevant; implies mask_seen */
    bool valid;           /* score the validation part, not the test part */
    const char *per_user; /* write each user's metrics to this TSV file; NULL: do not */
    uint64_t seed;        /* of the bootstrap */
} kua_evaluate_options;

/* Ranks all items of the domain for every test user. The report:
 *
 *     {"protocol": {..},
 *      "metrics": {"recall@10": .., "ndcg@10": .., ..},
 *      "intervals": {"recall@10": [low, high], ..},
 *      "slices": {"cold_items": {..}, ..},
 *      "rows": [the same for each model]}
 *
 * Metrics, intervals and slices at the top are the first model's. */
KUA_MUST_CHECK kua_status kua_evaluate(kua_workspace *ws, const kua_evaluate_options *options,
                                       char **report);

/* ---- recommend ---- */

typedef struct kua_hit {
    const char *item; /* id; owned by the workspace until its next job */
    const char *name;
    const char *category;
    float score; /* larger is better; comparable within one answer */
} kua_hit;

typedef struct kua_recommend_options {
    const char *model;  /* NULL: the published model of `domain` */
    const char *domain; /* NULL: the model's */
    const char *user;
    const char *as_of; /* date: only events before it are known; NULL: all are */
    bool repeats;      /* also recommend what the user has already bought */
} kua_recommend_options;

/* The best `room` items for a user. KUA_NOTFOUND: no such user or model. An unknown item number
 * never appears. */
KUA_MUST_CHECK kua_status kua_recommend(kua_workspace *ws, const kua_recommend_options *options,
                                        kua_hit *hits, size_t room, size_t *n);

/* The items of `domain` (NULL: the item's own) whose text vectors are nearest to `item`'s. */
KUA_MUST_CHECK kua_status kua_similar(kua_workspace *ws, const char *item, const char *domain,
                                      kua_hit *hits, size_t room, size_t *n);

/* The last `room` events of a user in a domain before/after a date, newest first / oldest first;
 * score is the event's value. */
KUA_MUST_CHECK kua_status kua_history(kua_workspace *ws, const char *user, const char *domain,
                                      const char *before, const char *after, kua_hit *hits,
                                      size_t room, size_t *n);

/* ---- models ---- */

/* [{"name", "version", "kind", "domain", "published", "created", "metrics", "parent", "reason"}];
 * name NULL: all. */
KUA_MUST_CHECK kua_status kua_models(kua_workspace *ws, const char *name, char **report);
/* Makes a version (0: the newest) the one that kua_recommend uses for its domain. */
KUA_MUST_CHECK kua_status kua_publish(kua_workspace *ws, const char *name, int version,
                                      char **report);
/* Back to what was published for `domain` before. KUA_NOTFOUND: nothing was. */
KUA_MUST_CHECK kua_status kua_rollback(kua_workspace *ws, const char *domain, char **report);

/* ---- report ---- */

/* One self-contained HTML file: data, training curves, table, verdict, examples. `tables`: JSON
 * text of an object
 * {"tables": [kua_evaluate reports], "users": ["id", ..]}; see docs/ARCHITECTURE.md. */
KUA_MUST_CHECK kua_status kua_report(kua_workspace *ws, const char *domain, const char *tables,
                                     const char *out_file);

#endif

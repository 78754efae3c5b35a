/* rec/rec.h - the one interface of all recommenders: fit on histories, score all items of a domain
 * for a query.
 *
 * A recommender sees a *world*: the target domain's log and item vectors, and the same for each
 * source domain, each log cut at one offset per user. What lies behind the cut does not exist for
 * it: that is how leakage is prevented, and kua__cut is the only way in.
 *
 *     kua__rec *rec = NULL;              settings: JSON object {"neighbours": 20, ...}
 *     kua_status st = kua__rec_create("itemknn", settings, &rec);
 *     if (!st) st = kua__rec_fit(rec, &world, monitor);
 *     if (!st) st = kua__rec_score(rec, queries, n, scores);
 *
 * Threads: score may be called by several threads at once; everything else needs exclusive use.
 */
#ifndef KUA_REC_REC_H
#define KUA_REC_REC_H

#include <jansson.h>

#include "data/shop.h"

/* A log up to one offset per user: events user_at[u] .. end[u] exist. */
typedef struct kua__cut {
    const kua__log *log;
    const size_t *end; /* [n_users] */
} kua__cut;

/* What is known of a domain's items besides who bought them. */
typedef struct kua__side {
    const kua__shop *shop;
    uint32_t domain;     /* in shop */
    const float *vector; /* [n_items, dim] text vectors of this domain's items, row-major; NULL: not
                            encoded */
    size_t dim;
} kua__side;

typedef struct kua__source {
    kua__side side;
    kua__cut cut;
} kua__source;

typedef struct kua__world {
    kua__side side; /* target domain */
    kua__cut train; /* what fit may learn from */
    kua__cut valid; /* validation events are train.end[u] .. valid.end[u]: for early stopping and
                       choosing settings; equal to train where there are none */
    const kua__source *sources; /* [n_sources] */
    size_t n_sources;
    uint64_t seed;
    const char *checkpoint; /* a file (and FILE.best) that a long fit leaves its state in and, when
                               it was interrupted and is called again with the same world and
                               settings, goes on from; removed when done. NULL: none */
} kua__world;

/* One question: what next for this history? Oldest first; local item numbers. */
typedef struct kua__history {
    const uint32_t *item;
    const int64_t *time;
    const uint8_t *type;
    size_t n;
} kua__history;

typedef struct kua__query {
    uint32_t user; /* KUA__NO_ID: unknown user (a session) */
    int64_t now;   /* time of the question, for ages; only where the log has a clock */
    kua__history target;
    const kua__history *sources; /* [world->n_sources]; NULL: none */
} kua__query;

typedef struct kua__rec kua__rec;

typedef struct kua__rec_ops {
    const char *name;    /* "itemknn" */
    const char *summary; /* one line for --help */
    /* {"neighbours": [20, "items kept per item"], ...}: JSON text of every setting with default and
     * meaning */
    const char *settings;
    kua_status (*create)(const json_t *settings, kua__rec **out); /* settings: complete, checked */
    kua_status (*fit)(kua__rec *rec, const kua__world *world, const kua_monitor *monitor);
    /* scores[n, n_items of the target]: larger is better; every value finite; -FLT_MAX for "never".
     */
    kua_status (*score)(const kua__rec *rec, const kua__query *queries, size_t n, float *scores);
    /* A folder of the model's own: safetensors and JSON. load gives a model that scores the same
     * bits. */
    kua_status (*save)(const kua__rec *rec, const char *folder);
    kua_status (*load)(const char *folder, const kua__world *world, kua__rec **out);
    void (*free)(kua__rec *rec);
} kua__rec_ops;

/* Every recommender's struct begins with this. */
struct kua__rec {
    const kua__rec_ops *ops;
    json_t *settings; /* complete: what was given over the defaults */
    json_t *facts;    /* what fit found out: {"epochs": 12, "valid_ndcg@10": .06, "curve": [...]};
                         shown in reports */
    size_t n_items;   /* of the target domain */
};

/* The list of all recommenders of this layer, NULL at the end. */
extern const kua__rec_ops *const kua__rec_all[];
const kua__rec_ops *kua__rec_find(const char *name); /* NULL: unknown */

/* `settings` may be NULL or partial; an unknown name or a wrong type is KUA_INVALID and lists what
 * exists. */
kua_status kua__rec_create(const char *name, const json_t *settings, kua__rec **out);
kua_status kua__rec_create_from(const kua__rec_ops *ops, const json_t *settings, kua__rec **out);
kua_status kua__rec_fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor);
kua_status kua__rec_score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores);
/* Both in one; *out is NULL on failure. */
kua_status kua__rec_fitted(const kua__rec_ops *ops, const json_t *settings, const kua__world *world,
                           const kua_monitor *monitor, kua__rec **out);
void kua__rec_free(kua__rec *rec); /* NULL is allowed */

/* The query of user u at a cut: history = the events before `cut.end[u]`. */
kua__history kua__cut_history(const kua__cut *cut, uint32_t user);
/* The same with what the user did in the sources: written to room[n_sources], which the query
 * borrows. */
kua__query kua__cut_query(const kua__cut *cut, const kua__source *sources, size_t n_sources,
                          uint32_t user, int64_t now, kua__history *room);

#endif

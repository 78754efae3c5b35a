/* eval/eval.h - how good is a recommender, measured so that nobody fools himself.
 *
 *     kua__eval_set set;                       the questions: made once, shared by all models
 *     kua_status st = kua__leak_check(&world, log, &split, KUA__PART_TEST);
 *     if (!st) st = kua__eval_set_build(&set, &world, &split, &options);
 *     if (!st) st = kua__eval_rec(&set, rec, monitor, &result);          once a model and seed
 *     kua__eval_row rows[] = {{.name = "itemknn", .results = &result, .n_results = 1}};
 *     if (!st) st = kua__table_json(&set, rows, 1, &table_options, &json);
 *     if (!st) st = kua__table_text(json, false, &buf);
 *
 * Protocol
 *   - A question is a user with at least one relevant item in the part that is scored; its
 *     history is what lies before.
 *   - All items of the target domain are ranked, never a sample (unless asked for, and then the
 *     table says so). Items that nobody could have sold before the cut, or that `candidates`
 *     leaves out, are not ranked; relevant ones among them are dropped and counted.
 *   - rank of a relevant item = items with a larger score + half of the others with an equal
 *     score: ties count half against, so that one score for everything gains nothing.
 *   - recall@k = hits / min(k, relevant items), so that 1 can always be reached.
 *   - With seen items masked, a relevant item that is in the history counts as a miss; in the
 *     table of what was new to the user (`new_only`) it is not relevant at all.
 *
 * Ranks are kept for each relevant item, so that every metric of every slice comes from one pass
 * over the scores.
 *
 * Threads: sets and results are immutable once built. Everything here repeats bit for bit, for
 * any number of threads.
 */
#ifndef KUA_EVAL_EVAL_H
#define KUA_EVAL_EVAL_H

#include <jansson.h>

#include "base/base.h"
#include "data/split.h"
#include "rec/rec.h"

/* ---- what is measured ---- */

enum { KUA__CUTOFFS = 3, KUA__LIST = 10 };
extern const uint32_t kua__cutoff[KUA__CUTOFFS]; /* 5, 10, 20 */

/* Measured at every cutoff. hit: is there any hit at all; the same as recall where one item is
 * relevant. */
typedef enum kua__metric {
    KUA__RECALL,
    KUA__NDCG,
    KUA__MRR,
    KUA__MAP,
    KUA__HIT,
    KUA__METRICS
} kua__metric;

/* A measure is a number per user: metric * KUA__CUTOFFS + cutoff, then three that describe the
 * first KUA__LIST items. */
enum {
    KUA__RANK_MEASURES = KUA__METRICS * KUA__CUTOFFS,
    KUA__POPULARITY = KUA__RANK_MEASURES, /* mean training events of what is recommended */
    KUA__NOVELTY,                         /* mean -log2(share of training events) */
    KUA__DIVERSITY, /* 1 - mean cosine of text vectors; 0 where items have none */
    KUA__MEASURES,
    KUA__RECALL_10 = KUA__RECALL * KUA__CUTOFFS + 1,
    KUA__NDCG_10 = KUA__NDCG * KUA__CUTOFFS + 1
};

const char *kua__measure_name(int measure);              /* "ndcg@10" */
bool kua__measure_parse(const char *name, int *measure); /* false: no such measure */

/* Metrics of one question from the ranks (0-based, halves possible) of its n >= 1 relevant items;
 * `scratch` holds n. */
void kua__measure_ranks(const float *rank, size_t n, float *scratch, float out[KUA__RANK_MEASURES]);

/* Gini coefficient of counts: 0 all equal, towards 1 all on one. Sorts `count`. 0 where the sum is
 * 0. */
double kua__gini(uint32_t *count, size_t n);

/* ---- slices ---- */

enum { KUA__COLD_EVENTS = 5 };

/*  name, what it holds, words for a sentence. Item slices keep only the relevant items inside.
 * Head: the fifth of the items with most training events. */
#define KUA__SLICE_MAP(X)                                                                          \
    X(ALL, "all", "everybody")                                                                     \
    X(COLD_ITEMS, "cold_items", "items with at most 5 training events")                            \
    X(ZERO_ITEMS, "zero_items", "items without a training event")                                  \
    X(WARM_ITEMS, "warm_items", "items with more than 5 training events")                          \
    X(HEAD_ITEMS, "head_items", "the fifth of the items that sells most")                          \
    X(TAIL_ITEMS, "tail_items", "the other items")                                                 \
    X(COLD_USERS, "cold_users", "users with at most 5 events in the target")                       \
    X(ZERO_USERS, "zero_users", "users without an event in the target")                            \
    X(WARM_USERS, "warm_users", "users with more than 5 events in the target")                     \
    X(SHARED_USERS, "shared_users", "users known from a source")                                   \
    X(ALONE_USERS, "alone_users", "users not known from any source")

typedef enum kua__slice {
#define X(id, name, words) KUA__SLICE_##id,
    KUA__SLICE_MAP(X)
#undef X
        KUA__SLICES
} kua__slice;

const char *kua__slice_name(kua__slice slice);
const char *kua__slice_words(kua__slice slice);
bool kua__slice_is_items(kua__slice slice);
/* Bits (1 << slice) of a user with this history: what serving needs to know to obey the guard. */
uint32_t kua__slice_user_bits(const kua__query *query, size_t n_sources);

/* ---- questions ---- */

typedef struct kua__eval_options {
    int part;       /* KUA__PART_VALID or KUA__PART_TEST */
    bool mask_seen; /* items of the history are not recommended */
    bool new_only;  /* only what was new to the user is relevant; implies mask_seen */
    bool sold_only; /* rank only items that had an event before the cut; else all of the domain */
    const uint8_t *candidates; /* [n_items] 0: not ranked; NULL: no further limit */
    uint32_t relevant_types;   /* bit 1 << kua__event_type; 0: all but dislike and search */
    const kua__cut *sources; /* [world->n_sources] what questions may know of the sources; NULL: the
                                world's cuts */
    size_t sampled;          /* 0: all items; else rank against so many drawn ones, and say so */
    size_t max_users;        /* 0: all; else a random subset, for early stopping */
    uint64_t seed;           /* of the two draws above */
} kua__eval_options;

typedef struct kua__eval_set {
    const kua__world *world;
    kua__eval_options options;
    kua__split_kind kind;
    int64_t cut_time; /* KUA__SPLIT_TIME: the first moment that is scored */
    size_t n_items, n_users, n_relevant;
    kua__query *query;            /* [n_users] */
    kua__history *source_history; /* [n_users, n_sources] */
    size_t *relevant_at;          /* [n_users + 1] */
    uint32_t *relevant;           /* [n_relevant] item numbers, ascending within a user */
    uint32_t *user_bits;          /* [n_users] slices: bit 1 << kua__slice */
    uint32_t *item_bits;          /* [n_items] */
    uint32_t *train_count;        /* [n_items] training events */
    uint64_t train_total;
    float *inverse_norm; /* [n_items] of text vectors; NULL: none */
    uint32_t *excluded;  /* [n_excluded] items that are not ranked */
    size_t n_excluded;
    size_t n_dropped; /* relevant items that are not ranked */
} kua__eval_set;

/* The world and what `options` points to must outlive the set. KUA_INVALID: no question. On failure
 * nothing is held. */
kua_status kua__eval_set_build(kua__eval_set *set, const kua__world *world, const kua__split *split,
                               const kua__eval_options *options);
void kua__eval_set_release(kua__eval_set *set);

/* Fails (KUA_INVALID) where an event of the scored part, or a later one, is in what fit may learn
 * from: in the target's training (for the test part also validation) cut, in a source that holds
 * the same domain, or, where the split is by time, in any source. Compares events, not offsets, so
 * that a copied log is caught as well. */
kua_status kua__leak_check(const kua__world *world, const kua__log *log, const kua__split *split,
                           int part);

/* ---- running a model ---- */

typedef struct kua__eval_result {
    size_t n_users, n_relevant;
    float *rank;     /* [n_relevant] as set->relevant; KUA__MISS: masked */
    float *list;     /* [3, n_users] popularity, novelty, diversity */
    uint32_t *top;   /* [n_users, KUA__LIST] recommended items, best first; KUA__NO_ID: no more */
    double coverage; /* share of the ranked items that is recommended to anybody */
    double gini;     /* of how often each ranked item is recommended */
    double seconds;
} kua__eval_result;

#define KUA__MISS 1e9f

/* scores[n, n_items] for n questions; called by several threads at once. */
typedef kua_status (*kua__score_fn)(void *ctx, const kua__query *queries, size_t n, float *scores);

/* KUA_INTERNAL: a score is not finite. */
kua_status kua__eval_run(const kua__eval_set *set, kua__score_fn score, void *ctx,
                         const kua_monitor *monitor, kua__eval_result *out);
kua_status kua__eval_rec(const kua__eval_set *set, const kua__rec *rec, const kua_monitor *monitor,
                         kua__eval_result *out);
void kua__eval_result_release(kua__eval_result *result);

/* Per-user measures of the users of a slice that have a relevant item in it, averaged over the
 * results (seeds). */
typedef struct kua__columns {
    size_t n_users;
    uint32_t *row; /* [n_users] number in the set */
    float *value;  /* [KUA__MEASURES, n_users] */
} kua__columns;

/* item_mask (NULL: all): further limit on the relevant items, such as one category. */
kua_status kua__eval_columns(const kua__eval_set *set, const kua__eval_result *results,
                             size_t n_results, kua__slice slice, const uint8_t *item_mask,
                             kua__columns *out);
void kua__columns_release(kua__columns *columns);

/* The mean of one measure over all users; what early stopping and tuning look at. */
kua_status kua__eval_mean(const kua__eval_set *set, const kua__eval_result *result, int measure,
                          double *out);

/* ---- intervals ---- */

enum { KUA__RESAMPLES = 2000 };

typedef struct kua__interval {
    double mean, low, high; /* 95 % percentile interval of the bootstrap */
    double p; /* two-sided: twice the share of resamples on the other side of 0, at least 1 /
                 resamples */
} kua__interval;

/* Means of columns under resampling of users with replacement: out[c * resamples + b] is the mean
 * of column c in resample b. Resample b draws the same users for every column, and in every call
 * with the same n and seed: so replicates of two models subtract to the paired bootstrap of their
 * difference. */
kua_status kua__bootstrap(const float *const *columns, size_t n_columns, size_t n, size_t resamples,
                          uint64_t seed, double *out);
/* Interval of a mean from its replicates; subtracts `other` (NULL: nothing) from them. `scratch`
 * holds `resamples`. */
kua__interval kua__interval_make(double mean, const double *replicates, const double *other,
                                 size_t resamples, double *scratch);
/* The paired difference a - b of two columns over the same users. */
kua_status kua__interval_difference(const float *a, const float *b, size_t n, size_t resamples,
                                    uint64_t seed, kua__interval *out);

/* ---- tables ---- */

typedef struct kua__eval_row {
    const char *name;
    const char *note;                /* NULL: none */
    const json_t *settings;          /* borrowed; NULL: none */
    const kua__eval_result *results; /* [n_results] one a seed */
    size_t n_results;
    double seconds; /* to train, all seeds; 0: unknown */
    size_t bytes;   /* peak memory; 0: unknown */
} kua__eval_row;

typedef struct kua__table_options {
    const char *title;    /* NULL: none */
    const char *baseline; /* the row that differences are measured against; NULL: the first */
    size_t resamples;     /* 0: KUA__RESAMPLES */
    size_t categories;    /* also the top-level categories with most relevant items; 0: none */
    uint64_t seed;
} kua__table_options;

/* {"title", "baseline",
 *  "protocol": {"split", "part", "mask_seen", "new_only", "users", "relevant", "ranked_items",
 *               "dropped_relevant", "sampled", "resamples", "cut", "words"},
 *  "metrics": {measure: mean}, "intervals": {measure: [low, high]}, "slices": as of a row,
 *  "rows": [{"model", "note", "settings", "seeds", "seconds", "bytes", "coverage", "gini",
 *            "metrics", "intervals", "seed_spread": {measure: deviation over seeds},
 *            "difference": {measure: {"mean", "low", "high", "p"}},
 *            "slices": {name: {"users", "words", "metrics", "intervals", "difference"}},
 *            "categories": {name: the same}}]}
 * metrics, intervals and slices at the top are the first row's. */
kua_status kua__table_json(const kua__eval_set *set, const kua__eval_row *rows, size_t n_rows,
                           const kua__table_options *options, json_t **out);
/* The same as lines for a terminal, aligned; `color`: bold where a row is better than the baseline
 * beyond its interval. */
kua_status kua__table_text(const json_t *table, bool color, kua__buf *out);
/* One line a user and row: user, model, seed, relevant items, best rank, all measures. */
kua_status kua__per_user_write(const char *path, const kua__eval_set *set,
                               const kua__eval_row *rows, size_t n_rows);

#endif

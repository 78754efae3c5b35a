/* rec/common.h - what the simple recommenders share.
 *
 *     kua__simple    the struct that each of them begins with
 *     kua__bag       a history as distinct items with weights
 *     kua__pairs     users x items, sparse
 *     kua__near      the best of many by weight
 *     kua__parts     a recommender's arrays and numbers by name: what choosing, saving and loading
 *                    go by, so that no recommender has code of its own for these
 *
 * A recommender is: create (kua__simple_create), fit (kua__simple_begin, count something,
 * kua__choose), score (its own formula, then kua__again_finish), and a `describe` function that
 * lists its parts.
 */
#ifndef KUA_REC_COMMON_H
#define KUA_REC_COMMON_H

#include "rec/again.h"
#include "rec/rec.h"
#include "tensor/safetensors.h"

typedef struct kua__simple {
    kua__rec rec;
    bool clock, repeats; /* of the training log: are there times; do people buy again */
    kua__again again;
    kua__safetensors *file; /* a loaded model's arrays lie in it; NULL: they are owned */
} kua__simple;

/* ---- histories ---- */

/* How the events of a history are weighed. An item's weight is the sum over its events, then:
 * counts 0: as it is, 1: log(1 + sum), 2: of the newest event alone. */
typedef struct kua__weighing {
    double half_life; /* days; 0: by position */
    double decay;     /* weight of an event per event after it */
    double counts;
} kua__weighing;

/* Distinct items in ascending order. Starts as {0}; keeps its memory from fill to fill. */
typedef struct kua__bag {
    uint32_t *item;
    float *weight;
    uint64_t *key; /* scratch */
    float *each;   /* scratch */
    size_t n, room;
} kua__bag;

/* Items >= n_items are left out: a history may know items that a model has never seen. */
kua_status kua__bag_fill(kua__bag *bag, const kua__history *history, const kua__weighing *weighing,
                         int64_t now, size_t n_items);
void kua__bag_release(kua__bag *bag);

/* ---- users x items ---- */

typedef struct kua__pairs {
    size_t n_rows, n_cols, n;
    size_t *at;    /* [n_rows + 1] */
    uint32_t *col; /* [n] ascending in a row */
    float *weight; /* [n] */
} kua__pairs;

/* Distinct items of each user; weight: how many events. */
kua_status kua__pairs_from_cut(const kua__cut *cut, kua__pairs *out);
kua_status kua__pairs_transpose(const kua__pairs *pairs, kua__pairs *out);
void kua__pairs_release(kua__pairs *pairs);
/* KUA_FORMAT where arrays of a loaded model do not fit together. */
kua_status kua__pairs_check(const kua__pairs *pairs, size_t n_at, const char *name);
/* weight[n_rows] = (number of columns in the row)^-power: long histories say less per item. */
kua_status kua__pairs_user_weights(const kua__pairs *users, double power, float **out);

/* Moment of the last training event + 1 second where the log has a clock, else 0. */
int64_t kua__cut_now(const kua__cut *cut);
/* True where more than 1 % of the events repeat an earlier (user, item). */
bool kua__pairs_repeat(const kua__pairs *users);

/* ---- the best of many ---- */

typedef struct kua__near {
    uint32_t id;
    float weight;
} kua__near;

/* Moves the `keep` largest weights to the front, largest first (equal ones: smaller id first).
 * Returns how many there are: min(n, keep). */
size_t kua__near_top(kua__near *list, size_t n, size_t keep);

/* ---- parts ---- */

enum { KUA__ARRAYS_MAX = 64, KUA__TUNABLES_MAX = 16, KUA__CANDIDATES_MAX = 8 };

typedef struct kua__array {
    char name[24];
    kua__dtype dtype; /* F32, I32 (uint32_t), I64 (size_t), BF16 (uint16_t) */
    void **data;
    size_t *n;
} kua__array;

/* One number that a setting gives, or that is chosen where the setting is "auto". */
typedef struct kua__tunable {
    const char *key;
    double *value;
    double candidate[KUA__CANDIDATES_MAX];
    int n;           /* fewer than 2: nothing to choose */
    double fallback; /* where there is nothing to choose on, and where choosing starts */
    bool costly;     /* a change means to fit anew: tried in the first round only */
    bool again;      /* says how to mix what was bought before with what is new */
    bool automatic;
} kua__tunable;

typedef struct kua__parts {
    kua__array array[KUA__ARRAYS_MAX];
    size_t n_arrays;
    kua__tunable tunable[KUA__TUNABLES_MAX];
    size_t n_tunables;
} kua__parts;

/* Lists the parts of a recommender whose clock and repeats are known. */
typedef void (*kua__describe_fn)(kua__rec *rec, kua__parts *parts);

void kua__parts_array(kua__parts *parts, const char *name, kua__dtype dtype, void **data,
                      size_t *n);
kua__tunable *kua__parts_tunable(kua__parts *parts, const char *key, double *value, double fallback,
                                 const double *candidates, int n);
#define KUA__TUNE(parts, key, value, fallback, ...)                                                \
    kua__parts_tunable(parts, key, value, fallback, (const double[]){__VA_ARGS__},                 \
                       (int)KUA__COUNT(((const double[]){__VA_ARGS__})))
/* half_life where there is a clock, decay where there is none, counts where people buy again. */
void kua__parts_weighing(kua__parts *parts, const kua__simple *simple, kua__weighing *weighing,
                         double decay);
#define KUA__WEIGHING_SETTINGS                                                                     \
    "\"decay\": [\"auto\", \"weight of a history event per event after it\"],"                     \
    "\"half_life\": [\"auto\", \"days after which a history event counts half; 0: by decay\"],"    \
    "\"counts\": [\"auto\", \"an item bought n times weighs 0: n, 1: log(1 + n), 2: as once\"]"

double kua__setting(const kua__rec *rec, const char *key); /* NAN: "auto" */

/* ---- the steps of a simple recommender ---- */

/* What `describe` lists and what all have. */
void kua__simple_parts(kua__rec *rec, kua__describe_fn describe, kua__parts *parts);

kua_status kua__simple_create(const kua__rec_ops *ops, size_t bytes, const json_t *settings,
                              kua__rec **out);
/* n_items, clock, repeats, what is bought again; gives every number its setting or fallback.
 * *users: the training pairs, for the caller to count on and to release. */
kua_status kua__simple_begin(kua__rec *rec, const kua__world *world, kua__describe_fn describe,
                             kua__pairs *users);
/* Frees the arrays listed and the recommender. */
void kua__simple_free(kua__rec *rec, kua__describe_fn describe);

/* Chooses what is "auto" by NDCG@10 on validation, one number after the other, and notes it in
 * facts.chosen, to be given as settings to a fit on more data. `prepare` brings the model in line
 * with its numbers; it is called before every measurement and once at the end. */
typedef kua_status (*kua__prepare_fn)(kua__rec *rec, const kua__world *world,
                                      const kua_monitor *monitor);
kua_status kua__choose(kua__rec *rec, const kua__world *world, kua__describe_fn describe,
                       kua__prepare_fn prepare, const kua_monitor *monitor);

/* model.json (settings, facts, numbers) and model.safetensors in `folder`. */
kua_status kua__simple_save(const kua__rec *rec, const char *folder, kua__describe_fn describe);

/* What loading has to know of a recommender. `init` (may be NULL) sets what `describe` goes by. */
typedef struct kua__simple_kind {
    const kua__rec_ops *ops;
    size_t bytes;
    kua__describe_fn describe;
    void (*init)(kua__rec *rec, const kua__world *world);
    /* (may be NULL) sees that the arrays fit together, and makes what follows from them. */
    kua_status (*check)(kua__rec *rec, const kua__world *world, const char *folder);
} kua__simple_kind;

/* The arrays are mapped, not read. */
kua_status kua__simple_load(const kua__simple_kind *kind, const char *folder,
                            const kua__world *world, kua__rec **out);

/* ---- validation ---- */

/* NDCG@10 of a recommender on at most 5,000 users' validation events, all items ranked. */
typedef struct kua__valid {
    const kua__world *world;
    uint32_t *user;
    size_t n; /* 0: nothing to measure on */
    int64_t now;
} kua__valid;

kua_status kua__valid_open(kua__valid *valid, const kua__world *world);
/* fresh: items of the history are neither ranked nor relevant. */
kua_status kua__valid_ndcg(const kua__valid *valid, const kua__rec *rec, bool fresh, double *out);
void kua__valid_close(kua__valid *valid);

#endif

/* rec/common.h - what the simple recommenders share: settings, weights of a history, validation, files.
 *
 * Settings that are chosen on validation have the default "auto". A recommender then lists candidate values, and
 * kua__choose tries them by way of its own score function, keeps the best, and notes them in facts.chosen, so that a
 * later fit on more data can be given the same values.
 */
#ifndef KUA_REC_COMMON_H
#define KUA_REC_COMMON_H

#include "rec/rec.h"
#include "tensor/safetensors.h"

/* ---- settings -------------------------------------------------------------------------------------------------------- */

double kua__setting(const kua__rec *rec, const char *key); /* NAN: "auto" */
bool kua__setting_flag(const kua__rec *rec, const char *key);

/* One tunable number: the value in use, and the values to choose from where its setting is "auto". */
typedef struct kua__tunable {
    const char *key;
    double *value;
    double candidate[8];
    int n;
    double fallback; /* where there is nothing to choose on */
    bool automatic;  /* set by kua__tunables_read */
} kua__tunable;

void kua__tunables_read(const kua__rec *rec, kua__tunable *tunables, int n);
/* Tries all combinations of the automatic ones; `prepare` (may be NULL) is called after values have changed. */
typedef kua_status (*kua__prepare_fn)(kua__rec *rec, const kua__world *world);
kua_status kua__choose(kua__rec *rec, const kua__world *world, kua__tunable *tunables, int n, kua__prepare_fn prepare,
                       const kua_monitor *monitor);

/* ---- histories --------------------------------------------------------------------------------------------------------- */

/* Distinct items of a history with weights, summed over repeats:
 *     weight(event) = decay^(events after it) where half_life is 0, else 2^(-age / half_life); age in days before `now`
 * Returns how many; item and weight have room for history->n; the last item of the history comes first. */
size_t kua__history_weights(const kua__history *history, double decay, double half_life, int64_t now, uint32_t *item, float *weight);

/* Users x items with a weight for each pair, distinct items per user, and its transpose's shape is the same struct. */
typedef struct kua__pairs {
    size_t n_rows, n_cols, n;
    size_t *at;      /* [n_rows + 1] */
    uint32_t *col;   /* [n] ascending in a row */
    float *weight;   /* [n] */
} kua__pairs;

/* weight = 1 (log_counts: log(1 + how often)). */
kua_status kua__pairs_from_cut(const kua__cut *cut, bool log_counts, kua__pairs *out);
kua_status kua__pairs_transpose(const kua__pairs *pairs, kua__pairs *out);
void kua__pairs_release(kua__pairs *pairs);

/* Moment of the last training event + 1 second where the log has a clock, else 0: what ages are counted from. */
int64_t kua__cut_now(const kua__cut *cut);
/* Share of events that repeat an earlier (user, item); where it is above .01, people buy again. */
double kua__cut_repeats(const kua__cut *cut);

/* ---- validation ----------------------------------------------------------------------------------------------------------- */

/* Mean NDCG@10 over at most 2,000 validation users; seen items are left out unless people buy again. 0 users: NAN. */
kua_status kua__valid_ndcg(const kua__rec *rec, const kua__world *world, double *out);

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

/* An array of a model: where its pointer and its length are. F32, I32 (uint32_t) or I64 (size_t). */
typedef struct kua__saved {
    const char *name;
    kua__dtype dtype;
    void **data;
    size_t *n;
} kua__saved;

/* model.json (settings, facts, items, values of the tunables) and model.safetensors. */
kua_status kua__simple_save(const kua__rec *rec, const char *folder, const kua__saved *arrays, size_t n_arrays,
                            const kua__tunable *tunables, int n_tunables);
kua_status kua__simple_load(kua__rec *rec, const char *folder, const kua__saved *arrays, size_t n_arrays,
                            const kua__tunable *tunables, int n_tunables);
/* Settings of a saved model; owned. */
kua_status kua__simple_settings(const char *folder, const char *kind, json_t **out);

#endif

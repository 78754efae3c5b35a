/* transfer/guard.h - transfer is published only where it is shown not to harm.
 *
 *     kua__guard_options options = {.strategy = "finetune"};
 *     kua__verdict verdict;
 *     st = kua__guard_decide(&valid_set, &target_only, 1, &finetune, 1, &options, &verdict);
 *     ...
 *     bits = kua__slice_user_bits(&query, n_sources);
 *     model = kua__verdict_allows(&verdict, bits) ? transferred : target_only;
 *
 * The rule, on validation users, with the paired bootstrap of transferred - target-only:
 *   everybody    on where the lower end of the 95 % interval is above -margin: not worse, up to a
 *                sliver;
 *   user slices  where everybody is on: off in a slice whose mean is below 0 and whose lower end
 *                is below -margin;
 *                where everybody is off: on only in a slice whose lower end is above 0, so shown
 *                to be better;
 *                slices of fewer than min_users follow everybody;
 *   the result   the mixture that these switches make is tested once more as a whole; if its lower
 *                end is below -margin, all is off.
 * So what is published is never worse than target-only beyond margin, as far as validation can
 * tell. Item slices are judged and reported in the same way, for the reader: they switch nothing,
 * since one list needs one model.
 */
#ifndef KUA_TRANSFER_GUARD_H
#define KUA_TRANSFER_GUARD_H

#include <jansson.h>

#include "eval/eval.h"

typedef struct kua__guard_options {
    const char *strategy; /* for the words; required */
    int measure;          /* 0: KUA__NDCG_10 */
    double margin;        /* share of target-only's mean that may be lost; 0: .02; negative: none */
    size_t min_users;     /* 0: 50 */
    size_t resamples;     /* 0: KUA__RESAMPLES */
    uint64_t seed;
} kua__guard_options;

typedef enum kua__guard_reason {
    KUA__GUARD_BETTER,    /* the interval lies above 0 */
    KUA__GUARD_NOT_WORSE, /* its lower end is above -margin */
    KUA__GUARD_UNSURE,    /* neither shown to be safe nor to harm */
    KUA__GUARD_WORSE,     /* the interval lies below 0 */
    KUA__GUARD_FEW        /* too few users to tell: follows everybody */
} kua__guard_reason;

typedef struct kua__guard_slice {
    kua__slice slice;
    size_t n_users;
    double target_only, transferred; /* means of the measure */
    kua__interval difference;        /* transferred - target-only */
    kua__guard_reason reason;
    bool transfer; /* the switch; of item slices: whether transfer helps or does no harm there */
} kua__guard_slice;

typedef struct kua__verdict {
    bool transfer; /* for everybody who is not in a slice that is switched otherwise */
    int measure;
    double margin;           /* absolute */
    kua__interval published; /* of the mixture that the switches make, against target-only */
    kua__guard_slice slice[KUA__SLICES]; /* [0] is everybody; slices without users are left out */
    size_t n_slices;
    char *words; /* sentences for people; owned */
} kua__verdict;

/* Judges one slice from per-user values: everything but `slice` is filled in; `transfer` as for
 * everybody. */
kua_status kua__guard_judge(const float *target_only, const float *transferred, size_t n,
                            double margin, const kua__guard_options *options,
                            kua__guard_slice *out);

/* Results are averaged over seeds; both over the questions of `set`. On failure nothing is held. */
kua_status kua__guard_decide(const kua__eval_set *set, const kua__eval_result *target_only,
                             size_t n_target_only, const kua__eval_result *transferred,
                             size_t n_transferred, const kua__guard_options *options,
                             kua__verdict *out);
void kua__verdict_release(kua__verdict *verdict);

/* Whether a user with these slice bits is served by the transferred model. */
bool kua__verdict_allows(const kua__verdict *verdict, uint32_t user_bits);

/* {"transfer", "partly", "words", "measure", "margin", "published": {"mean", "low", "high"},
 *  "slices": [{"slice", "words", "users", "target_only", "transferred", "mean", "low", "high",
 *              "reason", "transfer", "switch"}]} */
kua_status kua__verdict_json(const kua__verdict *verdict, json_t **out);
/* Reads the switches back from such an object, so that a published model obeys them. `name` is for
 * messages. */
kua_status kua__verdict_load(const char *name, const json_t *json, kua__verdict *out);

#endif

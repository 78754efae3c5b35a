/* rec/sequence_run.h - a training run of the sequential recommender, shared by sequence_fit.c (the
 * loop), sequence_batch.c (windows and batches) and sequence_resume.c (going on after an
 * interruption). */
#ifndef KUA_REC_SEQUENCE_RUN_H
#define KUA_REC_SEQUENCE_RUN_H

#include "rec/sequence_model.h"

/* A piece of a history. */
typedef struct kua__window {
    const uint32_t *item;
    uint32_t n;
} kua__window;

typedef struct kua__batch {
    uint32_t domain;
    size_t first, n; /* windows, in `order` */
} kua__batch;

typedef struct kua__run {
    kua__sequence *s;
    const kua__sequence_domain *domain; /* [n_domains] */
    size_t n_domains;
    uint64_t seed;
    const char *checkpoint; /* file for the state after each epoch; NULL: none */
    char identity[24];      /* of settings, data and first weights */
    const kua_monitor *monitor;
    kua__rng rng;
    kua__tape *tape;
    kua__optim optim;
    kua__ema average; /* of the weights n 0: off */

    kua__window *window; /* domain by domain: window_at[d] .. window_at[d + 1] */
    size_t n_windows, window_capacity, *window_at;
    uint32_t *order; /* [n_windows] shuffled within each domain */
    kua__batch *batch;
    uint32_t *batch_order;
    size_t n_batches, batch_capacity;
    uint32_t *token, *position, *type, *at, *input, *target; /* of one batch */
    float *
        *share; /* [n_domains][n_items]: of the targets, where the softmax is sampled; else NULL */

    uint8_t **again; /* [n_domains][n_events]: not a target; NULL: all are */

    uint32_t **user; /* [n_domains] of validation */
    size_t *n_users;
    bool repeats; /* of the first domain */
    float *table; /* [2, largest n_items, dim] for validation */
    float **best; /* [params.n] */
    double best_ndcg;
    size_t best_epoch;
    json_t *curve;
} kua__run;

/* ---- sequence_batch.c ---- */

kua_status kua__run_plan_windows(kua__run *r);
/* Shuffles the windows and cuts them into batches. */
kua_status kua__run_plan_epoch(kua__run *r);
/* Tokens of all windows of a batch; inputs are all but the last of each, targets their followers.
 * Returns how many inputs there are. */
size_t kua__run_fill_batch(kua__run *r, const kua__batch *b);
/* How many items are drawn for a step of domain d; 0: the softmax is over all of them. */
size_t kua__run_drawn_items(const kua__run *r, size_t d);
void kua__run_release_batches(kua__run *r);

/* ---- sequence_fit.c ---- */

/* The weights as they are become the best. */
kua_status kua__run_keep_best(kua__run *r);

/* ---- sequence_mixture.c ---- */

/* Item vectors of a domain, as kua__sequence_tables makes them. */
typedef struct kua__run_tables {
    const float *input, *output;
} kua__run_tables;

/* How a model with a certain mixture does on validation, NDCG@10. */
typedef struct kua__judgement {
    double ndcg;           /* what training is judged by */
    double fresh, all;     /* its halves, where people buy again */
    kua__repeat_term term; /* the best, where people buy again */
} kua__judgement;

/* Judges n mixtures, mix[n, n_partners] (NULL: one without partners), at domain d's border. Where
 * people buy again, what counts is half of what the model finds anew and half of what it finds with
 * the best repeat term's help: neither alone is a basket. */
kua_status kua__run_judge(const kua__run *r, size_t d, const kua__run_tables *tables,
                          const float *mix, size_t n, kua__judgement *out);
/* Sets the partners' weights and the repeat term of the trained model. */
kua_status kua__run_choose_mixture(kua__run *r, const kua__run_tables *tables);

/* ---- sequence_resume.c; all do nothing without a checkpoint file ---- */

/* To be called when everything is as before the first step: fills r->identity. */
kua_status kua__run_identify(kua__run *r);
/* The state after epoch `number`. */
kua_status kua__run_save(kua__run *r, size_t number);
/* The weights as they are: the best ones. */
kua_status kua__run_save_best(kua__run *r);
/* Goes back to the last saved state of the same run, and (with_best) to its best weights; *number
 * is its epoch, 0 where there is none. Files of another run are left alone, with a line in the log.
 */
kua_status kua__run_restore(kua__run *r, bool with_best, size_t *number);
void kua__run_forget(const kua__run *r); /* removes the files */

#endif

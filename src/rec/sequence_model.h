/* rec/sequence_model.h - the model behind rec/sequence.h, shared by the files sequence_*.c. */
#ifndef KUA_REC_SEQUENCE_MODEL_H
#define KUA_REC_SEQUENCE_MODEL_H

#include "grad/grad.h"
#include "rec/sequence.h"

typedef struct kua__sequence_options {
    size_t dim, layers, heads, widening, maxlen, text_dim;
    bool use_text, use_ids, new_targets, bf16;
    size_t epochs, blind_epochs, patience, batch_tokens, epoch_tokens, warmup, valid_users;
    int64_t negatives; /* < 0: as the number of items asks */
    float dropout, text_dropout, lr, body_lr, weight_decay, beta2, clip, tau, input_scale, id_std,
        averaging;
    struct kua__repeat_term {
        double weight, half_life, decay, power; /* < 0: to be chosen on validation */
    } repeat;
    double partner_weight; /* < 0: to be chosen */
} kua__sequence_options;

typedef struct kua__repeat_term kua__repeat_term;

/* Text vectors become projection: basis (x - mean). Length of the mean row is 1. */
typedef struct kua__whitening {
    size_t dim, k; /* k == 0: no text */
    float *mean;   /* [dim] */
    float *basis;  /* [k, dim]: principal directions over the square root of their deviation */
} kua__whitening;

/* Everything a domain brings along. */
typedef struct kua__sequence_items {
    size_t n;
    float *text;     /* [n, k] whitened; NULL: no text */
    kua__param *ids; /* [n, dim]; NULL: no ids */
} kua__sequence_items;

typedef struct kua__sequence_layer {
    kua__param *norm1_gain, *norm1_bias, *qkv, *qkv_bias, *out, *out_bias, *gate1, *gate1_bias;
    kua__param *norm2_gain, *norm2_bias, *up, *down, *gate2, *gate2_bias;
} kua__sequence_layer;

typedef struct kua__sequence {
    kua__rec rec;
    kua__sequence_options options;
    kua__whitening whitening;
    kua__params params;
    kua__sequence_layer *layer; /* [options.layers] */
    kua__param *position, *adaptor, *adaptor_bias, *norm_gain, *norm_bias;
    kua__sequence_items *items; /* [n_domains]; while fitting */
    size_t n_domains;
    /* what scoring needs, of the target domain */
    float *input, *output; /* [n_items, dim]: item vectors, and the same at length 1 */
    float *popularity;     /* [n_items]: log(1 + buyers), for empty histories */
    float *rate;           /* [n_items]: how often an item's buyers buy it again, over the mean */
    kua__repeat_term repeat;
    kua__rec *partner; /* a simple recommender whose scores are mixed in; NULL: none */
    double partner_weight;
} kua__sequence;

/* ---- sequence_text.c ---- */

/* Learns the whitening of all vectors of the domains, k components at most. */
kua_status kua__whitening_fit(kua__whitening *w, const kua__sequence_domain *domains, size_t n,
                              size_t k);
kua_status kua__whitening_copy(kua__whitening *to, const kua__whitening *from);
/* out[n, k] of vector[n, dim] */
kua_status kua__whitening_apply(const kua__whitening *w, const float *vector, size_t n, float *out);
void kua__whitening_release(kua__whitening *w);

/* ---- sequence_model.c ---- */

kua_status kua__sequence_options_read(const json_t *settings, kua__sequence_options *out);
json_t *kua__sequence_copy_settings(const json_t *settings); /* NULL: out of memory */
/* An empty recommender; settings are complete. */
kua_status kua__sequence_new(const json_t *settings, kua__sequence **out);
/* All of the body's parameters, randomly begun. whitening.k says whether there is an adaptor. */
kua_status kua__sequence_make_body(kua__sequence *s, kua__rng *rng);
/* The item vectors of domain d on the tape [n, dim]. */
kua__var *kua__sequence_table(kua__tape *t, const kua__sequence *s, size_t d);
/* The item vectors of the tokens [n, dim], with dropout of their own. */
kua__var *kua__sequence_inputs(kua__tape *t, const kua__sequence *s, size_t d,
                               const uint32_t *token, size_t n);
/* States of all tokens [tokens, dim], or of each sequence's last [seq.n, dim], from the tokens'
 * item vectors x and positions. */
kua__var *kua__sequence_states(kua__tape *t, const kua__sequence *s, kua__var *x,
                               const uint32_t *position, kua__ragged seq, bool ends_only);
/* input[n, dim] and output[n, dim] of domain d as plain matrices. */
kua_status kua__sequence_tables(const kua__sequence *s, size_t d, float *input, float *output);
/* state[n, dim] at the end of each history (its last maxlen events), of length 1 / tau; 0 for an
 * empty one. */
kua_status kua__sequence_encode(const kua__sequence *s, const float *input, size_t n_items,
                                const kua__history *history, size_t n, bool bf16, float *state);
void kua__sequence_free(kua__rec *rec);

/* ---- sequence_fit.c ---- */

/* Trains what is not frozen; s has its whitening and its body. */
kua_status kua__sequence_train(kua__sequence *s, const kua__sequence_domain *domains, size_t n,
                               uint64_t seed, const char *checkpoint, const kua_monitor *monitor);

/* ---- sequence_repeat.c ---- */

enum { KUA__REPEAT_CHOICES = 256 };

/* rate[n_items] over the mean rate. */
kua_status kua__repeat_rates(const kua__cut *cut, float *rate);
/* count[item] += the events of the history with it, older ones less. */
void kua__repeat_counts(const kua__repeat_term *term, const kua__history *history, int64_t now,
                        float *count);
float kua__repeat_value(const kua__repeat_term *term, float count, float rate);
/* Adds the term to scores; count[n_items] is 0 before and after. */
void kua__repeat_add(const kua__repeat_term *term, const float *rate, const kua__history *history,
                     int64_t now, float *count, float *scores);
/* Share of the training events that repeat an earlier one of the same user. */
double kua__repeat_share(const kua__cut *cut);
/* The terms to choose from, at most KUA__REPEAT_CHOICES; numbers that are given stay. */
size_t kua__repeat_choices(const kua__repeat_term *given, bool clock, kua__repeat_term *out);

/* ---- sequence_partner.c ---- */

/* Fits the recommender that the setting `partner` names, if any. */
kua_status kua__partner_fit(kua__sequence *s, const kua__world *world, const kua_monitor *monitor);
/* scores[n, n_items] += weight times its scores, whose largest in each row is 1. */
kua_status kua__partner_add(const kua__rec *partner, const kua__query *queries, size_t n,
                            double weight, float *scores);
kua_status kua__partner_save(const kua__sequence *s, const char *folder);
kua_status kua__partner_load(kua__sequence *s, const char *folder, const kua__world *world);

/* ---- sequence_valid.c ---- */

/* What is measured at the border between train and valid of a domain. */
typedef struct kua__sequence_trial {
    const kua__sequence_domain *domain;
    const float *input, *output; /* item vectors */
    const uint32_t *user;        /* [n] */
    size_t n;
    const kua__repeat_term *term; /* [n_terms], where people buy again; else NULL */
    size_t n_terms;
    const float *rate;
    double partner_weight; /* of s->partner's scores */
    /* results, NDCG@10 */
    double fresh; /* over users who got something new: items of the history are left out */
    double *all;  /* [n_terms] everything counts, with that term */
} kua__sequence_trial;

kua_status kua__sequence_try(const kua__sequence *s, kua__sequence_trial *trial);
/* Users with both a history and validation events, `most` of them at random; *user is owned. */
kua_status kua__sequence_valid_users(const kua__sequence_domain *domain, size_t most, uint64_t seed,
                                     uint32_t **user, size_t *n);

#endif

/* rec/sequence_model.h - the model behind rec/sequence.h, shared by the files sequence_*.c. */
#ifndef KUA_REC_SEQUENCE_MODEL_H
#define KUA_REC_SEQUENCE_MODEL_H

#include "grad/grad.h"
#include "rec/sequence.h"
#include "rec/whitening.h"

typedef struct kua__sequence_options {
    size_t dim, layers, heads, widening, maxlen, text_dim;
    bool use_text, use_ids, new_targets, bf16;
    size_t epochs, blind_epochs, patience, batch_tokens, epoch_tokens, warmup, valid_users;
    int64_t negatives; /* < 0: as the number of items asks */
    float dropout, text_dropout, lr, body_lr, weight_decay, beta2, clip, tau, input_scale, id_std,
        id_evidence, averaging;
    struct kua__repeat_term {
        double weight, half_life, decay, power; /* < 0: to be chosen on validation */
    } repeat;
} kua__sequence_options;

typedef struct kua__repeat_term kua__repeat_term;

/* Everything a domain brings along. */
typedef struct kua__sequence_items {
    size_t n;
    float *text;        /* [n, k] whitened; NULL: no text */
    kua__param *ids;    /* [n, dim]; NULL: no ids */
    float *evidence;    /* [n] what an id counts: n / (n + id_evidence), for n events */
    kua__param *domain; /* [1, dim] added to all of them at the input */
} kua__sequence_items;

/* What is known of the events of a batch beside their items. */
typedef struct kua__sequence_events {
    const uint32_t *position, *type; /* [tokens] type: kua__event_type */
    kua__ragged seq;
} kua__sequence_events;

typedef struct kua__sequence_layer {
    kua__param *norm1_gain, *norm1_bias, *qkv, *qkv_bias, *out, *out_bias, *gate1, *gate1_bias;
    kua__param *norm2_gain, *norm2_bias, *up, *down, *gate2, *gate2_bias;
} kua__sequence_layer;

enum { KUA__PARTNERS_MAX = 8 };

/* A simple recommender whose scores are mixed in. */
typedef struct kua__partner {
    kua__rec *rec;
    double weight; /* of its scores, the largest being 1 */
} kua__partner;

typedef struct kua__sequence {
    kua__rec rec;
    kua__sequence_options options;
    kua__whitening whitening;
    kua__params params;
    kua__sequence_layer *layer; /* [options.layers] */
    kua__param *position, *type, *adaptor, *adaptor_bias, *norm_gain, *norm_bias;
    kua__sequence_items *items; /* [n_domains]; while fitting */
    size_t n_domains;
    /* what scoring needs, of the target domain */
    float *input,
        *output;       /* [n_items, dim]: item vectors with the domain's, and without at length 1 */
    float *popularity; /* [n_items]: log(1 + buyers), for empty histories */
    float *rate;       /* [n_items]: how often an item's buyers buy it again, over the mean */
    kua__repeat_term repeat;
    kua__partner partner[KUA__PARTNERS_MAX];
    size_t n_partners;
    bool weights_given; /* by the settings; else they are to be chosen */
} kua__sequence;

/* ---- sequence_model.c ---- */

kua_status kua__sequence_options_read(const json_t *settings, kua__sequence_options *out);
/* An empty recommender; settings are complete. */
kua_status kua__sequence_new(const json_t *settings, kua__sequence **out);
/* All of the body's parameters, randomly begun. whitening.k says whether there is an adaptor. */
kua_status kua__sequence_make_body(kua__sequence *s, kua__rng *rng);
/* The item vectors of domain d on the tape [n, dim]. */
kua__var *kua__sequence_table(kua__tape *t, const kua__sequence *s, size_t d);
/* The item vectors of the tokens [n, dim], with dropout of their own. */
kua__var *kua__sequence_rows(kua__tape *t, const kua__sequence *s, size_t d, const uint32_t *token,
                             size_t n);
/* The same, with the domain's vector added. */
kua__var *kua__sequence_inputs(kua__tape *t, const kua__sequence *s, size_t d,
                               const uint32_t *token, size_t n);
/* States of all tokens [tokens, dim], or of each sequence's last [seq.n, dim], from the tokens'
 * input vectors x. */
kua__var *kua__sequence_states(kua__tape *t, const kua__sequence *s, kua__var *x,
                               const kua__sequence_events *events, bool ends_only);
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

kua_status kua__partners_check(const json_t *settings);
/* Fits the recommenders that the setting `partners` names, with the weights given, if any. */
kua_status kua__partners_fit(kua__sequence *s, const kua__world *world, const kua_monitor *monitor);
void kua__partners_drop_idle(kua__sequence *s); /* those of weight 0 */
/* out[n, n_items] = its scores over the largest of each row. */
kua_status kua__partner_scores(const kua__rec *partner, const kua__query *queries, size_t n,
                               float *out);
/* scores[n, n_items] += all partners' */
kua_status kua__partners_add(const kua__sequence *s, const kua__query *queries, size_t n,
                             float *scores);
kua_status kua__partners_weights(const kua__sequence *s, json_t **out); /* {"itemknn": 2.0, ..} */
kua_status kua__partners_save(const kua__sequence *s, const char *folder);
/* weights: as above; says which there are. */
kua_status kua__partners_load(kua__sequence *s, const char *folder, const json_t *weights,
                              const kua__world *world);

/* ---- sequence_valid.c ---- */

/* What is measured at the border between train and valid of a domain, for several mixtures. */
typedef struct kua__sequence_trial {
    const kua__sequence_domain *domain;
    const float *input, *output; /* item vectors */
    const uint32_t *user;        /* [n] */
    size_t n;
    const kua__repeat_term *term; /* [n_terms], where people buy again; else NULL */
    size_t n_terms;
    const float *rate;
    const float *mix; /* [n_mixes, n_partners] weights of s->partner's scores; NULL: all 0 */
    size_t n_mixes;
    /* results, NDCG@10 */
    double
        *fresh;  /* [n_mixes] over users who got something new: the history's items are left out */
    double *all; /* [n_mixes, n_terms] everything counts, with that term */
} kua__sequence_trial;

kua_status kua__sequence_try(const kua__sequence *s, const kua__sequence_trial *trial);
/* Users with both a history and validation events, `most` of them at random; *user is owned. */
kua_status kua__sequence_valid_users(const kua__sequence_domain *domain, size_t most, uint64_t seed,
                                     uint32_t **user, size_t *n);

#endif

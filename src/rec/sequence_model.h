/* rec/sequence_model.h - the model behind rec/sequence.h, shared by the files sequence_*.c. */
#ifndef KUA_REC_SEQUENCE_MODEL_H
#define KUA_REC_SEQUENCE_MODEL_H

#include "grad/grad.h"
#include "rec/sequence.h"

typedef struct kua__sequence_options {
    size_t dim, layers, heads, widening, maxlen, text_dim;
    bool use_text, use_ids, bf16;
    size_t epochs, blind_epochs, patience, batch_tokens, epoch_tokens, warmup, valid_users;
    int64_t negatives; /* < 0: as the number of items asks */
    float dropout, text_dropout, lr, body_lr, weight_decay, beta2, clip, tau, input_scale, id_std,
        repeat_weight, averaging;
    double repeat_decay;
} kua__sequence_options;

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
    float *popularity;     /* [n_items]: log(1 + events), for empty histories */
    float repeat_weight;
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
/* scores += weight log(1 + decayed count of each item in the history); count[n_items] is 0 before
 * and after. */
void kua__sequence_add_repeats(const kua__sequence *s, const kua__history *history, float weight,
                               float *count, float *scores);
void kua__sequence_free(kua__rec *rec);

/* ---- sequence_fit.c ---- */

/* Trains what is not frozen; s has its whitening and its body. */
kua_status kua__sequence_train(kua__sequence *s, const kua__sequence_domain *domains, size_t n,
                               uint64_t seed, const char *checkpoint, const kua_monitor *monitor);

/* ---- sequence_valid.c ---- */

/* Mean NDCG@10 of `n` users of domain d at the border between train and valid. repeats: items of
 * the history count as answers (else they are left out), and `weight` is the repeat term's. */
kua_status kua__sequence_ndcg(const kua__sequence *s, const kua__sequence_domain *domain,
                              const float *input, const float *output, const uint32_t *user,
                              size_t n, bool repeats, const float *weight, size_t n_weights,
                              double *ndcg);
/* Users with both a history and validation events, `most` of them at random; *user is owned. */
kua_status kua__sequence_valid_users(const kua__sequence_domain *domain, size_t most, uint64_t seed,
                                     uint32_t **user, size_t *n);
/* Share of the training events that repeat an earlier one of the same user. */
double kua__sequence_repeat_share(const kua__cut *cut);

#endif

/* app/head.h - what stands on an encoder: linear, one hidden layer, or LSTM and Dense. */
#ifndef KUA_APP_HEAD_H
#define KUA_APP_HEAD_H

#include "app/config.h"
#include "app/logistic.h"
#include "grad/grad.h"

typedef struct kua__head {
    kua__head_kind kind;
    bool last_step;
    size_t in, outs, hidden;
    kua__param *inner, *inner_bias, *recurrent; /* mlp, lstm */
    kua__param *weight, *bias;                  /* [outs, in or hidden] */
    kua__param *transitions;                    /* tagger: [outs + 1, outs] (crf.h) */
} kua__head;

/* Parameters named "head.*" among params. */
kua_status kua__head_create(kua__head *head, kua__params *params, const kua__app_config *config,
                            kua__rng *rng);
/* lstm: x [tokens, in], and logits a step (or a text, where last_step); else x has a row a text. */
kua__var *kua__head_on_tape(kua__tape *t, const kua__head *head, kua__var *x, kua__ragged seq,
                            float dropout);
/* True where the head gives a row for every token. */
bool kua__head_by_step(const kua__head *head);
/* To and from a file of safetensors; shapes are checked. */
kua_status kua__head_save(const kua__params *params, const char *path);
kua_status kua__head_load(kua__params *params, const char *path);
/* A linear head's numbers. */
void kua__head_set(kua__head *head, const kua__affine *m);
void kua__head_get(const kua__head *head, kua__affine *m);

#endif

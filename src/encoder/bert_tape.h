/* encoder/bert_tape.h - the whole encoder as parameters on a tape: fine-tuning and pre-training.
 *
 *     kua__params params;  kua__bert_params bert;
 *     kua__params_init(&params);
 *     st = kua__bert_params_create(&bert, &params, &config, rng);
 *     if (!st) st = kua__bert_params_load(&bert, folder);        or keep the random start
 *
 *     kua__var *x = kua__bert_on_tape(t, &bert, ids, seq, dropout);                each step
 *     kua__var *v = kua__pool_on_tape(t, x, seq, KUA_POOLING_MEAN, true);
 *
 *     if (!st) st = kua__bert_params_save(&bert, "tuned/model.safetensors");       at the end
 *
 * What is saved opens in kua_encoder_load() and in Python's transformers. Parameters carry the
 * names of the file, but for "attention.self.qkv": query, key and value are one matrix here, three
 * there.
 */
#ifndef KUA_ENCODER_BERT_TAPE_H
#define KUA_ENCODER_BERT_TAPE_H

#include "encoder/config.h"
#include "grad/grad.h"

/* A product's weight and bias, or a norm's gain and bias. */
typedef struct kua__bert_pair {
    kua__param *weight, *bias;
} kua__bert_pair;

typedef struct kua__bert_block {
    kua__bert_pair qkv, out, after_attention, up, down, after_inner;
} kua__bert_block;

/* Parameters belong to kua__params; this holds pointers to them. */
typedef struct kua__bert_params {
    kua__model_config config;
    kua__param *word, *place,
        *type; /* [vocab, hidden] sparse, [positions, hidden], [types, hidden] */
    kua__bert_pair first;
    kua__bert_block *block; /* [layers] */
} kua__bert_params;

/* Random as BERT's own start: normal with deviation .02, biases zero, gains one. *bert is to be
 * released after a failure too. */
kua_status kua__bert_params_create(kua__bert_params *bert, kua__params *params,
                                   const kua__model_config *config, kua__rng *rng);
void kua__bert_params_release(kua__bert_params *bert);
/* From FOLDER/model.safetensors, and to a file of that kind in F32. */
kua_status kua__bert_params_load(kua__bert_params *bert, const char *folder);
kua_status kua__bert_params_save(const kua__bert_params *bert, const char *path);

/* Tokens of many texts, [tokens, hidden]. ids[seq.at[seq.n]] must live until the tape's reset.
 * KUA_INVALID (kept in the tape): an id is not below vocab, or a text is longer than positions. */
kua__var *kua__bert_on_tape(kua__tape *t, const kua__bert_params *bert, const uint32_t *ids,
                            kua__ragged seq, float dropout);
/* One row a text. */
kua__var *kua__pool_on_tape(kua__tape *t, kua__var *x, kua__ragged seq, kua_pooling pooling,
                            bool unit);

#endif

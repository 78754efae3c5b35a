/* encoder/model_tape.h - a whole transformer of any family as parameters on a tape: pre-training
 * and fine-tuning.
 *
 *     kua__params params;  kua__tape_model model;
 *     kua__params_init(&params);
 *     st = kua__tape_model_create(&model, &params, &config, KUA__TAPE_BODY, rng);
 *     if (!st) st = kua__tape_model_load(&model, folder, NULL);     or keep the random start
 *
 *     kua__var *x = kua__model_on_tape(t, &model, ids, seq, dropout);              each step
 *     kua__var *v = kua__pool_on_tape(t, x, seq, KUA_POOLING_MEAN, true);          a row a text
 *     kua__var *l = kua__word_loss(t, &model, kua__gather_rows(t, x, at, n), word);     or words
 *
 *     if (!st) st = kua__tape_model_save(&model, "tuned");          config.json, model.safetensors
 *     kua__tape_model_release(&model);
 *
 * What is saved opens in kua_encoder_load() and in Python's transformers. Parameters carry the
 * names of the family's files without a prefix; but where positions are learned, query, key and
 * value are one parameter here, so that one product makes them ("...qkv.weight").
 */
#ifndef KUA_ENCODER_MODEL_TAPE_H
#define KUA_ENCODER_MODEL_TAPE_H

#include "encoder/names.h"
#include "grad/grad.h"

/* A table's or product's weight and bias, or a norm's gain and bias; NULL: it has none. */
typedef struct kua__tape_pair {
    kua__param *weight, *bias;
    kua__param *lora_a, *lora_b; /* [rank, in], [out, rank]; NULL: no adapter (lora.h) */
    float lora_scale;            /* y += lora_scale B A x */
} kua__tape_pair;

typedef enum kua__tape_parts {
    KUA__TAPE_BODY, /* token vectors */
    KUA__TAPE_HEAD  /* and the head for words: masked words, or the next one where causal */
} kua__tape_parts;

/* Parameters belong to kua__params; this holds pointers to them. */
typedef struct kua__tape_model {
    kua__model_config config;
    kua__tape_parts parts;
    kua__tape_pair once[KUA__SLOT_COUNT];     /* what stands outside the layers */
    kua__tape_pair (*layer)[KUA__SLOT_COUNT]; /* [config.layers] */
    bool recompute; /* layers are computed twice instead of kept: kua__recompute(); off at first */
} kua__tape_model;

/* Random as the family's own start: normal with deviation .02 (GPT-2: products into the residual
 * stream less, by the root of their number), biases zero, gains one. *model is to be released after
 * a failure too. */
kua_status kua__tape_model_create(kua__tape_model *model, kua__params *params,
                                  const kua__model_config *config, kua__tape_parts parts,
                                  kua__rng *rng);
void kua__tape_model_release(kua__tape_model *model);
/* From a folder or file of any format of tensor/weights.h. Where the file has no head for words the
 * head keeps its start, and *head_found (may be NULL) is false. */
kua_status kua__tape_model_load(kua__tape_model *model, const char *path, bool *head_found);
/* FOLDER/config.json and FOLDER/model.safetensors in F32, with the names that transformers gives
 * the family. */
kua_status kua__tape_model_save(const kua__tape_model *model, const char *folder);

/* Is it a parameter of layer `layer`? -1: what the first layer reads (tables, first norm);
 * config.layers: what stands behind the last layer (last norm, head). KUA__NOT_THERE: another's. */
enum { KUA__NOT_THERE = -2 };
int kua__tape_model_depth(const kua__tape_model *model, const kua__param *param);

/* Tokens of many texts, [tokens, hidden]. ids[seq.at[seq.n]] must live until the tape's reset.
 * KUA_INVALID (kept in the tape): an id is not below vocab, or a text is longer than positions. */
kua__var *kua__model_on_tape(kua__tape *t, const kua__tape_model *model, const uint32_t *ids,
                             kua__ragged seq, float dropout);
/* One row a text. The last token is KUA_POOLING_LAST's, for causal models. */
kua__var *kua__pool_on_tape(kua__tape *t, kua__var *x, kua__ragged seq, kua_pooling pooling,
                            bool unit);

/* ---- the head for words (KUA__TAPE_HEAD) ---- */

/* States as the table of words is multiplied with: masked-word heads have a product and a norm
 * here. */
kua__var *kua__word_states(kua__tape *t, const kua__tape_model *model, kua__var *x);
/* Mean of -log probability of word[i] at row i of x [n, hidden] (KUA__NO_ID: does not count). */
kua__var *kua__word_loss(kua__tape *t, const kua__tape_model *model, kua__var *x,
                         const uint32_t *word);
/* The same without a gradient, counted: what held-out texts are judged by. */
typedef struct kua__word_score {
    double loss;           /* sum of -log probability, natural logarithm */
    size_t counted, right; /* right: the word itself was the most likely */
} kua__word_score;
kua_status kua__word_judge(kua__tape *t, const kua__tape_model *model, kua__var *x,
                           const uint32_t *word, kua__word_score *score);
kua__param *kua__word_table(const kua__tape_model *model); /* tied: the table of words */
kua__param *kua__word_bias(const kua__tape_model *model);  /* NULL: none */

#endif

/* encoder/lora.h - adapters of low rank beside frozen products (Hu et al., "LoRA", 2022).
 *
 *     y = W x + b + (alpha / rank) B (A x)        A [rank, in] random, B [out, rank] zero at first
 *
 * Only A and B are trained: of MiniLM's 22.6 million numbers, 74 thousand at rank 8 on the
 * query-key-value products. Merging adds the product to W; then the model is an ordinary one.
 */
#ifndef KUA_ENCODER_LORA_H
#define KUA_ENCODER_LORA_H

#include "encoder/model_tape.h"

/* Which products of a layer; may be joined by |. */
enum {
    KUA__LORA_ATTENTION = 1, /* query, key, value */
    KUA__LORA_OUT = 2,
    KUA__LORA_INNER = 4, /* up, gate, down */
    KUA__LORA_ALL = 7
};

enum { KUA__LORA_RANK_MAX = 256 };

typedef struct kua__lora_options {
    size_t rank;
    float alpha;
    unsigned targets;
} kua__lora_options;

/* "attention", "out", "inner", "all", joined by commas. KUA_INVALID names them. */
kua_status kua__lora_targets_parse(const char *text, unsigned *out);

bool kua__lora_is_target(kua__slot slot, unsigned targets); /* of a layer's products */

/* Freezes the model's parameters and adds adapters to `params`. KUA_INVALID: a rank of 0 or beyond
 * the limit, no target, or there are adapters already. */
kua_status kua__lora_add(kua__tape_model *model, kua__params *params,
                         const kua__lora_options *options, kua__rng *rng);
size_t kua__lora_count(const kua__model_config *config,
                       const kua__lora_options *options); /* numbers in adapters */
/* W += scale B A for every adapter; then B = 0, so that nothing is added twice. */
kua_status kua__lora_merge(kua__tape_model *model);

#endif

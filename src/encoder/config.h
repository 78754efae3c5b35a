/* encoder/config.h - what a model is: its family and its sizes, checked.
 *
 * Read from a folder's config.json as Python's transformers writes it, or from the metadata of a
 * GGUF file. One struct for all families: code asks "is the norm before the part?", never "is this
 * GPT-2?"; the family only tells how tensors are called (names.h).
 *
 *                  positions   norm          inner part             attention           heads for
 * words BERT         learned     layer, after  gelu | relu | tanh     both sides          masked
 * words DistilBERT   learned     layer, after  gelu | relu            both sides          masked
 * words RoBERTa      learned, from first_position on, XLM-R too       both sides          masked
 * words GPT-2        learned     layer, before gelu_tanh              causal              next
 * word, tied llama        rotary      RMS, before   silu(gate) * up        causal, grouped     next
 * word
 */
#ifndef KUA_ENCODER_CONFIG_H
#define KUA_ENCODER_CONFIG_H

#include "base/base.h"
#include "kua/encoder.h"

/* Limits: what this library is made for stays far below; beyond them a config is taken for a lie.
 */
enum {
    KUA__MODEL_HIDDEN_MAX = 8192,
    KUA__MODEL_INNER_MAX = 65536,
    KUA__MODEL_LAYERS_MAX = 256,
    KUA__MODEL_TYPES_MAX = 64,
    KUA__MODEL_POSITIONS_MAX = 1 << 20,
};

typedef enum kua__family {
    KUA__FAMILY_BERT,
    KUA__FAMILY_DISTILBERT,
    KUA__FAMILY_ROBERTA, /* and XLM-RoBERTa */
    KUA__FAMILY_GPT2,
    KUA__FAMILY_LLAMA,
    KUA__FAMILY_COUNT
} kua__family;

const char *kua__family_name(kua__family family); /* "bert", as config.json calls it */

typedef enum kua__activation {
    KUA__ACT_GELU,      /* x Phi(x), with erf */
    KUA__ACT_GELU_TANH, /* its approximation: "gelu_new", "gelu_pytorch_tanh" */
    KUA__ACT_RELU,
    KUA__ACT_SILU
} kua__activation;

typedef struct kua__model_config {
    kua__family family;
    size_t hidden, layers, heads; /* widths of the residual stream; query heads */
    size_t kv_heads;              /* of keys and values; divides heads; == heads: not grouped */
    size_t head_dim;              /* heads * head_dim is hidden but for some llamas */
    size_t inner;
    size_t vocab, positions; /* positions: rows of the table, or the longest text where rotary */
    size_t types;            /* 0: the family has no token types */
    size_t first_position;   /* of a text's first token: RoBERTa's padding id + 1; else 0 */
    float epsilon;           /* of norms */
    float rope_theta;        /* base of the rotary angles; 0: learned positions */
    kua__activation activation;
    bool causal;            /* a token sees those before it and itself */
    bool pre_norm;          /* x + f(norm(x)) and a norm at the end; else norm(x + f(x)) */
    bool rms;               /* norms have no mean and no bias */
    bool gated;             /* down(act(gate(x)) * up(x)), else down(act(up(x))) */
    bool biases;            /* products have them */
    bool learned_positions; /* else rotary */
    bool rope_interleaved; /* pairs are neighbours (2i, 2i + 1), as GGUF has them; else (i, i + d/2)
                            */
    bool tied;             /* the head for words is the table of words */
} kua__model_config;

/* Tokens of the longest text. */
size_t kua__config_longest(const kua__model_config *c);
/* The activation in the head for masked words: RoBERTa's is always gelu, others' that of the
 * layers.
 */
kua__activation kua__config_head_activation(const kua__model_config *c);
/* What BERT-like configs have in common, for models made from nothing: sizes are left to fill in.
 */
kua__model_config kua__config_preset(kua__family family);
/* Sizes within the limits and in agreement with one another; `name` is for messages. KUA_FORMAT. */
kua_status kua__config_check(const char *name, const kua__model_config *c);

/* config.json from text in memory; `name` is for messages. KUA_FORMAT names field and value. */
kua_status kua__config_parse(const char *name, const char *text, size_t n, kua__model_config *out);
/* FOLDER/config.json. */
kua_status kua__config_load(const char *folder, kua__model_config *out);
/* FOLDER/config.json in the words of that family, so that transformers opens what was saved. */
kua_status kua__config_save(const kua__model_config *c, const char *folder);

/* ---- how a text's token vectors become one, and where texts are cut ---- */

typedef struct kua__pooling_config {
    kua_pooling pooling; /* KUA_POOLING_MODEL: not stated */
    bool unit;
    size_t max_tokens; /* 0: not stated */
} kua__pooling_config;

/* Each changes only what its file is about. All fail with KUA_FORMAT. */
kua_status kua__pooling_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out);
kua_status kua__modules_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out);
kua_status kua__sentence_parse(const char *name, const char *text, size_t n,
                               kua__pooling_config *out);
/* The three optional files of a folder with their defaults. */
kua_status kua__pooling_load(const char *folder, kua__pooling_config *out);

#endif

/* encoder/config.h - what the JSON files of a model folder say, checked. */
#ifndef KUA_ENCODER_CONFIG_H
#define KUA_ENCODER_CONFIG_H

#include "base/base.h"
#include "kua/encoder.h"

/* Limits: no published BERT comes near them; beyond them a config is taken for a lie. */
enum {
    KUA__BERT_HIDDEN_MAX = 8192,
    KUA__BERT_INNER_MAX = 65536,
    KUA__BERT_LAYERS_MAX = 256,
    KUA__BERT_TYPES_MAX = 64,
};

typedef enum kua__bert_activation { KUA__BERT_GELU, KUA__BERT_RELU } kua__bert_activation;

typedef struct kua__bert_config {
    size_t hidden, layers, heads, inner; /* heads divide hidden */
    size_t vocab, positions, types;
    float epsilon; /* of layer norms */
    kua__bert_activation activation;
} kua__bert_config;

/* How a text's token vectors become one, and where texts are cut. */
typedef struct kua__pooling_config {
    kua_pooling pooling; /* never KUA_POOLING_MODEL */
    bool unit;
    size_t max_tokens; /* 0: not stated */
} kua__pooling_config;

/* The same from text in memory; `name` is for messages. All fail with KUA_FORMAT. */
kua_status kua__bert_config_parse(const char *name, const char *text, size_t n,
                                  kua__bert_config *out);
/* Each changes only what its file is about. */
kua_status kua__pooling_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out);
kua_status kua__modules_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out);
kua_status kua__sentence_parse(const char *name, const char *text, size_t n,
                               kua__pooling_config *out);

/* config.json of a folder, and the three optional files with their defaults. */
kua_status kua__bert_config_load(const char *folder, kua__bert_config *out);
kua_status kua__pooling_load(const char *folder, kua__pooling_config *out);

#endif

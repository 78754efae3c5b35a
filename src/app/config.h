/* app/config.h - classifier.json: what a saved classifier or tagger is. */
#ifndef KUA_APP_CONFIG_H
#define KUA_APP_CONFIG_H

#include <jansson.h>

#include "base/base.h"
#include "encoder/tune.h"
#include "kua/classify.h"

enum { KUA__APP_VERSION = 1, KUA__APP_DIM_MAX = 1 << 26, KUA__APP_HIDDEN_MAX = 8192 };

typedef enum kua__method { KUA__TFIDF, KUA__VECTORS, KUA__ENCODER, KUA__METHODS } kua__method;
typedef enum kua__head_kind {
    KUA__HEAD_LINEAR,
    KUA__HEAD_MLP,
    KUA__HEAD_LSTM,
    KUA__HEADS
} kua__head_kind;

extern const char *const kua__method_names[KUA__METHODS];
extern const char *const kua__head_names[KUA__HEADS];
/* The number of `name` among names[n]; KUA_INVALID lists them. */
kua_status kua__app_choice(const char *what, const char *name, const char *const *names, size_t n,
                           int *out);

typedef struct kua__app_config {
    bool tagger;
    kua__method method;
    kua__head_kind head;
    kua__tune_how tune;
    bool multi;      /* any number of labels a text */
    bool last_step;  /* lstm */
    bool characters; /* tagger: units are characters, not words */
    size_t dim;      /* of what the head sees: columns */
    size_t hidden;   /* of the head */
    size_t max_tokens;
    kua__ids labels;
    char *encoder; /* folder of the encoder; NULL: none. Relative: inside the classifier's folder */
} kua__app_config;

/* Outputs of the head: one where a sigmoid tells two labels apart. */
size_t kua__app_outs(const kua__app_config *c);
bool kua__app_softmax(const kua__app_config *c);

/* *c is to be released after a failure too. `name` is for messages. */
kua_status kua__app_config_parse(const char *name, const char *text, size_t n, kua__app_config *c);
kua_status kua__app_config_load(const char *folder, kua__app_config *c);
/* `trained`: what the training reported, kept for people to read; borrowed. */
kua_status kua__app_config_save(const char *folder, const kua__app_config *c,
                                const json_t *trained);
void kua__app_config_release(kua__app_config *c);

#endif

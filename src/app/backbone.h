/* app/backbone.h - the encoder below a head, on a tape, with its tokenizer. */
#ifndef KUA_APP_BACKBONE_H
#define KUA_APP_BACKBONE_H

#include "app/settings.h"
#include "encoder/tune.h"
#include "kua/tokenizer.h"

typedef struct kua__backbone {
    char *folder;
    kua_tokenizer *tokenizer;
    kua__tape_model model;
    kua__params *params; /* the caller's */
    kua__tuning tuning;  /* plan.how KUA__TUNE_NONE: not begun */
    kua_pooling pooling;
    size_t dim, max_tokens;
} kua__backbone;

/* Sizes, tokenizer and pooling of a folder: no weights yet. *b is to be released after a failure
 * too. */
kua_status kua__backbone_open(kua__backbone *b, const char *folder, size_t max_tokens);
/* Weights into params, from the folder or at random where `scratch`. */
kua_status kua__backbone_weights(kua__backbone *b, kua__params *params, bool scratch,
                                 kua__rng *rng);
void kua__backbone_release(kua__backbone *b);

/* What tuning `how` with these settings is. */
kua__tune_plan kua__backbone_plan(kua__tune_how how, const kua__app_settings *s);
/* The encoder as a folder that kua__backbone_open and kua_encoder_load take. */
kua_status kua__backbone_save(kua__backbone *b, const char *folder);

/* A batch of texts whose tokens are those of `ids`: token ids one after another and where each text
 * begins, in the tape's memory. at NULL: out of memory, in the tape. */
typedef struct kua__picked {
    uint32_t *id;
    kua__ragged seq;
} kua__picked;
kua__picked kua__pick_texts(kua__tape *t, const kua_id_batch *ids, const uint32_t *pick, size_t n);

/* The frozen encoder's token states of every text, in the order of ids: [tokens, dim]. */
kua_status kua__backbone_states(kua__backbone *b, kua__tape *t, const kua_id_batch *ids,
                                const kua_monitor *monitor, float *states);

#endif

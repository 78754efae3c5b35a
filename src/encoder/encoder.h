/* encoder/encoder.h - the inside of kua_encoder. */
#ifndef KUA_ENCODER_ENCODER_H
#define KUA_ENCODER_ENCODER_H

#include <pthread.h>

#include "encoder/model.h"
#include "kua/encoder.h"

typedef struct kua__encoder_scratch {
    kua__scratch scratch;
    struct kua__encoder_scratch *next;
} kua__encoder_scratch;

struct kua_encoder {
    kua__model model;
    kua_tokenizer *tokenizer;
    kua_pooling pooling;
    bool unit;
    size_t max_tokens, batch_tokens;
    size_t rows; /* of a scratch: a batch, or one text that is longer */

    pthread_mutex_t lock;       /* guards `free` */
    kua__encoder_scratch *free; /* scratches that no call uses */
};

kua_status kua__encoder_take(kua_encoder *e, kua__encoder_scratch **out);
void kua__encoder_give(kua_encoder *e, kua__encoder_scratch *s); /* NULL is allowed */

#endif

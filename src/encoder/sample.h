/* encoder/sample.h - a word from logits. */
#ifndef KUA_ENCODER_SAMPLE_H
#define KUA_ENCODER_SAMPLE_H

#include "base/base.h"
#include "kua/generate.h"

/* A word that may be drawn. */
typedef struct kua__candidate {
    uint32_t id;
    float logit;
} kua__candidate;

kua_status kua__sampling_check(const kua_sampling *s, size_t words);
/* candidates[words] is scratch. Draws one number of rng where temperature > 0, else none. */
uint32_t kua__sample(const kua_sampling *s, const float *logits, size_t words,
                     kua__candidate *candidates, kua__rng *rng);

#endif

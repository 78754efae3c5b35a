/* tensor/softmax_bf16.h - cross-entropy of many rows against a whole item table, in bf16, with both
 * gradients, in one go.
 *
 *     logit = h w^T + bias     [rows, items], which exists only in parts
 *     loss  = sum over rows of  log sum exp(logit) - logit[target]
 *     dh    = each (softmax - one at the target) w
 *     dw    = each (softmax - one at the target)^T h
 *
 * How it works, and why no logit is computed twice, is told in softmax_bf16.c.
 */
#ifndef KUA_TENSOR_SOFTMAX_BF16_H
#define KUA_TENSOR_SOFTMAX_BF16_H

#include "base/base.h"

typedef struct kua__softmax_problem {
    size_t rows, items, dim;
    const float *h, *w;     /* [rows, dim], [items, dim] */
    const float *bias;      /* [items]; NULL: none */
    const uint32_t *target; /* [rows]; KUA__NO_ID: the row does not count */
    float each;             /* the weight of a row's loss in the gradients */
    float *dh, *dw;         /* [rows, dim], [items, dim], overwritten; NULL: not wanted */
    double loss;            /* result: the sum, not weighted */
} kua__softmax_problem;

/* True where the processor multiplies bf16 and the shape fits the kernel. */
bool kua__softmax_bf16_fits(const kua__softmax_problem *p);
/* Floats of scratch memory, aligned to 64 bytes, that the call wants. */
size_t kua__softmax_bf16_scratch(const kua__softmax_problem *p);
/* False where a row's largest logit was so far from what a sample of items let expect that f32 does
 * not hold its exponential: then dh and dw are garbage, and the caller must take its slower way. */
bool kua__softmax_bf16(kua__softmax_problem *p, float *scratch);

#endif

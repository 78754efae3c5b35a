/* encoder/pass.h - the steps of a batch on its way through a model: products, norms, activations.
 *
 * Every member of the crew calls every step with its own number, does its part of it, and waits for
 * the others at its end (kua__barrier), so that a step begins when the one before is complete. A
 * crew of one does everything and waits for nobody.
 *
 * A step that fails keeps its message in the pass, and later steps do nothing.
 */
#ifndef KUA_ENCODER_PASS_H
#define KUA_ENCODER_PASS_H

#include <stdatomic.h>

#include "base/crew.h"
#include "encoder/model.h"

typedef struct pass {
    const kua__model *model;
    const kua__text_batch *batch;
    kua__scratch *const *crew;
    size_t n_crew, rows, tokens; /* rows: tokens, rounded up for products */
    float *x, *wide, *attended;  /* of crew[0] */
    float *logits;               /* of the head for words */
    kua__barrier barrier;
    atomic_bool failed; /* whoever sets it writes `failure` */
    kua__failure failure;
} pass;

/* Runs steps(p, i, i + 1) for every member of the crew at the same time; alone where the threads
 * for that are not to be had. */
kua_status kua__pass_run(pass *p, kua__range_fn steps);

/* Until all members are here. */
void kua__pass_meet(pass *p);
void kua__pass_product(pass *p, size_t member, const kua__dense *product, const float *from,
                       float *to);
/* Of rows of `hidden`; `to` may be `from`. */
void kua__pass_norm(pass *p, size_t member, const kua__norm *norm, const float *from, float *to);
void kua__pass_activate(pass *p, size_t member, kua__activation activation, float *x, size_t cols);
/* Rows of [gate | up], `cols` each, become silu(gate) up. */
void kua__pass_gate(pass *p, size_t member, float *x, size_t cols);

#endif

/* encoder/pass.h - the steps of a batch on its way through a model: products, norms, activations,
 * each cut in parts, one for each member of the crew. */
#ifndef KUA_ENCODER_PASS_H
#define KUA_ENCODER_PASS_H

#include <stdatomic.h>

#include "encoder/model.h"

typedef struct pass {
    const kua__model *model;
    const kua__text_batch *batch;
    kua__scratch *const *crew;
    size_t n_crew, rows, tokens; /* rows: tokens, rounded up for products */
    size_t layer;
    float *x, *wide, *attended; /* of crew[0] */
    const kua__dense *product;  /* of the current step, and what it goes from and to */
    const float *from;
    float *to;
    size_t cols;
    kua__activation activation;
    const kua__norm *norm;
    atomic_bool failed; /* whoever sets it writes status and message */
    kua_status status;
    char message[400];
} pass;

kua_status kua__pass_product(pass *p, const kua__dense *product, const float *from, float *to);
/* Of rows of `hidden`; `to` may be `from`. */
void kua__pass_norm(pass *p, const kua__norm *norm, const float *from, float *to);
/* In place on rows of `cols`. */
void kua__pass_activate(pass *p, kua__activation activation, float *x, size_t cols);
/* Rows [gate | up] of 2 cols to rows silu(gate) up of cols, in place. */
void kua__pass_gate(pass *p, float *x, size_t cols);

#endif

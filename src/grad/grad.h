/* grad/grad.h - automatic differentiation: a tape of matrix operations on a step arena.
 *
 * Everything is a row-major f32 matrix [rows, cols]. Batches are ragged: the tokens of a batch stand one after another
 * as rows, and `kua__ragged` says where each sequence begins; nothing is ever padded.
 *
 *     kua__var *h = kua__linear(t, x, w, b);          operations accept NULL inputs and then do nothing:
 *     h = kua__gelu(t, h);                            the first error stays in the tape, and
 *     kua__var *loss = kua__softmax_loss(t, h, ...);
 *     st = kua__tape_backward(t, loss);               one check at the end reports it
 *
 * Memory: variables live in the tape's arena until kua__tape_reset(); a steady-state step allocates nothing.
 * Threads: a tape belongs to one thread; its operations use the pool of base.
 */
#ifndef KUA_GRAD_GRAD_H
#define KUA_GRAD_GRAD_H

#include "base/base.h"

typedef struct kua__var {
    size_t rows, cols;
    float *value; /* [rows, cols] */
    float *grad;  /* [rows, cols], NULL where no gradient is wanted */
    struct kua__param *param; /* NULL: made by an operation or an input */
} kua__var;

/* A trained matrix. */
typedef struct kua__param {
    char name[64];
    size_t rows, cols;
    float *value, *grad;  /* [rows, cols] */
    float *m, *v;         /* Adam's moments; NULL until the first optimiser step */
    float lr_scale;       /* multiplies the learning rate; 0: frozen */
    float weight_decay;   /* < 0: the optimiser's */
    bool sparse;          /* gradients touch few rows (embedding tables): only those are stepped */
    bool frozen;          /* no gradient is computed */
    uint8_t *touched;     /* [rows], sparse only: rows with a gradient since the last step */
} kua__param;

typedef struct kua__params { /* a model's parameters, in order of creation */
    kua__param **all;
    size_t n, capacity;
    kua__arena arena;
} kua__params;

/* Sequences of a batch: tokens at[i] .. at[i + 1] are sequence i; at[n] == rows of the token matrix. */
typedef struct kua__ragged {
    size_t n;
    const uint32_t *at; /* [n + 1] */
} kua__ragged;

typedef struct kua__tape kua__tape;

#endif

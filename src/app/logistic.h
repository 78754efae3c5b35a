/* app/logistic.h - logistic regression on sparse or dense rows, to the exact minimum.
 *
 *     sum_i weight_i loss(x_i W + b, y_i) + l2 / 2 |W - prior|^2
 *
 * The loss is softmax's where `softmax`, else a sigmoid's for each output. The problem is convex:
 * the result depends on the data alone, not on a seed, a learning rate or a number of epochs.
 */
#ifndef KUA_APP_LOGISTIC_H
#define KUA_APP_LOGISTIC_H

#include "base/base.h"

/* Rows of features: dense, or sparse by rows and, for the gradient, by columns as well. */
typedef struct kua__design {
    size_t rows, cols;
    const float *dense; /* [rows, cols] borrowed; NULL: sparse */
    size_t *at;         /* [rows + 1] */
    uint32_t *col;      /* ascending within a row */
    float *value;
    size_t *turned_at; /* [cols + 1] the same, column by column */
    uint32_t *turned_row;
    float *turned_value;
} kua__design;

/* Makes the columns of a sparse design from its rows. */
kua_status kua__design_turn(kua__design *x);
void kua__design_release(kua__design *x);

typedef struct kua__affine { /* x W + b */
    size_t cols, outs;
    float *w;    /* [cols, outs] */
    float *bias; /* [outs] */
} kua__affine;

kua_status kua__affine_create(kua__affine *m, size_t cols, size_t outs); /* zeros */
void kua__affine_release(kua__affine *m);
/* logits[rows, outs] */
kua_status kua__affine_apply(const kua__affine *m, const kua__design *x, float *logits);
/* Logits to probabilities, in place. */
void kua__probabilities(float *logits, size_t rows, size_t outs, bool softmax);

typedef struct kua__logistic_task {
    const kua__design *x;
    size_t outs;
    bool softmax;
    const float *target;      /* [rows, outs] */
    const uint8_t *held;      /* [rows] 1: for validation, 0: to learn from, 2: neither */
    const uint32_t *group;    /* [rows] stay together in folds */
    const kua__affine *prior; /* NULL: zeros */
    uint64_t seed;
    const kua_monitor *monitor;
} kua__logistic_task;

/* The minimum for one l2 (in units of the rows' mean square length), starting from *m. Rows of
 * learn[rows] other than 0 are left out. */
kua_status kua__logistic_fit(const kua__logistic_task *task, const uint8_t *learn, double l2,
                             kua__affine *m);
/* Chooses l2 by the log loss on the held rows, or in five folds where there are none and few rows,
 * or on a tenth; then fits on all rows to learn from. */
kua_status kua__logistic_choose(const kua__logistic_task *task, kua__affine *m, double *l2);

#endif

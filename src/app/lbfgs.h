/* app/lbfgs.h - the minimum of a smooth function (Liu and Nocedal, "On the limited memory BFGS
 * method", 1989). */
#ifndef KUA_APP_LBFGS_H
#define KUA_APP_LBFGS_H

#include "base/base.h"

/* The value at x[n], and its gradient. */
typedef kua_status (*kua__lbfgs_fn)(void *ctx, const float *x, float *gradient, double *value);

typedef struct kua__lbfgs_options {
    size_t most;       /* steps */
    double small;      /* ends where no element of the gradient is larger */
    double small_gain; /* or where a step gains less than this share of the value */
} kua__lbfgs_options;

/* Changes x[n] to the best place found. */
kua_status kua__lbfgs(kua__lbfgs_fn fn, void *ctx, float *x, size_t n,
                      const kua__lbfgs_options *options);

#endif

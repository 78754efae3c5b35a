/* rec/inverse.h - the inverse of a symmetric positive definite matrix, dense, in place. */
#ifndef KUA_REC_INVERSE_H
#define KUA_REC_INVERSE_H

#include "base/base.h"

/* a[n, n], rows of ld >= n floats: the lower triangle is read, the whole inverse is written. No
 * memory besides. About n^3 floating-point operations (the least there is), nearly all in large
 * matrix products. KUA_INVALID where the matrix is not positive definite, KUA_CANCELED. */
kua_status kua__inverse_spd(float *a, size_t n, size_t ld, const kua_monitor *monitor);

#endif

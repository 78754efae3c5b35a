/* rec/inverse.h - the inverse of a large symmetric positive definite matrix, in its own memory. */
#ifndef KUA_REC_INVERSE_H
#define KUA_REC_INVERSE_H

#include "base/base.h"

/* a[n,n] row-major: its lower triangle is read; on return the whole of a holds the inverse. n^3 multiply-adds in blocks on
 * all threads; memory beside a: two block columns. KUA_INVALID: not positive definite (the message names the row). */
kua_status kua__inverse_spd(float *a, size_t n, const kua_monitor *monitor);

#endif

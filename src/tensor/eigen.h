/* tensor/eigen.h - eigenvalues and eigenvectors of a symmetric matrix, for principal components. */
#ifndef KUA_TENSOR_EIGEN_H
#define KUA_TENSOR_EIGEN_H

#include "base/base.h"

/* a[n,n] symmetric (its lower triangle is read; overwritten). values[n] from the largest down; row
 * i of vectors[n,n] is the eigenvector of values[i], of length 1, its largest element positive.
 * O(n^3) in double precision on the calling thread: 384 x 384 takes a fraction of a second.
 * KUA_INVALID where an element is not finite. */
kua_status kua__eigen_symmetric(size_t n, double *a, double *values, double *vectors);

#endif

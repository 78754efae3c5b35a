/* tensor/lean_kernels.h - rows of weights in the type of their file, against f32 rows. */
#ifndef KUA_TENSOR_LEAN_KERNELS_H
#define KUA_TENSOR_LEAN_KERNELS_H

#include "tensor/lean.h"

/* 32 numbers of a row of x as whole numbers of 21 bits, bytes apart, as the instruction vpdpbusd
 * takes them: x = scale (65536 high + 256 middle + low), exact to 2^-21 of the largest of the 32.
 * So many bits, and 4 products of them with 8-bit weights still fit 32 bits. */
enum { KUA__LEAN_BLOCK = 32 };
typedef struct kua__lean_block {
    _Alignas(64) int8_t high[KUA__LEAN_BLOCK];
    int8_t middle[KUA__LEAN_BLOCK], low[KUA__LEAN_BLOCK];
    float scale, sum, none[2]; /* sum: of x; read as one vector */
} kua__lean_block;

/* By type; NULL: none. What has no kernel is widened by kua__tensor_to_f32() and multiplied. */
typedef struct kua__lean_kernels {
    void (*round)(const float *x, kua__lean_block *out, size_t n); /* n: a multiple of 32 */
    float (*dot_rounded[KUA__DTYPE_COUNT])(const void *row, const kua__lean_block *x, size_t n);
    kua__lean_dot_fn dot[KUA__DTYPE_COUNT];
    void (*widen[KUA__DTYPE_COUNT])(const void *row, float *out, size_t n);
} kua__lean_kernels;

/* An empty table where the processor lacks the set. */
const kua__lean_kernels *kua__lean_kernels_of(kua__isa isa);
const kua__lean_kernels *kua__lean_kernels_avx2(void);
const kua__lean_kernels *kua__lean_kernels_avx512(void);

#endif

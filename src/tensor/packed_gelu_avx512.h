/* packed_gelu_avx512.h - the activation of the kernels of bf16 and int8. */
#ifndef KUA_TENSOR_PACKED_GELU_AVX512_H
#define KUA_TENSOR_PACKED_GELU_AVX512_H

#include <immintrin.h>

/* x Phi(x): Phi as an odd polynomial on -4 .. 4, the same outside as at the ends. Error below
 * 2e-4, a tenth of what 8 bits of mantissa leave of a number of 1. */
static inline __m512 gelu(__m512 x)
{
    __m512 in = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-4.0f)), _mm512_set1_ps(4.0f));
    __m512 z = in * in, p = _mm512_set1_ps(2.27812346e-8f);
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-1.59859115e-6f));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(4.79552876e-5f));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-8.14013241e-4f));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(8.77237928e-3f));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(-6.4573108e-2f));
    p = _mm512_fmadd_ps(p, z, _mm512_set1_ps(3.97883397e-1f));
    return x * _mm512_fmadd_ps(p, in, _mm512_set1_ps(.5f));
}

#endif

/* lean_avx512.c - lean products on vectors of 16 floats; the text is lean_simd.h. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/lean_kernels.h"
#include "tensor/quant.h"

enum { W = 16 };
typedef __m512 vf;

#define vf_set   _mm512_set1_ps
#define vf_load  _mm512_loadu_ps
#define vf_store _mm512_storeu_ps
#define vf_fma   _mm512_fmadd_ps
#define vf_sum   _mm512_reduce_add_ps

static inline float half_at(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_maskz_cvtph_ps(1, _mm_loadu_si16(p))); /* of AVX-512 itself */
}

/* 16 signed bytes */
static inline void floats_of_bytes(vf *v, __m128i bytes)
{
    v[0] = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
}

static inline vf vf_from_bf16(const uint16_t *p)
{
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

static inline vf vf_from_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

#include "tensor/lean_simd.h"

const kua__lean_kernels *kua__lean_kernels_avx512(void)
{
    return &table;
}
#endif

/* lean_avx2.c - lean products on vectors of 8 floats; the text is lean_simd.h. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/lean_kernels.h"
#include "tensor/quant.h"

enum { W = 8 };
typedef __m256 vf;

#define vf_set   _mm256_set1_ps
#define vf_load  _mm256_loadu_ps
#define vf_store _mm256_storeu_ps
#define vf_fma   _mm256_fmadd_ps

static inline float vf_sum(vf x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

static inline float half_at(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_loadu_si16(p)));
}

/* 16 signed bytes */
static inline void floats_of_bytes(vf *v, __m128i bytes)
{
    v[0] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    v[1] = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)));
}

static inline vf vf_from_bf16(const uint16_t *p)
{
    __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

static inline vf vf_from_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}

#define ROUNDED
#include "tensor/lean_simd.h"

const kua__lean_kernels *kua__lean_kernels_avx2(void)
{
    return &table;
}
#endif

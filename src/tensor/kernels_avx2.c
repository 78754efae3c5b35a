/* kernels_avx2.c - the kernels on vectors of 8 floats; the text is kernels_simd.h. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/kernels_tables.h"

enum { W = 8 };
typedef __m256 vf;
typedef __m256i vi;

#define vf_set      _mm256_set1_ps
#define vf_load     _mm256_loadu_ps
#define vf_store    _mm256_storeu_ps
#define vf_fma      _mm256_fmadd_ps  /* a b + c */
#define vf_fnma     _mm256_fnmadd_ps /* c - a b */
#define vf_max      _mm256_max_ps    /* the second where one is not a number */
#define vf_min      _mm256_min_ps
#define vf_sqrt     _mm256_sqrt_ps
#define vi_set      _mm256_set1_epi32
#define vi_add      _mm256_add_epi32
#define vi_xor      _mm256_xor_si256
#define vi_and      _mm256_and_si256
#define vi_shr16(x) _mm256_srli_epi32(x, 16)
#define vi_lanes()  _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
#define vf_round(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vf_abs(x)   _mm256_andnot_ps(vf_set(-0.0f), x)

static inline vi first_lanes(size_t n)
{
    return _mm256_cmpgt_epi32(vi_set((int)n), vi_lanes());
}

static inline vf vf_load_first(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}

static inline void vf_store_first(float *p, vf v, size_t n)
{
    _mm256_maskstore_ps(p, first_lanes(n), v);
}

/* The lanes behind the first n cleared. */
static inline vf vf_only_first(vf v, size_t n)
{
    return _mm256_and_ps(_mm256_castsi256_ps(first_lanes(n)), v);
}

static inline float vf_sum(vf x)
{
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_add_ss(half, _mm_movehdup_ps(half)));
}

static inline float vf_largest(vf x)
{
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    return _mm_cvtss_f32(_mm_max_ss(half, _mm_movehdup_ps(half)));
}

static inline bool vf_any_less(vf a, vf b)
{
    return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_LT_OQ)) != 0;
}

static inline vf vf_where_less(vf a, vf b, vf yes, vf no)
{
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

/* p 2^k for whole k in -126..127; 2^128 is made of two factors */
static inline vf vf_pow2(vf p, vf k)
{
    vi whole = _mm256_cvtps_epi32(k), half = _mm256_srai_epi32(whole, 1);
    vi rest = _mm256_sub_epi32(whole, half);
    vf a = _mm256_castsi256_ps(_mm256_slli_epi32(vi_add(half, vi_set(127)), 23));
    vf b = _mm256_castsi256_ps(_mm256_slli_epi32(vi_add(rest, vi_set(127)), 23));
    return _mm256_mul_ps(_mm256_mul_ps(p, a), b);
}

/* bits and threshold are below 2^16: a signed comparison will do */
static inline vf vf_keep_from(vi bits, vi threshold, vf x)
{
    return _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(threshold, bits)), x);
}

/* High and low words of a * m, a constant in every lane. */
static inline vi vi_mul_wide(vi a, vi m, vi *high)
{
    vi even = _mm256_mul_epu32(a, m), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa);
}

static inline void vf_store_bf16(uint16_t *y, vf x)
{
    vi bits = _mm256_castps_si256(x);
    vi odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), vi_set(1));
    vi rounded = _mm256_srli_epi32(vi_add(bits, vi_add(odd, vi_set(0x7fff))), 16);
    vi quiet = _mm256_or_si256(_mm256_srli_epi32(bits, 16), vi_set(0x40));
    vi nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    rounded = _mm256_blendv_epi8(rounded, quiet, nan);
    __m128i low = _mm256_castsi256_si128(rounded), high = _mm256_extracti128_si256(rounded, 1);
    _mm_storeu_si128((__m128i *)y, _mm_packus_epi32(low, high));
}

static inline vf vf_load_bf16(const uint16_t *x)
{
    vi wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)x));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

#include "tensor/kernels_simd.h"

const kua__kernels kua__kernels_avx2 = {.isa = KUA__ISA_AVX2, .name = "avx2", KUA__KERNEL_TABLE};
#endif

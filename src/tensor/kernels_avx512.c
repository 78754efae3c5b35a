/* kernels_avx512.c - the kernels on vectors of 16 floats; the text is kernels_simd.h. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/kernels_tables.h"

enum { W = 16 };
typedef __m512 vf;
typedef __m512i vi;

#define vf_set      _mm512_set1_ps
#define vf_load     _mm512_loadu_ps
#define vf_store    _mm512_storeu_ps
#define vf_fma      _mm512_fmadd_ps  /* a b + c */
#define vf_fnma     _mm512_fnmadd_ps /* c - a b */
#define vf_max      _mm512_max_ps    /* the second where one is not a number */
#define vf_min      _mm512_min_ps
#define vf_sqrt     _mm512_sqrt_ps
#define vf_sum      _mm512_reduce_add_ps
#define vf_largest  _mm512_reduce_max_ps
#define vi_set      _mm512_set1_epi32
#define vi_add      _mm512_add_epi32
#define vi_xor      _mm512_xor_si512
#define vi_and      _mm512_and_si512
#define vi_shr16(x) _mm512_srli_epi32(x, 16)
#define vi_lanes()  _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
#define vf_round(x) _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vf_abs(x)   _mm512_abs_ps(x)
/* p 2^k for whole k */
#define vf_pow2(p, k) _mm512_scalef_ps(p, k)

static inline __mmask16 first_lanes(size_t n)
{
    return (__mmask16)((1u << n) - 1);
}

static inline vf vf_load_first(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}

static inline void vf_store_first(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), v);
}

/* The lanes behind the first n cleared. */
static inline vf vf_only_first(vf v, size_t n)
{
    return _mm512_maskz_mov_ps(first_lanes(n), v);
}

static inline bool vf_any_less(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ) != 0;
}

static inline vf vf_where_less(vf a, vf b, vf yes, vf no)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}

static inline vf vf_keep_from(vi bits, vi threshold, vf x)
{
    return _mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask(bits, threshold), x);
}

/* High and low words of a * m, a constant in every lane. */
static inline vi vi_mul_wide(vi a, vi m, vi *high)
{
    vi even = _mm512_mul_epu32(a, m), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), m);
    *high = _mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(even, 32), odd);
    return _mm512_mask_blend_epi32(0xaaaa, even, _mm512_slli_epi64(odd, 32));
}

static inline void vf_store_bf16(uint16_t *y, vf x)
{
    vi bits = _mm512_castps_si512(x);
    vi odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), vi_set(1));
    vi rounded = _mm512_srli_epi32(vi_add(bits, vi_add(odd, vi_set(0x7fff))), 16);
    vi quiet = _mm512_or_si512(_mm512_srli_epi32(bits, 16), vi_set(0x40));
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    rounded = _mm512_mask_mov_epi32(rounded, nan, quiet);
    _mm256_storeu_si256((__m256i *)y, _mm512_cvtepi32_epi16(rounded));
}

static inline vf vf_load_bf16(const uint16_t *x)
{
    vi wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)x));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

#include "tensor/kernels_simd.h"

const kua__kernels kua__kernels_avx512 = {
    .isa = KUA__ISA_AVX512, .name = "avx512", KUA__KERNEL_TABLE};
#endif

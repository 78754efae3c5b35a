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

/* ---- whole numbers ----
 *
 * A sum over a block is   d scale sum q (65536 high + 256 middle + low)   and what a type's offset
 * adds to q, times the block's sum of x. Nearly twice as fast as widening 4-bit numbers, which is
 * what a token's time goes into.
 */

static const float LARGEST = 1048575; /* 2^20 - 1 */

/* 16 whole numbers to three signed bytes each. */
static inline void split_bytes(__m512i v, int8_t *high, int8_t *middle, int8_t *low)
{
    __m512i l = _mm512_srai_epi32(_mm512_slli_epi32(v, 24), 24);
    v = _mm512_srai_epi32(_mm512_sub_epi32(v, l), 8);
    __m512i m = _mm512_srai_epi32(_mm512_slli_epi32(v, 24), 24);
    v = _mm512_srai_epi32(_mm512_sub_epi32(v, m), 8);
    _mm_store_si128((__m128i *)high, _mm512_cvtepi32_epi8(v));
    _mm_store_si128((__m128i *)middle, _mm512_cvtepi32_epi8(m));
    _mm_store_si128((__m128i *)low, _mm512_cvtepi32_epi8(l));
}

static void round_block(const float *x, kua__lean_block *out)
{
    __m512 a = _mm512_loadu_ps(x), b = _mm512_loadu_ps(x + 16);
    float most = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(a), _mm512_abs_ps(b)));
    bool tiny = most < 1e-30f; /* nothing that a sum would show, and 1 / most would not be finite */
    __m512 back = _mm512_set1_ps(tiny ? 0 : LARGEST / most);
    __m512i wa = _mm512_cvtps_epi32(a * back), wb = _mm512_cvtps_epi32(b * back);
    split_bytes(wa, out->high, out->middle, out->low);
    split_bytes(wb, out->high + 16, out->middle + 16, out->low + 16);
    out->scale = tiny ? 0 : most / LARGEST;
    out->sum = out->scale * (float)_mm512_reduce_add_epi32(_mm512_add_epi32(wa, wb));
    out->none[0] = out->none[1] = 0;
}

static void round_row(const float *x, kua__lean_block *out, size_t n)
{
    for (size_t i = 0; i < n; i += KUA__LEAN_BLOCK)
        round_block(x + i, out++);
}

/* Adds q[32] x to *sum, and {d scale, o sum of x} to *more, where pair = {d, o, ...}. */
static inline __attribute__((always_inline)) void add_block(__m256i q, const kua__lean_block *x,
                                                            __m128 pair, __m256 *sum, __m128 *more)
{
    __m256i high = _mm256_load_si256((const __m256i *)x->high),
            middle = _mm256_load_si256((const __m256i *)x->middle),
            low = _mm256_load_si256((const __m256i *)x->low);
    __m256i words = _mm256_dpbusd_epi32(_mm256_setzero_si256(), q, high);
    words = _mm256_dpbusd_epi32(_mm256_slli_epi32(words, 8), q, middle);
    words = _mm256_dpbusd_epi32(_mm256_slli_epi32(words, 8), q, low);
    __m128 scaled = _mm_mul_ps(pair, _mm_load_ps(&x->scale));
    *sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(words), _mm256_broadcastss_ps(scaled), *sum);
    *more = _mm_add_ps(*more, scaled);
}

/* The sum, and the offsets' part of it. */
static inline float finish(__m256 sum, __m128 more, float offset)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1))) +
           offset * _mm_cvtss_f32(_mm_shuffle_ps(more, more, 1));
}

/* {d, d, ...} of the two bytes at p, and {d, m, 0, 0} of the four. */
static inline __m128 both_halves(const uint8_t *p)
{
    return _mm_broadcastss_ps(_mm_maskz_cvtph_ps(1, _mm_loadu_si16(p)));
}

static inline __m128 two_halves(const uint8_t *p)
{
    return _mm_maskz_cvtph_ps(3, _mm_loadu_si32(p));
}

static inline __m256i nibbles(const uint8_t *p)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    __m256i wide =
        _mm256_inserti128_si256(_mm256_castsi128_si256(bytes), _mm_srli_epi16(bytes, 4), 1);
    return _mm256_and_si256(wide, _mm256_set1_epi8(15));
}

#define DOT_ROUNDED(type, bytes, q, pair, offset)                                                  \
    static float rounded_##type(const void *row, const kua__lean_block *x, size_t n)               \
    {                                                                                              \
        const uint8_t *b = row;                                                                    \
        __m256 sum = _mm256_setzero_ps(), other = sum;                                             \
        __m128 more = _mm_setzero_ps();                                                            \
        size_t at = 0;                                                                             \
        for (; at + 2 * KUA__LEAN_BLOCK <= n; at += 2 * KUA__LEAN_BLOCK, x += 2) {                 \
            add_block(q, x, pair, &sum, &more);                                                    \
            b += bytes;                                                                            \
            add_block(q, x + 1, pair, &other, &more);                                              \
            b += bytes;                                                                            \
        }                                                                                          \
        if (at < n) add_block(q, x, pair, &sum, &more);                                            \
        return finish(_mm256_add_ps(sum, other), more, offset);                                    \
    }

DOT_ROUNDED(q8_0, 34,
            _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)(b + 2)), _mm256_set1_epi8(-128)),
            both_halves(b), -128)
DOT_ROUNDED(q4_0, 18, nibbles(b + 2), both_halves(b), -8)
DOT_ROUNDED(q4_1, 20, nibbles(b + 4), two_halves(b), 1)

#define ROUNDED                                                                                    \
    .round = round_row,                                                                            \
    .dot_rounded = {                                                                               \
        [KUA__Q8_0] = rounded_q8_0, [KUA__Q4_0] = rounded_q4_0, [KUA__Q4_1] = rounded_q4_1},
#include "tensor/lean_simd.h"

const kua__lean_kernels *kua__lean_kernels_avx512(void)
{
    return &table;
}
#endif

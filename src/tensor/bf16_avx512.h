/* tensor/bf16_avx512.h - pairs of bf16 for vdpbf16ps, shared by the kernels that multiply with it.
 *
 * vdpbf16ps adds a0 b0 + a1 b1 to each f32 lane, where (a0, a1) are neighbours along the summed
 * dimension in one 32-bit lane. Both inputs are therefore packed as pairs, converted from f32 on
 * the way; whatever lies behind an edge becomes zero.
 */
#ifndef KUA_TENSOR_BF16_AVX512_H
#define KUA_TENSOR_BF16_AVX512_H

#include <immintrin.h>

#include "base/base.h"

static inline __mmask16 lanes(size_t n)
{
    return n >= 16 ? 0xffff : (__mmask16)((1u << n) - 1);
}

/* 16 pairs of neighbours from 32 floats, of which n count. */
static inline __m512i pairs_along(const float *x, size_t n)
{
    __m512 low = _mm512_maskz_loadu_ps(lanes(n), x);
    __m512 high = n > 16 ? _mm512_maskz_loadu_ps(lanes(n - 16), x + 16) : _mm512_setzero_ps();
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* 16 pairs (x[i], y[i]); y NULL: zeros. */
static inline __m512i pairs_across(const float *x, const float *y, size_t n)
{
    __m256i low = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes(n), x));
    __m512i pair = _mm512_cvtepu16_epi32(low);
    if (!y) return pair;
    __m256i high = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes(n), y));
    return _mm512_or_si512(pair, _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16));
}

/* r[i] lane j <-> r[j] lane i, in four rounds of exchanging halves of ever larger blocks. */
static inline void transpose16(__m512i r[16])
{
    __m512i t[16];
    for (int i = 0; i < 8; i++) {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for (int i = 0; i < 4; i++) {
        r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
        r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
        r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
    }
    for (int i = 0; i < 8; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    }
}

/* ---- packing: a panel is [pairs along k][32 columns] ---- */

/* A panel from its matrix as stored: rows k, k + 1 of up to 32 columns; `step` lanes between pairs.
 */
static inline void pack_panel_rows(uint32_t *panel, size_t step, const float *b, size_t ldb,
                                   size_t k, size_t n)
{
    for (size_t p = 0; p < k; p += 2, panel += step) {
        const float *x = b + p * ldb, *y = p + 1 < k ? x + ldb : NULL;
        _mm512_store_si512(panel, pairs_across(x, y, n));
        __m512i right = _mm512_setzero_si512();
        if (n > 16) right = pairs_across(x + 16, y ? y + 16 : NULL, n - 16);
        _mm512_store_si512(panel + 16, right);
    }
}

/* A panel from its transpose: up to 32 rows of k neighbours; 16 x 16 pairs at a time, so it has
 * room for a multiple of 16 pairs. */
static inline void pack_panel_transposed(uint32_t *panel, const float *b, size_t ldb, size_t k,
                                         size_t n)
{
    for (size_t half = 0; half < 32; half += 16) {
        for (size_t p = 0; p < k; p += 32) {
            __m512i r[16];
            for (size_t j = 0; j < 16; j++) {
                bool inside = half + j < n;
                r[j] =
                    inside ? pairs_along(b + (half + j) * ldb + p, k - p) : _mm512_setzero_si512();
            }
            transpose16(r);
            for (size_t q = 0; q < 16; q++)
                _mm512_store_si512(panel + (p / 2 + q) * 32 + half, r[q]);
        }
    }
}

/* `tall` rows of k neighbours, `pitch` lanes apart, of which m exist. */
static inline void pack_rows(uint32_t *tile, size_t pitch, size_t tall, const float *a, size_t lda,
                             size_t k, size_t m)
{
    for (size_t i = 0; i < tall; i++) {
        for (size_t p = 0; p < k; p += 32) {
            __m512i v = i < m ? pairs_along(a + i * lda + p, k - p) : _mm512_setzero_si512();
            _mm512_store_si512(tile + i * pitch + p / 2, v);
        }
    }
}

#endif

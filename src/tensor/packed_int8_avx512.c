/* packed_int8_avx512.c - products of 8 bits with vpdpbusd, four numbers of a row of x (unsigned)
 * by four of a column of the weights (signed) into each 32-bit sum; the text is
 * packed_tile_avx512.h. */
#if defined(__x86_64__)
#include <float.h>
#include <immintrin.h>

#include "tensor/packed_gelu_avx512.h"
#include "tensor/packed_low.h"

enum { PER_WORD = 4 };
typedef __m512i sum_v;
#define sum_zero     _mm512_setzero_si512
#define multiply_add _mm512_dpbusd_epi32

/* q = x inverse + zero, x = (q - zero) scale */
typedef struct row_map {
    float inverse, zero, scale;
} row_map;

static void prepare(row_map *map, const float *x, size_t n)
{
    __m512 low[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, high[2] = {low[0], low[0]};
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        for (int j = 0; j < 2; j++) {
            __m512 v = _mm512_loadu_ps(x + i + 16 * j);
            low[j] = _mm512_min_ps(low[j], v);
            high[j] = _mm512_max_ps(high[j], v);
        }
    }
    for (; i < n; i += 16) {
        __mmask16 m = n - i >= 16 ? 0xffff : (__mmask16)((1u << (n - i)) - 1);
        __m512 v = _mm512_maskz_loadu_ps(m, x + i);
        low[0] = _mm512_min_ps(low[0], v);
        high[0] = _mm512_max_ps(high[0], v);
    }
    float least = _mm512_reduce_min_ps(_mm512_min_ps(low[0], low[1]));
    float most = _mm512_reduce_max_ps(_mm512_max_ps(high[0], high[1]));
    float range = most - least;
    range = range > 255 * FLT_MIN ? range : 1;
    map->inverse = 255.0f / range;
    map->scale = range / 255.0f;
    map->zero = (float)(int)(-least * map->inverse + .5f);
}

static inline __m512i quantised(const float *x, __mmask16 m, __m512 inverse, __m512 zero)
{
    return _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_maskz_loadu_ps(m, x), inverse, zero));
}

static inline __mmask16 first_lanes(size_t n, size_t before)
{
    return n >= before + 16 ? 0xffff : n > before ? (__mmask16)((1u << (n - before)) - 1) : 0;
}

/* 64 numbers as bytes. Both packs saturate and go by 128-bit lanes; the permutation undoes that. */
static inline __m512i words_of(const float *x, size_t n, const row_map *map)
{
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512 inverse = _mm512_set1_ps(map->inverse), zero = _mm512_set1_ps(map->zero);
    __m512i a = quantised(x, first_lanes(n, 0), inverse, zero);
    __m512i b = quantised(x + 16, first_lanes(n, 16), inverse, zero);
    __m512i c = quantised(x + 32, first_lanes(n, 32), inverse, zero);
    __m512i d = quantised(x + 48, first_lanes(n, 48), inverse, zero);
    __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(a, b), _mm512_packs_epi32(c, d));
    return _mm512_permutexvar_epi32(order, bytes);
}

static inline __m512 value(const kua__low *w, sum_v sum, const row_map *map, size_t column)
{
    __m512 v = _mm512_fnmadd_ps(_mm512_set1_ps(map->zero), _mm512_load_ps(w->sum + column),
                                _mm512_cvtepi32_ps(sum));
    v = v * _mm512_load_ps(w->scale + column);
    return _mm512_fmadd_ps(v, _mm512_set1_ps(map->scale), _mm512_load_ps(w->bias + column));
}

#include "tensor/packed_tile_avx512.h"

void kua__low_int8_avx512(const kua__low_product *p)
{
    run(p);
}
#endif

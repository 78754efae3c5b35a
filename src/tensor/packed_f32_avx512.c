/* packed_f32_avx512.c - products in f32 with the text of packed_tile_avx512.h: a word is a number.
 */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/bf16_avx512.h"
#include "tensor/packed_low.h"

enum { PER_WORD = 1 };
typedef __m512 sum_v;
#define sum_zero _mm512_setzero_ps

typedef struct row_map {
    char none; /* nothing is to be known of a row */
} row_map;

static inline sum_v multiply_add(sum_v sum, __m512i a, __m512i b)
{
    return _mm512_fmadd_ps((__m512)a, (__m512)b, sum);
}

static inline void prepare(row_map *map, const float *x, size_t n)
{
    (void)map, (void)x, (void)n;
}

static inline __m512i words_of(const float *x, size_t n, const row_map *map)
{
    (void)map;
    return (__m512i)_mm512_maskz_loadu_ps(lanes(n), x);
}

static inline __m512 value(const kua__low *w, sum_v sum, const row_map *map, size_t column)
{
    (void)map;
    return sum + _mm512_load_ps(w->bias + column);
}

/* x Phi(x): Phi - 1/2 is x times a polynomial in u = 2 (x / 5.5)^2 - 1, whose powers stay small.
 * Error below 1e-6. */
static inline __m512 gelu(__m512 x)
{
    static const float c[] = {-0.000911717187f, 0.0025922386f, -0.00251829159f, 0.00247540488f,
                              -0.00629263604f,  0.0114252176f, -0.0153732924f,  0.0200295728f,
                              -0.0259418897f,   0.0321135893f, -0.038804695f,   0.0477356054f,
                              -0.0641719773f,   0.128551945f};
    __m512 in = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-5.5f)), _mm512_set1_ps(5.5f));
    __m512 u = _mm512_fmsub_ps(in * in, _mm512_set1_ps(2 / (5.5f * 5.5f)), _mm512_set1_ps(1));
    __m512 p = _mm512_set1_ps(c[0]);
    for (size_t i = 1; i < KUA__COUNT(c); i++)
        p = _mm512_fmadd_ps(p, u, _mm512_set1_ps(c[i]));
    return x * _mm512_fmadd_ps(p, in, _mm512_set1_ps(.5f));
}

#include "tensor/packed_tile_avx512.h"

void kua__low_f32_avx512(const kua__low_product *p)
{
    run(p);
}
#endif

/* packed_bf16_avx512.c - products of bf16 with vdpbf16ps, two numbers of a row of x by two of a
 * column of the weights into each f32 sum; the text is packed_tile_avx512.h. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/bf16_avx512.h"
#include "tensor/packed_gelu_avx512.h"
#include "tensor/packed_low.h"

enum { PER_WORD = 2 };
typedef __m512 sum_v;
#define sum_zero _mm512_setzero_ps

typedef struct row_map {
    char none; /* nothing is to be known of a row */
} row_map;

static inline sum_v multiply_add(sum_v sum, __m512i a, __m512i b)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

static inline void prepare(row_map *map, const float *x, size_t n)
{
    (void)map, (void)x, (void)n;
}

static inline __m512i words_of(const float *x, size_t n, const row_map *map)
{
    (void)map;
    return pairs_along(x, n);
}

static inline __m512 value(const kua__low *w, sum_v sum, const row_map *map, size_t column)
{
    (void)map;
    return sum + _mm512_load_ps(w->bias + column);
}

#include "tensor/packed_tile_avx512.h"

void kua__low_bf16_avx512(const kua__low_product *p)
{
    run(p);
}
#endif

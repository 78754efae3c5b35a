/* packed_int8_avx2.c - products of 8 bits on vectors of 256 bits, four rows by eight columns at a
 * time.
 *
 * AVX2's own product of bytes (vpmaddubsw) saturates at 16 bits, which 255 * 127 * 2 exceeds. So
 * weights are widened to 16 bits on the way in and vpmaddwd adds pairs:
 *
 *     weights   8 columns of 4 bytes -> two vectors of 4 columns x 4 numbers
 *     x         4 bytes -> 4 numbers of 16 bits, broadcast to all columns
 *     sums      two of each column, which are added at the end
 *
 * The rest (maps of rows, activations) is done a number at a time, by packed_int8_scalar.h.
 */
#if defined(__x86_64__)
#include <assert.h>
#include <immintrin.h>

#include "tensor/packed_int8_scalar.h"

enum { ROWS = 4, NR = KUA__LOW_COLS };

/* sum[rows][8 columns from b on]; q has a pitch of 4 words. */
static inline __attribute__((always_inline)) void
multiply(int32_t sum[][NR], const int16_t *q, const int8_t *b, size_t words, const int rows)
{
    __m256i s[ROWS][2];
    for (int r = 0; r < rows; r++)
        s[r][0] = s[r][1] = _mm256_setzero_si256();
    for (size_t k = 0; k < words; k++, b += 4 * NR) {
        __m256i low = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)b));
        __m256i high = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(b + 16)));
        for (int r = 0; r < rows; r++) {
            long long four = *(const long long *)(const void *)(q + (r * words + k) * 4);
            __m256i x = _mm256_set1_epi64x(four);
            s[r][0] = _mm256_add_epi32(s[r][0], _mm256_madd_epi16(x, low));
            s[r][1] = _mm256_add_epi32(s[r][1], _mm256_madd_epi16(x, high));
        }
    }
    for (int r = 0; r < rows; r++) {
        __m256i both = _mm256_hadd_epi32(s[r][0], s[r][1]); /* columns 0 1 4 5 2 3 6 7 */
        both = _mm256_permute4x64_epi64(both, 0xd8);
        _mm256_storeu_si256((__m256i *)sum[r], both);
    }
}

static void run_rows(const kua__low_product *p, const row_map *map, size_t rows, float *y)
{
    const kua__low *w = p->w;
    const int16_t *q = (const int16_t *)p->tile;
    int32_t sum[ROWS][NR];
    for (size_t j = p->first; j < p->last; j++) {
        const int8_t *b = (const int8_t *)(w->panel + j * w->words * NR);
        for (size_t c = 0; c < NR; c += 8) {
            int32_t(*to)[NR] = (int32_t(*)[NR])(sum[0] + c);
            if (rows == ROWS)
                multiply(to, q, b + 4 * c, w->words, ROWS);
            else
                for (size_t r = 0; r < rows; r++)
                    multiply(to + r, q + r * w->words * 4, b + 4 * c, w->words, 1);
        }
        for (size_t r = 0; r < rows; r++) {
            for (size_t i = 0; i < NR && j * NR + i < w->out; i++)
                finish(w, sum[r][i], map[r], j * NR + i, y + r * w->out);
        }
    }
}

void kua__low_int8_avx2(const kua__low_product *p)
{
    assert(p->rows >= 1 && p->last <= p->w->panels);
    const kua__low *w = p->w;
    row_map map[ROWS];
    for (size_t r = 0; r < p->rows; r += ROWS) {
        size_t rows = KUA__MIN((size_t)ROWS, p->rows - r);
        for (size_t i = 0; i < rows; i++) {
            const float *x = p->x + (r + i) * w->in;
            map[i] = map_of(x, w->in);
            int16_t *q = (int16_t *)p->tile + i * 4 * w->words;
            for (size_t k = 0; k < 4 * w->words; k++)
                q[k] = k < w->in ? (int16_t)quantised(x[k], map[i]) : 0;
        }
        run_rows(p, map, rows, p->y + r * w->out);
    }
}
#endif

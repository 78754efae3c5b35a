/* attention_avx512.c - attention on vectors of 16 floats; the text is attention_simd.h. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/attention.h"

enum { W = 16, ROWS = 8 }; /* 16 sums, 2 keys and a query in 32 registers */
typedef __m512 vf;

#define vf_set        _mm512_set1_ps
#define vf_load       _mm512_loadu_ps
#define vf_store      _mm512_storeu_ps
#define vf_fma        _mm512_fmadd_ps
#define vf_fnma       _mm512_fnmadd_ps
#define vf_max        _mm512_max_ps
#define vf_sum        _mm512_reduce_add_ps
#define vf_largest    _mm512_reduce_max_ps
#define vf_round(x)   _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define vf_pow2(p, k) _mm512_scalef_ps(p, k)

static inline vf vf_first_or(vf x, size_t n, float other)
{
    return _mm512_mask_blend_ps((__mmask16)((1u << n) - 1), vf_set(other), x);
}

/* to[c][r] = from[r][c], 16 by 16, rows from `rows` on being zeros. Pairs of rows are interleaved
 * by 1, 2, 4 and 8 numbers in turn; each step doubles the length of what stands together. */
static inline void transpose_block(float *to, size_t to_stride, const float *from, size_t stride,
                                   size_t rows)
{
    __m512 a[W], b[W];
    for (size_t r = 0; r < W; r++)
        a[r] = r < rows ? _mm512_loadu_ps(from + r * stride) : _mm512_setzero_ps();
    for (int r = 0; r < W; r += 2) {
        b[r] = _mm512_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm512_unpackhi_ps(a[r], a[r + 1]);
    }
    for (int r = 0; r < W; r += 4) {
        for (int i = 0; i < 2; i++) {
            __m512d x = _mm512_castps_pd(b[r + i]), y = _mm512_castps_pd(b[r + 2 + i]);
            a[r + 2 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(x, y));
            a[r + 2 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(x, y));
        }
    }
    for (int r = 0; r < W; r += 8) {
        for (int i = 0; i < 4; i++) {
            b[r + i] = _mm512_shuffle_f32x4(a[r + i], a[r + 4 + i], 0x88);
            b[r + 4 + i] = _mm512_shuffle_f32x4(a[r + i], a[r + 4 + i], 0xdd);
        }
    }
    for (int i = 0; i < 8; i++) {
        _mm512_storeu_ps(to + i * to_stride, _mm512_shuffle_f32x4(b[i], b[8 + i], 0x88));
        _mm512_storeu_ps(to + (8 + i) * to_stride, _mm512_shuffle_f32x4(b[i], b[8 + i], 0xdd));
    }
}

#include "tensor/attention_simd.h"

void kua__attend_avx512(const kua__attend_options *a, const kua__attend_rows *rows, float *out,
                        float *scratch)
{
    attend(a, rows, out, scratch);
}
#endif

/* attention_avx2.c - attention on vectors of 8 floats; the text is attention_simd.h. */
#if defined(__x86_64__)
#include <immintrin.h>

#include "tensor/attention.h"

enum { W = 8, ROWS = 4 }; /* 8 sums, 2 keys and a query in 16 registers */
typedef __m256 vf;

#define vf_set      _mm256_set1_ps
#define vf_load     _mm256_loadu_ps
#define vf_store    _mm256_storeu_ps
#define vf_fma      _mm256_fmadd_ps
#define vf_fnma     _mm256_fnmadd_ps
#define vf_max      _mm256_max_ps
#define vf_round(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

static inline vf vf_pow2(vf p, vf k)
{
    __m256i exponent =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(k), _mm256_set1_epi32(127)), 23);
    return p * _mm256_castsi256_ps(exponent);
}

static inline float vf_sum(vf x)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

static inline float vf_largest(vf x)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_shuffle_ps(s, s, 1)));
}

static inline vf vf_first_or(vf x, size_t n, float other)
{
    __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i first = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
    return _mm256_blendv_ps(vf_set(other), x, _mm256_castsi256_ps(first));
}

/* to[c][r] = from[r][c], 8 by 8, rows from `rows` on being zeros. */
static inline void transpose_block(float *to, size_t to_stride, const float *from, size_t stride,
                                   size_t rows)
{
    __m256 a[W], b[W];
    for (size_t r = 0; r < W; r++)
        a[r] = r < rows ? _mm256_loadu_ps(from + r * stride) : _mm256_setzero_ps();
    for (int r = 0; r < W; r += 2) {
        b[r] = _mm256_unpacklo_ps(a[r], a[r + 1]);
        b[r + 1] = _mm256_unpackhi_ps(a[r], a[r + 1]);
    }
    for (int r = 0; r < W; r += 4) {
        for (int i = 0; i < 2; i++) {
            a[r + 2 * i] = _mm256_shuffle_ps(b[r + i], b[r + 2 + i], 0x44);
            a[r + 2 * i + 1] = _mm256_shuffle_ps(b[r + i], b[r + 2 + i], 0xee);
        }
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(a[i], a[4 + i], 0x20));
        _mm256_storeu_ps(to + (4 + i) * to_stride, _mm256_permute2f128_ps(a[i], a[4 + i], 0x31));
    }
}

#include "tensor/attention_simd.h"

void kua__attend_avx2(const kua__attend_options *a, const kua__attend_rows *rows, float *out,
                      float *scratch)
{
    attend(a, rows, out, scratch);
}
#endif

/* tensor/lean_simd.h - rows of quantised weights against f32, once over `vf`, a vector of W floats;
 * included by lean_avx2.c and lean_avx512.c, which give vf_*, half_at(),
 * floats_of_bytes(), and ROUNDED: more members of the table, or nothing.
 *
 * A block of 32 weights becomes 32 / W vectors in registers (block_*), which either meet x (dot) or
 * are stored (widen). Sums go to two vectors a half block, so that a multiply-add does not wait for
 * the one before.
 */
#include <string.h>

enum { PART = 16 / W, BLOCK = 32 }; /* PART: vectors of half a block */

#define ALWAYS static inline __attribute__((always_inline))

/* One block -> 2 * PART vectors. */
ALWAYS void block_q8_0(const uint8_t *b, vf *v)
{
    vf d = vf_set(half_at(b));
    floats_of_bytes(v, _mm_loadu_si128((const __m128i *)(b + 2)));
    floats_of_bytes(v + PART, _mm_loadu_si128((const __m128i *)(b + 18)));
    for (int i = 0; i < 2 * PART; i++)
        v[i] = v[i] * d;
}

/* Numbers of 4 bits: the low halves of 16 bytes, then the high ones. */
ALWAYS void floats_of_nibbles(const uint8_t *b, vf *v)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)b), low = _mm_set1_epi8(15);
    floats_of_bytes(v, _mm_and_si128(bytes, low));
    floats_of_bytes(v + PART, _mm_and_si128(_mm_srli_epi16(bytes, 4), low));
}

ALWAYS void block_q4_0(const uint8_t *b, vf *v)
{
    float d = half_at(b);
    floats_of_nibbles(b + 2, v);
    for (int i = 0; i < 2 * PART; i++)
        v[i] = (v[i] - vf_set(8)) * vf_set(d);
}

ALWAYS void block_q4_1(const uint8_t *b, vf *v)
{
    vf d = vf_set(half_at(b)), m = vf_set(half_at(b + 2));
    floats_of_nibbles(b + 4, v);
    for (int i = 0; i < 2 * PART; i++)
        v[i] = vf_fma(v[i], d, m);
}

#define KERNELS(type, bytes)                                                                       \
    static float dot_##type(const void *row, const float *x, size_t n)                             \
    {                                                                                              \
        vf v[2 * PART], sum[2 * PART];                                                             \
        const uint8_t *b = row;                                                                    \
        for (int i = 0; i < 2 * PART; i++)                                                         \
            sum[i] = vf_set(0);                                                                    \
        for (size_t at = 0; at < n; at += BLOCK, b += bytes) {                                     \
            block_##type(b, v);                                                                    \
            for (int i = 0; i < 2 * PART; i++)                                                     \
                sum[i] = vf_fma(v[i], vf_load(x + at + i * W), sum[i]);                            \
        }                                                                                          \
        for (int i = 1; i < 2 * PART; i++)                                                         \
            sum[0] = sum[0] + sum[i];                                                              \
        return vf_sum(sum[0]);                                                                     \
    }                                                                                              \
    static void widen_##type(const void *row, float *out, size_t n)                                \
    {                                                                                              \
        vf v[2 * PART];                                                                            \
        const uint8_t *b = row;                                                                    \
        for (size_t at = 0; at < n; at += BLOCK, b += bytes) {                                     \
            block_##type(b, v);                                                                    \
            for (int i = 0; i < 2 * PART; i++)                                                     \
                vf_store(out + at + i * W, v[i]);                                                  \
        }                                                                                          \
    }

KERNELS(q8_0, 34)
KERNELS(q4_0, 18)
KERNELS(q4_1, 20)

/* Numbers of 16 bits, W at a time, then one by one. */
#define DOT_16(type, load, one)                                                                    \
    static float dot_##type(const void *row, const float *x, size_t n)                             \
    {                                                                                              \
        vf sum = vf_set(0), more = sum;                                                            \
        const uint16_t *b = row;                                                                   \
        size_t at = 0;                                                                             \
        for (; at + 2 * W <= n; at += 2 * W) {                                                     \
            sum = vf_fma(load(b + at), vf_load(x + at), sum);                                      \
            more = vf_fma(load(b + at + W), vf_load(x + at + W), more);                            \
        }                                                                                          \
        float total = vf_sum(sum + more);                                                          \
        for (; at < n; at++)                                                                       \
            total += one(b + at) * x[at];                                                          \
        return total;                                                                              \
    }

ALWAYS float bf16_at(const uint16_t *p)
{
    uint16_t half;
    float value;
    memcpy(&half, p, sizeof(half));
    uint32_t bits = (uint32_t)half << 16;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

ALWAYS float f16_at(const uint16_t *p)
{
    return half_at((const uint8_t *)p);
}

DOT_16(bf16, vf_from_bf16, bf16_at)
DOT_16(f16, vf_from_f16, f16_at)

static const kua__lean_kernels table = {
    ROUNDED.dot = {[KUA__Q8_0] = dot_q8_0,
                   [KUA__Q4_0] = dot_q4_0,
                   [KUA__Q4_1] = dot_q4_1,
                   [KUA__BF16] = dot_bf16,
                   [KUA__F16] = dot_f16},
    .widen = {[KUA__Q8_0] = widen_q8_0, [KUA__Q4_0] = widen_q4_0, [KUA__Q4_1] = widen_q4_1},
};

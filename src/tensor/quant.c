/* quant.c - the blocks of ggml, dequantised.
 *
 * Layouts (ggml-common.h of llama.cpp), bytes in the order of the file:
 *
 *     Q8_0   d:2 | q:32                                  x[i] = d q[i]
 *     Q4_0   d:2 | q:16                                  x[i] = d (low(q[i]) - 8), x[16+i]: high
 *     Q4_1   d:2 | m:2 | q:16                            x[i] = d low(q[i]) + m
 *     Q4_K   d:2 | m:2 | scales:12 | q:128               8 groups of 32; two groups share 32 bytes
 *     Q6_K   low:128 | high:64 | scales:16 | d:2         16 groups of 16
 *
 * Q4_K's twelve bytes hold eight scales and eight minima of 6 bits: the first four of each in the
 * low bits of bytes 0..3 and 4..7, the others in halves of bytes 8..11 with their upper two bits on
 * top of bytes 0..7.
 *
 * Q6_K takes four bits of `low` and two of `high`; 128 elements use 64 bytes of `low` (both halves)
 * and 32 of `high` (four pairs of bits each).
 */
#include "tensor/quant.h"

#include <assert.h>
#include <string.h>

static float half_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof(h));
    return kua__half_to_float(h);
}

static void q8_0(const uint8_t *block, float *out)
{
    float d = half_at(block);
    const int8_t *q = (const int8_t *)(block + 2);
    for (int i = 0; i < 32; i++)
        out[i] = d * (float)q[i];
}

static void q4_0(const uint8_t *block, float *out)
{
    float d = half_at(block);
    const uint8_t *q = block + 2;
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)((q[i] & 15) - 8);
        out[16 + i] = d * (float)((q[i] >> 4) - 8);
    }
}

static void q4_1(const uint8_t *block, float *out)
{
    float d = half_at(block), m = half_at(block + 2);
    const uint8_t *q = block + 4;
    for (int i = 0; i < 16; i++) {
        out[i] = d * (float)(q[i] & 15) + m;
        out[16 + i] = d * (float)(q[i] >> 4) + m;
    }
}

static void q4_k_scale(const uint8_t *packed, int group, int *scale, int *minimum)
{
    assert(group >= 0 && group < 8);
    if (group < 4) {
        *scale = packed[group] & 63;
        *minimum = packed[group + 4] & 63;
    } else {
        *scale = (packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4;
        *minimum = packed[group + 4] >> 4 | (packed[group] >> 6) << 4;
    }
}

static void q4_k(const uint8_t *block, float *out)
{
    float d = half_at(block), m = half_at(block + 2);
    for (int group = 0; group < 8; group++) {
        const uint8_t *q = block + 16 + group / 2 * 32;
        int scale, minimum, shift = group % 2 * 4;
        q4_k_scale(block + 4, group, &scale, &minimum);
        float ds = d * (float)scale, mt = m * (float)minimum;
        for (int i = 0; i < 32; i++)
            out[group * 32 + i] = ds * (float)(q[i] >> shift & 15) - mt;
    }
}

static void q6_k(const uint8_t *block, float *out)
{
    const int8_t *scales = (const int8_t *)(block + 192);
    float d = half_at(block + 208);
    for (int i = 0; i < 256; i++) {
        int half = i / 128, quarter = i % 128 / 32, place = i % 32; /* of 256, of 128, of 32 */
        int group = i / 16;
        int low = block[half * 64 + quarter % 2 * 32 + place] >> quarter / 2 * 4 & 15;
        int high = block[128 + half * 32 + place] >> quarter * 2 & 3;
        out[i] = d * (float)scales[group] * (float)((low | high << 4) - 32);
    }
}

void kua__block_to_f32(kua__dtype dtype, const uint8_t *block, float *out)
{
    assert(block && out);
    switch (dtype) {
    case KUA__Q8_0:
        q8_0(block, out);
        break;
    case KUA__Q4_0:
        q4_0(block, out);
        break;
    case KUA__Q4_1:
        q4_1(block, out);
        break;
    case KUA__Q4_K:
        q4_k(block, out);
        break;
    case KUA__Q6_K:
        q6_k(block, out);
        break;
    default:
        assert(!"a quantised type");
    }
}

/* base/random.c - counter-based random numbers.
 *
 * Philox4x32-10 turns (seed, stream, index) into four 32-bit words by ten rounds of multiplication
 * and exclusive or (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3",
 * 2011). There is no state to share: the dropout mask of one position or the sample of one user is
 * the same whoever computes it and in whatever order.
 *
 *     counter = [index low, index high, stream low, stream high]      key = [seed low, seed high]
 */
#include "base/base.h"

#include <assert.h>
#include <math.h>

void kua__philox(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4])
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    uint32_t c0 = (uint32_t)index, c1 = (uint32_t)(index >> 32);
    uint32_t c2 = (uint32_t)stream, c3 = (uint32_t)(stream >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = UINT64_C(0xD2511F53) * c0, p1 = UINT64_C(0xCD9E8D57) * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ key0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ key1;
        c3 = (uint32_t)p0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

kua__rng kua__rng_make(uint64_t seed, uint64_t stream)
{
    return (kua__rng){.seed = seed, .stream = stream};
}

uint32_t kua__rng_u32(kua__rng *rng)
{
    assert(rng);
    if (rng->left == 0) {
        kua__philox(rng->seed, rng->stream, rng->index++, rng->have);
        rng->left = 4;
    }
    return rng->have[4 - rng->left--];
}

/* Lemire, "Fast random integer generation in an interval", 2019: the high word of a product,
 * rejecting the few low words that would favour some values. */
uint32_t kua__rng_below(kua__rng *rng, uint32_t n)
{
    assert(n >= 1);
    uint64_t product = (uint64_t)kua__rng_u32(rng) * n;
    if ((uint32_t)product < n) {
        uint32_t reject = -n % n;
        while ((uint32_t)product < reject) {
            product = (uint64_t)kua__rng_u32(rng) * n;
        }
    }
    return (uint32_t)(product >> 32);
}

float kua__rng_uniform(kua__rng *rng)
{
    return (float)(kua__rng_u32(rng) >> 8) * 0x1p-24f; /* 24 bits: never rounds up to 1 */
}

/* Box and Muller's transform; the sine half is thrown away so that every draw costs two words. */
float kua__rng_normal(kua__rng *rng)
{
    double u = ((double)kua__rng_u32(rng) + 1) * 0x1p-32; /* (0, 1]: the logarithm is finite */
    double angle = (double)kua__rng_u32(rng) * (0x1p-31 * 3.14159265358979323846);
    return (float)(sqrt(-2 * log(u)) * cos(angle));
}

void kua__rng_shuffle(kua__rng *rng, uint32_t *values, size_t n)
{
    assert((values || n == 0) && n <= UINT32_MAX);
    for (size_t i = n; i > 1; i--) {
        size_t j = kua__rng_below(rng, (uint32_t)i);
        uint32_t kept = values[i - 1];
        values[i - 1] = values[j];
        values[j] = kept;
    }
}

/* pool.c - the token vectors of a text to one vector. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "encoder/model.h"
#include "tensor/kernels.h"

static void largest_rows(const float *x, size_t n, size_t hidden, float *out)
{
    for (size_t i = 1; i < n; i++) {
        for (size_t c = 0; c < hidden; c++)
            out[c] = x[i * hidden + c] > out[c] ? x[i * hidden + c] : out[c];
    }
}

void kua__pool_rows(const float *x, size_t n, size_t hidden, kua_pooling pooling, bool unit,
                    float *out)
{
    assert(x && out && hidden >= 1);
    assert(n >= 1 && pooling != KUA_POOLING_MODEL);
    const kua__kernels *k = kua__kernels_get();
    memcpy(out, x + (pooling == KUA_POOLING_LAST ? (n - 1) * hidden : 0), hidden * sizeof(float));
    if (pooling == KUA_POOLING_MAX) largest_rows(x, n, hidden, out);
    if (pooling == KUA_POOLING_MEAN) {
        for (size_t i = 1; i < n; i++)
            k->add(out, out, x + i * hidden, hidden);
        k->scale(out, out, 1.0f / (float)n, hidden);
    }
    if (unit) k->scale(out, out, 1.0f / fmaxf(sqrtf(k->dot(out, out, hidden)), 1e-12f), hidden);
}

/* top.c - the ten best items of a row of scores: most scores are below the tenth of those before
 * them, and are passed over many at a time. */
#include "rec/top.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#include "tensor/kernels.h"

void kua__top_fill(kua__top *top, const float *scores, size_t n)
{
    const kua__kernels *k = kua__kernels_get();
    float bar = -FLT_MAX;
    top->n = 0;
    for (size_t i = 0; (i += k->above(scores + i, bar, n - i)) < n; i++) {
        kua__top_add(top, (uint32_t)i, scores[i]);
        if (top->n == KUA__TOP) bar = top->score[KUA__TOP - 1];
    }
}

double kua__top_ndcg(const kua__top *top, const uint32_t *relevant, size_t n, size_t n_distinct)
{
    double gain = 0, ideal = 0;
    assert(n_distinct >= 1 && n_distinct <= n);
    for (size_t k = 0; k < top->n; k++)
        gain += kua__holds(relevant, n, top->item[k]) ? 1 / log2((double)k + 2) : 0;
    for (size_t k = 0; k < KUA__MIN(n_distinct, (size_t)KUA__TOP); k++)
        ideal += 1 / log2((double)k + 2);
    return gain / ideal;
}

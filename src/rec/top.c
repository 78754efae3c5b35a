/* top.c - the ten best items of a row of scores: most blocks of scores hold none of them, and are
 * passed over with one comparison of LANES numbers. */
#include "rec/top.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

enum { LANES = 16 };

typedef float lanes_f __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef int32_t lanes_i __attribute__((vector_size(LANES * sizeof(int32_t))));

/* The first place from i on, in steps of LANES, whose block may hold a score above bar. */
static size_t skip_low(const float *scores, size_t i, size_t n, float bar)
{
    for (; i + LANES <= n; i += LANES) {
        lanes_i above = *(const lanes_f *)(scores + i) > bar;
        uint64_t word[LANES / 2], any = 0;
        memcpy(word, &above, sizeof(word));
        for (int k = 0; k < LANES / 2; k++)
            any |= word[k];
        if (any) break;
    }
    return i;
}

void kua__top_fill(kua__top *top, const float *scores, size_t n)
{
    float bar = -FLT_MAX;
    top->n = 0;
    for (size_t i = 0; (i = skip_low(scores, i, n, bar)) < n;) {
        for (size_t end = KUA__MIN(i + LANES, n); i < end; i++) {
            if (scores[i] > bar) kua__top_add(top, (uint32_t)i, scores[i]);
        }
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

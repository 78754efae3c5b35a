/* rec/top.h - the ten best items of a row of scores, and their NDCG@10: what settings and epochs
 * are chosen by. (The evaluation proper, with ranks of everything, is the layer eval's.)
 */
#ifndef KUA_REC_TOP_H
#define KUA_REC_TOP_H

#include "base/base.h"

enum { KUA__TOP = 10 };

typedef struct kua__top {
    uint32_t item[KUA__TOP]; /* best first; of equal scores the one that came first */
    float score[KUA__TOP];
    size_t n;
} kua__top;

static inline void kua__top_add(kua__top *top, uint32_t item, float score)
{
    if (top->n == KUA__TOP && score <= top->score[KUA__TOP - 1]) return;
    size_t at = top->n < KUA__TOP ? top->n++ : KUA__TOP - 1;
    for (; at > 0 && top->score[at - 1] < score; at--) {
        top->item[at] = top->item[at - 1];
        top->score[at] = top->score[at - 1];
    }
    top->item[at] = item;
    top->score[at] = score;
}

/* Of scores[n]; an item of -FLT_MAX never appears. */
void kua__top_fill(kua__top *top, const float *scores, size_t n);

/* relevant[n] may name an item twice; n_distinct >= 1 items are meant. */
double kua__top_ndcg(const kua__top *top, const uint32_t *relevant, size_t n, size_t n_distinct);

static inline bool kua__holds(const uint32_t *list, size_t n, uint32_t item)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == item) return true;
    }
    return false;
}

#endif

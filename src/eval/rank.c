/* rank.c - counting and selecting in a row of scores, some ten floats a nanosecond.
 *
 * An evaluation looks at users * items scores (270 million on Beauty), so these three passes must
 * cost less than making the scores. They are written with the compilers' portable vector types:
 * sixteen lanes, lowered to whatever the machine has, with no instruction set named here.
 *
 * Selection keeps a short sorted list. A block of sixteen scores is compared with its worst entry
 * at once; after the first few hundred items nearly no block holds anything better, so the list is
 * seldom touched.
 */
#include "eval/rank.h"

#include <assert.h>
#include <string.h>

enum { LANES = 16 };
typedef float lanes_f __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
typedef int32_t lanes_i __attribute__((vector_size(LANES * sizeof(int32_t))));

static bool any(const lanes_i *hit)
{
    uint64_t word[LANES / 2], sum = 0;
    memcpy(word, hit, sizeof(word));
    for (int i = 0; i < LANES / 2; i++)
        sum |= word[i];
    return sum != 0;
}

static int64_t total(const lanes_i *count)
{
    int64_t sum = 0;
    for (int i = 0; i < LANES; i++)
        sum += (*count)[i];
    return sum;
}

size_t kua__scores_bad(const float *score, size_t n)
{
    assert(score || n == 0);
    size_t i = 0;
    lanes_i bad = {0};
    for (; i + LANES <= n; i += LANES) {
        lanes_f x = *(const lanes_f *)(score + i);
        lanes_f zero = x - x; /* nan for nan and infinities */
        bad |= zero != zero;
    }
    size_t from = any(&bad) ? 0 : i;
    for (i = from; i < n; i++) {
        float zero = score[i] - score[i];
        if (zero != zero) return i;
    }
    return n;
}

float kua__rank_of(const float *score, size_t n, float pivot)
{
    assert(score);
    assert(n >= 1 && n < (size_t)INT32_MAX);
    lanes_i above = {0}, equal = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes_f x = *(const lanes_f *)(score + i);
        above -= x > pivot; /* a true lane is -1 */
        equal -= x == pivot;
    }
    int64_t n_above = total(&above), n_equal = total(&equal);
    for (; i < n; i++) {
        n_above += score[i] > pivot;
        n_equal += score[i] == pivot;
    }
    assert(n_equal >= 1); /* the item itself */
    return (float)n_above + (float)(n_equal - 1) / 2;
}

/* Puts (item, score) in its place among the `have` best; the worst falls out where the list is
 * full. */
static size_t insert(uint32_t *item, float *best, size_t have, size_t k, uint32_t i, float score)
{
    assert(have < k || best[k - 1] < score);
    size_t at = have < k ? have++ : k - 1;
    for (; at > 0 && best[at - 1] < score; at--) {
        best[at] = best[at - 1];
        item[at] = item[at - 1];
    }
    best[at] = score;
    item[at] = i;
    return have;
}

size_t kua__top_k(const float *score, size_t n, float floor, uint32_t *item, float *best, size_t k)
{
    assert(k >= 1 && item && best);
    assert(n < UINT32_MAX);
    assert(score || n == 0);
    size_t have = 0, i = 0;
    float bar = floor; /* what a score has to exceed */
    while (i < n) {
        if (i + LANES <= n) {
            lanes_i hit = *(const lanes_f *)(score + i) > bar;
            if (!any(&hit)) {
                i += LANES;
                continue;
            }
        }
        for (size_t end = i + LANES < n ? i + LANES : n; i < end; i++) {
            if (score[i] > bar) {
                have = insert(item, best, have, k, (uint32_t)i, score[i]);
                bar = have == k ? best[k - 1] : floor;
            }
        }
    }
    return have;
}

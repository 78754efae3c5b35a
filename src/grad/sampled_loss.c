/* sampled_loss.c - softmax over a sample of the catalogue, corrected for how it was drawn.
 *
 * With a million items the table alone is more work than the rest of a step. The softmax then runs
 * over candidates: the batch's own targets, which are the popular items, and uniform draws, which
 * keep every item moving. An item that is a candidate more often would be pushed down more often,
 * so each logit is lowered by the log of its chance to be one,
 *
 *     chance(j) = 1 - exp(-(n share_j + uniform / n_items)),
 *
 * the Poisson form of "at least once in n targets and `uniform` draws". Every candidate appears
 * once: with the correction a duplicate would count twice.
 *
 * Candidates are kept in ascending order, found by marking a bit per item: two passes over
 * n_items / 64 words, no sorting, no hash table, the same for any number of threads.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>

static void mark(uint64_t *bits, uint32_t item)
{
    bits[item / 64] |= 1ull << item % 64;
}

static void mark_uniform(kua__tape *t, uint64_t *bits, size_t n_items, size_t uniform)
{
    kua__rng rng = kua__rng_make(kua__tape_seed(t), kua__tape_stream(t));
    for (size_t i = 0; i < uniform; i++)
        mark(bits, kua__rng_below(&rng, (uint32_t)n_items));
}

/* place[w]: how many bits are set before word w. Returns how many there are. */
static size_t count_bits(const uint64_t *bits, size_t words, uint32_t *place)
{
    size_t n = 0;
    for (size_t w = 0; w < words; w++) {
        place[w] = (uint32_t)n;
        n += (size_t)__builtin_popcountll(bits[w]);
    }
    return n;
}

static uint32_t place_of(const uint64_t *bits, const uint32_t *place, uint32_t item)
{
    assert(bits[item / 64] >> item % 64 & 1); /* marked: else its place is another's */
    uint64_t before = bits[item / 64] & ((1ull << item % 64) - 1);
    return place[item / 64] + (uint32_t)__builtin_popcountll(before);
}

static void list_items(const uint64_t *bits, size_t words, uint32_t *item)
{
    size_t n = 0;
    for (size_t w = 0; w < words; w++) {
        for (uint64_t left = bits[w]; left; left &= left - 1)
            item[n++] = (uint32_t)(w * 64 + (size_t)__builtin_ctzll(left));
    }
}

static bool mark_targets(kua__tape *t, uint64_t *bits, size_t n_items, const uint32_t *target,
                         size_t n, size_t *counted)
{
    for (size_t i = 0; i < n; i++) {
        if (target[i] == KUA__NO_ID) continue;
        if (target[i] >= n_items) {
            kua__tape_fail(t, KUA_INVALID, "sampled_loss: target[%zu] is %u, there are %zu items",
                           i, target[i], n_items);
            return false;
        }
        mark(bits, target[i]);
        ++*counted;
    }
    return true;
}

static void fill_log_q(kua__candidates *c, size_t n_items, const float *share, size_t uniform,
                       size_t counted)
{
    double each = (double)uniform / (double)n_items;
    for (size_t i = 0; i < c->n; i++) {
        double expected = (double)counted * share[c->item[i]] + each;
        assert(share[c->item[i]] >= 0);
        c->log_q[i] =
            (float)log(fmax(-expm1(-expected), 1e-9)); /* a target that share says is none */
    }
}

kua__candidates kua__draw_candidates(kua__tape *t, size_t n_items, const float *share,
                                     size_t uniform, uint32_t *target, size_t n)
{
    kua__candidates c = {0};
    size_t words = (n_items + 63) / 64, counted = 0;
    assert(n_items >= 1 && n_items < KUA__NO_ID && share);
    assert(t && (target || n == 0));
    uint64_t *bits = kua__tape_alloc(t, words * sizeof(*bits));
    uint32_t *place = kua__tape_alloc(t, words * sizeof(*place));
    if (!bits || !place) return c;
    memset(bits, 0, words * sizeof(*bits));
    if (!mark_targets(t, bits, n_items, target, n, &counted)) return c;
    mark_uniform(t, bits, n_items, uniform);
    c.n = count_bits(bits, words, place);
    uint32_t *item = kua__tape_alloc(t, c.n * sizeof(*item));
    c.log_q = kua__tape_floats(t, c.n, 1);
    if (!item || !c.log_q) return c;
    c.item = item;
    list_items(bits, words, item);
    fill_log_q(&c, n_items, share, uniform, counted);
    for (size_t i = 0; i < n; i++) {
        if (target[i] != KUA__NO_ID) target[i] = place_of(bits, place, target[i]);
    }
    return c;
}

kua__var *kua__sampled_loss(kua__tape *t, kua__var *h, kua__var *w,
                            const kua__candidates *candidates, const uint32_t *target)
{
    assert(candidates);
    if (!h || !w) return NULL;
    if (w->rows != candidates->n)
        return kua__tape_fail(t, KUA_SHAPE, "sampled_loss: w is %zux%zu, there are %zu candidates",
                              w->rows, w->cols, candidates->n);
    float *bias = kua__tape_floats(t, w->rows, 1);
    if (!bias) return NULL;
    kua__kernels_get()->scale(bias, candidates->log_q, -1, w->rows);
    return kua__softmax_loss_biased(t, h, w, bias, target);
}

/* sample.c - temperature, top-k, top-p (Holtzman et al., "The curious case of neural text
 * degeneration", 2020), in that order, as the reference library applies them.
 *
 * Words whose probability is e^-30 of the best one's are not looked at: together they are drawn
 * less often than once in 10^8 tokens, and sorting 50,000 words would take longer than computing
 * them.
 */
#include "encoder/sample.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static const float FAR = 30; /* natural logarithms below the best word */

kua_status kua__sampling_check(const kua_sampling *s, size_t words)
{
    if (!(s->temperature >= 0 && s->temperature <= 100))
        return kua__fail(KUA_INVALID, "generator: temperature is %g, expected 0..100",
                         (double)s->temperature);
    if (!(s->top_p >= 0 && s->top_p <= 1))
        return kua__fail(KUA_INVALID, "generator: top_p is %g, expected 0..1", (double)s->top_p);
    if (s->top_k > words)
        return kua__fail(KUA_INVALID, "generator: top_k is %zu, expected 0..%zu", s->top_k, words);
    return KUA_OK;
}

static uint32_t likeliest(const float *logits, size_t words)
{
    size_t best = 0;
    for (size_t i = 1; i < words; i++)
        best = logits[i] > logits[best] ? i : best;
    return (uint32_t)best;
}

/* Likeliest first; equal ones by number, so that results repeat. */
static int by_logit(const void *a, const void *b)
{
    const kua__candidate *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* How many of the first n candidates reach `share` of their weight; `total`: the weight of those.
 */
static size_t cut(const kua__candidate *c, size_t n, float scale, double share, double *total)
{
    double all = 0, sum = 0;
    for (size_t i = 0; i < n; i++)
        all += exp((double)((c[i].logit - c[0].logit) * scale));
    for (size_t i = 0; i < n; i++) {
        sum += exp((double)((c[i].logit - c[0].logit) * scale));
        *total = sum;
        if (share < 1 && sum >= share * all) return i + 1;
    }
    return n;
}

uint32_t kua__sample(const kua_sampling *s, const float *logits, size_t words,
                     kua__candidate *candidates, kua__rng *rng)
{
    assert(s && logits && words >= 1 && candidates && rng);
    uint32_t best = likeliest(logits, words);
    if (s->temperature == 0 || s->top_k == 1) return best;
    float scale = 1 / s->temperature, bar = logits[best] - FAR * s->temperature;
    size_t n = 0;
    for (size_t i = 0; i < words; i++) {
        if (logits[i] >= bar) candidates[n++] = (kua__candidate){(uint32_t)i, logits[i]};
    }
    if (n == 0) return best; /* the best one is not a number */
    qsort(candidates, n, sizeof(*candidates), by_logit);
    if (s->top_k) n = KUA__MIN(n, s->top_k);
    double total = 0, share = s->top_p > 0 ? (double)s->top_p : 1;
    n = cut(candidates, n, scale, share, &total);
    double left = (double)kua__rng_uniform(rng) * total;
    for (size_t i = 0; i + 1 < n; i++) {
        left -= exp((double)((candidates[i].logit - candidates[0].logit) * scale));
        if (left < 0) return candidates[i].id;
    }
    return candidates[n - 1].id;
}

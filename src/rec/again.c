/* again.c - personal frequency and popularity, mixed into a row of scores.
 *
 * The rate of an item is smoothed with PRIOR buyers who behave like the average item's, so that an
 * item with two buyers is not taken at its word. Popularity counts buyers, not purchases: one
 * household that buys baby food every week says nothing about the others.
 */
#include "rec/again.h"

#include <assert.h>
#include <math.h>

#include "rec/common.h"
#include "tensor/kernels.h"

enum { PRIOR = 5 };

static const float TIE_BREAK = 1e-6F;

static void count(const kua__pairs *users, float *buyers, float *again)
{
    for (size_t i = 0; i < users->n; i++) {
        buyers[users->col[i]] += 1;
        again[users->col[i]] += users->weight[i] > 1 ? 1 : 0;
    }
}

kua_status kua__again_learn(kua__again *a, const kua__pairs *users)
{
    assert(!a->rate && !a->popularity);
    a->n_rate = a->n_popularity = users->n_cols;
    KUA__TRY(KUA__NEW_ZEROED(&a->rate, a->n_rate, "item rates"));
    KUA__TRY(KUA__NEW_ZEROED(&a->popularity, a->n_popularity, "item counts"));
    count(users, a->popularity, a->rate);
    double buyers = 0, again = 0;
    float most = 1;
    for (size_t i = 0; i < a->n_rate; i++) {
        buyers += (double)a->popularity[i];
        again += (double)a->rate[i];
        most = KUA__MAX(most, a->popularity[i]);
    }
    double mean = buyers > 0 ? again / buyers : 0;
    for (size_t i = 0; i < a->n_rate; i++) {
        double rate = ((double)a->rate[i] + PRIOR * mean) / ((double)a->popularity[i] + PRIOR);
        a->rate[i] = (float)rate;
        a->popularity[i] *= TIE_BREAK / most;
    }
    return KUA_OK;
}

/* 1 / the largest score; 0 where no score is above 0, and then all scores count as 0. */
static float scale_of(const float *scores, size_t n)
{
    float top = n ? kua__kernels_get()->max(scores, n) : 0;
    return top > 1e-20F ? 1 / top : 0;
}

kua_status kua__again_finish(const kua__again *a, const kua__query *query, kua__bag *bag,
                             float *scores)
{
    size_t n = a->n_popularity;
    const kua__kernels *k = kua__kernels_get();
    k->scale(scores, scores, scale_of(scores, n), n);
    k->add(scores, scores, a->popularity, n);
    if (a->weight <= 0) return KUA_OK;
    kua__weighing weighing = {a->half_life, a->decay, 1};
    KUA__TRY(kua__bag_fill(bag, &query->target, &weighing, query->now, n));
    for (size_t i = 0; i < bag->n; i++) {
        double rate = pow((double)a->rate[bag->item[i]], a->power);
        scores[bag->item[i]] += (float)(a->weight * (double)bag->weight[i] * rate);
    }
    return KUA_OK;
}

/* bootstrap.c - how sure is a mean over users, and a difference of two of them.
 *
 * The users of a test are a sample of the users there could have been. Drawing as many again from
 * them, with replacement, 2,000 times, shows how much a mean moves with that choice (Efron,
 * Tibshirani, "An Introduction to the Bootstrap", 1993); the middle 95 % of the replicates are the
 * interval. Two models are compared on the same draws, so that what is hard for both cancels out.
 *
 *     resample b:  weight[u] = how often user u was drawn      n draws of a counter-based
 *                                                              generator, stream b
 *     replicate    sum over u of weight[u] * column[u] / n     for every column, while the
 *                                                              weights are in cache
 *
 * Resamples are shared out among threads; each depends on (seed, b, n) alone, so results repeat bit
 * for bit.
 */
#include "eval/eval.h"

#include <assert.h>
#include <math.h>

enum { LANES = 16, USERS_PER_SUM = 2048 };
typedef float lanes_f __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

typedef struct sampler {
    const float *const *columns;
    size_t n_columns, n, resamples;
    uint64_t seed;
    float *weight; /* [threads, n] */
    double *out;
} sampler;

static void draw_weights(const sampler *s, size_t b, float *weight)
{
    memset(weight, 0, s->n * sizeof(*weight));
    uint32_t word[4];
    for (size_t k = 0; k < s->n; k += 4) {
        kua__philox(s->seed, b, k / 4, word);
        for (size_t j = 0; j < KUA__MIN((size_t)4, s->n - k); j++)
            weight[(uint64_t)word[j] * s->n >> 32] +=
                1; /* bias below n / 2^32: nothing beside the noise */
    }
}

/* A float sum over two thousand users at a time, those in double: fast, and exact enough to compare
 * means. */
static double weighted_sum(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t from = 0; from < n; from += USERS_PER_SUM) {
        size_t i = from, to = KUA__MIN(n, from + USERS_PER_SUM);
        lanes_f part = {0};
        for (; i + LANES <= to; i += LANES)
            part += *(const lanes_f *)(a + i) * *(const lanes_f *)(b + i);
        for (int j = 0; j < LANES; j++)
            sum += part[j];
        for (; i < to; i++)
            sum += (double)a[i] * b[i];
    }
    return sum;
}

static void resample(void *ctx, int thread, size_t first, size_t last)
{
    const sampler *s = ctx;
    float *weight = s->weight + (size_t)thread * s->n;
    for (size_t b = first; b < last; b++) {
        draw_weights(s, b, weight);
        for (size_t c = 0; c < s->n_columns; c++)
            s->out[c * s->resamples + b] = weighted_sum(weight, s->columns[c], s->n) / (double)s->n;
    }
}

kua_status kua__bootstrap(const float *const *columns, size_t n_columns, size_t n, size_t resamples,
                          uint64_t seed, double *out)
{
    assert(columns && out);
    assert(n >= 1 && n < UINT32_MAX && resamples >= 1);
    sampler s = {.columns = columns,
                 .n_columns = n_columns,
                 .n = n,
                 .resamples = resamples,
                 .seed = seed,
                 .out = out};
    KUA__TRY(KUA__NEW_ARRAY(&s.weight, (size_t)kua__threads() * n, "bootstrap weights"));
    kua__parallel_chunks(resamples, 8, resample, &s);
    kua__free(s.weight);
    return KUA_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Quantile of sorted values, linear between neighbours. */
static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    double rest = at - (double)i;
    return i + 1 < n ? sorted[i] * (1 - rest) + sorted[i + 1] * rest : sorted[n - 1];
}

kua__interval kua__interval_make(double mean, const double *replicates, const double *other,
                                 size_t resamples, double *scratch)
{
    assert(replicates && scratch);
    assert(resamples >= 1);
    size_t below = 0, above = 0;
    for (size_t b = 0; b < resamples; b++) {
        scratch[b] = replicates[b] - (other ? other[b] : 0);
        below += scratch[b] <= 0;
        above += scratch[b] >= 0;
    }
    qsort(scratch, resamples, sizeof(*scratch), by_value);
    double n = (double)resamples, p = 2 * (double)KUA__MIN(below, above) / n;
    return (kua__interval){
        .mean = mean,
        .low = quantile(scratch, resamples, .025),
        .high = quantile(scratch, resamples, .975),
        .p = fmin(1, fmax(p, 1 / n)),
    };
}

kua_status kua__interval_difference(const float *a, const float *b, size_t n, size_t resamples,
                                    uint64_t seed, kua__interval *out)
{
    assert(a && b && out);
    float *difference = NULL;
    double *replicates = NULL, sum = 0;
    KUA__TRY(KUA__NEW_ARRAY(&difference, n, "differences of users"));
    kua_status st = KUA__NEW_ARRAY(&replicates, 2 * resamples, "bootstrap replicates");
    for (size_t u = 0; u < n; u++) {
        difference[u] = a[u] - b[u];
        sum += difference[u];
    }
    if (!st) {
        const float *column = difference;
        st = kua__bootstrap(&column, 1, n, resamples, seed, replicates);
    }
    if (!st)
        *out = kua__interval_make(sum / (double)n, replicates, NULL, resamples,
                                  replicates + resamples);
    kua__free(difference);
    kua__free(replicates);
    return st;
}

/* bootstrap.c - how sure is a mean over users, and a difference of two of them.
 *
 * The users of a test are a sample of the users there could have been. Drawing as many again from
 * them, with replacement, 2,000 times, shows how much a mean moves with that choice (Efron,
 * Tibshirani, "An Introduction to the Bootstrap", 1993); the middle 95 % of the replicates are the
 * interval. Two models are compared on the same draws, so that what is hard for both cancels out.
 *
 *     resample b   weight[b, u] = how often user u was drawn    n draws of a counter-based
 *                                                               generator, stream b
 *     replicates   sum over u of column[c, u] * weight[b, u] / n
 *
 * For ten models and all their metrics the sums are 40 billion products, so they are made as a
 * matrix product: some resamples at a time, over USERS users at a time, summed in double between
 * those. Groups of resamples are shared out among threads; each depends on (seed, b, n) alone, so
 * results repeat bit for bit.
 */
#include "eval/eval.h"

#include <assert.h>
#include <math.h>

#include "tensor/gemm.h"

/* Sums of floats: what differs by less than this does not differ. */
#define ZERO 1e-7

/* USERS: a part of the sums is float, and stays short enough for that. A group is as many resamples
 * as share one matrix product: WEIGHTS floats of weights (8 MiB) a thread where users allow it. */
enum { USERS = 1024, GROUP_MIN = 4, GROUP_MAX = 64, WEIGHTS = 1 << 21 };

typedef struct sampler {
    const float *const *columns;
    size_t n_columns, n; /* columns; users */
    size_t resamples, group;
    uint64_t seed;
    float *weight;      /* [threads, group, n] */
    float *packed;      /* [threads, n_columns, USERS] */
    float *part;        /* [threads, n_columns, group] */
    double *sum;        /* [threads, n_columns, group] */
    kua_status *status; /* [threads] */
    double *out;        /* [n_columns, resamples] */
} sampler;

static void draw_weights(const sampler *s, size_t b, float *weight)
{
    assert(b < s->resamples);
    /* Four words at a time: the generator's block. Word k of resample b is the same whichever
     * thread draws it, and for whichever columns. */
    memset(weight, 0, s->n * sizeof(*weight));
    uint32_t word[4];
    for (size_t k = 0; k < s->n; k += 4) {
        kua__philox(s->seed, b, k / 4, word);
        for (size_t j = 0; j < KUA__MIN((size_t)4, s->n - k); j++)
            weight[(uint64_t)word[j] * s->n >> 32] += 1; /* bias below n / 2^32: less than noise */
    }
}

/* sum[c, g] over all users, for `n_group` resamples whose weights are drawn. */
static kua_status sum_group(const sampler *s, int thread, size_t n_group, double *sum)
{
    assert(n_group <= s->group);
    const float *weight = s->weight + (size_t)thread * s->group * s->n;
    float *packed = s->packed + (size_t)thread * s->n_columns * USERS;
    float *part = s->part + (size_t)thread * s->n_columns * s->group;
    memset(sum, 0, s->n_columns * s->group * sizeof(*sum));
    for (size_t from = 0; from < s->n; from += USERS) {
        size_t n_users = KUA__MIN((size_t)USERS, s->n - from);
        for (size_t c = 0; c < s->n_columns; c++)
            memcpy(packed + c * USERS, s->columns[c] + from, n_users * sizeof(*packed));
        KUA__TRY(kua__gemm(false, true, s->n_columns, n_group, n_users, 1, packed, USERS,
                           weight + from, s->n, 0, part, s->group));
        for (size_t c = 0; c < s->n_columns; c++) {
            for (size_t g = 0; g < n_group; g++)
                sum[c * s->group + g] += part[c * s->group + g];
        }
    }
    return KUA_OK;
}

static void resample(void *ctx, int thread, size_t first, size_t last)
{
    const sampler *s = ctx;
    float *weight = s->weight + (size_t)thread * s->group * s->n;
    double *sum = s->sum + (size_t)thread * s->n_columns * s->group;
    assert(last - first <= s->group);
    for (size_t b = first; b < last; b++)
        draw_weights(s, b, weight + (b - first) * s->n);
    kua_status st = sum_group(s, thread, last - first, sum);
    if (st) s->status[thread] = st;
    for (size_t c = 0; !st && c < s->n_columns; c++) {
        for (size_t b = first; b < last; b++)
            s->out[c * s->resamples + b] = sum[c * s->group + b - first] / (double)s->n;
    }
}

static kua_status run_sampler(sampler *s)
{
    size_t threads = (size_t)kua__threads();
    size_t n_sums = threads * s->n_columns * s->group;
    size_t n_weights = threads * s->group * s->n, n_packed = threads * s->n_columns * USERS;
    KUA__TRY(KUA__NEW_ARRAY(&s->weight, n_weights, "bootstrap weights"));
    KUA__TRY(KUA__NEW_ARRAY(&s->packed, n_packed, "bootstrap columns"));
    KUA__TRY(KUA__NEW_ARRAY(&s->part, n_sums, "bootstrap sums"));
    KUA__TRY(KUA__NEW_ARRAY(&s->sum, n_sums, "bootstrap sums"));
    KUA__TRY(KUA__NEW_ZEROED(&s->status, threads, "thread states"));
    kua__parallel_chunks(s->resamples, s->group, resample, s);
    for (size_t t = 0; t < threads; t++) {
        /* the message stayed with the worker */
        if (s->status[t] == KUA_NOMEM) return kua__fail_nomem(0, "a bootstrap's products");
        if (s->status[t]) return kua__fail(s->status[t], "bootstrap: a matrix product failed");
    }
    return KUA_OK;
}

kua_status kua__bootstrap(const float *const *columns, size_t n_columns, size_t n, size_t resamples,
                          uint64_t seed, double *out)
{
    assert(columns && out);
    assert(n_columns >= 1 && resamples >= 1);
    assert(n >= 1 && n < UINT32_MAX);
    sampler s = {.columns = columns,
                 .n_columns = n_columns,
                 .n = n,
                 .resamples = resamples,
                 .group = KUA__MAX(GROUP_MIN, KUA__MIN(GROUP_MAX, WEIGHTS / n)),
                 .seed = seed,
                 .out = out};
    kua_status st = run_sampler(&s);
    kua__free(s.weight);
    kua__free(s.packed);
    kua__free(s.part);
    kua__free(s.sum);
    kua__free(s.status);
    return st;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Quantile of sorted values, linear between neighbours. */
static double quantile(const double *sorted, size_t n, double q)
{
    assert(n >= 1 && q >= 0 && q <= 1);
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
        /* On the edge counts on both sides: equal models get p = 1, not 0. */
        below += scratch[b] <= ZERO;
        above += scratch[b] >= -ZERO;
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
    assert(n >= 1 && resamples >= 1);
    float *difference = NULL;
    double *replicates = NULL, sum = 0;
    KUA__TRY(KUA__NEW_ARRAY(&difference, n, "differences of users"));
    size_t n_replicates = 2 * resamples; /* half of it is room to sort in */
    kua_status st = KUA__NEW_ARRAY(&replicates, n_replicates, "bootstrap replicates");
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

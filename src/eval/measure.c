/* measure.c - metrics of one question from the ranks of its relevant items.
 *
 * Ranks are 0-based and may be halves, because an item shares its place with those of equal score
 * (eval.h). With r the sorted ranks of R relevant items, and m = min(k, R):
 *
 *     recall@k = |{r < k}| / m
 *     hit@k    = 1 if any r < k
 *     mrr@k    = 1 / (1 + r[0]) if r[0] < k
 *     ndcg@k   = sum over r < k of 1 / log2(r + 2)  /  the same sum for ranks 0 .. m - 1
 *                (Jaervelin, Kekaelaeinen, "Cumulated gain-based evaluation", 2002)
 *     map@k    = sum over r[j] < k of (j + 1) / (r[j] + 1)  /  m
 *
 * Invariant: every value is in 0..1. Ties could break it (2k relevant items of one score all have
 * rank k - 1/2, which makes 2k "hits" among k places), so sums are cut at what the ideal list would
 * reach.
 */
#include "eval/eval.h"

#include <assert.h>
#include <math.h>

const uint32_t kua__cutoff[KUA__CUTOFFS] = {5, 10, 20};

static const char *const measure_names[KUA__MEASURES] = {
    "recall@5", "recall@10", "recall@20", "ndcg@5",        "ndcg@10",    "ndcg@20",
    "mrr@5",    "mrr@10",    "mrr@20",    "map@5",         "map@10",     "map@20",
    "hit@5",    "hit@10",    "hit@20",    "popularity@10", "novelty@10", "diversity@10",
};

const char *kua__measure_name(int measure)
{
    assert(measure >= 0 && measure < KUA__MEASURES);
    return measure_names[measure];
}

bool kua__measure_parse(const char *name, int *measure)
{
    assert(name && measure);
    for (int m = 0; m < KUA__MEASURES; m++) {
        if (kua__streq(name, measure_names[m])) {
            *measure = m;
            return true;
        }
    }
    return false;
}

static int by_rank(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Of a relevant item at this rank, 0-based. */
static double gain(double rank)
{
    return 1.0 / log2(rank + 2.0);
}

static void measure_at(const float *rank, size_t n, uint32_t k, float *out)
{
    assert(n >= 1 && k >= 1);
    size_t m = KUA__MIN((size_t)k, n), hits = 0;
    double dcg = 0, precision = 0, ideal = 0;
    for (; hits < n && rank[hits] < (float)k; hits++) {
        dcg += gain(rank[hits]);
        precision += fmin(1.0, ((double)hits + 1) / (rank[hits] + 1.0));
    }
    for (size_t i = 0; i < m; i++)
        ideal += gain((double)i);
    out[KUA__RECALL * KUA__CUTOFFS] = (float)KUA__MIN(hits, m) / (float)m;
    out[KUA__NDCG * KUA__CUTOFFS] = (float)fmin(1.0, dcg / ideal);
    out[KUA__MRR * KUA__CUTOFFS] = hits ? 1.0f / (1.0f + rank[0]) : 0.0f;
    out[KUA__MAP * KUA__CUTOFFS] = (float)fmin(1.0, precision / (double)m);
    out[KUA__HIT * KUA__CUTOFFS] = hits ? 1.0f : 0.0f;
}

void kua__measure_ranks(const float *rank, size_t n, float *scratch, float out[KUA__RANK_MEASURES])
{
    assert(n >= 1);
    assert(rank != scratch);
    /* Most questions have no hit at all: their zeros need no sorting. */
    size_t near = 0;
    for (size_t i = 0; i < n; i++) {
        assert(rank[i] >= 0);
        if (rank[i] < (float)kua__cutoff[KUA__CUTOFFS - 1]) scratch[near++] = rank[i];
    }
    for (int m = 0; m < KUA__RANK_MEASURES; m++)
        out[m] = 0;
    if (near == 0) return;
    qsort(scratch, near, sizeof(*scratch), by_rank);
    for (size_t i = near; i < n; i++) /* the others count in R, and are beyond every cutoff */
        scratch[i] = KUA__MISS;
    for (int c = 0; c < KUA__CUTOFFS; c++)
        measure_at(scratch, n, kua__cutoff[c], out + c);
}

static int by_count(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* From the sorted counts x of n items: 2 sum(i x_i) / (n sum(x)) - (n + 1) / n, i from 1. */
double kua__gini(uint32_t *count, size_t n)
{
    assert(count || n == 0);
    double sum = 0, weighted = 0;
    if (n == 0) return 0;
    qsort(count, n, sizeof(*count), by_count);
    for (size_t i = 0; i < n; i++) {
        sum += count[i];
        weighted += (double)(i + 1) * count[i];
    }
    return sum > 0 ? 2 * weighted / ((double)n * sum) - ((double)n + 1) / (double)n : 0;
}

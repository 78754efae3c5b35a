/* run.c - one pass over all scores of a model: ranks of the relevant items, and the list that would
 * be shown.
 *
 *     questions  [ 0 ........ | ........ | ........ | ...   rounds of blocks; a thread scores
 *                                                           and ranks one block at a time
 *     scratch    threads * block * n_items floats           bounded (BLOCK_FLOATS), whatever the
 *                                                           number of users
 *
 * A question's numbers depend on its scores alone, so who computes what changes no bit. Between
 * rounds the calling thread reports progress and can be canceled.
 *
 * A worker that fails keeps the message with its status, because messages are one per thread; the
 * failure of the earliest question is the one that is reported.
 *
 * Masking writes -infinity into the row of scores, which is the thread's own and is written anew
 * for the next block: masked items then lose every comparison, and need no test of their own in the
 * passes over the row.
 */
#include "eval/eval.h"

#include <assert.h>
#include <float.h>
#include <math.h>

#include "eval/rank.h"

enum { BLOCK_FLOATS = 1 << 20, BLOCK_MAX = 256, BLOCKS_PER_ROUND = 8 };
/* BLOCK_FLOATS: 4 MiB of scores a thread. BLOCK_MAX: questions at once where the catalogue is
 * small. BLOCKS_PER_ROUND: how many blocks a thread gets between two looks at the monitor. */

typedef struct runner {
    const kua__eval_set *set;
    kua__score_fn score;
    void *ctx;
    kua__eval_result *out;
    size_t block;         /* questions scored at once */
    size_t base;          /* first question of the round */
    float *scores;        /* [threads, block, n_items] */
    kua__failure *failed; /* [threads] */
} runner;

static kua_status check_scores(const runner *r, const float *scores, size_t first, size_t n)
{
    size_t n_items = r->set->n_items;
    for (size_t q = 0; q < n; q++) {
        size_t bad = kua__scores_bad(scores + q * n_items, n_items);
        if (bad < n_items) {
            return kua__fail(KUA_INTERNAL, "score of item %zu for user %u is %g, must be finite",
                             bad, (unsigned)r->set->query[first + q].user,
                             (double)scores[q * n_items + bad]);
        }
    }
    return KUA_OK;
}

/* Against drawn items instead of all: KUA__MISS where the item itself is masked. */
static float sampled_rank(const kua__eval_set *set, size_t q, const float *score, float pivot)
{
    const uint32_t *relevant = set->relevant + set->relevant_at[q];
    size_t n_relevant = set->relevant_at[q + 1] - set->relevant_at[q];
    /* By user and not by question: a subset of users (max_users) draws what the whole would. */
    kua__rng rng = kua__rng_make(set->options.seed, 2 + (uint64_t)set->query[q].user);
    size_t have = 0;
    float rank = 0;
    /* Where nearly everything is masked the draws must end: sixteen attempts an item. */
    for (size_t attempt = 0; have < set->options.sampled && attempt < 16 * set->options.sampled;
         attempt++) {
        uint32_t i = kua__rng_below(&rng, (uint32_t)set->n_items);
        bool ranked = score[i] != -INFINITY;
        for (size_t j = 0; j < n_relevant; j++)
            ranked &= relevant[j] != i;
        if (!ranked) continue;
        rank += score[i] > pivot ? 1.0f : score[i] == pivot ? 0.5f : 0.0f;
        have++;
    }
    return rank;
}

/* Masks the row in place with -infinity, which no model may give, then ranks and selects. */
static void rank_question(const runner *r, size_t q, float *score)
{
    const kua__eval_set *set = r->set;
    const kua__history *history = &set->query[q].target;
    assert(history->n == 0 || history->item);
    for (size_t i = 0; i < set->n_excluded; i++)
        score[set->excluded[i]] = -INFINITY;
    for (size_t e = 0; set->options.mask_seen && e < history->n; e++)
        score[history->item[e]] = -INFINITY;
    for (size_t at = set->relevant_at[q]; at < set->relevant_at[q + 1]; at++) {
        float pivot = score[set->relevant[at]];
        if (pivot == -INFINITY)
            r->out->rank[at] = KUA__MISS;
        else if (set->options.sampled)
            r->out->rank[at] = sampled_rank(set, q, score, pivot);
        else
            r->out->rank[at] = kua__rank_of(score, set->n_items, pivot);
    }
    uint32_t *top = r->out->top + q * KUA__LIST;
    float best[KUA__LIST];
    size_t n = kua__top_k(score, set->n_items, -FLT_MAX, top, best, KUA__LIST);
    for (; n < KUA__LIST; n++)
        top[n] = KUA__NO_ID;
}

/* sum over pairs of cosines = (|sum of unit vectors|^2 - n) / 2 */
static float list_diversity(const kua__eval_set *set, const uint32_t *top, size_t n)
{
    assert(n <= KUA__LIST);
    const kua__side *side = &set->world->side;
    if (n < 2 || !set->inverse_norm) return 0;
    double square = 0;
    for (size_t j = 0; j < side->dim; j++) {
        float sum = 0;
        for (size_t k = 0; k < n; k++)
            sum += side->vector[top[k] * side->dim + j] * set->inverse_norm[top[k]];
        square += (double)sum * sum;
    }
    return (float)(1 - (square - (double)n) / ((double)n * (double)(n - 1)));
}

static void describe_list(const runner *r, size_t q)
{
    const kua__eval_set *set = r->set;
    const uint32_t *top = r->out->top + q * KUA__LIST;
    double popularity = 0, novelty = 0;
    double total = (double)set->train_total + (double)set->n_items;
    size_t n = 0;
    for (; n < KUA__LIST && top[n] != KUA__NO_ID; n++) {
        popularity += set->train_count[top[n]];
        novelty -= log2((set->train_count[top[n]] + 1.0) /
                        total); /* + 1: never sold is not infinitely new */
    }
    float *list = r->out->list + q;
    list[0] = n ? (float)(popularity / (double)n) : 0;
    list[set->n_users] = n ? (float)(novelty / (double)n) : 0;
    list[2 * set->n_users] = list_diversity(set, top, n);
}

static void score_block(void *ctx, int thread, size_t first, size_t last)
{
    const runner *r = ctx;
    if (r->failed[thread].status) return;
    size_t n_items = r->set->n_items, n = last - first, q0 = r->base + first;
    assert(n <= r->block);
    assert(q0 + n <= r->set->n_users && thread < kua__threads());
    float *scores = r->scores + (size_t)thread * r->block * n_items;
    kua_status st = r->score(r->ctx, r->set->query + q0, n, scores);
    if (!st) st = check_scores(r, scores, q0, n);
    if (st) {
        kua__failure_keep(&r->failed[thread], st, q0);
        return;
    }
    for (size_t q = 0; q < n; q++) {
        rank_question(r, q0 + q, scores + q * n_items);
        describe_list(r, q0 + q);
    }
}

static kua_status run_rounds(runner *r, const kua_monitor *monitor)
{
    size_t n_users = r->set->n_users;
    size_t round = r->block * BLOCKS_PER_ROUND * (size_t)kua__threads();
    for (r->base = 0; r->base < n_users; r->base += round) {
        KUA__TRY(kua__progress(monitor, "rank items", r->base, n_users));
        kua__parallel_chunks(KUA__MIN(round, n_users - r->base), r->block, score_block, r);
        KUA__TRY(kua__failure_first(r->failed, (size_t)kua__threads()));
    }
    return kua__progress(monitor, "rank items", n_users, n_users);
}

static kua_status spread_of_lists(const kua__eval_set *set, kua__eval_result *out)
{
    uint32_t *count = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&count, set->n_items, "recommendation counts"));
    size_t recommended = 0, n_ranked = set->n_items - set->n_excluded;
    for (size_t k = 0; k < set->n_users * KUA__LIST; k++) {
        if (out->top[k] != KUA__NO_ID) recommended += count[out->top[k]]++ == 0;
    }
    for (size_t i = 0; i < set->n_excluded; i++)
        count[set->excluded[i]] = UINT32_MAX; /* to the end of the order, out of the sum */
    size_t kept = 0;
    for (size_t i = 0; i < set->n_items; i++) {
        if (count[i] != UINT32_MAX) count[kept++] = count[i];
    }
    assert(kept == n_ranked);
    out->coverage = (double)recommended / (double)n_ranked;
    out->gini = kua__gini(count, n_ranked);
    kua__free(count);
    return KUA_OK;
}

static kua_status run_with(runner *r, const kua_monitor *monitor)
{
    const kua__eval_set *set = r->set;
    size_t threads = (size_t)kua__threads();
    KUA__TRY(KUA__NEW_ARRAY(&r->out->rank, set->n_relevant, "ranks"));
    KUA__TRY(KUA__NEW_ARRAY(&r->out->list, 3 * set->n_users, "list measures"));
    KUA__TRY(KUA__NEW_ARRAY(&r->out->top, set->n_users * KUA__LIST, "recommended items"));
    KUA__TRY(KUA__NEW_ARRAY(&r->scores, threads * r->block * set->n_items, "scores"));
    KUA__TRY(KUA__NEW_ZEROED(&r->failed, threads, "thread states"));
    KUA__TRY(run_rounds(r, monitor));
    return spread_of_lists(set, r->out);
}

kua_status kua__eval_run(const kua__eval_set *set, kua__score_fn score, void *ctx,
                         const kua_monitor *monitor, kua__eval_result *out)
{
    assert(set && set->n_users >= 1);
    assert(score && out);
    assert(set->n_items >= 1 && set->n_excluded < set->n_items); /* set.c, I2 */
    double start = kua__seconds();
    *out = (kua__eval_result){.n_users = set->n_users, .n_relevant = set->n_relevant};
    size_t block = BLOCK_FLOATS / set->n_items;
    runner r = {.set = set,
                .score = score,
                .ctx = ctx,
                .out = out,
                .block = KUA__MAX(1, KUA__MIN(block, BLOCK_MAX))};
    kua_status st = run_with(&r, monitor);
    kua__free(r.scores);
    kua__free(r.failed);
    out->seconds = kua__seconds() - start;
    if (st) kua__eval_result_release(out);
    return st;
}

void kua__eval_result_release(kua__eval_result *result)
{
    assert(result);
    kua__free(result->rank);
    kua__free(result->list);
    kua__free(result->top);
    *result = (kua__eval_result){0};
}

/* sequence_valid.c - how good a model is while it is trained: NDCG@10 at the border between
 * training and validation events.
 *
 * Every item is ranked. Items of the history are left out, as the evaluation does, unless the log
 * has repeated purchases; then they stay, and several weights of the repeat term are measured on
 * the same scores. With several validation events the ideal list holds min(10, answers) of them.
 *
 * Users are cut over the threads; each writes its own number, and the sum is taken in order.
 */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "rec/sequence_model.h"
#include "tensor/gemm.h"

enum { TOP = 10, BLOCK = 256, ANSWERS_MAX = 64 };

typedef struct block {
    const kua__sequence *s;
    const kua__sequence_domain *domain;
    const uint32_t *user;
    const kua__history *history;
    const float *scores; /* [n, n_items] */
    float *work;         /* [threads, 2, n_items]: scores of one user, counts (0) */
    const float *weight;
    size_t n_weights;
    bool repeats;
    double *ndcg; /* [n, n_weights] */
} block;

/* The TOP best items, best first; returns how many. Equal scores: the lower number first. */
static size_t best_items(const float *scores, size_t n, uint32_t best[TOP])
{
    size_t have = 0;
    float least = -FLT_MAX;
    for (size_t i = 0; i < n; i++) {
        if (scores[i] <= least) continue;
        size_t at = have < TOP ? have++ : TOP - 1;
        for (; at > 0 && scores[best[at - 1]] < scores[i]; at--)
            best[at] = best[at - 1];
        best[at] = (uint32_t)i;
        if (have == TOP) least = scores[best[TOP - 1]];
    }
    return have;
}

static size_t distinct(const uint32_t *item, size_t n, uint32_t *out, size_t most)
{
    size_t have = 0;
    for (size_t i = 0; i < n && have < most; i++) {
        bool known = false;
        for (size_t k = 0; k < have; k++)
            known |= out[k] == item[i];
        if (!known) out[have++] = item[i];
    }
    return have;
}

static double gain_of(const uint32_t *best, size_t n_best, const uint32_t *answer, size_t n)
{
    double gain = 0, ideal = 0;
    for (size_t r = 0; r < n_best; r++) {
        for (size_t k = 0; k < n; k++) {
            if (best[r] == answer[k]) gain += 1 / log2((double)r + 2);
        }
    }
    for (size_t r = 0; r < KUA__MIN(n, TOP); r++)
        ideal += 1 / log2((double)r + 2);
    return ideal > 0 ? gain / ideal : 0;
}

static void users_task(void *ctx, int thread, size_t first, size_t last)
{
    const block *b = ctx;
    const kua__log *log = b->domain->train->log;
    float *own = b->work + (size_t)thread * 2 * log->n_items, *count = own + log->n_items;
    for (size_t i = first; i < last; i++) {
        uint32_t user = b->user[i], answer[ANSWERS_MAX], best[TOP];
        size_t from = b->domain->train->end[user], to = b->domain->valid->end[user];
        size_t n = distinct(log->item + from, to - from, answer, ANSWERS_MAX);
        for (size_t w = 0; w < b->n_weights; w++) {
            memcpy(own, b->scores + i * log->n_items, log->n_items * sizeof(*own));
            if (b->weight[w] != 0)
                kua__sequence_add_repeats(b->s, &b->history[i], b->weight[w], count, own);
            for (size_t k = 0; k < b->history[i].n && !b->repeats; k++)
                own[b->history[i].item[k]] = -FLT_MAX;
            size_t n_best = best_items(own, log->n_items, best);
            b->ndcg[i * b->n_weights + w] = gain_of(best, n_best, answer, n);
        }
    }
}

static kua_status score_block(const kua__sequence *s, const float *input, const float *output,
                              const kua__history *history, size_t n, size_t n_items, float *state,
                              float *scores)
{
    size_t dim = s->options.dim;
    KUA__TRY(kua__sequence_encode(s, input, n_items, history, n, s->options.bf16, state));
    if (s->options.bf16)
        return kua__gemm_bf16(false, true, n, n_items, dim, state, dim, output, dim, 0, scores,
                              n_items);
    return kua__gemm(false, true, n, n_items, dim, 1, state, dim, output, dim, 0, scores, n_items);
}

static kua_status blocks(block *b, const float *input, const float *output, size_t n, float *state,
                         float *scores, double *ndcg)
{
    kua__history history[BLOCK];
    size_t n_items = b->domain->train->log->n_items;
    const uint32_t *user = b->user;
    b->history = history;
    b->scores = scores;
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t part = KUA__MIN(BLOCK, n - at);
        for (size_t i = 0; i < part; i++)
            history[i] = kua__cut_history(b->domain->train, user[at + i]);
        KUA__TRY(score_block(b->s, input, output, history, part, n_items, state, scores));
        b->user = user + at;
        kua__parallel_chunks(part, 8, users_task, b);
        for (size_t i = 0; i < part; i++) {
            for (size_t w = 0; w < b->n_weights; w++)
                ndcg[w] += b->ndcg[i * b->n_weights + w] / (double)n;
        }
    }
    return KUA_OK;
}

kua_status kua__sequence_ndcg(const kua__sequence *s, const kua__sequence_domain *domain,
                              const float *input, const float *output, const uint32_t *user,
                              size_t n, bool repeats, const float *weight, size_t n_weights,
                              double *ndcg)
{
    assert(n_weights >= 1);
    size_t n_items = domain->train->log->n_items, dim = s->options.dim;
    float *state = NULL, *scores = NULL;
    block b = {.s = s,
               .domain = domain,
               .user = user,
               .weight = weight,
               .n_weights = n_weights,
               .repeats = repeats};
    kua_status st;
    memset(ndcg, 0, n_weights * sizeof(*ndcg));
    KUA__GOTO(st, KUA__NEW_ARRAY(&state, BLOCK * dim, "states of users"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&scores, BLOCK * n_items, "scores of users"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&b.work, (size_t)kua__threads() * 2 * n_items, "scores"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.ndcg, BLOCK * n_weights, "measures of users"));
    st = blocks(&b, input, output, n, state, scores, ndcg);
done:
    kua__free(state);
    kua__free(scores);
    kua__free(b.work);
    kua__free(b.ndcg);
    return st;
}

kua_status kua__sequence_valid_users(const kua__sequence_domain *domain, size_t most, uint64_t seed,
                                     uint32_t **user, size_t *n)
{
    const kua__log *log = domain->train->log;
    KUA__TRY(KUA__NEW_ARRAY(user, log->n_users, "validation users"));
    *n = 0;
    for (size_t u = 0; u < log->n_users; u++) {
        size_t end = domain->train->end[u];
        if (end > log->user_at[u] && domain->valid->end[u] > end) (*user)[(*n)++] = (uint32_t)u;
    }
    kua__rng rng = kua__rng_make(seed, 7);
    kua__rng_shuffle(&rng, *user, *n);
    *n = KUA__MIN(*n, most);
    return KUA_OK;
}

double kua__sequence_repeat_share(const kua__cut *cut)
{
    const kua__log *log = cut->log;
    size_t repeated = 0, events = 0;
    for (size_t u = 0; u < log->n_users; u++) {
        size_t begin = log->user_at[u], end = cut->end[u];
        for (size_t i = begin; i < end; i++) { /* looks back no further than a long history */
            size_t back = i - begin > 200 ? i - 200 : begin;
            while (back < i && log->item[back] != log->item[i])
                back++;
            repeated += back < i;
        }
        events += end - begin;
    }
    return events ? (double)repeated / (double)events : 0;
}

/* sequence_valid.c - how good a model is while it is trained: NDCG@10 at the border between
 * training and validation events.
 *
 * Every item is ranked. What is new to a user is measured with the history's items left out, as the
 * evaluation does. Where people buy again, everything that was bought counts as well, with each of
 * many repeat terms: a term changes the scores of the history's items only, so the best of the
 * others are found once, and each term merely ranks the history against them.
 *
 * With several validation events the ideal list holds min(10, answers) of them. Users are cut over
 * the threads; each writes its own numbers, and the sums are taken in order.
 */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "rec/common.h"
#include "rec/sequence_model.h"
#include "tensor/gemm.h"

enum { TOP = 10, BLOCK = 256, ANSWERS_MAX = 64, HISTORY_MAX = 4096 };

typedef struct block {
    const kua__sequence *s;
    const kua__sequence_trial *trial;
    const uint32_t *user;
    const kua__history *history;
    const float *scores; /* [n, n_items] */
    int64_t now;
    char *work;    /* [threads] user_work */
    double *fresh; /* [n], NAN: nothing new */
    double *all;   /* [n, n_terms] */
} block;

/* The TOP best items, best first. */
typedef struct ranking {
    uint32_t item[TOP];
    float score[TOP];
    size_t n;
} ranking;

/* Scratch of one thread. */
typedef struct user_work {
    uint32_t item[HISTORY_MAX]; /* of the history, each once */
    float score[HISTORY_MAX], count[HISTORY_MAX];
    size_t n;
    float row[]; /* [2, n_items]: scores, counts (0) */
} user_work;

/* Equal scores: the first one stays. */
static inline void rank(ranking *r, uint32_t item, float score)
{
    if (r->n == TOP && score <= r->score[TOP - 1]) return;
    size_t at = r->n < TOP ? r->n++ : TOP - 1;
    for (; at > 0 && r->score[at - 1] < score; at--) {
        r->item[at] = r->item[at - 1];
        r->score[at] = r->score[at - 1];
    }
    r->item[at] = item;
    r->score[at] = score;
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

static double ndcg_of(const ranking *r, const uint32_t *answer, size_t n)
{
    double gain = 0, ideal = 0;
    for (size_t k = 0; k < r->n; k++) {
        for (size_t a = 0; a < n; a++) {
            if (r->item[k] == answer[a]) gain += 1 / log2((double)k + 2);
        }
    }
    for (size_t k = 0; k < KUA__MIN(n, TOP); k++)
        ideal += 1 / log2((double)k + 2);
    return ideal > 0 ? gain / ideal : 0;
}

/* The history's items with their scores; work->row becomes the scores without them. */
static void part_history(const kua__history *history, const float *scores, size_t n_items,
                         user_work *w)
{
    memcpy(w->row, scores, n_items * sizeof(*scores));
    w->n = 0;
    for (size_t i = history->n; i-- > 0 && w->n < HISTORY_MAX;) {
        uint32_t item = history->item[i];
        if (w->row[item] == -FLT_MAX) continue;
        w->item[w->n] = item;
        w->score[w->n++] = w->row[item];
        w->row[item] = -FLT_MAX;
    }
}

/* Answers that are not in the history move to the front; returns how many. */
static size_t new_ones(uint32_t *answer, size_t n, const float *row)
{
    size_t fresh = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t item = answer[i];
        if (row[item] == -FLT_MAX) continue;
        answer[i] = answer[fresh];
        answer[fresh++] = item;
    }
    return fresh;
}

/* Everything counts: the history's items, with each term, against the best of the others. */
static void try_terms(const block *b, const kua__history *history, const ranking *others,
                      const uint32_t *answer, size_t n_answers, user_work *w, double *ndcg)
{
    const kua__sequence_trial *trial = b->trial;
    float *count = w->row + trial->domain->train->log->n_items;
    double half_life = -1;
    for (size_t t = 0; t < trial->n_terms; t++) {
        const kua__repeat_term *term = &trial->term[t];
        ranking r = *others;
        if (term->half_life != half_life) {
            kua__repeat_counts(term, history, b->now, count);
            for (size_t i = 0; i < w->n; i++)
                w->count[i] = count[w->item[i]];
            for (size_t i = 0; i < history->n; i++)
                count[history->item[i]] = 0;
            half_life = term->half_life;
        }
        for (size_t i = 0; i < w->n; i++) {
            float more = kua__repeat_value(term, w->count[i], trial->rate[w->item[i]]);
            rank(&r, w->item[i], w->score[i] + more);
        }
        ndcg[t] = ndcg_of(&r, answer, n_answers);
    }
}

static void try_user(const block *b, size_t i, user_work *w)
{
    const kua__sequence_trial *trial = b->trial;
    const kua__cut *train = trial->domain->train;
    size_t n_items = train->log->n_items, from = train->end[b->user[i]];
    size_t to = trial->domain->valid->end[b->user[i]];
    uint32_t answer[ANSWERS_MAX];
    ranking others = {.n = 0};
    size_t n = distinct(train->log->item + from, to - from, answer, ANSWERS_MAX);
    part_history(&b->history[i], b->scores + i * n_items, n_items, w);
    for (uint32_t item = 0; item < n_items; item++)
        rank(&others, item, w->row[item]);
    size_t fresh = new_ones(answer, n, w->row);
    b->fresh[i] = fresh > 0 ? ndcg_of(&others, answer, fresh) : NAN;
    if (trial->term)
        try_terms(b, &b->history[i], &others, answer, n, w, b->all + i * trial->n_terms);
}

static size_t work_bytes(size_t n_items)
{
    return (sizeof(user_work) + 2 * n_items * sizeof(float) + 63) / 64 * 64;
}

static void users_task(void *ctx, int thread, size_t first, size_t last)
{
    const block *b = ctx;
    size_t bytes = work_bytes(b->trial->domain->train->log->n_items);
    user_work *w = (user_work *)(b->work + (size_t)thread * bytes);
    for (size_t i = first; i < last; i++)
        try_user(b, i, w);
}

static kua_status score_block(const kua__sequence *s, const kua__sequence_trial *trial,
                              const kua__history *history, size_t n, float *state, float *scores)
{
    size_t dim = s->options.dim, n_items = trial->domain->train->log->n_items;
    bool bf16 = s->options.bf16;
    KUA__TRY(kua__sequence_encode(s, trial->input, n_items, history, n, bf16, state));
    if (bf16)
        KUA__TRY(kua__gemm_bf16(false, true, n, n_items, dim, state, dim, trial->output, dim, 0,
                                scores, n_items));
    else
        KUA__TRY(kua__gemm(false, true, n, n_items, dim, 1, state, dim, trial->output, dim, 0,
                           scores, n_items));
    return KUA_OK;
}

static kua_status add_partner(const block *b, size_t n, float *scores)
{
    const kua__sequence_trial *trial = b->trial;
    kua__query query[BLOCK];
    if (!b->s->partner || trial->partner_weight <= 0) return KUA_OK;
    for (size_t i = 0; i < n; i++)
        query[i] = (kua__query){.user = b->user[i], .now = b->now, .target = b->history[i]};
    return kua__partner_add(b->s->partner, query, n, trial->partner_weight, scores);
}

static kua_status try_blocks(block *b, kua__sequence_trial *trial, float *state, float *scores)
{
    kua__history history[BLOCK];
    size_t counted = 0;
    b->history = history;
    b->scores = scores;
    for (size_t at = 0; at < trial->n; at += BLOCK) {
        size_t n = KUA__MIN(BLOCK, trial->n - at);
        b->user = trial->user + at;
        for (size_t i = 0; i < n; i++)
            history[i] = kua__cut_history(trial->domain->train, b->user[i]);
        KUA__TRY(score_block(b->s, trial, history, n, state, scores));
        KUA__TRY(add_partner(b, n, scores));
        kua__parallel_chunks(n, 8, users_task, b);
        for (size_t i = 0; i < n; i++) {
            counted += !isnan(b->fresh[i]);
            trial->fresh += isnan(b->fresh[i]) ? 0 : b->fresh[i];
            for (size_t t = 0; t < trial->n_terms; t++)
                trial->all[t] += b->all[i * trial->n_terms + t] / (double)trial->n;
        }
    }
    trial->fresh = counted ? trial->fresh / (double)counted : 0;
    return KUA_OK;
}

kua_status kua__sequence_try(const kua__sequence *s, kua__sequence_trial *trial)
{
    size_t n_items = trial->domain->train->log->n_items, dim = s->options.dim;
    size_t threads = (size_t)kua__threads();
    float *state = NULL, *scores = NULL;
    block b = {.s = s, .trial = trial, .now = kua__cut_now(trial->domain->train)};
    kua_status st;
    assert((trial->term != NULL) == (trial->n_terms > 0));
    trial->fresh = 0;
    for (size_t t = 0; t < trial->n_terms; t++)
        trial->all[t] = 0;
    KUA__GOTO(st, KUA__NEW_ARRAY(&state, BLOCK * dim, "states of users"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&scores, BLOCK * n_items, "scores of users"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&b.work, threads * work_bytes(n_items), "scores"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.fresh, BLOCK, "measures of users"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&b.all, BLOCK * KUA__MAX(trial->n_terms, 1), "measures of users"));
    st = try_blocks(&b, trial, state, scores);
done:
    kua__free(state);
    kua__free(scores);
    kua__free(b.work);
    kua__free(b.fresh);
    kua__free(b.all);
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

/* sequence_valid.c - how good a model is while it is trained: NDCG@10 at the border between
 * training and validation events.
 *
 * Every item is ranked. What is new to a user is measured with the history's items left out, as the
 * evaluation does. Where people buy again, everything that was bought counts as well, with each of
 * many repeat terms: a term changes the scores of the history's items only, so the best of the
 * others are found once, and each term merely ranks the history against them. Many mixtures with
 * the partners' scores are measured in one pass, since the scores themselves are the costly part.
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
#include "rec/top.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"

enum { BLOCK = 128, ANSWERS_MAX = 64, HISTORY_MAX = 4096 };

typedef struct block {
    const kua__sequence *s;
    const kua__sequence_trial *trial;
    const uint32_t *user;
    int64_t now;
    size_t n_items, n_partners; /* n_partners: that take part */
    float *state;
    float *scores;          /* [n, n_items] the network's */
    float *partner;         /* [n_partners, BLOCK, n_items] */
    kua__query *query;      /* [BLOCK] */
    kua__history *sources;  /* [BLOCK, n_sources] */
    struct user_work *work; /* [threads] */
    kua__failure *failed;   /* [threads] */
    double *fresh;          /* [BLOCK, n_mixes], NAN: nothing new */
    double *all;            /* [BLOCK, n_mixes, n_terms] */
} block;

/* Scratch of one thread. */
typedef struct user_work {
    uint32_t item[HISTORY_MAX]; /* of the history, each once */
    size_t n;
    uint32_t answer[ANSWERS_MAX]; /* those that are new to the user first */
    size_t n_answers, n_fresh;
    float score[HISTORY_MAX]; /* of the history's items, in one mixture */
    float *row, *count;       /* [n_items]: scores; 0 */
    float *more;              /* [n_terms, HISTORY_MAX] what each term adds */
} user_work;

static size_t distinct(const uint32_t *item, size_t n, uint32_t *out, size_t most)
{
    size_t have = 0;
    for (size_t i = 0; i < n && have < most; i++) {
        if (!kua__holds(out, have, item[i])) out[have++] = item[i];
    }
    return have;
}

/* The distinct items of the history, newest first. */
static void list_history(const kua__history *history, user_work *w)
{
    w->n = 0;
    for (size_t i = history->n; i-- > 0 && w->n < HISTORY_MAX;) {
        uint32_t item = history->item[i];
        if (w->count[item] == 0) w->item[w->n++] = item;
        w->count[item] = 1;
    }
}

/* The distinct answers, those that are not in the history first. */
static void list_answers(const block *b, size_t i, user_work *w)
{
    const kua__cut *train = b->trial->domain->train;
    size_t from = train->end[b->user[i]], to = b->trial->domain->valid->end[b->user[i]];
    w->n_answers = distinct(train->log->item + from, to - from, w->answer, ANSWERS_MAX);
    w->n_fresh = 0;
    for (size_t a = 0; a < w->n_answers; a++) {
        uint32_t item = w->answer[a];
        if (w->count[item] != 0) continue;
        w->answer[a] = w->answer[w->n_fresh];
        w->answer[w->n_fresh++] = item;
    }
}

/* What each term adds to each item of the history; counts are made anew for each half-life. */
static void list_bonuses(const block *b, const kua__history *history, user_work *w)
{
    const kua__sequence_trial *trial = b->trial;
    for (size_t t = 0; t < trial->n_terms; t++) {
        const kua__repeat_term *term = &trial->term[t];
        if (t == 0 || term->half_life != term[-1].half_life) {
            for (size_t k = 0; k < history->n; k++)
                w->count[history->item[k]] = 0;
            kua__repeat_counts(term, history, b->now, w->count);
        }
        for (size_t k = 0; k < w->n; k++)
            w->more[t * HISTORY_MAX + k] =
                kua__repeat_value(term, w->count[w->item[k]], trial->rate[w->item[k]]);
    }
    for (size_t k = 0; k < history->n; k++)
        w->count[history->item[k]] = 0;
}

/* work->row = the network's scores and the partners', in mixture m. */
static void mix_scores(const block *b, size_t i, size_t m, user_work *w)
{
    const kua__kernels *k = kua__kernels_get();
    const float *weight = b->trial->mix + m * b->s->n_partners;
    memcpy(w->row, b->scores + i * b->n_items, b->n_items * sizeof(*w->row));
    for (size_t p = 0; p < b->n_partners; p++) {
        if (weight[p] == 0) continue;
        k->axpy(w->row, b->partner + (p * BLOCK + i) * b->n_items, weight[p], b->n_items);
    }
}

/* All items but the history's, whose scores are moved aside. */
static void rank_others(size_t n_items, user_work *w, kua__top *others)
{
    for (size_t k = 0; k < w->n; k++) {
        w->score[k] = w->row[w->item[k]];
        w->row[w->item[k]] = -FLT_MAX;
    }
    kua__top_fill(others, w->row, n_items);
}

static void try_user(const block *b, size_t i, user_work *w)
{
    const kua__sequence_trial *trial = b->trial;
    const kua__history *history = &b->query[i].target;
    kua__top others;
    list_history(history, w);
    list_answers(b, i, w);
    list_bonuses(b, history, w);
    for (size_t m = 0; m < trial->n_mixes; m++) {
        size_t at = i * trial->n_mixes + m;
        mix_scores(b, i, m, w);
        rank_others(b->n_items, w, &others);
        b->fresh[at] =
            w->n_fresh > 0 ? kua__top_ndcg(&others, w->answer, w->n_fresh, w->n_fresh) : NAN;
        for (size_t t = 0; t < trial->n_terms; t++) {
            kua__top all = others;
            for (size_t k = 0; k < w->n; k++)
                kua__top_add(&all, w->item[k], w->score[k] + w->more[t * HISTORY_MAX + k]);
            b->all[at * trial->n_terms + t] =
                kua__top_ndcg(&all, w->answer, w->n_answers, w->n_answers);
        }
    }
}

static void users_task(void *ctx, int thread, size_t first, size_t last)
{
    const block *b = ctx;
    for (size_t i = first; i < last; i++)
        try_user(b, i, &b->work[thread]);
}

/* ---- scores of a block of users ---- */

static kua_status network_scores(const block *b, size_t n)
{
    const kua__sequence_trial *trial = b->trial;
    size_t dim = b->s->options.dim, n_items = b->n_items;
    kua__history history[BLOCK];
    for (size_t i = 0; i < n; i++)
        history[i] = b->query[i].target;
    bool bf16 = b->s->options.bf16;
    KUA__TRY(kua__sequence_encode(b->s, trial->input, n_items, history, n, bf16, b->state));
    if (bf16)
        return kua__gemm_bf16(false, true, n, n_items, dim, b->state, dim, trial->output, dim, 0,
                              b->scores, n_items);
    return kua__gemm(false, true, n, n_items, dim, 1, b->state, dim, trial->output, dim, 0,
                     b->scores, n_items);
}

static void partners_task(void *ctx, int thread, size_t first, size_t last)
{
    const block *b = ctx;
    kua_status st = KUA_OK;
    for (size_t p = 0; p < b->n_partners && !st; p++)
        st = kua__partner_scores(b->s->partner[p].rec, b->query + first, last - first,
                                 b->partner + (p * BLOCK + first) * b->n_items);
    if (st) kua__failure_keep(&b->failed[thread], st, first);
}

static void ask(const block *b, size_t n)
{
    const kua__sequence_domain *domain = b->trial->domain;
    for (size_t i = 0; i < n; i++) {
        b->query[i] = kua__cut_query(domain->train, domain->sources, domain->n_sources, b->user[i],
                                     b->now, b->sources + i * domain->n_sources);
    }
}

/* Adds the block's measures to the results; *counted: users who got something new. */
static void add_measures(const block *b, size_t n, size_t *counted)
{
    const kua__sequence_trial *trial = b->trial;
    size_t n_mixes = trial->n_mixes, n_all = n_mixes * trial->n_terms;
    for (size_t i = 0; i < n; i++) {
        *counted += !isnan(b->fresh[i * n_mixes]);
        for (size_t m = 0; m < n_mixes; m++)
            trial->fresh[m] += isnan(b->fresh[i * n_mixes + m]) ? 0 : b->fresh[i * n_mixes + m];
        for (size_t t = 0; t < n_all; t++)
            trial->all[t] += b->all[i * n_all + t] / (double)trial->n;
    }
}

static kua_status try_blocks(block *b)
{
    const kua__sequence_trial *trial = b->trial;
    size_t counted = 0;
    for (size_t at = 0; at < trial->n; at += BLOCK) {
        size_t n = KUA__MIN((size_t)BLOCK, trial->n - at);
        b->user = trial->user + at;
        ask(b, n);
        KUA__TRY(network_scores(b, n));
        if (b->n_partners) kua__parallel_chunks(n, 16, partners_task, b);
        KUA__TRY(kua__failure_first(b->failed, (size_t)kua__threads()));
        kua__parallel_chunks(n, 4, users_task, b);
        add_measures(b, n, &counted);
    }
    for (size_t m = 0; m < trial->n_mixes; m++)
        trial->fresh[m] = counted ? trial->fresh[m] / (double)counted : 0;
    return KUA_OK;
}

/* ---- memory ---- */

static kua_status make_work(block *b)
{
    size_t threads = (size_t)kua__threads();
    KUA__TRY(KUA__NEW_ZEROED(&b->failed, threads, "threads"));
    KUA__TRY(KUA__NEW_ZEROED(&b->work, threads, "threads"));
    for (size_t t = 0; t < threads; t++) {
        KUA__TRY(KUA__NEW_ARRAY(&b->work[t].row, b->n_items, "scores"));
        KUA__TRY(KUA__NEW_ZEROED(&b->work[t].count, b->n_items, "item counts"));
        KUA__TRY(KUA__NEW_ARRAY(&b->work[t].more, b->trial->n_terms * HISTORY_MAX, "terms"));
    }
    return KUA_OK;
}

static kua_status make_block(block *b)
{
    size_t rows = BLOCK * b->n_items, measures = BLOCK * b->trial->n_mixes;
    KUA__TRY(make_work(b));
    KUA__TRY(KUA__NEW_ARRAY(&b->state, BLOCK * b->s->options.dim, "states of users"));
    KUA__TRY(KUA__NEW_ARRAY(&b->scores, rows, "scores of users"));
    KUA__TRY(KUA__NEW_ARRAY(&b->partner, b->n_partners * rows, "scores of users"));
    KUA__TRY(KUA__NEW_ARRAY(&b->query, BLOCK, "questions"));
    KUA__TRY(KUA__NEW_ARRAY(&b->sources, BLOCK * b->trial->domain->n_sources, "histories"));
    KUA__TRY(KUA__NEW_ARRAY(&b->fresh, measures, "measures of users"));
    return KUA__NEW_ARRAY(&b->all, measures * b->trial->n_terms, "measures of users");
}

static void free_block(block *b)
{
    for (int t = 0; b->work && t < kua__threads(); t++) {
        kua__free(b->work[t].row);
        kua__free(b->work[t].count);
        kua__free(b->work[t].more);
    }
    kua__free(b->failed);
    kua__free(b->work);
    kua__free(b->state);
    kua__free(b->scores);
    kua__free(b->partner);
    kua__free(b->query);
    kua__free(b->sources);
    kua__free(b->fresh);
    kua__free(b->all);
}

kua_status kua__sequence_try(const kua__sequence *s, const kua__sequence_trial *trial)
{
    const kua__cut *train = trial->domain->train;
    assert((trial->term != NULL) == (trial->n_terms > 0));
    assert(trial->n_mixes >= 1 && (trial->mix || trial->n_mixes == 1));
    block b = {.s = s,
               .trial = trial,
               .now = kua__cut_now(train),
               .n_items = train->log->n_items,
               .n_partners = trial->mix ? s->n_partners : 0};
    memset(trial->fresh, 0, trial->n_mixes * sizeof(*trial->fresh));
    for (size_t t = 0; t < trial->n_mixes * trial->n_terms; t++)
        trial->all[t] = 0;
    kua_status st = make_block(&b);
    if (!st) st = try_blocks(&b);
    free_block(&b);
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

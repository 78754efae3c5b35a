/* sequence_mixture.c - how much of each partner, and which repeat term: chosen on validation when
 * the network is trained.
 *
 * One weight after the other is set to the best of its candidates while the others stay, until a
 * round changes nothing. A weight moves only for a gain of WORTH, so that a partner who adds noise
 * stays out. What is best is asked as in training: where people buy again, half of what is found
 * anew and half of everything, with the best repeat term for each mixture.
 */
#include <assert.h>
#include <string.h>

#include "rec/sequence_run.h"

static const float candidates[] = {0, 0.25f, 0.5f, 1, 2, 3, 4, 6, 8, 12};

enum { ROUNDS = 3, N = KUA__COUNT(candidates) };

static const double WORTH = 1.002;

/* ---- judging ---- */

static size_t largest(const double *x, size_t n)
{
    size_t at = 0;
    for (size_t i = 1; i < n; i++)
        at = x[i] > x[at] ? i : at;
    return at;
}

kua_status kua__run_judge(const kua__run *r, size_t d, const kua__run_tables *tables,
                          const float *mix, size_t n, kua__judgement *out)
{
    kua__repeat_term term[KUA__REPEAT_CHOICES];
    bool repeats = d == 0 && r->repeats, clock = r->domain[d].train->log->has_clock;
    size_t n_terms = repeats ? kua__repeat_choices(&r->s->options.repeat, clock, term) : 0;
    double fresh[N], *all = NULL;
    assert(n >= 1 && n <= N);
    KUA__TRY(KUA__NEW_ARRAY(&all, n * n_terms, "measures"));
    kua__sequence_trial trial = {.domain = &r->domain[d],
                                 .input = tables->input,
                                 .output = tables->output,
                                 .user = r->user[d],
                                 .n = r->n_users[d],
                                 .term = repeats ? term : NULL,
                                 .n_terms = n_terms,
                                 .rate = r->s->rate,
                                 .mix = mix,
                                 .n_mixes = n,
                                 .fresh = fresh,
                                 .all = all};
    kua_status st = kua__sequence_try(r->s, &trial);
    for (size_t m = 0; m < n && !st; m++) {
        out[m] = (kua__judgement){.ndcg = fresh[m], .fresh = fresh[m]};
        if (!repeats) continue;
        size_t best = largest(all + m * n_terms, n_terms);
        out[m].all = all[m * n_terms + best];
        out[m].ndcg = 0.5 * (fresh[m] + out[m].all);
        out[m].term = term[best];
    }
    kua__free(all);
    return st;
}

/* ---- choosing ---- */

/* What the settings say, and something sensible where they leave it open. */
static void begin(kua__run *r)
{
    kua__sequence *s = r->s;
    bool clock = r->domain[0].train->log->has_clock;
    s->repeat = s->options.repeat;
    if (s->repeat.weight < 0 || !r->repeats) s->repeat.weight = 0;
    if (s->repeat.half_life < 0 || !clock) s->repeat.half_life = clock ? 120 : 0;
    if (s->repeat.power < 0) s->repeat.power = 0.5;
}

static void take(kua__run *r, const kua__judgement *judgement)
{
    if (r->repeats) r->s->repeat = judgement->term;
    r->best_ndcg = judgement->ndcg;
}

static void tell(const kua__run *r, const char *what, double weight, const kua__judgement *j)
{
    kua__log_line(r->monitor, KUA_LOG_INFO,
                  r->repeats ? "sequence: with %s %g: ndcg@10 %.4f (new %.4f, all %.4f)"
                             : "sequence: with %s %g: ndcg@10 %.4f",
                  what, weight, j->ndcg, j->fresh, j->all);
}

/* The weights of all candidates of partner p, the others as they are. */
static void list_mixes(const kua__sequence *s, size_t p, float *mix)
{
    for (size_t m = 0; m < N; m++) {
        for (size_t k = 0; k < s->n_partners; k++)
            mix[m * s->n_partners + k] = k == p ? candidates[m] : (float)s->partner[k].weight;
    }
}

static kua_status settle(kua__run *r, const kua__run_tables *tables, size_t p, bool *changed)
{
    kua__partner *partner = &r->s->partner[p];
    float mix[N * KUA__PARTNERS_MAX];
    kua__judgement judgement[N];
    size_t best = N;
    list_mixes(r->s, p, mix);
    KUA__TRY(kua__run_judge(r, 0, tables, mix, N, judgement));
    for (size_t m = 0; m < N; m++) {
        if (judgement[m].ndcg > (best < N ? judgement[best].ndcg : r->best_ndcg * WORTH)) best = m;
    }
    if (best == N || (double)candidates[best] == partner->weight) return KUA_OK;
    partner->weight = (double)candidates[best];
    *changed = true;
    take(r, &judgement[best]);
    tell(r, partner->rec->ops->name, partner->weight, &judgement[best]);
    return KUA_OK;
}

static kua_status judge_given(kua__run *r, const kua__run_tables *tables)
{
    float mix[KUA__PARTNERS_MAX];
    kua__judgement judgement;
    for (size_t p = 0; p < r->s->n_partners; p++)
        mix[p] = (float)r->s->partner[p].weight;
    KUA__TRY(kua__run_judge(r, 0, tables, mix, 1, &judgement));
    take(r, &judgement);
    return KUA_OK;
}

kua_status kua__run_choose_mixture(kua__run *r, const kua__run_tables *tables)
{
    bool changed = r->s->n_partners > 0 && !r->s->weights_given;
    begin(r);
    if (r->n_users[0] == 0) return KUA_OK;
    KUA__TRY(judge_given(r, tables));
    for (size_t round = 0; round < ROUNDS && changed; round++) {
        changed = false;
        for (size_t p = 0; p < r->s->n_partners; p++)
            KUA__TRY(settle(r, tables, p, &changed));
    }
    return KUA_OK;
}

/* pretrain_loss.c - what a batch is asked, and how held-out examples are judged.
 *
 * Contrastive: the batch holds the first texts of all pairs, then the second ones. Each first text
 * is to find its second one among those of the batch, and the other way round:
 *
 *     loss = (CE(u v^T / temperature) + CE(v u^T / temperature)) / 2      u, v of length 1
 *
 * (InfoNCE; van den Oord et al., 2018). A partner whose text stands in the batch twice would be a
 * right answer that counts as wrong: its logits for the other places of the same text are hidden.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "encoder/pretrain.h"
#include "grad/tape.h"

static kua__var *states(kua__pretraining *r)
{
    kua__ragged seq = {r->batch.n, r->batch.at};
    return kua__model_on_tape(r->tape, &r->model, r->batch.id, seq, (float)r->settings->dropout);
}

/* The rows that are asked. */
static kua__var *asked(kua__pretraining *r)
{
    kua__var *x = states(r);
    return r->objective == KUA_OBJECTIVE_MLM
               ? kua__gather_rows(r->tape, x, r->batch.row, r->batch.n_rows)
               : x;
}

static bool same_text(const kua__words_batch *b, size_t i, size_t k)
{
    size_t n = b->at[i + 1] - b->at[i];
    return b->at[k + 1] - b->at[k] == n &&
           memcmp(b->id + b->at[i], b->id + b->at[k], n * sizeof(*b->id)) == 0;
}

/* [n, n]: -1e9 at [i, k] where text `side` + k is the partner of i under another number. */
static kua__var *hidden_twins(kua__tape *t, const kua__words_batch *b, size_t side)
{
    size_t n = b->n / 2;
    float *mask = kua__tape_floats(t, n, n);
    if (!mask) return NULL;
    memset(mask, 0, n * n * sizeof(*mask));
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) {
            if (same_text(b, side + i, side + k)) mask[i * n + k] = mask[k * n + i] = -1e9f;
        }
    }
    return kua__input(t, n, n, mask);
}

typedef struct contrast {
    kua__var *forth, *back; /* logits [n, n] */
    uint32_t *target;       /* 0, 1, 2, ... */
} contrast;

static contrast contrast_of(kua__pretraining *r)
{
    kua__tape *t = r->tape;
    const kua__words_batch *b = &r->batch;
    size_t n = b->n / 2;
    contrast c = {.target = kua__tape_alloc(t, n * sizeof(uint32_t))};
    for (size_t i = 0; c.target && i < n; i++)
        c.target[i] = (uint32_t)i;
    kua__var *v = kua__pool_on_tape(t, states(r), (kua__ragged){b->n, b->at}, r->pooling, true);
    kua__var *first =
        kua__scale(t, kua__slice_rows(t, v, 0, n), 1 / (float)r->settings->temperature);
    kua__var *second = kua__slice_rows(t, v, n, n);
    c.forth = kua__add(t, kua__matmul_nt(t, first, second), hidden_twins(t, b, n));
    c.back = kua__add(t, kua__matmul_nt(t, second, first), hidden_twins(t, b, 0));
    return c;
}

kua__var *kua__pretrain_loss(kua__pretraining *r)
{
    assert(r && r->batch.n >= 1);
    kua__tape *t = r->tape;
    if (r->objective != KUA_OBJECTIVE_CONTRASTIVE)
        return kua__word_loss(t, &r->model, asked(r), r->batch.word);
    contrast c = contrast_of(r);
    return kua__scale(t,
                      kua__add(t, kua__cross_entropy(t, c.forth, c.target),
                               kua__cross_entropy(t, c.back, c.target)),
                      .5f);
}

/* ---- held-out examples ---- */

static kua_status judge_words(kua__pretraining *r, kua__word_score *score)
{
    return kua__word_judge(r->tape, &r->model, asked(r), r->batch.word, score);
}

static kua_status judge_pairs(kua__pretraining *r, kua__word_score *score)
{
    contrast c = contrast_of(r);
    kua__var *loss = kua__cross_entropy(r->tape, c.forth, c.target);
    KUA__TRY(kua__tape_status(r->tape));
    size_t n = c.forth->rows;
    for (size_t i = 0; i < n; i++) {
        const float *row = c.forth->value + i * n;
        bool best = true;
        for (size_t k = 0; k < n; k++)
            best &= row[k] <= row[i];
        score->right += best;
    }
    score->counted += n;
    score->loss += loss->value[0] * (double)n;
    return KUA_OK;
}

/* SimCSE is judged with dropout, drawn alike each time: without it partners would be equal. */
kua_status kua__pretrain_judge(kua__pretraining *r, kua__judged *out)
{
    assert(r && out);
    kua__word_score score = {0};
    uint64_t step = kua__tape_step(r->tape);
    bool pairs = r->objective == KUA_OBJECTIVE_CONTRASTIVE;
    bool twins = pairs && r->corpus->example[0][0] == r->corpus->example[0][1];
    kua_status st = KUA_OK;
    kua__tape_set_training(r->tape, twins);
    kua__tape_set_step(r->tape, (uint64_t)1 << 40);
    for (size_t i = 0; !st && i < r->corpus->n_held;) {
        kua__tape_reset(r->tape);
        i = kua__words_batch_fill(&r->batch, r->corpus, r->objective, r->settings, r->held, i,
                                  r->corpus->n_held, UINT64_MAX);
        st = pairs ? judge_pairs(r, &score) : judge_words(r, &score);
    }
    kua__tape_set_training(r->tape, true);
    kua__tape_reset(r->tape);
    kua__tape_set_step(r->tape, step);
    double n = (double)KUA__MAX(score.counted, 1);
    *out = (kua__judged){score.loss / n, (double)score.right / n, 0, score.counted};
    if (r->objective == KUA_OBJECTIVE_CLM)
        out->bits = score.loss / log(2) / (double)KUA__MAX(r->corpus->held_characters, 1);
    return st;
}

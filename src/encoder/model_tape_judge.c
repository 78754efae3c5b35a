/* model_tape_judge.c - how well a head for words predicts: loss and hits, with all logits of a few
 * rows at a time.
 *
 * The training loss never has its logits as a whole and does not tell which word was the most
 * likely one; held-out text is judged here, without gradients, in rows that a core's cache holds.
 */
#include <assert.h>
#include <math.h>

#include "encoder/model_tape.h"
#include "grad/tape.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"

enum { JUDGED_FLOATS = 1 << 21 }; /* logits at a time */

typedef struct judge_job {
    float *logits; /* [n, vocab] */
    const float *bias;
    const uint32_t *word;
    size_t vocab;
    double *loss; /* [n] */
    bool *right;  /* [n] */
} judge_job;

static void judge_task(void *ctx, size_t first, size_t last)
{
    const judge_job *job = ctx;
    const kua__kernels *k = kua__kernels_get();
    for (size_t r = first; r < last; r++) {
        float *row = job->logits + r * job->vocab;
        job->loss[r] = 0;
        job->right[r] = false;
        if (job->word[r] == KUA__NO_ID) continue;
        if (job->bias) k->add(row, row, job->bias, job->vocab);
        float most = k->max(row, job->vocab), own = row[job->word[r]];
        job->right[r] = own == most;
        job->loss[r] = log((double)k->exp_sum(row, row, most, job->vocab)) + (double)(most - own);
    }
}

static kua_status judge_rows(const kua__var *h, const kua__param *table, judge_job *job,
                             size_t first, size_t n)
{
    assert(first + n <= h->rows && table->cols == h->cols);
    KUA__TRY(kua__gemm(false, true, n, table->rows, h->cols, 1, h->value + first * h->cols, h->cols,
                       table->value, h->cols, 0, job->logits, table->rows));
    kua__parallel_for(n, 1, judge_task, job);
    return KUA_OK;
}

kua_status kua__word_judge(kua__tape *t, const kua__tape_model *model, kua__var *x,
                           const uint32_t *word, kua__word_score *score)
{
    assert(t && model && score && (word || !x || x->rows == 0));
    const kua__param *table = kua__word_table(model), *bias = kua__word_bias(model);
    const kua__var *h = kua__word_states(t, model, x);
    if (!h) return kua__tape_status(t);
    size_t some = KUA__MIN(KUA__MAX((size_t)JUDGED_FLOATS / table->rows, 1), KUA__MAX(h->rows, 1));
    judge_job job = {.bias = bias ? bias->value : NULL, .vocab = table->rows};
    job.logits = kua__tape_floats(t, some, table->rows);
    job.loss = kua__tape_alloc(t, some * sizeof(*job.loss));
    job.right = kua__tape_alloc(t, some * sizeof(*job.right));
    if (!job.logits || !job.loss || !job.right) return kua__tape_status(t);
    for (size_t first = 0; first < h->rows; first += some) {
        size_t n = KUA__MIN(some, h->rows - first);
        job.word = word + first;
        KUA__TRY(judge_rows(h, table, &job, first, n));
        for (size_t r = 0; r < n; r++) {
            score->loss += job.loss[r];
            score->right += job.right[r];
            score->counted += job.word[r] != KUA__NO_ID;
        }
    }
    return KUA_OK;
}

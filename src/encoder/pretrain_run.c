/* pretrain_run.c - steps, epochs, evaluation, the best weights.
 *
 *     epoch: shuffle -> (batches -> loss -> gradients)* accumulate -> step
 *     every total / evals steps: held-out text; the best weights go to a file of their own
 *
 * A step's gradient is that of the mean over all tokens asked in its batches, whatever their
 * number: each batch's loss is weighted by how many it asks. An order, the batches cut from it and
 * the masks depend on seed and epoch alone, so the state of a run is its weights, moments, and
 * where in the order it is.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "encoder/pretrain.h"

static const uint64_t ORDER_STREAM = 1000; /* + the epoch */

/* ---- plan ---- */

static void shuffle(const kua__pretraining *r, size_t epoch)
{
    kua__rng rng = kua__rng_make(r->settings->seed, ORDER_STREAM + epoch);
    for (size_t i = 0; i < r->corpus->n_train; i++)
        r->order[i] = (uint32_t)i;
    kua__rng_shuffle(&rng, r->order, r->corpus->n_train);
}

static kua_status plan(kua__pretraining *r)
{
    const kua__corpus *c = r->corpus;
    const kua__pretrain_settings *s = r->settings;
    KUA__TRY(KUA__NEW_ARRAY(&r->order, c->n_train + 1, "the order of examples"));
    KUA__TRY(KUA__NEW_ARRAY(&r->held, c->n_held + 1, "held-out examples"));
    for (size_t i = 0; i < c->n_held; i++)
        r->held[i] = (uint32_t)(c->n_train + i);
    KUA__TRY(kua__words_batch_init(&r->batch, s->batch_tokens, c->longest));
    r->total = s->steps;
    for (size_t e = 0; s->steps == 0 && e < s->epochs; e++) {
        shuffle(r, e);
        r->total += kua__words_batch_steps(c, r->objective, s, r->order);
    }
    r->every = KUA__MAX((r->total + s->evals - 1) / s->evals, 1);
    shuffle(r, 0);
    return KUA_OK;
}

static void begin_optimiser(kua__pretraining *r)
{
    const kua__pretrain_settings *s = r->settings;
    kua__optim_options o = kua__optim_defaults();
    o.lr = (float)s->lr;
    o.weight_decay = (float)s->weight_decay;
    o.clip_norm = (float)s->clip;
    o.beta2 = r->objective == KUA_OBJECTIVE_CLM ? .95f : .999f; /* as GPT-3 has it */
    o.schedule = KUA__COSINE;
    o.warmup_steps = (uint64_t)(s->warmup * (double)r->total);
    o.total_steps = r->total;
    o.final_scale = .05f;
    kua__optim_init(&r->optim, &o);
}

/* ---- a step ---- */

static void next_epoch(kua__pretraining *r)
{
    if (r->cursor < r->corpus->n_train) return;
    r->epoch++;
    r->cursor = 0;
    shuffle(r, r->epoch);
    kua__tuning_epoch(&r->tuning, r->epoch);
}

static size_t fill(kua__pretraining *r, size_t at)
{
    return kua__words_batch_fill(&r->batch, r->corpus, r->objective, r->settings, r->order, at,
                                 r->corpus->n_train, r->epoch);
}

static double asked_in(const kua__pretraining *r)
{
    return r->objective == KUA_OBJECTIVE_CONTRASTIVE ? (double)r->batch.n / 2
                                                     : (double)r->batch.n_rows;
}

/* How much the next `accumulate` batches ask together. */
static double asked_in_step(kua__pretraining *r)
{
    double n = 0;
    size_t at = r->cursor;
    for (size_t i = 0; i < r->settings->accumulate && at < r->corpus->n_train; i++) {
        at = fill(r, at);
        n += asked_in(r);
    }
    return n;
}

/* total: what its step asks; 0: this batch is all of it. */
static kua_status one_batch(kua__pretraining *r, double total)
{
    r->cursor = fill(r, r->cursor);
    double n = asked_in(r);
    r->tokens += r->batch.tokens;
    if (n == 0) return KUA_OK; /* no token of these was drawn */
    kua__tape_reset(r->tape);
    kua__var *loss = kua__pretrain_loss(r);
    float share = total > 0 ? (float)(n / total) : 1;
    KUA__TRY(kua__tape_backward(r->tape, kua__scale(r->tape, loss, share)));
    r->train_sum += loss->value[0] * n;
    r->train_n += (size_t)n;
    return KUA_OK;
}

static kua_status step(kua__pretraining *r)
{
    next_epoch(r);
    double total = r->settings->accumulate > 1 ? asked_in_step(r) : 0;
    for (size_t i = 0; i < r->settings->accumulate && r->cursor < r->corpus->n_train; i++)
        KUA__TRY(one_batch(r, total));
    r->step++;
    kua__tuning_pull(&r->tuning);
    return kua__optim_step(&r->optim, &r->params);
}

/* ---- evaluation ---- */

static json_t *describe(const kua__pretraining *r, const kua__judged *j)
{
    json_t *point = json_pack("{s:I,s:I,s:f,s:f}", "step", (json_int_t)r->step, "epoch",
                              (json_int_t)r->epoch, "loss", j->loss, "accuracy", j->accuracy);
    if (r->objective != KUA_OBJECTIVE_CONTRASTIVE)
        json_object_set_new(point, "perplexity", json_real(exp(KUA__MIN(j->loss, 700))));
    if (r->objective == KUA_OBJECTIVE_CLM)
        json_object_set_new(point, "bits_per_character", json_real(j->bits));
    return point;
}

static void tell(const kua__pretraining *r, const kua__judged *j, double train)
{
    char more[64] = "";
    if (r->objective == KUA_OBJECTIVE_CLM)
        snprintf(more, sizeof(more), ", %.4f bits a character", j->bits);
    kua__log_line(r->monitor, KUA_LOG_INFO,
                  "step %zu of %zu: train %.4f, held-out loss %.4f, accuracy %.4f%s", r->step,
                  r->total, train, j->loss, j->accuracy, more);
}

static kua_status keep(kua__pretraining *r, json_t *point)
{
    json_decref(r->best);
    r->best = kua__json_copy(point);
    return r->best ? kua__pretrain_save_best(r) : kua__fail_nomem(1, "a curve");
}

static kua_status evaluate(kua__pretraining *r)
{
    kua__judged j;
    KUA__TRY(kua__pretrain_judge(r, &j));
    double train = r->train_n ? r->train_sum / (double)r->train_n : 0;
    unsigned long lost = kua__json_lost();
    json_t *point = describe(r, &j);
    if (r->step) json_object_set_new(point, "train", json_real(train));
    json_object_set_new(point, "lr", json_real(r->optim.lr));
    json_array_append(r->curve, point);
    kua_status st = kua__json_whole(lost, "a curve");
    bool better = r->corpus->n_held == 0 || j.loss < r->best_loss || !r->best;
    if (!st && r->step == 0) r->before = json_incref(point);
    r->worse = better ? 0 : r->worse + 1;
    r->train_sum = 0;
    r->train_n = 0;
    if (better) {
        r->best_loss = j.loss;
        r->best_step = r->step;
    }
    if (!st && better) st = keep(r, point);
    json_decref(point);
    if (!st) tell(r, &j, train);
    return st;
}

/* ---- the whole ---- */

static bool is_over(const kua__pretraining *r)
{
    return r->step >= r->total || (r->settings->patience && r->worse >= r->settings->patience);
}

static kua_status go_on(kua__pretraining *r)
{
    enum { SECONDS_BETWEEN_SAVES = 300 };
    double saved = kua__seconds();
    while (!is_over(r)) {
        kua_status st = kua__progress(r->monitor, "pretrain", r->step, r->total);
        if (st == KUA_CANCELED) {
            KUA__TRY(kua__pretrain_save(r));
            return kua__fail(KUA_CANCELED,
                             "pre-training: stopped at step %zu of %zu; the same call "
                             "goes on from %s",
                             r->step, r->total, r->checkpoint);
        }
        KUA__TRY(st);
        KUA__TRY(step(r));
        if (r->step % r->every == 0 || r->step == r->total) KUA__TRY(evaluate(r));
        if (kua__seconds() - saved > SECONDS_BETWEEN_SAVES) {
            KUA__TRY(kua__pretrain_save(r));
            saved = kua__seconds();
        }
    }
    return kua__progress(r->monitor, "pretrain", r->total, r->total);
}

kua_status kua__pretrain_train(kua__pretraining *r)
{
    assert(r && r->tape && r->corpus && r->settings);
    bool found = false;
    KUA__TRY(plan(r));
    begin_optimiser(r);
    KUA__TRY(kua__pretrain_identify(r));
    if (!(r->curve = json_array())) return kua__fail_nomem(1, "a curve");
    KUA__TRY(kua__pretrain_restore(r, &found));
    if (found) {
        shuffle(r, r->epoch);
        kua__tuning_epoch(&r->tuning, r->epoch);
        kua__log_line(r->monitor, KUA_LOG_INFO, "goes on at step %zu of %zu", r->step, r->total);
    } else {
        KUA__TRY(evaluate(r));
    }
    KUA__TRY(go_on(r));
    return kua__pretrain_load_best(r);
}

/* sequence_fit.c - training: steps, epochs, early stopping, the repeat term.
 *
 *     epoch: shuffle -> (batch -> tape -> step)* -> NDCG@10 on validation users
 *                          keep the best weights; stop `patience` epochs after the best
 *
 * What is validated and kept is a moving average of the weights: at this learning rate and dropout
 * one epoch's weights differ from the next one's by more than training still improves them, and
 * stopping early on that noise costs quality.
 *
 * After each epoch the state goes to the checkpoint file, if there is one (sequence_resume.c).
 *
 * Without validation events training runs for `blind_epochs` and keeps the last weights.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "rec/sequence_run.h"
#include "tensor/kernels.h"

/* ---- one step, one epoch ---- */

/* The loss of states h of length 1 / tau over the items of the batch's domain, or a draw of them.
 */
static kua__var *loss_of(kua__run *r, const kua__batch *b, kua__var *h, size_t n)
{
    kua__tape *t = r->tape;
    size_t d = b->domain, drawn = kua__run_drawn_items(r, d),
           n_items = r->domain[d].train->log->n_items;
    if (drawn == 0) {
        kua__var *table = kua__l2_normalize(t, kua__sequence_table(t, r->s, d), 1e-12f);
        return kua__softmax_loss(t, h, table, r->target);
    }
    kua__candidates some = kua__draw_candidates(t, n_items, r->share[d], drawn, r->target, n);
    if (!some.item) return NULL;
    kua__var *table = kua__sequence_rows(t, r->s, d, some.item, some.n);
    return kua__sampled_loss(t, h, kua__l2_normalize(t, table, 1e-12f), &some, r->target);
}

static kua_status step(kua__run *r, const kua__batch *b, double *loss_sum, size_t *loss_n)
{
    kua__tape *t = r->tape;
    kua__sequence *s = r->s;
    size_t n = kua__run_fill_batch(r, b);
    if (n == 0) return KUA_OK; /* nothing new in it */
    kua__tape_reset(t);
    kua__sequence_events events = {r->position, r->type, {b->n, r->at}};
    kua__var *x = kua__sequence_inputs(t, s, b->domain, r->token, r->at[b->n]);
    kua__var *h = kua__sequence_states(t, s, x, &events, false);
    h = kua__l2_normalize(t, kua__gather_rows(t, h, r->input, n), 1e-12f);
    kua__var *loss = loss_of(r, b, kua__scale(t, h, 1 / s->options.tau), n);
    KUA__TRY(kua__tape_backward(t, loss));
    *loss_sum += loss->value[0] * (double)n;
    *loss_n += n;
    KUA__TRY(kua__optim_step(&r->optim, &s->params));
    if (r->average.n) kua__ema_update(&r->average, &s->params);
    return KUA_OK;
}

static kua_status epoch(kua__run *r, size_t number, size_t epochs, double *loss)
{
    double sum = 0;
    size_t n = 0;
    KUA__TRY(kua__run_plan_epoch(r));
    for (size_t i = 0; i < r->n_batches; i++) {
        KUA__TRY(step(r, &r->batch[r->batch_order[i]], &sum, &n));
        KUA__TRY(kua__progress(r->monitor, "train", number * r->n_batches + i + 1,
                               epochs * r->n_batches));
    }
    *loss = n ? sum / (double)n : 0;
    return KUA_OK;
}

/* ---- validation ---- */

static kua_status plan_validation(kua__run *r)
{
    size_t largest = 0;
    KUA__TRY(KUA__NEW_ZEROED(&r->user, r->n_domains, "validation users"));
    KUA__TRY(KUA__NEW_ZEROED(&r->n_users, r->n_domains, "validation users"));
    for (size_t d = 0; d < r->n_domains; d++) {
        KUA__TRY(kua__sequence_valid_users(&r->domain[d], r->s->options.valid_users, r->rng.seed,
                                           &r->user[d], &r->n_users[d]));
        largest = KUA__MAX(largest, r->domain[d].train->log->n_items);
    }
    r->repeats = kua__repeat_share(r->domain[0].train) >= 0.01;
    size_t n_items = r->domain[0].train->log->n_items;
    KUA__TRY(KUA__NEW_ARRAY(&r->s->rate, n_items, "item rates"));
    KUA__TRY(kua__repeat_rates(r->domain[0].train, r->s->rate));
    return KUA__NEW_ARRAY(&r->table, 2 * largest * r->s->options.dim, "item vectors");
}

static bool has_validation(const kua__run *r)
{
    size_t users = 0;
    for (size_t d = 0; d < r->n_domains; d++)
        users += r->n_users[d];
    return users > 0;
}

/* The mean over the domains. */
static kua_status validate(kua__run *r, kua__judgement *out)
{
    double counted = 0;
    *out = (kua__judgement){0};
    for (size_t d = 0; d < r->n_domains; d++) {
        float *output = r->table + r->domain[d].train->log->n_items * r->s->options.dim;
        kua__judgement one;
        if (r->n_users[d] == 0) continue;
        KUA__TRY(kua__sequence_tables(r->s, d, r->table, output));
        KUA__TRY(kua__run_judge(r, d, &(kua__run_tables){r->table, output}, NULL, 1, &one));
        out->ndcg += (one.ndcg - out->ndcg) / ++counted;
        if (d == 0) out->fresh = one.fresh, out->all = one.all;
    }
    return KUA_OK;
}

kua_status kua__run_keep_best(kua__run *r)
{
    const kua__params *params = &r->s->params;
    if (!r->best) KUA__TRY(KUA__NEW_ZEROED(&r->best, params->n, "the best weights"));
    for (size_t i = 0; i < params->n; i++) {
        const kua__param *p = params->all[i];
        size_t n = p->rows * p->cols;
        if (!r->best[i]) KUA__TRY(KUA__NEW_ARRAY(&r->best[i], n, "the best weights"));
        memcpy(r->best[i], p->value, n * sizeof(float));
    }
    return KUA_OK;
}

static void return_to_best(kua__run *r)
{
    for (size_t i = 0; r->best && i < r->s->params.n; i++) {
        kua__param *p = r->s->params.all[i];
        memcpy(p->value, r->best[i], p->rows * p->cols * sizeof(float));
    }
}

/* Exchanges the weights with their average: it is what validation sees and what is kept. */
static void swap_average(kua__run *r)
{
    if (r->average.n) kua__ema_swap(&r->average, &r->s->params);
}

/* Validates the average; keeps it where it is the best so far. */
static kua_status judge(kua__run *r, size_t number, kua__judgement *judgement)
{
    swap_average(r);
    kua_status st = validate(r, judgement);
    if (!st && judgement->ndcg > r->best_ndcg) {
        r->best_ndcg = judgement->ndcg;
        r->best_epoch = number;
        st = kua__run_keep_best(r);
        if (!st) st = kua__run_save_best(r);
    }
    swap_average(r);
    return st;
}

/* ---- all epochs ---- */

/* j: NULL where nobody was asked */
static kua_status note(kua__run *r, size_t number, double loss, const kua__judgement *j,
                       double seconds)
{
    json_t *point =
        json_pack("{s:i,s:f,s:f}", "epoch", (int)number, "loss", loss, "seconds", seconds);
    bool failed = !point || (j && json_object_set_new(point, "valid", json_real(j->ndcg)));
    if (json_array_append_new(r->curve, point) || failed)
        return kua__fail_nomem(1, "a training curve");
    char quality[80] = "";
    if (j && r->repeats)
        snprintf(quality, sizeof(quality), ", ndcg@10 %.4f (new %.4f, all %.4f)", j->ndcg, j->fresh,
                 j->all);
    else if (j)
        snprintf(quality, sizeof(quality), ", ndcg@10 %.4f", j->ndcg);
    kua__log_line(r->monitor, KUA_LOG_INFO, "sequence: epoch %zu: loss %.4f, %.1f s%s", number,
                  loss, seconds, quality);
    return KUA_OK;
}

static bool is_over(const kua__run *r, size_t number)
{
    return number >= r->s->options.epochs ||
           (number > 0 && number - r->best_epoch >= r->s->options.patience);
}

static kua_status train_watched(kua__run *r)
{
    size_t e;
    r->best_ndcg = -1;
    KUA__TRY(kua__run_restore(r, true, &e));
    while (!is_over(r, e)) {
        double loss, begun = kua__seconds();
        kua__judgement judgement;
        KUA__TRY(epoch(r, e++, r->s->options.epochs, &loss));
        double seconds = kua__seconds() - begun;
        KUA__TRY(judge(r, e, &judgement));
        KUA__TRY(note(r, e, loss, &judgement, seconds));
        KUA__TRY(kua__run_save(r, e));
    }
    return_to_best(r);
    return KUA_OK;
}

static kua_status train_blind(kua__run *r)
{
    size_t e, epochs = KUA__MIN(r->s->options.epochs, r->s->options.blind_epochs);
    KUA__TRY(kua__run_restore(r, false, &e));
    while (e < epochs) {
        double loss, begun = kua__seconds();
        KUA__TRY(epoch(r, e++, epochs, &loss));
        KUA__TRY(note(r, e, loss, NULL, kua__seconds() - begun));
        r->best_epoch = e;
        KUA__TRY(kua__run_save(r, e));
    }
    swap_average(r);
    return KUA_OK;
}

/* ---- after training ---- */

static kua_status make_ready(kua__run *r)
{
    kua__sequence *s = r->s;
    size_t n_items = r->domain[0].train->log->n_items, n = n_items * s->options.dim;
    s->rec.n_items = n_items;
    KUA__TRY(KUA__NEW_ARRAY(&s->input, n, "item vectors"));
    KUA__TRY(KUA__NEW_ARRAY(&s->output, n, "item vectors"));
    KUA__TRY(kua__sequence_tables(s, 0, s->input, s->output));
    return kua__run_choose_mixture(r, &(kua__run_tables){s->input, s->output});
}

/* {"itemknn": what it chose, ..}; NULL: no memory */
static json_t *partners_settings(const kua__sequence *s)
{
    json_t *all = json_object();
    for (size_t i = 0; i < s->n_partners && all; i++) {
        const kua__rec *rec = s->partner[i].rec;
        json_t *chosen = json_object_get(rec->facts, "chosen");
        if (!chosen || !json_object_set(all, rec->ops->name, chosen)) continue;
        json_decref(all);
        all = NULL;
    }
    return all;
}

/* What a later fit on more data, without validation, should be given. */
static kua_status tell_chosen(kua__run *r)
{
    const kua__sequence *s = r->s;
    json_t *weights = NULL;
    KUA__TRY(kua__partners_weights(s, &weights));
    json_t *chosen = json_pack(
        "{s:I,s:f,s:f,s:f,s:o,s:o}", "blind_epochs", (json_int_t)KUA__MAX(r->best_epoch, 1),
        "repeat_weight", s->repeat.weight, "repeat_half_life", s->repeat.half_life, "repeat_power",
        s->repeat.power, "partner_settings", partners_settings(s), "partner_weights", weights);
    int failed = !chosen;
    if (chosen && s->n_partners == 0)
        failed |= json_object_set_new(chosen, "partners", json_string("none"));
    if (chosen) failed |= json_object_set(s->rec.facts, "chosen", chosen);
    json_decref(chosen);
    return failed ? kua__fail_nomem(1, "facts about training") : KUA_OK;
}

static kua_status tell_facts(kua__run *r)
{
    json_t *facts = r->s->rec.facts;
    int failed = json_object_set_new(facts, "epochs", json_integer((json_int_t)r->best_epoch));
    if (has_validation(r))
        failed |= json_object_set_new(facts, "valid_ndcg@10", json_real(r->best_ndcg));
    failed |= json_object_set_new(facts, "repeat_weight", json_real(r->s->repeat.weight));
    failed |= json_object_set_new(facts, "parameters",
                                  json_integer((json_int_t)kua__params_count(&r->s->params)));
    failed |= json_object_set(facts, "curve", r->curve);
    json_t *weights = NULL;
    KUA__TRY(kua__partners_weights(r->s, &weights));
    failed |= json_object_set_new(facts, "partners", weights);
    return failed ? kua__fail_nomem(1, "facts about training") : tell_chosen(r);
}

/* n / (n + id_evidence), for n training events; 1 where ids are all there is. */
static kua_status count_evidence(const kua__run *r, size_t d, float **out)
{
    const kua__cut *cut = r->domain[d].train;
    const kua__log *log = cut->log;
    float prior = r->s->whitening.k ? r->s->options.id_evidence : 0;
    KUA__TRY(KUA__NEW_ZEROED(out, log->n_items, "item counts"));
    float *evidence = *out;
    for (size_t u = 0; u < log->n_users; u++) {
        for (size_t i = log->user_at[u]; i < cut->end[u]; i++)
            evidence[log->item[i]] += 1;
    }
    for (size_t i = 0; i < log->n_items; i++)
        evidence[i] = prior > 0 ? evidence[i] / (evidence[i] + prior) : 1;
    return KUA_OK;
}

static kua_status make_items(kua__run *r)
{
    kua__sequence *s = r->s;
    assert(!s->items && r->n_domains >= 1);
    KUA__TRY(KUA__NEW_ZEROED(&s->items, r->n_domains, "item tables"));
    s->n_domains = r->n_domains;
    for (size_t d = 0; d < r->n_domains; d++) {
        kua__sequence_items *items = &s->items[d];
        char name[32];
        items->n = r->domain[d].train->log->n_items;
        snprintf(name, sizeof(name), "ids%zu", d);
        if (s->options.use_ids || !s->whitening.k)
            KUA__TRY(kua__params_add_table(&s->params, name, items->n, s->options.dim,
                                           s->options.id_std, &r->rng, &items->ids));
        KUA__TRY(count_evidence(r, d, &items->evidence));
        snprintf(name, sizeof(name), "domain%zu", d);
        KUA__TRY(kua__params_add(&s->params, name, 1, s->options.dim, KUA__INIT_ZEROS, 0, &r->rng,
                                 &items->domain));
        if (!s->whitening.k) continue;
        KUA__TRY(KUA__NEW_ARRAY(&items->text, items->n * s->whitening.k, "whitened text"));
        KUA__TRY(
            kua__whitening_apply(&s->whitening, r->domain[d].side->vector, items->n, items->text));
    }
    return KUA_OK;
}

/* log(1 + buyers): one household that buys baby food every week says nothing about the others. */
static kua_status count_buyers(const kua__cut *cut, float *popularity)
{
    const kua__log *log = cut->log;
    uint32_t *last = NULL; /* [n_items] number + 1 of the last buyer seen */
    KUA__TRY(KUA__NEW_ZEROED(&last, log->n_items, "item counts"));
    memset(popularity, 0, log->n_items * sizeof(*popularity));
    for (size_t u = 0; u < log->n_users; u++) {
        for (size_t i = log->user_at[u]; i < cut->end[u]; i++) {
            popularity[log->item[i]] += last[log->item[i]] != u + 1;
            last[log->item[i]] = (uint32_t)u + 1;
        }
    }
    for (size_t i = 0; i < log->n_items; i++)
        popularity[i] = log1pf(popularity[i]);
    kua__free(last);
    return KUA_OK;
}

/* Per step, so that the average reaches back `averaging` epochs. */
static float average_decay(const kua__run *r)
{
    double tokens = 0, batch_tokens = (double)r->s->options.batch_tokens;
    for (size_t i = 0; i < r->n_windows; i++)
        tokens += r->window[i].n;
    if (r->s->options.epoch_tokens)
        tokens = fmin(tokens, (double)(r->s->options.epoch_tokens * r->n_domains));
    double steps = r->s->options.averaging * fmax(tokens / batch_tokens, 1);
    return (float)exp(-1 / steps);
}

static kua_status plan(kua__run *r)
{
    const kua__sequence_options *o = &r->s->options;
    kua__optim_options options = kua__optim_defaults();
    options.lr = o->lr;
    options.beta2 = o->beta2;
    options.weight_decay = o->weight_decay;
    options.clip_norm = o->clip;
    options.warmup_steps = o->warmup;
    kua__optim_init(&r->optim, &options);
    r->curve = json_array();
    if (!r->curve) return kua__fail_nomem(1, "a training curve");
    KUA__TRY(make_items(r));
    KUA__TRY(kua__run_plan_windows(r));
    KUA__TRY(KUA__NEW_ARRAY(&r->s->popularity, r->domain[0].train->log->n_items, "item counts"));
    KUA__TRY(count_buyers(r->domain[0].train, r->s->popularity));
    KUA__TRY(plan_validation(r));
    if (o->averaging > 0) KUA__TRY(kua__ema_init(&r->average, &r->s->params, average_decay(r)));
    return kua__tape_create(&(kua__tape_options){.seed = r->seed, .bf16 = o->bf16}, &r->tape);
}

static void fit_release(kua__run *r)
{
    kua__tape_free(r->tape);
    kua__ema_release(&r->average);
    kua__run_release_batches(r);
    for (size_t d = 0; r->user && d < r->n_domains; d++)
        kua__free(r->user[d]);
    kua__free(r->user);
    kua__free(r->n_users);
    kua__free(r->table);
    for (size_t i = 0; r->best && i < r->s->params.n; i++)
        kua__free(r->best[i]);
    kua__free(r->best);
    json_decref(r->curve);
}

kua_status kua__sequence_train(kua__sequence *s, const kua__sequence_domain *domains, size_t n,
                               uint64_t seed, const char *checkpoint, const kua_monitor *monitor)
{
    kua__run r = {.s = s,
                  .domain = domains,
                  .n_domains = n,
                  .seed = seed,
                  .checkpoint = checkpoint,
                  .monitor = monitor};
    r.rng = kua__rng_make(seed, 2);
    kua_status st = plan(&r);
    if (!st) st = kua__run_identify(&r);
    if (!st) st = has_validation(&r) ? train_watched(&r) : train_blind(&r);
    if (!st) st = make_ready(&r);
    if (!st) st = tell_facts(&r);
    if (!st) kua__partners_drop_idle(s);
    if (!st) kua__run_forget(&r);
    fit_release(&r);
    return st;
}

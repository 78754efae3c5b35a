/* sequence_fit.c - training: windows, batches, epochs, early stopping, the repeat term.
 *
 * A history is cut from its end into windows of maxlen events; neighbouring windows share one
 * event, so that every event but the first is predicted exactly once. A batch takes windows of one
 * domain in random order until it has batch_tokens: then one step needs one item table, and its
 * softmax runs over that domain's items. With several domains their batches are shuffled together.
 *
 *     epoch: shuffle -> (batch -> tape -> step)* -> NDCG@10 on validation users
 *                          keep the best weights; stop `patience` epochs after the best
 *
 * What is validated and kept is a moving average of the weights: at this learning rate and dropout
 * one epoch's weights differ from the next one's by more than training still improves them, and
 * stopping early on that noise costs quality.
 *
 * Without validation events training runs for `blind_epochs` and keeps the last weights.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "rec/sequence_model.h"
#include "tensor/kernels.h"

/* A full softmax costs as much as its items: above FULL_MAX a step draws some instead. */
enum { FULL_MAX = 30000, DRAWN_DEFAULT = 4096 };

typedef struct window {
    const uint32_t *item;
    uint32_t n;
} window;

typedef struct batch {
    uint32_t domain;
    size_t first, n; /* windows, in `order` */
} batch;

typedef struct fit {
    kua__sequence *s;
    const kua__sequence_domain *domain; /* [n_domains] */
    size_t n_domains;
    const kua_monitor *monitor;
    kua__rng rng;
    kua__tape *tape;
    kua__optim optim;
    kua__ema average; /* of the weights n 0: off */

    window *window; /* domain by domain: window_at[d] .. window_at[d + 1] */
    size_t n_windows, window_capacity, *window_at;
    uint32_t *order; /* [n_windows] shuffled within each domain */
    batch *batch;
    uint32_t *batch_order;
    size_t n_batches, batch_capacity;
    uint32_t *token, *position, *at, *input, *target; /* of one batch */
    float *
        *share; /* [n_domains][n_items]: of the targets, where the softmax is sampled; else NULL */

    uint32_t **user; /* [n_domains] of validation */
    size_t *n_users;
    bool repeats; /* of the first domain */
    float *table; /* [2, largest n_items, dim] for validation */
    float **best; /* [params.n] */
    double best_ndcg;
    size_t best_epoch;
    json_t *curve;
} fit;

/* ---- windows and batches ---- */

static kua_status add_window(fit *f, const uint32_t *item, size_t n)
{
    KUA__TRY(KUA__GROW(&f->window, &f->window_capacity, f->n_windows, "training windows"));
    f->window[f->n_windows++] = (window){item, (uint32_t)n};
    return KUA_OK;
}

static kua_status cut_windows(fit *f, const kua__cut *cut)
{
    const kua__log *log = cut->log;
    size_t maxlen = KUA__MAX(f->s->options.maxlen, 2);
    for (size_t u = 0; u < log->n_users; u++) {
        size_t begin = log->user_at[u], end = cut->end[u];
        while (end - begin > 1) {
            size_t first = end - begin > maxlen ? end - maxlen : begin;
            KUA__TRY(add_window(f, log->item + first, end - first));
            if (first == begin) break;
            end = first + 1;
        }
    }
    return KUA_OK;
}

static kua_status plan_windows(fit *f)
{
    KUA__TRY(KUA__NEW_ZEROED(&f->window_at, f->n_domains + 1, "training windows"));
    for (size_t d = 0; d < f->n_domains; d++) {
        KUA__TRY(cut_windows(f, f->domain[d].train));
        f->window_at[d + 1] = f->n_windows;
    }
    KUA__TRY(KUA__NEW_ARRAY(&f->order, f->n_windows, "training windows"));
    for (size_t i = 0; i < f->n_windows; i++)
        f->order[i] = (uint32_t)i;
    size_t tokens = f->s->options.batch_tokens + f->s->options.maxlen + 2;
    KUA__TRY(KUA__NEW_ARRAY(&f->token, 5 * tokens, "a batch"));
    f->position = f->token + tokens;
    f->at = f->token + 2 * tokens;
    f->input = f->token + 3 * tokens;
    f->target = f->token + 4 * tokens;
    return KUA_OK;
}

/* How many items are drawn for a step of domain d; 0: the softmax is over all of them. */
static size_t drawn_items(const fit *f, size_t d)
{
    int64_t negatives = f->s->options.negatives;
    size_t n_items = f->domain[d].train->log->n_items;
    if (negatives < 0) negatives = n_items > FULL_MAX ? DRAWN_DEFAULT : 0;
    return (size_t)negatives < n_items ? (size_t)negatives : 0;
}

static kua_status plan_draws(fit *f)
{
    KUA__TRY(KUA__NEW_ZEROED(&f->share, f->n_domains, "item shares"));
    for (size_t d = 0; d < f->n_domains; d++) {
        size_t events = 0;
        if (drawn_items(f, d) == 0) continue;
        KUA__TRY(KUA__NEW_ZEROED(&f->share[d], f->domain[d].train->log->n_items, "item shares"));
        for (size_t w = f->window_at[d]; w < f->window_at[d + 1]; w++) {
            for (size_t k = 1; k < f->window[w].n; k++, events++)
                f->share[d][f->window[w].item[k]] += 1;
        }
        for (size_t i = 0; i < f->domain[d].train->log->n_items && events; i++)
            f->share[d][i] /= (float)events;
    }
    return KUA_OK;
}

static kua_status add_batch(fit *f, size_t domain, size_t first, size_t n)
{
    KUA__TRY(KUA__GROW(&f->batch, &f->batch_capacity, f->n_batches, "batches"));
    f->batch[f->n_batches++] = (batch){(uint32_t)domain, first, n};
    return KUA_OK;
}

static kua_status plan_epoch(fit *f)
{
    f->n_batches = 0;
    for (size_t d = 0; d < f->n_domains; d++) {
        size_t first = f->window_at[d], last = f->window_at[d + 1], tokens = 0, all = 0;
        size_t most = f->s->options.epoch_tokens ? f->s->options.epoch_tokens : SIZE_MAX;
        kua__rng_shuffle(&f->rng, f->order + first, last - first);
        for (size_t i = first; i < last && all < most; i++) {
            tokens += f->window[f->order[i]].n;
            if (tokens < f->s->options.batch_tokens && i + 1 < last) continue;
            KUA__TRY(add_batch(f, d, first, i + 1 - first));
            first = i + 1;
            all += tokens;
            tokens = 0;
        }
    }
    kua__free(f->batch_order);
    KUA__TRY(KUA__NEW_ARRAY(&f->batch_order, f->n_batches, "batches"));
    for (size_t i = 0; i < f->n_batches; i++)
        f->batch_order[i] = (uint32_t)i;
    if (f->n_domains > 1) kua__rng_shuffle(&f->rng, f->batch_order, f->n_batches);
    return KUA_OK;
}

/* Tokens of all windows; inputs are all but the last of each, targets their followers. */
static size_t fill_batch(fit *f, const batch *b)
{
    size_t n = 0, n_inputs = 0;
    f->at[0] = 0;
    for (size_t i = 0; i < b->n; i++) {
        const window *w = &f->window[f->order[b->first + i]];
        for (uint32_t k = 0; k < w->n; k++) {
            if (k + 1 < w->n) {
                f->input[n_inputs] = (uint32_t)n;
                f->target[n_inputs++] = w->item[k + 1];
            }
            f->token[n] = w->item[k];
            f->position[n++] = k;
        }
        f->at[i + 1] = (uint32_t)n;
    }
    return n_inputs;
}

/* ---- one step, one epoch ---- */

/* The loss of states h of length 1 / tau over the items of the batch's domain, or a draw of them.
 */
static kua__var *loss_of(fit *f, const batch *b, kua__var *h, size_t n)
{
    kua__tape *t = f->tape;
    size_t d = b->domain, drawn = drawn_items(f, d), n_items = f->domain[d].train->log->n_items;
    if (drawn == 0) {
        kua__var *table = kua__sequence_table(t, f->s, d);
        return kua__softmax_loss(t, h, kua__l2_normalize(t, table, 1e-12f), f->target);
    }
    kua__candidates some = kua__draw_candidates(t, n_items, f->share[d], drawn, f->target, n);
    if (!some.item) return NULL;
    kua__var *table = kua__sequence_inputs(t, f->s, d, some.item, some.n);
    return kua__sampled_loss(t, h, kua__l2_normalize(t, table, 1e-12f), &some, f->target);
}

static kua_status step(fit *f, const batch *b, double *loss_sum, size_t *loss_n)
{
    kua__tape *t = f->tape;
    kua__sequence *s = f->s;
    size_t n = fill_batch(f, b);
    kua__tape_reset(t);
    kua__ragged seq = {b->n, f->at};
    kua__var *x = kua__sequence_inputs(t, s, b->domain, f->token, f->at[b->n]);
    kua__var *h = kua__sequence_states(t, s, x, f->position, seq, false);
    h = kua__l2_normalize(t, kua__gather_rows(t, h, f->input, n), 1e-12f);
    kua__var *loss = loss_of(f, b, kua__scale(t, h, 1 / s->options.tau), n);
    KUA__TRY(kua__tape_backward(t, loss));
    *loss_sum += loss->value[0] * (double)n;
    *loss_n += n;
    KUA__TRY(kua__optim_step(&f->optim, &s->params));
    if (f->average.n) kua__ema_update(&f->average, &s->params);
    return KUA_OK;
}

static kua_status epoch(fit *f, size_t number, size_t epochs, double *loss)
{
    double sum = 0;
    size_t n = 0;
    KUA__TRY(plan_epoch(f));
    for (size_t i = 0; i < f->n_batches; i++) {
        KUA__TRY(step(f, &f->batch[f->batch_order[i]], &sum, &n));
        KUA__TRY(kua__progress(f->monitor, "train", number * f->n_batches + i + 1,
                               epochs * f->n_batches));
    }
    *loss = n ? sum / (double)n : 0;
    return KUA_OK;
}

/* ---- validation ---- */

static kua_status plan_validation(fit *f)
{
    size_t largest = 0;
    KUA__TRY(KUA__NEW_ZEROED(&f->user, f->n_domains, "validation users"));
    KUA__TRY(KUA__NEW_ZEROED(&f->n_users, f->n_domains, "validation users"));
    for (size_t d = 0; d < f->n_domains; d++) {
        KUA__TRY(kua__sequence_valid_users(&f->domain[d], f->s->options.valid_users, f->rng.seed,
                                           &f->user[d], &f->n_users[d]));
        largest = KUA__MAX(largest, f->domain[d].train->log->n_items);
    }
    f->repeats = kua__sequence_repeat_share(f->domain[0].train) >= 0.01;
    return KUA__NEW_ARRAY(&f->table, 2 * largest * f->s->options.dim, "item vectors");
}

static bool has_validation(const fit *f)
{
    size_t users = 0;
    for (size_t d = 0; d < f->n_domains; d++)
        users += f->n_users[d];
    return users > 0;
}

/* The mean over the domains. */
static kua_status validate(fit *f, double *out)
{
    size_t counted = 0;
    double sum = 0;
    const float none = 0;
    for (size_t d = 0; d < f->n_domains; d++) {
        size_t n_items = f->domain[d].train->log->n_items;
        float *output = f->table + n_items * f->s->options.dim;
        double ndcg = 0;
        if (f->n_users[d] == 0) continue;
        KUA__TRY(kua__sequence_tables(f->s, d, f->table, output));
        KUA__TRY(kua__sequence_ndcg(f->s, &f->domain[d], f->table, output, f->user[d],
                                    f->n_users[d], d == 0 && f->repeats, &none, 1, &ndcg));
        sum += ndcg;
        counted++;
    }
    *out = counted ? sum / (double)counted : 0;
    return KUA_OK;
}

static kua_status keep_best(fit *f)
{
    const kua__params *params = &f->s->params;
    if (!f->best) KUA__TRY(KUA__NEW_ZEROED(&f->best, params->n, "the best weights"));
    for (size_t i = 0; i < params->n; i++) {
        const kua__param *p = params->all[i];
        size_t n = p->rows * p->cols;
        if (!f->best[i]) KUA__TRY(KUA__NEW_ARRAY(&f->best[i], n, "the best weights"));
        memcpy(f->best[i], p->value, n * sizeof(float));
    }
    return KUA_OK;
}

static void return_to_best(fit *f)
{
    for (size_t i = 0; f->best && i < f->s->params.n; i++) {
        kua__param *p = f->s->params.all[i];
        memcpy(p->value, f->best[i], p->rows * p->cols * sizeof(float));
    }
}

/* Exchanges the weights with their average: it is what validation sees and what is kept. */
static void swap_average(fit *f)
{
    if (f->average.n) kua__ema_swap(&f->average, &f->s->params);
}

/* Validates the average; keeps it where it is the best so far. */
static kua_status judge(fit *f, size_t number, double *ndcg)
{
    swap_average(f);
    kua_status st = validate(f, ndcg);
    if (!st && *ndcg > f->best_ndcg) {
        f->best_ndcg = *ndcg;
        f->best_epoch = number;
        st = keep_best(f);
    }
    swap_average(f);
    return st;
}

/* ---- all epochs ---- */

static kua_status note(fit *f, size_t number, double loss, double ndcg, double seconds)
{
    json_t *point = json_pack("{s:i,s:f,s:f,s:f}", "epoch", (int)number, "loss", loss, "valid",
                              ndcg, "seconds", seconds);
    if (!point || json_array_append_new(f->curve, point))
        return kua__fail_nomem(1, "a training curve");
    kua__log_line(f->monitor, KUA_LOG_INFO, "sequence: epoch %zu: loss %.4f, ndcg@10 %.4f, %.1f s",
                  number, loss, ndcg, seconds);
    return KUA_OK;
}

static kua_status train_watched(fit *f)
{
    const kua__sequence_options *o = &f->s->options;
    f->best_ndcg = -1;
    for (size_t e = 1; e <= o->epochs; e++) {
        double loss, ndcg, begun = kua__seconds();
        KUA__TRY(epoch(f, e - 1, o->epochs, &loss));
        double seconds = kua__seconds() - begun;
        KUA__TRY(judge(f, e, &ndcg));
        KUA__TRY(note(f, e, loss, ndcg, seconds));
        if (e - f->best_epoch >= o->patience) break;
    }
    return_to_best(f);
    return KUA_OK;
}

static kua_status train_blind(fit *f)
{
    size_t epochs = KUA__MIN(f->s->options.epochs, f->s->options.blind_epochs);
    for (size_t e = 1; e <= epochs; e++) {
        double loss, begun = kua__seconds();
        KUA__TRY(epoch(f, e - 1, epochs, &loss));
        KUA__TRY(note(f, e, loss, 0, kua__seconds() - begun));
        f->best_epoch = e;
    }
    swap_average(f);
    return KUA_OK;
}

/* ---- after training ---- */

static kua_status choose_repeat_weight(fit *f)
{
    static const float weight[] = {0, 0.25f, 0.5f, 1, 2, 4, 8, 16, 32, 64};
    double ndcg[KUA__COUNT(weight)];
    kua__sequence *s = f->s;
    size_t best = 0;
    if (s->options.repeat_weight >= 0) s->repeat_weight = s->options.repeat_weight;
    if (s->options.repeat_weight >= 0 || !f->repeats || f->n_users[0] == 0) return KUA_OK;
    KUA__TRY(kua__sequence_ndcg(s, &f->domain[0], s->input, s->output, f->user[0], f->n_users[0],
                                true, weight, KUA__COUNT(weight), ndcg));
    for (size_t i = 1; i < KUA__COUNT(weight); i++)
        best = ndcg[i] > ndcg[best] ? i : best;
    s->repeat_weight = weight[best];
    f->best_ndcg = ndcg[best];
    return KUA_OK;
}

static void count_items(const kua__cut *cut, float *popularity)
{
    const kua__log *log = cut->log;
    memset(popularity, 0, log->n_items * sizeof(*popularity));
    for (size_t u = 0; u < log->n_users; u++) {
        for (size_t i = log->user_at[u]; i < cut->end[u]; i++)
            popularity[log->item[i]] += 1;
    }
    for (size_t i = 0; i < log->n_items; i++)
        popularity[i] = log1pf(popularity[i]);
}

static kua_status make_ready(fit *f)
{
    kua__sequence *s = f->s;
    size_t n_items = f->domain[0].train->log->n_items, n = n_items * s->options.dim;
    s->rec.n_items = n_items;
    KUA__TRY(KUA__NEW_ARRAY(&s->input, n, "item vectors"));
    KUA__TRY(KUA__NEW_ARRAY(&s->output, n, "item vectors"));
    KUA__TRY(KUA__NEW_ARRAY(&s->popularity, n_items, "item counts"));
    KUA__TRY(kua__sequence_tables(s, 0, s->input, s->output));
    count_items(f->domain[0].train, s->popularity);
    return choose_repeat_weight(f);
}

static kua_status tell_facts(fit *f)
{
    json_t *facts = f->s->rec.facts;
    int failed = json_object_set_new(facts, "epochs", json_integer((json_int_t)f->best_epoch));
    if (has_validation(f))
        failed |= json_object_set_new(facts, "valid_ndcg@10", json_real(f->best_ndcg));
    failed |= json_object_set_new(facts, "repeat_weight", json_real(f->s->repeat_weight));
    failed |= json_object_set_new(facts, "parameters",
                                  json_integer((json_int_t)kua__params_count(&f->s->params)));
    failed |= json_object_set(facts, "curve", f->curve);
    /* what a later fit on more data, without validation, should be given */
    json_t *chosen = json_pack("{s:I,s:f}", "blind_epochs", (json_int_t)KUA__MAX(f->best_epoch, 1),
                               "repeat_weight", (double)f->s->repeat_weight);
    failed |= json_object_set_new(facts, "chosen", chosen);
    return failed ? kua__fail_nomem(1, "facts about training") : KUA_OK;
}

static kua_status make_items(fit *f)
{
    kua__sequence *s = f->s;
    assert(!s->items && f->n_domains >= 1);
    KUA__TRY(KUA__NEW_ZEROED(&s->items, f->n_domains, "item tables"));
    s->n_domains = f->n_domains;
    for (size_t d = 0; d < f->n_domains; d++) {
        kua__sequence_items *items = &s->items[d];
        char name[32];
        items->n = f->domain[d].train->log->n_items;
        snprintf(name, sizeof(name), "ids%zu", d);
        if (s->options.use_ids || !s->whitening.k)
            KUA__TRY(kua__params_add_table(&s->params, name, items->n, s->options.dim,
                                           s->options.id_std, &f->rng, &items->ids));
        if (!s->whitening.k) continue;
        KUA__TRY(KUA__NEW_ARRAY(&items->text, items->n * s->whitening.k, "whitened text"));
        KUA__TRY(
            kua__whitening_apply(&s->whitening, f->domain[d].side->vector, items->n, items->text));
    }
    return KUA_OK;
}

/* Per step, so that the average reaches back `averaging` epochs. */
static float average_decay(const fit *f)
{
    double tokens = 0, batch_tokens = (double)f->s->options.batch_tokens;
    for (size_t i = 0; i < f->n_windows; i++)
        tokens += f->window[i].n;
    if (f->s->options.epoch_tokens)
        tokens = fmin(tokens, (double)(f->s->options.epoch_tokens * f->n_domains));
    double steps = f->s->options.averaging * fmax(tokens / batch_tokens, 1);
    return (float)exp(-1 / steps);
}

static kua_status plan(fit *f)
{
    const kua__sequence_options *o = &f->s->options;
    kua__optim_options options = kua__optim_defaults();
    options.lr = o->lr;
    options.beta2 = o->beta2;
    options.weight_decay = o->weight_decay;
    options.clip_norm = o->clip;
    options.warmup_steps = o->warmup;
    kua__optim_init(&f->optim, &options);
    f->curve = json_array();
    if (!f->curve) return kua__fail_nomem(1, "a training curve");
    KUA__TRY(make_items(f));
    KUA__TRY(plan_windows(f));
    KUA__TRY(plan_draws(f));
    KUA__TRY(plan_validation(f));
    if (o->averaging > 0) KUA__TRY(kua__ema_init(&f->average, &f->s->params, average_decay(f)));
    return kua__tape_create(&(kua__tape_options){.seed = f->rng.seed, .bf16 = o->bf16}, &f->tape);
}

static void fit_release(fit *f)
{
    kua__tape_free(f->tape);
    kua__ema_release(&f->average);
    kua__free(f->window);
    kua__free(f->window_at);
    kua__free(f->order);
    kua__free(f->batch);
    kua__free(f->batch_order);
    kua__free(f->token);
    for (size_t d = 0; f->share && d < f->n_domains; d++)
        kua__free(f->share[d]);
    kua__free(f->share);
    for (size_t d = 0; f->user && d < f->n_domains; d++)
        kua__free(f->user[d]);
    kua__free(f->user);
    kua__free(f->n_users);
    kua__free(f->table);
    for (size_t i = 0; f->best && i < f->s->params.n; i++)
        kua__free(f->best[i]);
    kua__free(f->best);
    json_decref(f->curve);
}

kua_status kua__sequence_train(kua__sequence *s, const kua__sequence_domain *domains, size_t n,
                               uint64_t seed, const kua_monitor *monitor)
{
    fit f = {.s = s, .domain = domains, .n_domains = n, .monitor = monitor};
    f.rng = kua__rng_make(seed, 2);
    kua_status st = plan(&f);
    if (!st) st = has_validation(&f) ? train_watched(&f) : train_blind(&f);
    if (!st) st = make_ready(&f);
    if (!st) st = tell_facts(&f);
    fit_release(&f);
    return st;
}

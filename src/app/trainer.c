/* trainer.c - epochs, steps of several batches, early stopping, checkpoints.
 *
 *     for epoch:  shuffle; for step: { accumulate batches: loss / accumulate, backward; pull; Adam
 * } validate -> keep the best -> stop after `patience` epochs without a better one
 *
 * The best epoch's parameters are a copy in memory; where a checkpoint is written they go beside
 * it.
 */
#include "app/trainer.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

typedef struct run {
    kua__trainer *tr;
    kua__tape *tape;
    kua__optim optim;
    uint32_t *order;    /* [n] of this epoch */
    size_t epoch, next; /* next: the first row of `order` that this epoch has not seen */
    double loss_sum;    /* of this epoch's rows so far */
    double best_loss;   /* of validation */
    float **best;       /* [params->n] values; NULL: no epoch yet */
    size_t worse;       /* epochs since the best */
    double saved_at;
} run;

static double setting(const run *r, kua__app_setting which)
{
    return r->tr->settings->value[which];
}

/* ---- files ---- */

static char *file_of(const run *r, const char *name)
{
    return kua__path_join(r->tr->folder, name);
}

static void remove_files(const run *r)
{
    static const char *const names[] = {"checkpoint.safetensors", "best.safetensors"};
    for (size_t i = 0; i < KUA__COUNT(names); i++) {
        char *path = file_of(r, names[i]);
        if (path) (void)remove(path); /* what cannot be removed does no harm */
        kua__free(path);
    }
}

static void swap_best(run *r)
{
    for (size_t i = 0; i < r->tr->params->n; i++) {
        float *value = r->tr->params->all[i]->value;
        if (!r->best[i]) continue; /* frozen all along */
        r->tr->params->all[i]->value = r->best[i];
        r->best[i] = value;
    }
}

static kua_status save_best(run *r)
{
    if (!r->best) return KUA_OK;
    char *path = file_of(r, "best.safetensors");
    if (!path) return kua__fail_nomem(0, "a path");
    swap_best(r);
    kua_status st = kua__checkpoint_save(path, &(kua__checkpoint){.params = r->tr->params}, NULL);
    swap_best(r);
    kua__free(path);
    return st;
}

static kua_status save(run *r)
{
    char *path = file_of(r, "checkpoint.safetensors");
    unsigned long lost = kua__json_lost();
    json_t *user = json_pack(
        "{s:s, s:I, s:I, s:f, s:f, s:I, s:I, s:O}", "fingerprint", r->tr->fingerprint, "epoch",
        (json_int_t)r->epoch, "next", (json_int_t)r->next, "loss_sum", r->loss_sum, "best_loss",
        r->best ? r->best_loss : 0., "best_epoch", (json_int_t)r->tr->best_epoch, "worse",
        (json_int_t)r->worse, "epochs", r->tr->epochs);
    kua_status st =
        path && user ? kua__json_whole(lost, "a checkpoint") : kua__fail_nomem(0, "a checkpoint");
    if (!st) st = kua__make_folders(r->tr->folder);
    if (!st) st = save_best(r);
    if (!st)
        st = kua__checkpoint_save(
            path, &(kua__checkpoint){.params = r->tr->params, .optim = &r->optim, .tape = r->tape},
            user);
    json_decref(user);
    kua__free(path);
    r->saved_at = kua__seconds();
    return st;
}

/* Values of what is trained, into r->best. */
static kua_status keep_best(run *r)
{
    const kua__params *p = r->tr->params;
    bool thaws = r->tr->tuning && r->tr->tuning->plan.how == KUA__TUNE_GRADUAL;
    if (!r->best) KUA__TRY(KUA__NEW_ZEROED(&r->best, p->n, "the best epoch"));
    for (size_t i = 0; i < p->n; i++) {
        size_t count = p->all[i]->rows * p->all[i]->cols;
        if (p->all[i]->frozen && !thaws && !r->best[i]) continue; /* stays as it is */
        if (!r->best[i]) KUA__TRY(KUA__NEW_ARRAY(&r->best[i], count, "the best epoch"));
        memcpy(r->best[i], p->all[i]->value, count * sizeof(float));
    }
    return KUA_OK;
}

static kua_status load_best(run *r)
{
    char *path = file_of(r, "best.safetensors");
    if (!path) return kua__fail_nomem(0, "a path");
    kua__checkpoint what = {.params = r->tr->params};
    kua_status st = kua__checkpoint_load(path, &what, NULL);
    if (!st) { /* every parameter: which were stepped is not known here */
        st = KUA__NEW_ZEROED(&r->best, r->tr->params->n, "the best epoch");
        for (size_t i = 0; i < r->tr->params->n && !st; i++) {
            const kua__param *p = r->tr->params->all[i];
            st = KUA__NEW_ARRAY(&r->best[i], p->rows * p->cols, "the best epoch");
            if (!st) memcpy(r->best[i], p->value, p->rows * p->cols * sizeof(float));
        }
    }
    kua__free(path);
    return st;
}

static kua_status take_user(run *r, const json_t *user)
{
    const char *name = "checkpoint";
    int64_t epoch = 0, next = 0, best = 0, worse = 0;
    KUA__TRY(kua__json_int(name, user, "epoch", 0, 1 << 20, &epoch));
    KUA__TRY(kua__json_int(name, user, "next", 0, (int64_t)r->tr->n, &next));
    KUA__TRY(kua__json_int(name, user, "best_epoch", 0, 1 << 20, &best));
    KUA__TRY(kua__json_int(name, user, "worse", 0, 1 << 20, &worse));
    KUA__TRY(kua__json_real_or(name, user, "loss_sum", -1e300, 1e300, 0, &r->loss_sum));
    KUA__TRY(kua__json_real_or(name, user, "best_loss", -1e300, 1e300, 0, &r->best_loss));
    json_t *epochs = kua__json_copy(json_object_get(user, "epochs"));
    if (!epochs) return kua__fail(KUA_FORMAT, "checkpoint: epochs are missing");
    json_decref(r->tr->epochs);
    r->tr->epochs = epochs;
    r->epoch = (size_t)epoch;
    r->next = (size_t)next;
    r->tr->best_epoch = (size_t)best;
    r->worse = (size_t)worse;
    r->tr->resumed = true;
    return KUA_OK;
}

static kua_status load_run(run *r, const char *path)
{
    json_t *user = NULL;
    const char *fingerprint = NULL;
    char *best = file_of(r, "best.safetensors");
    if (!best) return kua__fail_nomem(0, "a path");
    kua_status st = kua__exists(best) ? load_best(r) : KUA_OK;
    kua__free(best);
    kua__checkpoint what = {.params = r->tr->params, .optim = &r->optim, .tape = r->tape};
    if (!st) st = kua__checkpoint_load(path, &what, &user);
    if (!st) st = kua__json_string(path, user, "fingerprint", &fingerprint);
    if (!st && !kua__streq(fingerprint, r->tr->fingerprint))
        st =
            kua__fail(KUA_INVALID,
                      "%s: is of a run with other data or settings; remove it to start anew", path);
    if (!st) st = take_user(r, user);
    json_decref(user);
    return st;
}

static kua_status resume(run *r)
{
    char *path = file_of(r, "checkpoint.safetensors");
    if (!path) return kua__fail_nomem(0, "a path");
    kua_status st = KUA_OK;
    if (kua__exists(path)) {
        st = load_run(r, path);
        if (!st)
            kua__log_line(r->tr->monitor, KUA_LOG_INFO, "goes on at epoch %zu, row %zu of %zu",
                          r->epoch + 1, r->next, r->tr->n);
    }
    kua__free(path);
    return st;
}

/* ---- steps ---- */

static void shuffle(run *r)
{
    kua__rng rng = kua__rng_make((uint64_t)setting(r, KUA__SET_SEED), 1000 + r->epoch);
    memcpy(r->order, r->tr->row, r->tr->n * sizeof(*r->order));
    kua__rng_shuffle(&rng, r->order, r->tr->n);
}

/* One optimiser step: `accumulate` batches, fewer at the end of an epoch. */
static kua_status step(run *r)
{
    size_t batch = kua__setting_count(r->tr->settings, KUA__SET_BATCH);
    size_t most = batch * kua__setting_count(r->tr->settings, KUA__SET_ACCUMULATE);
    size_t end = KUA__MIN(r->tr->n, r->next + most), all = end - r->next;
    for (size_t at = r->next; at < end; at += batch) {
        size_t n = KUA__MIN(batch, end - at);
        kua__tape_reset(r->tape);
        kua__var *loss = r->tr->loss(r->tr->ctx, r->tape, r->order + at, n);
        double value = loss ? *loss->value : 0;
        loss = kua__scale(r->tape, loss, (float)n / (float)all);
        KUA__TRY(kua__tape_backward(r->tape, loss));
        r->loss_sum += value * (double)n;
    }
    if (r->tr->tuning) kua__tuning_pull(r->tr->tuning);
    KUA__TRY(kua__optim_step(&r->optim, r->tr->params));
    r->next = end;
    return KUA_OK;
}

static size_t rows_done(const run *r)
{
    return r->epoch * r->tr->n + r->next;
}

static kua_status epoch_steps(run *r)
{
    size_t total = r->tr->n * kua__setting_count(r->tr->settings, KUA__SET_EPOCHS);
    shuffle(r);
    if (r->tr->tuning) kua__tuning_epoch(r->tr->tuning, r->epoch);
    while (r->next < r->tr->n) {
        KUA__TRY(step(r));
        kua_status st = kua__progress(r->tr->monitor, "train rows", rows_done(r), total);
        if (!st) continue;
        KUA__TRY(save(r));
        return kua__fail(st, "training was stopped at epoch %zu", r->epoch + 1);
    }
    return KUA_OK;
}

/* ---- epochs ---- */

static kua_status note_epoch(run *r, const kua__valid *v)
{
    const char *score = r->tr->score_name;
    char name[64];
    snprintf(name, sizeof(name), "valid_%s", score);
    json_t *row = json_pack("{s:f}", "loss", r->loss_sum / (double)r->tr->n);
    if (r->tr->validate) {
        json_object_set_new(row, "valid_loss", json_real(v->loss));
        json_object_set_new(row, name, json_real(v->score));
        kua__log_line(r->tr->monitor, KUA_LOG_INFO,
                      "epoch %zu: loss %.4f, validation loss %.4f, %s %.4f", r->epoch + 1,
                      r->loss_sum / (double)r->tr->n, v->loss, score, v->score);
    } else {
        kua__log_line(r->tr->monitor, KUA_LOG_INFO, "epoch %zu: loss %.4f", r->epoch + 1,
                      r->loss_sum / (double)r->tr->n);
    }
    return json_array_append_new(r->tr->epochs, row) ? kua__fail_nomem(0, "a curve") : KUA_OK;
}

/* Judges the epoch that has just ended; *stop: no better one has come for long. */
static kua_status end_epoch(run *r, bool *stop)
{
    kua__valid v = {0};
    if (r->tr->validate) {
        kua__tape_set_training(r->tape, false);
        kua_status st = r->tr->validate(r->tr->ctx, r->tape, &v);
        kua__tape_set_training(r->tape, true);
        KUA__TRY(st);
    }
    KUA__TRY(note_epoch(r, &v));
    bool better = r->tr->validate && (!r->best || v.loss < r->best_loss);
    if (better) {
        KUA__TRY(keep_best(r));
        r->best_loss = v.loss;
    }
    if (better || !r->tr->validate) r->tr->best_epoch = r->epoch + 1;
    r->worse = better ? 0 : r->worse + 1;
    double patience = setting(r, KUA__SET_PATIENCE);
    *stop = r->tr->validate && patience > 0 && (double)r->worse >= patience;
    r->epoch++;
    r->next = 0;
    r->loss_sum = 0;
    bool due = kua__seconds() - r->saved_at > setting(r, KUA__SET_CHECKPOINT_S);
    return due && !*stop ? save(r) : KUA_OK;
}

static kua_status epochs(run *r)
{
    size_t most = kua__setting_count(r->tr->settings, KUA__SET_EPOCHS);
    for (bool stop = false; r->epoch < most && !stop;) {
        KUA__TRY(epoch_steps(r));
        KUA__TRY(end_epoch(r, &stop));
    }
    r->tr->steps = (size_t)r->optim.step;
    if (r->best) swap_best(r);
    return KUA_OK;
}

static void choose_optimiser(run *r)
{
    kua__optim_options o = kua__optim_defaults();
    size_t each = kua__setting_count(r->tr->settings, KUA__SET_BATCH) *
                  kua__setting_count(r->tr->settings, KUA__SET_ACCUMULATE);
    size_t steps = (r->tr->n + each - 1) / each;
    o.lr = (float)setting(r, KUA__SET_LR);
    o.total_steps = steps * kua__setting_count(r->tr->settings, KUA__SET_EPOCHS);
    if (r->tr->tuning) { /* a head alone: plain Adam */
        o.weight_decay = (float)setting(r, KUA__SET_WEIGHT_DECAY);
        o.clip_norm = (float)setting(r, KUA__SET_CLIP);
        o.schedule = KUA__LINEAR;
        o.warmup_steps = (uint64_t)(setting(r, KUA__SET_WARMUP) * (double)o.total_steps);
    }
    kua__optim_init(&r->optim, &o);
}

kua_status kua__trainer_run(kua__trainer *tr)
{
    assert(tr && tr->settings && tr->params && tr->row && tr->n && tr->loss && tr->folder);
    assert(tr->fingerprint && tr->score_name);
    run r = {.tr = tr, .saved_at = kua__seconds()};
    kua__tape_options options = {.seed = (uint64_t)setting(&r, KUA__SET_SEED),
                                 .bf16 = setting(&r, KUA__SET_BF16) != 0};
    tr->epochs = json_array();
    choose_optimiser(&r);
    kua_status st = tr->epochs ? KUA_OK : kua__fail_nomem(0, "a curve");
    if (!st) st = KUA__NEW_ARRAY(&r.order, tr->n, "an order of rows");
    if (!st) st = kua__tape_create(&options, &r.tape);
    if (!st) st = resume(&r);
    if (!st) st = epochs(&r);
    if (!st) remove_files(&r);
    for (size_t i = 0; r.best && i < tr->params->n; i++)
        kua__free(r.best[i]);
    kua__free(r.best);
    kua__free(r.order);
    kua__tape_free(r.tape);
    return st;
}

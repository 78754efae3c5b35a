/* pretrain_resume.c - a run that was interrupted goes on, bit for bit.
 *
 *     PATH        weights, moments, the tape's step; as JSON where in the epoch, what was judged so
 *                 far, and what the run is of
 *     PATH.best   the best weights so far
 *
 * "What the run is of" is a hash of settings, texts and first weights: a checkpoint of another run
 * is not gone on with, silently being another model, but left alone until it is written over.
 */
#include <assert.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "encoder/pretrain.h"
#include "tensor/safetensors.h"

kua_status kua__pretrain_identify(kua__pretraining *r)
{
    const kua__corpus *c = r->corpus;
    const kua__pretrain_settings *s = r->settings;
    double numbers[] = {(double)s->epochs,
                        (double)s->steps,
                        (double)s->batch_tokens,
                        (double)s->accumulate,
                        s->lr,
                        s->warmup,
                        s->weight_decay,
                        s->clip,
                        s->dropout,
                        s->mask,
                        s->temperature,
                        (double)s->bf16,
                        (double)s->evals,
                        (double)s->patience,
                        (double)r->objective,
                        s->plan.how,
                        s->plan.layer_decay,
                        s->plan.l2_sp};
    uint64_t hash = kua__hash64(numbers, sizeof(numbers), s->seed);
    hash = kua__hash64(c->id, c->at[c->n] * sizeof(*c->id), hash);
    hash = kua__hash64(c->example, (c->n_train + c->n_held) * sizeof(*c->example), hash);
    for (size_t i = 0; i < r->params.n; i++) {
        const kua__param *p = r->params.all[i];
        hash = kua__hash64(p->value, p->rows * p->cols * sizeof(*p->value), hash);
    }
    snprintf(r->identity, sizeof(r->identity), "%016llx", (unsigned long long)hash);
    return KUA_OK;
}

static kua__checkpoint whole(kua__pretraining *r)
{
    return (kua__checkpoint){.params = &r->params, .optim = &r->optim, .tape = r->tape};
}

static char *best_path(const kua__pretraining *r)
{
    kua__buf path = {0};
    kua__buf_printf(&path, "%s.best", r->checkpoint);
    if (!path.failed) return path.data;
    kua__buf_release(&path);
    return NULL;
}

static json_t *describe(const kua__pretraining *r)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:I,s:I,s:O,s:O*,s:O*}", "identity",
                     r->identity, "epoch", (json_int_t)r->epoch, "cursor", (json_int_t)r->cursor,
                     "step", (json_int_t)r->step, "best_step", (json_int_t)r->best_step, "worse",
                     (json_int_t)r->worse, "best_loss", r->best_loss, "train_sum", r->train_sum,
                     "train_n", (json_int_t)r->train_n, "tokens", (json_int_t)r->tokens, "curve",
                     r->curve, "before", r->before, "best", r->best);
}

kua_status kua__pretrain_save(kua__pretraining *r)
{
    assert(r && r->checkpoint);
    json_t *user = describe(r);
    if (!user) return kua__fail_nomem(1, "a checkpoint");
    kua__checkpoint what = whole(r);
    kua_status st = kua__checkpoint_save(r->checkpoint, &what, user);
    json_decref(user);
    return st;
}

static kua_status take_state(kua__pretraining *r, const json_t *user)
{
    const char *path = r->checkpoint;
    size_t *const to[] = {&r->epoch, &r->cursor, &r->step, &r->best_step, &r->worse, &r->train_n};
    static const char *const keys[] = {"epoch", "cursor", "step", "best_step", "worse", "train_n"};
    int64_t value;
    for (size_t i = 0; i < KUA__COUNT(keys); i++) {
        KUA__TRY(kua__json_int(path, user, keys[i], 0, INT64_MAX, &value));
        *to[i] = (size_t)value;
    }
    KUA__TRY(kua__json_int(path, user, "tokens", 0, INT64_MAX, &value));
    r->tokens = r->tokens_before = (uint64_t)value;
    KUA__TRY(kua__json_real_or(path, user, "best_loss", -1e300, 1e300, 0, &r->best_loss));
    KUA__TRY(kua__json_real_or(path, user, "train_sum", -1e300, 1e300, 0, &r->train_sum));
    json_decref(r->curve);
    r->curve = kua__json_copy(json_object_get(user, "curve"));
    r->before = kua__json_copy(json_object_get(user, "before"));
    r->best = kua__json_copy(json_object_get(user, "best"));
    return r->curve && r->before && r->best ? KUA_OK : kua__fail_nomem(1, "a checkpoint");
}

/* Whether the file is of this run; looked at before anything is loaded from it. */
static bool is_ours(const kua__pretraining *r)
{
    kua__safetensors *file = NULL;
    if (!kua__exists(r->checkpoint) || kua__safetensors_open(r->checkpoint, &file)) return false;
    const char *user = kua__safetensors_meta(file, "kua.user");
    bool ours = user && strstr(user, r->identity);
    kua__safetensors_close(file);
    return ours;
}

kua_status kua__pretrain_restore(kua__pretraining *r, bool *found)
{
    assert(r && r->checkpoint && found);
    json_t *user = NULL;
    *found = false;
    if (!is_ours(r)) return KUA_OK;
    kua__checkpoint what = whole(r);
    kua_status st = kua__checkpoint_load(r->checkpoint, &what, &user);
    if (!st) st = take_state(r, user);
    json_decref(user);
    *found = !st;
    return st;
}

kua_status kua__pretrain_save_best(kua__pretraining *r)
{
    char *path = best_path(r);
    if (!path) return kua__fail_nomem(0, "a path");
    kua_status st = kua__checkpoint_save(path, &(kua__checkpoint){.params = &r->params}, NULL);
    kua__free(path);
    return st;
}

kua_status kua__pretrain_load_best(kua__pretraining *r)
{
    char *path = best_path(r);
    if (!path) return kua__fail_nomem(0, "a path");
    kua_status st = kua__checkpoint_load(path, &(kua__checkpoint){.params = &r->params}, NULL);
    kua__free(path);
    return st;
}

void kua__pretrain_forget(const kua__pretraining *r)
{
    char *path = best_path(r);
    if (path) (void)unlink(path);
    (void)unlink(r->checkpoint);
    kua__free(path);
}

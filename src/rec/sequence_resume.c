/* sequence_resume.c - a training run that was interrupted goes on where its last epoch ended.
 *
 *     PATH        after each epoch: weights, moments, moving average, generator, step; and as JSON
 *                 the epoch, the best one and its score, the curve, and what the run is of
 *     PATH.best   whenever an epoch was the best: its (averaged) weights
 *
 * PATH.best is written first. A kill between the two leaves the best weights of an epoch that PATH
 * does not know; it is trained again to the same bits and writes the same file.
 *
 * "What the run is of" is a hash of settings, seed, and every training window: a checkpoint of
 * other data or settings is not gone on with, silently being another model, but left out.
 */
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "rec/sequence_run.h"
#include "tensor/safetensors.h"

/* ---- identity ---- */

static uint64_t hash_domain(const kua__run *r, size_t d, uint64_t hash)
{
    const kua__cut *cuts[] = {r->domain[d].train, r->domain[d].valid};
    const kua__log *log = cuts[0]->log;
    for (size_t i = 0; i < 2; i++)
        hash = kua__hash64(cuts[i]->end, log->n_users * sizeof(*cuts[i]->end), hash);
    return kua__hash64(log->item, log->n_events * sizeof(*log->item), hash ^ log->n_items);
}

kua_status kua__run_identify(kua__run *r)
{
    char *settings = kua__json_dumps(r->s->rec.settings, JSON_COMPACT | JSON_SORT_KEYS);
    if (!settings) return kua__fail_nomem(1, "settings");
    uint64_t hash = kua__hash64(settings, strlen(settings), r->seed);
    kua__free(settings);
    for (size_t d = 0; d < r->n_domains; d++)
        hash = hash_domain(r, d, hash);
    for (size_t i = 0; i < r->s->params.n; i++) {
        const kua__param *p = r->s->params.all[i];
        hash = kua__hash64(p->value, p->rows * p->cols * sizeof(*p->value), hash ^ p->frozen);
    }
    snprintf(r->identity, sizeof(r->identity), "%016llx", (unsigned long long)hash);
    return KUA_OK;
}

/* ---- saving ---- */

static kua_status best_path(const kua__run *r, char **out)
{
    kua__buf path = {0};
    kua__buf_printf(&path, "%s.best", r->checkpoint);
    *out = path.data;
    kua_status st = kua__buf_status(&path);
    if (st) kua__buf_release(&path);
    return st;
}

kua_status kua__run_save_best(kua__run *r)
{
    char *path = NULL;
    if (!r->checkpoint) return KUA_OK;
    KUA__TRY(best_path(r, &path));
    json_t *user = json_pack("{s:s}", "identity", r->identity);
    kua_status st = user ? KUA_OK : kua__fail_nomem(1, "a checkpoint");
    if (!st) st = kua__checkpoint_save(path, &(kua__checkpoint){.params = &r->s->params}, user);
    json_decref(user);
    kua__free(path);
    return st;
}

static kua__checkpoint whole(kua__run *r)
{
    return (kua__checkpoint){.params = &r->s->params,
                             .optim = &r->optim,
                             .ema = r->average.n ? &r->average : NULL,
                             .tape = r->tape,
                             .rng = &r->rng};
}

kua_status kua__run_save(kua__run *r, size_t number)
{
    if (!r->checkpoint) return KUA_OK;
    json_t *user = json_pack("{s:s,s:I,s:I,s:f,s:O}", "identity", r->identity, "epoch",
                             (json_int_t)number, "best_epoch", (json_int_t)r->best_epoch,
                             "best_ndcg", r->best_ndcg, "curve", r->curve);
    if (!user) return kua__fail_nomem(1, "a checkpoint");
    kua__checkpoint what = whole(r);
    kua_status st = kua__checkpoint_save(r->checkpoint, &what, user);
    json_decref(user);
    return st;
}

void kua__run_forget(const kua__run *r)
{
    char *path = NULL;
    if (!r->checkpoint) return;
    unlink(r->checkpoint); /* whether there was one */
    if (!best_path(r, &path)) unlink(path);
    kua__free(path);
}

/* ---- going on ---- */

/* What a checkpoint says of itself, before anything is loaded. */
static kua_status peek(const char *path, json_t **user)
{
    kua__safetensors *file = NULL;
    KUA__TRY(kua__safetensors_open(path, &file));
    const char *text = kua__safetensors_meta(file, "kua.user");
    kua_status st = text ? kua__json_parse(path, text, strlen(text), user)
                         : kua__fail(KUA_FORMAT, "%s: is no checkpoint of a training run", path);
    kua__safetensors_close(file);
    return st;
}

static kua_status same_run(const kua__run *r, const char *path, bool *same)
{
    json_t *user = NULL;
    const char *identity = NULL;
    *same = false;
    if (!kua__exists(path)) return KUA_OK;
    KUA__TRY(peek(path, &user));
    kua_status st = kua__json_string(path, user, "identity", &identity);
    if (!st) *same = kua__streq(identity, r->identity);
    json_decref(user);
    return st;
}

static kua_status read_progress(kua__run *r, const json_t *user, size_t *number)
{
    int64_t epoch, best_epoch;
    const char *path = r->checkpoint;
    KUA__TRY(kua__json_int(path, user, "epoch", 1, INT32_MAX, &epoch));
    KUA__TRY(kua__json_int(path, user, "best_epoch", 0, epoch, &best_epoch));
    KUA__TRY(kua__json_real_or(path, user, "best_ndcg", -1, 1, -1, &r->best_ndcg));
    json_t *curve = json_object_get(user, "curve");
    if (!json_is_array(curve)) return kua__fail(KUA_FORMAT, "%s: curve is missing", path);
    json_decref(r->curve);
    r->curve = json_incref(curve);
    *number = (size_t)epoch;
    r->best_epoch = (size_t)best_epoch;
    return KUA_OK;
}

/* The best weights pass through the parameters. */
static kua_status load_both(kua__run *r, const char *best, size_t *number)
{
    json_t *user = NULL;
    kua__checkpoint what = whole(r);
    if (best) {
        KUA__TRY(kua__checkpoint_load(best, &(kua__checkpoint){.params = &r->s->params}, NULL));
        KUA__TRY(kua__run_keep_best(r));
    }
    KUA__TRY(kua__checkpoint_load(r->checkpoint, &what, &user));
    kua_status st = read_progress(r, user, number);
    json_decref(user);
    return st;
}

static kua_status restore(kua__run *r, const char *best, size_t *number)
{
    bool same = false, same_best = true;
    KUA__TRY(same_run(r, r->checkpoint, &same));
    if (best) KUA__TRY(same_run(r, best, &same_best));
    if (!same || !same_best) {
        kua__log_line(r->monitor, KUA_LOG_INFO,
                      "sequence: the interrupted training in %s was another one: starting anew",
                      r->checkpoint);
        return KUA_OK;
    }
    KUA__TRY(load_both(r, best, number));
    kua__log_line(r->monitor, KUA_LOG_INFO, "sequence: going on after epoch %zu", *number);
    return KUA_OK;
}

kua_status kua__run_restore(kua__run *r, bool with_best, size_t *number)
{
    char *best = NULL;
    *number = 0;
    if (!r->checkpoint || !kua__exists(r->checkpoint)) return KUA_OK;
    if (with_best) KUA__TRY(best_path(r, &best));
    kua_status st = restore(r, best, number);
    kua__free(best);
    if (st == KUA_NOMEM || !st) return st;
    return kua__fail_prefix(st, "interrupted training (remove its file to start anew)");
}

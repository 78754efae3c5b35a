/* checkpoint.c - a training run in one safetensors file, so that it goes on where it was, bit for
 * bit.
 *
 *     <name>              a parameter's values: the file opens as weights in any tool
 *     adam_m/<name>       its moments, where it has been stepped
 *     adam_v/<name>
 *     ema/<name>          its moving average
 *     __metadata__        "kua.checkpoint": {"version": 1, "optim", "ema", "tape", "rng"}
 *                         "kua.user": what the caller wants kept, as JSON
 *
 * Numbers of 64 bits are hexadecimal texts, as JSON's are not that long; floats are written with 17
 * digits and so survive. Gradients are not kept: a checkpoint is taken between steps.
 *
 * Loading looks at everything first and allocates what it needs, and only then changes anything: a
 * file that does not fit leaves the run as it was.
 *
 *     read_meta -> read_state -> check_tensors  |  take_tensors -> take_state
 *     may fail: numbers go into the loader      |  cannot fail: into the caller's objects
 */
#include "grad/grad.h"

#include <assert.h>
#include <inttypes.h>

#include "base/json.h"
#include "tensor/safetensors.h"

enum { VERSION = 1, NAME_ROOM = 96 };

/* ---- saving ---- */

/* One tensor to be: who declares it and who writes it must agree on the order. */
typedef struct piece {
    const char *prefix;
    const kua__param *param;
    const float *value; /* NULL: not in this file */
} piece;

/* In the order of the file. A piece without a value is left out: no optimiser, no average, or a
 * parameter that has not been stepped. */
enum { VALUE, MOMENT_M, MOMENT_V, AVERAGE, PIECES };

static piece piece_of(const kua__checkpoint *what, size_t i, int kind)
{
    assert(i < what->params->n && kind >= 0 && kind < PIECES);
    const kua__param *p = what->params->all[i];
    switch (kind) {
    case VALUE:
        return (piece){"", p, p->value};
    case MOMENT_M:
        return (piece){"adam_m/", p, what->optim ? p->m : NULL};
    case MOMENT_V:
        return (piece){"adam_v/", p, what->optim ? p->v : NULL};
    default:
        return (piece){"ema/", p, what->ema ? what->ema->value[i] : NULL};
    }
}

static void piece_name(const piece *part, char name[NAME_ROOM])
{
    _Static_assert(sizeof("adam_m/") + sizeof(part->param->name) <= NAME_ROOM, "names fit");
    snprintf(name, NAME_ROOM, "%s%s", part->prefix, part->param->name);
}

static json_t *hex(uint64_t value)
{
    char text[24];
    snprintf(text, sizeof(text), "%016" PRIx64, value);
    return json_string(text);
}

static json_t *describe_optim(const kua__optim *optim)
{
    const kua__optim_options *o = &optim->options;
    return json_pack("{s:o, s:f, s:f, s:f, s:f, s:f, s:b, s:f, s:i, s:I, s:I, s:f}", "step",
                     hex(optim->step), "lr", o->lr, "beta1", o->beta1, "beta2", o->beta2, "epsilon",
                     o->epsilon, "weight_decay", o->weight_decay, "coupled_decay", o->coupled_decay,
                     "clip_norm", o->clip_norm, "schedule", (int)o->schedule, "warmup_steps",
                     (json_int_t)o->warmup_steps, "total_steps", (json_int_t)o->total_steps,
                     "final_scale", o->final_scale);
}

static json_t *describe_rng(const kua__rng *rng)
{
    return json_pack("{s:o, s:o, s:o, s:[I,I,I,I], s:i}", "seed", hex(rng->seed), "stream",
                     hex(rng->stream), "index", hex(rng->index), "have", (json_int_t)rng->have[0],
                     (json_int_t)rng->have[1], (json_int_t)rng->have[2], (json_int_t)rng->have[3],
                     "left", rng->left);
}

/* Sets a member; false where there was no memory for either. */
static bool member(json_t *object, const char *key, json_t *value)
{
    return value && json_object_set_new(object, key, value) == 0;
}

static json_t *describe(const kua__checkpoint *what)
{
    json_t *state = json_object();
    bool good = state && member(state, "version", json_integer(VERSION));
    if (good && what->optim) good = member(state, "optim", describe_optim(what->optim));
    if (good && what->ema)
        good = member(
            state, "ema",
            json_pack("{s:f, s:o}", "decay", what->ema->decay, "updates", hex(what->ema->updates)));
    if (good && what->tape)
        good = member(state, "tape",
                      json_pack("{s:o, s:o}", "step", hex(kua__tape_step(what->tape)), "seed",
                                hex(kua__tape_seed(what->tape))));
    if (good && what->rng) good = member(state, "rng", describe_rng(what->rng));
    if (good) return state;
    json_decref(state);
    return NULL;
}

static kua_status write_meta(kua__st_writer *w, const char *key, const json_t *json)
{
    char *text = kua__json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(17) | JSON_ENCODE_ANY);
    if (!text) return kua__fail_nomem(0, "a checkpoint's description");
    kua_status st = kua__st_writer_meta(w, key, text);
    kua__free(text); /* jansson's memory is base's */
    return st;
}

static kua_status write_tensors(kua__st_writer *w, const kua__checkpoint *what)
{
    for (int pass = 0; pass < 2; pass++) { /* declared, then written, in one order */
        for (size_t i = 0; i < what->params->n * PIECES; i++) {
            piece part = piece_of(what, i / PIECES, (int)(i % PIECES));
            const kua__param *p = part.param;
            char name[NAME_ROOM];
            if (!part.value) continue;
            piece_name(&part, name);
            if (pass == 0)
                KUA__TRY(
                    kua__st_writer_declare(w, name, KUA__F32, 2, (size_t[]){p->rows, p->cols}));
            else
                KUA__TRY(kua__st_writer_write(w, part.value, p->rows * p->cols * sizeof(float)));
        }
    }
    return KUA_OK;
}

kua_status kua__checkpoint_save(const char *path, const kua__checkpoint *what, const json_t *user)
{
    assert(path && what && what->params);
    assert(!what->ema || what->ema->n == what->params->n);
    kua__st_writer *w = NULL;
    json_t *state = describe(what);
    kua_status st = state ? KUA_OK : kua__fail_nomem(0, "a checkpoint's description");
    if (!st) st = kua__st_writer_create(path, &w);
    if (!st) st = write_meta(w, "kua.checkpoint", state);
    if (!st && user) st = write_meta(w, "kua.user", user);
    if (!st) st = write_tensors(w, what);
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    json_decref(state);
    return st;
}

/* ---- loading ---- */

typedef struct loader {
    const kua__safetensors *file;
    const char *path;
    const kua__checkpoint *what;
    json_t *state, *user;
    /* read and checked, not yet given out */
    kua__optim optim;
    kua__rng rng;
    uint64_t tape_step, tape_seed, ema_updates;
    double ema_decay;
} loader;

static kua_status read_hex(const loader *l, const json_t *object, const char *key, uint64_t *out)
{
    const char *text = NULL;
    char *end = NULL;
    KUA__TRY(kua__json_string(l->path, object, key, &text));
    *out = strtoull(text, &end, 16);
    if (strlen(text) != 16 || *end)
        return kua__fail(KUA_FORMAT, "%s: %s is '%s', expected 16 hexadecimal digits", l->path, key,
                         text);
    return KUA_OK;
}

static kua_status read_part(const loader *l, const char *key, json_t **out)
{
    *out = json_object_get(l->state, key);
    if (json_is_object(*out)) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: the checkpoint has no state of '%s'", l->path, key);
}

static kua_status read_float(const loader *l, const json_t *object, const char *key, float *out)
{
    double value = 0;
    KUA__TRY(kua__json_real_or(l->path, object, key, -1e38, 1e38, 0, &value));
    *out = (float)value;
    return KUA_OK;
}

static kua_status read_optim(loader *l)
{
    json_t *part = NULL;
    kua__optim_options *o = &l->optim.options;
    int64_t schedule = 0, warmup = 0, total = 0;
    KUA__TRY(read_part(l, "optim", &part));
    KUA__TRY(read_hex(l, part, "step", &l->optim.step));
    const struct {
        const char *key;
        float *to;
    } floats[] = {{"lr", &o->lr},
                  {"beta1", &o->beta1},
                  {"beta2", &o->beta2},
                  {"epsilon", &o->epsilon},
                  {"weight_decay", &o->weight_decay},
                  {"clip_norm", &o->clip_norm},
                  {"final_scale", &o->final_scale}};
    for (size_t i = 0; i < KUA__COUNT(floats); i++)
        KUA__TRY(read_float(l, part, floats[i].key, floats[i].to));
    KUA__TRY(kua__json_bool_or(l->path, part, "coupled_decay", false, &o->coupled_decay));
    KUA__TRY(kua__json_int(l->path, part, "schedule", 0, KUA__LINEAR, &schedule));
    KUA__TRY(kua__json_int(l->path, part, "warmup_steps", 0, INT64_MAX, &warmup));
    KUA__TRY(kua__json_int(l->path, part, "total_steps", 0, INT64_MAX, &total));
    o->schedule = (kua__schedule)schedule;
    o->warmup_steps = (uint64_t)warmup;
    o->total_steps = (uint64_t)total;
    if (o->beta1 < 0 || o->beta1 >= 1 || o->beta2 < 0 || o->beta2 >= 1 || o->epsilon <= 0)
        return kua__fail(KUA_FORMAT, "%s: beta1 %g, beta2 %g, epsilon %g are no optimiser's",
                         l->path, (double)o->beta1, (double)o->beta2, (double)o->epsilon);
    return KUA_OK;
}

static kua_status read_rng(loader *l)
{
    json_t *part = NULL;
    int64_t left = 0;
    KUA__TRY(read_part(l, "rng", &part));
    KUA__TRY(read_hex(l, part, "seed", &l->rng.seed));
    KUA__TRY(read_hex(l, part, "stream", &l->rng.stream));
    KUA__TRY(read_hex(l, part, "index", &l->rng.index));
    KUA__TRY(kua__json_int(l->path, part, "left", 0, 4, &left));
    const json_t *have = json_object_get(part, "have");
    if (json_array_size(have) != 4)
        return kua__fail(KUA_FORMAT, "%s: have is no array of 4 numbers", l->path);
    for (size_t i = 0; i < 4; i++) {
        const json_t *word = json_array_get(have, i);
        json_int_t value = json_integer_value(word);
        if (!json_is_integer(word) || value < 0 || value > UINT32_MAX)
            return kua__fail(KUA_FORMAT, "%s: have[%zu] is no integer of 32 bits", l->path, i);
        l->rng.have[i] = (uint32_t)value;
    }
    l->rng.left = (int)left;
    return KUA_OK;
}

static kua_status read_state(loader *l)
{
    json_t *part = NULL;
    if (l->what->optim) KUA__TRY(read_optim(l));
    if (l->what->rng) KUA__TRY(read_rng(l));
    if (l->what->tape) {
        KUA__TRY(read_part(l, "tape", &part));
        KUA__TRY(read_hex(l, part, "step", &l->tape_step));
        KUA__TRY(read_hex(l, part, "seed", &l->tape_seed));
    }
    if (l->what->ema) {
        KUA__TRY(read_part(l, "ema", &part));
        KUA__TRY(read_hex(l, part, "updates", &l->ema_updates));
        KUA__TRY(kua__json_real_or(l->path, part, "decay", 0, 1, 0, &l->ema_decay));
    }
    return KUA_OK;
}

/* Both descriptions of the file as JSON. */
static kua_status read_meta(loader *l)
{
    const char *state = kua__safetensors_meta(l->file, "kua.checkpoint");
    const char *user = kua__safetensors_meta(l->file, "kua.user");
    int64_t version = 0;
    if (!state) return kua__fail(KUA_FORMAT, "%s: not a checkpoint of kua", l->path);
    KUA__TRY(kua__json_parse(l->path, state, strlen(state), &l->state));
    KUA__TRY(kua__json_int(l->path, l->state, "version", 1, INT64_MAX, &version));
    if (version > VERSION)
        return kua__fail(KUA_FORMAT, "%s: checkpoint of version %lld, this program reads up to %d",
                         l->path, (long long)version, VERSION);
    if (!user) return (l->user = json_null()) ? KUA_OK : kua__fail_nomem(0, "JSON");
    return kua__json_parse(l->path, user, strlen(user), &l->user);
}

/* The tensor of a piece; *out is NULL where it may be missing and is. */
static kua_status find_piece(const loader *l, const piece *part, bool needed,
                             const kua__tensor **out)
{
    char name[NAME_ROOM];
    const kua__param *p = part->param;
    piece_name(part, name);
    *out = kua__safetensors_find(l->file, name);
    if (!*out && !needed) return KUA_OK;
    KUA__TRY(kua__safetensors_need(l->file, name, 2, (size_t[]){p->rows, p->cols}, out));
    if ((*out)->dtype == KUA__F32) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %s is %s, expected F32", l->path, name,
                     kua__dtype_name((*out)->dtype));
}

/* Looks at every tensor, and makes moments for those that the file has. */
static kua_status check_tensors(const loader *l)
{
    for (size_t i = 0; i < l->what->params->n; i++) {
        kua__param *p = l->what->params->all[i];
        const kua__tensor *t = NULL;
        for (int kind = 0; kind < PIECES; kind++) {
            piece part = piece_of(l->what, i, kind);
            bool moment = kind == MOMENT_M || kind == MOMENT_V;
            float **at = kind == MOMENT_M ? &p->m : &p->v;
            if (moment ? !l->what->optim : !part.value) continue;
            KUA__TRY(find_piece(l, &part, !moment, &t));
            if (moment && t && !*at) KUA__TRY(KUA__NEW_ZEROED(at, t->count, p->name));
        }
    }
    return KUA_OK;
}

/* Nothing can fail any more: check_tensors() has seen it all. */
static void take_tensors(const loader *l)
{
    for (size_t i = 0; i < l->what->params->n * PIECES; i++) {
        piece part = piece_of(l->what, i / PIECES, (int)(i % PIECES));
        size_t n = part.param->rows * part.param->cols;
        const kua__tensor *t = NULL;
        if (!part.value || find_piece(l, &part, false, &t)) continue;
        float *to = (float *)part.value;
        assert(!t || t->count == n); /* find_piece compared the shapes */
        if (t)
            kua__tensor_to_f32(t, 0, n, to);
        else
            memset(to, 0, n * sizeof(*to)); /* moments of a parameter that was not stepped yet */
    }
}

static void take_state(const loader *l)
{
    const kua__checkpoint *what = l->what;
    if (what->optim) *what->optim = l->optim;
    if (what->rng) *what->rng = l->rng;
    if (what->tape) {
        kua__tape_set_step(what->tape, l->tape_step);
        kua__tape_set_seed(what->tape, l->tape_seed);
    }
    if (what->ema) {
        what->ema->updates = l->ema_updates;
        what->ema->decay = (float)l->ema_decay;
    }
}

kua_status kua__checkpoint_load(const char *path, const kua__checkpoint *what, json_t **user)
{
    assert(path && what && what->params);
    assert(!what->ema || what->ema->n == what->params->n);
    kua__safetensors *file = NULL;
    if (user) *user = NULL;
    KUA__TRY(kua__safetensors_open(path, &file));
    loader l = {.file = file, .path = path, .what = what};
    kua_status st = read_meta(&l);
    if (!st) st = read_state(&l);
    if (!st) st = check_tensors(&l);
    if (!st) {
        take_tensors(&l);
        take_state(&l);
        if (user) *user = json_incref(l.user);
    }
    json_decref(l.state);
    json_decref(l.user);
    kua__safetensors_close(file);
    return st;
}

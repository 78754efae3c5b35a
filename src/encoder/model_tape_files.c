/* model_tape_files.c - a model on the tape from and to a file.
 *
 * Both ways are one walk over the slots of the family's naming: what lies in the file is a slice of
 * rows of a parameter (query, key and value are three tensors there and may be one here), possibly
 * turned. Files of GGUF have the rows of query and key in another order, which is undone on
 * reading, so that a model on the tape has one layout and can be saved.
 */
#include <assert.h>
#include <string.h>

#include "encoder/model_tape.h"
#include "encoder/model_tape_slots.h"
#include "tensor/safetensors.h"

/* A tensor of the file: where its numbers are on the tape. */
typedef struct visit {
    kua__slot slot;
    size_t layer;
    kua__part part;
    float *value;
} visit;

typedef kua_status (*visit_fn)(void *ctx, const visit *v);

/* Query, key or value may be rows of the stacked parameter: how many stand before them. */
static size_t rows_before(const kua__model_config *c, kua__slot slot)
{
    size_t q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    return slot == KUA__SLOT_KEY ? q : slot == KUA__SLOT_VALUE ? q + kv : 0;
}

static float *value_of(const kua__tape_model *m, kua__slot slot, size_t layer, kua__part part)
{
    const kua__tape_pair *slots = kua__slot_in_layer(slot) ? m->layer[layer] : m->once;
    bool own = kua__tape_slot_used(&m->config, slot);
    const kua__tape_pair *pair = &slots[own ? slot : KUA__SLOT_QKV];
    const kua__param *p = part == KUA__WEIGHT ? pair->weight : pair->bias;
    assert(p);
    size_t first = own ? 0 : rows_before(&m->config, slot);
    return p->value + first * (part == KUA__WEIGHT ? p->cols : 1);
}

static kua_status visit_slot(const kua__tape_model *m, kua__slot slot, size_t layer, visit_fn fn,
                             void *ctx)
{
    for (int part = KUA__WEIGHT; part <= KUA__BIAS; part++) {
        if (!kua__slot_has(&m->config, slot, (kua__part)part)) continue;
        visit v = {slot, layer, (kua__part)part, value_of(m, slot, layer, (kua__part)part)};
        KUA__TRY(fn(ctx, &v));
    }
    return KUA_OK;
}

static kua_status visit_all(const kua__tape_model *m, const kua__naming *naming, bool head,
                            visit_fn fn, void *ctx)
{
    for (kua__slot slot = 0; slot < KUA__SLOT_COUNT; slot++) {
        if (!kua__slot_used(naming, &m->config, slot)) continue;
        if (kua__slot_in_head(slot) && !head) continue;
        size_t n = kua__slot_in_layer(slot) ? m->config.layers : 1;
        for (size_t layer = 0; layer < n; layer++)
            KUA__TRY(visit_slot(m, slot, layer, fn, ctx));
    }
    return KUA_OK;
}

/* ---- reading ---- */

static kua_status read_one(void *ctx, const visit *v)
{
    const kua__names *names = ctx;
    size_t heads = v->slot == KUA__SLOT_QUERY ? names->config.heads : names->config.kv_heads;
    bool paired = names->naming->paired && v->part == KUA__WEIGHT &&
                  (v->slot == KUA__SLOT_QUERY || v->slot == KUA__SLOT_KEY);
    if (!paired) return kua__names_read(names, v->slot, v->layer, v->part, v->value);
    size_t rows, cols;
    float *turned = NULL;
    kua__slot_shape(&names->config, v->slot, &rows, &cols);
    KUA__TRY(KUA__NEW_ARRAY(&turned, rows * cols, "weights"));
    kua_status st = kua__names_read(names, v->slot, v->layer, v->part, turned);
    if (!st) kua__names_halves(v->value, turned, heads, names->config.head_dim, cols);
    kua__free(turned);
    return st;
}

static bool has_head(const kua__names *names, const kua__tape_model *m)
{
    for (kua__slot slot = KUA__SLOT_HEAD_DENSE; slot < KUA__SLOT_COUNT; slot++) {
        if (!kua__slot_used(names->naming, &m->config, slot)) continue;
        for (int part = KUA__WEIGHT; part <= KUA__BIAS; part++) {
            if (kua__slot_has(&m->config, slot, (kua__part)part) &&
                !kua__names_has(names, slot, 0, (kua__part)part))
                return false;
        }
    }
    return true;
}

kua_status kua__tape_model_load(kua__tape_model *model, const char *path, bool *head_found)
{
    assert(model && path);
    kua__weights *file = NULL;
    kua__names names;
    KUA__TRY(kua__weights_open(path, &file));
    kua_status st = kua__names_find(&names, &model->config, file);
    if (!st) st = kua__names_check(&names);
    bool head = !st && model->parts == KUA__TAPE_HEAD && has_head(&names, model);
    if (!st) st = visit_all(model, names.naming, head, read_one, &names);
    if (!st && names.naming->paired) model->config.rope_interleaved = false;
    if (head_found) *head_found = head;
    kua__weights_close(file);
    return st;
}

/* ---- writing ---- */

typedef struct saver {
    const kua__tape_model *model;
    const kua__naming *naming;
    const char *prefix;
    kua__st_writer *w;
    float *turned; /* for what lies the other way round in the file */
} saver;

static kua_status declare_one(void *ctx, const visit *v)
{
    const saver *s = ctx;
    char full[256];
    size_t dim[2], rank = kua__slot_dims(s->naming, &s->model->config, v->slot, v->part, dim);
    kua__slot_name(s->naming, s->prefix, v->slot, v->layer, v->part, full, sizeof(full));
    return kua__st_writer_declare(s->w, full, KUA__F32, rank, dim);
}

static kua_status write_one(void *ctx, const visit *v)
{
    const saver *s = ctx;
    size_t dim[2], rank = kua__slot_dims(s->naming, &s->model->config, v->slot, v->part, dim);
    bool turn = rank == 2 && s->naming->turned && kua__slot_is_product(v->slot);
    if (turn) kua__turn(s->turned, v->value, dim[1], dim[0]);
    return kua__st_writer_write(s->w, turn ? s->turned : v->value, dim[0] * dim[1] * sizeof(float));
}

static size_t largest_product(const kua__model_config *c)
{
    size_t most = 0, rows, cols;
    for (kua__slot slot = KUA__SLOT_ATTEND_NORM; kua__slot_in_layer(slot); slot++) {
        kua__slot_shape(c, slot, &rows, &cols);
        most = KUA__MAX(most, rows * cols);
    }
    return most;
}

static kua_status save_weights(const kua__tape_model *m, const char *path)
{
    bool head = m->parts == KUA__TAPE_HEAD;
    saver s = {.model = m, .naming = kua__naming_of(m->config.family)};
    s.prefix = head ? s.naming->prefix : "";
    if (s.naming->turned)
        KUA__TRY(KUA__NEW_ARRAY(&s.turned, largest_product(&m->config), "weights"));
    kua_status st = kua__st_writer_create(path, &s.w);
    if (!st) st = kua__st_writer_meta(s.w, "format", "pt"); /* Python's loader wants to know */
    if (!st) st = visit_all(m, s.naming, head, declare_one, &s);
    if (!st) st = visit_all(m, s.naming, head, write_one, &s);
    if (!st) st = kua__st_writer_commit(s.w);
    kua__st_writer_free(s.w);
    kua__free(s.turned);
    return st;
}

kua_status kua__tape_model_save(const kua__tape_model *model, const char *folder)
{
    assert(model && folder);
    assert(!model->config.rope_interleaved);
    char *path = kua__path_join(folder, "model.safetensors");
    if (!path) return kua__fail_nomem(strlen(folder), "a path");
    kua_status st = kua__make_folders(folder);
    if (!st) st = kua__config_save(&model->config, folder);
    if (!st) st = save_weights(model, path);
    kua__free(path);
    return st;
}

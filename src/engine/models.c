/* models.c - kept models, on disk: opening a version, the stage it was fitted on, loading it, and
 * its validation ranks.
 *
 *     models/NAME/VERSION/seed-0/    what the recommender saves, and valid.safetensors
 *
 * The ranks on validation are kept, so that the guard can compare with a model without scoring it
 * again. They are numbers of the questions of one stage, in its order: who loads them compares them
 * with a set that was built from the same split.
 */
#include "engine/engine.h"

#include <assert.h>
#include <string.h>

#include "tensor/safetensors.h"
#include "transfer/transfer.h"

/* Borrowed; "" where there is none. */
static const char *member(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

kua_status kua__kept_open(kua_workspace *ws, const char *name, int version, kua__kept *out)
{
    assert(ws && name && version >= 0 && out);
    *out = (kua__kept){0};
    KUA__TRY(kua__store_model_get(ws->store, name, version, &out->row));
    const json_t *record = json_object_get(out->row, "record");
    out->name = member(out->row, "name");
    out->kind = member(out->row, "kind");
    out->strategy = member(out->row, "strategy");
    out->domain = member(out->row, "domain");
    out->sources = member(record, "sources");
    out->split = member(record, "split");
    out->version = (int)json_integer_value(json_object_get(out->row, "version"));
    out->n_seeds = json_array_size(json_object_get(record, "seeds"));
    out->settings = json_object_get(record, "settings");
    return KUA_OK;
}

void kua__kept_release(kua__kept *model)
{
    assert(model);
    json_decref(model->row);
    *model = (kua__kept){0};
}

char *kua__kept_folder(const kua_workspace *ws, const char *name, int version, size_t k)
{
    assert(ws && name && version >= 1);
    kua__buf path = {0};
    kua__buf_printf(&path, "%s/models/%s/%d/seed-%zu", ws->path, name, version, k);
    char *copy = path.failed ? NULL : kua__strdup(path.data);
    kua__buf_release(&path);
    return copy;
}

kua_status kua__kept_load(kua_workspace *ws, const kua__kept *model, size_t k,
                          const kua__world *world, kua__rec **out)
{
    assert(ws && model && model->row && world && out);
    const kua__rec_ops *ops = kua__rec_find(model->kind);
    if (!ops)
        return kua__fail(KUA_FORMAT, "model %s: kind '%s' is not known to this version",
                         model->name, model->kind);
    char *folder = kua__kept_folder(ws, model->name, model->version, k);
    if (!folder) return kua__fail_nomem(0, "a path");
    kua_status st = ops->load(folder, world, out);
    if (st) st = kua__fail_prefix(st, "model %s, version %d", model->name, model->version);
    kua__free(folder);
    return st;
}

kua_status kua__kept_stage(kua_workspace *ws, const kua__kept *model, const char *split,
                           kua__stage *out)
{
    assert(model && model->row);
    return kua__stage_open(ws, model->domain, *model->sources ? model->sources : NULL,
                           split ? split : model->split, out);
}

/* ---- ranks on validation ---- */

kua_status kua__result_save(const kua__eval_result *r, const char *folder)
{
    assert(r && r->rank && r->list && folder);
    char *path = kua__path_join(folder, "valid.safetensors");
    if (!path) return kua__fail_nomem(0, "a path");
    kua__st_writer *w = NULL;
    kua_status st = kua__st_writer_create(path, &w);
    if (!st) st = kua__st_writer_declare(w, "rank", KUA__F32, 1, &r->n_relevant);
    if (!st) st = kua__st_writer_declare(w, "list", KUA__F32, 2, (size_t[]){3, r->n_users});
    if (!st) st = kua__st_writer_write(w, r->rank, r->n_relevant * sizeof(*r->rank));
    if (!st) st = kua__st_writer_write(w, r->list, 3 * r->n_users * sizeof(*r->list));
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    kua__free(path);
    return st;
}

static kua_status read_floats(const kua__safetensors *file, const char *name, float **out,
                              size_t *n)
{
    const kua__tensor *t = kua__safetensors_find(file, name);
    if (!t || t->dtype != KUA__F32)
        return kua__fail(KUA_FORMAT, "%s: no tensor '%s' of F32", kua__safetensors_path(file),
                         name);
    KUA__TRY(KUA__NEW_ARRAY(out, t->count, "ranks"));
    kua__tensor_to_f32(t, 0, t->count, *out);
    *n = t->count;
    return KUA_OK;
}

kua_status kua__result_load(const char *folder, kua__eval_result *out)
{
    assert(folder && out);
    *out = (kua__eval_result){0};
    char *path = kua__path_join(folder, "valid.safetensors");
    if (!path) return kua__fail_nomem(0, "a path");
    kua__safetensors *file = NULL;
    size_t n = 0;
    kua_status st = kua__safetensors_open(path, &file);
    if (!st) st = read_floats(file, "rank", &out->rank, &out->n_relevant);
    if (!st) st = read_floats(file, "list", &out->list, &n);
    out->n_users = n / 3; /* the list is [3, n_users]: popularity, novelty, diversity */
    kua__safetensors_close(file);
    kua__free(path);
    if (st) kua__eval_result_release(out);
    return st;
}

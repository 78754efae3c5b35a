/* saved.c - files of the simple recommenders: model.json beside model.safetensors. */
#include "rec/common.h"

#include <string.h>

#include "base/json.h"

static kua_status save_json(const kua__rec *rec, const char *path, const kua__tunable *t, int n)
{
    json_t *values = json_object();
    for (int i = 0; i < n; i++) json_object_set_new(values, t[i].key, json_real(*t[i].value));
    json_t *all = json_pack("{s:i, s:s, s:O, s:O, s:I, s:o}", "format", 1, "recommender", rec->ops->name, "settings", rec->settings, "facts",
                            rec->facts, "items", (json_int_t)rec->n_items, "values", values);
    kua_status st = all ? kua__json_save(path, all) : kua__fail_nomem(0, "a model");
    json_decref(all);
    return st;
}

static kua_status save_arrays(const char *path, const kua__saved *a, size_t n)
{
    kua__st_writer *w = NULL;
    kua_status st = kua__st_writer_create(path, &w);
    for (size_t i = 0; !st && i < n; i++) st = kua__st_writer_declare(w, a[i].name, a[i].dtype, 1, a[i].n);
    for (size_t i = 0; !st && i < n; i++) st = kua__st_writer_write(w, *a[i].data, *a[i].n * kua__dtype_size(a[i].dtype));
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    return st;
}

kua_status kua__simple_save(const kua__rec *rec, const char *folder, const kua__saved *a, size_t n, const kua__tunable *t, int n_t)
{
    char *json = kua__path_join(folder, "model.json"), *tensors = kua__path_join(folder, "model.safetensors");
    kua_status st = json && tensors ? KUA_OK : kua__fail_nomem(0, "a path");
    if (!st) st = save_arrays(tensors, a, n);
    if (!st) st = save_json(rec, json, t, n_t);
    kua__free(json);
    kua__free(tensors);
    return st;
}

static kua_status load_json(const char *folder, json_t **out)
{
    char *path = kua__path_join(folder, "model.json");
    kua_status st = path ? kua__json_load(path, out) : kua__fail_nomem(0, "a path");
    kua__free(path);
    return st;
}

kua_status kua__simple_settings(const char *folder, const char *kind, json_t **out)
{
    json_t *all = NULL;
    *out = NULL;
    KUA__TRY(load_json(folder, &all));
    const char *have = json_string_value(json_object_get(all, "recommender"));
    *out = json_incref(json_object_get(all, "settings"));
    kua_status st = have && kua__streq(have, kind) && json_is_object(*out) ? KUA_OK : kua__fail(KUA_FORMAT, "%s/model.json: not a model of kind %s", folder, kind);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    json_decref(all);
    return st;
}

static kua_status load_array(const kua__safetensors *file, const kua__saved *a)
{
    const kua__tensor *t = kua__safetensors_find(file, a->name);
    if (!t || t->dtype != a->dtype) return kua__fail(KUA_FORMAT, "%s: no tensor '%s' of %s", kua__safetensors_path(file), a->name, kua__dtype_name(a->dtype));
    *a->n = t->count;
    *a->data = kua__malloc(t->bytes ? t->bytes : 1);
    if (!*a->data) return kua__fail_nomem(t->bytes, a->name);
    memcpy(*a->data, t->data, t->bytes);
    return KUA_OK;
}

static kua_status load_values(kua__rec *rec, const char *folder, const kua__tunable *t, int n)
{
    json_t *all = NULL;
    int64_t items = 0;
    KUA__TRY(load_json(folder, &all));
    const json_t *values = json_object_get(all, "values");
    for (int i = 0; i < n; i++) *t[i].value = json_number_value(json_object_get(values, t[i].key));
    json_decref(rec->facts);
    rec->facts = json_incref(json_object_get(all, "facts"));
    kua_status st = kua__json_int(folder, all, "items", 0, UINT32_MAX, &items);
    rec->n_items = (size_t)items;
    json_decref(all);
    return st;
}

kua_status kua__simple_load(kua__rec *rec, const char *folder, const kua__saved *a, size_t n, const kua__tunable *t, int n_t)
{
    char *path = kua__path_join(folder, "model.safetensors");
    kua__safetensors *file = NULL;
    kua_status st = path ? kua__safetensors_open(path, &file) : kua__fail_nomem(0, "a path");
    for (size_t i = 0; !st && i < n; i++) st = load_array(file, &a[i]);
    kua__safetensors_close(file);
    kua__free(path);
    return st ? st : load_values(rec, folder, t, n_t);
}

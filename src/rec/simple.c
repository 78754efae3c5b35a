/* simple.c - parts by name, and the life of a recommender that is made of them. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "rec/common.h"

enum { FORMAT = 1 };

/* ---- parts ---- */

void kua__parts_array(kua__parts *p, const char *name, kua__dtype dtype, void **data, size_t *n)
{
    assert(p->n_arrays < KUA__ARRAYS_MAX && strlen(name) < sizeof(p->array[0].name));
    kua__array *a = &p->array[p->n_arrays++];
    *a = (kua__array){.dtype = dtype, .data = data, .n = n};
    memcpy(a->name, name, strlen(name) + 1);
}

kua__tunable *kua__parts_tunable(kua__parts *p, const char *key, double *value, double fallback,
                                 const double *candidates, int n)
{
    assert(p->n_tunables < KUA__TUNABLES_MAX && n <= KUA__CANDIDATES_MAX);
    kua__tunable *t = &p->tunable[p->n_tunables++];
    *t = (kua__tunable){.key = key, .value = value, .n = n, .fallback = fallback};
    if (n) memcpy(t->candidate, candidates, (size_t)n * sizeof(*candidates));
    return t;
}

void kua__parts_weighing(kua__parts *p, const kua__simple *simple, kua__weighing *w, double decay)
{
    static const double times[] = {0, 30, 60, 120, 240}, decays[] = {1, .9, .8, .7, .5, .3};
    static const double counts[] = {0, 1, 2};
    bool clock = simple->clock;
    kua__parts_tunable(p, "half_life", &w->half_life, clock ? 120 : 0, times, clock ? 5 : 0);
    kua__parts_tunable(p, "decay", &w->decay, clock ? 1 : decay, decays, clock ? 0 : 6);
    kua__parts_tunable(p, "counts", &w->counts, simple->repeats ? 1 : 0, counts,
                       simple->repeats ? 3 : 0);
}

/* Where a number means nothing beyond a limit, or would make a weight 0 or infinite. */
static double largest(const char *key)
{
    static const struct {
        const char *key;
        double high;
    } limits[] = {
        {"decay", 1},       {"again_decay", 1}, {"counts", 2},    {"user_power", 2},
        {"again_power", 8}, {"power", 8},       {"idf_power", 8}, {"whitening", 2},
    };
    for (size_t i = 0; i < KUA__COUNT(limits); i++) {
        if (kua__streq(limits[i].key, key)) return limits[i].high;
    }
    return 1e9;
}

/* What every recommender has; the numbers only where its settings know them. */
static void again_parts(kua__simple *s, kua__parts *p)
{
    static const double weights[] = {0, .3, 1, 3, 10, 30, 100}, lives[] = {90, 180, 360};
    static const double powers[] = {0, .5, 1};
    kua__again *a = &s->again;
    bool clock = s->clock, repeats = s->repeats;
    kua__parts_array(p, "again.rate", KUA__F32, (void **)&a->rate, &a->n_rate);
    kua__parts_array(p, "again.popularity", KUA__F32, (void **)&a->popularity, &a->n_popularity);
    if (!json_object_get(s->rec.settings, "again")) return;
    kua__tunable *of_again[] = {
        kua__parts_tunable(p, "again", &a->weight, repeats ? 1 : 0, weights, repeats ? 7 : 0),
        kua__parts_tunable(p, "again_half_life", &a->half_life, clock ? 180 : 0, lives,
                           clock && repeats ? 3 : 0),
        kua__parts_tunable(p, "again_decay", &a->decay, 1, NULL, 0),
        kua__parts_tunable(p, "again_power", &a->power, .5, powers, repeats ? 3 : 0),
    };
    for (size_t i = 0; i < KUA__COUNT(of_again); i++)
        of_again[i]->again = true;
}

double kua__setting(const kua__rec *rec, const char *key)
{
    const json_t *value = json_object_get(rec->settings, key);
    assert(value && "a setting without a default");
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* ---- life ---- */

kua_status kua__simple_create(const kua__rec_ops *ops, size_t bytes, const json_t *settings,
                              kua__rec **out)
{
    assert(bytes >= sizeof(kua__simple));
    kua__rec *rec = *out = kua__calloc(1, bytes);
    if (!rec) return kua__fail_nomem(bytes, "a recommender");
    *rec = (kua__rec){ops, kua__json_copy(settings), json_object(), 0};
    if (rec->settings && rec->facts) return KUA_OK;
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(rec);
    *out = NULL;
    return kua__fail_nomem(bytes, "a recommender's settings");
}

void kua__simple_parts(kua__rec *rec, kua__describe_fn describe, kua__parts *parts)
{
    parts->n_arrays = parts->n_tunables = 0;
    describe(rec, parts);
    again_parts((kua__simple *)rec, parts);
}

static kua_status read_numbers(kua__rec *rec, kua__parts *parts)
{
    for (size_t i = 0; i < parts->n_tunables; i++) {
        kua__tunable *t = &parts->tunable[i];
        double given = kua__setting(rec, t->key);
        t->automatic = isnan(given);
        *t->value = t->automatic ? t->fallback : given;
        double high = largest(t->key);
        if (!(*t->value >= 0 && *t->value <= high))
            return kua__fail(KUA_INVALID, "%s: %s is %g, must be in 0..%g", rec->ops->name, t->key,
                             *t->value, high);
    }
    return KUA_OK;
}

kua_status kua__simple_begin(kua__rec *rec, const kua__world *world, kua__describe_fn describe,
                             kua__pairs *users)
{
    kua__simple *s = (kua__simple *)rec;
    kua__parts parts;
    *users = (kua__pairs){0};
    rec->n_items = world->train.log->n_items;
    s->clock = world->train.log->has_clock;
    KUA__TRY(kua__pairs_from_cut(&world->train, users));
    s->repeats = kua__pairs_repeat(users);
    kua__simple_parts(rec, describe, &parts);
    kua_status st = read_numbers(rec, &parts);
    if (!st) st = kua__again_learn(&s->again, users);
    if (st) kua__pairs_release(users);
    return st;
}

void kua__simple_free(kua__rec *rec, kua__describe_fn describe)
{
    kua__simple *s = (kua__simple *)rec;
    kua__parts parts;
    kua__simple_parts(rec, describe, &parts);
    for (size_t i = 0; i < parts.n_arrays && !s->file; i++)
        kua__free(*parts.array[i].data);
    kua__safetensors_close(s->file);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(rec);
}

/* ---- files ---- */

static kua_status save_json(const kua__rec *rec, const char *path, const kua__parts *p)
{
    const kua__simple *s = (const kua__simple *)rec;
    json_t *values = json_object();
    for (size_t i = 0; values && i < p->n_tunables; i++) {
        if (json_object_set_new(values, p->tunable[i].key, json_real(*p->tunable[i].value)))
            return json_decref(values), kua__fail_nomem(64, "a model's numbers");
    }
    json_t *all = json_pack("{s:i, s:s, s:O, s:O, s:I, s:b, s:b, s:o}", "format", FORMAT,
                            "recommender", rec->ops->name, "settings", rec->settings, "facts",
                            rec->facts, "items", (json_int_t)rec->n_items, "clock", s->clock,
                            "repeats", s->repeats, "values", values);
    kua_status st = all ? kua__json_save(path, all) : kua__fail_nomem(64, "a model");
    json_decref(all);
    return st;
}

/* Wide types first: then every array is aligned in the file. */
static kua_status save_arrays(const char *path, const kua__parts *p)
{
    kua__st_writer *w = NULL;
    kua_status st = kua__st_writer_create(path, &w);
    for (int writes = 0; writes < 2; writes++) {
        for (size_t size = 8; size; size /= 2) {
            for (size_t i = 0; !st && i < p->n_arrays; i++) {
                const kua__array *a = &p->array[i];
                if (kua__dtype_size(a->dtype) != size) continue;
                st = writes ? kua__st_writer_write(w, *a->data, *a->n * size)
                            : kua__st_writer_declare(w, a->name, a->dtype, 1, a->n);
            }
        }
    }
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    return st;
}

kua_status kua__simple_save(const kua__rec *rec, const char *folder, kua__describe_fn describe)
{
    kua__parts parts;
    kua__simple_parts((kua__rec *)rec, describe, &parts); /* looks, changes nothing */
    char *json = kua__path_join(folder, "model.json");
    char *tensors = kua__path_join(folder, "model.safetensors");
    kua_status st = json && tensors ? KUA_OK : kua__fail_nomem(strlen(folder), "a path");
    if (!st) st = save_arrays(tensors, &parts);
    if (!st) st = save_json(rec, json, &parts);
    kua__free(json);
    kua__free(tensors);
    return st;
}

static kua_status load_json(const kua__rec_ops *ops, const char *path, json_t **out)
{
    int64_t format = 0;
    const char *name = NULL;
    KUA__TRY(kua__json_load(path, out));
    kua_status st = kua__json_int(path, *out, "format", 1, INT32_MAX, &format);
    if (!st && format != FORMAT)
        st = kua__fail(KUA_FORMAT, "%s: format %d, this program reads %d", path, (int)format,
                       FORMAT);
    if (!st) st = kua__json_string(path, *out, "recommender", &name);
    if (!st && !kua__streq(name, ops->name))
        st =
            kua__fail(KUA_FORMAT, "%s: a model of kind '%s', expected '%s'", path, name, ops->name);
    if (!st && !json_is_object(json_object_get(*out, "settings")))
        st = kua__fail(KUA_FORMAT, "%s: settings are no object", path);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

/* Every setting of this program must be in the file, or its numbers would have no meaning. */
static kua_status check_settings(const kua__rec_ops *ops, const char *path, const json_t *settings)
{
    json_t *known = NULL, *value;
    const char *key;
    KUA__TRY(kua__json_parse(ops->name, ops->settings, strlen(ops->settings), &known));
    kua_status st = KUA_OK;
    json_object_foreach(known, key, value)
    {
        const json_t *have = json_object_get(settings, key);
        if (!st && !json_is_number(have) && !json_is_string(have))
            st = kua__fail(KUA_FORMAT, "%s: setting %s is missing", path, key);
    }
    json_decref(known);
    return st;
}

static kua_status load_numbers(kua__rec *rec, const char *path, const json_t *all, kua__parts *p)
{
    kua__simple *s = (kua__simple *)rec;
    const json_t *values = json_object_get(all, "values"), *facts = json_object_get(all, "facts");
    int64_t items;
    assert(rec);
    KUA__TRY(kua__json_int(path, all, "items", 0, UINT32_MAX - 1, &items));
    KUA__TRY(kua__json_bool_or(path, all, "clock", false, &s->clock));
    KUA__TRY(kua__json_bool_or(path, all, "repeats", false, &s->repeats));
    rec->n_items = (size_t)items;
    for (size_t i = 0; i < p->n_tunables; i++) {
        const json_t *value = json_object_get(values, p->tunable[i].key);
        double number = json_number_value(value), high = largest(p->tunable[i].key);
        if (!json_is_number(value) || !(number >= 0 && number <= high))
            return kua__fail(KUA_FORMAT, "%s: values.%s is no number in 0..%g", path,
                             p->tunable[i].key, high);
        *p->tunable[i].value = number;
    }
    if (!json_is_object(facts)) return kua__fail(KUA_FORMAT, "%s: facts are no object", path);
    json_decref(rec->facts);
    rec->facts = json_incref((json_t *)facts);
    return KUA_OK;
}

static kua_status map_arrays(kua__simple *s, const char *path, kua__parts *p)
{
    KUA__TRY(kua__safetensors_open(path, &s->file));
    for (size_t i = 0; i < p->n_arrays; i++) {
        kua__array *a = &p->array[i];
        const kua__tensor *t = kua__safetensors_find(s->file, a->name);
        if (!t || t->dtype != a->dtype)
            return kua__fail(KUA_FORMAT, "%s: no tensor '%s' of %s", path, a->name,
                             kua__dtype_name(a->dtype));
        if ((uintptr_t)t->data % kua__dtype_size(t->dtype))
            return kua__fail(KUA_FORMAT, "%s: tensor '%s' is not aligned", path, a->name);
        for (size_t k = 0; k < i; k++) {
            if (p->array[k].n == a->n && *a->n != t->count)
                return kua__fail(KUA_FORMAT, "%s: tensor '%s' has %zu elements, '%s' has %zu", path,
                                 a->name, t->count, p->array[k].name, *a->n);
        }
        *a->n = t->count;
        *a->data = (void *)t->data;
    }
    size_t n = s->rec.n_items;
    if (s->again.n_rate == n && s->again.n_popularity == n) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %zu rates for %zu items", path, s->again.n_rate, n);
}

static kua_status load(const kua__simple_kind *kind, const char *json_path,
                       const char *tensors_path, const kua__world *world, kua__rec **out)
{
    json_t *all = NULL;
    kua__parts parts;
    KUA__TRY(load_json(kind->ops, json_path, &all));
    const json_t *settings = json_object_get(all, "settings");
    kua_status st = check_settings(kind->ops, json_path, settings);
    if (!st) st = kua__simple_create(kind->ops, kind->bytes, settings, out);
    if (!st) {
        if (kind->init) kind->init(*out, world);
        kua__simple_parts(*out, kind->describe, &parts);
        st = load_numbers(*out, json_path, all, &parts);
        if (!st) st = map_arrays((kua__simple *)*out, tensors_path, &parts);
    }
    json_decref(all);
    return st;
}

kua_status kua__simple_load(const kua__simple_kind *kind, const char *folder,
                            const kua__world *world, kua__rec **out)
{
    *out = NULL;
    char *json = kua__path_join(folder, "model.json");
    char *tensors = kua__path_join(folder, "model.safetensors");
    kua_status st = json && tensors ? KUA_OK : kua__fail_nomem(strlen(folder), "a path");
    if (!st) st = load(kind, json, tensors, world, out);
    if (!st && kind->check) st = kind->check(*out, world, folder);
    kua__free(json);
    kua__free(tensors);
    if (st && *out) {
        kua__rec_free(*out);
        *out = NULL;
    }
    return st;
}

/* gguf.c - what an open GGUF file answers. Reading it is gguf_read.c's work.
 *
 * Writers differ in the width of a setting (u32, u64, i32 for the same count), so whoever asks
 * names a range instead of a type. Settings are few: they are found by binary search in an index.
 */
#include "tensor/gguf.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "tensor/gguf_private.h"

static const struct {
    const char *name;
    size_t size;
} types[KUA__GGUF_TYPE_COUNT] = {
#define X(name, size, text) {text, size},
    KUA__GGUF_TYPE_MAP(X)
#undef X
};

const char *kua__gguf_type_name(kua__gguf_type type)
{
    assert((unsigned)type < KUA__GGUF_TYPE_COUNT);
    return types[type].name;
}

size_t kua__gguf_type_size(kua__gguf_type type)
{
    assert((unsigned)type < KUA__GGUF_TYPE_COUNT);
    return types[type].size;
}

/* ---- files ---- */

kua_status kua__gguf_parse(const char *name, const void *data, size_t n, kua__gguf **out)
{
    assert(name && (data || n == 0) && out);
    *out = NULL;
    kua__gguf *f = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&f, 1, "a GGUF file"));
    kua__arena_init(&f->arena, 1 << 16);
    f->path = kua__strdup(name);
    kua_status st =
        f->path ? kua__gguf_read(f, data, n) : kua__fail_nomem(strlen(name) + 1, "a path");
    if (st)
        kua__gguf_close(f);
    else
        *out = f;
    return st;
}

kua_status kua__gguf_open(const char *path, kua__gguf **out)
{
    assert(path && out);
    *out = NULL;
    kua__map map;
    KUA__TRY(kua__map_open(&map, path));
    kua_status st = kua__gguf_parse(path, map.data, map.size, out);
    if (!st && *out)
        (*out)->map = map;
    else
        kua__map_close(&map);
    return st;
}

void kua__gguf_close(kua__gguf *file)
{
    if (!file) return;
    if (file->map.data) kua__map_close(&file->map);
    kua__arena_release(&file->arena);
    kua__free(file->value);
    kua__free(file->by_key);
    kua__free(file->tensor);
    kua__free(file->by_name);
    kua__free(file->path);
    kua__free(file);
}

const char *kua__gguf_path(const kua__gguf *file)
{
    assert(file);
    return file->path;
}

int kua__gguf_version(const kua__gguf *file)
{
    assert(file);
    return file->version;
}

/* ---- tensors ---- */

size_t kua__gguf_count(const kua__gguf *file)
{
    assert(file);
    return file->n;
}

const kua__tensor *kua__gguf_at(const kua__gguf *file, size_t i)
{
    assert(file && i < file->n);
    return &file->tensor[i];
}

const kua__tensor *kua__gguf_find(const kua__gguf *file, const char *name)
{
    assert(file && name);
    return kua__tensors_find(file->tensor, file->n, file->by_name, name);
}

/* ---- values ---- */

size_t kua__gguf_values(const kua__gguf *file)
{
    assert(file);
    return file->n_values;
}

const kua__gguf_value *kua__gguf_value_at(const kua__gguf *file, size_t i)
{
    assert(file && i < file->n_values);
    return &file->value[i];
}

const kua__gguf_value *kua__gguf_value_find(const kua__gguf *file, const char *key)
{
    assert(file && key);
    size_t low = 0, high = file->n_values;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const kua__gguf_value *v = &file->value[file->by_key[mid]];
        int order = strcmp(key, v->key);
        if (order == 0) return v;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

static bool is_integer(kua__gguf_type type)
{
    return type <= KUA__GGUF_I32 || type == KUA__GGUF_U64 || type == KUA__GGUF_I64;
}

static bool is_real(kua__gguf_type type)
{
    return is_integer(type) || type == KUA__GGUF_F32 || type == KUA__GGUF_F64;
}

const kua__gguf_value *kua__gguf_array(const kua__gguf *file, const char *key, kua__gguf_type kind)
{
    assert((unsigned)kind < KUA__GGUF_TYPE_COUNT && kind != KUA__GGUF_ARRAY);
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    if (!v || !v->array) return NULL;
    bool fits = is_integer(kind) ? is_integer(v->type)
                : is_real(kind)  ? is_real(v->type)
                                 : v->type == kind;
    return fits ? v : NULL;
}

kua__gguf_text kua__gguf_text_at(const kua__gguf_value *value, size_t i)
{
    assert(value && value->texts && i < value->n);
    return value->texts[i];
}

#define NUMBER(type, p)                                                                            \
    do {                                                                                           \
        type x;                                                                                    \
        memcpy(&x, p, sizeof(x));                                                                  \
        return x;                                                                                  \
    } while (0)

int64_t kua__gguf_int_at(const kua__gguf_value *value, size_t i)
{
    assert(value && i < value->n && value->data);
    const char *p = value->data + i * types[value->type].size;
    uint64_t large;
    switch (value->type) {
    case KUA__GGUF_U8:
    case KUA__GGUF_BOOL:
        NUMBER(uint8_t, p);
    case KUA__GGUF_I8:
        NUMBER(int8_t, p);
    case KUA__GGUF_U16:
        NUMBER(uint16_t, p);
    case KUA__GGUF_I16:
        NUMBER(int16_t, p);
    case KUA__GGUF_U32:
        NUMBER(uint32_t, p);
    case KUA__GGUF_I32:
        NUMBER(int32_t, p);
    case KUA__GGUF_I64:
        NUMBER(int64_t, p);
    case KUA__GGUF_U64:
        memcpy(&large, p, sizeof(large));
        return large > INT64_MAX ? INT64_MAX : (int64_t)large;
    default:
        assert(!"a whole number");
        return 0;
    }
}

double kua__gguf_real_at(const kua__gguf_value *value, size_t i)
{
    assert(value && i < value->n && value->data);
    const char *p = value->data + i * types[value->type].size;
    if (value->type == KUA__GGUF_F32) NUMBER(float, p);
    if (value->type == KUA__GGUF_F64) NUMBER(double, p);
    return (double)kua__gguf_int_at(value, i);
}

/* ---- one value, checked ---- */

static kua_status missing(const kua__gguf *file, const char *key)
{
    return kua__fail(KUA_NOTFOUND, "%s: no setting %s", file->path, key);
}

static kua_status wrong_kind(const kua__gguf *file, const kua__gguf_value *v, const char *expected)
{
    return kua__fail(KUA_FORMAT, "%s: %s is %s%s, expected %s", file->path, v->key,
                     v->array ? "an array of " : "of type ", types[v->type].name, expected);
}

static kua_status get_int(const kua__gguf *file, const kua__gguf_value *v, int64_t low,
                          int64_t high, int64_t *out)
{
    if (v->array || !is_integer(v->type)) return wrong_kind(file, v, "a whole number");
    int64_t n = kua__gguf_int_at(v, 0);
    if (n < low || n > high)
        return kua__fail(KUA_FORMAT, "%s: %s is %" PRId64 ", expected %" PRId64 "..%" PRId64,
                         file->path, v->key, n, low, high);
    *out = n;
    return KUA_OK;
}

kua_status kua__gguf_int(const kua__gguf *file, const char *key, int64_t low, int64_t high,
                         int64_t *out)
{
    assert(low <= high && out);
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    return v ? get_int(file, v, low, high, out) : missing(file, key);
}

kua_status kua__gguf_int_or(const kua__gguf *file, const char *key, int64_t low, int64_t high,
                            int64_t fallback, int64_t *out)
{
    assert(low <= high && out);
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    if (v) return get_int(file, v, low, high, out);
    *out = fallback;
    return KUA_OK;
}

static kua_status get_real(const kua__gguf *file, const kua__gguf_value *v, double low, double high,
                           double *out)
{
    if (v->array || !is_real(v->type)) return wrong_kind(file, v, "a number");
    double x = kua__gguf_real_at(v, 0);
    if (!(x >= low && x <= high)) /* a NaN too */
        return kua__fail(KUA_FORMAT, "%s: %s is %g, expected %g..%g", file->path, v->key, x, low,
                         high);
    *out = x;
    return KUA_OK;
}

kua_status kua__gguf_real(const kua__gguf *file, const char *key, double low, double high,
                          double *out)
{
    assert(low <= high && out);
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    return v ? get_real(file, v, low, high, out) : missing(file, key);
}

kua_status kua__gguf_real_or(const kua__gguf *file, const char *key, double low, double high,
                             double fallback, double *out)
{
    assert(low <= high && out);
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    if (v) return get_real(file, v, low, high, out);
    *out = fallback;
    return KUA_OK;
}

kua_status kua__gguf_bool_or(const kua__gguf *file, const char *key, bool fallback, bool *out)
{
    assert(out);
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    if (v && (v->array || v->type != KUA__GGUF_BOOL)) return wrong_kind(file, v, "true or false");
    *out = v ? v->data[0] != 0 : fallback;
    return KUA_OK;
}

kua_status kua__gguf_string(const kua__gguf *file, const char *key, kua__gguf_text *out)
{
    assert(out);
    *out = (kua__gguf_text){0};
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    if (!v) return missing(file, key);
    if (v->array || v->type != KUA__GGUF_TEXT) return wrong_kind(file, v, "a text");
    *out = v->texts[0];
    return KUA_OK;
}

bool kua__gguf_says(const kua__gguf *file, const char *key, const char *text)
{
    assert(text);
    const kua__gguf_value *v = kua__gguf_value_find(file, key);
    return v && !v->array && v->type == KUA__GGUF_TEXT && v->texts[0].n == strlen(text) &&
           memcmp(v->texts[0].data, text, v->texts[0].n) == 0;
}

/* safetensors.c - reading tensors from files that nobody vouches for.
 *
 * Order of checks, each of which makes the next one safe:
 *
 *     the file holds 8 bytes; they state a header length under the limit and inside the file
 *     the header is one JSON object without duplicate names
 *     each entry has a known type, a shape whose product does not overflow, offsets inside the
 *         data, and as many bytes as the shape needs
 *     sorted by offset, the entries cover the data from its first byte to its last without a hole
 *         or an overlap
 *
 * Invariants
 *   I1  every kua__tensor's [data, data + bytes) lies inside the mapping.
 *   I2  tensors[] is in the order of the data; by_name holds its indices, sorted by name, for
 *       binary search.
 *   I3  names are the keys of `header`, which lives as long as the file.
 */
#include "tensor/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

struct kua__safetensors {
    kua__map map; /* of an opened file; {0} where the memory is the caller's */
    char *path;
    json_t *header;       /* owns the names */
    kua__tensor *tensors; /* [n] I2 */
    uint32_t *by_name;    /* [n] */
    size_t n, bytes;
};

/* ---- the header ---- */

/* What an entry's checks need beside it. */
typedef struct entry {
    const char *file, *name;
    const json_t *json;
    const char *data; /* the file's, behind the header */
    size_t size;
    kua__tensor *out;
} entry;

/* Names come from the file: shown cut, so that a message stays a line. */
#define BAD(e, format, ...)                                                                        \
    kua__fail(KUA_FORMAT, "%s: tensor \"%.80s\": " format, (e)->file, (e)->name, __VA_ARGS__)

static kua_status read_dtype(entry *e)
{
    const char *text = json_string_value(json_object_get(e->json, "dtype"));
    if (!text) return BAD(e, "%s", "dtype is missing or not a text");
    for (kua__dtype i = 0; i < KUA__DTYPE_COUNT; i++) {
        if (kua__dtype_block(i) == 1 && kua__streq(text, kua__dtype_name(i))) {
            e->out->dtype = i;
            return KUA_OK;
        }
    }
    return BAD(e, "dtype is \"%.20s\", known are F32 F16 BF16 I8 U8 I32 I64 BOOL", text);
}

static kua_status read_shape(entry *e)
{
    assert((unsigned)e->out->dtype < KUA__DTYPE_COUNT); /* read before: bytes need it */
    const json_t *shape = json_object_get(e->json, "shape");
    if (!json_is_array(shape)) return BAD(e, "%s", "shape is missing or not an array");
    kua__tensor *t = e->out;
    t->rank = json_array_size(shape);
    if (t->rank > KUA__RANK_MAX)
        return BAD(e, "shape has %zu dimensions, the limit is %d", t->rank, KUA__RANK_MAX);
    for (size_t i = 0; i < t->rank; i++) {
        const json_t *d = json_array_get(shape, i);
        int64_t n = json_is_integer(d) ? json_integer_value(d) : -1;
        if (n < 0) return BAD(e, "dimension %zu of the shape is not a number from 0 on", i);
        t->dim[i] = (size_t)n;
    }
    if (!kua__tensor_measure(t))
        return BAD(e, "the product of the %zu dimensions overflows", t->rank);
    return KUA_OK;
}

static kua_status read_offsets(entry *e)
{
    const json_t *pair = json_object_get(e->json, "data_offsets");
    const json_t *a = json_array_get(pair, 0), *b = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(a) || !json_is_integer(b))
        return BAD(e, "%s", "data_offsets is missing or not two numbers");
    int64_t begin = json_integer_value(a), end = json_integer_value(b);
    if (begin < 0 || end < begin || (uint64_t)end > e->size) {
        return BAD(e, "data_offsets are %" PRId64 "..%" PRId64 ", the file has %zu bytes of data",
                   begin, end, e->size);
    }
    if ((uint64_t)(end - begin) != e->out->bytes) {
        return BAD(e, "data_offsets span %" PRId64 " bytes, %zu elements of %s need %zu",
                   end - begin, e->out->count, kua__dtype_name(e->out->dtype), e->out->bytes);
    }
    e->out->data = e->data + begin;
    return KUA_OK;
}

static kua_status read_entry(entry *e)
{
    size_t n = strlen(e->name);
    if (n == 0 || n > KUA__TENSOR_NAME_MAX)
        return BAD(e, "the name has %zu bytes, expected 1..%d", n, KUA__TENSOR_NAME_MAX);
    if (!json_is_object(e->json)) return BAD(e, "%s", "is not a JSON object");
    e->out->name = e->name;
    KUA__TRY(read_dtype(e));
    KUA__TRY(read_shape(e));
    return read_offsets(e);
}

static kua_status check_metadata(const kua__safetensors *f)
{
    json_t *meta = json_object_get(f->header, "__metadata__"), *value = NULL;
    const char *key = NULL;
    if (meta && !json_is_object(meta))
        return kua__fail(KUA_FORMAT, "%s: __metadata__ is not a JSON object", f->path);
    json_object_foreach(meta, key, value)
    {
        if (!json_is_string(value))
            return kua__fail(KUA_FORMAT, "%s: __metadata__ \"%.80s\" is not a text", f->path, key);
    }
    return KUA_OK;
}

static kua_status read_entries(kua__safetensors *f, const char *data, size_t size)
{
    json_t *value = NULL;
    const char *key = NULL;
    json_object_foreach(f->header, key, value)
    {
        if (kua__streq(key, "__metadata__")) continue;
        entry e = {f->path, key, value, data, size, &f->tensors[f->n]};
        KUA__TRY(read_entry(&e));
        f->n++;
    }
    return KUA_OK;
}

/* ---- order ---- */

static int by_place(const void *a, const void *b)
{
    const kua__tensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1; /* empty ones first */
    return strcmp(x->name, y->name);
}

static kua_status check_cover(kua__safetensors *f, const char *data, size_t size)
{
    qsort(f->tensors, f->n, sizeof(*f->tensors), by_place);
    size_t at = 0;
    for (size_t i = 0; i < f->n; i++) {
        const kua__tensor *t = &f->tensors[i];
        size_t begin = (size_t)((const char *)t->data - data);
        assert(t->bytes <= size); /* read_offsets saw to it */
        if (begin < at) {
            return kua__fail(KUA_FORMAT,
                             "%s: tensors \"%.80s\" and \"%.80s\" overlap: byte %zu is in both",
                             f->path, f->tensors[i - 1].name, t->name, begin);
        }
        if (begin > at) {
            return kua__fail(KUA_FORMAT,
                             "%s: tensor \"%.80s\" begins at byte %zu of the data, expected %zu",
                             f->path, t->name, begin, at);
        }
        at += t->bytes;
    }
    if (at != size)
        return kua__fail(KUA_FORMAT, "%s: %zu bytes of data, the tensors have %zu", f->path, size,
                         at);
    return KUA_OK;
}

static kua_status parse(kua__safetensors *f, const char *data, size_t n)
{
    assert(f && f->path);
    if (n < 8)
        return kua__fail(KUA_FORMAT, "%s: %zu bytes, a safetensors file has at least 8", f->path,
                         n);
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--)
        length = length << 8 | (unsigned char)data[i];
    if (length > n - 8 || length > KUA__TENSOR_HEADER_MAX) {
        return kua__fail(KUA_FORMAT,
                         "%s: the header claims %" PRIu64
                         " bytes, the file has %zu, the limit is %d",
                         f->path, length, n - 8, KUA__TENSOR_HEADER_MAX);
    }
    KUA__TRY(kua__json_parse(f->path, data + 8, (size_t)length, &f->header));
    if (!json_is_object(f->header))
        return kua__fail(KUA_FORMAT, "%s: the header is not a JSON object", f->path);
    size_t entries = json_object_size(f->header);
    if (entries > KUA__TENSORS_MAX)
        return kua__fail(KUA_FORMAT, "%s: %zu tensors, the limit is %d", f->path, entries,
                         KUA__TENSORS_MAX);
    KUA__TRY(check_metadata(f));
    KUA__TRY(KUA__NEW_ZEROED(&f->tensors, KUA__MAX(entries, 1), "a list of tensors"));
    KUA__TRY(KUA__NEW_ZEROED(&f->by_name, KUA__MAX(entries, 1), "a list of tensor names"));
    data += 8 + length;
    n -= 8 + (size_t)length;
    KUA__TRY(read_entries(f, data, n));
    KUA__TRY(check_cover(f, data, n));
    kua__tensors_sort(f->tensors, f->n, f->by_name);
    return KUA_OK;
}

/* ---- files ---- */

static kua_status new_file(const char *path, kua__safetensors **out)
{
    KUA__TRY(KUA__NEW_ZEROED(out, 1, "a tensor file"));
    assert(*out);
    (*out)->path = kua__strdup(path);
    if ((*out)->path) return KUA_OK;
    kua__free(*out);
    *out = NULL;
    return kua__fail_nomem(strlen(path) + 1, "a path");
}

kua_status kua__safetensors_parse(const char *name, const void *data, size_t n,
                                  kua__safetensors **out)
{
    assert(name && (data || n == 0) && out);
    *out = NULL;
    kua__safetensors *f = NULL;
    KUA__TRY(new_file(name, &f));
    assert(f);
    f->bytes = n;
    kua_status st = parse(f, data, n);
    if (st)
        kua__safetensors_close(f);
    else
        *out = f;
    return st;
}

kua_status kua__safetensors_open(const char *path, kua__safetensors **out)
{
    assert(path && out);
    *out = NULL;
    kua__map map;
    KUA__TRY(kua__map_open(&map, path));
    kua_status st = kua__safetensors_parse(path, map.data, map.size, out);
    assert(st || *out);
    if (!st && *out)
        (*out)->map = map;
    else
        kua__map_close(&map);
    return st;
}

void kua__safetensors_close(kua__safetensors *file)
{
    if (!file) return;
    json_decref(file->header);
    kua__free(file->tensors);
    kua__free(file->by_name);
    kua__free(file->path);
    if (file->map.data) kua__map_close(&file->map);
    kua__free(file);
}

/* ---- looking ---- */

size_t kua__safetensors_count(const kua__safetensors *file)
{
    assert(file);
    return file->n;
}

const kua__tensor *kua__safetensors_at(const kua__safetensors *file, size_t i)
{
    assert(file && i < file->n);
    return &file->tensors[i];
}

const kua__tensor *kua__safetensors_find(const kua__safetensors *file, const char *name)
{
    assert(file && name);
    return kua__tensors_find(file->tensors, file->n, file->by_name, name);
}

kua_status kua__safetensors_need(const kua__safetensors *file, const char *name, size_t rank,
                                 const size_t *dim, const kua__tensor **out)
{
    assert(file && name && rank <= KUA__RANK_MAX && (dim || rank == 0) && out);
    *out = NULL;
    const kua__tensor *t = kua__safetensors_find(file, name);
    KUA__TRY(kua__tensor_expect(file->path, name, t, rank, dim));
    *out = t;
    return KUA_OK;
}

const char *kua__safetensors_meta(const kua__safetensors *file, const char *key)
{
    assert(file && key);
    return json_string_value(json_object_get(json_object_get(file->header, "__metadata__"), key));
}

const char *kua__safetensors_meta_at(const kua__safetensors *file, size_t i, const char **key)
{
    assert(file && key);
    json_t *meta = json_object_get(file->header, "__metadata__");
    void *at = json_object_iter(meta);
    for (; at && i > 0; i--)
        at = json_object_iter_next(meta, at);
    *key = at ? json_object_iter_key(at) : NULL;
    return at ? json_string_value(json_object_iter_value(at)) : NULL;
}

size_t kua__safetensors_bytes(const kua__safetensors *file)
{
    assert(file);
    return file->bytes;
}

const char *kua__safetensors_path(const kua__safetensors *file)
{
    assert(file);
    return file->path;
}

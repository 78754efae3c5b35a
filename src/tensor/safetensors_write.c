/* safetensors_write.c - writing tensors whose bytes are never all in memory.
 *
 * The header stands first in the file and tells every offset, so all shapes are declared before the
 * first byte. It is padded with spaces to a multiple of 64 bytes, as the format allows: mapped, the
 * first tensor then lies on a cache line. The file itself is base's writer: invisible until commit.
 *
 *     declare, meta ...  ->  first write: header goes out  ->  write ...  ->  commit
 *
 * Invariants
 *   I1  written <= declared; commit asks for equality, so that no file lies about its length.
 *   I2  once `begun`, the header is on disk and nothing is declared any more.
 */
#include "tensor/safetensors.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"

struct kua__st_writer {
    kua__writer file;
    json_t *header, *meta;
    size_t declared, written; /* bytes of data */
    bool begun;
};

kua_status kua__st_writer_create(const char *path, kua__st_writer **out)
{
    assert(path && out);
    *out = NULL;
    kua__st_writer *w = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&w, 1, "a writer of tensors"));
    kua_status st = kua__writer_open(&w->file, path);
    if (st) {
        kua__st_writer_free(w);
        return st;
    }
    w->header = json_object();
    w->meta = json_object();
    if (!w->header || !w->meta) {
        kua__st_writer_free(w);
        return kua__fail_nomem(sizeof(json_t), "a header of tensors");
    }
    *out = w;
    return KUA_OK;
}

static kua_status check_name(const kua__st_writer *w, const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n > KUA__TENSOR_NAME_MAX || kua__utf8_valid(name, n) != n ||
        kua__streq(name, "__metadata__"))
        return kua__fail(KUA_INVALID, "%s: \"%.80s\" is no name for a tensor", w->file.path, name);
    if (json_object_get(w->header, name))
        return kua__fail(KUA_INVALID, "%s: tensor \"%s\" is there already", w->file.path, name);
    if (w->begun)
        return kua__fail(KUA_INVALID, "%s: tensor \"%s\" is declared after the first write",
                         w->file.path, name);
    return KUA_OK;
}

static kua_status shape_bytes(const kua__st_writer *w, const char *name, kua__dtype dtype,
                              size_t rank, const size_t *dim, size_t *bytes)
{
    *bytes = kua__dtype_size(dtype);
    if (kua__dtype_block(dtype) > 1)
        return kua__fail(KUA_INVALID, "%s: tensor \"%s\" is of type %s, which this format lacks",
                         w->file.path, name, kua__dtype_name(dtype));
    bool overflow = false;
    for (size_t i = 0; i < rank; i++)
        overflow = overflow || dim[i] > INT64_MAX || __builtin_mul_overflow(*bytes, dim[i], bytes);
    size_t end = 0;
    if (overflow || __builtin_add_overflow(w->declared, *bytes, &end) || end > INT64_MAX)
        return kua__fail(KUA_INVALID, "%s: the shape of tensor \"%s\" overflows", w->file.path,
                         name);
    return KUA_OK;
}

/* A list of numbers; NULL: out of memory. */
static json_t *numbers(const size_t *value, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; list && i < n; i++) {
        if (json_array_append_new(list, json_integer((json_int_t)value[i]))) {
            json_decref(list);
            list = NULL;
        }
    }
    return list;
}

kua_status kua__st_writer_declare(kua__st_writer *w, const char *name, kua__dtype dtype,
                                  size_t rank, const size_t *dim)
{
    assert(w && name && rank <= KUA__RANK_MAX && (dim || rank == 0));
    KUA__TRY(check_name(w, name));
    size_t bytes = 0;
    KUA__TRY(shape_bytes(w, name, dtype, rank, dim, &bytes));
    size_t offsets[2] = {w->declared, w->declared + bytes};
    json_t *entry = json_object();
    bool failed = !entry ||
                  json_object_set_new(entry, "dtype", json_string(kua__dtype_name(dtype))) ||
                  json_object_set_new(entry, "shape", numbers(dim, rank)) ||
                  json_object_set_new(entry, "data_offsets", numbers(offsets, 2));
    if (failed) {
        json_decref(entry);
        return kua__fail_nomem(sizeof(json_t), "a header of tensors");
    }
    if (json_object_set_new(w->header, name, entry)) /* takes entry also where it fails */
        return kua__fail_nomem(sizeof(json_t), "a header of tensors");
    w->declared += bytes;
    return KUA_OK;
}

kua_status kua__st_writer_meta(kua__st_writer *w, const char *key, const char *value)
{
    assert(w && key && value);
    if (w->begun)
        return kua__fail(KUA_INVALID, "%s: metadata \"%s\" after the first write", w->file.path,
                         key);
    size_t n = strlen(key), m = strlen(value);
    if (kua__utf8_valid(key, n) != n || kua__utf8_valid(value, m) != m)
        return kua__fail(KUA_INVALID, "%s: metadata \"%.80s\" is not UTF-8", w->file.path, key);
    if (json_object_set_new(w->meta, key, json_string(value)))
        return kua__fail_nomem(m, "metadata of tensors");
    return KUA_OK;
}

/* Length, JSON, spaces. */
static kua_status write_header(kua__st_writer *w)
{
    assert(!w->begun && w->written == 0);
    if (json_object_size(w->meta) && json_object_set(w->header, "__metadata__", w->meta))
        return kua__fail_nomem(sizeof(json_t), "a header of tensors");
    char *text = kua__json_dumps(w->header, JSON_COMPACT);
    if (!text) return kua__fail_nomem(sizeof(json_t), "a header of tensors");
    size_t n = strlen(text), padded = (8 + n + 63) / 64 * 64 - 8;
    kua_status st = KUA_OK;
    if (padded > KUA__TENSOR_HEADER_MAX) {
        st = kua__fail(KUA_INVALID, "%s: a header of %zu bytes, the limit is %d", w->file.path,
                       padded, KUA__TENSOR_HEADER_MAX);
    } else {
        unsigned char length[8];
        for (int i = 0; i < 8; i++)
            length[i] = (unsigned char)((uint64_t)padded >> (8 * i));
        kua__writer_add(&w->file, length, sizeof(length));
        kua__writer_add(&w->file, text, n);
        for (size_t i = n; i < padded; i++)
            kua__writer_add(&w->file, " ", 1);
        w->begun = true;
    }
    kua__free(text);
    return st;
}

kua_status kua__st_writer_write(kua__st_writer *w, const void *data, size_t bytes)
{
    assert(w && (data || bytes == 0));
    if (!w->begun) KUA__TRY(write_header(w));
    assert(w->written <= w->declared); /* I1 */
    if (bytes > w->declared - w->written) {
        return kua__fail(KUA_INVALID, "%s: %zu bytes after %zu, only %zu are declared",
                         w->file.path, bytes, w->written, w->declared);
    }
    kua__writer_add(&w->file, data, bytes);
    w->written += bytes;
    return KUA_OK;
}

kua_status kua__st_writer_commit(kua__st_writer *w)
{
    assert(w);
    if (!w->begun) KUA__TRY(write_header(w));
    if (w->written != w->declared) {
        return kua__fail(KUA_INVALID, "%s: %zu bytes written, %zu are declared", w->file.path,
                         w->written, w->declared);
    }
    return kua__writer_commit(&w->file);
}

void kua__st_writer_free(kua__st_writer *w)
{
    if (!w) return;
    kua__writer_abort(&w->file);
    json_decref(w->header);
    json_decref(w->meta);
    kua__free(w);
}

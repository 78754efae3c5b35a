/* gguf_read.c - reading a GGUF file that nobody vouches for.
 *
 * One cursor walks over the file; whatever it takes is inside of the file, or it fails with what
 * was to be read, where, and how much was left. Counts are compared with what is left before memory
 * is taken for them: an element of a list needs some bytes in the file, so the largest list is in
 * proportion to the file.
 *
 * Order: header; pairs; their keys sorted, none twice; alignment; tensor infos; the start of the
 * data; places sorted: each tensor begins at the first multiple of the alignment behind the one
 * before it; names sorted, none twice.
 */
#include "tensor/gguf_private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAIR_BYTES_MIN = 8 + 1 + 4 + 1,         /* key length, key, type, value */
    INFO_BYTES_MIN = 8 + 1 + 4 + 8 + 4 + 8, /* name, rank, one dimension, type, offset */
    RANK_MAX = 4,
    ALIGNMENT_DEFAULT = 32,
    ALIGNMENT_MAX = 1 << 20,
};

typedef struct cursor {
    kua__gguf *file;
    const char *data;
    size_t n, at;
} cursor;

/* ---- taking from the file ---- */

/* n bytes; NULL after a message. `what` says what they would have been. */
static const char *take(cursor *c, uint64_t n, const char *what)
{
    assert(c->at <= c->n);
    if (n > c->n - c->at) {
        kua__fail(KUA_FORMAT, "%s: byte %zu: %s needs %" PRIu64 " bytes, the file has %zu left",
                  c->file->path, c->at, what, n, c->n - c->at);
        return NULL;
    }
    const char *p = c->data + c->at;
    c->at += (size_t)n;
    return p;
}

static kua_status take_u32(cursor *c, const char *what, uint32_t *out)
{
    const char *p = take(c, sizeof(*out), what);
    if (!p) return KUA_FORMAT;
    memcpy(out, p, sizeof(*out));
    return KUA_OK;
}

static kua_status take_u64(cursor *c, const char *what, uint64_t *out)
{
    const char *p = take(c, sizeof(*out), what);
    if (!p) return KUA_FORMAT;
    memcpy(out, p, sizeof(*out));
    return KUA_OK;
}

static kua_status take_text(cursor *c, const char *what, kua__gguf_text *out)
{
    uint64_t n = 0;
    KUA__TRY(take_u64(c, what, &n));
    out->data = take(c, n, what);
    out->n = (size_t)n;
    return out->data ? KUA_OK : KUA_FORMAT;
}

/* A name or key: short, UTF-8, without NUL; copied, so that it ends in one. */
static kua_status take_name(cursor *c, const char *what, size_t max, const char **out)
{
    kua__gguf_text text;
    size_t at = c->at;
    KUA__TRY(take_text(c, what, &text));
    if (text.n == 0 || text.n > max)
        return kua__fail(KUA_FORMAT, "%s: byte %zu: %s has %zu bytes, expected 1..%zu",
                         c->file->path, at, what, text.n, max);
    if (memchr(text.data, 0, text.n) || kua__utf8_valid(text.data, text.n) != text.n)
        return kua__fail(KUA_FORMAT, "%s: byte %zu: %s is not UTF-8 text", c->file->path, at, what);
    *out = kua__arena_strndup(&c->file->arena, text.data, text.n);
    return *out ? KUA_OK : kua__fail_nomem(text.n + 1, what);
}

/* A number of elements that need at least `each` bytes: no more than the rest of the file holds. */
static kua_status check_count(const cursor *c, const char *what, uint64_t n, size_t each)
{
    assert(each > 0);
    if (n <= (c->n - c->at) / each) return KUA_OK;
    return kua__fail(KUA_FORMAT,
                     "%s: byte %zu: %s says %" PRIu64
                     " elements of at least %zu bytes, the file has %zu left",
                     c->file->path, c->at, what, n, each, c->n - c->at);
}

/* ---- values ---- */

static kua_status take_type(cursor *c, const char *key, kua__gguf_type *out)
{
    uint32_t type = 0;
    KUA__TRY(take_u32(c, key, &type));
    if (type >= KUA__GGUF_TYPE_COUNT)
        return kua__fail(KUA_FORMAT, "%s: %s: value of type %u, known are 0..%d", c->file->path,
                         key, type, KUA__GGUF_TYPE_COUNT - 1);
    *out = (kua__gguf_type)type;
    return KUA_OK;
}

static kua_status take_texts(cursor *c, kua__gguf_value *v)
{
    KUA__TRY(check_count(c, v->key, v->n, sizeof(uint64_t)));
    kua__gguf_text *texts = kua__arena_alloc(&c->file->arena, KUA__MAX(v->n, 1) * sizeof(*texts));
    if (!texts) return kua__fail_nomem(v->n * sizeof(*texts), "a list of texts");
    for (size_t i = 0; i < v->n; i++)
        KUA__TRY(take_text(c, v->key, &texts[i]));
    v->texts = texts;
    return KUA_OK;
}

static kua_status take_numbers(cursor *c, kua__gguf_value *v)
{
    size_t size = kua__gguf_type_size(v->type);
    KUA__TRY(check_count(c, v->key, v->n, size));
    v->data = take(c, v->n * size, v->key);
    return v->data ? KUA_OK : KUA_FORMAT;
}

/* Walks over arrays of arrays: nothing here needs them, but what follows does. */
static kua_status skip_array(cursor *c, const char *key, int depth)
{
    kua__gguf_type type;
    uint64_t n = 0;
    if (depth > KUA__GGUF_NESTING_MAX)
        return kua__fail(KUA_FORMAT, "%s: %s: arrays inside of one another, more than %d deep",
                         c->file->path, key, KUA__GGUF_NESTING_MAX);
    KUA__TRY(take_type(c, key, &type));
    KUA__TRY(take_u64(c, key, &n));
    size_t size = kua__gguf_type_size(type);
    KUA__TRY(check_count(c, key, n, size ? size : sizeof(uint64_t)));
    if (size) return take(c, n * size, key) ? KUA_OK : KUA_FORMAT;
    for (uint64_t i = 0; i < n; i++) {
        kua__gguf_text text;
        KUA__TRY(type == KUA__GGUF_TEXT ? take_text(c, key, &text) : skip_array(c, key, depth + 1));
    }
    return KUA_OK;
}

static kua_status take_arrays(cursor *c, kua__gguf_value *v)
{
    KUA__TRY(check_count(c, v->key, v->n, sizeof(uint32_t) + sizeof(uint64_t)));
    for (size_t i = 0; i < v->n; i++)
        KUA__TRY(skip_array(c, v->key, 2));
    return KUA_OK;
}

static kua_status take_value(cursor *c, kua__gguf_value *v)
{
    v->n = 1;
    KUA__TRY(take_name(c, "a key", KUA__GGUF_KEY_MAX, &v->key));
    KUA__TRY(take_type(c, v->key, &v->type));
    if (v->type == KUA__GGUF_ARRAY) {
        uint64_t n = 0;
        v->array = true;
        KUA__TRY(take_type(c, v->key, &v->type));
        KUA__TRY(take_u64(c, v->key, &n));
        v->n = (size_t)n;
    }
    if (v->type == KUA__GGUF_TEXT) return take_texts(c, v);
    if (v->type == KUA__GGUF_ARRAY) return take_arrays(c, v);
    KUA__TRY(take_numbers(c, v));
    if (v->type == KUA__GGUF_BOOL && !v->array && (unsigned char)v->data[0] > 1)
        return kua__fail(KUA_FORMAT, "%s: %s: a bool of %u, expected 0 or 1", c->file->path, v->key,
                         (unsigned char)v->data[0]);
    return KUA_OK;
}

static int by_value_key(const void *a, const void *b, void *ctx)
{
    const kua__gguf_value *v = ctx;
    return strcmp(v[*(const uint32_t *)a].key, v[*(const uint32_t *)b].key);
}

static kua_status take_values(cursor *c, uint64_t n)
{
    kua__gguf *f = c->file;
    if (n > KUA__GGUF_VALUES_MAX)
        return kua__fail(KUA_FORMAT, "%s: %" PRIu64 " settings, the limit is %d", f->path, n,
                         KUA__GGUF_VALUES_MAX);
    KUA__TRY(check_count(c, "the number of settings", n, PAIR_BYTES_MIN));
    KUA__TRY(KUA__NEW_ZEROED(&f->value, KUA__MAX(n, 1), "a list of settings"));
    KUA__TRY(KUA__NEW_ZEROED(&f->by_key, KUA__MAX(n, 1), "a list of keys"));
    for (size_t i = 0; i < n; i++) {
        KUA__TRY(take_value(c, &f->value[i]));
        f->by_key[i] = (uint32_t)i;
    }
    f->n_values = (size_t)n;
    qsort_r(f->by_key, f->n_values, sizeof(*f->by_key), by_value_key, f->value);
    for (size_t i = 1; i < n; i++) {
        const char *key = f->value[f->by_key[i]].key;
        if (kua__streq(key, f->value[f->by_key[i - 1]].key))
            return kua__fail(KUA_FORMAT, "%s: %s is there twice", f->path, key);
    }
    return KUA_OK;
}

/* ---- tensor infos ---- */

#define NOT_KNOWN KUA__DTYPE_COUNT

/* By the file's number: ggml's types. */
static const struct {
    const char *name;
    kua__dtype dtype;
} ggml_types[] = {
    {"F32", KUA__F32},      {"F16", KUA__F16},     {"Q4_0", KUA__Q4_0},    {"Q4_1", KUA__Q4_1},
    {"Q4_2", NOT_KNOWN},    {"Q4_3", NOT_KNOWN},   {"Q5_0", NOT_KNOWN},    {"Q5_1", NOT_KNOWN},
    {"Q8_0", KUA__Q8_0},    {"Q8_1", NOT_KNOWN},   {"Q2_K", NOT_KNOWN},    {"Q3_K", NOT_KNOWN},
    {"Q4_K", KUA__Q4_K},    {"Q5_K", NOT_KNOWN},   {"Q6_K", KUA__Q6_K},    {"Q8_K", NOT_KNOWN},
    {"IQ2_XXS", NOT_KNOWN}, {"IQ2_XS", NOT_KNOWN}, {"IQ3_XXS", NOT_KNOWN}, {"IQ1_S", NOT_KNOWN},
    {"IQ4_NL", NOT_KNOWN},  {"IQ3_S", NOT_KNOWN},  {"IQ2_S", NOT_KNOWN},   {"IQ4_XS", NOT_KNOWN},
    {"I8", KUA__I8},        {"I16", NOT_KNOWN},    {"I32", KUA__I32},      {"I64", KUA__I64},
    {"F64", NOT_KNOWN},     {"IQ1_M", NOT_KNOWN},  {"BF16", KUA__BF16},
};

#define BAD(c, t, format, ...)                                                                     \
    kua__fail(KUA_FORMAT, "%s: tensor \"%.80s\": " format, (c)->file->path, (t)->name, __VA_ARGS__)

static kua_status take_dtype(cursor *c, kua__tensor *t)
{
    uint32_t type = 0;
    KUA__TRY(take_u32(c, "the type of a tensor", &type));
    if (type < KUA__COUNT(ggml_types) && ggml_types[type].dtype != NOT_KNOWN) {
        t->dtype = ggml_types[type].dtype;
        return KUA_OK;
    }
    return BAD(c, t, "type %u (%s), known are F32 F16 BF16 I8 I32 I64 Q8_0 Q4_0 Q4_1 Q4_K Q6_K",
               type, type < KUA__COUNT(ggml_types) ? ggml_types[type].name : "unknown");
}

/* The file has the fastest dimension first, kua__tensor the slowest. */
static kua_status take_shape(cursor *c, kua__tensor *t)
{
    uint32_t rank = 0;
    KUA__TRY(take_u32(c, "the rank of a tensor", &rank));
    if (rank < 1 || rank > RANK_MAX)
        return BAD(c, t, "%u dimensions, expected 1..%d", rank, RANK_MAX);
    t->rank = rank;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t n = 0;
        KUA__TRY(take_u64(c, "a dimension", &n));
        if (n < 1 || n > INT64_MAX)
            return BAD(c, t, "dimension %u of the shape is %" PRIu64 ", expected 1 or more", i, n);
        t->dim[rank - 1 - i] = (size_t)n;
    }
    return KUA_OK;
}

/* `data` is the offset for now: where the data begins is known once all infos are read. */
static kua_status take_info(cursor *c, kua__tensor *t, size_t alignment)
{
    assert(alignment > 0);
    char shape[KUA__SHAPE_TEXT_MAX];
    uint64_t offset = 0;
    KUA__TRY(take_name(c, "a tensor's name", KUA__TENSOR_NAME_MAX, &t->name));
    KUA__TRY(take_shape(c, t));
    KUA__TRY(take_dtype(c, t));
    size_t block = kua__dtype_block(t->dtype), row = t->dim[t->rank - 1];
    if (row % block)
        return BAD(c, t, "rows of %zu elements are no multiple of %s's blocks of %zu", row,
                   kua__dtype_name(t->dtype), block);
    if (!kua__tensor_measure(t))
        return BAD(c, t, "the product of the shape %s overflows",
                   kua__shape_text(t->rank, t->dim, shape));
    KUA__TRY(take_u64(c, "the place of a tensor", &offset));
    if (offset % alignment)
        return BAD(c, t, "begins at byte %" PRIu64 " of the data, no multiple of %zu", offset,
                   alignment);
    if (offset > c->n || t->bytes > c->n - offset)
        return BAD(c, t, "needs bytes %" PRIu64 " to %zu of the data, the file has %zu in all",
                   offset, (size_t)offset + t->bytes, c->n);
    t->data = c->data + offset;
    return KUA_OK;
}

static int by_place(const void *a, const void *b)
{
    const kua__tensor *x = a, *y = b;
    if (x->data != y->data) return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return strcmp(x->name, y->name);
}

static size_t round_up(size_t n, size_t alignment)
{
    assert(alignment > 0 && (alignment & (alignment - 1)) == 0);
    return (n + alignment - 1) & ~(alignment - 1);
}

static kua_status check_cover(const cursor *c, size_t begin, size_t alignment)
{
    const kua__gguf *f = c->file;
    size_t at = 0; /* in the data */
    for (size_t i = 0; i < f->n; i++) {
        const kua__tensor *t = &f->tensor[i];
        size_t offset = (size_t)((const char *)t->data - c->data);
        if (offset < at) {
            return kua__fail(KUA_FORMAT,
                             "%s: tensors \"%.80s\" and \"%.80s\" overlap: byte %zu is in both",
                             f->path, t[-1].name, t->name, offset);
        }
        if (offset != at)
            return BAD(c, t, "begins at byte %zu of the data, expected %zu", offset, at);
        if (t->bytes > c->n - begin || offset > c->n - begin - t->bytes)
            return BAD(c, t, "needs bytes %zu to %zu of the data, the file has %zu", offset,
                       offset + t->bytes, c->n - begin);
        at = round_up(offset + t->bytes, alignment);
    }
    return KUA_OK;
}

static kua_status sort_names(kua__gguf *f)
{
    kua__tensors_sort(f->tensor, f->n, f->by_name);
    for (size_t i = 1; i < f->n; i++) {
        const char *name = f->tensor[f->by_name[i]].name;
        if (kua__streq(name, f->tensor[f->by_name[i - 1]].name))
            return kua__fail(KUA_FORMAT, "%s: tensor \"%.80s\" is there twice", f->path, name);
    }
    return KUA_OK;
}

static kua_status take_infos(cursor *c, uint64_t n, size_t alignment)
{
    kua__gguf *f = c->file;
    if (n > KUA__TENSORS_MAX)
        return kua__fail(KUA_FORMAT, "%s: %" PRIu64 " tensors, the limit is %d", f->path, n,
                         KUA__TENSORS_MAX);
    KUA__TRY(check_count(c, "the number of tensors", n, INFO_BYTES_MIN));
    KUA__TRY(KUA__NEW_ZEROED(&f->tensor, KUA__MAX(n, 1), "a list of tensors"));
    KUA__TRY(KUA__NEW_ZEROED(&f->by_name, KUA__MAX(n, 1), "a list of tensor names"));
    for (; f->n < n; f->n++)
        KUA__TRY(take_info(c, &f->tensor[f->n], alignment));
    qsort(f->tensor, f->n, sizeof(*f->tensor), by_place);
    size_t begin = KUA__MIN(round_up(c->at, alignment), c->n);
    KUA__TRY(check_cover(c, begin, alignment));
    for (size_t i = 0; i < f->n; i++)
        f->tensor[i].data = (const char *)f->tensor[i].data + begin;
    return sort_names(f);
}

/* ---- the whole ---- */

static kua_status take_version(cursor *c)
{
    uint32_t version = 0;
    const char *magic = take(c, 4, "the mark of a GGUF file");
    if (!magic) return KUA_FORMAT;
    if (memcmp(magic, "GGUF", 4) != 0)
        return kua__fail(KUA_FORMAT, "%s: does not begin with \"GGUF\"", c->file->path);
    KUA__TRY(take_u32(c, "the version", &version));
    if (version != 2 && version != 3) {
        return kua__fail(KUA_FORMAT, "%s: GGUF version %u%s, known are 2 and 3", c->file->path,
                         version, version && !(version & 0xffff) ? " (big-endian)" : "");
    }
    c->file->version = (int)version;
    return KUA_OK;
}

static kua_status find_alignment(const kua__gguf *f, size_t *out)
{
    int64_t alignment = 0;
    KUA__TRY(
        kua__gguf_int_or(f, "general.alignment", 1, ALIGNMENT_MAX, ALIGNMENT_DEFAULT, &alignment));
    if (alignment & (alignment - 1))
        return kua__fail(KUA_FORMAT, "%s: general.alignment is %" PRId64 ", no power of two",
                         f->path, alignment);
    *out = (size_t)alignment;
    return KUA_OK;
}

kua_status kua__gguf_read(kua__gguf *file, const char *data, size_t n)
{
    assert(file && file->path && (data || n == 0) && !file->value && !file->tensor);
    cursor c = {file, data, n, 0};
    uint64_t tensors = 0, values = 0;
    size_t alignment = 0;
    KUA__TRY(take_version(&c));
    KUA__TRY(take_u64(&c, "the number of tensors", &tensors));
    KUA__TRY(take_u64(&c, "the number of settings", &values));
    KUA__TRY(take_values(&c, values));
    KUA__TRY(find_alignment(file, &alignment));
    return take_infos(&c, tensors, alignment);
}

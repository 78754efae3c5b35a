/* onnx_tensor.c - one TensorProto: type, shape, and numbers in one of four encodings.
 *
 *     raw_data                as they lie in memory         stays in the file
 *     float_data, packed      the same                      stays in the file
 *     float_data, one by one  4 bytes behind a key each     copied together
 *     int32_data, int64_data  varints                       decoded
 *
 * What is copied or decoded needs at most 8 bytes for a byte of the file (int64 of one-byte
 * varints), and as many elements as the shape says must be there before memory is taken.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "tensor/onnx_private.h"

/* Field numbers of onnx.proto's TensorProto. */
enum {
    DIMS = 1,
    DATA_TYPE = 2,
    SEGMENT = 3,
    FLOAT_DATA = 4,
    INT32_DATA = 5,
    INT64_DATA = 7,
    NAME = 8,
    RAW_DATA = 9,
    EXTERNAL_DATA = 13,
    DATA_LOCATION = 14,
};
enum { TYPE_LAST = 26 };

/* By onnx.proto's TensorProto.DataType; which list holds the numbers where it is not raw_data. */
static const struct {
    kua__dtype dtype;
    uint32_t list;
} types[TYPE_LAST + 1] = {
    [1] = {KUA__F32, FLOAT_DATA},  [2] = {KUA__U8, INT32_DATA},    [3] = {KUA__I8, INT32_DATA},
    [6] = {KUA__I32, INT32_DATA},  [7] = {KUA__I64, INT64_DATA},   [9] = {KUA__BOOL, INT32_DATA},
    [10] = {KUA__F16, INT32_DATA}, [16] = {KUA__BF16, INT32_DATA},
};

/* What a message said, before anything of it is believed. */
typedef struct proto {
    kua__onnx *file;
    kua__pb message;
    kua__onnx_text name, raw;
    char shown[81]; /* the name, cut for messages */
    kua__tensor out;
    uint64_t type;
    bool has_raw, external, segment;
} proto;

#define BAD(p, format, ...)                                                                        \
    kua__fail(KUA_FORMAT, "%s: tensor \"%s\": " format, (p)->file->path, (p)->shown, __VA_ARGS__)

static kua_status add_dim(proto *p, uint64_t n)
{
    kua__tensor *t = &p->out;
    if (t->rank == KUA__RANK_MAX) return BAD(p, "shape has more than %d dimensions", KUA__RANK_MAX);
    if (n > INT64_MAX)
        return BAD(p, "dimension %zu of the shape is %" PRId64 ", expected 0 or more", t->rank,
                   (int64_t)n);
    t->dim[t->rank++] = (size_t)n;
    return KUA_OK;
}

static kua_status read_dims(proto *p, const kua__pb_field *f)
{
    if (f->wire == KUA__PB_VARINT) return add_dim(p, f->value);
    if (f->wire != KUA__PB_BYTES) return BAD(p, "dims have wire type %d", (int)f->wire);
    kua__pb list = kua__pb_inside(&p->message, f);
    uint64_t n = 0;
    while (kua__pb_varint(&list, &n))
        KUA__TRY(add_dim(p, n));
    return list.status;
}

static kua_status read_name(proto *p, kua__onnx_text name)
{
    size_t cut = KUA__MIN(name.n, sizeof(p->shown) - 1);
    p->name = name;
    cut = kua__utf8_valid(name.data, cut);
    memcpy(p->shown, name.data, cut);
    p->shown[cut] = 0;
    if (name.n == 0 || name.n > KUA__TENSOR_NAME_MAX || memchr(name.data, 0, name.n) ||
        kua__utf8_valid(name.data, name.n) != name.n)
        return BAD(p, "a name of %zu bytes, expected 1..%d in UTF-8", name.n, KUA__TENSOR_NAME_MAX);
    return KUA_OK;
}

static kua_status read_field(proto *p, const kua__pb_field *f)
{
    switch (f->number) {
    case DIMS:
        return read_dims(p, f);
    case DATA_TYPE:
        p->type = f->value;
        return KUA_OK;
    case RAW_DATA:
        p->raw = kua__onnx_bytes(f);
        p->has_raw = f->wire == KUA__PB_BYTES;
        return KUA_OK;
    case SEGMENT:
        p->segment = true;
        return KUA_OK;
    case EXTERNAL_DATA:
        p->external = true;
        return KUA_OK;
    case DATA_LOCATION:
        p->external = p->external || f->value != 0;
        return KUA_OK;
    default:
        return KUA_OK; /* the lists are read once the type is known */
    }
}

/* ---- numbers in lists ---- */

/* How many elements the list `number` has in all; one packed piece is reported in *whole. */
static kua_status count_list(const proto *p, uint32_t number, size_t *count, kua__onnx_text *whole)
{
    kua__pb message = p->message;
    kua__pb_field f;
    size_t pieces = 0;
    *count = 0;
    while (kua__pb_next(&message, &f)) {
        if (f.number != number) continue;
        pieces++;
        *whole = kua__onnx_bytes(&f);
        if (f.wire != KUA__PB_BYTES) {
            *count += 1;
        } else if (number == FLOAT_DATA) {
            if (f.n % 4) return BAD(p, "float_data has %zu bytes, no multiple of 4", f.n);
            *count += f.n / 4;
        } else {
            for (size_t i = 0; i < f.n; i++)
                *count += f.data[i] < 128; /* a varint's last byte */
        }
    }
    if (pieces != 1 || number != FLOAT_DATA) *whole = (kua__onnx_text){0};
    return message.status;
}

/* `value` is one element's bits, the low `size` bytes of it. */
static void put(char *out, size_t *at, size_t size, uint64_t value)
{
    memcpy(out + *at * size, &value, size);
    (*at)++;
}

static kua_status copy_list(const proto *p, uint32_t number, char *out)
{
    kua__pb message = p->message;
    kua__pb_field f;
    size_t at = 0, size = kua__dtype_size(p->out.dtype);
    while (kua__pb_next(&message, &f)) {
        if (f.number != number) continue;
        if (f.wire != KUA__PB_BYTES) {
            put(out, &at, size, f.value);
        } else if (number == FLOAT_DATA) {
            memcpy(out + at * size, f.data, f.n);
            at += f.n / size;
        } else {
            kua__pb list = kua__pb_inside(&message, &f);
            uint64_t value = 0;
            while (kua__pb_varint(&list, &value))
                put(out, &at, size, value);
            KUA__TRY(list.status);
        }
    }
    assert(message.status || at == p->out.count);
    return message.status;
}

static kua_status read_list(proto *p)
{
    uint32_t number = types[p->type].list;
    kua__tensor *t = &p->out;
    kua__onnx_text whole = {0};
    size_t count = 0;
    KUA__TRY(count_list(p, number, &count, &whole));
    if (count != t->count) {
        char shape[KUA__SHAPE_TEXT_MAX];
        return BAD(p, "%zu numbers of %s, the shape %s needs %zu", count, kua__dtype_name(t->dtype),
                   kua__shape_text(t->rank, t->dim, shape), t->count);
    }
    t->data = whole.data;
    if (whole.data || count == 0) {
        if (!t->data) t->data = "";
        return KUA_OK;
    }
    char *copy = kua__arena_alloc(&p->file->arena, t->bytes);
    if (!copy) return kua__fail_nomem(t->bytes, "the numbers of a tensor");
    t->data = copy;
    return copy_list(p, number, copy);
}

/* ---- one tensor ---- */

static kua_status read_numbers(proto *p)
{
    kua__tensor *t = &p->out;
    char shape[KUA__SHAPE_TEXT_MAX];
    if (p->external)
        return BAD(
            p, "%s",
            "its numbers are in another file (\"external data\"); save the model as one file");
    if (p->segment) return BAD(p, "%s", "is a segment of a tensor, which kua cannot put together");
    if (!kua__tensor_measure(t))
        return BAD(p, "the product of the shape %s overflows",
                   kua__shape_text(t->rank, t->dim, shape));
    if (!p->has_raw) return read_list(p);
    if (p->raw.n != t->bytes)
        return BAD(p, "raw_data has %zu bytes, %s of %s needs %zu", p->raw.n,
                   kua__shape_text(t->rank, t->dim, shape), kua__dtype_name(t->dtype), t->bytes);
    t->data = p->raw.data;
    return KUA_OK;
}

/* The name comes late in a message, and every complaint needs it. */
static kua_status find_name(proto *p, kua__onnx_text name)
{
    kua__pb message = p->message;
    kua__pb_field f;
    while (!name.data && kua__pb_next(&message, &f)) {
        if (f.number == NAME && f.wire == KUA__PB_BYTES) name = kua__onnx_bytes(&f);
    }
    KUA__TRY(message.status);
    return read_name(p, name.data ? name : (kua__onnx_text){"", 0});
}

kua_status kua__onnx_read_tensor(kua__onnx *file, const kua__pb *message,
                                 const kua__pb_field *field, kua__onnx_text name, size_t rank_min)
{
    assert(file && message && field && field->wire == KUA__PB_BYTES);
    proto p = {.file = file, .message = kua__pb_inside(message, field)};
    kua__pb walk = p.message;
    kua__pb_field f;
    KUA__TRY(find_name(&p, name));
    while (kua__pb_next(&walk, &f))
        KUA__TRY(read_field(&p, &f));
    KUA__TRY(walk.status);
    if (p.type < 1 || p.type > TYPE_LAST)
        return BAD(&p, "data_type is %" PRIu64 ", known are 1..%d", p.type, TYPE_LAST);
    if (!types[p.type].list || p.out.rank < rank_min) return KUA_OK;
    p.out.dtype = types[p.type].dtype;
    KUA__TRY(read_numbers(&p));
    return kua__onnx_add(file, p.name, &p.out);
}

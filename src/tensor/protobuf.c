/* protobuf.c - the wire format of protocol buffers, reading only.
 *
 * Invariant: begin <= at <= end; nothing outside of [begin, end) is read. Groups (wire types 3 and
 * 4) went out of use before ONNX began and are refused.
 */
#include "tensor/protobuf.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

kua__pb kua__pb_file(const char *file, const void *data, size_t n)
{
    assert(file && (data || n == 0));
    const uint8_t *begin = data;
    return (kua__pb){file, begin, begin, n ? begin + n : begin, KUA_OK};
}

kua__pb kua__pb_inside(const kua__pb *message, const kua__pb_field *field)
{
    assert(message && field && field->wire == KUA__PB_BYTES);
    return (kua__pb){message->file, message->begin, field->data, field->data + field->n, KUA_OK};
}

#define STOP(pb, format, ...)                                                                      \
    ((pb)->status = kua__fail(KUA_FORMAT, "%s: byte %zu: " format, (pb)->file,                     \
                              (size_t)((pb)->at - (pb)->begin), __VA_ARGS__),                      \
     false)

bool kua__pb_varint(kua__pb *list, uint64_t *out)
{
    assert(list && out && list->at <= list->end);
    if (list->status || list->at == list->end) return false;
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (list->at == list->end) return STOP(list, "%s", "the message ends inside of a number");
        uint8_t byte = *list->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *out = value;
            return true;
        }
    }
    return STOP(list, "%s", "a number of more than 10 bytes");
}

static bool fixed(kua__pb *message, kua__pb_field *field, size_t n)
{
    if ((size_t)(message->end - message->at) < n)
        return STOP(message, "field %u needs %zu bytes, %zu are left", field->number, n,
                    (size_t)(message->end - message->at));
    field->data = message->at;
    field->n = n;
    for (size_t i = n; i-- > 0;)
        field->value = field->value << 8 | message->at[i];
    message->at += n;
    return true;
}

static bool bytes(kua__pb *message, kua__pb_field *field)
{
    uint64_t n = 0;
    if (!kua__pb_varint(message, &n))
        return message->status ? false : STOP(message, "field %u has no length", field->number);
    if (n > (size_t)(message->end - message->at))
        return STOP(message, "field %u needs %" PRIu64 " bytes, %zu are left", field->number, n,
                    (size_t)(message->end - message->at));
    field->data = message->at;
    field->n = (size_t)n;
    message->at += n;
    return true;
}

bool kua__pb_next(kua__pb *message, kua__pb_field *field)
{
    assert(message && field);
    uint64_t key = 0;
    *field = (kua__pb_field){0};
    if (!kua__pb_varint(message, &key)) return false;
    if (key >> 3 == 0 || key >> 3 > 536870911)
        return STOP(message, "field number %" PRIu64 " is not in 1..536870911", key >> 3);
    field->number = (uint32_t)(key >> 3);
    field->wire = (kua__pb_wire)(key & 7);
    switch (field->wire) {
    case KUA__PB_VARINT:
        return kua__pb_varint(message, &field->value) ||
               (!message->status && STOP(message, "field %u has no value", field->number));
    case KUA__PB_FIXED64:
        return fixed(message, field, 8);
    case KUA__PB_BYTES:
        return bytes(message, field);
    case KUA__PB_FIXED32:
        return fixed(message, field, 4);
    }
    return STOP(message, "field %u has wire type %d, known are 0, 1, 2 and 5", field->number,
                (int)(key & 7));
}

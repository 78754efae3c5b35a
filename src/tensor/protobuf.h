/* tensor/protobuf.h - walking over the fields of a protobuf message, without a schema.
 *
 *     kua__pb message = kua__pb_file("model.onnx", data, n);
 *     kua__pb_field f;
 *     while (kua__pb_next(&message, &f)) {
 *         if (f.number == 7 && f.wire == KUA__PB_BYTES) walk(kua__pb_inside(&message, &f));
 *     }
 *     return message.status;
 *
 * A field is a key (number and wire type) and a value: a varint, 4 or 8 bytes, or a length and as
 * many bytes (texts, messages, packed lists). Every length is compared with what is left. The first
 * thing that is wrong ends the walk, with a message and in `status`.
 */
#ifndef KUA_TENSOR_PROTOBUF_H
#define KUA_TENSOR_PROTOBUF_H

#include "base/base.h"

typedef enum kua__pb_wire {
    KUA__PB_VARINT = 0,
    KUA__PB_FIXED64 = 1,
    KUA__PB_BYTES = 2,
    KUA__PB_FIXED32 = 5
} kua__pb_wire;

typedef struct kua__pb {
    const char *file;                /* for messages */
    const uint8_t *begin, *at, *end; /* begin: of the file, so that messages tell places */
    kua_status status;
} kua__pb;

typedef struct kua__pb_field {
    uint32_t number;
    kua__pb_wire wire;
    uint64_t value;      /* of a varint or of 4 or 8 bytes */
    const uint8_t *data; /* [n] of BYTES; the value's own bytes of FIXED */
    size_t n;
} kua__pb_field;

kua__pb kua__pb_file(const char *file, const void *data, size_t n);
kua__pb kua__pb_inside(const kua__pb *message, const kua__pb_field *field); /* of BYTES */
bool kua__pb_next(kua__pb *message, kua__pb_field *field); /* false: end, or status is set */
/* One number of a packed list; the same. */
bool kua__pb_varint(kua__pb *list, uint64_t *out);

#endif

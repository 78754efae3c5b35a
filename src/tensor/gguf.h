/* tensor/gguf.h - GGUF files: the format of ggml and llama.cpp, with weights, settings and
 * tokenizer in one.
 *
 *     "GGUF" | u32 version | u64 tensors | u64 pairs | pairs ... | tensor infos ... | pad | data
 *                                                      key, type, value       name, shape, type,
 * offset
 *
 * Versions 2 and 3, little-endian. Reading maps the file. Nothing in it is believed: every length
 * is compared with what is left of the file before it is used, types are known ones, offsets are
 * multiples of the file's alignment, and tensors stand one after another without overlap or hole.
 *
 *     kua__gguf *file = NULL;
 *     int64_t layers = 0;
 *     kua_status st = kua__gguf_open("model.gguf", &file);
 *     if (!st) st = kua__gguf_int(file, "llama.block_count", 1, 1000, &layers);
 *     const kua__gguf_value *tokens = kua__gguf_array(file, "tokenizer.ggml.tokens",
 * KUA__GGUF_TEXT); for (size_t i = 0; tokens && i < tokens->n; i++) use(kua__gguf_text_at(tokens,
 * i)); kua__gguf_close(file);
 *
 * Shapes are given as torch writes them, slowest dimension first: a linear layer is [out,in]. (The
 * file has them the other way round.) The data is row-major either way.
 *
 * Memory: 16 bytes an element of an array of texts, and less than the file's own infos for the
 * rest. Threads: an open file is immutable.
 */
#ifndef KUA_TENSOR_GGUF_H
#define KUA_TENSOR_GGUF_H

#include "tensor/tensor.h"

enum {
    KUA__GGUF_KEY_MAX = 255, /* bytes */
    KUA__GGUF_VALUES_MAX = 1 << 16,
    KUA__GGUF_NESTING_MAX = 4, /* arrays in arrays; they can be skipped, not read */
};

/* In the file's numbering. */
#define KUA__GGUF_TYPE_MAP(X)                                                                      \
    X(U8, 1, "u8")                                                                                 \
    X(I8, 1, "i8")                                                                                 \
    X(U16, 2, "u16")                                                                               \
    X(I16, 2, "i16")                                                                               \
    X(U32, 4, "u32")                                                                               \
    X(I32, 4, "i32")                                                                               \
    X(F32, 4, "f32")                                                                               \
    X(BOOL, 1, "bool")                                                                             \
    X(TEXT, 0, "text")                                                                             \
    X(ARRAY, 0, "array")                                                                           \
    X(U64, 8, "u64")                                                                               \
    X(I64, 8, "i64")                                                                               \
    X(F64, 8, "f64")

typedef enum kua__gguf_type {
#define X(name, size, text) KUA__GGUF_##name,
    KUA__GGUF_TYPE_MAP(X)
#undef X
        KUA__GGUF_TYPE_COUNT
} kua__gguf_type;

/* Bytes in the mapped file, without a NUL; UTF-8 is what writers promise, not checked. */
typedef struct kua__gguf_text {
    const char *data;
    size_t n;
} kua__gguf_text;

typedef struct kua__gguf_value {
    const char *key;
    kua__gguf_type type; /* of the value; of the elements where it is an array */
    bool array;
    size_t n;                    /* elements; 1 where it is no array */
    const char *data;            /* numbers as they lie, unaligned */
    const kua__gguf_text *texts; /* [n] of TEXT, else NULL */
} kua__gguf_value;

typedef struct kua__gguf kua__gguf;

/* On failure *out is NULL. KUA_IO, KUA_NOMEM, KUA_FORMAT. */
kua_status kua__gguf_open(const char *path, kua__gguf **out);
/* The same from memory, which must outlive the result; `name` is for messages. */
kua_status kua__gguf_parse(const char *name, const void *data, size_t n, kua__gguf **out);
void kua__gguf_close(kua__gguf *file); /* NULL is allowed */

const char *kua__gguf_path(const kua__gguf *file);
int kua__gguf_version(const kua__gguf *file);
size_t kua__gguf_count(const kua__gguf *file);                              /* tensors */
const kua__tensor *kua__gguf_at(const kua__gguf *file, size_t i);           /* by place */
const kua__tensor *kua__gguf_find(const kua__gguf *file, const char *name); /* NULL: none */

/* ---- metadata ---- */

size_t kua__gguf_values(const kua__gguf *file);
const kua__gguf_value *kua__gguf_value_at(const kua__gguf *file,
                                          size_t i); /* in the file's order */
const kua__gguf_value *kua__gguf_value_find(const kua__gguf *file,
                                            const char *key); /* NULL: none */
/* An array of TEXT; of whole numbers with any integer type asked; of numbers with F32 or F64 (also
 * of an array of integers); of BOOL. NULL: there is none of that kind under this key. */
const kua__gguf_value *kua__gguf_array(const kua__gguf *file, const char *key, kua__gguf_type kind);
kua__gguf_text kua__gguf_text_at(const kua__gguf_value *value, size_t i);
int64_t kua__gguf_int_at(const kua__gguf_value *value,
                         size_t i); /* u64 over INT64_MAX: INT64_MAX */
double kua__gguf_real_at(const kua__gguf_value *value, size_t i);
const char *kua__gguf_type_name(kua__gguf_type type);

/* One value. Whole numbers of any width serve as int, all numbers as real. A value that is missing
 * is KUA_NOTFOUND; one of another kind or outside [low, high] is KUA_FORMAT: "<file>:
 * llama.block_count is 0, expected 1..1000". The `or` forms give a default where it is missing. */
kua_status kua__gguf_int(const kua__gguf *file, const char *key, int64_t low, int64_t high,
                         int64_t *out);
kua_status kua__gguf_int_or(const kua__gguf *file, const char *key, int64_t low, int64_t high,
                            int64_t fallback, int64_t *out);
kua_status kua__gguf_real(const kua__gguf *file, const char *key, double low, double high,
                          double *out);
kua_status kua__gguf_real_or(const kua__gguf *file, const char *key, double low, double high,
                             double fallback, double *out);
kua_status kua__gguf_bool_or(const kua__gguf *file, const char *key, bool fallback, bool *out);
/* *out has no NUL at its end. */
kua_status kua__gguf_string(const kua__gguf *file, const char *key, kua__gguf_text *out);
/* Is the value under `key` exactly this text? False where it is missing or no text. */
bool kua__gguf_says(const kua__gguf *file, const char *key, const char *text);

#endif

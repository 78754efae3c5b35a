/* tensor/safetensors.h - named tensors in one file: the format of the Hugging Face library of that
 * name.
 *
 *     u64 little-endian N | N bytes of JSON | tensor bytes ........................................
 *                           {"name": {"dtype": "F32", "shape": [2,3], "data_offsets": [0,24]}, ...}
 *
 * Reading maps the file: opening a file of any size costs its header only, and tensors are read
 * from the page cache. Nothing in a file is believed: lengths, types, shapes and offsets are
 * checked against one another and against the file before a tensor can be seen, and messages name
 * the tensor and the numbers.
 *
 *     kua__safetensors *file = NULL;
 *     const kua__tensor *t = NULL;
 *     kua_status st = kua__safetensors_open("model.safetensors", &file);
 *     if (!st) st = kua__safetensors_need(file, "pooler.weight", 2, (size_t[]){384, 384}, &t);
 *     if (!st) kua__tensor_to_f32(t, 0, t->count, out);
 *     kua__safetensors_close(file);
 *
 * Threads: an open file is immutable. A mapped file must not be truncated by others while it is
 * open (replacing it is fine, and is what the writer below does).
 */
#ifndef KUA_TENSOR_SAFETENSORS_H
#define KUA_TENSOR_SAFETENSORS_H

#include "tensor/tensor.h"

enum {
    KUA__TENSOR_HEADER_MAX = 16 << 20, /* bytes of JSON; 65,536 tensors need about 10 MB */
};

/* ---- reading ---- */

typedef struct kua__safetensors kua__safetensors;

/* On failure *out is NULL. KUA_IO, KUA_NOMEM, KUA_FORMAT. */
kua_status kua__safetensors_open(const char *path, kua__safetensors **out);
/* The same from memory, which must outlive the result; `name` is for messages. */
kua_status kua__safetensors_parse(const char *name, const void *data, size_t n,
                                  kua__safetensors **out);
void kua__safetensors_close(kua__safetensors *file); /* NULL is allowed */

size_t kua__safetensors_count(const kua__safetensors *file);
const kua__tensor *kua__safetensors_at(const kua__safetensors *file,
                                       size_t i); /* by place in the file */
const kua__tensor *kua__safetensors_find(const kua__safetensors *file,
                                         const char *name); /* NULL: none */
/* A tensor that must be there with this shape. KUA_NOTFOUND; KUA_SHAPE names both shapes. */
kua_status kua__safetensors_need(const kua__safetensors *file, const char *name, size_t rank,
                                 const size_t *dim, const kua__tensor **out);
/* A text of the header's "__metadata__"; NULL: none. */
const char *kua__safetensors_meta(const kua__safetensors *file, const char *key);
/* The i-th of them; NULL: there are fewer. */
const char *kua__safetensors_meta_at(const kua__safetensors *file, size_t i, const char **key);
size_t kua__safetensors_bytes(const kua__safetensors *file);     /* of the whole file */
const char *kua__safetensors_path(const kua__safetensors *file); /* as given to open */

/* ---- writing ---- */

/* A file that appears whole or not at all. All tensors are declared first, then their bytes are
 * given in the same order, in pieces of any size, so that what is larger than memory can be
 * written:
 *
 *     kua__st_writer *w = NULL;
 *     st = kua__st_writer_create(path, &w);
 *     if (!st) st = kua__st_writer_declare(w, "vectors", KUA__F32, 2, (size_t[]){n, dim});
 *     for (...) if (!st) st = kua__st_writer_write(w, row, dim * sizeof(float));
 *     if (!st) st = kua__st_writer_commit(w);
 *     kua__st_writer_free(w);                        without a commit: the old file stays
 *
 * The data begins at a multiple of 64 bytes. Declare wide types before narrow ones and every tensor
 * is aligned.
 */
typedef struct kua__st_writer kua__st_writer;

kua_status kua__st_writer_create(const char *path, kua__st_writer **out);
/* KUA_INVALID: the name is taken, too long or not UTF-8, the type is quantised, the shape
 * overflows, or writing has begun. */
kua_status kua__st_writer_declare(kua__st_writer *w, const char *name, kua__dtype dtype,
                                  size_t rank, const size_t *dim);
/* Texts for "__metadata__", before the first write. */
kua_status kua__st_writer_meta(kua__st_writer *w, const char *key, const char *value);
kua_status kua__st_writer_write(kua__st_writer *w, const void *data, size_t bytes);
/* KUA_INVALID where fewer bytes were given than declared; KUA_IO for what the disk said. */
kua_status kua__st_writer_commit(kua__st_writer *w);
void kua__st_writer_free(kua__st_writer *w); /* NULL is allowed */

#endif

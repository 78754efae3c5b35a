/* engine/vectors.h - the file of a workspace's text vectors, inside the engine. */
#ifndef KUA_ENGINE_VECTORS_H
#define KUA_ENGINE_VECTORS_H

#include "engine/engine.h"
#include "tensor/safetensors.h"

/* hash -> row, by open addressing */
typedef struct kua__hash_rows {
    uint64_t *hash;
    uint32_t *row; /* row + 1; 0: empty */
    size_t mask;
} kua__hash_rows;

uint64_t kua__text_hash(const char *text);
kua_status kua__hash_rows_init(kua__hash_rows *t, size_t n); /* for n hashes at most */
void kua__hash_rows_release(kua__hash_rows *t);
/* false: it was there */
bool kua__hash_rows_add(kua__hash_rows *t, uint64_t hash, uint32_t row);
/* row + 1; 0: not there */
uint32_t kua__hash_rows_find(const kua__hash_rows *t, uint64_t hash);

typedef struct kua__vector_file {
    kua__safetensors *file; /* NULL: none yet */
    const kua__tensor *hash, *vectors;
    size_t n, dim;
    kua__hash_rows rows;
} kua__vector_file;

/* model NULL: whatever the file holds; else a file of another model counts as none. */
kua_status kua__vector_file_open(const kua_workspace *ws, const char *model, kua__vector_file *v);
void kua__vector_file_close(kua__vector_file *v);
/* Writes the file anew: the rows of `old`, then n more. */
kua_status kua__vector_file_write(const kua_workspace *ws, const char *model,
                                  const kua__vector_file *old, const uint64_t *hash,
                                  const float *rows, size_t n, size_t dim);

#endif

/* tensor/gguf_private.h - what gguf.c (finding tensors and settings) shares with gguf_read.c (the
 * reader). */
#ifndef KUA_TENSOR_GGUF_PRIVATE_H
#define KUA_TENSOR_GGUF_PRIVATE_H

#include "tensor/gguf.h"

struct kua__gguf {
    kua__map map; /* of an opened file; {0} where the memory is the caller's */
    char *path;
    kua__arena arena; /* names, keys, lists of texts */
    int version;
    kua__gguf_value *value; /* [n_values] in the file's order */
    uint32_t *by_key;       /* [n_values] sorted by key */
    size_t n_values;
    kua__tensor *tensor; /* [n] by place */
    uint32_t *by_name;   /* [n] sorted by name */
    size_t n;
};

size_t kua__gguf_type_size(kua__gguf_type type); /* bytes; 0 of texts and arrays */
/* Fills an empty *file from its bytes. */
kua_status kua__gguf_read(kua__gguf *file, const char *data, size_t n);

#endif

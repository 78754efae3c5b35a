/* tensor/weights_private.h - what weights.c, which looks things up, shares with weights_open.c,
 * which finds files and knows the formats. */
#ifndef KUA_TENSOR_WEIGHTS_PRIVATE_H
#define KUA_TENSOR_WEIGHTS_PRIVATE_H

#include "tensor/onnx.h"
#include "tensor/safetensors.h"
#include "tensor/weights.h"

struct kua__weights {
    char *path;
    kua__map map;             /* of the file at `path`; an index's is closed again */
    kua__safetensors **shard; /* [n_shards] of safetensors */
    size_t n_shards;
    kua__gguf *gguf;
    kua__onnx *onnx;
    const kua__tensor **tensor; /* [n] by place, file by file */
    uint32_t *by_name;          /* [n] its numbers, sorted by name */
    size_t n, bytes;
};

#endif

/* tensor/weights.h - the named tensors of a model, whatever format its file has.
 *
 *     kua__weights *w = NULL;
 *     const kua__tensor *t = NULL;
 *     kua_status st = kua__weights_open("models/minilm-l6", &w);
 *     if (!st) st = kua__weights_need(w, "pooler.dense.weight", 2, (size_t[]){384, 384}, &t);
 *     if (!st) kua__tensor_matrix_f32(t, 384, 384, out);
 *     kua__weights_close(w);
 *
 * What can be opened
 *     model.safetensors              tensor/safetensors.h
 *     model.safetensors.index.json   names to files beside it ("shards"); every shard is opened,
 * and holds what the index says it holds
 *     *.gguf                         tensor/gguf.h; names are llama.cpp's ("blk.0.attn_q.weight")
 *     *.onnx                         tensor/onnx.h; the initialisers, those of MatMul nodes under
 * the name of the layer, and `turned` a folder                       that holds model.safetensors,
 * else model.safetensors.index.json, else exactly one *.gguf, else exactly one *.onnx
 *
 * What a file is, is told by its first bytes, not by its name (but for the index).
 *
 * Files are mapped: opening costs their headers, and tensors point into the mapping until close.
 * Threads: what is open is immutable.
 */
#ifndef KUA_TENSOR_WEIGHTS_H
#define KUA_TENSOR_WEIGHTS_H

#include "tensor/gguf.h"
#include "tensor/onnx.h"
#include "tensor/tensor.h"

enum {
    KUA__SHARDS_MAX = 1024,
    KUA__INDEX_MAX = 16 << 20, /* bytes of an index file */
};

typedef struct kua__weights kua__weights;

/* The file that open would open: `path` itself, or what its folder holds. *file is owned
 * (kua__free). KUA_NOTFOUND. */
kua_status kua__weights_locate(const char *path, char **file);

/* On failure *out is NULL. KUA_NOTFOUND: nothing is there, or a folder has none or several.
 * KUA_IO, KUA_NOMEM, KUA_FORMAT. */
kua_status kua__weights_open(const char *path, kua__weights **out);
void kua__weights_close(kua__weights *w); /* NULL is allowed */

const char *kua__weights_path(const kua__weights *w);   /* of the file that was found */
const char *kua__weights_format(const kua__weights *w); /* "safetensors", "gguf" or "onnx" */
size_t kua__weights_files(const kua__weights *w);       /* how many hold tensors */
size_t kua__weights_bytes(const kua__weights *w);       /* of all of these files */

size_t kua__weights_count(const kua__weights *w);
const kua__tensor *kua__weights_at(const kua__weights *w, size_t i); /* by place, file by file */
const kua__tensor *kua__weights_find(const kua__weights *w, const char *name); /* NULL: none */
/* A tensor that must be there with this shape. KUA_NOTFOUND; KUA_SHAPE names both shapes. */
kua_status kua__weights_need(const kua__weights *w, const char *name, size_t rank,
                             const size_t *dim, const kua__tensor **out);

/* The metadata of a GGUF file; NULL where it is of another format. */
const kua__gguf *kua__weights_gguf(const kua__weights *w);
const kua__onnx *kua__weights_onnx(const kua__weights *w); /* the same of an ONNX file */
/* A text of a safetensors file's "__metadata__" (of the first shard that has it); NULL: none. */
const char *kua__weights_meta(const kua__weights *w, const char *key);
/* The i-th text of the first file; NULL: there are fewer. */
const char *kua__weights_meta_at(const kua__weights *w, size_t i, const char **key);

#endif

/* tensor/weights_index.h - model.safetensors.index.json: which file of several holds which tensor.
 *
 *     {"metadata": {"total_size": 1072459776},
 *      "weight_map": {"embed.weight": "model-00001-of-00002.safetensors", ...}}
 */
#ifndef KUA_TENSOR_WEIGHTS_INDEX_H
#define KUA_TENSOR_WEIGHTS_INDEX_H

#include <jansson.h>

#include "base/base.h"

typedef struct kua__weights_index {
    json_t *json;       /* owns the texts */
    const json_t *map;  /* tensor -> file, all of them texts */
    const char **shard; /* [n] the files, in the order in which they appear */
    uint32_t *tensors;  /* [n] how many are said to be in it */
    size_t n;
} kua__weights_index;

/* `name` is for messages. KUA_FORMAT: no map, too many tensors or files, a file that is not beside
 * the index. On failure there is nothing to release. */
kua_status kua__weights_index_parse(const char *name, const char *text, size_t n,
                                    kua__weights_index *out);
void kua__weights_index_release(kua__weights_index *index);
/* The number of a file; index->n: none. */
size_t kua__weights_index_find(const kua__weights_index *index, const char *shard);

#endif

/* fuzz/fuzz_weights_index.c - any bytes as the index of a model in several files: refused with a
 * message, or it names files beside it only, each once, and counts every tensor. */
#include "tensor/weights_index.h"
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long live = kua__alloc_live();
    kua__weights_index index;
    kua_status st = kua__weights_index_parse("fuzz", (const char *)data, size, &index);
    if (st) {
        require(st == KUA_FORMAT && strlen(kua_error_message()) > 0);
    } else {
        size_t tensors = 0;
        for (size_t i = 0; i < index.n; i++) {
            require(!strchr(index.shard[i], '/') && index.shard[i][0] != '.');
            require(kua__weights_index_find(&index, index.shard[i]) == i);
            tensors += index.tensors[i];
        }
        require(tensors == json_object_size(index.map) && index.n > 0);
        kua__weights_index_release(&index);
    }
    require(kua__alloc_live() == live);
    return 0;
}

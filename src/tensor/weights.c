/* weights.c - looking tensors up, whichever reader they came from. See weights_open.c for the rest.
 */
#include "tensor/weights.h"

#include <assert.h>
#include <string.h>

#include "tensor/weights_private.h"

void kua__weights_close(kua__weights *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n_shards; i++)
        kua__safetensors_close(w->shard[i]);
    kua__free(w->shard);
    kua__gguf_close(w->gguf);
    kua__onnx_close(w->onnx);
    if (w->map.data) kua__map_close(&w->map); /* after the readers: they point into it */
    kua__free(w->tensor);
    kua__free(w->by_name);
    kua__free(w->path);
    kua__free(w);
}

const char *kua__weights_path(const kua__weights *w)
{
    assert(w);
    return w->path;
}

const char *kua__weights_format(const kua__weights *w)
{
    assert(w);
    return w->gguf ? "gguf" : w->onnx ? "onnx" : "safetensors";
}

size_t kua__weights_files(const kua__weights *w)
{
    assert(w);
    return w->n_shards ? w->n_shards : 1;
}

size_t kua__weights_bytes(const kua__weights *w)
{
    assert(w);
    return w->bytes;
}

size_t kua__weights_count(const kua__weights *w)
{
    assert(w);
    return w->n;
}

const kua__tensor *kua__weights_at(const kua__weights *w, size_t i)
{
    assert(w && i < w->n);
    return w->tensor[i];
}

const kua__tensor *kua__weights_find(const kua__weights *w, const char *name)
{
    assert(w && name);
    size_t low = 0, high = w->n;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const kua__tensor *t = w->tensor[w->by_name[mid]];
        int order = strcmp(name, t->name);
        if (order == 0) return t;
        if (order < 0)
            high = mid;
        else
            low = mid + 1;
    }
    return NULL;
}

kua_status kua__weights_need(const kua__weights *w, const char *name, size_t rank,
                             const size_t *dim, const kua__tensor **out)
{
    assert(w && name && out);
    *out = NULL;
    const kua__tensor *t = kua__weights_find(w, name);
    KUA__TRY(kua__tensor_expect(w->path, name, t, rank, dim));
    *out = t;
    return KUA_OK;
}

const kua__gguf *kua__weights_gguf(const kua__weights *w)
{
    assert(w);
    return w->gguf;
}

const kua__onnx *kua__weights_onnx(const kua__weights *w)
{
    assert(w);
    return w->onnx;
}

const char *kua__weights_meta(const kua__weights *w, const char *key)
{
    assert(w && key);
    for (size_t i = 0; i < w->n_shards; i++) {
        const char *text = kua__safetensors_meta(w->shard[i], key);
        if (text) return text;
    }
    return NULL;
}

const char *kua__weights_meta_at(const kua__weights *w, size_t i, const char **key)
{
    assert(w && key);
    *key = NULL;
    return w->n_shards ? kua__safetensors_meta_at(w->shard[0], i, key) : NULL;
}

/* weights_index.c - reading the index of a model in several files.
 *
 * An index may name files beside it and nothing else: no folders, no "..", so that a model from
 * somewhere cannot make the reader open what lies outside of its folder. The number of files is
 * bounded, since each is mapped.
 */
#include "tensor/weights_index.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "tensor/weights.h"

void kua__weights_index_release(kua__weights_index *index)
{
    assert(index);
    json_decref(index->json);
    kua__free(index->shard);
    kua__free(index->tensors);
    *index = (kua__weights_index){0};
}

size_t kua__weights_index_find(const kua__weights_index *index, const char *shard)
{
    assert(index && shard);
    for (size_t i = index->n; i-- > 0;) { /* neighbours in the map are mostly in the same file */
        if (kua__streq(index->shard[i], shard)) return i;
    }
    return index->n;
}

static kua_status check_shard(const char *file, const char *name, const json_t *value)
{
    const char *shard = json_string_value(value);
    size_t n = strlen(name);
    if (n == 0 || n > KUA__TENSOR_NAME_MAX)
        return kua__fail(KUA_FORMAT, "%s: tensor \"%.80s\": the name has %zu bytes, expected 1..%d",
                         file, name, n, KUA__TENSOR_NAME_MAX);
    if (!shard)
        return kua__fail(KUA_FORMAT, "%s: tensor \"%.80s\": its file is not a text", file, name);
    if (strchr(shard, '/') || shard[0] == '.' || strlen(shard) > 255 ||
        !kua__has_suffix(shard, ".safetensors")) {
        return kua__fail(KUA_FORMAT,
                         "%s: tensor \"%.80s\": its file is \"%.80s\", expected the name of a "
                         ".safetensors file beside the index",
                         file, name, shard);
    }
    return KUA_OK;
}

static kua_status add_shards(kua__weights_index *index, const char *file)
{
    size_t room = KUA__MIN(json_object_size(index->map), (size_t)KUA__SHARDS_MAX);
    KUA__TRY(KUA__NEW_ARRAY(&index->shard, KUA__MAX(room, 1), "a list of files"));
    KUA__TRY(KUA__NEW_ZEROED(&index->tensors, KUA__MAX(room, 1), "a list of files"));
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)index->map, name, value)
    {
        KUA__TRY(check_shard(file, name, value));
        size_t i = kua__weights_index_find(index, json_string_value(value));
        if (i == index->n) {
            if (index->n == room)
                return kua__fail(KUA_FORMAT, "%s: more than %d files", file, KUA__SHARDS_MAX);
            index->shard[index->n++] = json_string_value(value);
        }
        index->tensors[i]++;
    }
    return KUA_OK;
}

static kua_status read_index(kua__weights_index *index, const char *file, const char *text,
                             size_t n)
{
    if (n > KUA__INDEX_MAX)
        return kua__fail(KUA_FORMAT, "%s: %zu bytes, the limit of an index is %d", file, n,
                         KUA__INDEX_MAX);
    KUA__TRY(kua__json_parse(file, text, n, &index->json));
    index->map = json_object_get(index->json, "weight_map");
    if (!json_is_object(index->map))
        return kua__fail(KUA_FORMAT, "%s: weight_map is missing or not a JSON object", file);
    size_t tensors = json_object_size(index->map);
    if (tensors == 0 || tensors > KUA__TENSORS_MAX)
        return kua__fail(KUA_FORMAT, "%s: %zu tensors in weight_map, expected 1..%d", file, tensors,
                         KUA__TENSORS_MAX);
    return add_shards(index, file);
}

kua_status kua__weights_index_parse(const char *name, const char *text, size_t n,
                                    kua__weights_index *out)
{
    assert(name && (text || n == 0) && out);
    *out = (kua__weights_index){0};
    kua_status st = read_index(out, name, text, n);
    if (st) kua__weights_index_release(out);
    return st;
}

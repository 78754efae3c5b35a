/* weights_open.c - from a path to a list of tensors.
 *
 *     folder -> locate -> file -> first bytes -> reader -> tensors by place -> sorted by name
 *                              \-> ".index.json" -> index -> a reader for each shard
 *
 * Invariants
 *   I1  no two tensors have the same name: each reader sees to it, and of shards only those tensors
 *       are taken that the index says are there.
 *   I2  the readers' tensors stay where they are until close; `tensor` points to them.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tensor/weights_index.h"
#include "tensor/weights_private.h"

static const char index_suffix[] = ".safetensors.index.json";

/* ---- finding the file ---- */

/* The one file of a folder that ends in `suffix`: *found is owned, NULL: none. */
static kua_status find_suffix(DIR *dir, const char *folder, const char *suffix, char **found)
{
    assert(dir && !*found);
    rewinddir(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || !kua__has_suffix(e->d_name, suffix)) continue;
        if (*found)
            return kua__fail(KUA_NOTFOUND, "%s: holds %.80s and %.80s: name the file that is meant",
                             folder, *found, e->d_name);
        *found = kua__strdup(e->d_name);
        if (!*found) return kua__fail_nomem(strlen(e->d_name) + 1, "a file name");
    }
    return KUA_OK;
}

static kua_status search_folder(DIR *dir, const char *folder, char **name)
{
    static const char *const suffix[] = {".gguf", ".onnx"};
    for (size_t i = 0; i < KUA__COUNT(suffix) && !*name; i++)
        KUA__TRY(find_suffix(dir, folder, suffix[i], name));
    if (*name) return KUA_OK;
    return kua__fail(
        KUA_NOTFOUND,
        "%s: holds no model.safetensors, model.safetensors.index.json, *.gguf or *.onnx", folder);
}

static kua_status locate_in(const char *folder, char **file)
{
    static const char *const fixed[] = {"model.safetensors", "model.safetensors.index.json"};
    for (size_t i = 0; i < KUA__COUNT(fixed); i++) {
        char *path = kua__path_join(folder, fixed[i]);
        if (!path) return kua__fail_nomem(strlen(folder) + 32, "a path");
        if (kua__exists(path)) {
            *file = path;
            return KUA_OK;
        }
        kua__free(path);
    }
    char *name = NULL;
    DIR *dir = opendir(folder);
    if (!dir) return kua__fail_errno("%s: cannot be read", folder);
    kua_status st = search_folder(dir, folder, &name);
    closedir(dir);
    if (!st && name && !(*file = kua__path_join(folder, name)))
        st = kua__fail_nomem(strlen(folder) + strlen(name) + 2, "a path");
    kua__free(name);
    return st;
}

kua_status kua__weights_locate(const char *path, char **file)
{
    assert(path && file);
    *file = NULL;
    struct stat info;
    if (stat(path, &info)) {
        if (errno == ENOENT) return kua__fail(KUA_NOTFOUND, "%s: no such file or folder", path);
        return kua__fail_errno("%s", path);
    }
    if (S_ISDIR(info.st_mode)) return locate_in(path, file);
    *file = kua__strdup(path);
    return *file ? KUA_OK : kua__fail_nomem(strlen(path) + 1, "a path");
}

/* ---- what was read, in one list ---- */

static int by_tensor_name(const void *a, const void *b, void *ctx)
{
    const kua__tensor *const *t = ctx;
    return strcmp(t[*(const uint32_t *)a]->name, t[*(const uint32_t *)b]->name);
}

static kua_status make_list(kua__weights *w, size_t room)
{
    KUA__TRY(KUA__NEW_ARRAY(&w->tensor, KUA__MAX(room, 1), "a list of tensors"));
    return KUA__NEW_ARRAY(&w->by_name, KUA__MAX(room, 1), "a list of tensor names");
}

static void sort_list(kua__weights *w)
{
    for (size_t i = 0; i < w->n; i++)
        w->by_name[i] = (uint32_t)i;
    qsort_r(w->by_name, w->n, sizeof(*w->by_name), by_tensor_name, w->tensor);
}

/* ---- one file ---- */

static kua_status open_safetensors(kua__weights *w)
{
    KUA__TRY(KUA__NEW_ZEROED(&w->shard, 1, "a tensor file"));
    KUA__TRY(kua__safetensors_parse(w->path, w->map.data, w->map.size, &w->shard[0]));
    w->n_shards = 1;
    const kua__safetensors *file = w->shard[0];
    KUA__TRY(make_list(w, kua__safetensors_count(file)));
    for (; w->n < kua__safetensors_count(file); w->n++)
        w->tensor[w->n] = kua__safetensors_at(file, w->n);
    return KUA_OK;
}

static kua_status open_gguf(kua__weights *w)
{
    int64_t parts = 1;
    KUA__TRY(kua__gguf_parse(w->path, w->map.data, w->map.size, &w->gguf));
    KUA__TRY(kua__gguf_int_or(w->gguf, "split.count", 0, UINT16_MAX, 1, &parts));
    if (parts > 1)
        return kua__fail(KUA_FORMAT,
                         "%s: one of %" PRId64
                         " parts of a model, which kua does not put together; "
                         "llama.cpp's gguf-split --merge does",
                         w->path, parts);
    KUA__TRY(make_list(w, kua__gguf_count(w->gguf)));
    for (; w->n < kua__gguf_count(w->gguf); w->n++)
        w->tensor[w->n] = kua__gguf_at(w->gguf, w->n);
    return KUA_OK;
}

static kua_status open_onnx(kua__weights *w)
{
    KUA__TRY(kua__onnx_parse(w->path, w->map.data, w->map.size, &w->onnx));
    KUA__TRY(make_list(w, kua__onnx_count(w->onnx)));
    for (; w->n < kua__onnx_count(w->onnx); w->n++)
        w->tensor[w->n] = kua__onnx_at(w->onnx, w->n);
    return KUA_OK;
}

static bool begins_with(const kua__map *map, const char *bytes, size_t n)
{
    return map->size >= n && memcmp(map->data, bytes, n) == 0;
}

/* The first bytes decide; the name only where they say nothing, so that the reader's own message
 * tells what is wrong. */
static kua_status open_file(kua__weights *w)
{
    const kua__map *map = &w->map;
    if (begins_with(map, "GGUF", 4)) return open_gguf(w);
    if (map->size > 8 && map->data[8] == '{' && !map->data[6] && !map->data[7])
        return open_safetensors(w);
    if (begins_with(map, "PK\003\004", 4) || begins_with(map, "\x80\x02", 2))
        return kua__fail(KUA_FORMAT,
                         "%s: a pickle of PyTorch, which can run code when it is read; save the "
                         "model as .safetensors",
                         w->path);
    if (begins_with(map, "\x08", 1) || kua__has_suffix(w->path, ".onnx")) return open_onnx(w);
    if (kua__has_suffix(w->path, ".safetensors")) return open_safetensors(w);
    if (kua__has_suffix(w->path, ".gguf")) return open_gguf(w);
    return kua__fail(KUA_FORMAT, "%s: %zu bytes that are no safetensors, GGUF or ONNX file",
                     w->path, map->size);
}

/* ---- several files ---- */

static kua_status open_shard(kua__weights *w, const char *folder, const kua__weights_index *index,
                             size_t i)
{
    char *path = kua__path_join(folder, index->shard[i]);
    if (!path) return kua__fail_nomem(strlen(folder) + 256, "a path");
    kua_status st = KUA_OK;
    if (!kua__exists(path))
        st = kua__fail(KUA_NOTFOUND, "%s: %s is missing, with %u of the model's %zu tensors",
                       w->path, index->shard[i], index->tensors[i], json_object_size(index->map));
    if (!st) st = kua__safetensors_open(path, &w->shard[i]);
    if (!st) {
        w->n_shards = i + 1;
        w->bytes += kua__safetensors_bytes(w->shard[i]);
    }
    kua__free(path);
    return st;
}

/* Tells all that is missing of a shard at once: how many, and the first. */
static kua_status check_shard(const kua__weights *w, const kua__weights_index *index, size_t i)
{
    const char *name = NULL, *first = NULL;
    json_t *value = NULL;
    size_t missing = 0;
    json_object_foreach((json_t *)index->map, name, value)
    {
        if (!kua__streq(json_string_value(value), index->shard[i]) ||
            kua__safetensors_find(w->shard[i], name))
            continue;
        if (missing++ == 0) first = name;
    }
    if (!first) return KUA_OK;
    return kua__fail(
        KUA_FORMAT, "%s: %s lacks %zu of the %u tensors that it should hold: \"%.80s\"%s", w->path,
        index->shard[i], missing, index->tensors[i], first, missing > 1 ? ", ..." : "");
}

static void take_shard(kua__weights *w, const kua__weights_index *index, size_t i)
{
    const kua__safetensors *file = w->shard[i];
    for (size_t k = 0; k < kua__safetensors_count(file); k++) {
        const kua__tensor *t = kua__safetensors_at(file, k);
        const char *where = json_string_value(json_object_get(index->map, t->name));
        if (where && kua__streq(where, index->shard[i])) w->tensor[w->n++] = t;
    }
}

static kua_status open_shards(kua__weights *w, const char *folder, const kua__weights_index *index)
{
    KUA__TRY(KUA__NEW_ZEROED(&w->shard, KUA__MAX(index->n, 1), "a list of tensor files"));
    KUA__TRY(make_list(w, json_object_size(index->map)));
    for (size_t i = 0; i < index->n; i++) {
        KUA__TRY(open_shard(w, folder, index, i));
        KUA__TRY(check_shard(w, index, i));
        take_shard(w, index, i);
    }
    assert(w->n == json_object_size(index->map)); /* check_shard saw each */
    return KUA_OK;
}

static kua_status open_index(kua__weights *w)
{
    kua__weights_index index;
    KUA__TRY(kua__weights_index_parse(w->path, w->map.data, w->map.size, &index));
    const char *slash = strrchr(w->path, '/');
    char *folder = slash ? kua__strndup(w->path, (size_t)(slash - w->path) + 1) : kua__strdup(".");
    kua_status st =
        folder ? open_shards(w, folder, &index) : kua__fail_nomem(strlen(w->path) + 2, "a path");
    kua__free(folder);
    kua__weights_index_release(&index);
    return st;
}

/* ---- */

kua_status kua__weights_open(const char *path, kua__weights **out)
{
    assert(path && out);
    *out = NULL;
    kua__weights *w = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&w, 1, "the weights of a model"));
    kua_status st = kua__weights_locate(path, &w->path);
    if (!st) st = kua__map_open(&w->map, w->path);
    bool indexed = !st && kua__has_suffix(w->path, index_suffix);
    if (!st) st = indexed ? open_index(w) : open_file(w);
    if (indexed && w->map.data) kua__map_close(&w->map);
    if (st) {
        kua__weights_close(w);
        return st;
    }
    if (!indexed) w->bytes = w->map.size;
    sort_list(w);
    *out = w;
    return KUA_OK;
}

/* onnx.c - the walk through an ONNX file: model, graph, initialisers; then what its nodes tell.
 *
 * Invariants
 *   I1  tensor[i] is what the graph calls ids.name[i]; its own name differs only where
 *       onnx_nodes.c found out whose weight it is. No two tensors have the same name.
 *   I2  a tensor's numbers lie in the caller's bytes or in the arena.
 */
#include "tensor/onnx.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "tensor/onnx_private.h"

/* ModelProto, OperatorSetIdProto, GraphProto */
enum { PRODUCER = 2, GRAPH = 7, OPSET = 8 };
enum { OPSET_DOMAIN = 1, OPSET_VERSION = 2 };
enum { INITIALISER = 5 };

kua__onnx_text kua__onnx_bytes(const kua__pb_field *field)
{
    assert(field);
    if (field->wire != KUA__PB_BYTES) return (kua__onnx_text){0};
    return (kua__onnx_text){(const char *)field->data, field->n};
}

kua_status kua__onnx_add(kua__onnx *file, kua__onnx_text name, const kua__tensor *tensor)
{
    assert(file && tensor && tensor->data);
    size_t known = file->ids.count;
    uint32_t id = 0;
    if (name.n == 0 || name.n > KUA__TENSOR_NAME_MAX || memchr(name.data, 0, name.n) ||
        kua__utf8_valid(name.data, name.n) != name.n)
        return kua__fail(KUA_FORMAT,
                         "%s: tensor %zu has a name of %zu bytes, expected 1..%d in UTF-8",
                         file->path, known, name.n, KUA__TENSOR_NAME_MAX);
    if (known == KUA__TENSORS_MAX)
        return kua__fail(KUA_FORMAT, "%s: more than %d tensors", file->path, KUA__TENSORS_MAX);
    KUA__TRY(KUA__GROW(&file->tensor, &file->room, known, "a list of tensors"));
    KUA__TRY(kua__ids_add(&file->ids, name.data, name.n, &id));
    if (id < known)
        return kua__fail(KUA_FORMAT, "%s: tensor \"%.80s\" is there twice", file->path,
                         file->ids.name[id]);
    file->tensor[id] = *tensor;
    file->tensor[id].name = file->ids.name[id];
    return KUA_OK;
}

static kua_status read_opset(kua__onnx *file, kua__pb message)
{
    kua__onnx_text domain = {0};
    uint64_t version = 0;
    kua__pb_field f;
    while (kua__pb_next(&message, &f)) {
        if (f.number == OPSET_DOMAIN) domain = kua__onnx_bytes(&f);
        if (f.number == OPSET_VERSION) version = f.value;
    }
    if (domain.n == 0 || (domain.n == 7 && memcmp(domain.data, "ai.onnx", 7) == 0))
        file->opset = version > INT64_MAX ? 0 : (int64_t)version;
    return message.status;
}

static kua_status read_graph(kua__onnx *file, const kua__pb *graph)
{
    kua__pb message = *graph;
    kua__pb_field f;
    while (kua__pb_next(&message, &f)) {
        if (f.number == INITIALISER && f.wire == KUA__PB_BYTES)
            KUA__TRY(kua__onnx_read_tensor(file, graph, &f, (kua__onnx_text){0}, 0));
    }
    KUA__TRY(message.status);
    return kua__onnx_read_nodes(file, graph);
}

static kua_status set_producer(kua__onnx *file, kua__onnx_text text)
{
    kua__free(file->producer);
    size_t n = text.n ? kua__utf8_valid(text.data, KUA__MIN(text.n, (size_t)80)) : 0;
    file->producer = kua__strndup(n ? text.data : "", n);
    return file->producer ? KUA_OK : kua__fail_nomem(n + 1, "a name");
}

static kua_status read_model(kua__onnx *file, const void *data, size_t n)
{
    kua__pb message = kua__pb_file(file->path, data, n), graph = {0};
    kua__pb_field f;
    KUA__TRY(set_producer(file, (kua__onnx_text){0}));
    while (kua__pb_next(&message, &f)) {
        if (f.wire != KUA__PB_BYTES) continue;
        if (f.number == PRODUCER) KUA__TRY(set_producer(file, kua__onnx_bytes(&f)));
        if (f.number == OPSET) KUA__TRY(read_opset(file, kua__pb_inside(&message, &f)));
        if (f.number != GRAPH) continue;
        if (graph.file) return kua__fail(KUA_FORMAT, "%s: holds two graphs", file->path);
        graph = kua__pb_inside(&message, &f);
    }
    KUA__TRY(message.status);
    if (!graph.file) return kua__fail(KUA_FORMAT, "%s: holds no graph: no ONNX file", file->path);
    return read_graph(file, &graph);
}

kua_status kua__onnx_parse(const char *name, const void *data, size_t n, kua__onnx **out)
{
    assert(name && (data || n == 0) && out);
    *out = NULL;
    kua__onnx *f = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&f, 1, "an ONNX file"));
    kua__arena_init(&f->arena, 1 << 14);
    kua__ids_init(&f->ids);
    f->path = kua__strdup(name);
    kua_status st = f->path ? read_model(f, data, n) : kua__fail_nomem(strlen(name) + 1, "a path");
    if (st)
        kua__onnx_close(f);
    else
        *out = f;
    return st;
}

void kua__onnx_close(kua__onnx *file)
{
    if (!file) return;
    kua__free(file->tensor);
    kua__ids_release(&file->ids);
    kua__arena_release(&file->arena);
    kua__free(file->producer);
    kua__free(file->path);
    kua__free(file);
}

size_t kua__onnx_count(const kua__onnx *file)
{
    assert(file);
    return file->ids.count;
}

const kua__tensor *kua__onnx_at(const kua__onnx *file, size_t i)
{
    assert(file && i < file->ids.count);
    return &file->tensor[i];
}

int64_t kua__onnx_opset(const kua__onnx *file)
{
    assert(file);
    return file->opset;
}

const char *kua__onnx_producer(const kua__onnx *file)
{
    assert(file);
    return file->producer;
}

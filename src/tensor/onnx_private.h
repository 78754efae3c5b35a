/* tensor/onnx_private.h - what onnx.c (the walk), onnx_tensor.c (one TensorProto) and onnx_nodes.c
 * (names from the graph) share. */
#ifndef KUA_TENSOR_ONNX_PRIVATE_H
#define KUA_TENSOR_ONNX_PRIVATE_H

#include "tensor/onnx.h"
#include "tensor/protobuf.h"

/* A text in the file; {0} where a message does not have it. */
typedef struct kua__onnx_text {
    const char *data;
    size_t n;
} kua__onnx_text;

struct kua__onnx {
    char *path;
    kua__arena arena;    /* names of layers, numbers that had to be decoded */
    kua__ids ids;        /* the graph's name of tensor i is ids.name[i] */
    kua__tensor *tensor; /* [ids.count], in the order of the file */
    size_t room;
    int64_t opset;
    char *producer;
};

kua__onnx_text kua__onnx_bytes(const kua__pb_field *field);
/* Adds a tensor under the graph's name `name`, which must be new. */
kua_status kua__onnx_add(kua__onnx *file, kua__onnx_text name, const kua__tensor *tensor);
/* A TensorProto, under `name` or, where that is {0}, under its own. Types that no weight has, and
 * shapes of fewer than `rank_min` dimensions, are passed over. */
kua_status kua__onnx_read_tensor(kua__onnx *file, const kua__pb *message,
                                 const kua__pb_field *field, kua__onnx_text name, size_t rank_min);
/* What nodes tell: Constant and Identity nodes become tensors, and anonymous weights get the names
 * of their layers. `graph` is a GraphProto whose initialisers have been read. */
kua_status kua__onnx_read_nodes(kua__onnx *file, const kua__pb *graph);

#endif

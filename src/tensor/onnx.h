/* tensor/onnx.h - the weights inside an ONNX file, under the names that they had in torch.
 *
 * An ONNX file is one protobuf message: ModelProto holds a graph, which holds nodes and
 * initialisers (the weights). kua runs its own models, so it needs of the nodes only what tells
 * which weight is whose:
 *
 *     initialisers with a name               as they are
 *     Constant nodes                         a tensor under the name of what the node gives out
 *     Identity nodes of one of these         a second name for it (how exporters write that layers
 *                                            share a weight)
 *     an anonymous initialiser in a MatMul   exporters fold the transpose of a linear layer's
 * weight into a new tensor "onnx::MatMul_541". Its layer is known from the bias that an Add puts
 * onto the product
 *                                            ("x.y.bias" -> "x.y.weight"), else from the node's own
 *                                            name ("/x/y/MatMul" -> "x.y.weight"). It then has the
 *                                            shape [out,in] of torch, and is `turned`.
 *     an anonymous initialiser in a Gemm     the same, by its own bias; turned where the node does
 *                                            not transpose
 *
 * Numbers in raw_data or packed float_data stay where they are, others are decoded.
 * Initialisers of types that no weight has (texts, doubles) are passed over. Weights outside of the
 * file ("external data") are refused.
 */
#ifndef KUA_TENSOR_ONNX_H
#define KUA_TENSOR_ONNX_H

#include "tensor/tensor.h"

typedef struct kua__onnx kua__onnx;

/* From memory, which must outlive the result; `name` is for messages. On failure *out is NULL.
 * KUA_FORMAT, KUA_NOMEM. */
kua_status kua__onnx_parse(const char *name, const void *data, size_t n, kua__onnx **out);
void kua__onnx_close(kua__onnx *file); /* NULL is allowed */

size_t kua__onnx_count(const kua__onnx *file);
const kua__tensor *kua__onnx_at(const kua__onnx *file, size_t i); /* in the order of the file */
int64_t kua__onnx_opset(const kua__onnx *file);                   /* of the standard operators */
const char *kua__onnx_producer(const kua__onnx *file);            /* "" where it is not told */

#endif

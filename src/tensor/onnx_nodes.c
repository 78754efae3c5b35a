/* onnx_nodes.c - whose weight is which: what the nodes of a graph tell about its initialisers.
 *
 * Two walks over the nodes, which stand in the order of execution:
 *
 *     1  Constant nodes and Identity nodes of known tensors give new tensors; an Add of a product
 * and of "x.bias" is noted: product -> bias 2  a MatMul or Gemm whose second input is an anonymous
 * matrix: its layer is the one of the bias, else the one in the node's own name
 *
 *     MatMul(h, onnx::MatMul_541) -> p          Add(x.query.bias, p)
 *                    |                              |
 *                    '---- "x.query.weight" <-------'
 *
 * Constants without a name that are no matrices are numbers of the graph's own arithmetic, and
 * passed over. A matrix that two layers share becomes two tensors with the same numbers. Where a
 * layer's name is taken, or nothing tells it, an anonymous matrix keeps the graph's name.
 */
#include <assert.h>
#include <string.h>

#include "tensor/onnx_private.h"

enum { GRAPH_NODE = 1 };
/* NodeProto, AttributeProto */
enum { INPUT = 1, OUTPUT = 2, NAME = 3, OP_TYPE = 4, ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3, ATTRIBUTE_TENSOR = 5 };
enum { INPUTS = 3 };

typedef struct graph_node {
    kua__onnx_text op, name, input[INPUTS], output;
    size_t n_inputs;
    kua__pb_field value; /* a Constant's TensorProto; n is 0 where there is none */
    bool transposes;     /* Gemm's transB */
} graph_node;

typedef struct names {
    kua__onnx *file;
    kua__ids products; /* what biases are added to */
    uint32_t *bias;    /* [products.count] the tensor added */
    size_t room;
    kua__ids taken; /* the names that tensors end up with */
} names;

static bool is(kua__onnx_text text, const char *word)
{
    return text.n == strlen(word) && memcmp(text.data, word, text.n) == 0;
}

static bool ends_in(kua__onnx_text text, const char *suffix)
{
    size_t n = strlen(suffix);
    return text.n >= n && memcmp(text.data + text.n - n, suffix, n) == 0;
}

/* Exporters' own names for what torch had no name for. */
static bool is_anonymous(kua__onnx_text name)
{
    if (name.n == 0 || name.data[0] == '/' || !memchr(name.data, '.', name.n)) return true;
    return name.n > 6 && memcmp(name.data, "onnx::", 6) == 0;
}

static uint32_t find(const kua__onnx *file, kua__onnx_text name)
{
    return name.n ? kua__ids_find(&file->ids, name.data, name.n) : KUA__NO_ID;
}

/* ---- reading a node ---- */

static kua_status read_attribute(graph_node *out, kua__pb message)
{
    kua__onnx_text name = {0};
    kua__pb_field f, tensor = {0};
    uint64_t number = 0;
    while (kua__pb_next(&message, &f)) {
        if (f.number == ATTRIBUTE_NAME) name = kua__onnx_bytes(&f);
        if (f.number == ATTRIBUTE_INT) number = f.value;
        if (f.number == ATTRIBUTE_TENSOR && f.wire == KUA__PB_BYTES) tensor = f;
    }
    if (is(name, "value")) out->value = tensor;
    if (is(name, "transB")) out->transposes = number != 0;
    return message.status;
}

static kua_status read_node(const kua__pb *graph, const kua__pb_field *field, graph_node *out)
{
    kua__pb message = kua__pb_inside(graph, field);
    kua__pb_field f;
    *out = (graph_node){0};
    while (kua__pb_next(&message, &f)) {
        if (f.wire != KUA__PB_BYTES) continue;
        kua__onnx_text text = kua__onnx_bytes(&f);
        if (f.number == INPUT && out->n_inputs < INPUTS) out->input[out->n_inputs++] = text;
        if (f.number == OUTPUT && !out->output.data) out->output = text;
        if (f.number == NAME) out->name = text;
        if (f.number == OP_TYPE) out->op = text;
        if (f.number == ATTRIBUTE) KUA__TRY(read_attribute(out, kua__pb_inside(&message, &f)));
    }
    return message.status;
}

typedef kua_status (*node_fn)(names *n, const kua__pb *graph, const graph_node *node);

static kua_status each_node(names *n, const kua__pb *graph, node_fn visit)
{
    kua__pb message = *graph;
    kua__pb_field f;
    while (kua__pb_next(&message, &f)) {
        graph_node found;
        if (f.number != GRAPH_NODE || f.wire != KUA__PB_BYTES) continue;
        KUA__TRY(read_node(graph, &f, &found));
        KUA__TRY(visit(n, graph, &found));
    }
    return message.status;
}

/* ---- 1: more tensors, and who gets which bias ---- */

static kua_status note_bias(names *n, const graph_node *add)
{
    for (size_t i = 0; i < 2; i++) {
        uint32_t bias = find(n->file, add->input[i]), at = 0;
        kua__onnx_text product = add->input[1 - i];
        if (bias == KUA__NO_ID || !ends_in(add->input[i], ".bias") || product.n == 0 ||
            memchr(product.data, 0, product.n))
            continue;
        KUA__TRY(KUA__GROW(&n->bias, &n->room, n->products.count, "a list of biases"));
        KUA__TRY(kua__ids_add(&n->products, product.data, product.n, &at));
        n->bias[at] = bias;
        break;
    }
    return KUA_OK;
}

static kua_status visit_first(names *n, const kua__pb *graph, const graph_node *node)
{
    if (is(node->op, "Constant") && node->value.n > 0)
        return kua__onnx_read_tensor(n->file, graph, &node->value, node->output,
                                     is_anonymous(node->output) ? 2 : 0);
    if (is(node->op, "Identity")) {
        uint32_t from = find(n->file, node->input[0]);
        if (from == KUA__NO_ID) return KUA_OK;
        kua__tensor same = n->file->tensor[from];
        return kua__onnx_add(n->file, node->output, &same);
    }
    if (is(node->op, "Add") && node->n_inputs == 2) return note_bias(n, node);
    return KUA_OK;
}

/* ---- 2: names of layers ---- */

/* "/encoder/layer.0/output/dense/MatMul_1" -> "encoder.layer.0.output.dense" */
static void layer_of_node(kua__onnx_text name, kua__buf *out)
{
    size_t begin = name.n && name.data[0] == '/', end = name.n;
    while (end > begin && name.data[end - 1] != '/')
        end--;
    if (end <= begin + 1) return; /* a node outside of any layer */
    for (size_t i = begin; i < end - 1; i++)
        kua__buf_add(out, name.data[i] == '/' ? "." : &name.data[i], 1);
}

static void layer_of_bias(const char *bias, kua__buf *out)
{
    kua__buf_add(out, bias, strlen(bias) - strlen(".bias"));
}

/* Into *out the weight's name, or nothing where neither the bias nor the node tells it. */
static kua_status weight_name(const names *n, const graph_node *node, kua__buf *out)
{
    uint32_t bias = KUA__NO_ID;
    if (is(node->op, "Gemm")) {
        if (ends_in(node->input[2], ".bias")) bias = find(n->file, node->input[2]);
    } else if (node->output.n) {
        uint32_t at = kua__ids_find(&n->products, node->output.data, node->output.n);
        if (at != KUA__NO_ID) bias = n->bias[at];
    }
    kua__buf_clear(out);
    if (bias != KUA__NO_ID)
        layer_of_bias(n->file->ids.name[bias], out);
    else
        layer_of_node(node->name, out);
    if (out->len > 0) kua__buf_puts(out, ".weight");
    return kua__buf_status(out);
}

static void turn(kua__tensor *t)
{
    assert(t->rank == 2);
    size_t in = t->dim[0];
    t->dim[0] = t->dim[1];
    t->dim[1] = in;
    t->turned = true;
}

/* Gives tensor `at` its name; where it has one already, a second tensor shares its numbers. */
static kua_status give_name(names *n, uint32_t at, const kua__buf *name, bool turned)
{
    kua__onnx *file = n->file;
    size_t known = n->taken.count;
    uint32_t id = 0;
    bool valid = name->len <= KUA__TENSOR_NAME_MAX && !memchr(name->data, 0, name->len) &&
                 kua__utf8_valid(name->data, name->len) == name->len;
    if (!valid) return KUA_OK;
    KUA__TRY(kua__ids_add(&n->taken, name->data, name->len, &id));
    if (id < known) return KUA_OK; /* another weight's name */
    const char *kept = kua__arena_strndup(&file->arena, name->data, name->len);
    if (!kept) return kua__fail_nomem(name->len + 1, "the name of a tensor");
    kua__tensor *t = &file->tensor[at];
    if (t->name == file->ids.name[at]) {
        t->name = kept;
        if (turned) turn(t);
        return KUA_OK;
    }
    kua__tensor second = *t;
    if (second.turned != turned) {
        second.turned = turned;
        second.dim[0] = t->dim[1];
        second.dim[1] = t->dim[0];
    }
    return kua__onnx_add(file, (kua__onnx_text){kept, name->len}, &second);
}

static kua_status visit_second(names *n, const kua__pb *graph, const graph_node *node)
{
    (void)graph;
    bool gemm = is(node->op, "Gemm");
    if ((!gemm && !is(node->op, "MatMul")) || node->n_inputs < 2) return KUA_OK;
    uint32_t at = find(n->file, node->input[1]);
    if (at == KUA__NO_ID || n->file->tensor[at].rank != 2 || !is_anonymous(node->input[1]))
        return KUA_OK;
    kua__buf name = {0};
    kua_status st = weight_name(n, node, &name);
    if (!st && name.len > 0) st = give_name(n, at, &name, !(gemm && node->transposes));
    kua__buf_release(&name);
    return st;
}

/* ---- */

static kua_status take_names(names *n)
{
    const kua__ids *ids = &n->file->ids;
    for (size_t i = 0; i < ids->count; i++) {
        uint32_t id = 0;
        KUA__TRY(kua__ids_add(&n->taken, ids->name[i], ids->len[i], &id));
    }
    return KUA_OK;
}

kua_status kua__onnx_read_nodes(kua__onnx *file, const kua__pb *graph)
{
    assert(file && graph);
    names n = {.file = file};
    kua__ids_init(&n.products);
    kua__ids_init(&n.taken);
    kua_status st = each_node(&n, graph, visit_first);
    if (!st) st = take_names(&n);
    if (!st) st = each_node(&n, graph, visit_second);
    kua__ids_release(&n.products);
    kua__ids_release(&n.taken);
    kua__free(n.bias);
    return st;
}

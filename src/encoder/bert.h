/* encoder/bert.h - a BERT model laid out for inference, and one batch through it.
 *
 *     ids -> word + position + type vectors -> norm
 *     each layer:  x = norm(x + W_o attend(W_qkv x))
 *                  x = norm(x + W_down gelu(W_up x))
 *     -> pooling over each text's rows -> length 1
 *
 * (Devlin et al., "BERT", 2019; bias terms and the norms' gains are left out of the picture.)
 */
#ifndef KUA_ENCODER_BERT_H
#define KUA_ENCODER_BERT_H

#include "base/base.h"
#include "encoder/config.h"
#include "tensor/attention.h"
#include "tensor/packed.h"
#include "tensor/safetensors.h"

typedef struct kua__bert_norm {
    float *gain, *bias; /* [hidden] */
} kua__bert_norm;

typedef struct kua__bert_layer {
    kua__packed *qkv;       /* [3 hidden, hidden] */
    kua__packed *out;       /* [hidden, hidden] */
    kua__packed *up, *down; /* [inner, hidden], [hidden, inner] */
    kua__bert_norm after_attention, after_inner;
} kua__bert_layer;

typedef struct kua__bert {
    kua__model_config config;
    kua__safetensors *file;
    const kua__tensor *word; /* [vocab, hidden], read from the mapped file */
    float *place;            /* [positions, hidden]: position vectors plus that of type 0 */
    size_t positions;        /* of place: no text is longer */
    kua__bert_norm first;
    kua__bert_layer *layer; /* [layers] */
    size_t parts;           /* in which a product can be cut */
    kua__arena arena;       /* norms */
    size_t parameters;
} kua__bert;

/* Reads FOLDER/model.safetensors. *bert is to be released after a failure too. */
kua_status kua__bert_load(kua__bert *bert, const char *folder, const kua__model_config *config,
                          size_t max_tokens);
void kua__bert_release(kua__bert *bert);
size_t kua__bert_bytes(const kua__bert *bert);

/* Names of weights in a file: "<prefix>encoder.layer.0.output.dense.weight". */
typedef struct kua__bert_names {
    const kua__safetensors *file;
    char prefix[KUA__TENSOR_NAME_MAX + 1];
} kua__bert_names;
kua_status kua__bert_names_find(kua__bert_names *names, const kua__safetensors *file);
/* The tensor of that name and shape; layer < 0: outside the layers. Failures are KUA_FORMAT. */
kua_status kua__bert_tensor(const kua__bert_names *names, int layer, const char *name, size_t rank,
                            const size_t *dim, const kua__tensor **out);

/* ---- one batch ---- */

/* What one thread needs:
 *
 *     x    [rows, hidden]                  the residual stream
 *     wide [rows, max(4 hidden, inner)]    q k v | attended; then the inner part
 */
typedef struct kua__bert_scratch {
    kua__lane *lane;
    float *x, *wide, *attention;
    size_t rows, longest; /* room: rows of a batch, tokens of a text */
    void *block;
} kua__bert_scratch;

kua_status kua__bert_scratch_init(kua__bert_scratch *scratch, const kua__bert *bert, size_t rows,
                                  size_t longest);
void kua__bert_scratch_release(kua__bert_scratch *scratch);
size_t kua__bert_scratch_bytes(const kua__model_config *config, size_t rows, size_t longest);

/* n texts one after another: the tokens of text i are id[i][0 .. length[i]). */
typedef struct kua__bert_batch {
    size_t n, tokens; /* tokens: the sum of the lengths */
    const uint32_t *const *id;
    const uint32_t *length;
} kua__bert_batch;

/* Leaves the last layer's output in crew[0]->x[tokens, hidden]. A crew of one computes on the
 * calling thread; a larger one (of kua__bert.parts) shares each step of one batch among the pool's
 * threads: for a single query, where there are no other batches to work on. */
kua_status kua__bert_forward(const kua__bert *bert, kua__bert_scratch *const *crew, size_t n_crew,
                             const kua__bert_batch *batch);
/* x[n, hidden] to out[hidden] */
void kua__bert_pool(const float *x, size_t n, size_t hidden, kua_pooling pooling, bool unit,
                    float *out);

#endif

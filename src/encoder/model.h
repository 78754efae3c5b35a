/* encoder/model.h - a transformer of any family laid out for inference, and one batch through it.
 *
 *     x = word + position + type vectors, normed where norms stand behind      (or word alone)
 *     each layer, norm behind:  x = norm(x + W_o attend(W_qkv x))
 *                               x = norm(x + W_down act(W_up x))
 *                 norm before:  x = x + W_o attend(rotate(W_qkv norm(x)))
 *                               x = x + W_down (act(W_gate y) * W_up y),  y = norm(x)
 *                               and x = norm(x) behind the last layer
 *     -> pooling over each text's rows -> length 1
 *     or -> head for words: logits
 *
 * (Vaswani et al., "Attention is all you need", 2017; Devlin et al., "BERT", 2019; Radford et al.,
 * GPT-2, 2019; Touvron et al., "LLaMA", 2023. Biases and gains are left out of the picture.)
 */
#ifndef KUA_ENCODER_MODEL_H
#define KUA_ENCODER_MODEL_H

#include "base/base.h"
#include "encoder/config.h"
#include "encoder/names.h"
#include "tensor/attention.h"
#include "tensor/lean.h"
#include "tensor/packed.h"
#include "tensor/weights.h"

typedef struct kua__norm {
    float *gain, *bias; /* [hidden]; bias NULL: none */
} kua__norm;

/* A product in one of two forms: packed for many rows, or lean (as it lies in the file) where
 * memory counts and rows are few. */
typedef struct kua__dense {
    kua__packed *packed;
    kua__lean *lean;
    size_t out, in;
    bool activate; /* the activation is not in the product's epilogue: another pass does it */
} kua__dense;

typedef struct kua__layer {
    kua__dense qkv;      /* [(heads + 2 kv_heads) head_dim, hidden] */
    kua__dense out;      /* [hidden, heads head_dim] */
    kua__dense up, down; /* [inner, hidden], gate and up stacked where gated; [hidden, inner] */
    kua__norm attend_norm, inner_norm;
} kua__layer;

/* The head for words. */
typedef struct kua__head {
    kua__dense dense; /* of masked-word heads; else empty */
    kua__norm norm;
    kua__dense words; /* [vocab, hidden], with a bias in masked-word heads */
} kua__head;

typedef struct kua__model_options {
    size_t max_tokens;        /* of a text; 1 .. kua__config_longest() */
    bool head;                /* the head for words too; KUA_FORMAT where the file has none */
    bool lean;                /* weights stay in the mapped file, in the types they have there */
    kua__precision precision; /* of packed products */
} kua__model_options;

typedef struct kua__model {
    kua__model_config config;
    kua__weights *file;
    const kua__tensor *word; /* [vocab, hidden], read from the mapped file */
    float *place;            /* [positions, hidden] plus the vector of type 0; NULL: rotary */
    float *turn;             /* [positions, head_dim]: cosines, then sines; NULL: learned */
    size_t positions;        /* no text is longer */
    kua__norm first, last;
    kua__layer *layer; /* [layers] */
    kua__head head;
    size_t parts;     /* in which a product can be cut */
    kua__arena arena; /* norms, biases */
    size_t parameters;
    bool lean, has_head;
} kua__model;

/* What `path` (a folder or file) says that `file`, opened from it, is: GGUF's metadata, else the
 * config.json in the folder, else (ONNX) shapes and names. KUA_FORMAT, KUA_NOTFOUND. */
kua_status kua__config_find(const char *path, const kua__weights *file, kua__model_config *out);

/* The tokenizer that belongs to it: a tokenizer's files in the folder, else GGUF's metadata.
 * KUA_FORMAT: it has more tokens than the table of words has rows. */
kua_status kua__tokenizer_find(const char *path, const kua__weights *file, size_t vocab,
                               kua_tokenizer **out);

/* Takes `file` over, also where it fails. *model is to be released after a failure too. */
kua_status kua__model_load(kua__model *model, kua__weights *file, const kua__model_config *config,
                           const kua__model_options *options);
void kua__model_release(kua__model *model);
size_t kua__model_bytes(const kua__model *model); /* in memory, without the mapped file */

/* ---- one batch ---- */

/* What one thread needs:
 *
 *     x    [rows, hidden]     the residual stream
 *     y    [rows, hidden]     what was normed, where norms stand before
 *     wide [rows, ...]        q k v | attended; then the inner part
 */
typedef struct kua__scratch {
    kua__lane *lane;
    float *x, *y, *wide, *attention, *panel;
    size_t rows, longest; /* room: rows of a batch, keys of a text */
    void *block;
} kua__scratch;

kua_status kua__scratch_init(kua__scratch *scratch, const kua__model *model, size_t rows,
                             size_t longest);
void kua__scratch_release(kua__scratch *scratch);
size_t kua__scratch_bytes(const kua__model *model, size_t rows, size_t longest);

/* Keys and values of a text's earlier tokens, for generation.
 *
 *     k v [layers][room][kv_heads head_dim]     rows 0 .. past - 1 are filled
 */
typedef struct kua__cache {
    float *k, *v;
    size_t past, room;
} kua__cache;

kua_status kua__cache_init(kua__cache *cache, const kua__model_config *config, size_t room);
void kua__cache_release(kua__cache *cache);
size_t kua__cache_bytes(const kua__model_config *config, size_t room);

/* n texts one after another: the tokens of text i are id[i][0 .. length[i]). With a cache: one text
 * of a causal model, whose first token is number cache->past; its keys and values are put there,
 * and past moves on. */
typedef struct kua__text_batch {
    size_t n, tokens; /* tokens: the sum of the lengths */
    const uint32_t *const *id;
    const uint32_t *length;
    kua__cache *cache;
} kua__text_batch;

/* Leaves the last layer's output in crew[0]->x[tokens, hidden]. A crew of one computes on the
 * calling thread; a larger one (of kua__model.parts) shares each step of one batch among the pool's
 * threads: for a single query, where there are no other batches to work on. */
kua_status kua__model_forward(const kua__model *model, kua__scratch *const *crew, size_t n_crew,
                              const kua__text_batch *batch);
/* The head on the first `rows` rows of crew[0]->x, which are spent: logits[kua__packed_rows(rows),
 * vocab], of which `rows` count. */
kua_status kua__model_words(const kua__model *model, kua__scratch *const *crew, size_t n_crew,
                            size_t rows, float *logits);
/* x[n, hidden] to out[hidden] */
void kua__pool_rows(const float *x, size_t n, size_t hidden, kua_pooling pooling, bool unit,
                    float *out);

/* ---- rotary positions (rotary.c) ---- */

/* turn[n, dim]: of each position dim / 2 cosines, then as many sines. */
void kua__rotary_table(float *turn, size_t n, size_t dim, float theta);
/* Turns `heads` heads of `dim` numbers that stand side by side, by one row of the table. */
void kua__rotate(float *x, const float *turn, size_t heads, size_t dim, bool interleaved);

#endif

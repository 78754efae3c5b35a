/* encoder/names.h - what the tensors of each family are called, how they lie in a file, and one way
 * to read them that hides it.
 *
 * A slot is a tensor's role ("the query product of a layer"); a naming gives each slot its name. So
 * that inference, the tape and the writer cannot disagree, all of them walk over slots:
 *
 *     for (slot = 0; slot < KUA__SLOT_COUNT; slot++)
 *         if (kua__slot_used(naming, config, slot)) ... kua__slot_shape(config, slot, &rows, &cols)
 *
 *     kua__names names;
 *     st = kua__names_find(&names, config, file);                        which naming, which prefix
 *     if (!st) st = kua__names_read(&names, KUA__SLOT_UP, 3, KUA__WEIGHT, w);       f32 [out, in]
 *     if (!st) st = kua__names_read(&names, KUA__SLOT_UP, 3, KUA__BIAS, b);
 *
 * What reading hides: GPT-2's products lie as [in, out] (Conv1D); old files call a norm's gain and
 * bias "gamma" and "beta"; files with a head put "bert." or the like before the body's names;
 * 16-bit and quantised numbers. What it does not: GPT-2's query, key and value are one tensor
 * (KUA__SLOT_QKV instead of three slots), and the rows of GGUF's query and key are in the order
 * that interleaved rotary positions want (config.rope_interleaved; kua__names_halves() undoes it).
 */
#ifndef KUA_ENCODER_NAMES_H
#define KUA_ENCODER_NAMES_H

#include "encoder/config.h"
#include "tensor/weights.h"

typedef enum kua__slot {
    /* once */
    KUA__SLOT_WORD,       /* [vocab, hidden] a table */
    KUA__SLOT_PLACE,      /* [positions, hidden] a table */
    KUA__SLOT_TYPE,       /* [types, hidden] a table */
    KUA__SLOT_FIRST_NORM, /* of the sum of the three */
    /* in each layer */
    KUA__SLOT_ATTEND_NORM, /* before attention where config.pre_norm, else behind it */
    KUA__SLOT_QUERY,       /* [heads head_dim, hidden] */
    KUA__SLOT_KEY,         /* [kv_heads head_dim, hidden] */
    KUA__SLOT_VALUE,
    KUA__SLOT_QKV,        /* the three stacked, where a file has one tensor */
    KUA__SLOT_OUT,        /* [hidden, heads head_dim] */
    KUA__SLOT_INNER_NORM, /* before or behind the inner part */
    KUA__SLOT_GATE,       /* [inner, hidden] */
    KUA__SLOT_UP,         /* [inner, hidden] */
    KUA__SLOT_DOWN,       /* [hidden, inner] */
    /* once */
    KUA__SLOT_LAST_NORM,
    /* the head for words, without the body's prefix */
    KUA__SLOT_HEAD_DENSE, /* [hidden, hidden], of masked-word heads */
    KUA__SLOT_HEAD_NORM,
    KUA__SLOT_HEAD_BIAS, /* [vocab] */
    KUA__SLOT_HEAD,      /* [vocab, hidden], where it is not the table of words */
    KUA__SLOT_COUNT
} kua__slot;

typedef enum kua__part { KUA__WEIGHT, KUA__BIAS } kua__part;

/* How one kind of file calls things. */
typedef struct kua__naming {
    const char *title;  /* "GPT-2" */
    const char *prefix; /* before the body's names in files with a head ("bert."); may be "" */
    bool turned;        /* products lie as [in, out] */
    bool paired;        /* rows of query and key are in interleaved order */
    bool old_norms;     /* may say gamma and beta */
    const char *stem[KUA__SLOT_COUNT]; /* without ".weight"; "%zu" is the layer; NULL: none */
} kua__naming;

/* The naming that transformers uses for a family: what is saved is called so. */
const kua__naming *kua__naming_of(kua__family family);
/* llama.cpp's of a family; NULL: none known here. */
const kua__naming *kua__naming_gguf(kua__family family);

/* ---- slots ---- */

bool kua__slot_in_layer(kua__slot slot);
bool kua__slot_in_head(kua__slot slot);
bool kua__slot_is_norm(kua__slot slot);
/* A product: its naming may turn it. Tables and the head are not (GPT-2's head is a Linear). */
bool kua__slot_is_product(kua__slot slot);
/* Does a model of this config have it in files of this naming? */
bool kua__slot_used(const kua__naming *naming, const kua__model_config *c, kua__slot slot);
bool kua__slot_has(const kua__model_config *c, kua__slot slot, kua__part part);
/* [out, in] of the weight; norms: rows 0, cols hidden; the head's bias: rows 0, cols vocab. */
void kua__slot_shape(const kua__model_config *c, kua__slot slot, size_t *rows, size_t *cols);
/* Rank and dimensions of a part as they lie in a file. */
size_t kua__slot_dims(const kua__naming *naming, const kua__model_config *c, kua__slot slot,
                      kua__part part, size_t dim[2]);
/* "bert.encoder.layer.3.output.dense.weight"; prefix is left away from the head's names. */
void kua__slot_name(const kua__naming *naming, const char *prefix, kua__slot slot, size_t layer,
                    kua__part part, char *out, size_t room);

/* ---- reading ---- */

typedef struct kua__names {
    const kua__weights *file;
    const kua__naming *naming;
    kua__model_config config;
    char prefix[KUA__TENSOR_NAME_MAX + 1];
} kua__names;

/* KUA_FORMAT: the file has no table of words under any name of the family. */
kua_status kua__names_find(kua__names *names, const kua__model_config *config,
                           const kua__weights *file);
/* Is it there? (Heads are optional.) */
bool kua__names_has(const kua__names *names, kua__slot slot, size_t layer, kua__part part);
/* The tensor, of the shape that the config implies. KUA_FORMAT names tensor and both shapes. */
kua_status kua__names_tensor(const kua__names *names, kua__slot slot, size_t layer, kua__part part,
                             const kua__tensor **out);
/* Its numbers as f32: a weight as [rows, cols] of kua__slot_shape(), a bias as it is. */
kua_status kua__names_read(const kua__names *names, kua__slot slot, size_t layer, kua__part part,
                           float *out);
/* Every tensor of the body is there with the right shape and a type that can be read: nothing needs
 * to be allocated for a config that its file contradicts. */
kua_status kua__names_check(const kua__names *names);

/* ---- layouts ---- */

/* to[cols, rows] = from[rows, cols] transposed */
void kua__turn(float *to, const float *from, size_t rows, size_t cols);
/* Rows of a query or key product from interleaved order to that of halves, [heads * head_dim,
 * cols]: within each head, row i of the first half is what was row 2i. */
void kua__names_halves(float *to, const float *from, size_t heads, size_t head_dim, size_t cols);

#endif

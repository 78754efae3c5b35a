/* kua/encoder.h - texts to vectors with a pretrained transformer.
 *
 *     kua_encoder *encoder = NULL;
 *     kua_text text = {"wireless headphones", 19};
 *     float vector[384];
 *     kua_status st = kua_encoder_load("models/minilm-l6", NULL, &encoder);
 *     if (!st) st = kua_encoder_encode(encoder, &text, 1, NULL, vector, NULL);
 *     kua_encoder_free(encoder);
 *
 * Families: BERT, DistilBERT, RoBERTa and XLM-RoBERTa, GPT-2, llama. Of causal models the vector of
 * the last token stands for the text, where nothing else is asked for or stated.
 *
 * The path is a folder as Python's sentence-transformers and transformers write it, or a model
 * file:
 *
 *     config.json                  the family ("model_type") and its sizes
 *     model.safetensors            the weights in F32, F16 or BF16; or several with an index; or
 * one
 *                                  *.gguf (sizes and tokenizer are in it) or *.onnx
 *     tokenizer.json or the like   see kua/tokenizer.h
 *     1_Pooling/config.json        how tokens become one vector: mean, first ("CLS"), largest or
 *                                  last. Absent: the mean, or causal models' last token
 *     modules.json                 whether vectors are brought to length 1. Absent: they are
 *     sentence_bert_config.json    max_seq_length: longer texts are cut there. Absent: at 256
 *                                  tokens, or at the model's last position where that is less
 *
 * Speed: texts stand one after another without padding in batches that are filled to the last
 *     token; equal texts are encoded once. Each thread encodes batches of its own; a single query
 *     is shared by all threads. bench/encode.c measures it.
 *
 * Results: computed in f32 whatever the file holds, unless another precision is asked for. A text's
 * vector depends on the text alone, up to rounding; the same call with the same number of threads
 * gives the same bits.
 *
 * Threads: a loaded encoder is immutable but for a pool of scratch memory that locks itself: any
 *     number of threads may encode with it.
 *
 * Memory: the weights of the layers once, re-laid for the processor; word vectors stay in the
 *     mapped file. Scratch is kua_encoder_info.scratch_bytes a thread and a call at the same time,
 *     whatever the texts. A call adds 4 bytes a token and about 36 a text.
 */
#ifndef KUA_ENCODER_H
#define KUA_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kua/monitor.h"
#include "kua/status.h"
#include "kua/tokenizer.h"

enum { KUA_ENCODER_TOKENS_MAX = 8192 }; /* of one text */

typedef enum kua_pooling {
    KUA_POOLING_MODEL, /* what the model's folder says */
    KUA_POOLING_MEAN,
    KUA_POOLING_CLS,
    KUA_POOLING_MAX,
    KUA_POOLING_LAST /* the last token: what a causal model knows of the whole text */
} kua_pooling;

typedef enum kua_unit { KUA_UNIT_MODEL, KUA_UNIT_YES, KUA_UNIT_NO } kua_unit;

/* What products are computed in. Vectors of BF16 and INT8 are close to those of F32 (a cosine of
 * about .9999 and .998), not equal. */
typedef enum kua_precision {
    KUA_PRECISION_F32,
    KUA_PRECISION_BF16, /* as F32 where the processor has no bf16 products */
    KUA_PRECISION_INT8
} kua_precision;

typedef struct kua_encoder_options {
    kua_pooling pooling;
    kua_unit unit;       /* vectors of length 1; KUA_UNIT_MODEL: what the folder says */
    size_t max_tokens;   /* a text's tokens, special ones included; 0: the folder's limit */
    size_t batch_tokens; /* computed together; 0: what suits the processor's cache */
    kua_precision precision;
} kua_encoder_options;

typedef struct kua_encoder_info {
    const char *family;               /* "bert", as config.json calls it */
    size_t dim, layers, heads, inner; /* inner: width of the layers' feed-forward part */
    size_t vocab_size, max_tokens;
    kua_pooling pooling; /* never KUA_POOLING_MODEL */
    bool unit;
    size_t parameters;    /* numbers that take part, word vectors included */
    size_t weight_bytes;  /* in memory, without the mapped file */
    size_t scratch_bytes; /* a thread and call */
} kua_encoder_info;

/* What a call did. */
typedef struct kua_encoder_stats {
    uint64_t texts,
        distinct;    /* distinct: by tokens, so "A" and "a" are one to a lower-case model */
    uint64_t tokens; /* of the distinct texts: what was computed */
} kua_encoder_stats;

typedef struct kua_encoder kua_encoder;

/* options may be NULL. On failure *out is NULL. KUA_IO, KUA_NOTFOUND: a file is missing.
 * KUA_FORMAT: a file is damaged or of another kind, or sizes do not agree; the message names file,
 * tensor or field, and numbers. KUA_INVALID: an option is out of range. KUA_NOMEM. */
KUA_MUST_CHECK kua_status kua_encoder_load(const char *path, const kua_encoder_options *options,
                                           kua_encoder **out);
void kua_encoder_free(kua_encoder *encoder); /* NULL is allowed */

size_t kua_encoder_dim(const kua_encoder *encoder);
kua_encoder_info kua_encoder_describe(const kua_encoder *encoder);
const kua_tokenizer *kua_encoder_tokenizer(const kua_encoder *encoder); /* borrowed */

/* Writes rows[n * dim]. monitor and stats may be NULL; progress is told as stage "encode tokens".
 * KUA_CANCELED: the monitor said so; rows are then partly written. */
KUA_MUST_CHECK kua_status kua_encoder_encode(kua_encoder *encoder, const kua_text *texts, size_t n,
                                             const kua_monitor *monitor, float *rows,
                                             kua_encoder_stats *stats);

/* The same for texts that are tokens already, special ones included, as kua_tokenizer_encode_batch
 * gives them. KUA_INVALID: a text has no or more than max_tokens tokens, or an id is not below
 * vocab_size. */
KUA_MUST_CHECK kua_status kua_encoder_encode_ids(kua_encoder *encoder, const kua_id_batch *batch,
                                                 const kua_monitor *monitor, float *rows,
                                                 kua_encoder_stats *stats);

#endif

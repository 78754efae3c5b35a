/* text/pipeline.h - what BPE and Unigram tokenizers have beside a vocabulary. */
#ifndef KUA_TEXT_PIPELINE_H
#define KUA_TEXT_PIPELINE_H

#include "kua/tokenizer.h"
#include "text/bpe.h"
#include "text/normal.h"
#include "text/scratch.h"
#include "text/split.h"
#include "text/unigram.h"

typedef struct kua__pipeline {
    kua_tokenizer_kind kind; /* BPE or UNIGRAM */
    kua__normal normal;
    kua__splitter split;
    kua__bpe bpe;
    kua__unigram unigram;
    kua__pool pool; /* the one part that changes; it has its own lock */
} kua__pipeline;

kua_status kua__pipeline_make(kua_tokenizer_kind kind, kua__pipeline **out);
void kua__pipeline_free(kua__pipeline *pipeline); /* NULL is allowed */

/* Replaces the scratch's ids by those of text[n], at most `limit`, without those around a text. */
kua_status kua__pipeline_encode(const kua_tokenizer *tokenizer, kua__scratch *scratch,
                                const char *text, size_t n, size_t limit);

kua_status kua__pipeline_encode_one(const kua_tokenizer *tokenizer, const char *text, size_t n,
                                    size_t limit, kua_ids *ids);
kua_status kua__pipeline_encode_batch(const kua_tokenizer *tokenizer, const kua_text *texts,
                                      size_t n, size_t limit, kua_id_batch *batch);

#endif

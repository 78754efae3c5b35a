/* text/unigram.h - SentencePiece's unigram model: the most probable way to cut a word. */
#ifndef KUA_TEXT_UNIGRAM_H
#define KUA_TEXT_UNIGRAM_H

#include "base/base.h"
#include "text/scratch.h"
#include "text/vocab.h"

typedef struct kua__unigram {
    double *score; /* [vocab.n] log probability by id; added tokens: 0, not in the trie */
    double unk_score;
    uint32_t unk; /* KUA_TOKEN_NONE: the model has none */
    bool byte_fallback;
    uint32_t byte[256]; /* of "<0x..>"; KUA_TOKEN_NONE: it has none */
} kua__unigram;

/* Takes score[n_model] by id over in every case. */
kua_status kua__unigram_build(kua__unigram *unigram, const kua__vocab *vocab, double *score,
                              size_t n_model);
void kua__unigram_release(kua__unigram *unigram);

/* Adds the ids of a word (KUA__SLACK bytes behind it); false: enough, or out of memory. */
bool kua__unigram_word(const kua__unigram *unigram, const kua__vocab *vocab, kua__scratch *scratch,
                       const uint8_t *word, size_t n);

#endif

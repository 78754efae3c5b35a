/* text/train.h - what learning a vocabulary is made of. */
#ifndef KUA_TEXT_TRAIN_H
#define KUA_TEXT_TRAIN_H

#include "kua/tokenizer.h"
#include "base/base.h"

enum { KUA__TRAIN_WORD_BYTES_MAX = 4096 };

/* Distinct words and how often each came. */
typedef struct kua__word_counts {
    kua__ids words;
    uint64_t *count; /* [words.count] */
    size_t room, max_words;
    uint64_t forgotten;
} kua__word_counts;

void kua__word_counts_release(kua__word_counts *counts);

/* Counts the words of all texts, as the kind splits them. */
kua_status kua__count_words(const kua_text *texts, size_t n, const kua_tokenizer_training *options,
                            kua__word_counts *counts);

/* A pair that became a piece. */
typedef struct kua__learnt {
    uint32_t left, right;
} kua__learnt;

/* A vocabulary being learnt: pieces by id, and the merges in order. */
typedef struct kua__learning {
    kua__ids pieces;
    kua__learnt *merge; /* [n_merges] */
    size_t n_merges, merges_room;
} kua__learning;

void kua__learning_release(kua__learning *learning);

/* Adds the alphabet of the words behind the special tokens, then merges until the vocabulary is
 * full. */
kua_status kua__learn(const kua__word_counts *counts, const kua_tokenizer_training *options,
                      kua__learning *learning);

/* Writes the files. */
kua_status kua__write_learnt(const kua__learning *learning, const kua_tokenizer_training *options,
                             const char *folder);

#endif

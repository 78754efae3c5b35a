/* text/bpe.h - byte pair encoding: the merges of a model, and a word to ids. */
#ifndef KUA_TEXT_BPE_H
#define KUA_TEXT_BPE_H

#include "base/base.h"
#include "text/scratch.h"
#include "text/vocab.h"

/* Two pieces that become one, as a file spells them; borrowed. */
typedef struct kua__merge {
    const char *left, *right;
    uint32_t n_left, n_right;
} kua__merge;

typedef struct kua__pair {
    uint64_t key; /* left << 32 | right; KUA__PAIR_NONE: empty */
    uint32_t rank, id;
} kua__pair;
#define KUA__PAIR_NONE UINT64_MAX

typedef struct kua__bpe {
    kua__pair *pair; /* [mask + 1] by hash */
    size_t mask;
    bool bytes;         /* symbols are bytes, not characters */
    bool ignore_merges; /* a word that is a piece is that piece */
    bool fuse_unk;
    bool byte_fallback;
    uint32_t byte[256]; /* the id of each byte (or of "<0x..>"), KUA_TOKEN_NONE: it has none */
    uint32_t unk;       /* KUA_TOKEN_NONE: what is unknown is left out */
    kua__trie whole;    /* ignore_merges, bytes: the pieces as bytes */
    uint8_t *joins;     /* between which characters a merge may reach; NULL: not known */
} kua__bpe;

/* Fills *bpe, whose flags and unk are set. KUA_FORMAT: a merge names a piece that is not there. */
kua_status kua__bpe_build(kua__bpe *bpe, const char *name, const kua__vocab *vocab,
                          const kua__merge *merge, size_t n_merges);
void kua__bpe_release(kua__bpe *bpe);

/* Adds the ids of a word (KUA__SLACK bytes behind it); false: enough, or out of memory. */
bool kua__bpe_word(const kua__bpe *bpe, const kua__vocab *vocab, kua__scratch *scratch,
                   const uint8_t *word, size_t n);

#endif

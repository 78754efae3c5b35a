/* text/added.h - added tokens: strings that are found in a text before it is split into words. */
#ifndef KUA_TEXT_ADDED_H
#define KUA_TEXT_ADDED_H

#include "base/base.h"
#include "text/trie.h"

typedef struct kua__added_token {
    const char *content; /* [n] borrowed from the file while loading; gone afterwards */
    uint32_t n, id;
    bool single_word;    /* only where no letter or digit touches it */
    bool normalized;     /* looked for in the normalised text */
    bool lstrip, rstrip; /* takes the white space before it, behind it */
    bool special;        /* left out by decoding, where asked */
} kua__added_token;

/* Some added tokens, ready to be looked for. */
typedef struct kua__added_set {
    kua__trie trie;
    bool first[256]; /* bytes that a token begins with, */
    int only;       /* that byte where there is one such only; -1: several; -2: there is no token */
    uint8_t *flags; /* [n] by id - low, of kua__added_flag */
    uint32_t low, n;
} kua__added_set;

typedef enum kua__added_flag {
    KUA__ADDED_SINGLE = 1,
    KUA__ADDED_LSTRIP = 2,
    KUA__ADDED_RSTRIP = 4
} kua__added_flag;

typedef struct kua__added_match {
    size_t start, length;
    uint32_t id;
} kua__added_match;

/* Makes a set of keys (reordered); `single` ids are those of tokens[n_tokens] with single_word. */
kua_status kua__added_build(kua__added_set *set, const char *name, kua__key *keys, size_t n,
                            const kua__added_token *tokens, size_t n_tokens);
void kua__added_release(kua__added_set *set);

static inline bool kua__added_any(const kua__added_set *set)
{
    return set->only != -2;
}

/* The first match at or after `from`, the longest of those that start there. */
bool kua__added_next(const kua__added_set *set, const char *text, size_t n, size_t from,
                     kua__added_match *match);

/* All matches one after another, with the white space that they take. */
typedef struct kua__added_walk {
    const kua__added_set *set;
    const char *text;
    size_t n, at; /* where the search goes on */
    size_t done;  /* the end of what the last match took: the text between begins here */
} kua__added_walk;

bool kua__added_step(kua__added_walk *walk, kua__added_match *match);

#endif

/* text/vocab.h - the pieces of a tokenizer: id to text, and text to id by a trie. */
#ifndef KUA_TEXT_VOCAB_H
#define KUA_TEXT_VOCAB_H

#include "base/base.h"
#include "text/trie.h"

/* What a loader has read so far. The bytes belong to the file that they come from. */
typedef struct kua__pieces {
    kua__key *key; /* [n] */
    size_t n, room;
} kua__pieces;

/* Refuses (KUA_FORMAT, after "<name>:<line>: " or, for line 0, "<name>: ") what cannot be a piece.
 */
kua_status kua__pieces_add(kua__pieces *pieces, const char *name, size_t line, const char *piece,
                           size_t n, uint32_t id);
void kua__pieces_release(kua__pieces *pieces);

typedef struct kua__vocab {
    char *bytes; /* all pieces, each with a NUL behind it, by id */
    size_t *at;  /* [n] where each begins */
    size_t n;
    kua__trie trie; /* of the first n_model pieces that were added */
} kua__vocab;

/* Checks that ids are 0..n-1, each once, and that no two of the first n_model pieces are equal.
 * Only these are found by the trie: the others are added tokens that WordPiece does not know.
 * Reorders `pieces`. */
kua_status kua__vocab_build(kua__vocab *vocab, const char *name, kua__pieces *pieces,
                            size_t n_model);
void kua__vocab_release(kua__vocab *vocab);

/* KUA_TOKEN_NONE: no piece of the model is written so. */
uint32_t kua__vocab_find(const kua__vocab *vocab, const char *piece, size_t n);
const char *kua__vocab_piece(const kua__vocab *vocab, uint32_t id); /* NULL: no such id */

#endif

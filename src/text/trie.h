/* text/trie.h - byte strings to numbers, by walking: the longest entry that a text starts with. */
#ifndef KUA_TEXT_TRIE_H
#define KUA_TEXT_TRIE_H

#include <assert.h>

#include "base/base.h"

/* An entry. Keys given to build are sorted by kua__key_order, distinct and not empty. */
typedef struct kua__key {
    const char *bytes;
    uint32_t n, id;
} kua__key;

int kua__key_order(const void *a,
                   const void *b); /* for qsort: by bytes, as memcmp, shorter first */

typedef struct kua__trie_cell {
    uint32_t base;  /* children of s are at (base >> 1) ^ byte; lowest bit: s ends an entry */
    uint32_t check; /* the parent's number; KUA__TRIE_FREE: nothing is here */
} kua__trie_cell;

typedef struct kua__trie {
    kua__trie_cell *cell; /* [n_cells] */
    uint32_t *id;         /* [n_cells] of the entry that ends here */
    size_t n_cells;       /* a multiple of 256, so that a child's number needs no bounds check */
} kua__trie;

enum { KUA__TRIE_ROOT = 0 };
#define KUA__TRIE_FREE UINT32_MAX
#define KUA__TRIE_DEAD UINT32_MAX

kua_status kua__trie_build(kua__trie *trie, const kua__key *keys, size_t n);
void kua__trie_release(kua__trie *trie);

/* From state s by one byte; KUA__TRIE_DEAD: no entry goes on like that. */
static inline uint32_t kua__trie_step(const kua__trie *trie, uint32_t s, uint8_t byte)
{
    uint32_t t = (trie->cell[s].base >> 1) ^ byte;
    return trie->cell[t].check == s ? t : KUA__TRIE_DEAD;
}

static inline bool kua__trie_ends(const kua__trie *trie, uint32_t s)
{
    return trie->cell[s].base & 1;
}

/* From state `from` along text[n]: the length of the longest entry met (0: none), its id in *id. */
static inline size_t kua__trie_longest(const kua__trie *trie, uint32_t from, const uint8_t *text,
                                       size_t n, uint32_t *id)
{
    assert(from < trie->n_cells);
    size_t best = 0;
    uint32_t best_state = 0;
    for (size_t i = 0; i < n; i++) {
        from = kua__trie_step(trie, from, text[i]);
        if (from == KUA__TRIE_DEAD) break;
        if (kua__trie_ends(trie, from)) {
            best = i + 1;
            best_state = from;
        }
    }
    if (best) *id = trie->id[best_state];
    return best;
}

/* The state after all of text[n]; KUA__TRIE_DEAD: no entry starts with it. */
uint32_t kua__trie_walk(const kua__trie *trie, uint32_t from, const char *text, size_t n);

#endif

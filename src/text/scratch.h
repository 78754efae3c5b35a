/* text/scratch.h - what BPE and Unigram work in, lent to one thread at a time. */
#ifndef KUA_TEXT_SCRATCH_H
#define KUA_TEXT_SCRATCH_H

#include <pthread.h>

#include "kua/tokenizer.h"
#include "base/base.h"
#include "text/split.h"

enum {
    KUA__CACHE_ENTRIES = 1 << 13,
    KUA__CACHE_IDS = 7,
    KUA__CACHE_BYTES = 31, /* of a word; longer ones are not kept */
};

/* A word and its ids: one cache line. Which word, not what it hashes to, decides. */
typedef struct kua__cached {
    uint64_t key[4]; /* the word's bytes, zeros, its length in the last byte; all 0: empty */
    uint32_t id[KUA__CACHE_IDS];
    uint32_t n;
} kua__cached;

/* One symbol of a long word in work. */
typedef struct kua__symbol {
    uint32_t id, previous, next;
} kua__symbol;

/* The best way to a position of a word (Viterbi). */
typedef struct kua__node {
    double score;
    uint32_t from, id;
} kua__node;

typedef struct kua__scratch {
    struct kua__scratch *next; /* in the pool */
    kua__buf text;             /* repaired, with slack */
    kua__buf normal[2];        /* normalised: steps go from one to the other */
    kua__buf room[KUA__SPLIT_STEPS_MAX];
    kua__buf piece;  /* a few bytes in hand */
    uint32_t *id;    /* [n] the ids so far */
    size_t n, limit; /* nothing is added from `limit` on */
    size_t id_room;
    kua__symbol *symbol; /* [symbol_room] */
    uint64_t *heap;      /* [heap_room] */
    kua__node *node;     /* [node_room] */
    size_t symbol_room, heap_room, node_room;
    kua__cached *cache; /* [KUA__CACHE_ENTRIES] */
    bool failed;        /* there was no memory */
} kua__scratch;

typedef struct kua__pool {
    pthread_mutex_t lock; /* guards `first` */
    kua__scratch *first;
} kua__pool;

void kua__pool_init(kua__pool *pool);
void kua__pool_release(kua__pool *pool);
/* NULL: out of memory. */
kua__scratch *kua__pool_take(kua__pool *pool);
void kua__pool_give(kua__pool *pool, kua__scratch *scratch);

/* Adds an id; false: that was enough, or there is no memory. */
bool kua__scratch_put(kua__scratch *scratch, uint32_t id);

/* Grows an array of the scratch to n elements without keeping what is in it. */
bool kua__scratch_room(kua__scratch *scratch, void **array, size_t *room, size_t n, size_t size);

/* The entry for a word of at most KUA__CACHE_BYTES, and its key. There are KUA__SLACK bytes behind
 * the word. `set` is 0 or 1: two caches in one. */
kua__cached *kua__cache_slot(kua__scratch *scratch, const uint8_t *word, size_t n, unsigned set,
                             uint64_t key[4]);

static inline bool kua__cache_hit(const kua__cached *entry, const uint64_t key[4])
{
    return entry->key[0] == key[0] && entry->key[1] == key[1] && entry->key[2] == key[2] &&
           entry->key[3] == key[3];
}

/* Remembers what the word became: the ids from `first` on. */
void kua__cache_keep(kua__cached *entry, const uint64_t key[4], const kua__scratch *scratch,
                     size_t first);

#endif

/* encoder/ngram.h - an n-gram model with interpolated modified Kneser-Ney smoothing (Chen and
 * Goodman, "An empirical study of smoothing techniques", 1999): what a causal model from scratch
 * has to beat on the same tokens.
 *
 *     kua__ngram g;
 *     st = kua__ngram_init(&g, 5, vocab);
 *     for (texts) if (!st) st = kua__ngram_add(&g, id, n);      begin token first, end token last
 *     if (!st) kua__ngram_finish(&g);
 *     sum -= kua__ngram_score(&g, id, n);                       natural logarithm
 *     kua__ngram_release(&g);
 */
#ifndef KUA_ENCODER_NGRAM_H
#define KUA_ENCODER_NGRAM_H

#include "base/base.h"

enum { KUA__NGRAM_MAX = 8 };

typedef struct kua__ngram_table { /* the distinct n-grams of one length */
    uint64_t *key;                /* number of the (n-1)-gram before << 32 | last token */
    uint32_t *count;              /* how often; of shorter ones, after how many different tokens */
    uint32_t *slot;               /* [n_slots] number + 1, 0: empty */
    size_t n, room, n_slots;
    struct kua__ngram_after *after; /* [n] what may follow; NULL for the longest */
    double discount[4];             /* of counts 1, 2, 3 and more */
} kua__ngram_table;

typedef struct kua__ngram {
    size_t order, vocab;
    kua__ngram_table table[KUA__NGRAM_MAX + 1]; /* by length; 0: the empty one */
} kua__ngram;

/* *g is to be released after a failure too. vocab: tokens that may be asked, unseen ones too. */
kua_status kua__ngram_init(kua__ngram *g, size_t order, size_t vocab);
/* Counts a text; its first token begins it and is not asked. */
kua_status kua__ngram_add(kua__ngram *g, const uint32_t *id, size_t n);
kua_status kua__ngram_finish(kua__ngram *g);
/* The sum of log P(token | those before) over id[1 .. n). */
double kua__ngram_score(const kua__ngram *g, const uint32_t *id, size_t n);
/* P(word | the n tokens of `before`, the last of which is the nearest). */
double kua__ngram_chance(const kua__ngram *g, const uint32_t *before, size_t n, uint32_t word);
size_t kua__ngram_bytes(const kua__ngram *g);
void kua__ngram_release(kua__ngram *g);

#endif

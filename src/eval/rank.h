/* eval/rank.h - one row of scores: are they numbers, which items lead, where does an item stand. */
#ifndef KUA_EVAL_RANK_H
#define KUA_EVAL_RANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Position of the first score that is not finite; n: all are. */
size_t kua__scores_bad(const float *score, size_t n);
/* Scores above `pivot`, plus half of those equal to it other than one (the item itself). score must
 * hold pivot. */
float kua__rank_of(const float *score, size_t n, float pivot);
/* The k best items, best first, equal scores by smaller number; items at or below `floor` never.
 * Returns how many. */
size_t kua__top_k(const float *score, size_t n, float floor, uint32_t *item, float *best, size_t k);

#endif

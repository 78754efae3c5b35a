/* rec/neighbours.h - item-to-item similarities from shared users: the core of itemknn and crossknn.
 *
 *     sim(i, j) = co(i, j) / (sqrt(|i| |j|) + shrink)
 *
 *     co(i, j)   sum of w(u) over the users who have both        w(u): see kua__pairs_user_weights
 *     |i|        sum of w(u) over the users of i
 *
 * i comes from one domain, j from the same or another one. Each j keeps its most similar i.
 *
 *     kua__nearest_build    counts, and keeps up to `keep` for each j      lists by j, best first
 *     kua__neighbours_from  the first `keep` of each list                  rows by i, for scoring
 */
#ifndef KUA_REC_NEIGHBOURS_H
#define KUA_REC_NEIGHBOURS_H

#include "rec/common.h"

typedef struct kua__nearest {
    size_t n_from, n_to, keep;
    kua__near *best;  /* [n_to, keep] */
    uint32_t *n_best; /* [n_to] */
} kua__nearest;

/* from: users x items i; to_users: items j x users; user_weight[users]. same: i and j are of the
 * same domain, sim(i, i) is left out. */
kua_status kua__nearest_build(const kua__pairs *from, const kua__pairs *to_users,
                              const float *user_weight, bool same, double shrink, size_t keep,
                              kua__nearest *out);
void kua__nearest_release(kua__nearest *nearest);

typedef struct kua__neighbours {
    kua__pairs rows; /* items i x items j, weight sim(i, j) */
    size_t n_at;     /* rows.n_rows + 1, as saved */
} kua__neighbours;

kua_status kua__neighbours_from(const kua__nearest *nearest, size_t keep, kua__neighbours *out);
void kua__neighbours_release(kua__neighbours *n);
/* scores[j] += scale * sum over the bag's items i of weight(i) sim(i, j) */
void kua__neighbours_add(const kua__neighbours *n, const kua__bag *bag, float scale, float *scores);

/* The three arrays, named "<prefix>.at" and so on. */
void kua__neighbours_parts(kua__neighbours *n, const char *prefix, kua__parts *parts);
kua_status kua__neighbours_check(kua__neighbours *n, size_t n_from, size_t n_to, const char *name);

#endif

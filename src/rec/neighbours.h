/* rec/neighbours.h - item-to-item similarities from shared users: the core of itemknn and crossknn.
 *
 *     sim(i, j) = co(i, j) / (sqrt(|i| |j|) + shrink)        co: users who have both; |i|: users of i
 *
 * i comes from one domain, j from the same or another one. Each j keeps its `keep` most similar i.
 */
#ifndef KUA_REC_NEIGHBOURS_H
#define KUA_REC_NEIGHBOURS_H

#include "rec/common.h"

typedef struct kua__neighbours {
    size_t n_from, n_to, n; /* rows by i */
    size_t *at;             /* [n_from + 1] */
    size_t n_at;
    uint32_t *to;  /* [n] item j */
    float *weight; /* [n] */
} kua__neighbours;

/* from: users x items i; to_users: items j x users. same: i and j are the same domain's, sim(i, i) is left out. */
kua_status kua__neighbours_build(const kua__pairs *from, const kua__pairs *to_users, bool same, double shrink, size_t keep,
                                 kua__neighbours *out);
/* Of a larger list the `keep` best for each j, without counting again. */
kua_status kua__neighbours_trim(const kua__neighbours *all, size_t keep, kua__neighbours *out);
void kua__neighbours_release(kua__neighbours *n);
/* scores[j] += scale * sum over items of weight[k] * sim(item[k], j) */
void kua__neighbours_add(const kua__neighbours *n, const uint32_t *item, const float *weight, size_t count, float scale, float *scores);
/* KUA_FORMAT where loaded arrays do not fit together. */
kua_status kua__neighbours_check(const kua__neighbours *n, const char *name);

#endif

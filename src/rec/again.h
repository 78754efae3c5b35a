/* rec/again.h - what a user buys again, and what everybody buys: the last step of every score.
 *
 *     score(j) = score(j) / largest score + weight log(1 + f(j)) rate(j)^power + 1e-6 popularity(j)
 *
 *     f(j)     the user's own events with j, older ones less: 2^(-age / half_life)
 *     rate(j)  share of j's buyers who bought it again: milk, but no mascara
 *
 * Where nobody buys again (reviews, books) weight is 0. The popularity is a tie-break: it orders
 * the items about which the formula before said nothing, which for a new user are all.
 */
#ifndef KUA_REC_AGAIN_H
#define KUA_REC_AGAIN_H

#include "rec/rec.h"

typedef struct kua__again {
    double weight, half_life, decay, power;
    float *rate, *popularity; /* [n_items] */
    size_t n_rate, n_popularity;
} kua__again;

struct kua__pairs;
struct kua__bag;

/* From the training pairs (weights: how many events). */
kua_status kua__again_learn(kua__again *again, const struct kua__pairs *users);
/* One row of scores; `bag` is scratch. */
kua_status kua__again_finish(const kua__again *again, const kua__query *query, struct kua__bag *bag,
                             float *scores);

#define KUA__AGAIN_SETTINGS                                                                        \
    "\"again\": [\"auto\", \"weight of what the user bought before; 0: none\"],"                   \
    "\"again_half_life\": [\"auto\", \"days after which such a purchase counts half\"],"           \
    "\"again_decay\": [0.98, \"its weight per event after it, where there is no clock\"],"         \
    "\"again_power\": [\"auto\", \"of the share of an item's buyers who buy it again\"]"

#endif

/* data/split.h - which events of a log are for training, validation and test.
 *
 * A user's events are in time order, so a split is two offsets per user:
 *
 *     user_at[u] ........ valid_at[u] ........ test_at[u] ........ user_at[u + 1]
 *        train                 validation            test
 *
 * Invariant: user_at[u] <= valid_at[u] <= test_at[u] <= user_at[u + 1].
 */
#ifndef KUA_DATA_SPLIT_H
#define KUA_DATA_SPLIT_H

#include "data/shop.h"

typedef enum kua__split_kind {
    KUA__SPLIT_LEAVE_ONE_OUT, /* last event test, the one before validation; users of fewer than 3
                                 events: all train */
    KUA__SPLIT_TIME, /* events at or after `test_time` test; from `valid_time` on validation */
    KUA__SPLIT_GIVEN /* the events' own parts */
} kua__split_kind;

typedef struct kua__split {
    kua__split_kind kind;
    int64_t valid_time, test_time; /* KUA__SPLIT_TIME only */
    size_t n_users;
    size_t *valid_at, *test_at; /* [n_users] */
} kua__split;

kua_status kua__split_leave_one_out(const kua__log *log, kua__split *out);
/* KUA_INVALID where the log has no clock. */
kua_status kua__split_time(const kua__log *log, int64_t valid_time, int64_t test_time,
                           kua__split *out);
kua_status kua__split_given(const kua__log *log, kua__split *out);
void kua__split_release(kua__split *split);

#endif

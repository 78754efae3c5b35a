/* data/split.c - two offsets per user, computed in one pass over a log.
 *
 * A log is sorted by user, part and time (data/shop.h), so that what comes before a cut is a prefix
 * of each user's events, and a split cannot let a later event into an earlier part.
 *
 * Time splits cut all users at the same moment, so that nothing of a test's future is trained on;
 * leave-one-out cuts each user by itself, as the literature's benchmarks do, and lets a late event
 * of one user train a model that is tested on an early one of another.
 */
#include "data/split.h"

#include <assert.h>

static kua_status split_reserve(kua__split *split, const kua__log *log, kua__split_kind kind)
{
    *split = (kua__split){.kind = kind, .n_users = log->n_users};
    kua_status st = KUA__NEW_ARRAY(&split->valid_at, log->n_users, "offsets of a split");
    if (!st) st = KUA__NEW_ARRAY(&split->test_at, log->n_users, "offsets of a split");
    if (st) kua__split_release(split);
    return st;
}

/* The invariant of data/split.h, which every reader of a split relies on. */
static void split_check(const kua__split *split, const kua__log *log)
{
    assert(split->n_users == log->n_users);
    for (size_t u = 0; u < split->n_users; u++) {
        assert(log->user_at[u] <= split->valid_at[u]);
        assert(split->valid_at[u] <= split->test_at[u]);
        assert(split->test_at[u] <= log->user_at[u + 1]);
    }
}

kua_status kua__split_leave_one_out(const kua__log *log, kua__split *out)
{
    assert(log && out);
    KUA__TRY(split_reserve(out, log, KUA__SPLIT_LEAVE_ONE_OUT));
    for (size_t u = 0; u < log->n_users; u++) {
        size_t end = log->user_at[u + 1], n = end - log->user_at[u];
        /* With fewer than three events nothing would be left to learn a user from. */
        out->test_at[u] = n < 3 ? end : end - 1;
        out->valid_at[u] = n < 3 ? end : end - 2;
    }
    split_check(out, log);
    return KUA_OK;
}

/* First event of user u at or after `time`, from `at` on. */
static size_t first_since(const kua__log *log, size_t u, size_t at, int64_t time)
{
    while (at < log->user_at[u + 1] && log->time[at] < time) {
        at++;
    }
    return at;
}

/* In a log with a given split, events are in order within each part only. */
static kua_status check_order(const kua__log *log)
{
    for (size_t u = 0; log->part && u < log->n_users; u++) {
        for (size_t e = log->user_at[u] + 1; e < log->user_at[u + 1]; e++) {
            if (log->time[e] < log->time[e - 1]) {
                return kua__fail(KUA_INVALID, "the data has a split of its own that does not "
                                              "follow time: split by \"given\"");
            }
        }
    }
    return KUA_OK;
}

kua_status kua__split_time(const kua__log *log, int64_t valid_time, int64_t test_time,
                           kua__split *out)
{
    assert(log && out);
    *out = (kua__split){0};
    if (!log->has_clock) {
        return kua__fail(KUA_INVALID, "the events' times are positions, not a clock: they cannot "
                                      "be split at a date");
    }
    if (valid_time > test_time) {
        return kua__fail(KUA_INVALID, "validation starts at %lld, after the test at %lld",
                         (long long)valid_time, (long long)test_time);
    }
    KUA__TRY(check_order(log));
    KUA__TRY(split_reserve(out, log, KUA__SPLIT_TIME));
    out->valid_time = valid_time;
    out->test_time = test_time;
    for (size_t u = 0; u < log->n_users; u++) {
        out->valid_at[u] = first_since(log, u, log->user_at[u], valid_time);
        out->test_at[u] = first_since(log, u, out->valid_at[u], test_time);
    }
    split_check(out, log);
    return KUA_OK;
}

kua_status kua__split_given(const kua__log *log, kua__split *out)
{
    assert(log && out);
    *out = (kua__split){0};
    if (!log->part) {
        return kua__fail(KUA_INVALID, "the data was imported without a split of its own "
                                      "(--split train=F,valid=F,test=F)");
    }
    KUA__TRY(split_reserve(out, log, KUA__SPLIT_GIVEN));
    for (size_t u = 0; u < log->n_users; u++) {
        size_t at = log->user_at[u], end = log->user_at[u + 1];
        while (at < end && log->part[at] < KUA__PART_VALID) {
            at++;
        }
        out->valid_at[u] = at;
        while (at < end && log->part[at] < KUA__PART_TEST) {
            at++;
        }
        out->test_at[u] = at;
    }
    split_check(out, log);
    return KUA_OK;
}

void kua__split_release(kua__split *split)
{
    assert(split);
    kua__free(split->valid_at);
    kua__free(split->test_at);
    *split = (kua__split){0};
}

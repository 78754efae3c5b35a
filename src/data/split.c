/* split.c - three ways to cut each user's events into training, validation and test. */
#include "data/split.h"

#include <assert.h>

static kua_status split_allocate(const kua__log *log, kua__split_kind kind, kua__split *out)
{
    *out = (kua__split){.kind = kind, .n_users = log->n_users};
    kua_status st = KUA__NEW_ARRAY(&out->valid_at, log->n_users, "a split");
    if (!st) st = KUA__NEW_ARRAY(&out->test_at, log->n_users, "a split");
    if (st) kua__split_release(out);
    return st;
}

kua_status kua__split_leave_one_out(const kua__log *log, kua__split *out)
{
    KUA__TRY(split_allocate(log, KUA__SPLIT_LEAVE_ONE_OUT, out));
    for (size_t u = 0; u < log->n_users; u++) {
        size_t end = log->user_at[u + 1];
        bool enough = end - log->user_at[u] >= 3;
        out->valid_at[u] = enough ? end - 2 : end;
        out->test_at[u] = enough ? end - 1 : end;
    }
    return KUA_OK;
}

kua_status kua__split_time(const kua__log *log, int64_t valid_time, int64_t test_time, kua__split *out)
{
    if (!log->has_clock) {
        return kua__fail(KUA_INVALID, "split: this domain's times are positions, not dates; use leave-one-out");
    }
    if (valid_time > test_time) {
        return kua__fail(KUA_INVALID, "split: validation starts at %lld, after the test at %lld", (long long)valid_time,
                         (long long)test_time);
    }
    KUA__TRY(split_allocate(log, KUA__SPLIT_TIME, out));
    out->valid_time = valid_time;
    out->test_time = test_time;
    for (size_t u = 0; u < log->n_users; u++) {
        size_t i = log->user_at[u], end = log->user_at[u + 1];
        while (i < end && log->time[i] < valid_time) i++;
        out->valid_at[u] = i;
        while (i < end && log->time[i] < test_time) i++;
        out->test_at[u] = i;
    }
    return KUA_OK;
}

kua_status kua__split_given(const kua__log *log, kua__split *out)
{
    if (!log->part) {
        return kua__fail(KUA_INVALID, "split: the events of this domain came without a given split; import with --split");
    }
    KUA__TRY(split_allocate(log, KUA__SPLIT_GIVEN, out));
    for (size_t u = 0; u < log->n_users; u++) {
        size_t i = log->user_at[u], end = log->user_at[u + 1];
        while (i < end && log->part[i] <= KUA__PART_TRAIN) i++;
        out->valid_at[u] = i;
        while (i < end && log->part[i] == KUA__PART_VALID) i++;
        out->test_at[u] = i;
    }
    return KUA_OK;
}

void kua__split_release(kua__split *split)
{
    kua__free(split->valid_at);
    kua__free(split->test_at);
    *split = (kua__split){0};
}

/* leak.c - has anything that is scored been seen by who is to foresee it?
 *
 * Models read a log through cuts (rec.h), so a right cut cannot leak and this check costs next to
 * nothing. It exists for the wrong ones: a cut taken from another split, a log that was copied or
 * merged before it was cut, a target that is also a source. Where cut and split share one log,
 * offsets are compared. Else events are: for each event that must stay unknown, the input may hold
 * no more events of that user, item and time than the permitted part of the log does (a shop may
 * really sell the same thing twice in one second).
 *
 *     what is cut                 where it has to end
 *     training                    before the scored part
 *     choice of settings          before the test, whichever part is scored
 *     a source of this domain     before the scored part
 *     any source, split by date   before the date of the scored part
 */
#include "eval/eval.h"

#include <assert.h>

typedef struct leak {
    const kua__shop *shop;
    const kua__log *log;
    uint32_t domain;
    const size_t *from; /* [n_users] first event of each user that must stay unknown */
    const char *part;
} leak;

static kua_status report_leak(const leak *l, size_t u, size_t e, const char *where)
{
    assert(e < l->log->n_events && l->log->item[e] < l->shop->domains[l->domain].n_items);
    char when[32];
    kua__format_date(l->log->time[e], when);
    const kua__domain *domain = &l->shop->domains[l->domain];
    const char *user = u < l->shop->users.count ? l->shop->users.name[u] : "?";
    return kua__fail(KUA_INVALID,
                     "leak: user '%s' has item '%s' (%s) in the %s part of '%s', and %s may see it",
                     user, l->shop->items[domain->first_item + l->log->item[e]].id, when, l->part,
                     domain->name, where);
}

static size_t count_equal(const kua__log *log, size_t begin, size_t end, uint32_t item,
                          int64_t time)
{
    assert(begin <= end && end <= log->n_events);
    size_t n = 0;
    for (size_t e = begin; e < end; e++)
        n += log->item[e] == item && log->time[e] == time;
    return n;
}

/* Users of both logs are the shop's, so that the same number is the same person. The search is
 * linear in a user's events for each event, which histories are short enough for. */
static kua_status check_copy(const leak *l, const kua__cut *cut, const char *where)
{
    const kua__log *log = l->log, *input = cut->log;
    size_t n_users = KUA__MIN(log->n_users, input->n_users);
    for (size_t u = 0; u < n_users; u++) {
        for (size_t e = l->from[u]; e < log->user_at[u + 1]; e++) {
            uint32_t item = log->item[e];
            int64_t time = log->time[e];
            size_t known = count_equal(input, input->user_at[u], cut->end[u], item, time);
            if (known && known > count_equal(log, log->user_at[u], l->from[u], item, time))
                return report_leak(l, u, e, where);
        }
    }
    return KUA_OK;
}

static kua_status check_cut(const leak *l, const kua__cut *cut, const char *where)
{
    assert(cut->log && cut->end);
    if (cut->log != l->log) return check_copy(l, cut, where);
    for (size_t u = 0; u < l->log->n_users; u++) {
        if (cut->end[u] > l->from[u]) return report_leak(l, u, l->from[u], where);
    }
    return KUA_OK;
}

/* Where a date splits the events, a source may not run past it either. */
static kua_status check_future(const kua__source *source, int64_t cut_time)
{
    const kua__log *log = source->cut.log;
    const kua__shop *shop = source->side.shop;
    for (size_t u = 0; log->has_clock && u < log->n_users; u++) {
        size_t end = source->cut.end[u];
        if (end == log->user_at[u] || log->time[end - 1] < cut_time) continue;
        char when[32], cut[32];
        kua__format_date(log->time[end - 1], when);
        kua__format_date(cut_time, cut);
        return kua__fail(
            KUA_INVALID,
            "leak: source '%s' shows an event of user '%s' on %s, and what is scored begins on %s",
            shop->domains[source->side.domain].name,
            u < shop->users.count ? shop->users.name[u] : "?", when, cut);
    }
    return KUA_OK;
}

kua_status kua__leak_check(const kua__world *world, const kua__log *log, const kua__split *split,
                           int part)
{
    assert(world && log && split);
    assert(part == KUA__PART_VALID || part == KUA__PART_TEST);
    assert(split->n_users == log->n_users);
    assert(world->train.log && world->side.shop &&
           world->side.domain < world->side.shop->n_domains);
    bool valid = part == KUA__PART_VALID;
    leak scored = {.shop = world->side.shop,
                   .log = log,
                   .domain = world->side.domain,
                   .from = valid ? split->valid_at : split->test_at,
                   .part = valid ? "validation or test" : "test"};
    leak test = scored;
    test.from = split->test_at;
    test.part = "test";
    KUA__TRY(check_cut(&scored, &world->train, "training"));
    KUA__TRY(check_cut(&test, &world->valid, "the choice of settings"));
    for (size_t s = 0; s < world->n_sources; s++) {
        const kua__source *source = &world->sources[s];
        if (source->side.domain == world->side.domain)
            KUA__TRY(check_cut(&scored, &source->cut, "a source"));
        if (split->kind == KUA__SPLIT_TIME)
            KUA__TRY(check_future(source, valid ? split->valid_time : split->test_time));
    }
    return KUA_OK;
}

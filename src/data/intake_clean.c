/* data/intake_clean.c - the steps over events that need to see more than one row.
 *
 *     all events -> times -> sort -> duplicates -> bots -> k-core
 *
 * Impossible times go first, since they need no order and would be in the way of the windows below.
 * What is left is sorted by the store's key (domain, user, time, item, type, value, place in the
 * files). In that order duplicates are neighbours, a user's rate is a window that slides, and the
 * table that the events are written to grows at its end.
 *
 * Bots are judged by what is left when duplicates are gone: a row that was exported twice makes
 * nobody a bot. The k-core is last, because every other removal can bring a count under k.
 *
 * Each step shifts the events that it keeps to the front, in place, and lowers n_events: `kept` is
 * never above the place that is read, so that nothing is overwritten before it is looked at. The
 * order is kept as well.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "data/intake_private.h"

enum { HOUR = 3600, DAY = 86400 };

/* ---- order ---- */

/* Sorted by key and not by event: the domain is the item's, which qsort cannot see. */
typedef struct keyed {
    uint32_t domain;
    kua__intake_event event;
} keyed;

/* A total order: seq is unique, so that the result does not depend on how qsort treats ties. Values
 * are never NAN (kua__parse_double refuses it), so that "neither below nor above" means equal. */
static int by_key(const void *a, const void *b)
{
    const keyed *k = a, *l = b;
    const kua__intake_event *x = &k->event, *y = &l->event;
    if (k->domain != l->domain) return k->domain < l->domain ? -1 : 1;
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    if (x->time != y->time) return x->time < y->time ? -1 : 1;
    if (x->item != y->item) return x->item < y->item ? -1 : 1;
    if (x->type != y->type) return x->type < y->type ? -1 : 1;
    if (x->value < y->value) return -1;
    if (x->value > y->value) return 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static kua_status sort_events(kua__intake *in)
{
    keyed *k;
    KUA__TRY(KUA__NEW_ARRAY(&k, in->n_events, "events to sort"));
    for (size_t e = 0; e < in->n_events; e++) {
        assert(in->events[e].item < in->n_items && in->events[e].user < in->users.count);
        k[e] = (keyed){in->items[in->events[e].item].domain, in->events[e]};
    }
    qsort(k, in->n_events, sizeof(*k), by_key);
    for (size_t e = 0; e < in->n_events; e++) {
        in->events[e] = k[e].event;
    }
    kua__free(k);
    return KUA_OK;
}

/* ---- steps ---- */

/* Positions are no times: only a clock can be ahead of today. */
static void clean_times(kua__intake *in)
{
    const int64_t latest = in->own->settings.latest_time;
    size_t kept = 0;
    for (size_t e = 0; e < in->n_events; e++) {
        const kua__intake_event *event = &in->events[e];
        bool clock = in->domains[in->items[event->item].domain].has_clock;
        if (event->time < 0 || (clock && event->time > latest)) {
            kua__intake_count(in, KUA__CLEAN_TIMES, 1, "user '%s', item '%s', time %" PRId64,
                              in->users.name[event->user], in->items[event->item].id, event->time);
            continue;
        }
        in->events[kept++] = *event;
    }
    in->n_events = kept;
}

static bool same_event(const kua__intake_event *a, const kua__intake_event *b)
{
    return a->user == b->user && a->item == b->item && a->time == b->time && a->type == b->type &&
           !(a->value < b->value) && !(a->value > b->value);
}

/* Needs the order of sort_events. Each event is compared with the last one kept, so that a run of
 * equal ones is cut to its first, or, where duplicates are to be kept, numbered 0, 1, 2, ...: the
 * number is part of the store's key, and a repeated import finds each of them again. */
static void clean_duplicates(kua__intake *in)
{
    size_t kept = 0;
    for (size_t e = 0; e < in->n_events; e++) {
        kua__intake_event *event = &in->events[e];
        event->occurrence = 0;
        if (kept && same_event(&in->events[kept - 1], event)) {
            uint16_t before = in->events[kept - 1].occurrence;
            if (!in->own->settings.keep_duplicates || before == UINT16_MAX) {
                kua__intake_count(
                    in, KUA__CLEAN_DUPLICATES, 1, "user '%s', item '%s', time %" PRId64,
                    in->users.name[event->user], in->items[event->item].id, event->time);
                continue;
            }
            event->occurrence = (uint16_t)(before + 1);
        }
        in->events[kept++] = *event;
    }
    in->n_events = kept;
}

/* Does any window of `seconds` hold more than `limit` of the sorted times? */
static bool is_too_fast(const kua__intake_event *e, size_t n, int64_t seconds, int64_t limit)
{
    /* Sorted times: a window that starts at event i holds more than `limit` events exactly if the
     * event `limit` places further on is still inside. */
    assert(limit >= 0 && seconds > 0);
    for (size_t i = 0; limit && i + (size_t)limit < n; i++) {
        if (e[i + (size_t)limit].time - e[i].time < seconds) {
            return true;
        }
    }
    return false;
}

static bool is_bot(const kua__intake *in, const kua__intake_event *e, size_t n)
{
    const kua__intake_settings *s = &in->own->settings;
    return in->domains[in->items[e[0].item].domain].has_clock &&
           (is_too_fast(e, n, HOUR, s->bot_events_per_hour) ||
            is_too_fast(e, n, DAY, s->bot_events_per_day));
}

static bool same_log(const kua__intake *in, size_t a, size_t b)
{
    return in->events[a].user == in->events[b].user &&
           in->items[in->events[a].item].domain == in->items[in->events[b].item].domain;
}

/* A user is judged in each domain by itself, and loses the events of that domain. */
static void clean_bots(kua__intake *in)
{
    size_t kept = 0;
    for (size_t first = 0, end; first < in->n_events; first = end) {
        for (end = first + 1; end < in->n_events && same_log(in, first, end); end++) {
        }
        size_t n = end - first; /* the user's events in one domain: neighbours in this order */
        assert(n >= 1 && kept <= first);
        if (is_bot(in, &in->events[first], n)) {
            kua__intake_count(in, KUA__CLEAN_BOTS, n, "user '%s' with %zu events",
                              in->users.name[in->events[first].user], n);
            continue;
        }
        memmove(&in->events[kept], &in->events[first], n * sizeof(*in->events));
        kept += n;
    }
    in->n_events = kept;
}

/* One round of the k-core of all domains: users count by domain, which the items decide. */
static bool core_round(kua__intake *in, uint32_t *of_item, uint32_t *of_user, int64_t k)
{
    assert(k >= 2);
    const size_t n_domains = in->domain_names.count;
    size_t kept = 0;
    memset(of_item, 0, in->n_items * sizeof(*of_item));
    memset(of_user, 0, in->users.count * n_domains * sizeof(*of_user));
    for (size_t e = 0; e < in->n_events; e++) {
        const kua__intake_event *event = &in->events[e];
        of_item[event->item]++;
        of_user[event->user * n_domains + in->items[event->item].domain]++;
    }
    for (size_t e = 0; e < in->n_events; e++) {
        const kua__intake_event *event = &in->events[e];
        size_t user = event->user * n_domains + in->items[event->item].domain;
        if (of_item[event->item] >= k && of_user[user] >= k) {
            in->events[kept++] = *event;
        }
    }
    bool changed = kept < in->n_events;
    kua__intake_count(in, KUA__CLEAN_CORE, in->n_events - kept, "k = %" PRId64, k);
    in->n_events = kept;
    return changed;
}

/* Rounds until nothing changes: dropping a user's events can bring an item under k, and the other
 * way round. Every round but the last drops at least one event, so that it ends. */
static kua_status clean_core(kua__intake *in)
{
    uint32_t *of_item = NULL, *of_user = NULL;
    const int64_t k = in->own->settings.k_core;
    if (k < 2) {
        return KUA_OK;
    }
    kua_status st = KUA__NEW_ARRAY(&of_item, in->n_items, "counts of items");
    if (!st) {
        st = KUA__NEW_ARRAY(&of_user, in->users.count * in->domain_names.count, "counts of users");
    }
    while (!st && core_round(in, of_item, of_user, k)) {
        st = kua__progress(in->own->monitor, "k-core", 0, 0);
    }
    kua__free(of_item);
    kua__free(of_user);
    return st;
}

kua_status kua__intake_clean(kua__intake *in, const kua_monitor *monitor)
{
    assert(in);
    assert(in->own && (in->events || in->n_events == 0));
    in->own->monitor = monitor;
    clean_times(in);
    KUA__TRY(sort_events(in));
    KUA__TRY(kua__progress(monitor, "clean events", 0, 0));
    clean_duplicates(in);
    clean_bots(in);
    return clean_core(in);
}

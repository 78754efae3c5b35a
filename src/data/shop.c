/* data/shop.c - logs: events sorted by user, part and time; and the shop that owns them.
 *
 * How a log is built
 *   A counting sort by user (stable, linear) and, inside each user whose events are not in order
 *   already, a bottom-up merge sort by (part, time). Files mostly come in order, so that the second
 *   step is mostly one comparison per event. The merge sort is ours because qsort is not stable,
 *   and equal times must keep the order of the files: it is the order of a history.
 *
 * Invariants
 *   I1  user_at[0] == 0, user_at[n_users] == n_events, and it never falls.
 *   I2  inside a user, (part, time) never falls; equal ones keep the order of the input.
 *   I3  every item number is below n_items.
 */
#include "data/shop.h"

#include <assert.h>
#include <string.h>

static const char *const type_names[KUA__EVENT_TYPES] = {
    [KUA__EVENT_VIEW] = "view",     [KUA__EVENT_CLICK] = "click",
    [KUA__EVENT_CART] = "cart",     [KUA__EVENT_PURCHASE] = "purchase",
    [KUA__EVENT_RATING] = "rating", [KUA__EVENT_DISLIKE] = "dislike",
    [KUA__EVENT_SEARCH] = "search",
};

const char *kua__event_type_name(kua__event_type type)
{
    assert(type >= 0 && type < KUA__EVENT_TYPES);
    return type_names[type];
}

bool kua__event_type_parse(const char *name, size_t n, uint8_t *out)
{
    assert((name || n == 0) && out);
    for (size_t i = 0; i < KUA__EVENT_TYPES; i++) {
        if (strlen(type_names[i]) == n && memcmp(type_names[i], name, n) == 0) {
            *out = (uint8_t)i;
            return true;
        }
    }
    return false;
}

/* ---- sorting ---- */

static bool comes_after(const kua__raw_event *a, const kua__raw_event *b)
{
    /* Parts before times: a given split may put an event into the test that is older than one of
     * training, and a split is offsets into a user's events (data/split.h). */
    return a->part != b->part ? a->part > b->part : a->time > b->time;
}

static bool is_sorted(const kua__raw_event *e, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (comes_after(&e[i - 1], &e[i])) {
            return false;
        }
    }
    return true;
}

/* Merges the sorted runs [a, middle) and [middle, end) of `from` into `to`; the left one first
 * where they are equal. */
static void merge(const kua__raw_event *from, kua__raw_event *to, size_t a, size_t middle,
                  size_t end)
{
    assert(a <= middle && middle <= end);
    size_t left = a, right = middle;
    for (size_t at = a; at < end; at++) {
        bool take_right = left == middle || (right < end && comes_after(&from[left], &from[right]));
        to[at] = from[take_right ? right++ : left++];
    }
}

/* Sorts events[n] with room for as many in scratch. */
static void sort_user(kua__raw_event *events, kua__raw_event *scratch, size_t n)
{
    kua__raw_event *from = events, *to = scratch; /* change places after every round */
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t a = 0; a < n; a += 2 * run) {
            merge(from, to, a, KUA__MIN(a + run, n), KUA__MIN(a + 2 * run, n));
        }
        kua__raw_event *other = from;
        from = to;
        to = other;
    }
    if (from != events) {
        memcpy(events, from, n * sizeof(*events));
    }
}

/* Fills user_at and leaves `events` sorted; scratch[n]. */
static void sort_events(kua__raw_event *events, kua__raw_event *scratch, size_t n, size_t n_users,
                        size_t *user_at)
{
    memset(user_at, 0, (n_users + 1) * sizeof(*user_at));
    for (size_t e = 0; e < n; e++) {
        assert(events[e].user < n_users);
        user_at[events[e].user + 1]++;
    }
    for (size_t u = 0; u < n_users; u++) {
        user_at[u + 1] += user_at[u];
    }
    for (size_t e = 0; e < n; e++) {
        scratch[user_at[events[e].user]++] = events[e]; /* in order of e: stable */
    }
    memmove(user_at + 1, user_at, n_users * sizeof(*user_at)); /* each had run on to the next */
    user_at[0] = 0;
    memcpy(events, scratch, n * sizeof(*events));
    for (size_t u = 0; u < n_users; u++) {
        size_t at = user_at[u], count = user_at[u + 1] - at;
        assert(user_at[u] <= user_at[u + 1]); /* I1 */
        if (!is_sorted(events + at, count)) {
            sort_user(events + at, scratch, count);
        }
    }
}

/* ---- logs ---- */

/* A log without a given split does without the array: a byte less for every event. */
static bool has_parts(const kua__raw_event *events, size_t n)
{
    for (size_t e = 0; e < n; e++) {
        if (events[e].part != KUA__PART_NONE) {
            return true;
        }
    }
    return false;
}

static kua_status log_reserve(kua__log *log, bool parts)
{
    KUA__TRY(KUA__NEW_ARRAY(&log->user_at, log->n_users + 1, "offsets of users"));
    KUA__TRY(KUA__NEW_ARRAY(&log->item, log->n_events, "items of events"));
    KUA__TRY(KUA__NEW_ARRAY(&log->time, log->n_events, "times of events"));
    KUA__TRY(KUA__NEW_ARRAY(&log->value, log->n_events, "values of events"));
    KUA__TRY(KUA__NEW_ARRAY(&log->type, log->n_events, "types of events"));
    return parts ? KUA__NEW_ARRAY(&log->part, log->n_events, "parts of events") : KUA_OK;
}

static void log_fill(kua__log *log, const kua__raw_event *events)
{
    assert((events || log->n_events == 0) && log->item && log->time && log->value && log->type);
    for (size_t e = 0; e < log->n_events; e++) {
        assert(events[e].item < log->n_items && events[e].type < KUA__EVENT_TYPES);
        assert(events[e].part <= KUA__PART_TEST);
        log->item[e] = events[e].item;
        log->time[e] = events[e].time;
        log->value[e] = events[e].value;
        log->type[e] = events[e].type;
        if (log->part) {
            log->part[e] = events[e].part;
        }
    }
}

kua_status kua__log_build(kua__log *log, size_t n_users, size_t n_items, kua__raw_event *events,
                          size_t n, bool has_clock)
{
    assert(log && (events || n == 0));
    assert(n_users > 0 || n == 0);
    *log =
        (kua__log){.n_users = n_users, .n_items = n_items, .n_events = n, .has_clock = has_clock};
    kua__raw_event *scratch = NULL;
    kua_status st = log_reserve(log, has_parts(events, n));
    if (!st) st = KUA__NEW_ARRAY(&scratch, n, "events to sort");
    if (!st) {
        sort_events(events, scratch, n, n_users, log->user_at);
        assert(log->user_at[0] == 0 && log->user_at[n_users] == n); /* I1 */
        log_fill(log, events);
    } else {
        kua__log_release(log);
    }
    kua__free(scratch);
    return st;
}

void kua__log_release(kua__log *log)
{
    assert(log);
    kua__free(log->user_at);
    kua__free(log->item);
    kua__free(log->time);
    kua__free(log->value);
    kua__free(log->type);
    kua__free(log->part);
    *log = (kua__log){0};
}

/* ---- shops ---- */

kua_status kua__shop_domain(const kua__shop *shop, const char *name, uint32_t *out)
{
    assert(shop && name && out);
    for (size_t d = 0; d < shop->n_domains; d++) {
        if (kua__streq(shop->domains[d].name, name)) {
            *out = (uint32_t)d;
            return KUA_OK;
        }
    }
    kua__buf names = {0};
    for (size_t d = 0; d < shop->n_domains; d++) {
        kua__buf_printf(&names, "%s%s", d ? ", " : "", shop->domains[d].name);
    }
    kua_status st = kua__buf_status(&names);
    if (!st) {
        st = kua__fail(KUA_NOTFOUND, "no domain is called '%s', there are: %s", name,
                       shop->n_domains ? names.data : "none");
    }
    kua__buf_release(&names);
    return st;
}

void kua__shop_free(kua__shop *shop)
{
    if (!shop) {
        return;
    }
    for (size_t d = 0; d < shop->n_domains; d++) {
        kua__log_release(&shop->domains[d].log);
    }
    kua__free(shop->domains);
    kua__free(shop->items);
    kua__ids_release(&shop->users);
    kua__arena_release(&shop->arena);
    kua__free(shop);
}

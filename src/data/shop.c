/* shop.c - building logs from events, and finding one's way in a shop. */
#include "data/shop.h"

#include <assert.h>
#include <string.h>

static const char *const type_names[KUA__EVENT_TYPES] = {
    "view", "click", "cart", "purchase", "rating", "dislike", "search",
};

const char *kua__event_type_name(kua__event_type type)
{
    assert(type < KUA__EVENT_TYPES);
    return type_names[type];
}

bool kua__event_type_parse(const char *name, size_t n, uint8_t *out)
{
    for (uint8_t t = 0; t < KUA__EVENT_TYPES; t++) {
        if (strlen(type_names[t]) == n && !memcmp(type_names[t], name, n)) {
            *out = t;
            return true;
        }
    }
    return false;
}

kua_status kua__shop_domain(const kua__shop *shop, const char *name, uint32_t *out)
{
    kua__buf names = {0};
    for (uint32_t d = 0; d < shop->n_domains; d++) {
        if (kua__streq(shop->domains[d].name, name)) {
            kua__buf_release(&names);
            *out = d;
            return KUA_OK;
        }
        kua__buf_printf(&names, "%s%s", d ? ", " : "", shop->domains[d].name);
    }
    kua_status st = kua__fail(KUA_NOTFOUND, "no domain '%s'; there is: %s", name, names.len ? names.data : "none yet");
    kua__buf_release(&names);
    return st;
}

void kua__log_release(kua__log *log)
{
    kua__free(log->user_at);
    kua__free(log->item);
    kua__free(log->time);
    kua__free(log->value);
    kua__free(log->type);
    kua__free(log->part);
    *log = (kua__log){0};
}

void kua__shop_free(kua__shop *shop)
{
    if (!shop) return;
    for (size_t d = 0; d < shop->n_domains; d++) kua__log_release(&shop->domains[d].log);
    kua__free(shop->domains);
    kua__free(shop->items);
    kua__ids_release(&shop->users);
    kua__arena_release(&shop->arena);
    kua__free(shop);
}

/* ---- building a log: a counting sort by user, then a stable merge sort by part and time inside each ------------------- */

static bool event_after(const kua__raw_event *a, const kua__raw_event *b)
{
    return a->part > b->part || (a->part == b->part && a->time > b->time);
}

/* Merges the sorted halves of e[n] by way of spare[n]; equal events keep their order. */
static void merge_halves(kua__raw_event *e, size_t half, size_t n, kua__raw_event *spare)
{
    memcpy(spare, e, half * sizeof(*e));
    size_t left = 0, right = half, at = 0;
    while (left < half && right < n) e[at++] = event_after(&spare[left], &e[right]) ? e[right++] : spare[left++];
    while (left < half) e[at++] = spare[left++];
}

static void sort_events(kua__raw_event *e, size_t n, kua__raw_event *spare)
{
    if (n < 2) return;
    size_t half = n / 2;
    sort_events(e, half, spare);
    sort_events(e + half, n - half, spare);
    if (event_after(&e[half - 1], &e[half])) merge_halves(e, half, n, spare);
}

static kua_status log_allocate(kua__log *log, size_t n_users, size_t n, bool parts)
{
    KUA__TRY(KUA__NEW_ZEROED(&log->user_at, n_users + 1, "offsets of a log"));
    KUA__TRY(KUA__NEW_ARRAY(&log->item, n, "items of a log"));
    KUA__TRY(KUA__NEW_ARRAY(&log->time, n, "times of a log"));
    KUA__TRY(KUA__NEW_ARRAY(&log->value, n, "values of a log"));
    KUA__TRY(KUA__NEW_ARRAY(&log->type, n, "types of a log"));
    return parts ? KUA__NEW_ARRAY(&log->part, n, "parts of a log") : KUA_OK;
}

/* Puts events in user order (stable), times sorted inside each user, into `sorted`. */
static void order_events(const size_t *user_at, size_t n_users, const kua__raw_event *events, size_t n, size_t *next,
                         kua__raw_event *sorted, kua__raw_event *spare)
{
    memcpy(next, user_at, n_users * sizeof(*next));
    for (size_t i = 0; i < n; i++) sorted[next[events[i].user]++] = events[i];
    for (size_t u = 0; u < n_users; u++) sort_events(sorted + user_at[u], user_at[u + 1] - user_at[u], spare);
}

static void log_fill(kua__log *log, const kua__raw_event *e)
{
    for (size_t i = 0; i < log->n_events; i++) {
        log->item[i] = e[i].item;
        log->time[i] = e[i].time;
        log->value[i] = e[i].value;
        log->type[i] = e[i].type;
        if (log->part) log->part[i] = e[i].part;
    }
}

kua_status kua__log_build(kua__log *log, size_t n_users, size_t n_items, kua__raw_event *events, size_t n, bool has_clock)
{
    kua_status st;
    kua__raw_event *spare = NULL, *sorted = NULL;
    size_t *next = NULL;
    bool parts = false;
    *log = (kua__log){.n_users = n_users, .n_items = n_items, .n_events = n, .has_clock = has_clock};
    for (size_t i = 0; i < n; i++) {
        assert(events[i].user < n_users && events[i].item < n_items);
        parts |= events[i].part != KUA__PART_NONE;
    }
    KUA__GOTO(st, log_allocate(log, n_users, n, parts));
    KUA__GOTO(st, KUA__NEW_ARRAY(&sorted, n, "events being sorted"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&spare, n, "events being sorted"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&next, n_users, "offsets of a log"));
    for (size_t i = 0; i < n; i++) log->user_at[events[i].user + 1]++;
    for (size_t u = 0; u < n_users; u++) log->user_at[u + 1] += log->user_at[u];
    order_events(log->user_at, n_users, events, n, next, sorted, spare);
    memcpy(events, sorted, n * sizeof(*events));
    log_fill(log, events);
done:
    kua__free(spare);
    kua__free(sorted);
    kua__free(next);
    if (st) kua__log_release(log);
    return st;
}

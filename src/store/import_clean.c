/* import_clean.c - the cleaning steps on events in memory: duplicates, bots, k-core. Each counts what it removes. */
#include "store/import.h"

#include <stdlib.h>
#include <string.h>

static int compare(const void *x, const void *y)
{
    const import_event *a = x, *b = y;
#define BY(member)                                                                                 \
    if (a->member != b->member) return a->member < b->member ? -1 : 1
    BY(user);
    BY(item);
    BY(time);
    BY(type);
    BY(value);
    BY(part);
    BY(seq);
#undef BY
    return 0;
}

static bool same_key(const import_event *a, const import_event *b)
{
    return a->user == b->user && a->item == b->item && a->time == b->time && a->type == b->type;
}

/* Events that agree in everything are one; those that differ in value only get a copy number. */
static void drop_duplicates(importer *im)
{
    size_t kept = 0;
    for (size_t i = 0; i < im->n_events; i++) {
        import_event *last = kept ? &im->event[kept - 1] : NULL;
        bool same = last && same_key(last, &im->event[i]);
        if (same && (last->value == im->event[i].value || last->copy == UINT16_MAX)) {
            im->removed[IMPORT_DUPLICATE]++;
            continue;
        }
        uint16_t copy = same ? (uint16_t)(last->copy + 1) : 0;
        im->event[kept] = im->event[i];
        im->event[kept++].copy = copy;
    }
    im->n_events = kept;
}

/* ---- bots -------------------------------------------------------------------------------------------------------------- */

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static bool too_fast(int64_t *time, size_t n, int64_t limit)
{
    qsort(time, n, sizeof(*time), by_time);
    for (size_t i = (size_t)limit; i < n; i++) {
        if (time[i] - time[i - (size_t)limit] < 3600) return true;
    }
    return false;
}

static kua_status drop_bots(importer *im)
{
    int64_t *time = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&time, im->n_events, "times"));
    size_t kept = 0;
    for (size_t first = 0, end; first < im->n_events; first = end) {
        for (end = first; end < im->n_events && im->event[end].user == im->event[first].user; end++) {
            time[end - first] = im->event[end].time;
        }
        if (too_fast(time, end - first, im->options->max_per_hour)) {
            im->removed[IMPORT_BOT] += end - first;
            continue;
        }
        memmove(im->event + kept, im->event + first, (end - first) * sizeof(*im->event));
        kept += end - first;
    }
    im->n_events = kept;
    kua__free(time);
    return KUA_OK;
}

/* ---- k-core: what falls below k in one round may pull others below k in the next ----------------------------------------- */

static size_t core_round(importer *im, uint32_t *users, uint32_t *items)
{
    memset(users, 0, im->users.count * sizeof(*users));
    memset(items, 0, im->n_items * sizeof(*items));
    for (size_t i = 0; i < im->n_events; i++) {
        users[im->event[i].user]++;
        items[im->event[i].item]++;
    }
    size_t kept = 0;
    for (size_t i = 0; i < im->n_events; i++) {
        const import_event *e = &im->event[i];
        if (users[e->user] >= im->options->k_core && items[e->item] >= im->options->k_core) im->event[kept++] = *e;
    }
    size_t dropped = im->n_events - kept;
    im->n_events = kept;
    return dropped;
}

static kua_status drop_outside_core(importer *im)
{
    uint32_t *users = NULL, *items = NULL;
    kua_status st = KUA__NEW_ARRAY(&users, im->users.count, "counts");
    if (!st) st = KUA__NEW_ARRAY(&items, im->n_items, "counts");
    for (size_t dropped = 1; !st && dropped;) {
        dropped = core_round(im, users, items);
        im->removed[IMPORT_CORE] += dropped;
    }
    kua__free(users);
    kua__free(items);
    return st;
}

kua_status kua__import_clean(importer *im)
{
    qsort(im->event, im->n_events, sizeof(*im->event), compare);
    drop_duplicates(im);
    if (im->options->max_per_hour > 0) KUA__TRY(drop_bots(im));
    return im->options->k_core > 0 ? drop_outside_core(im) : KUA_OK;
}

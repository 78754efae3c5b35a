/* common.c - histories as bags, users x items, the best of many. */
#include "rec/common.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- bags ---- */

void kua__bag_release(kua__bag *bag)
{
    kua__free(bag->item);
    kua__free(bag->weight);
    kua__free(bag->key);
    kua__free(bag->each);
    *bag = (kua__bag){0};
}

static kua_status make_room(kua__bag *bag, size_t n)
{
    if (n <= bag->room) return KUA_OK;
    size_t room = KUA__MAX(2 * bag->room, KUA__MAX(n, 64));
    kua__bag_release(bag);
    kua_status st = KUA__NEW_ARRAY(&bag->item, room, "a history");
    if (!st) st = KUA__NEW_ARRAY(&bag->weight, room, "a history");
    if (!st) st = KUA__NEW_ARRAY(&bag->key, room, "a history");
    if (!st) st = KUA__NEW_ARRAY(&bag->each, room, "a history");
    if (!st) bag->room = room;
    return st;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Most histories are short; for them this is several times as fast as qsort. */
static void sort_keys(uint64_t *key, size_t n)
{
    enum { SHORT = 24 };
    if (n > SHORT) {
        qsort(key, n, sizeof(*key), by_key);
        return;
    }
    for (size_t i = 1; i < n; i++) {
        uint64_t k = key[i];
        size_t at = i;
        for (; at > 0 && key[at - 1] > k; at--)
            key[at] = key[at - 1];
        key[at] = k;
    }
}

/* key = item, place from the newest; each = weight of the event at that place. */
static size_t weigh_events(kua__bag *bag, const kua__history *h, const kua__weighing *w,
                           int64_t now, size_t n_items)
{
    size_t n = 0;
    double weight = 1;
    for (size_t i = 0; i < h->n; i++) {
        size_t event = h->n - 1 - i;
        double days = (double)(now - h->time[event]) / 86400;
        bag->each[i] = (float)(w->half_life > 0 ? exp2(-KUA__MAX(days, 0) / w->half_life) : weight);
        if (h->item[event] < n_items) bag->key[n++] = (uint64_t)h->item[event] << 32 | i;
        weight *= w->decay;
    }
    return n;
}

kua_status kua__bag_fill(kua__bag *bag, const kua__history *h, const kua__weighing *w, int64_t now,
                         size_t n_items)
{
    assert(h->n < UINT32_MAX && (h->n == 0 || (h->item && h->time)));
    KUA__TRY(make_room(bag, h->n));
    size_t n = weigh_events(bag, h, w, now, n_items);
    sort_keys(bag->key, n);
    bag->n = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t item = (uint32_t)(bag->key[i] >> 32);
        float each = bag->each[(uint32_t)bag->key[i]];
        bool same = bag->n && bag->item[bag->n - 1] == item;
        if (same && w->counts < 2) bag->weight[bag->n - 1] += each;
        if (same) continue;
        bag->item[bag->n] = item;
        bag->weight[bag->n++] = each;
    }
    for (size_t i = 0; i < bag->n && w->counts == 1; i++)
        bag->weight[i] = log1pf(bag->weight[i]);
    return KUA_OK;
}

/* ---- pairs ---- */

void kua__pairs_release(kua__pairs *p)
{
    kua__free(p->at);
    kua__free(p->col);
    kua__free(p->weight);
    *p = (kua__pairs){0};
}

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Distinct values of row[n], sorted here, with how often each comes, behind what is in p. */
static void add_row(kua__pairs *p, uint32_t *row, size_t n)
{
    qsort(row, n, sizeof(*row), by_number);
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && row[end] == row[i];)
            end++;
        p->col[p->n] = row[i];
        p->weight[p->n++] = (float)(end - i);
    }
}

static size_t count_events(const kua__cut *cut, size_t *longest)
{
    size_t sum = 0;
    *longest = 0;
    for (size_t u = 0; u < cut->log->n_users; u++) {
        assert(cut->end[u] >= cut->log->user_at[u] && cut->end[u] <= cut->log->user_at[u + 1]);
        size_t n = cut->end[u] - cut->log->user_at[u];
        *longest = KUA__MAX(*longest, n);
        sum += n;
    }
    return sum;
}

kua_status kua__pairs_from_cut(const kua__cut *cut, kua__pairs *out)
{
    const kua__log *log = cut->log;
    size_t longest, most = count_events(cut, &longest);
    uint32_t *row = NULL;
    *out = (kua__pairs){.n_rows = log->n_users, .n_cols = log->n_items};
    kua_status st = KUA__NEW_ARRAY(&out->at, log->n_users + 1, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&out->col, most, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&out->weight, most, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&row, longest, "pairs");
    for (size_t u = 0; !st && u < log->n_users; u++) {
        size_t first = log->user_at[u], n = cut->end[u] - first;
        out->at[u] = out->n;
        memcpy(row, log->item + first, n * sizeof(*row));
        add_row(out, row, n);
    }
    if (!st) out->at[log->n_users] = out->n;
    kua__free(row);
    if (st) kua__pairs_release(out);
    return st;
}

kua_status kua__pairs_transpose(const kua__pairs *p, kua__pairs *out)
{
    size_t *next = NULL;
    *out = (kua__pairs){.n_rows = p->n_cols, .n_cols = p->n_rows, .n = p->n};
    kua_status st = KUA__NEW_ZEROED(&out->at, p->n_cols + 1, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&out->col, p->n, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&out->weight, p->n, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&next, p->n_cols, "pairs");
    for (size_t i = 0; !st && i < p->n; i++)
        out->at[p->col[i] + 1]++;
    for (size_t c = 0; !st && c < p->n_cols; c++) {
        out->at[c + 1] += out->at[c];
        next[c] = out->at[c];
    }
    for (size_t r = 0; !st && r < p->n_rows; r++) {
        for (size_t i = p->at[r]; i < p->at[r + 1]; i++) {
            size_t to = next[p->col[i]]++;
            out->col[to] = (uint32_t)r;
            out->weight[to] = p->weight[i];
        }
    }
    kua__free(next);
    if (st) kua__pairs_release(out);
    return st;
}

kua_status kua__pairs_check(const kua__pairs *p, size_t n_at, const char *name)
{
    bool good = n_at == p->n_rows + 1 && p->at[0] == 0 && p->at[p->n_rows] == p->n;
    for (size_t r = 0; good && r < p->n_rows; r++)
        good = p->at[r] <= p->at[r + 1];
    for (size_t i = 0; good && i < p->n; i++)
        good = p->col[i] < p->n_cols;
    if (good) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: arrays do not fit together: %zu rows, %zu columns, %zu pairs",
                     name, p->n_rows, p->n_cols, p->n);
}

kua_status kua__pairs_user_weights(const kua__pairs *users, double power, float **out)
{
    KUA__TRY(KUA__NEW_ARRAY(out, users->n_rows, "user weights"));
    for (size_t u = 0; u < users->n_rows; u++) {
        double n = (double)(users->at[u + 1] - users->at[u]);
        (*out)[u] = n > 0 ? (float)pow(n, -power) : 0;
    }
    return KUA_OK;
}

int64_t kua__cut_now(const kua__cut *cut)
{
    const kua__log *log = cut->log;
    int64_t last = 0;
    for (size_t u = 0; log->has_clock && u < log->n_users; u++) {
        if (cut->end[u] > log->user_at[u]) last = KUA__MAX(last, log->time[cut->end[u] - 1] + 1);
    }
    return last;
}

bool kua__pairs_repeat(const kua__pairs *users)
{
    double events = 0;
    for (size_t i = 0; i < users->n; i++)
        events += (double)users->weight[i];
    return events - (double)users->n > .01 * events;
}

/* ---- the best of many ---- */

static bool before(kua__near a, kua__near b)
{
    return a.weight != b.weight ? a.weight > b.weight : a.id < b.id;
}

static int by_weight(const void *a, const void *b)
{
    const kua__near *x = a, *y = b;
    return before(*y, *x) - before(*x, *y);
}

static void swap(kua__near *list, size_t a, size_t b)
{
    kua__near t = list[a];
    list[a] = list[b];
    list[b] = t;
}

/* Puts list[lo, hi) in two parts around its middle element; returns that element's place. */
static size_t partition(kua__near *list, size_t lo, size_t hi)
{
    swap(list, lo + (hi - lo) / 2, hi - 1);
    kua__near pivot = list[hi - 1];
    size_t at = lo;
    for (size_t i = lo; i + 1 < hi; i++) {
        if (before(list[i], pivot)) swap(list, i, at++);
    }
    swap(list, at, hi - 1);
    return at;
}

size_t kua__near_top(kua__near *list, size_t n, size_t keep)
{
    assert(keep >= 1 && (list || n == 0));
    size_t lo = 0, hi = n;
    while (n > keep && hi - lo > 1) {
        size_t at = partition(list, lo, hi);
        if (at == keep || at + 1 == keep) break;
        if (at < keep)
            lo = at + 1;
        else
            hi = at;
    }
    size_t kept = KUA__MIN(n, keep);
    if (kept) qsort(list, kept, sizeof(*list), by_weight);
    return kept;
}

/* common.c - settings, histories and user-item pairs of the simple recommenders. */
#include "rec/common.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

double kua__setting(const kua__rec *rec, const char *key)
{
    const json_t *value = json_object_get(rec->settings, key);
    assert(value);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

bool kua__setting_flag(const kua__rec *rec, const char *key)
{
    return json_is_true(json_object_get(rec->settings, key));
}

void kua__tunables_read(const kua__rec *rec, kua__tunable *t, int n)
{
    for (int i = 0; i < n; i++) {
        double given = kua__setting(rec, t[i].key);
        t[i].automatic = isnan(given);
        *t[i].value = t[i].automatic ? t[i].fallback : given;
    }
}

/* Sets the combination numbered `index`; false past the last one. */
static bool set_combination(kua__tunable *t, int n, size_t index)
{
    for (int i = 0; i < n; i++) {
        if (!t[i].automatic) continue;
        *t[i].value = t[i].candidate[index % (size_t)t[i].n];
        index /= (size_t)t[i].n;
    }
    return index == 0;
}

static size_t count_combinations(const kua__tunable *t, int n)
{
    size_t all = 1;
    for (int i = 0; i < n; i++) all *= t[i].automatic ? (size_t)t[i].n : 1;
    return all;
}

static void note_choice(kua__rec *rec, const kua__tunable *t, int n, double ndcg)
{
    json_t *chosen = json_object();
    for (int i = 0; i < n; i++) json_object_set_new(chosen, t[i].key, json_real(*t[i].value));
    json_object_set_new(rec->facts, "chosen", chosen);
    if (!isnan(ndcg)) json_object_set_new(rec->facts, "valid_ndcg@10", json_real(ndcg));
}

kua_status kua__choose(kua__rec *rec, const kua__world *world, kua__tunable *t, int n, kua__prepare_fn prepare, const kua_monitor *monitor)
{
    size_t all = count_combinations(t, n), best = 0;
    double best_ndcg = -1, ndcg = NAN;
    for (size_t c = 0; c < all && all > 1; c++) {
        set_combination(t, n, c);
        if (prepare) KUA__TRY(prepare(rec, world));
        KUA__TRY(kua__valid_ndcg(rec, world, &ndcg));
        if (isnan(ndcg)) break; /* nothing to choose on */
        if (ndcg > best_ndcg) {
            best_ndcg = ndcg;
            best = c;
        }
        KUA__TRY(kua__progress(monitor, "choose settings", c + 1, all));
    }
    if (best_ndcg >= 0) set_combination(t, n, best);
    for (int i = 0; i < n && best_ndcg < 0; i++) {
        if (t[i].automatic) *t[i].value = t[i].fallback;
    }
    if (prepare) KUA__TRY(prepare(rec, world));
    note_choice(rec, t, n, best_ndcg >= 0 ? best_ndcg : NAN);
    return KUA_OK;
}

/* ---- histories -------------------------------------------------------------------------------------------------------------- */

typedef struct weighted {
    uint32_t item;
    float weight;
} weighted;

static int by_item(const void *a, const void *b)
{
    uint32_t x = ((const weighted *)a)->item, y = ((const weighted *)b)->item;
    return (x > y) - (x < y);
}

size_t kua__history_weights(const kua__history *h, double decay, double half_life, int64_t now, uint32_t *item, float *weight)
{
    enum { STACK = 512 };
    weighted few[STACK], *all = h->n <= STACK ? few : kua__alloc_array(h->n, sizeof(*all));
    size_t n = 0, first = all ? 0 : h->n - STACK; /* out of memory: the newest events will do */
    if (!all) all = few;
    double w = 1;
    for (size_t i = h->n; i-- > first;) {
        double days = (double)(now - h->time[i]) / 86400;
        all[n++] = (weighted){h->item[i], (float)(half_life > 0 ? exp2(-KUA__MAX(days, 0) / half_life) : w)};
        w *= decay;
    }
    qsort(all, n, sizeof(*all), by_item);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        bool same = kept && item[kept - 1] == all[i].item;
        if (!same) {
            item[kept] = all[i].item;
            weight[kept++] = 0;
        }
        weight[kept - 1] += all[i].weight;
    }
    if (all != few) kua__free(all);
    return kept;
}

/* ---- pairs -------------------------------------------------------------------------------------------------------------------- */

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

/* Distinct values of sorted[n] with how often each comes, behind what is in p already. */
static void add_row(kua__pairs *p, const uint32_t *sorted, size_t n, bool log_counts)
{
    for (size_t i = 0, end; i < n; i = end) {
        for (end = i; end < n && sorted[end] == sorted[i]; end++) {
        }
        p->col[p->n] = sorted[i];
        p->weight[p->n++] = log_counts ? log1pf((float)(end - i)) : 1;
    }
}

kua_status kua__pairs_from_cut(const kua__cut *cut, bool log_counts, kua__pairs *out)
{
    const kua__log *log = cut->log;
    uint32_t *row = NULL;
    *out = (kua__pairs){.n_rows = log->n_users, .n_cols = log->n_items};
    kua_status st = KUA__NEW_ARRAY(&out->at, log->n_users + 1, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&out->col, log->n_events, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&out->weight, log->n_events, "pairs");
    if (!st) st = KUA__NEW_ARRAY(&row, log->n_events, "pairs");
    for (size_t u = 0; !st && u < log->n_users; u++) {
        size_t first = log->user_at[u], n = cut->end[u] - first;
        out->at[u] = out->n;
        memcpy(row, log->item + first, n * sizeof(*row));
        qsort(row, n, sizeof(*row), by_number);
        add_row(out, row, n, log_counts);
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
    for (size_t i = 0; !st && i < p->n; i++) out->at[p->col[i] + 1]++;
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

int64_t kua__cut_now(const kua__cut *cut)
{
    const kua__log *log = cut->log;
    int64_t last = 0;
    for (size_t u = 0; log->has_clock && u < log->n_users; u++) {
        if (cut->end[u] > log->user_at[u]) last = KUA__MAX(last, log->time[cut->end[u] - 1] + 1);
    }
    return last;
}

double kua__cut_repeats(const kua__cut *cut)
{
    kua__pairs pairs;
    size_t events = 0;
    if (kua__pairs_from_cut(cut, false, &pairs)) return 0;
    for (size_t u = 0; u < cut->log->n_users; u++) events += cut->end[u] - cut->log->user_at[u];
    double share = events ? 1 - (double)pairs.n / (double)events : 0;
    kua__pairs_release(&pairs);
    return share;
}

/* ngram.c - counting and Kneser-Ney smoothing.
 *
 *     P(w | h) = max(c(h w) - D(c(h w)), 0) / c(h .)  +  gamma(h) P(w | h without its first token)
 *     gamma(h) = (D1 N1(h) + D2 N2(h) + D3 N3+(h)) / c(h .)       N_r(h): words that follow h r
 * times
 *
 * c counts occurrences for the longest n-grams and for those that begin a text; for all others how
 * many different tokens stand before them. Below the unigrams stands the uniform distribution. The
 * three discounts of a length follow from how many of its n-grams are counted 1, 2, 3 and 4 times.
 *
 * An n-gram is a number in the table of its length, found by the number of its first n - 1 tokens
 * and its last token: walking through a text, the numbers of all n-grams that end at a token follow
 * from those that end at the token before.
 */
#include "encoder/ngram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

typedef struct kua__ngram_after {
    uint32_t total, kind[4]; /* c(h .); kind[r]: words that follow r times, 3: three and more */
} after;

enum { NONE = UINT32_MAX };
static const uint32_t BEGINS = UINT32_C(1) << 31; /* in a count: of an n-gram that begins a text */

/* ---- tables ---- */

static size_t slot_of(const kua__ngram_table *t, uint64_t key)
{
    size_t i = kua__hash64(&key, sizeof(key), 0) & (t->n_slots - 1);
    while (t->slot[i] && t->key[t->slot[i] - 1] != key)
        i = (i + 1) & (t->n_slots - 1);
    return i;
}

static kua_status grow(kua__ngram_table *t)
{
    if (t->n == t->room) {
        size_t room = KUA__MAX(2 * t->room, 1024);
        uint64_t *key = kua__realloc_array(t->key, room, sizeof(*key));
        if (!key) return kua__fail_nomem(room * sizeof(*key), "n-grams");
        t->key = key;
        uint32_t *count = kua__realloc_array(t->count, room, sizeof(*count));
        if (!count) return kua__fail_nomem(room * sizeof(*count), "n-grams");
        t->count = count;
        t->room = room;
    }
    if (2 * t->n < t->n_slots) return KUA_OK;
    size_t slots = KUA__MAX(2 * t->n_slots, 2048);
    uint32_t *larger = kua__calloc(slots, sizeof(*larger));
    if (!larger) return kua__fail_nomem(slots * sizeof(*larger), "n-grams");
    kua__free(t->slot);
    t->slot = larger;
    t->n_slots = slots;
    for (size_t i = 0; i < t->n; i++)
        t->slot[slot_of(t, t->key[i])] = (uint32_t)i + 1;
    return KUA_OK;
}

static uint32_t find(const kua__ngram_table *t, uint32_t before, uint32_t token)
{
    if (before == NONE || t->n_slots == 0) return NONE;
    uint32_t found = t->slot[slot_of(t, (uint64_t)before << 32 | token)];
    return found ? found - 1 : NONE;
}

static kua_status find_or_add(kua__ngram_table *t, uint32_t before, uint32_t token, uint32_t *out,
                              bool *added)
{
    assert(before != NONE);
    uint64_t key = (uint64_t)before << 32 | token;
    KUA__TRY(grow(t));
    size_t i = slot_of(t, key);
    *added = !t->slot[i];
    if (*added) {
        if (t->n >= NONE - 1)
            return kua__fail(KUA_INVALID, "n-grams: more than %u of one length", NONE - 1);
        t->key[t->n] = key;
        t->count[t->n] = 0;
        t->slot[i] = (uint32_t)++t->n;
    }
    *out = t->slot[i] - 1;
    return KUA_OK;
}

/* ---- counting ---- */

kua_status kua__ngram_init(kua__ngram *g, size_t order, size_t vocab)
{
    assert(g && order >= 1 && order <= KUA__NGRAM_MAX && vocab >= 1);
    *g = (kua__ngram){.order = order, .vocab = vocab};
    uint32_t empty;
    bool added;
    return find_or_add(&g->table[0], 0, 0, &empty, &added);
}

/* The token at `at`: now[k] becomes the k-gram that ends there; was[k] those of the token before.
 */
static kua_status count_token(kua__ngram *g, const uint32_t *id, size_t at, const uint32_t *was,
                              uint32_t *now)
{
    now[0] = 0;
    for (size_t k = 1; k <= g->order && k <= at + 1; k++) {
        bool added;
        kua__ngram_table *t = &g->table[k];
        KUA__TRY(find_or_add(t, was[k - 1], id[at], &now[k], &added));
        if (at == 0) continue; /* a context, never asked */
        if (k == g->order)
            t->count[now[k]]++;
        else if (k == at + 1)
            t->count[now[k]] = (t->count[now[k]] + 1) | BEGINS;
        if (added && k > 1 && !(g->table[k - 1].count[now[k - 1]] & BEGINS))
            g->table[k - 1].count[now[k - 1]]++;
    }
    return KUA_OK;
}

kua_status kua__ngram_add(kua__ngram *g, const uint32_t *id, size_t n)
{
    assert(g && (id || n == 0));
    uint32_t ids[2][KUA__NGRAM_MAX + 1] = {{0}};
    for (size_t i = 0; i < n; i++)
        KUA__TRY(count_token(g, id, i, ids[i % 2], ids[1 - i % 2]));
    return KUA_OK;
}

/* D1, D2, D3 of Chen and Goodman's equation 26; where a count is missing, Ney's one discount. */
static void set_discounts(kua__ngram_table *t)
{
    double n[5] = {0};
    for (size_t i = 0; i < t->n; i++) {
        uint32_t c = t->count[i];
        if (c >= 1 && c <= 4) n[c]++;
    }
    double y = n[1] + 2 * n[2] > 0 ? n[1] / (n[1] + 2 * n[2]) : .5;
    for (size_t r = 1; r <= 3; r++) {
        double d = n[r] > 0 && n[r + 1] > 0 ? (double)r - (double)(r + 1) * y * n[r + 1] / n[r] : y;
        t->discount[r] = d > 0 && d <= (double)r ? d : KUA__MIN(y, (double)r);
    }
}

static void follow(kua__ngram_table *t, after *before)
{
    for (size_t i = 0; i < t->n; i++) {
        after *a = &before[t->key[i] >> 32];
        if (t->count[i] == 0) continue;
        a->total += t->count[i];
        a->kind[KUA__MIN(t->count[i], 3u)]++;
    }
}

kua_status kua__ngram_finish(kua__ngram *g)
{
    for (size_t k = 1; k <= g->order; k++) {
        kua__ngram_table *t = &g->table[k], *before = &g->table[k - 1];
        for (size_t i = 0; i < t->n; i++)
            t->count[i] &= ~BEGINS;
        set_discounts(t);
        KUA__TRY(KUA__NEW_ZEROED(&before->after, before->n + 1, "n-grams"));
        follow(t, before->after);
    }
    return KUA_OK;
}

/* ---- asking ---- */

/* context[k]: the number of the k tokens before, NONE where they were never seen so. */
static double chance(const kua__ngram *g, const uint32_t *context, size_t n, uint32_t word)
{
    double p = 1.0 / (double)g->vocab;
    for (size_t k = 1; k <= g->order && k <= n + 1; k++) {
        const kua__ngram_table *t = &g->table[k];
        uint32_t h = context[k - 1];
        if (h == NONE) break;
        const after *a = &g->table[k - 1].after[h];
        if (a->total == 0) break; /* seen, but at the end of nothing */
        uint32_t hw = find(t, h, word), c = hw == NONE ? 0 : t->count[hw];
        double total = a->total, kept = c ? c - t->discount[KUA__MIN(c, 3u)] : 0;
        double left = 0;
        for (size_t r = 1; r <= 3; r++)
            left += t->discount[r] * a->kind[r];
        p = KUA__MAX(kept, 0) / total + left / total * p;
    }
    return p;
}

/* now[k] from was[k - 1], as in counting. */
static void walk(const kua__ngram *g, uint32_t token, const uint32_t *was, uint32_t *now)
{
    now[0] = 0;
    for (size_t k = 1; k < g->order; k++)
        now[k] = find(&g->table[k], was[k - 1], token);
}

static void forget(uint32_t *context)
{
    context[0] = 0;
    for (size_t k = 1; k <= KUA__NGRAM_MAX; k++)
        context[k] = NONE;
}

double kua__ngram_chance(const kua__ngram *g, const uint32_t *before, size_t n, uint32_t word)
{
    assert(g && (before || n == 0));
    uint32_t ids[2][KUA__NGRAM_MAX + 1];
    forget(ids[0]);
    forget(ids[1]);
    for (size_t i = 0; i < n; i++)
        walk(g, before[i], ids[i % 2], ids[1 - i % 2]);
    return chance(g, ids[n % 2], n, word);
}

double kua__ngram_score(const kua__ngram *g, const uint32_t *id, size_t n)
{
    assert(g && (id || n == 0));
    uint32_t ids[2][KUA__NGRAM_MAX + 1];
    double sum = 0;
    forget(ids[0]);
    forget(ids[1]);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) sum += log(chance(g, ids[i % 2], i, id[i]));
        walk(g, id[i], ids[i % 2], ids[1 - i % 2]);
    }
    return sum;
}

size_t kua__ngram_bytes(const kua__ngram *g)
{
    size_t bytes = 0;
    for (size_t k = 0; k <= g->order; k++) {
        const kua__ngram_table *t = &g->table[k];
        bytes += t->room * (sizeof(*t->key) + sizeof(*t->count)) + t->n_slots * sizeof(*t->slot) +
                 (t->after ? t->n * sizeof(after) : 0);
    }
    return bytes;
}

void kua__ngram_release(kua__ngram *g)
{
    for (size_t k = 0; k <= KUA__NGRAM_MAX; k++) {
        kua__free(g->table[k].key);
        kua__free(g->table[k].count);
        kua__free(g->table[k].slot);
        kua__free(g->table[k].after);
    }
    *g = (kua__ngram){0};
}

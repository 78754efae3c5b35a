/* columns.c - from ranks to per-user measures of a slice.
 *
 * An item slice keeps, of each user's relevant items, those inside it; their ranks stay what they
 * are among all items. So "recall@10 on cold items" asks: of the cold items that people did buy,
 * how many were among the ten shown?
 *
 * A user of an item slice who has no relevant item in it has no question there, and is left out of
 * its mean: a zero would measure how many users buy such items.
 *
 *     value   [measure 0: user row[0], row[1], ... | measure 1: ...]    a measure is one column, as
 *                                                                       the bootstrap reads it
 */
#include "eval/eval.h"

#include <assert.h>

typedef struct picker {
    const kua__eval_set *set;
    kua__slice slice;
    const uint8_t *item_mask;
    size_t
        *at; /* [<= n_relevant] positions of the relevant items that count, for the current user */
} picker;

static size_t pick(const picker *p, size_t q)
{
    assert(q < p->set->n_users && p->at);
    const kua__eval_set *set = p->set;
    bool items = kua__slice_is_items(p->slice);
    if (!items && !(set->user_bits[q] >> p->slice & 1)) return 0;
    size_t n = 0;
    for (size_t at = set->relevant_at[q]; at < set->relevant_at[q + 1]; at++) {
        uint32_t i = set->relevant[at];
        if (items && !(set->item_bits[i] >> p->slice & 1)) continue;
        if (p->item_mask && !p->item_mask[i]) continue;
        p->at[n++] = at;
    }
    return n;
}

static size_t longest_question(const kua__eval_set *set)
{
    size_t longest = 0;
    for (size_t q = 0; q < set->n_users; q++)
        longest = KUA__MAX(longest, set->relevant_at[q + 1] - set->relevant_at[q]);
    return longest;
}

static kua_status find_users(const picker *p, kua__columns *out)
{
    KUA__TRY(KUA__NEW_ARRAY(&out->row, p->set->n_users, "users of a slice"));
    for (size_t q = 0; q < p->set->n_users; q++) {
        if (pick(p, q)) out->row[out->n_users++] = (uint32_t)q;
    }
    return KUA_OK;
}

/* Adds one result's measures of user `k` of the columns, weighted with 1 / number of results. */
static void add_user(const picker *p, const kua__eval_result *result, float weight, size_t k,
                     float *rank, float *scratch, kua__columns *out)
{
    size_t q = out->row[k], n = pick(p, q);
    assert(n >= 1); /* find_users kept it for that */
    float measure[KUA__MEASURES];
    for (size_t i = 0; i < n; i++)
        rank[i] = result->rank[p->at[i]];
    kua__measure_ranks(rank, n, scratch, measure);
    for (size_t m = 0; m < 3; m++)
        measure[KUA__POPULARITY + m] = result->list[m * result->n_users + q];
    for (size_t m = 0; m < KUA__MEASURES; m++)
        out->value[m * out->n_users + k] += weight * measure[m];
}

static kua_status fill(picker *p, const kua__eval_result *results, size_t n_results,
                       kua__columns *out)
{
    size_t longest = longest_question(p->set);
    float *ranks = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&p->at, longest, "relevant items of a user"));
    kua_status st = find_users(p, out);
    if (!st) st = KUA__NEW_ZEROED(&out->value, KUA__MEASURES * out->n_users, "measures of users");
    if (!st) st = KUA__NEW_ARRAY(&ranks, 2 * longest, "ranks of a user");
    for (size_t r = 0; !st && r < n_results; r++) {
        for (size_t k = 0; k < out->n_users; k++)
            add_user(p, &results[r], 1.0f / (float)n_results, k, ranks, ranks + longest, out);
    }
    kua__free(ranks);
    return st;
}

kua_status kua__eval_columns(const kua__eval_set *set, const kua__eval_result *results,
                             size_t n_results, kua__slice slice, const uint8_t *item_mask,
                             kua__columns *out)
{
    assert(set && results && out);
    assert(n_results >= 1 && slice < KUA__SLICES);
    for (size_t r = 0; r < n_results; r++)
        assert(results[r].n_relevant == set->n_relevant && results[r].n_users == set->n_users);
    *out = (kua__columns){0};
    picker p = {.set = set, .slice = slice, .item_mask = item_mask};
    kua_status st = fill(&p, results, n_results, out);
    kua__free(p.at);
    if (st) kua__columns_release(out);
    return st;
}

void kua__columns_release(kua__columns *columns)
{
    assert(columns);
    kua__free(columns->row);
    kua__free(columns->value);
    *columns = (kua__columns){0};
}

kua_status kua__eval_mean(const kua__eval_set *set, const kua__eval_result *result, int measure,
                          double *out)
{
    assert(measure >= 0 && measure < KUA__MEASURES);
    assert(set && result && out);
    kua__columns columns;
    double sum = 0;
    KUA__TRY(kua__eval_columns(set, result, 1, KUA__SLICE_ALL, NULL, &columns));
    assert(columns.n_users == set->n_users && columns.n_users >= 1); /* set.c, I2 */
    for (size_t k = 0; k < columns.n_users; k++)
        sum += columns.value[(size_t)measure * columns.n_users + k];
    *out = sum / (double)columns.n_users;
    kua__columns_release(&columns);
    return KUA_OK;
}

/* ease.c - a linear item-to-item model in closed form, with history decay.
 *
 *     P = (X^T W X + lambda I)^-1,   B_ij = -P_ij / P_jj,   B_jj = 0
 *     score(user, j) = sum over history items i of weight(i) B_ij
 *
 * Steck, "Embarrassingly shallow autoencoders for sparse data", 2019. X is users x items, 1 where a
 * user had an item; W weighs users by the length of their history to the power -user_power.
 *
 * Neither X^T W X nor P is ever stored: rows of the former are counted when they are asked for, and
 * columns of the latter are turned into weights as they come (columns.h). What is kept is B in
 * bf16, 2 bytes times items squared, by rows in the order that elimination chose. Its 8 bits of
 * mantissa are far below the noise of a co-count; the fitted and the loaded model read the same
 * bits. Catalogues of more than `max_items` are cut to the items with most buyers; the others score
 * as popular as they are.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "rec/columns.h"
#include "rec/common.h"
#include "rec/recommenders.h"
#include "tensor/kernels.h"

enum { BLOCK = 2048 };

typedef struct ease {
    kua__simple base;
    kua__weighing weighing;
    double lambda, user_power, max_items;
    size_t n, n_b;   /* items of the matrix; n * n */
    uint32_t *item;  /* [n] by place */
    uint16_t *b;     /* [n, n] bf16, by places */
    uint32_t *place; /* [n_items] KUA__NO_ID: not in the matrix */
    /* while fitting */
    kua__pairs users, items;
    float *user_weight;
    double with_lambda, with_power; /* what b was made with */
} ease;

static void describe(kua__rec *rec, kua__parts *parts)
{
    ease *e = (ease *)rec;
    bool repeats = e->base.repeats;
    kua__parts_array(parts, "item", KUA__I32, (void **)&e->item, &e->n);
    kua__parts_array(parts, "weights", KUA__BF16, (void **)&e->b, &e->n_b);
    KUA__TUNE(parts, "lambda", &e->lambda, 50, 20, 50, 100, 300)->costly = true;
    KUA__TUNE(parts, "user_power", &e->user_power, repeats ? .5 : 0, 0)->costly = true;
    KUA__TUNE(parts, "max_items", &e->max_items, 20000, 0)->n = 0;
    kua__parts_weighing(parts, &e->base, &e->weighing, .7);
}

static void release_counts(ease *e)
{
    kua__pairs_release(&e->users);
    kua__pairs_release(&e->items);
    kua__free(e->user_weight);
    e->user_weight = NULL;
}

static void release(kua__rec *rec)
{
    ease *e = (ease *)rec;
    release_counts(e);
    kua__free(e->place);
    kua__simple_free(rec, describe);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    return kua__simple_create(&kua__rec_ease, sizeof(ease), settings, out);
}

/* ---- which items ---- */

static kua_status find_places(ease *e)
{
    size_t n_items = e->base.rec.n_items;
    if (!e->place) KUA__TRY(KUA__NEW_ARRAY(&e->place, n_items, "item places"));
    for (size_t i = 0; i < n_items; i++)
        e->place[i] = KUA__NO_ID;
    for (size_t i = 0; i < e->n; i++) {
        if (e->item[i] >= n_items || e->place[e->item[i]] != KUA__NO_ID)
            return kua__fail(KUA_FORMAT, "item %u is not among %zu items, or comes twice",
                             e->item[i], n_items);
        e->place[e->item[i]] = (uint32_t)i;
    }
    return KUA_OK;
}

/* Items with at least one buyer, those with most if there are too many; ascending numbers. */
static kua_status choose_items(ease *e)
{
    const kua__pairs *items = &e->items;
    kua__near *all = NULL;
    size_t n = 0;
    KUA__TRY(KUA__NEW_ARRAY(&all, items->n_rows, "item places"));
    for (uint32_t i = 0; i < items->n_rows; i++) {
        size_t buyers = items->at[i + 1] - items->at[i];
        if (buyers) all[n++] = (kua__near){i, (float)buyers};
    }
    n = kua__near_top(all, n, (size_t)KUA__MAX(e->max_items, 1));
    kua_status st = KUA__NEW_ARRAY(&e->item, n, "item places");
    if (!st) memset(e->item, 0, n * sizeof(*e->item));
    e->n = st ? 0 : n;
    e->n_b = e->n * e->n;
    for (size_t i = 0; i < e->n; i++)
        e->item[i] = all[i].id;
    kua__free(all);
    return st;
}

/* ---- fitting ---- */

typedef struct solve {
    ease *e;
    uint32_t *item; /* [n] by row of the matrix; e->item is by place in the order of elimination */
} solve;

static void gram_row(void *ctx, size_t i, float *out)
{
    const solve *s = ctx;
    const ease *e = s->e;
    uint32_t item = s->item[i];
    memset(out, 0, e->n * sizeof(*out));
    for (size_t k = e->items.at[item]; k < e->items.at[item + 1]; k++) {
        uint32_t user = e->items.col[k];
        float w = e->user_weight[user];
        for (size_t at = e->users.at[user]; at < e->users.at[user + 1]; at++) {
            uint32_t place = e->place[e->users.col[at]];
            if (place != KUA__NO_ID) out[place] += w;
        }
    }
    out[i] += (float)e->lambda;
}

static void take_columns(void *ctx, size_t first, size_t width, const float *x)
{
    const solve *s = ctx;
    ease *e = s->e;
    const kua__kernels *kernels = kua__kernels_get();
    float scale[KUA__COLUMNS] = {0}, row[KUA__COLUMNS];
    for (size_t c = 0; c < width; c++)
        scale[c] = -1 / x[(first + c) * KUA__COLUMNS + c];
    for (size_t k = 0; k < e->n; k++) {
        kernels->mul(row, x + k * KUA__COLUMNS, scale, width);
        if (k >= first && k < first + width) row[k - first] = 0;
        kernels->to_bf16(e->b + k * e->n + first, row, width);
    }
}

/* What the last inverse cost, for reports and benchmarks. */
static kua_status note_speed(ease *e, const kua__columns_problem *p, double seconds)
{
    double dense = (double)(p->n - p->n_sparse), dense_seconds = KUA__MAX(p->dense_seconds, 1e-9);
    json_t *facts = json_pack("{s:f, s:I, s:I, s:f}", "seconds", seconds, "items", (json_int_t)p->n,
                              "sparse_items", (json_int_t)p->n_sparse, "dense_gflops",
                              dense * dense * dense / dense_seconds / 1e9);
    if (json_object_set_new(e->base.rec.facts, "inverse", facts))
        return kua__fail_nomem(64, "a model's facts");
    return KUA_OK;
}

static kua_status solve_weights(ease *e, const kua_monitor *monitor)
{
    solve s = {.e = e};
    uint32_t *order = NULL;
    double start = kua__seconds();
    KUA__TRY(find_places(e));
    kua_status st = KUA__NEW_ARRAY(&s.item, e->n, "item places");
    if (!st) st = KUA__NEW_ARRAY(&order, e->n, "item places");
    if (!st) memcpy(s.item, e->item, e->n * sizeof(*s.item));
    kua__columns_problem problem = {e->n, gram_row, take_columns, &s, order, 0, 0};
    if (!st) st = kua__inverse_columns(&problem, monitor);
    for (size_t k = 0; !st && k < e->n; k++)
        e->item[k] = s.item[order[k]];
    if (!st) st = find_places(e);
    kua__free(s.item);
    kua__free(order);
    if (st) return st;
    return note_speed(e, &problem, kua__seconds() - start);
}

static kua_status prepare(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    ease *e = (ease *)rec;
    (void)world;
    if (e->b && e->with_lambda == e->lambda && e->with_power == e->user_power) return KUA_OK;
    kua__free(e->user_weight);
    e->user_weight = NULL;
    KUA__TRY(kua__pairs_user_weights(&e->users, e->user_power, &e->user_weight));
    if (!e->b) KUA__TRY(KUA__NEW_ARRAY(&e->b, e->n_b, "item weights"));
    e->with_lambda = e->lambda, e->with_power = e->user_power;
    return solve_weights(e, monitor);
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    ease *e = (ease *)rec;
    KUA__TRY(kua__simple_begin(rec, world, describe, &e->users));
    if (!(e->lambda > 0))
        return kua__fail(KUA_INVALID, "ease: lambda is %g, expected more than 0", e->lambda);
    KUA__TRY(kua__pairs_transpose(&e->users, &e->items));
    KUA__TRY(choose_items(e));
    KUA__TRY(kua__choose(rec, world, describe, prepare, monitor));
    release_counts(e);
    return KUA_OK;
}

/* ---- scoring ---- */

/* row[first, last) += sum over the bag of weight * B[place of item] */
static void add_rows(const ease *e, const kua__bag *bag, size_t first, size_t last, float *row)
{
    const kua__kernels *kernels = kua__kernels_get();
    float part[BLOCK];
    for (size_t i = 0; i < bag->n; i++) {
        uint32_t place = e->place[bag->item[i]];
        if (place == KUA__NO_ID) continue;
        kernels->from_bf16(part, e->b + (size_t)place * e->n + first, last - first);
        kernels->axpy(row + first, part, bag->weight[i], last - first);
    }
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const ease *e = (const ease *)rec;
    float *row = NULL;
    kua__bag bag = {0};
    kua_status st = KUA__NEW_ARRAY(&row, e->n, "scores");
    if (!st) memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; !st && q < n; q++) {
        float *to = scores + q * rec->n_items;
        st = kua__bag_fill(&bag, &queries[q].target, &e->weighing, queries[q].now, rec->n_items);
        if (st) break;
        memset(row, 0, e->n * sizeof(*row));
        for (size_t first = 0; first < e->n; first += BLOCK)
            add_rows(e, &bag, first, KUA__MIN(first + BLOCK, e->n), row);
        for (size_t k = 0; k < e->n; k++)
            to[e->item[k]] = row[k];
        st = kua__again_finish(&e->base.again, &queries[q], &bag, to);
    }
    kua__free(row);
    kua__bag_release(&bag);
    return st;
}

/* ---- files ---- */

static kua_status save(const kua__rec *rec, const char *folder)
{
    return kua__simple_save(rec, folder, describe);
}

static kua_status check(kua__rec *rec, const kua__world *world, const char *folder)
{
    ease *e = (ease *)rec;
    (void)world;
    kua_status st = e->n_b == e->n * e->n
                        ? find_places(e)
                        : kua__fail(KUA_FORMAT, "%zu weights for %zu items", e->n_b, e->n);
    return st ? kua__fail_prefix(st, "%s", folder) : KUA_OK;
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    const kua__simple_kind kind = {&kua__rec_ease, sizeof(ease), describe, NULL, check};
    return kua__simple_load(&kind, folder, world, out);
}

const kua__rec_ops kua__rec_ease = {
    .name = "ease",
    .summary = "linear item-to-item model in closed form, with history decay",
    .settings =
        "{\"lambda\": [\"auto\", \"L2 regularisation\"],"
        "\"user_power\": [\"auto\", \"a user of n items counts n^-user_power\"],"
        "\"max_items\": [20000, \"items of the matrix, those with most buyers; memory is 2 to 6 "
        "bytes times its square\"]," KUA__WEIGHING_SETTINGS "," KUA__AGAIN_SETTINGS "}",
    .create = create,
    .fit = fit,
    .score = score,
    .save = save,
    .load = load,
    .free = release,
};

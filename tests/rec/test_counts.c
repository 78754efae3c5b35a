/* test_counts.c - what the simple recommenders share: histories as bags, users x items, the best of
 * many; and an EASE matrix's inverse, whole and by columns, against Gauss and Jordan. */
#include "small.h"

#include <stdlib.h>

#include "rec/columns.h"
#include "rec/common.h"
#include "rec/inverse.h"

/* ---- bags ---- */

static void a_bag_weighs_distinct_items(void **state)
{
    (void)state;
    const uint32_t item[] = {7, 3, 7, 9, 3};
    const int64_t time[] = {0, 2 * DAY, 4 * DAY, 6 * DAY, 8 * DAY};
    const kua__history h = {item, time, NULL, 5};
    const struct {
        kua__weighing w;
        float want[3]; /* of 3, 7 and 9 */
    } cases[] = {
        {{0, 1, 0}, {2, 2, 1}},
        {{0, .5, 0}, {1 + .125F, .25F + .0625F, .5F}},
        {{0, .5, 2}, {1, .25F, .5F}},
        {{0, .5, 1}, {log1pf(1.125F), log1pf(.3125F), log1pf(.5F)}},
        {{2, .1, 0}, {.5F + .0625F, .125F + .03125F, .25F}}, /* a half-life goes before a decay */
    };
    kua__bag bag = {0};
    for (size_t c = 0; c < KUA__COUNT(cases); c++) {
        assert_ok(kua__bag_fill(&bag, &h, &cases[c].w, 10 * DAY, 99));
        assert_int_equal(bag.n, 3);
        const uint32_t items[] = {3, 7, 9};
        assert_memory_equal(bag.item, items, sizeof(items));
        for (size_t i = 0; i < 3; i++)
            assert_near((double)bag.weight[i], (double)cases[c].want[i], 1e-7);
    }
    assert_ok(kua__bag_fill(&bag, &h, &cases[0].w, 0, 8)); /* the model knows 8 items */
    assert_int_equal(bag.n, 2);
    assert_ok(kua__bag_fill(&bag, &(kua__history){0}, &cases[0].w, 0, 8));
    assert_int_equal(bag.n, 0);
    kua__bag_release(&bag);
}

/* An event after the question's moment counts as one of now. */
static void the_future_is_now(void **state)
{
    (void)state;
    const uint32_t item[] = {1};
    const int64_t time[] = {50 * DAY};
    const kua__history h = {item, time, NULL, 1};
    const kua__weighing w = {10, 1, 0};
    kua__bag bag = {0};
    assert_ok(kua__bag_fill(&bag, &h, &w, 3 * DAY, 2));
    assert_near((double)bag.weight[0], 1, 0);
    kua__bag_release(&bag);
}

static void long_histories_are_sorted_too(void **state)
{
    (void)state;
    enum { N = 500 };
    uint32_t item[N];
    int64_t time[N] = {0};
    float count[ITEMS] = {0};
    kua__rng rng = kua__rng_make(4, 0);
    for (size_t i = 0; i < N; i++)
        count[item[i] = kua__rng_below(&rng, ITEMS)]++;
    const kua__history h = {item, time, NULL, N};
    kua__bag bag = {0};
    assert_ok(kua__bag_fill(&bag, &h, &(kua__weighing){0, 1, 0}, 0, ITEMS));
    assert_int_equal(bag.n, ITEMS);
    for (uint32_t i = 0; i < ITEMS; i++) {
        assert_int_equal(bag.item[i], i);
        assert_float_equal(bag.weight[i], count[i], 0);
    }
    kua__bag_release(&bag);
}

/* ---- pairs ---- */

static void pairs_are_the_events_counted(void **state)
{
    (void)state;
    small s;
    kua__pairs users, items;
    small_open(&s, true, true);
    assert_ok(kua__pairs_from_cut(&s.world.train, &users));
    assert_ok(kua__pairs_transpose(&users, &items));
    assert_int_equal(users.n, items.n);
    assert_ok(kua__pairs_check(&users, USERS + 1, "users"));
    assert_ok(kua__pairs_check(&items, ITEMS + 1, "items"));
    float count[USERS][ITEMS] = {0};
    for (size_t u = 0; u < USERS; u++) {
        for (size_t i = s.log.user_at[u]; i < s.split.valid_at[u]; i++)
            count[u][s.log.item[i]]++;
    }
    for (size_t u = 0; u < USERS; u++) {
        for (size_t i = users.at[u]; i < users.at[u + 1]; i++) {
            assert_true(i == users.at[u] || users.col[i - 1] < users.col[i]);
            assert_float_equal(users.weight[i], count[u][users.col[i]], 0);
            count[u][users.col[i]] = -count[u][users.col[i]];
        }
    }
    for (size_t item = 0; item < ITEMS; item++) {
        for (size_t i = items.at[item]; i < items.at[item + 1]; i++) {
            assert_float_equal(items.weight[i], -count[items.col[i]][item], 0);
            count[items.col[i]][item] = 0;
        }
    }
    for (size_t i = 0; i < (size_t)USERS * ITEMS; i++)
        assert_float_equal(count[i / ITEMS][i % ITEMS], 0, 0);
    assert_true(kua__pairs_repeat(&users));
    assert_int_equal(kua__cut_now(&s.world.train), s.now);
    kua__pairs_release(&users);
    kua__pairs_release(&items);
    small_close(&s);
}

static void a_world_without_repeats_or_clock(void **state)
{
    (void)state;
    small s;
    kua__pairs users;
    float *weight = NULL;
    small_open(&s, false, false);
    assert_ok(kua__pairs_from_cut(&s.world.train, &users));
    assert_false(kua__pairs_repeat(&users));
    assert_int_equal(kua__cut_now(&s.world.train), 0);
    assert_ok(kua__pairs_user_weights(&users, .5, &weight));
    for (size_t u = 0; u < USERS; u++) {
        double n = (double)(s.split.valid_at[u] - s.log.user_at[u]);
        assert_near((double)weight[u], n > 0 ? 1 / sqrt(n) : 0, 1e-6);
    }
    kua__free(weight);
    kua__pairs_release(&users);
    small_close(&s);
}

static void pairs_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    size_t good[] = {0, 2, 3}, falls[] = {0, 3, 2}, late[] = {1, 2, 3}, early[] = {0, 1, 2};
    uint32_t col[] = {0, 4, 1}, far[] = {0, 5, 1};
    const struct {
        size_t *at, n_at;
        uint32_t *col;
    } bad[] = {{good, 2, col}, {good, 4, col},  {falls, 3, col},
               {late, 3, col}, {early, 3, col}, {good, 3, far}};
    kua__pairs p = {2, 5, 3, good, col, NULL};
    assert_ok(kua__pairs_check(&p, 3, "m"));
    for (size_t i = 0; i < KUA__COUNT(bad); i++) {
        p.at = bad[i].at, p.col = bad[i].col;
        assert_fails(kua__pairs_check(&p, bad[i].n_at, "m"), KUA_FORMAT,
                     "m: arrays do not fit together: 2 rows, 5 columns, 3 pairs");
    }
}

/* ---- the best of many ---- */

static int best_first(const void *a, const void *b)
{
    const kua__near *x = a, *y = b;
    if (x->weight != y->weight) return x->weight > y->weight ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

static void the_best_of_many(void **state)
{
    (void)state;
    kua__rng rng = kua__rng_make(1, 0);
    for (size_t round = 0; round < 300; round++) {
        kua__near list[70], want[70];
        size_t n = kua__rng_below(&rng, 70), keep = 1 + kua__rng_below(&rng, 80);
        uint32_t distinct = 1 + kua__rng_below(&rng, 40); /* many ties, or few */
        for (uint32_t i = 0; i < n; i++)
            want[i] = list[i] = (kua__near){i * 7 % 71, (float)kua__rng_below(&rng, distinct)};
        qsort(want, n, sizeof(*want), best_first);
        assert_int_equal(kua__near_top(list, n, keep), KUA__MIN(n, keep));
        for (size_t i = 0; i < KUA__MIN(n, keep); i++) {
            assert_int_equal(list[i].id, want[i].id);
            assert_float_equal(list[i].weight, want[i].weight, 0);
        }
    }
    assert_int_equal(kua__near_top(NULL, 0, 3), 0);
}

/* ---- inverses ---- */

/* A gram matrix of `density` plus a ridge; the first `lonely` rows meet nobody. */
static void fill_gram(double *a, size_t n, uint32_t density, size_t lonely)
{
    kua__rng rng = kua__rng_make(n + density, 0);
    memset(a, 0, n * n * sizeof(*a));
    for (size_t user = 0; user < 2 * n; user++) {
        bool *has = calloc(n, sizeof(*has));
        assert_non_null(has);
        for (size_t i = lonely; i < n; i++)
            has[i] = kua__rng_below(&rng, 100) < density;
        for (size_t k = 0; k < n * n; k++)
            a[k] += has[k / n] && has[k % n] ? 1 : 0;
        free(has);
    }
    for (size_t i = 0; i < n; i++)
        a[i * n + i] += 20;
}

static void an_inverse_is_that_of_gauss(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 47, 48, 49, 97, 150};
    for (size_t k = 0; k < KUA__COUNT(sizes); k++) {
        size_t n = sizes[k], ld = n + k % 3;
        double *want = calloc(n * n + 1, sizeof(*want));
        float *a = calloc(n * ld + 1, sizeof(*a));
        fill_gram(want, n, 20, 0);
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) /* what is above the diagonal is not read */
                a[i * ld + j] = j <= i ? (float)want[i * n + j] : NAN;
        }
        small_invert(want, n);
        assert_ok(kua__inverse_spd(a, n, ld, NULL));
        for (size_t i = 0; i < n * n; i++)
            assert_near((double)a[i / n * ld + i % n], want[i], 2e-6);
        free(want);
        free(a);
    }
}

static void what_is_not_definite_is_refused(void **state)
{
    (void)state;
    float a[4] = {1, 0, 2, 1}, zero = 0, nan = NAN;
    assert_fails(kua__inverse_spd(a, 2, 2, NULL), KUA_INVALID, "not positive definite (pivot -3)");
    assert_fails(kua__inverse_spd(&zero, 1, 1, NULL), KUA_INVALID, "not positive definite");
    assert_fails(kua__inverse_spd(&nan, 1, 1, NULL), KUA_INVALID, "not positive definite");
}

typedef struct columns {
    const double *matrix;
    double *inverse; /* by places */
    size_t n;
    double sign; /* of the last diagonal element */
} columns;

static void row_of(void *ctx, size_t i, float *out)
{
    const columns *c = ctx;
    for (size_t j = 0; j < c->n; j++)
        out[j] = (float)c->matrix[i * c->n + j];
    if (i + 1 == c->n) out[i] *= (float)c->sign;
}

static void take(void *ctx, size_t first, size_t width, const float *x)
{
    const columns *c = ctx;
    for (size_t k = 0; k < c->n; k++) {
        for (size_t i = 0; i < width; i++)
            c->inverse[k * c->n + first + i] += (double)x[k * KUA__COLUMNS + i];
    }
}

/* Compares with the inverse of the permuted matrix; returns how many rows were eliminated. */
static size_t compare_columns(size_t n, uint32_t density, size_t lonely)
{
    columns c = {calloc(n * n + 1, sizeof(double)), calloc(n * n + 1, sizeof(double)), n, 1};
    uint32_t *order = calloc(n + 1, sizeof(*order));
    double *want = calloc(n * n + 1, sizeof(*want));
    fill_gram((double *)c.matrix, n, density, lonely);
    memcpy(want, c.matrix, n * n * sizeof(*want));
    small_invert(want, n);
    kua__columns_problem p = {.n = n, .row = row_of, .columns = take, .ctx = &c, .order = order};
    assert_ok(kua__inverse_columns(&p, NULL));
    for (size_t i = 0; i < n * n; i++) /* each column once, and each row of the matrix */
        assert_near(c.inverse[i], want[order[i / n] * n + order[i % n]], 2e-6);
    free((double *)c.matrix);
    free(c.inverse);
    free(order);
    free(want);
    return p.n_sparse;
}

static void columns_are_those_of_the_inverse(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 2; threads++) {
        kua__threads_set(threads);
        assert_int_equal(compare_columns(0, 1, 0), 0);
        assert_int_equal(compare_columns(1, 0, 0), 1); /* a row alone has no neighbours */
        assert_int_equal(compare_columns(70, 0, 0), 70);
        assert_true(compare_columns(130, 2, 30) >= 30);
        assert_true(compare_columns(200, 1, 0) > 0);
        assert_int_equal(compare_columns(70, 60, 0), 0);
    }
}

static void columns_of_an_indefinite_matrix_are_refused(void **state)
{
    (void)state;
    static const uint32_t densities[] = {0, 60}; /* found while eliminating; in the dense part */
    for (size_t k = 0; k < 2; k++) {
        enum { N = 60 };
        double matrix[N * N], inverse[N * N] = {0};
        uint32_t order[N];
        columns c = {matrix, inverse, N, -1};
        kua__columns_problem p = {
            .n = N, .row = row_of, .columns = take, .ctx = &c, .order = order};
        fill_gram(matrix, N, densities[k], 0);
        assert_fails(kua__inverse_columns(&p, NULL), KUA_INVALID, "not positive definite");
    }
}

static bool refuse(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user, (void)stage, (void)done, (void)total;
    return false;
}

static void inverses_can_be_stopped(void **state)
{
    (void)state;
    enum { N = 60 };
    double matrix[N * N], inverse[N * N] = {0};
    float one = 1;
    uint32_t order[N];
    columns c = {matrix, inverse, N, 1};
    kua__columns_problem p = {.n = N, .row = row_of, .columns = take, .ctx = &c, .order = order};
    kua_monitor monitor = {.progress = refuse};
    fill_gram(matrix, N, 5, 0);
    assert_fails(kua__inverse_columns(&p, &monitor), KUA_CANCELED, "");
    assert_fails(kua__inverse_spd(&one, 1, 1, &monitor), KUA_CANCELED, "");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    small s;
    kua_status st;
    small_open(&s, true, true);
    TEST_EVERY_ALLOCATION(st)
    {
        kua__pairs users, items = {0};
        float *weight = NULL;
        st = kua__pairs_from_cut(&s.world.train, &users);
        if (!st) st = kua__pairs_transpose(&users, &items);
        if (!st) st = kua__pairs_user_weights(&users, 1, &weight);
        kua__free(weight);
        kua__pairs_release(&users);
        kua__pairs_release(&items);
    }
    enum { N = 60 };
    double matrix[N * N], inverse[N * N] = {0};
    uint32_t order[N];
    columns c = {matrix, inverse, N, 1};
    fill_gram(matrix, N, 5, 10);
    TEST_EVERY_ALLOCATION(st)
    {
        kua__columns_problem p = {
            .n = N, .row = row_of, .columns = take, .ctx = &c, .order = order};
        st = kua__inverse_columns(&p, NULL);
    }
    small_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bag_weighs_distinct_items),
        cmocka_unit_test(the_future_is_now),
        cmocka_unit_test(long_histories_are_sorted_too),
        cmocka_unit_test(pairs_are_the_events_counted),
        cmocka_unit_test(a_world_without_repeats_or_clock),
        cmocka_unit_test(pairs_that_do_not_fit_are_refused),
        cmocka_unit_test(the_best_of_many),
        cmocka_unit_test(an_inverse_is_that_of_gauss),
        cmocka_unit_test(what_is_not_definite_is_refused),
        cmocka_unit_test(columns_are_those_of_the_inverse),
        cmocka_unit_test(columns_of_an_indefinite_matrix_are_refused),
        cmocka_unit_test(inverses_can_be_stopped),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_rank.c - counting and selecting compared with the obvious loops, at every length around the
 * lane count. */
#include "testlib.h"

#include <float.h>
#include <math.h>

#include "eval/rank.h"

enum { MOST = 200 };

/* Few distinct values, so that ties are everywhere. */
static void fill(float *score, size_t n, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 0);
    for (size_t i = 0; i < n; i++)
        score[i] = (float)kua__rng_below(&rng, 1 + (uint32_t)(seed % 50)) - 3;
}

static float slow_rank(const float *score, size_t n, float pivot)
{
    double rank = -.5;
    for (size_t i = 0; i < n; i++)
        rank += score[i] > pivot ? 1 : score[i] == pivot ? .5 : 0;
    return (float)rank;
}

static void rank_equals_the_plain_count(void **state)
{
    (void)state;
    float score[MOST];
    for (size_t n = 1; n < MOST; n++) {
        fill(score, n, n);
        for (size_t i = 0; i < n; i += 7)
            assert_near(kua__rank_of(score, n, score[i]), slow_rank(score, n, score[i]), 0);
    }
}

static void top_is_sorted_and_ties_go_to_the_smaller_number(void **state)
{
    (void)state;
    float score[MOST], best[10];
    uint32_t item[10];
    for (size_t n = 1; n < MOST; n++) {
        fill(score, n, n);
        size_t have = kua__top_k(score, n, -FLT_MAX, item, best, 10);
        assert_int_equal(have, n < 10 ? n : 10);
        for (size_t k = 0; k < have; k++) {
            assert_near(best[k], score[item[k]], 0);
            size_t before = 0; /* items that have to stand before this one */
            for (size_t i = 0; i < n; i++)
                before += score[i] > best[k] || (score[i] == best[k] && i < item[k]);
            assert_int_equal(before, k);
        }
    }
}

static void nothing_at_or_below_the_floor_is_selected(void **state)
{
    (void)state;
    float best[10];
    uint32_t item[10];
    float score[40];
    for (int i = 0; i < 40; i++)
        score[i] = -FLT_MAX;
    score[3] = -INFINITY;
    score[17] = 1;
    assert_int_equal(kua__top_k(score, 40, -FLT_MAX, item, best, 10), 1);
    assert_int_equal(item[0], 17);
}

static void a_score_that_is_no_number_is_found(void **state)
{
    (void)state;
    const float bad[] = {NAN, INFINITY, -INFINITY};
    float score[70];
    for (size_t at = 0; at < 70; at++) {
        fill(score, 70, 9);
        score[5] = -FLT_MAX; /* "never" is a number */
        assert_int_equal(kua__scores_bad(score, 70), 70);
        score[at] = bad[at % 3];
        assert_int_equal(kua__scores_bad(score, 70), at);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rank_equals_the_plain_count),
        cmocka_unit_test(top_is_sorted_and_ties_go_to_the_smaller_number),
        cmocka_unit_test(nothing_at_or_below_the_floor_is_selected),
        cmocka_unit_test(a_score_that_is_no_number_is_found),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

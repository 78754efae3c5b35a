/* test_measure.c - metrics against values worked out by hand, and their limits. */
#include "testlib.h"

#include <math.h>

#include "eval/eval.h"

#define AT(metric, cutoff) out[(metric)*KUA__CUTOFFS + (cutoff)]
enum { AT_5, AT_10, AT_20 };

static float out[KUA__RANK_MEASURES];

static void measure(const float *rank, size_t n)
{
    float scratch[64];
    assert_true(n <= 64);
    kua__measure_ranks(rank, n, scratch, out);
}

static void one_relevant_item(void **state)
{
    (void)state;
    measure((float[]){2}, 1); /* third place */
    assert_near(AT(KUA__RECALL, AT_5), 1, 0);
    assert_near(AT(KUA__NDCG, AT_5), .5, 1e-6); /* 1 / log2(4) */
    assert_near(AT(KUA__MRR, AT_10), 1.0 / 3, 1e-6);
    assert_near(AT(KUA__MAP, AT_20), 1.0 / 3, 1e-6);
    measure((float[]){9.5f}, 1); /* shares places 10 and 11: average below the cutoff */
    assert_near(AT(KUA__HIT, AT_10), 1, 0);
    assert_near(AT(KUA__NDCG, AT_10), 1 / log2(11.5), 1e-6);
    measure((float[]){10}, 1);
    assert_near(AT(KUA__HIT, AT_10), 0, 0);
    assert_near(AT(KUA__HIT, AT_20), 1, 0);
    measure((float[]){KUA__MISS}, 1);
    for (int m = 0; m < KUA__RANK_MEASURES; m++)
        assert_near(out[m], 0, 0);
}

static void several_relevant_items(void **state)
{
    (void)state;
    measure((float[]){12, 0, 3}, 3); /* places 1, 4, 13 */
    assert_near(AT(KUA__RECALL, AT_5), 2.0 / 3, 1e-6);
    assert_near(AT(KUA__RECALL, AT_20), 1, 0);
    double ideal = 1 + 1 / log2(3) + .5;
    assert_near(AT(KUA__NDCG, AT_10), (1 + 1 / log2(5)) / ideal, 1e-6);
    assert_near(AT(KUA__NDCG, AT_20), (1 + 1 / log2(5) + 1 / log2(14)) / ideal, 1e-6);
    assert_near(AT(KUA__MAP, AT_10), (1 + 2.0 / 4) / 3, 1e-6);
    assert_near(AT(KUA__MRR, AT_5), 1, 0);
}

/* More relevant items than places: the denominator is the number of places. */
static void a_full_list_is_a_one(void **state)
{
    (void)state;
    float rank[30];
    for (int i = 0; i < 30; i++)
        rank[i] = (float)(29 - i);
    measure(rank, 30);
    for (int m = 0; m < KUA__RANK_MEASURES; m++)
        assert_near(out[m], 1, 1e-6);
}

/* Twenty relevant items of one score share rank 9.5: more "hits" than places must not make more
 * than 1. */
static void ties_never_exceed_one(void **state)
{
    (void)state;
    float rank[20];
    for (int i = 0; i < 20; i++)
        rank[i] = 9.5f;
    measure(rank, 20);
    for (int m = 0; m < KUA__RANK_MEASURES; m++)
        assert_true(out[m] >= 0 && out[m] <= 1);
    assert_near(AT(KUA__RECALL, AT_5), 0, 0);
}

static void gini_of_known_counts(void **state)
{
    (void)state;
    assert_near(kua__gini((uint32_t[]){3, 3, 3, 3}, 4), 0, 1e-12);
    assert_near(kua__gini((uint32_t[]){0, 8, 0, 0}, 4), .75, 1e-12);
    assert_near(kua__gini((uint32_t[]){0, 0}, 2), 0, 0);
    assert_near(kua__gini((uint32_t[]){3, 1}, 2), .25, 1e-12);
    assert_near(kua__gini(NULL, 0), 0, 0);
}

static void names_are_found_again(void **state)
{
    (void)state;
    int m = -1;
    for (int k = 0; k < KUA__MEASURES; k++) {
        assert_true(kua__measure_parse(kua__measure_name(k), &m));
        assert_int_equal(m, k);
    }
    assert_string_equal(kua__measure_name(KUA__NDCG_10), "ndcg@10");
    assert_string_equal(kua__measure_name(KUA__RECALL_10), "recall@10");
    assert_string_equal(kua__measure_name(KUA__DIVERSITY), "diversity@10");
    assert_false(kua__measure_parse("ndcg@11", &m));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_relevant_item),    cmocka_unit_test(several_relevant_items),
        cmocka_unit_test(a_full_list_is_a_one), cmocka_unit_test(ties_never_exceed_one),
        cmocka_unit_test(gini_of_known_counts), cmocka_unit_test(names_are_found_again),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* tests/base/test_random.c - Philox against the authors' known answers, and the shapes of what is
 * drawn from it. */
#include "testlib.h"

#include <math.h>
#include <string.h>

static void philox_gives_the_published_answers(void **state)
{
    (void)state;
    /* Random123 1.14, tests/kat_vectors, philox4x32 10 rounds */
    static const struct {
        uint64_t seed, stream, index;
        uint32_t out[4];
    } cases[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {UINT64_MAX, UINT64_MAX, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822,
         0x0370734413198a2e,
         0x85a308d3243f6a88,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        uint32_t out[4];
        kua__philox(cases[i].seed, cases[i].stream, cases[i].index, out);
        assert_memory_equal(out, cases[i].out, sizeof(out));
    }
}

static void a_sequence_is_its_stream_in_order(void **state)
{
    (void)state;
    kua__rng rng = kua__rng_make(5, 6);
    for (uint64_t index = 0; index < 10; index++) {
        uint32_t out[4];
        kua__philox(5, 6, index, out);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(kua__rng_u32(&rng), out[i]);
        }
    }
}

static void below_is_even_and_in_range(void **state)
{
    (void)state;
    enum { N = 7, DRAWS = 70000 };
    kua__rng rng = kua__rng_make(1, 2);
    int count[N] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint32_t v = kua__rng_below(&rng, N);
        assert_in_range(v, 0, N - 1);
        count[v]++;
    }
    double chi2 = 0;
    for (int i = 0; i < N; i++) {
        chi2 += pow(count[i] - DRAWS / N, 2) / (DRAWS / N);
    }
    assert_true(chi2 < 22.5); /* 6 degrees of freedom, p = .001 */
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(kua__rng_below(&rng, 1), 0);
        assert_in_range(kua__rng_below(&rng, UINT32_MAX), 0, UINT32_MAX - 1);
    }
}

static void moments_are_right(void **state)
{
    (void)state;
    enum { N = 400000 };
    kua__rng rng = kua__rng_make(11, 0);
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n4 = 0;
    for (int i = 0; i < N; i++) {
        double u = kua__rng_uniform(&rng), z = kua__rng_normal(&rng);
        assert_true(u >= 0 && u < 1 && isfinite(z));
        u1 += u;
        u2 += u * u;
        n1 += z;
        n2 += z * z;
        n4 += z * z * z * z;
    }
    assert_near(u1 / N, 0.5, 0.003); /* about five standard errors each */
    assert_near(u2 / N, 1.0 / 3, 0.003);
    assert_near(n1 / N, 0, 0.009);
    assert_near(n2 / N, 1, 0.012);
    assert_near(n4 / N, 3, 0.08);
}

static void shuffles_are_even_and_repeat(void **state)
{
    (void)state;
    int count[24] = {0};
    kua__rng rng = kua__rng_make(2, 2);
    for (int i = 0; i < 24000; i++) {
        uint32_t v[4] = {0, 1, 2, 3};
        kua__rng_shuffle(&rng, v, 4);
        uint32_t seen = 0, code = 0;
        for (uint32_t j = 0; j < 4; j++) {
            uint32_t smaller = 0;
            for (uint32_t k = j + 1; k < 4; k++) {
                smaller += v[k] < v[j];
            }
            code = code * (4 - j) + smaller; /* the number of the permutation */
            seen |= 1u << v[j];
        }
        assert_int_equal(seen, 15);
        count[code]++;
    }
    double chi2 = 0;
    for (int i = 0; i < 24; i++) {
        chi2 += pow(count[i] - 1000, 2) / 1000;
    }
    assert_true(chi2 < 49.7); /* 23 degrees of freedom, p = .001 */
    uint32_t a[50], b[50];
    for (uint32_t i = 0; i < 50; i++) {
        a[i] = b[i] = i;
    }
    kua__rng first = kua__rng_make(9, 1), second = kua__rng_make(9, 1), other = kua__rng_make(9, 2);
    kua__rng_shuffle(&first, a, 50);
    kua__rng_shuffle(&second, b, 50);
    assert_memory_equal(a, b, sizeof(a));
    kua__rng_shuffle(&other, b, 50);
    assert_memory_not_equal(a, b, sizeof(a));
    kua__rng_shuffle(&first, NULL, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_published_answers),
        cmocka_unit_test(a_sequence_is_its_stream_in_order),
        cmocka_unit_test(below_is_even_and_in_range),
        cmocka_unit_test(moments_are_right),
        cmocka_unit_test(shuffles_are_even_and_repeat),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

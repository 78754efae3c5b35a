/* test_bootstrap.c - intervals: do they cover what they promise, are they paired, do they repeat.
 */
#include "testlib.h"

#include <math.h>

#include "eval/eval.h"

enum { N = 150, FAST = 400 };

static void bernoulli(float *x, size_t n, float p, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 1);
    for (size_t i = 0; i < n; i++)
        x[i] = kua__rng_uniform(&rng) < p;
}

/* Of 300 samples from a known distribution, about 95 % of the intervals must hold its mean. */
static void intervals_cover_the_true_mean(void **state)
{
    (void)state;
    float x[N], zero[N] = {0};
    int covered = 0;
    for (uint64_t s = 0; s < 300; s++) {
        kua__interval i;
        bernoulli(x, N, .3f, s);
        assert_ok(kua__interval_difference(x, zero, N, FAST, s, &i));
        assert_true(i.low <= i.mean && i.mean <= i.high);
        covered += i.low <= .3 && .3 <= i.high;
    }
    assert_in_range(covered, 272, 296);
}

static void width_is_that_of_the_normal_approximation(void **state)
{
    (void)state;
    static float x[4000], zero[4000];
    kua__interval i;
    bernoulli(x, 4000, .2f, 1);
    assert_ok(kua__interval_difference(x, zero, 4000, KUA__RESAMPLES, 1, &i));
    double expected = 2 * 1.96 * sqrt(i.mean * (1 - i.mean) / 4000);
    assert_near((i.high - i.low) / expected, 1, .08);
}

/* A constant gain on noisy users: unpaired it would drown, paired it has no width at all. */
static void differences_are_paired(void **state)
{
    (void)state;
    float a[N], b[N];
    kua__interval i;
    bernoulli(b, N, .5f, 3);
    for (int u = 0; u < N; u++)
        a[u] = b[u] + .25f;
    assert_ok(kua__interval_difference(a, b, N, FAST, 9, &i));
    assert_near(i.low, .25, 1e-6);
    assert_near(i.high, .25, 1e-6);
    assert_near(i.p, 1.0 / FAST, 1e-12);
    assert_ok(kua__interval_difference(b, b, N, FAST, 9, &i));
    assert_near(i.mean, 0, 0);
    assert_near(i.p, 1, 0);
}

/* Replicates of two columns subtract to what the difference's own bootstrap gives. */
static void columns_share_their_draws(void **state)
{
    (void)state;
    float a[N], b[N], d[N];
    bernoulli(a, N, .4f, 5);
    bernoulli(b, N, .5f, 6);
    for (int u = 0; u < N; u++)
        d[u] = a[u] - b[u];
    const float *columns[] = {a, b}, *one[] = {d};
    double *out = malloc(3 * FAST * sizeof(*out));
    assert_non_null(out);
    assert_ok(kua__bootstrap(columns, 2, N, FAST, 4, out));
    assert_ok(kua__bootstrap(one, 1, N, FAST, 4, out + 2 * FAST));
    for (int r = 0; r < FAST; r++)
        assert_near(out[r] - out[FAST + r], out[2 * FAST + r], 1e-6);
    free(out);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    float a[N];
    double out[2][FAST];
    bernoulli(a, N, .4f, 5);
    const float *columns[] = {a};
    for (int k = 0; k < 2; k++) {
        kua__threads_set(1 + 2 * k);
        assert_ok(kua__bootstrap(columns, 1, N, FAST, 4, out[k]));
    }
    assert_memory_equal(out[0], out[1], sizeof(out[0]));
}

static void one_user_is_no_evidence_but_no_crash(void **state)
{
    (void)state;
    kua__interval i;
    assert_ok(kua__interval_difference((float[]){1}, (float[]){0}, 1, 1, 0, &i));
    assert_near(i.low, 1, 0);
    assert_near(i.high, 1, 0);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    float a[N] = {1}, b[N] = {0};
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__interval i;
        st = kua__interval_difference(a, b, N, 10, 0, &i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_cover_the_true_mean),
        cmocka_unit_test(width_is_that_of_the_normal_approximation),
        cmocka_unit_test(differences_are_paired),
        cmocka_unit_test(columns_share_their_draws),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(one_user_is_no_evidence_but_no_crash),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

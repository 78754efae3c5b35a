/* test_eigen.c - symmetric eigenproblems: A v = value v, rows orthonormal, values sorted. */
#include "testlib.h"

#include <math.h>

#include "tensor/eigen.h"

static void assert_solves(size_t n, const double *a)
{
    double *work = kua__alloc_array(n * n, sizeof(*work)), *v = kua__alloc_array(n * n, sizeof(*v));
    double *values = kua__alloc_array(n, sizeof(*values)), size = 0;
    for (size_t i = 0; i < n * n; i++) {
        work[i] = a[i];
        size = fmax(size, fabs(a[i]));
    }
    assert_ok(kua__eigen_symmetric(n, work, values, v));
    for (size_t i = 0; i < n; i++) {
        assert_true(i == 0 || values[i] <= values[i - 1]);
        for (size_t r = 0; r < n; r++) {
            double av = 0, along = 0;
            for (size_t c = 0; c < n; c++) {
                av += a[r * n + c] * v[i * n + c];
                along += v[i * n + c] * v[r * n + c];
            }
            assert_near(av, values[i] * v[i * n + r], 1e-11 * (double)n * (size + 1e-300));
            assert_near(along, i == r, 1e-12 * (double)n);
        }
    }
    kua__free(work);
    kua__free(v);
    kua__free(values);
}

static void random_matrices(void **state)
{
    (void)state;
    kua__rng rng = kua__rng_make(3, 0);
    for (size_t n = 1; n <= 65; n += n < 8 ? 1 : 19) {
        double *a = kua__alloc_array(n * n, sizeof(*a));
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j <= i; j++)
                a[i * n + j] = a[j * n + i] = kua__rng_normal(&rng);
        }
        assert_solves(n, a);
        kua__free(a);
    }
}

static void special_matrices(void **state)
{
    (void)state;
    const double zero[9] = {0}, diagonal[9] = {1, 0, 0, 0, 3, 0, 0, 0, 2};
    const double ones[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const double tiny[4] = {1e-200, 1e-201, 1e-201, 2e-200}, mirror[4] = {0, 1, 1, 0};
    const double scales[9] = {1e12, 1, 0, 1, 1e-6, 1e-9, 0, 1e-9, 1e3};
    assert_solves(3, zero);
    assert_solves(3, diagonal);
    assert_solves(4, ones); /* rank 1: three equal values */
    assert_solves(2, tiny);
    assert_solves(2, mirror);
    assert_solves(3, scales);
}

static void not_a_number_is_refused(void **state)
{
    (void)state;
    double a[4] = {1, 0, NAN, 1}, values[2], vectors[4];
    assert_fails(kua__eigen_symmetric(2, a, values, vectors), KUA_INVALID, "element 1,0");
}

static void memory_may_run_out(void **state)
{
    (void)state;
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        double a[4] = {2, 1, 1, 2}, values[2], vectors[4];
        st = kua__eigen_symmetric(2, a, values, vectors);
        if (!st) assert_near(values[0], 3, 1e-12);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_matrices),
        cmocka_unit_test(special_matrices),
        cmocka_unit_test(not_a_number_is_refused),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

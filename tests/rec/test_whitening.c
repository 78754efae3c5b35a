/* test_whitening.c - whitened vectors are uncorrelated, of the deviation that the power asks for,
 * and items without text stay out of it. */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "rec/whitening.h"

enum { ITEMS = 24, DIM = 12 };

static void fill(float vector[ITEMS * DIM])
{
    kua__rng rng = kua__rng_make(99, 0);
    for (size_t i = 0; i < ITEMS * DIM; i++)
        vector[i] = kua__rng_normal(&rng);
}

static void whitened_rows_have_length_one_on_average(void **state)
{
    (void)state;
    float vector[ITEMS * DIM];
    fill(vector);
    kua__whitening w = {0}, copy = {0};
    const kua__vectors lists[] = {{vector, 10}, {vector + 10 * DIM, ITEMS - 10}};
    assert_ok(kua__whitening_fit(&w, lists, 2, DIM, 6, 0.5));
    assert_ok(kua__whitening_to_unit(&w, lists, 2));
    assert_int_equal(w.k, 6);
    float out[ITEMS * 6], again[ITEMS * 6];
    assert_ok(kua__whitening_apply(&w, vector, ITEMS, out));
    double length = 0;
    for (size_t i = 0; i < ITEMS; i++) {
        double square = 0;
        for (size_t c = 0; c < 6; c++)
            square += out[i * 6 + c] * out[i * 6 + c];
        length += sqrt(square) / ITEMS;
    }
    assert_near(length, 1, 1e-5);
    for (size_t a = 0; a < 6; a++) { /* components are uncorrelated */
        for (size_t b = 0; b < a; b++) {
            double sum = 0;
            for (size_t i = 0; i < ITEMS; i++)
                sum += out[i * 6 + a] * out[i * 6 + b];
            assert_near(sum, 0, 1e-4);
        }
    }
    assert_ok(kua__whitening_copy(&copy, &w));
    assert_ok(kua__whitening_apply(&copy, vector, ITEMS, again));
    assert_memory_equal(out, again, sizeof(out));
    kua__whitening_release(&w);
    kua__whitening_release(&copy);
}

/* Components have deviation^(1 - power) of what they had: all the same at power 1. */
static void full_whitening_leaves_unit_deviations(void **state)
{
    (void)state;
    float vector[ITEMS * DIM], out[ITEMS * DIM];
    fill(vector);
    const kua__vectors all = {vector, ITEMS};
    kua__whitening w = {0};
    assert_ok(kua__whitening_fit(&w, &all, 1, DIM, DIM, 1));
    assert_ok(kua__whitening_apply(&w, vector, ITEMS, out));
    for (size_t c = 0; c < DIM; c++) {
        double square = 0;
        for (size_t i = 0; i < ITEMS; i++)
            square += out[i * DIM + c] * out[i * DIM + c] / ITEMS;
        assert_near(square, 1, 1e-4);
    }
    kua__whitening_release(&w);
}

static void rows_of_zeros_stay_out(void **state)
{
    (void)state;
    float vector[ITEMS * DIM], more[(ITEMS + 5) * DIM] = {0}, a[ITEMS * 4], b[(ITEMS + 5) * 4];
    fill(vector);
    memcpy(more + 5 * DIM, vector, sizeof(vector));
    const kua__vectors some = {vector, ITEMS}, all = {more, ITEMS + 5};
    kua__whitening one = {0}, other = {0};
    assert_ok(kua__whitening_fit(&one, &some, 1, DIM, 4, 0.5));
    assert_ok(kua__whitening_fit(&other, &all, 1, DIM, 4, 0.5));
    assert_ok(kua__whitening_apply(&one, vector, ITEMS, a));
    assert_ok(kua__whitening_apply(&other, more, ITEMS + 5, b));
    for (size_t i = 0; i < 5 * 4; i++)
        assert_true(b[i] == 0);
    for (size_t i = 0; i < ITEMS * 4; i++)
        assert_near(a[i], b[5 * 4 + i], 1e-5);
    kua__whitening_release(&one);
    kua__whitening_release(&other);
}

/* Fewer rows than components: no more than rows - 1 are kept, and nothing is infinite. */
static void few_rows_give_few_components(void **state)
{
    (void)state;
    float vector[ITEMS * DIM], out[3 * DIM];
    fill(vector);
    const kua__vectors three = {vector, 3};
    kua__whitening w = {0};
    assert_ok(kua__whitening_fit(&w, &three, 1, DIM, DIM, 0.5));
    assert_int_equal(w.k, 2);
    assert_ok(kua__whitening_apply(&w, vector, 3, out));
    for (size_t i = 0; i < 3 * w.k; i++)
        assert_true(isfinite(out[i]));
    kua__whitening_release(&w);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    float vector[ITEMS * DIM], out[ITEMS * 4];
    fill(vector);
    const kua__vectors all = {vector, ITEMS};
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__whitening w = {0};
        st = kua__whitening_fit(&w, &all, 1, DIM, 4, 0.5);
        if (!st) st = kua__whitening_to_unit(&w, &all, 1);
        if (!st) st = kua__whitening_apply(&w, vector, ITEMS, out);
        kua__whitening_release(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whitened_rows_have_length_one_on_average),
        cmocka_unit_test(full_whitening_leaves_unit_deviations),
        cmocka_unit_test(rows_of_zeros_stay_out),
        cmocka_unit_test(few_rows_give_few_components),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

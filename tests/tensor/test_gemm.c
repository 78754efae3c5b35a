/* test_gemm.c - matrix products against a triple loop in double precision.
 *
 * Shapes: ones, primes, multiples of the kernels' tiles and one more or less, more than one block
 * along each side, nothing at all; every combination of transposes; rows farther apart than they
 * are long; inside a pool's task.
 */
#include "testlib.h"

#include <math.h>

#include "tensor/gemm.h"
#include "tensor/kernels.h"

typedef struct problem {
    bool ta, tb;
    size_t m, n, k, lda, ldb, ldc;
    float *a, *b, *c, *expected;
} problem;

static float *numbers(kua__rng *rng, size_t n)
{
    float *x = kua__alloc_array(n + 1, sizeof(*x));
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = kua__rng_normal(rng);
    return x;
}

static problem make(bool ta, bool tb, size_t m, size_t n, size_t k, size_t gap)
{
    kua__rng rng = kua__rng_make(7, m * 1000003 + n * 1009 + k * 4 + ta * 2 + tb);
    problem p = {ta, tb, m, n, k, (ta ? m : k) + gap, (tb ? k : n) + gap, n + gap};
    p.a = numbers(&rng, (ta ? k : m) * p.lda);
    p.b = numbers(&rng, (tb ? n : k) * p.ldb);
    p.c = numbers(&rng, m * p.ldc);
    p.expected = kua__alloc_array(m * p.ldc + 1, sizeof(float));
    assert_non_null(p.expected);
    memcpy(p.expected, p.c, m * p.ldc * sizeof(float));
    return p;
}

static void release(problem *p)
{
    kua__free(p->a);
    kua__free(p->b);
    kua__free(p->c);
    kua__free(p->expected);
}

static float bf16(float x)
{
    uint16_t half;
    kua__kernels_of(KUA__ISA_PLAIN)->to_bf16(&half, &x, 1);
    kua__kernels_of(KUA__ISA_PLAIN)->from_bf16(&x, &half, 1);
    return x;
}

/* Returns the largest sum of absolute products, which rounding errors are proportional to. */
static double multiply_plainly(problem *p, double alpha, double beta, bool rounded)
{
    double scale = 1;
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->n; j++) {
            double sum = 0, size = 0;
            for (size_t l = 0; l < p->k; l++) {
                float a = p->ta ? p->a[l * p->lda + i] : p->a[i * p->lda + l];
                float b = p->tb ? p->b[j * p->ldb + l] : p->b[l * p->ldb + j];
                double product = rounded ? (double)bf16(a) * bf16(b) : (double)a * b;
                sum += product;
                size += fabs(product);
            }
            float *c = &p->expected[i * p->ldc + j];
            *c = (float)(alpha * sum + (beta == 0 ? 0 : beta * *c));
            scale = KUA__MAX(scale, size);
        }
    }
    return scale;
}

static void compare(const problem *p, double tolerance)
{
    for (size_t i = 0; i < p->m * p->ldc; i++) /* the gaps too: nothing may be written there */
        assert_near(p->c[i], p->expected[i], i % p->ldc < p->n ? tolerance : 0);
}

static void check_f32(bool ta, bool tb, size_t m, size_t n, size_t k, size_t gap, float alpha,
                      float beta)
{
    problem p = make(ta, tb, m, n, k, gap);
    double scale = multiply_plainly(&p, alpha, beta, false);
    assert_ok(kua__gemm(ta, tb, m, n, k, alpha, p.a, p.lda, p.b, p.ldb, beta, p.c, p.ldc));
    compare(&p, 1e-6 * scale);
    release(&p);
}

static void check_bf16(bool ta, bool tb, size_t m, size_t n, size_t k, size_t gap, float beta)
{
    problem p = make(ta, tb, m, n, k, gap);
    double scale = multiply_plainly(&p, 1, beta, kua__cpu_has_bf16());
    assert_ok(kua__gemm_bf16(ta, tb, m, n, k, p.a, p.lda, p.b, p.ldb, beta, p.c, p.ldc));
    compare(&p, 2e-6 * scale);
    release(&p);
}

static const size_t sizes[][3] = {{1, 1, 1},    {1, 17, 3},    {5, 1, 9},     {12, 32, 2},
                                  {13, 33, 31}, {11, 31, 33},  {24, 64, 256}, {25, 65, 257},
                                  {97, 40, 67}, {200, 130, 5}, {3, 600, 40},  {100, 515, 300}};

static void products_match_a_plain_loop(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(sizes); i++) {
        for (int bits = 0; bits < 8; bits++) {
            size_t gap = bits & 4 ? 5 : 0;
            check_f32(bits & 1, bits & 2, sizes[i][0], sizes[i][1], sizes[i][2], gap,
                      bits & 4 ? 0.5f : 1, (float)(bits % 3));
            check_bf16(bits & 1, bits & 2, sizes[i][0], sizes[i][1], sizes[i][2], gap,
                       (float)(bits >> 2));
        }
    }
}

static void beta_zero_does_not_read_the_result(void **state)
{
    (void)state;
    problem p = make(false, true, 40, 40, 40, 0);
    double scale = multiply_plainly(&p, 1, 0, false);
    for (size_t i = 0; i < 40 * 40; i++)
        p.c[i] = NAN;
    assert_ok(kua__gemm(false, true, 40, 40, 40, 1, p.a, 40, p.b, 40, 0, p.c, 40));
    compare(&p, 1e-6 * scale);
    for (size_t i = 0; i < 40 * 40; i++)
        p.c[i] = NAN;
    assert_ok(kua__gemm_bf16(false, true, 40, 40, 40, p.a, 40, p.b, 40, 0, p.c, 40));
    compare(&p, 0.02 * scale);
    release(&p);
}

static void empty_sides_are_fine(void **state)
{
    (void)state;
    float a[4] = {1, 2, 3, 4}, c[4] = {5, 6, 7, 8};
    assert_ok(kua__gemm(false, false, 0, 2, 2, 1, a, 2, a, 2, 0, c, 2));
    assert_ok(kua__gemm(false, false, 2, 0, 2, 1, a, 2, a, 2, 0, c, 2));
    assert_ok(kua__gemm_bf16(false, false, 0, 2, 2, a, 2, a, 2, 0, c, 2));
    assert_true(c[0] == 5 && c[3] == 8);
    assert_ok(kua__gemm(false, false, 2, 2, 0, 1, a, 2, a, 2, 2, c, 2));
    assert_true(c[0] == 10 && c[3] == 16);
    assert_ok(kua__gemm_bf16(false, false, 2, 2, 0, a, 2, a, 2, 0, c, 2));
    assert_true(c[0] == 0 && c[3] == 0);
}

static void repeats_give_the_same_bits(void **state)
{
    (void)state;
    for (int mixed = 0; mixed < 2; mixed++) {
        problem p = make(true, false, 130, 90, 700, 0);
        for (int run = 0; run < 3; run++) {
            float *c = run ? p.c : p.expected;
            if (mixed)
                assert_ok(kua__gemm_bf16(true, false, 130, 90, 700, p.a, 130, p.b, 90, 0, c, 90));
            else
                assert_ok(kua__gemm(true, false, 130, 90, 700, 1, p.a, 130, p.b, 90, 0, c, 90));
            if (run) assert_memory_equal(p.c, p.expected, 130 * 90 * sizeof(float));
        }
        release(&p);
    }
}

static void product_task(void *ctx, size_t first, size_t last)
{
    problem *p = ctx;
    for (size_t i = first; i < last; i++)
        assert_ok(kua__gemm(p[i].ta, p[i].tb, p[i].m, p[i].n, p[i].k, 1, p[i].a, p[i].lda, p[i].b,
                            p[i].ldb, 0, p[i].c, p[i].ldc));
}

static void products_run_inside_tasks(void **state)
{
    (void)state;
    problem p[8];
    double scale = 1;
    for (size_t i = 0; i < 8; i++) {
        p[i] = make(i & 1, i & 2, 64 + i, 70, 80, 0);
        scale = KUA__MAX(scale, multiply_plainly(&p[i], 1, 0, false));
    }
    kua__parallel_for(8, 1, product_task, p);
    for (size_t i = 0; i < 8; i++) {
        compare(&p[i], 1e-6 * scale);
        release(&p[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_match_a_plain_loop),
        cmocka_unit_test(beta_zero_does_not_read_the_result),
        cmocka_unit_test(empty_sides_are_fine),
        cmocka_unit_test(repeats_give_the_same_bits),
        cmocka_unit_test(products_run_inside_tasks),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

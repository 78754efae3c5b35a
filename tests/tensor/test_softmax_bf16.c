/* test_softmax_bf16.c - the fused softmax loss against the formula in double precision.
 *
 * Inputs are rounded to bf16 beforehand, so that the only differences are the rounding of the
 * exponentials (2^-9 each) and the order of sums. Shapes have edges in every direction: rows not a
 * multiple of 12, items not of 32, dim not of 2, 12 or 32, more than one chunk.
 */
#include <math.h>

#include "tensor/kernels.h"
#include "tensor/softmax_bf16.h"
#include "testlib.h"

typedef struct sample {
    kua__softmax_problem p;
    float *h, *w, *bias, *scratch;
    uint32_t *target;
    double *dh, *dw, loss; /* reference */
} sample;

static float *random_matrix(size_t n, float scale, uint64_t stream)
{
    float *x = kua__malloc(n * sizeof(*x));
    uint16_t *rounded = kua__malloc(n * sizeof(*rounded));
    kua__rng rng = kua__rng_make(7, stream);
    for (size_t i = 0; i < n; i++)
        x[i] = scale * kua__rng_normal(&rng);
    kua__kernels_get()->to_bf16(rounded, x, n);
    kua__kernels_get()->from_bf16(x, rounded, n);
    kua__free(rounded);
    return x;
}

static void reference_row(sample *s, size_t r, double *share)
{
    const kua__softmax_problem *p = &s->p;
    double most = -1e300, total = 0;
    if (p->target[r] == KUA__NO_ID) return;
    for (size_t j = 0; j < p->items; j++) {
        share[j] = p->bias ? p->bias[j] : 0;
        for (size_t c = 0; c < p->dim; c++)
            share[j] += (double)p->h[r * p->dim + c] * p->w[j * p->dim + c];
        most = fmax(most, share[j]);
    }
    double at_target = share[p->target[r]];
    for (size_t j = 0; j < p->items; j++)
        total += share[j] = exp(share[j] - most);
    s->loss += log(total) + most - at_target;
    for (size_t j = 0; j < p->items; j++) {
        double g = (share[j] / total - (j == p->target[r])) * p->each;
        for (size_t c = 0; c < p->dim; c++) {
            s->dh[r * p->dim + c] += g * p->w[j * p->dim + c];
            s->dw[j * p->dim + c] += g * p->h[r * p->dim + c];
        }
    }
}

static sample make_sample(size_t rows, size_t items, size_t dim, float scale, bool bias)
{
    sample s = {0};
    s.h = random_matrix(rows * dim, scale, 1);
    s.w = random_matrix(items * dim, scale, 2);
    s.bias = bias ? random_matrix(items, 1, 3) : NULL;
    s.target = kua__malloc(rows * sizeof(*s.target));
    kua__rng rng = kua__rng_make(7, 4);
    for (size_t r = 0; r < rows; r++)
        s.target[r] = r % 7 == 3 ? KUA__NO_ID : kua__rng_below(&rng, (uint32_t)items);
    s.p = (kua__softmax_problem){rows,
                                 items,
                                 dim,
                                 s.h,
                                 s.w,
                                 s.bias,
                                 s.target,
                                 1.0f / (float)rows,
                                 kua__malloc(rows * dim * 4),
                                 kua__malloc(items * dim * 4),
                                 0};
    s.dh = kua__calloc(rows * dim, sizeof(double));
    s.dw = kua__calloc(items * dim, sizeof(double));
    return s;
}

static void run_sample(sample *s)
{
    s->scratch = kua__malloc(kua__softmax_bf16_scratch(&s->p) * sizeof(float));
    assert_true(kua__softmax_bf16(&s->p, s->scratch));
}

static void free_sample(sample *s)
{
    void *all[] = {s->h, s->w, s->bias, s->scratch, s->target, s->dh, s->dw, s->p.dh, s->p.dw};
    for (size_t i = 0; i < KUA__COUNT(all); i++)
        kua__free(all[i]);
}

/* Largest difference, in units of what a share of 1 contributes. */
static double error_of(const float *got, const double *wanted, size_t n, double unit)
{
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        worst = fmax(worst, fabs(got[i] - wanted[i]));
        if (isnan(got[i])) return NAN;
    }
    return worst / unit;
}

static void check_shape(size_t rows, size_t items, size_t dim, float scale, bool bias)
{
    sample s = make_sample(rows, items, dim, scale, bias);
    double *share = kua__malloc(items * sizeof(*share));
    for (size_t r = 0; r < rows; r++)
        reference_row(&s, r, share);
    run_sample(&s);
    assert_near(s.p.loss, s.loss, 1e-5 * fabs(s.loss) + 1e-4);
    assert_near(error_of(s.p.dh, s.dh, rows * dim, 4 * scale * s.p.each), 0, 0.01);
    assert_near(error_of(s.p.dw, s.dw, items * dim, 4 * scale * s.p.each), 0, 0.01);
    kua__free(share);
    free_sample(&s);
}

static bool usable(void)
{
    kua__softmax_problem p = {.rows = 1, .items = 1, .dim = 1};
    if (kua__softmax_bf16_fits(&p)) return true;
    print_message("skipped: this processor has no bf16 products\n");
    return false;
}

static void equals_the_formula(void **state)
{
    (void)state;
    if (!usable()) skip();
    check_shape(1, 1, 1, 1, false);
    check_shape(12, 32, 32, 0.5f, false);
    check_shape(13, 33, 17, 0.5f, true);
    check_shape(200, 500, 64, 0.5f, false);
    check_shape(37, 1000, 128, 0.3f, true);
    check_shape(25, 300, 500, 0.2f, false);
    check_shape(1000, 700, 20, 1, true); /* more than one chunk */
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    if (!usable()) skip();
    check_shape(50, 400, 64, 1.5f, false); /* logits up to about 80, their bound 200 */
}

/* 4,000 items of which the sample sees zeros, and one far above. */
static void surprises_are_reported(void **state)
{
    (void)state;
    if (!usable()) skip();
    sample s = make_sample(1, 4000, 2, 1, false);
    s.h[0] = 100, s.h[1] = 0;
    memset(s.w, 0, 8000 * sizeof(float));
    s.w[2 * 77] = 1;
    s.target[0] = 0;
    s.scratch = kua__malloc(kua__softmax_bf16_scratch(&s.p) * sizeof(float));
    assert_false(kua__softmax_bf16(&s.p, s.scratch));
    s.w[2 * 77] = 0.6f; /* 60 above is borne */
    assert_true(kua__softmax_bf16(&s.p, s.scratch));
    assert_near(s.p.loss, 60, 0.5);
    free_sample(&s);
}

/* The rows behind the last one, up to a multiple of 12, are nobody's: what lies in memory there is
 * not looked at, whatever the biases are. */
static void large_biases_need_no_further_rows(void **state)
{
    (void)state;
    if (!usable()) skip();
    const size_t rows = 13, items = 40, dim = 16;
    sample s = make_sample(rows, items, dim, 0.5f, true);
    s.p.h = s.h = kua__realloc_array(s.h, 2 * rows * dim, sizeof(*s.h));
    s.p.target = s.target = kua__realloc_array(s.target, 2 * rows, sizeof(*s.target));
    for (size_t i = rows * dim; i < 2 * rows * dim; i++)
        s.h[i] = NAN;
    for (size_t r = rows; r < 2 * rows; r++)
        s.target[r] = KUA__NO_ID - 1;
    for (size_t j = 0; j < items; j++)
        s.bias[j] += 100;
    double *share = kua__malloc(items * sizeof(*share));
    for (size_t r = 0; r < rows; r++)
        reference_row(&s, r, share);
    run_sample(&s);
    assert_near(s.p.loss, s.loss, 1e-4 * fabs(s.loss));
    assert_near(error_of(s.p.dh, s.dh, rows * dim, 2 * s.p.each), 0, 0.01);
    assert_near(error_of(s.p.dw, s.dw, items * dim, 2 * s.p.each), 0, 0.01);
    kua__free(share);
    free_sample(&s);
}

/* Zero times infinity is not a number: a row that does not count must not be too far off either. */
static void surprises_of_rows_without_target_are_reported(void **state)
{
    (void)state;
    if (!usable()) skip();
    sample s = make_sample(2, 4000, 2, 1, false);
    memset(s.h, 0, 4 * sizeof(float));
    memset(s.w, 0, 8000 * sizeof(float));
    s.h[0] = 100, s.h[2] = 1;
    s.w[2 * 77] = 1;
    s.target[0] = KUA__NO_ID;
    s.target[1] = 0;
    s.scratch = kua__malloc(kua__softmax_bf16_scratch(&s.p) * sizeof(float));
    assert_false(kua__softmax_bf16(&s.p, s.scratch));
    free_sample(&s);
}

static void gradients_may_be_left_out(void **state)
{
    (void)state;
    if (!usable()) skip();
    sample s = make_sample(30, 70, 32, 0.5f, false);
    run_sample(&s);
    double loss = s.p.loss;
    kua__softmax_problem p = s.p;
    p.dh = p.dw = NULL;
    assert_true(kua__softmax_bf16(&p, s.scratch));
    assert_true(p.loss == loss);
    free_sample(&s);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    if (!usable()) skip();
    sample s = make_sample(500, 3000, 48, 0.5f, true);
    run_sample(&s);
    float *dw = s.p.dw, *again = kua__malloc(3000 * 48 * sizeof(float));
    double loss = s.p.loss;
    s.p.dw = again;
    kua__threads_set(kua__threads() == 1 ? 3 : 1);
    assert_true(kua__softmax_bf16(&s.p, s.scratch));
    assert_true(s.p.loss == loss);
    assert_memory_equal(dw, again, 3000 * 48 * sizeof(float));
    s.p.dw = dw;
    kua__free(again);
    free_sample(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_formula),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(surprises_are_reported),
        cmocka_unit_test(large_biases_need_no_further_rows),
        cmocka_unit_test(surprises_of_rows_without_target_are_reported),
        cmocka_unit_test(gradients_may_be_left_out),
        cmocka_unit_test(threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_linear.c - TF-IDF terms and weights, logistic regression to the minimum, its choice of L2.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "app/lbfgs.h"
#include "app/tfidf.h"

/* ---- terms ---- */

static kua_status join(void *ctx, const char *term, size_t n)
{
    kua__buf *buf = ctx;
    kua__buf_add(buf, term, n);
    kua__buf_puts(buf, "|");
    return kua__buf_status(buf);
}

static void says(const char *text, size_t n, const char *expected)
{
    kua__buf buf = {0};
    assert_ok(kua__text_terms(text, n, join, &buf));
    assert_string_equal(buf.data ? buf.data : "", expected);
    kua__buf_release(&buf);
}

static void terms_of_both_kinds_of_script(void **state)
{
    (void)state;
    says("aB c", 4, "wab|p ab|p ab |pab |wc|wab c|p c |");
    says("\xe8\xb7\x91\xe6\xad\xa5!", 7,
         "c\xe8\xb7\x91|c\xe8\xb7\x91\xe6\xad\xa5|c\xe8\xb7\x91\xe6\xad\xa5!|c\xe6\xad\xa5|"
         "c\xe6\xad\xa5!|c!|");
    says("", 0, "");
    says(" \xff\xfe ", 4, ""); /* not UTF-8: nothing */
}

static void a_long_word_is_cut_and_nothing_breaks(void **state)
{
    (void)state;
    char text[5000];
    kua__buf buf = {0};
    memset(text, 'x', sizeof(text));
    assert_ok(kua__text_terms(text, sizeof(text), join, &buf));
    kua__buf_release(&buf);
}

static void weights_are_scikit_learns(void **state)
{
    (void)state;
    const kua_text text[] = {{"a a b", 5}, {"b", 1}};
    const uint8_t use[] = {0, 0};
    kua__tfidf v;
    kua__design x;
    assert_ok(kua__tfidf_fit(&v, text, use, 2, 1));
    assert_ok(kua__tfidf_rows(&v, text, 2, &x));
    /* text 1: "wb" and "p b ", both in both texts: idf 1 each, length 1 */
    assert_int_equal(x.at[2] - x.at[1], 2);
    assert_near(x.value[x.at[1]], 1 / sqrt(2), 1e-6);
    uint32_t a = kua__ids_find(&v.terms, "wa", 2);
    assert_near(v.idf[a], log(3. / 2) + 1, 1e-6);
    double sum = 0;
    for (size_t k = x.at[0]; k < x.at[1]; k++)
        sum += (double)x.value[k] * x.value[k];
    assert_near(sum, 1, 1e-6);
    kua__design_release(&x);
    kua__tfidf_release(&v);
}

/* ---- the minimum ---- */

static kua_status bowl(void *ctx, const float *x, float *g, double *value)
{
    (void)ctx;
    *value = 0;
    for (int i = 0; i < 3; i++) {
        double scale = i == 0 ? 1 : i == 1 ? 100 : .01, away = (double)x[i] - i;
        *value += scale * away * away;
        g[i] = (float)(2 * scale * away);
    }
    return KUA_OK;
}

static void a_narrow_bowl(void **state)
{
    (void)state;
    float x[3] = {5, -3, 40};
    kua__lbfgs_options o = {.most = 200, .small = 1e-6, .small_gain = 0};
    assert_ok(kua__lbfgs(bowl, NULL, x, 3, &o));
    assert_near(x[0], 0, 1e-3);
    assert_near(x[1], 1, 1e-3);
    assert_near(x[2], 2, 1e-2);
}

enum { ROWS = 40, COLS = 3 };

static void make_rows(float *x, float *y, size_t outs)
{
    kua__rng rng = kua__rng_make(9, 1);
    for (size_t i = 0; i < ROWS; i++) {
        double z = 0;
        for (size_t c = 0; c < COLS; c++) {
            x[i * COLS + c] = kua__rng_normal(&rng);
            z += x[i * COLS + c] * (c == 0 ? 2 : -1);
        }
        bool yes = z + .7 * kua__rng_normal(&rng) > 0;
        if (outs == 1)
            y[i] = yes;
        else
            y[2 * i] = !yes, y[2 * i + 1] = yes;
    }
}

/* At the minimum the gradient is zero: X^T (p - y) + l2 w. */
static void check_minimum(size_t outs, bool softmax)
{
    float x[ROWS * COLS], y[2 * ROWS], z[2 * ROWS];
    uint8_t held[ROWS] = {0};
    make_rows(x, y, outs);
    kua__design d = {.rows = ROWS, .cols = COLS, .dense = x};
    kua__logistic_task task = {
        .x = &d, .outs = outs, .softmax = softmax, .target = y, .held = held};
    kua__affine m;
    double square = 0, l2 = .05;
    for (size_t i = 0; i < ROWS * COLS; i++)
        square += (double)x[i] * x[i] / ROWS;
    assert_ok(kua__affine_create(&m, COLS, outs));
    assert_ok(kua__logistic_fit(&task, held, l2, &m));
    assert_ok(kua__affine_apply(&m, &d, z));
    kua__probabilities(z, ROWS, outs, softmax);
    for (size_t o = 0; o < outs; o++) {
        double bias = 0;
        for (size_t c = 0; c < COLS; c++) {
            double g = l2 * square * m.w[c * outs + o];
            for (size_t i = 0; i < ROWS; i++)
                g += x[i * COLS + c] * (z[i * outs + o] - y[i * outs + o]);
            assert_near(g, 0, .02);
        }
        for (size_t i = 0; i < ROWS; i++)
            bias += z[i * outs + o] - y[i * outs + o];
        assert_near(bias, 0, .02);
    }
    kua__affine_release(&m);
}

static void the_gradient_is_zero_at_the_minimum(void **state)
{
    (void)state;
    check_minimum(1, false);
    check_minimum(2, true);
    check_minimum(2, false);
}

static void sparse_and_dense_rows_give_the_same(void **state)
{
    (void)state;
    float x[ROWS * COLS], y[ROWS], value[ROWS * COLS];
    uint8_t held[ROWS] = {0};
    make_rows(x, y, 1);
    kua__design dense = {.rows = ROWS, .cols = COLS, .dense = x},
                sparse = {.rows = ROWS, .cols = COLS};
    sparse.at = kua__alloc_array(ROWS + 1, sizeof(size_t));
    sparse.col = kua__alloc_array(ROWS * COLS, sizeof(uint32_t));
    sparse.value = kua__alloc_array(ROWS * COLS, sizeof(float));
    (void)value;
    for (size_t i = 0; i <= ROWS; i++)
        sparse.at[i] = i * COLS;
    for (size_t k = 0; k < ROWS * COLS; k++) {
        sparse.col[k] = k % COLS;
        sparse.value[k] = x[k];
    }
    assert_ok(kua__design_turn(&sparse));
    kua__affine a, b;
    assert_ok(kua__affine_create(&a, COLS, 1));
    assert_ok(kua__affine_create(&b, COLS, 1));
    kua__logistic_task task = {.x = &dense, .outs = 1, .target = y, .held = held};
    assert_ok(kua__logistic_fit(&task, held, .1, &a));
    task.x = &sparse;
    assert_ok(kua__logistic_fit(&task, held, .1, &b));
    for (size_t c = 0; c <= COLS; c++)
        assert_near(a.w[c], b.w[c], 1e-3);
    kua__affine_release(&a);
    kua__affine_release(&b);
    kua__design_release(&sparse);
}

static void a_strong_term_stays_at_the_prior(void **state)
{
    (void)state;
    float x[ROWS * COLS], y[ROWS], w[COLS + 1] = {4, -4, 1, 0};
    uint8_t held[ROWS] = {0};
    make_rows(x, y, 1);
    kua__design d = {.rows = ROWS, .cols = COLS, .dense = x};
    kua__affine prior = {.cols = COLS, .outs = 1, .w = w, .bias = w + COLS}, m;
    kua__logistic_task task = {.x = &d, .outs = 1, .target = y, .held = held, .prior = &prior};
    assert_ok(kua__affine_create(&m, COLS, 1));
    assert_ok(kua__logistic_fit(&task, held, 1e5, &m));
    for (size_t c = 0; c < COLS; c++)
        assert_near(m.w[c], w[c], 1e-2);
    kua__affine_release(&m);
}

static void choosing_needs_no_luck(void **state)
{
    (void)state;
    float x[ROWS * COLS], y[ROWS], z[ROWS];
    uint8_t held[ROWS] = {0};
    uint32_t group[ROWS];
    double l2 = 0;
    size_t right = 0;
    make_rows(x, y, 1);
    for (size_t i = 0; i < ROWS; i++)
        group[i] = (uint32_t)i / 2;
    kua__design d = {.rows = ROWS, .cols = COLS, .dense = x};
    kua__logistic_task task = {
        .x = &d, .outs = 1, .target = y, .held = held, .group = group, .seed = 3};
    kua__affine m;
    assert_ok(kua__affine_create(&m, COLS, 1));
    assert_ok(kua__logistic_choose(&task, &m, &l2));
    assert_true(l2 > 0);
    assert_ok(kua__affine_apply(&m, &d, z));
    for (size_t i = 0; i < ROWS; i++)
        right += (z[i] > 0) == (y[i] > 0);
    assert_in_range(right, 34, ROWS);
    kua__affine_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_of_both_kinds_of_script),
        cmocka_unit_test(a_long_word_is_cut_and_nothing_breaks),
        cmocka_unit_test(weights_are_scikit_learns),
        cmocka_unit_test(a_narrow_bowl),
        cmocka_unit_test(the_gradient_is_zero_at_the_minimum),
        cmocka_unit_test(sparse_and_dense_rows_give_the_same),
        cmocka_unit_test(a_strong_term_stays_at_the_prior),
        cmocka_unit_test(choosing_needs_no_luck),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

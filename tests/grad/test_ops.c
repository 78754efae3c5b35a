/* test_ops.c - every operation's gradient against finite differences: single elements, odd sizes,
 * sizes beyond one vector and beyond one thread's grain, empty sequences.
 */
#include "check.h"

static const shape sizes[] = {{1, 1}, {3, 5}, {2, 17}, {7, 33}, {130, 3}};
static const kua__ragged nothing = {0};

/* ---- elementwise ---- */

#define UNARY(op)                                                                                  \
    static kua__var *build_##op(scene *s)                                                          \
    {                                                                                              \
        return mixed(s, kua__##op(s->t, use(s, 0)));                                               \
    }
#define BINARY(op)                                                                                 \
    static kua__var *build_##op(scene *s)                                                          \
    {                                                                                              \
        return mixed(s, kua__##op(s->t, use(s, 0), use(s, 1)));                                    \
    }                                                                                              \
    static kua__var *build_##op##_self(scene *s)                                                   \
    {                                                                                              \
        kua__var *x = kua__scale(s->t, use(s, 0), 1.5f);                                           \
        return mixed(s, kua__##op(s->t, x, x));                                                    \
    }

UNARY(gelu)
UNARY(sigmoid)
UNARY(tanh)
UNARY(silu)
UNARY(softmax)
BINARY(add)
BINARY(sub)
BINARY(mul)

static kua__var *build_scale(scene *s)
{
    return mixed(s, kua__scale(s->t, use(s, 0), -1.25f));
}

UNARY(relu)

/* Away from the kink, where a difference tells nothing. */
static void relu_has_right_slopes(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(sizes); i++) {
        scene s;
        scene_open(&s, 1, &sizes[i], 11);
        for (size_t j = 0; j < sizes[i].rows * sizes[i].cols; j++) {
            float *x = &s.p[0]->value[j];
            if (fabsf(*x) < 0.05f) *x = 0.3f;
        }
        check_slopes(&s, build_relu);
        scene_close(&s);
    }
}

static void elementwise_operations(void **state)
{
    (void)state;
    static const build_fn unary[] = {build_gelu, build_sigmoid, build_tanh,
                                     build_silu, build_softmax, build_scale};
    static const build_fn binary[] = {build_add, build_sub, build_mul};
    static const build_fn self[] = {build_add_self, build_sub_self, build_mul_self};
    for (size_t i = 0; i < KUA__COUNT(sizes); i++) {
        for (size_t j = 0; j < KUA__COUNT(unary); j++)
            check_case(unary[j], 1, &sizes[i], nothing, NULL);
        for (size_t j = 0; j < KUA__COUNT(self); j++)
            check_case(self[j], 1, &sizes[i], nothing, NULL);
        for (size_t j = 0; j < KUA__COUNT(binary); j++)
            check_case(binary[j], 2, (shape[]){sizes[i], sizes[i]}, nothing, NULL);
    }
}

static kua__var *build_swiglu(scene *s)
{
    return mixed(s, kua__swiglu(s->t, use(s, 0)));
}

BINARY(add_row)
BINARY(mul_row)
BINARY(mul_col)

static void rows_and_columns(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(sizes); i++) {
        size_t rows = sizes[i].rows, cols = sizes[i].cols;
        check_case(build_swiglu, 1, &(shape){rows, 2 * cols}, nothing, NULL);
        check_case(build_add_row, 2, (shape[]){{rows, cols}, {1, cols}}, nothing, NULL);
        check_case(build_mul_row, 2, (shape[]){{rows, cols}, {1, cols}}, nothing, NULL);
        check_case(build_mul_col, 2, (shape[]){{rows, cols}, {rows, 1}}, nothing, NULL);
    }
    check_case(build_add_row_self, 1, &(shape){1, 5}, nothing, NULL);
    check_case(build_mul_row_self, 1, &(shape){1, 5}, nothing, NULL);
    check_case(build_mul_col_self, 1, &(shape){5, 1}, nothing, NULL);
}

/* ---- products ---- */

BINARY(matmul)
BINARY(matmul_nt)
BINARY(matmul_tn)

static kua__var *build_linear(scene *s)
{
    return mixed(s, kua__linear(s->t, use(s, 0), use(s, 1), s->p[2] ? use(s, 2) : NULL));
}

static void products(void **state)
{
    (void)state;
    static const size_t mnk[][3] = {{1, 1, 1}, {3, 4, 5}, {17, 9, 33}, {40, 64, 50}};
    for (size_t i = 0; i < KUA__COUNT(mnk); i++) {
        size_t m = mnk[i][0], n = mnk[i][1], k = mnk[i][2];
        check_case(build_matmul, 2, (shape[]){{m, k}, {k, n}}, nothing, NULL);
        check_case(build_matmul_nt, 2, (shape[]){{m, k}, {n, k}}, nothing, NULL);
        check_case(build_matmul_tn, 2, (shape[]){{k, m}, {k, n}}, nothing, NULL);
        check_case(build_linear, 2, (shape[]){{m, k}, {n, k}}, nothing, NULL);
        check_case(build_linear, 3, (shape[]){{m, k}, {n, k}, {1, n}}, nothing, NULL);
    }
    check_case(build_matmul_self, 1, &(shape){6, 6}, nothing, NULL);
    check_case(build_matmul_nt_self, 1, &(shape){6, 4}, nothing, NULL);
    check_case(build_matmul_tn_self, 1, &(shape){6, 4}, nothing, NULL);
}

/* ---- norms ---- */

static kua__var *build_layer_norm(scene *s)
{
    kua__var *gain = s->p[1] ? use(s, 1) : NULL, *bias = s->p[2] ? use(s, 2) : NULL;
    return mixed(s, kua__layer_norm(s->t, use(s, 0), gain, bias, 0.1f));
}

static kua__var *build_rms_norm(scene *s)
{
    return mixed(s, kua__rms_norm(s->t, use(s, 0), s->p[1] ? use(s, 1) : NULL, 0.1f));
}

static kua__var *build_l2(scene *s)
{
    kua__var *x =
        kua__add_row(s->t, use(s, 0), use(s, 1)); /* seldom near zero, where it is steep */
    return mixed(s, kua__l2_normalize(s->t, x, 1e-6f));
}

static kua__var *build_l2_short(scene *s)
{
    return mixed(s, kua__l2_normalize(s->t, use(s, 0), 100));
}

static void norms(void **state)
{
    (void)state;
    static const shape some[] = {{1, 1}, {3, 5}, {5, 17}, {9, 40}};
    for (size_t i = 0; i < KUA__COUNT(some); i++) {
        shape row = {1, some[i].cols};
        check_case(build_layer_norm, 1, &some[i], nothing, NULL);
        check_case(build_layer_norm, 2, (shape[]){some[i], row}, nothing, NULL);
        check_case(build_layer_norm, 3, (shape[]){some[i], row, row}, nothing, NULL);
        check_case(build_rms_norm, 1, &some[i], nothing, NULL);
        check_case(build_rms_norm, 2, (shape[]){some[i], row}, nothing, NULL);
        check_case(build_l2_short, 1, &some[i], nothing, NULL);
        if (i) check_case(build_l2, 2, (shape[]){some[i], {1, some[i].cols}}, nothing, NULL);
    }
}

/* ---- shapes ---- */

static kua__var *build_concat_cols(scene *s)
{
    kua__var *parts[] = {use(s, 0), use(s, 1), kua__tanh(s->t, use(s, 0))};
    return mixed(s, kua__concat_cols(s->t, parts, 3));
}

static kua__var *build_concat_rows(scene *s)
{
    kua__var *parts[] = {use(s, 0), use(s, 1), kua__tanh(s->t, use(s, 0))};
    return mixed(s, kua__concat_rows(s->t, parts, 3));
}

static kua__var *build_slices(scene *s)
{
    kua__var *x = use(s, 0), *inner = kua__slice_cols(s->t, x, 1, x->cols - 1);
    kua__var *h = kua__slice_rows(s->t, kua__tanh(s->t, inner), 1, x->rows - 2);
    kua__var *both[] = {h, kua__slice_rows(s->t, kua__slice_cols(s->t, x, 0, x->cols - 1), 0, 1)};
    return mixed(s, kua__concat_rows(s->t, both, 2));
}

static const uint32_t picked[] = {2, 0, 2, 2, 1};

static kua__var *build_gather(scene *s)
{
    kua__var *h = kua__tanh(s->t, use(s, 0));
    return mixed(s, kua__add(s->t, kua__gather_rows(s->t, h, picked, 5),
                             kua__gather_rows(s->t, use(s, 0), picked, 5)));
}

static void joining_and_cutting(void **state)
{
    (void)state;
    check_case(build_concat_cols, 2, (shape[]){{4, 3}, {4, 20}}, nothing, NULL);
    check_case(build_concat_cols, 2, (shape[]){{1, 1}, {1, 1}}, nothing, NULL);
    check_case(build_concat_rows, 2, (shape[]){{4, 3}, {7, 3}}, nothing, NULL);
    check_case(build_slices, 1, &(shape){5, 19}, nothing, NULL);
    check_case(build_gather, 1, &(shape){4, 7}, nothing, NULL);
    check_case(build_gather, 1, &(shape){3, 40}, nothing, NULL);
}

static kua__var *build_mean_rows(scene *s)
{
    return mixed(s, kua__mean_rows(s->t, kua__tanh(s->t, use(s, 0)), s->seq));
}

/* Values a tenth apart: a step does not change which one is the largest. */
static kua__var *build_max_rows(scene *s)
{
    kua__param *p = s->p[0];
    for (size_t i = 0; i < p->rows * p->cols && p->value[0] != 0.1f * 7; i++)
        p->value[i] = 0.1f * (float)((i * 37 + 7) % (p->rows * p->cols));
    return mixed(s, kua__max_rows(s->t, use(s, 0), s->seq));
}

static kua__var *build_ends(scene *s)
{
    kua__var *x = use(s, 0);
    return mixed(s,
                 kua__mul(s->t, kua__first_row(s->t, x, s->seq), kua__last_row(s->t, x, s->seq)));
}

static void pooling_of_sequences(void **state)
{
    (void)state;
    static const uint32_t with_empty[] = {0, 0, 3, 4, 4, 9, 9}, full[] = {0, 1, 4, 9},
                          one[] = {0, 1};
    const kua__ragged gaps = {6, with_empty}, dense = {3, full}, single = {1, one};
    check_case(build_mean_rows, 1, &(shape){9, 5}, gaps, NULL);
    check_case(build_mean_rows, 1, &(shape){1, 1}, single, NULL);
    check_case(build_ends, 1, &(shape){9, 5}, dense, NULL);
    scene s;
    scene_open(&s, 1, &(shape){9, 5}, 11);
    s.seq = gaps;
    assert_ok(kua__tape_backward(s.t, build_max_rows(&s)));
    for (size_t j = 0; j < 5; j++) { /* exactly one row of each sequence gets the column's slope */
        assert_near(s.p[0]->grad[3 * 5 + j], s.mix[2 * 5 + j], 0);
        float sum = s.p[0]->grad[j] + s.p[0]->grad[5 + j] + s.p[0]->grad[10 + j];
        assert_near(sum, s.mix[5 + j], 0);
    }
    scene_close(&s);
}

/* ---- losses ---- */

static kua__var *build_sum_mean(scene *s)
{
    kua__var *x = kua__tanh(s->t, use(s, 0));
    return kua__add(s->t, kua__sum(s->t, x), kua__mean(s->t, kua__mul(s->t, x, x)));
}

static kua__var *build_cross_entropy(scene *s)
{
    kua__var *x = kua__scale(s->t, use(s, 0), 2); /* a result, then a parameter: both ways to add */
    return kua__add(s->t, kua__cross_entropy(s->t, x, s->extra),
                    kua__cross_entropy(s->t, use(s, 0), s->extra));
}

static kua__var *build_bce(scene *s)
{
    return kua__scale(s->t, kua__bce(s->t, kua__scale(s->t, use(s, 0), 2), s->extra), 10);
}

static kua__var *build_mse(scene *s)
{
    return kua__scale(s->t, kua__mse(s->t, use(s, 0), kua__tanh(s->t, use(s, 1))), 10);
}

static void losses(void **state)
{
    (void)state;
    static const uint32_t target[] = {2, KUA__NO_ID, 0, 4, 1, KUA__NO_ID}, none[] = {KUA__NO_ID};
    static const float soft[] = {0, 1, 0.25f, 1, 0, 0.5f, 1, 0};
    check_case(build_sum_mean, 1, &(shape){5, 21}, nothing, NULL);
    check_case(build_cross_entropy, 1, &(shape){6, 5}, nothing, target);
    check_case(build_cross_entropy, 1, &(shape){1, 1}, nothing, (const uint32_t[]){0});
    check_case(build_cross_entropy, 1, &(shape){1, 3}, nothing, none);
    check_case(build_bce, 1, &(shape){2, 4}, nothing, soft);
    check_case(build_bce, 1, &(shape){1, 1}, nothing, soft);
    check_case(build_mse, 2, (shape[]){{3, 7}, {3, 7}}, nothing, NULL);
}

static void large_values_stay_finite(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 1, &(shape){1, 3}, 1);
    memcpy(s.p[0]->value, (float[]){500, -500, 0}, 3 * sizeof(float));
    const uint32_t worst = 1;
    kua__var *loss = kua__cross_entropy(s.t, use(&s, 0), &worst);
    assert_near(loss->value[0], 1000, 1e-3);
    kua__tape_reset(s.t);
    loss = kua__bce(s.t, use(&s, 0), (float[]){0, 1, 0.5f});
    assert_near(loss->value[0], (1000 + log(2)) / 3, 1e-3);
    scene_close(&s);
}

/* ---- what only changes gradients ---- */

static void gradients_are_reversed_and_stopped(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 1, &(shape){2, 3}, 1);
    kua__var *x = use(&s, 0), *turned = kua__reverse_grad(s.t, x, 0.5f);
    assert_memory_equal(turned->value, x->value, 6 * sizeof(float));
    assert_ok(kua__tape_backward(s.t, mixed(&s, turned)));
    for (size_t i = 0; i < 6; i++)
        assert_near(s.p[0]->grad[i], -0.5f * s.mix[i], 1e-7);
    kua__params_clear_grads(&s.params);
    kua__tape_reset(s.t);
    x = use(&s, 0);
    assert_ok(kua__tape_backward(s.t, mixed(&s, kua__mul(s.t, x, kua__stop_grad(s.t, x)))));
    for (size_t i = 0; i < 6; i++)
        assert_near(s.p[0]->grad[i], s.mix[i] * s.p[0]->value[i], 1e-6);
    scene_close(&s);
}

static kua__var *build_dropout(scene *s)
{
    kua__var *h = kua__dropout(s->t, kua__tanh(s->t, use(s, 0)), 0.3f);
    return mixed(s, kua__dropout(s->t, h, 0.5f));
}

static void dropout_uses_one_mask_both_ways(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 1, &(shape){7, 100}, 1);
    assert_ok(kua__tape_backward(s.t, build_dropout(&s)));
    kua__tape_reset(s.t);
    kua__tape_set_step(s.t, 0); /* the same draws as in the first pass */
    kua__var *y = kua__dropout(s.t, kua__tanh(s.t, use(&s, 0)), 0.3f);
    y = kua__dropout(s.t, y, 0.5f);
    size_t zeros = 0;
    for (size_t i = 0; i < 700; i++) {
        zeros += y->value[i] == 0;
        assert_int_equal(y->value[i] == 0, s.p[0]->grad[i] == 0);
    }
    assert_in_range(zeros, 700 * 55 / 100, 700 * 75 / 100);
    kua__tape_set_training(s.t, false);
    kua__tape_reset(s.t);
    kua__var *x = use(&s, 0);
    assert_ptr_equal(kua__dropout(s.t, x, 0.3f), x);
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elementwise_operations),
        cmocka_unit_test(relu_has_right_slopes),
        cmocka_unit_test(rows_and_columns),
        cmocka_unit_test(products),
        cmocka_unit_test(norms),
        cmocka_unit_test(joining_and_cutting),
        cmocka_unit_test(pooling_of_sequences),
        cmocka_unit_test(losses),
        cmocka_unit_test(large_values_stay_finite),
        cmocka_unit_test(gradients_are_reversed_and_stopped),
        cmocka_unit_test(dropout_uses_one_mask_both_ways),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

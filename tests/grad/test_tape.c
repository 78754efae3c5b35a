/* test_tape.c - how errors stay in the tape, which message they carry, and what is recorded. */
#include "check.h"

#include "grad/tape.h"

static void the_first_error_stays(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 2, (shape[]){{2, 3}, {4, 5}}, 1);
    kua__var *bad = kua__matmul(s.t, use(&s, 0), use(&s, 1));
    assert_null(bad);
    kua__var *worse = kua__add(s.t, use(&s, 0), use(&s, 1));
    assert_null(worse);
    assert_null(kua__gelu(s.t, kua__add(s.t, bad, use(&s, 1))));
    kua__fail(KUA_IO, "something else happened meanwhile");
    assert_fails(kua__tape_backward(s.t, mixed(&s, worse)), KUA_SHAPE,
                 "matmul: a is 2x3, b is 4x5");
    kua__tape_reset(s.t);
    assert_ok(kua__tape_status(s.t));
    assert_fails(kua__tape_backward(s.t, NULL), KUA_INVALID, "there is no loss");
    assert_fails(kua__tape_backward(s.t, use(&s, 0)), KUA_SHAPE, "loss is 2x3, must be 1x1");
    scene_close(&s);
}

/* Each row: an operation on wrong shapes, and the message that must come. */
#define WRONG(call, status, text)                                                                  \
    do {                                                                                           \
        kua__tape_reset(t);                                                                        \
        assert_null(call);                                                                         \
        assert_fails(kua__tape_status(t), status, text);                                           \
    } while (0)

static void wrong_shapes_are_named(void **state)
{
    (void)state;
    static const uint32_t far[] = {0, 9}, ends[] = {0, 1, 1, 2}, bad_label[] = {0, 3};
    scene s;
    scene_open(&s, 3, (shape[]){{2, 3}, {3, 2}, {1, 2}}, 1);
    kua__tape *t = s.t;
#define A   use(&s, 0)
#define B   use(&s, 1)
#define ROW use(&s, 2)
    WRONG(kua__matmul_nt(t, A, B), KUA_SHAPE, "matmul_nt: a is 2x3, b is 3x2");
    WRONG(kua__matmul_tn(t, A, B), KUA_SHAPE, "matmul_tn: a is 2x3, b is 3x2");
    WRONG(kua__linear(t, A, B, NULL), KUA_SHAPE, "linear: x is 2x3, w is 3x2");
    WRONG(kua__linear(t, B, ROW, ROW), KUA_SHAPE, "linear: w is 1x2, b is 1x2");
    WRONG(kua__add(t, A, B), KUA_SHAPE, "add: a is 2x3, b is 3x2");
    WRONG(kua__sub(t, A, B), KUA_SHAPE, "sub: a is 2x3, b is 3x2");
    WRONG(kua__mul(t, A, B), KUA_SHAPE, "mul: a is 2x3, b is 3x2");
    WRONG(kua__add_row(t, A, ROW), KUA_SHAPE, "add_row: x is 2x3, row is 1x2");
    WRONG(kua__mul_row(t, A, ROW), KUA_SHAPE, "mul_row: x is 2x3, row is 1x2");
    WRONG(kua__mul_col(t, A, ROW), KUA_SHAPE, "mul_col: x is 2x3, col is 1x2");
    WRONG(kua__swiglu(t, A), KUA_SHAPE, "swiglu: x is 2x3");
    WRONG(kua__layer_norm(t, A, ROW, NULL, 1e-5f), KUA_SHAPE, "x is 2x3, gain is 1x2");
    WRONG(kua__layer_norm(t, A, NULL, ROW, 1e-5f), KUA_SHAPE, "x is 2x3, bias is 1x2");
    WRONG(kua__rms_norm(t, A, ROW, 1e-5f), KUA_SHAPE, "rms_norm: x is 2x3, gain is 1x2");
    WRONG(kua__concat_cols(t, (kua__var *[]){A, B}, 2), KUA_SHAPE, "concat_cols");
    WRONG(kua__concat_rows(t, (kua__var *[]){A, B}, 2), KUA_SHAPE, "concat_rows");
    WRONG(kua__slice_cols(t, A, 2, 2), KUA_SHAPE,
          "slice_cols: x is 2x3, wanted are columns 2 to 4");
    WRONG(kua__slice_rows(t, A, 3, 1), KUA_SHAPE, "slice_rows: x is 2x3, wanted are rows 3 to 4");
    WRONG(kua__gather_rows(t, A, far, 2), KUA_INVALID, "index[1] is 9, x is 2x3");
    WRONG(kua__last_row(t, A, (kua__ragged){3, ends}), KUA_INVALID, "sequence 1 of 3 is empty");
    WRONG(kua__mean_rows(t, B, (kua__ragged){3, ends}), KUA_SHAPE, "x is 3x2, its 3 sequences end");
    WRONG(kua__cross_entropy(t, A, bad_label), KUA_INVALID, "target[1] is 3, logits are 2x3");
    WRONG(kua__mse(t, A, B), KUA_SHAPE, "mse: a is 2x3, b is 3x2");
    WRONG(kua__dropout(t, A, 1), KUA_INVALID, "dropout: p is 1");
    scene_close(&s);
}

static void inputs_can_have_gradients(void **state)
{
    (void)state;
    scene s;
    const float x[] = {1, 2, 3}, y[] = {4, 5, 6};
    scene_open(&s, 0, NULL, 1);
    kua__var *a = kua__input_with_grad(s.t, 1, 3, x), *b = kua__input(s.t, 1, 3, y);
    assert_ok(kua__tape_backward(s.t, kua__sum(s.t, kua__mul(s.t, a, b))));
    assert_memory_equal(a->grad, y, sizeof(y));
    assert_null(b->grad);
    scene_close(&s);
}

static void evaluation_records_nothing(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 1, &(shape){2, 3}, 1);
    kua__tape_set_training(s.t, false);
    kua__var *x = use(&s, 0), *loss = mixed(&s, kua__gelu(s.t, x));
    assert_false(x->wants || loss->wants);
    assert_null(s.p[0]->grad); /* not even made */
    scene_close(&s);
}

/* Gradients of results go back to the pool: a long chain needs two, not one a link. */
static void gradients_are_used_again(void **state)
{
    (void)state;
    scene s;
    static float x[1 << 16];
    scene_open(&s, 0, NULL, 1);
    kua__var *h = kua__input_with_grad(s.t, 1 << 8, 1 << 8, x);
    for (int i = 0; i < 30; i++)
        h = kua__tanh(s.t, h);
    h = kua__sum(s.t, h);
    size_t forward = kua__tape_bytes(s.t);
    assert_ok(kua__tape_backward(s.t, h));
    assert_in_range(kua__tape_bytes(s.t) - forward, 1, 4 * sizeof(x));
    scene_close(&s);
}

static void draws_differ_by_step_and_operation(void **state)
{
    (void)state;
    kua__tape *t = NULL;
    assert_ok(kua__tape_create(NULL, &t));
    uint64_t a = kua__tape_stream(t), b = kua__tape_stream(t);
    kua__tape_reset(t);
    uint64_t c = kua__tape_stream(t);
    assert_true(a != b && b != c && a != c);
    kua__tape_set_step(t, 0);
    assert_int_equal(kua__tape_stream(t), a);
    kua__tape_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_error_stays),
        cmocka_unit_test(wrong_shapes_are_named),
        cmocka_unit_test(inputs_can_have_gradients),
        cmocka_unit_test(evaluation_records_nothing),
        cmocka_unit_test(gradients_are_used_again),
        cmocka_unit_test(draws_differ_by_step_and_operation),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_recurrent.c - LSTM and GRU: gradients against finite differences on ragged sequences, and
 * what must not matter to a sequence's result: which others are in the batch.
 */
#include "check.h"

enum { IN = 3, H = 5 };

static kua__var *build_lstm(scene *s)
{
    return mixed(s, kua__lstm(s->t, kua__tanh(s->t, use(s, 0)), s->seq, use(s, 1), use(s, 2),
                              s->p[3] ? use(s, 3) : NULL));
}

static kua__var *build_gru(scene *s)
{
    kua__var *b = s->p[3] ? use(s, 3) : NULL, *bu = s->p[4] ? use(s, 4) : NULL;
    return mixed(s,
                 kua__gru(s->t, kua__tanh(s->t, use(s, 0)), s->seq, use(s, 1), use(s, 2), b, bu));
}

static const uint32_t mixed_ends[] = {0, 4, 4, 5, 11, 11, 13}, one_end[] = {0, 1};
static const kua__ragged ragged = {6, mixed_ends}, single = {1, one_end};

static void lstm_has_right_slopes(void **state)
{
    (void)state;
    const shape shapes[] = {{13, IN}, {4 * H, IN}, {4 * H, H}, {1, 4 * H}};
    check_case(build_lstm, 4, shapes, ragged, NULL);
    check_case(build_lstm, 3, shapes, ragged, NULL);
    check_case(build_lstm, 4, (shape[]){{1, 1}, {4, 1}, {4, 1}, {1, 4}}, single, NULL);
}

static void gru_has_right_slopes(void **state)
{
    (void)state;
    const shape shapes[] = {{13, IN}, {3 * H, IN}, {3 * H, H}, {1, 3 * H}, {1, 3 * H}};
    check_case(build_gru, 5, shapes, ragged, NULL);
    check_case(build_gru, 3, shapes, ragged, NULL);
    check_case(build_gru, 5, (shape[]){{1, 1}, {3, 1}, {3, 1}, {1, 3}, {1, 3}}, single, NULL);
}

/* A sequence alone gives the same states as the sequence in a batch. */
static void batches_do_not_change_results(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 5, (shape[]){{13, IN}, {4 * H, IN}, {4 * H, H}, {3 * H, IN}, {3 * H, H}}, 5);
    for (int gru = 0; gru < 2; gru++) {
        kua__tape_reset(s.t);
        kua__var *x = use(&s, 0), *w = use(&s, gru ? 3 : 1), *u = use(&s, gru ? 4 : 2);
        kua__var *all = gru ? kua__gru(s.t, x, ragged, w, u, NULL, NULL)
                            : kua__lstm(s.t, x, ragged, w, u, NULL);
        for (size_t i = 0; i < ragged.n; i++) {
            const uint32_t n = mixed_ends[i + 1] - mixed_ends[i], ends[] = {0, n};
            kua__var *mine = kua__slice_rows(s.t, x, mixed_ends[i], n);
            kua__ragged alone = {1, ends};
            kua__var *y = gru ? kua__gru(s.t, mine, alone, w, u, NULL, NULL)
                              : kua__lstm(s.t, mine, alone, w, u, NULL);
            assert_non_null(y);
            for (size_t j = 0; j < n * H; j++)
                assert_near(y->value[j], all->value[mixed_ends[i] * H + j], 1e-6);
        }
    }
    scene_close(&s);
}

static void nothing_in_nothing_out(void **state)
{
    (void)state;
    const uint32_t ends[] = {0, 0, 0};
    scene s;
    scene_open(&s, 3, (shape[]){{0, IN}, {4 * H, IN}, {4 * H, H}}, 5);
    kua__var *y = kua__lstm(s.t, use(&s, 0), (kua__ragged){2, ends}, use(&s, 1), use(&s, 2), NULL);
    assert_ok(kua__tape_backward(s.t, kua__sum(s.t, y)));
    kua__tape_reset(s.t);
    y = kua__lstm(s.t, use(&s, 0), (kua__ragged){0}, use(&s, 1), use(&s, 2), NULL);
    assert_ok(kua__tape_backward(s.t, kua__sum(s.t, y)));
    assert_int_equal(y->rows, 0);
    scene_close(&s);
}

static void wrong_shapes_are_told(void **state)
{
    (void)state;
    const uint32_t ends[] = {0, 2, 1};
    scene s;
    scene_open(&s, 4, (shape[]){{2, IN}, {4 * H, IN}, {4 * H, H}, {4 * H, IN + 1}}, 5);
    kua__var *x = use(&s, 0);
    assert_null(kua__lstm(s.t, x, (kua__ragged){2, ends}, use(&s, 1), use(&s, 2), NULL));
    assert_fails(kua__tape_status(s.t), KUA_SHAPE, "lstm: x is 2x3, its 2 sequences end at row 1");
    kua__tape_reset(s.t);
    assert_null(kua__lstm(s.t, use(&s, 0), single, use(&s, 3), use(&s, 2), NULL));
    assert_fails(kua__tape_status(s.t), KUA_SHAPE, "lstm: x is 2x3, w is 20x4");
    kua__tape_reset(s.t);
    assert_null(kua__gru(s.t, use(&s, 0), single, use(&s, 1), use(&s, 2), NULL, NULL));
    assert_fails(kua__tape_status(s.t), KUA_SHAPE, "gru: w is 20x3, u is 20x5");
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lstm_has_right_slopes),         cmocka_unit_test(gru_has_right_slopes),
        cmocka_unit_test(batches_do_not_change_results), cmocka_unit_test(nothing_in_nothing_out),
        cmocka_unit_test(wrong_shapes_are_told),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_sampled_loss.c - candidates, and the loss over them.
 *
 * That the correction is right is shown by an expectation: over many batches the gradient of the
 * sampled loss is close to that of the full one, and without log_q it is not.
 */
#include "check.h"

enum { ITEMS = 40, ROWS = 6, WIDE = 3 };

static void candidates_are_targets_and_draws(void **state)
{
    (void)state;
    kua__tape *t = NULL;
    float share[200];
    uint32_t target[] = {150, 3, KUA__NO_ID, 150, 64}, kept[5];
    memcpy(kept, target, sizeof(kept));
    for (size_t i = 0; i < 200; i++)
        share[i] = 1.0f / 200;
    assert_ok(kua__tape_create(NULL, &t));
    kua__candidates c = kua__draw_candidates(t, 200, share, 20, target, 5);
    assert_ok(kua__tape_status(t));
    assert_true(c.n >= 3 && c.n <= 23);
    for (size_t i = 1; i < c.n; i++)
        assert_true(c.item[i - 1] < c.item[i]);
    for (size_t i = 0; i < 5; i++) {
        if (kept[i] == KUA__NO_ID)
            assert_int_equal(target[i], KUA__NO_ID);
        else
            assert_int_equal(c.item[target[i]], kept[i]);
    }
    assert_near(c.log_q[0], log(1 - exp(-(4 * share[0] + 0.1))), 1e-5);
    kua__tape_free(t);
}

static void what_is_outside_is_refused(void **state)
{
    (void)state;
    kua__tape *t = NULL;
    float share[10] = {0};
    uint32_t target[] = {1, 10};
    assert_ok(kua__tape_create(NULL, &t));
    kua__candidates c = kua__draw_candidates(t, 10, share, 5, target, 2);
    assert_null(c.item);
    assert_fails(kua__tape_status(t), KUA_INVALID, "target[1] is 10, there are 10 items");
    kua__tape_reset(t);
    c = (kua__candidates){.n = 3};
    kua__var *h = kua__input(t, 1, 1, share), *w = kua__input(t, 2, 1, share);
    assert_null(kua__sampled_loss(t, h, w, &c, target));
    assert_fails(kua__tape_status(t), KUA_SHAPE, "w is 2x1, there are 3 candidates");
    kua__tape_free(t);
}

static const float bias[ITEMS] = {0.5f, -1, 2, 0, 0.25f, -3, 1};
static const uint32_t target[ROWS] = {2, 39, 0, KUA__NO_ID, 2, 17};

static kua__var *build_biased(scene *s)
{
    kua__var *loss = kua__softmax_loss_biased(s->t, use(s, 0), use(s, 1), bias, target);
    return kua__scale(s->t, loss, 3);
}

static void bias_has_right_slopes(void **state)
{
    (void)state;
    const shape shapes[] = {{ROWS, WIDE}, {ITEMS, WIDE}};
    check_case(build_biased, 2, shapes, (kua__ragged){0}, NULL);
}

/* A logit lowered by infinity is as good as absent: the loss over the first two items alone. */
static void bias_equals_leaving_out(void **state)
{
    (void)state;
    scene s;
    const shape shapes[] = {{1, WIDE}, {3, WIDE}};
    const float out[] = {0, 0, -1e30f};
    const uint32_t first = 0;
    scene_open(&s, 2, shapes, 4);
    kua__var *h = use(&s, 0), *w = use(&s, 1);
    kua__var *biased = kua__softmax_loss_biased(s.t, h, w, out, &first);
    kua__var *two = kua__softmax_loss(s.t, h, kua__slice_rows(s.t, w, 0, 2), &first);
    assert_near(biased->value[0], two->value[0], 1e-6);
    scene_close(&s);
}

enum { MANY = 24 };

/* Targets as a shop has them: four items take four fifths. */
static void draw_targets(kua__rng *rng, uint32_t *to)
{
    for (size_t i = 0; i < MANY; i++) {
        bool popular = kua__rng_below(rng, 5) < 4;
        to[i] = popular ? kua__rng_below(rng, 4) : 4 + kua__rng_below(rng, ITEMS - 4);
    }
}

static void add_gradient(scene *s, kua__var *loss, double sign, double *sum)
{
    assert_ok(kua__tape_backward(s->t, loss));
    for (size_t i = 0; i < MANY * WIDE; i++)
        sum[i] += sign * s->p[0]->grad[i];
    kua__params_clear_grads(&s->params);
    kua__tape_reset(s->t);
}

/* Length of the mean difference between the gradients of h of the sampled and the full loss. */
static double mean_difference(scene *s, bool corrected)
{
    double sum[MANY * WIDE] = {0}, square = 0;
    float share[ITEMS];
    uint32_t to[MANY];
    kua__rng rng = kua__rng_make(5, 6);
    for (size_t i = 0; i < ITEMS; i++)
        share[i] = i < 4 ? 0.2f : 0.2f / (ITEMS - 4);
    for (size_t draws = 0; draws < 500; draws++) {
        draw_targets(&rng, to);
        add_gradient(s, kua__softmax_loss(s->t, use(s, 0), use(s, 1), to), -1, sum);
        kua__candidates c = kua__draw_candidates(s->t, ITEMS, share, 6, to, MANY);
        for (size_t i = 0; i < c.n && !corrected; i++)
            c.log_q[i] = 0;
        kua__var *w = kua__gather_rows(s->t, use(s, 1), c.item, c.n);
        add_gradient(s, kua__sampled_loss(s->t, use(s, 0), w, &c, to), 1, sum);
    }
    for (size_t i = 0; i < MANY * WIDE; i++)
        square += sum[i] * sum[i];
    return sqrt(square);
}

static void correction_brings_it_close_to_the_full_loss(void **state)
{
    (void)state;
    scene s;
    const shape shapes[] = {{MANY, WIDE}, {ITEMS, WIDE}};
    scene_open(&s, 2, shapes, 8);
    double with = mean_difference(&s, true), without = mean_difference(&s, false);
    print_message("off by %.4f with the correction, %.4f without\n", with, without);
    assert_true(with < 0.6 * without); /* the rest: a row's own target is always a candidate */
    scene_close(&s);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st;
    float share[ITEMS] = {1}, h[2] = {1, 2}, w[ITEMS * 2] = {0};
    TEST_EVERY_ALLOCATION(st)
    {
        kua__tape *t = NULL;
        uint32_t place[] = {5};
        st = kua__tape_create(&(kua__tape_options){.chunk_bytes = 256}, &t);
        if (!st) {
            kua__candidates c = kua__draw_candidates(t, ITEMS, share, 8, place, 1);
            kua__var *x = kua__input_with_grad(t, 1, 2, h);
            kua__var *rows = c.item ? kua__input(t, c.n, 2, w) : NULL;
            st = kua__tape_backward(t, kua__sampled_loss(t, x, rows, &c, place));
        }
        kua__tape_free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(candidates_are_targets_and_draws),
        cmocka_unit_test(what_is_outside_is_refused),
        cmocka_unit_test(bias_has_right_slopes),
        cmocka_unit_test(bias_equals_leaving_out),
        cmocka_unit_test(correction_brings_it_close_to_the_full_loss),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

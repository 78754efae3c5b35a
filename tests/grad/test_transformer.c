/* test_transformer.c - what only transformers use, against formulas and finite differences: rotary
 * embedding in both layouts, grouped attention, GPT-2's gelu, a softmax loss whose bias is trained,
 * and parts that are computed twice.
 */
#include "check.h"

#include <string.h>

enum { WIDTH = 6, HEADS = 4, KV_HEADS = 2, ROWS = 54 };
static const uint32_t ends[] = {0, 3, 3, 4, 49, 54};
static const kua__ragged seq = {5, ends};

/* ---- gelu ---- */

static kua__var *build_gelu_tanh(scene *s)
{
    return mixed(s, kua__gelu_tanh(s->t, use(s, 0)));
}

static void gelu_tanh_is_its_formula(void **state)
{
    (void)state;
    static const shape sizes[] = {{1, 1}, {3, 5}, {7, 33}, {2, 300}};
    for (size_t i = 0; i < KUA__COUNT(sizes); i++)
        check_case(build_gelu_tanh, 1, &sizes[i], seq, NULL);
    scene s;
    scene_open(&s, 0, NULL, 1);
    float x[] = {-30, -3, -1, -.1f, 0, .5f, 1, 2, 30};
    kua__var *y = kua__gelu_tanh(s.t, kua__input(s.t, 1, KUA__COUNT(x), x));
    for (size_t i = 0; i < KUA__COUNT(x); i++) {
        double u = sqrt(2 / 3.14159265358979) * (x[i] + 0.044715 * pow(x[i], 3));
        assert_near(y->value[i], x[i] * (1 + tanh(u)) / 2, 2e-6 * (1 + fabs((double)x[i])));
    }
    scene_close(&s);
}

/* ---- rotary ---- */

static kua__var *build_rotary(scene *s)
{
    const bool *interleaved = s->extra;
    return mixed(s, kua__rotary(s->t, use(s, 0), s->seq, WIDTH, 100, *interleaved));
}

/* In double precision: the pair that begins at column `col` of row `row`. */
static void check_pair(const kua__var *y, const float *x, size_t row, size_t place, size_t col,
                       size_t apart, size_t j)
{
    double angle = (double)place * pow(100, -2.0 * (double)j / WIDTH);
    size_t a = row * y->cols + col, b = a + apart;
    assert_near(y->value[a], x[a] * cos(angle) - x[b] * sin(angle), 1e-5);
    assert_near(y->value[b], x[a] * sin(angle) + x[b] * cos(angle), 1e-5);
}

static void check_rotary(bool interleaved)
{
    scene s;
    scene_open(&s, 1, &(shape){ROWS, 2 * WIDTH}, 4);
    const kua__var *y = kua__rotary(s.t, use(&s, 0), seq, WIDTH, 100, interleaved);
    assert_ok(kua__tape_status(s.t));
    for (size_t i = 0; i < seq.n; i++) {
        for (size_t row = ends[i]; row < ends[i + 1]; row++) {
            for (size_t p = 0; p < WIDTH; p++) {
                size_t j = p % (WIDTH / 2), head = p / (WIDTH / 2) * WIDTH;
                check_pair(y, s.p[0]->value, row, row - ends[i], head + (interleaved ? 2 * j : j),
                           interleaved ? 1 : WIDTH / 2, j);
            }
        }
    }
    scene_close(&s);
    check_case(build_rotary, 1, &(shape){ROWS, 2 * WIDTH}, seq, &interleaved);
}

static void rotary_turns_pairs(void **state)
{
    (void)state;
    check_rotary(false);
    check_rotary(true);
    scene s;
    scene_open(&s, 1, &(shape){ROWS, 9}, 4);
    assert_null(kua__rotary(s.t, use(&s, 0), seq, WIDTH, 100, true));
    assert_fails(kua__tape_status(s.t), KUA_SHAPE, "54x9");
    scene_close(&s);
}

/* ---- grouped attention ---- */

static kua__var *build_grouped(scene *s)
{
    const bool *causal = s->extra;
    return mixed(s, kua__attention_grouped(s->t, use(s, 0), use(s, 1), use(s, 2), s->seq, HEADS,
                                           KV_HEADS, *causal));
}

static kua__var *repeat_heads(scene *s, kua__var *x)
{
    kua__var *part[HEADS];
    for (size_t h = 0; h < HEADS; h++)
        part[h] = kua__slice_cols(s->t, x, h / (HEADS / KV_HEADS) * WIDTH, WIDTH);
    return kua__concat_cols(s->t, part, HEADS);
}

static void grouped_attention_repeats_keys(void **state)
{
    (void)state;
    const shape shapes[] = {
        {ROWS, HEADS * WIDTH}, {ROWS, KV_HEADS * WIDTH}, {ROWS, KV_HEADS * WIDTH}};
    for (int causal = 0; causal < 2; causal++) {
        scene s;
        scene_open(&s, 3, shapes, 8);
        kua__var *q = use(&s, 0), *k = use(&s, 1), *v = use(&s, 2);
        kua__var *a = kua__attention_grouped(s.t, q, k, v, seq, HEADS, KV_HEADS, causal);
        kua__var *b =
            kua__attention(s.t, q, repeat_heads(&s, k), repeat_heads(&s, v), seq, HEADS, causal);
        assert_ok(kua__tape_status(s.t));
        assert_memory_equal(a->value, b->value, ROWS * HEADS * WIDTH * sizeof(float));
        assert_null(kua__attention_grouped(s.t, q, k, v, seq, HEADS, 3, causal));
        assert_fails(kua__tape_status(s.t), KUA_SHAPE, "heads");
        scene_close(&s);
        bool is_causal = causal;
        check_case(build_grouped, 3, shapes, seq, &is_causal);
    }
}

/* ---- a softmax loss with a trained bias ---- */

static kua__var *build_loss(scene *s)
{
    return kua__scale(
        s->t, kua__softmax_loss_trained(s->t, use(s, 0), use(s, 1), use(s, 2), s->extra), 3);
}

static void bias_of_softmax_loss_is_trained(void **state)
{
    (void)state;
    static const uint32_t target[] = {4, 0, KUA__NO_ID, 8, 4};
    check_case(build_loss, 3, (shape[]){{5, 7}, {9, 7}, {1, 9}}, seq, target);
    scene s;
    scene_open(&s, 3, (shape[]){{5, 7}, {9, 7}, {1, 8}}, 8);
    s.extra = target;
    assert_null(build_loss(&s));
    assert_fails(kua__tape_status(s.t), KUA_SHAPE, "bias is 1x8");
    scene_close(&s);
}

/* ---- parts that are computed twice ---- */

static kua__var *part(kua__tape *t, kua__var *x, const void *ctx)
{
    kua__param *const *p = ctx;
    kua__var *y = kua__dropout(t, kua__linear(t, x, kua__use(t, p[0]), NULL), .3f);
    return kua__add(t, x, kua__tanh(t, y));
}

static kua__var *chain(scene *s, bool again)
{
    kua__var *x = kua__scale(s->t, use(s, 0), 1);
    for (size_t i = 1; i < 4; i++)
        x = again ? kua__recompute(s->t, x, part, &s->p[i], sizeof(s->p[i]))
                  : part(s->t, x, &s->p[i]);
    return mixed(s, kua__dropout(s->t, x, .5f));
}

static void recomputed_parts_give_the_same_bits(void **state)
{
    (void)state;
    const shape shapes[] = {{ROWS, 16}, {16, 16}, {16, 16}, {16, 16}};
    scene s[2];
    for (int again = 0; again < 2; again++) {
        scene_open(&s[again], 4, shapes, 8);
        for (int step = 0; step < 2; step++) { /* gradients add up over two passes */
            kua__tape_reset(s[again].t);
            assert_ok(kua__tape_backward(s[again].t, chain(&s[again], again)));
        }
    }
    for (size_t i = 0; i < 4; i++) {
        size_t n = shapes[i].rows * shapes[i].cols * sizeof(float);
        assert_memory_equal(s[0].p[i]->grad, s[1].p[i]->grad, n);
    }
    scene_close(&s[0]);
    scene_close(&s[1]);
}

static kua__var *failing_part(kua__tape *t, kua__var *x, const void *ctx)
{
    (void)ctx;
    return kua__matmul(t, x, x);
}

static void recomputed_parts_report_errors(void **state)
{
    (void)state;
    scene s;
    scene_open(&s, 1, &(shape){3, 2}, 8);
    assert_null(kua__recompute(s.t, use(&s, 0), failing_part, NULL, 0));
    assert_fails(kua__tape_status(s.t), KUA_SHAPE, "matmul");
    scene_close(&s);
}

static void recomputed_parts_survive_failing_memory(void **state)
{
    (void)state;
    const shape shapes[] = {{ROWS, 16}, {16, 16}, {16, 16}, {16, 16}};
    kua_status st;
    scene s;
    TEST_EVERY_ALLOCATION(st)
    {
        s = (scene){0};
        kua__rng rng = kua__rng_make(1, 0);
        kua__params_init(&s.params);
        st = kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 12}, &s.t);
        for (size_t i = 0; !st && i < 4; i++)
            st = kua__params_add(&s.params, (char[]){(char)('a' + i), 0}, shapes[i].rows,
                                 shapes[i].cols, KUA__INIT_NORMAL, 1, &rng, &s.p[i]);
        if (!st) {
            kua__var *loss = chain(&s, true);
            st = loss ? kua__tape_backward(s.t, loss) : kua__tape_status(s.t);
        }
        scene_close(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gelu_tanh_is_its_formula),
        cmocka_unit_test(rotary_turns_pairs),
        cmocka_unit_test(grouped_attention_repeats_keys),
        cmocka_unit_test(bias_of_softmax_loss_is_trained),
        cmocka_unit_test(recomputed_parts_give_the_same_bits),
        cmocka_unit_test(recomputed_parts_report_errors),
        cmocka_unit_test(recomputed_parts_survive_failing_memory),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

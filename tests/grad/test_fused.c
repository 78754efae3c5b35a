/* test_fused.c - attention and the softmax loss against plain formulas and finite differences.
 *
 * Method: a scalar made of the operation's result (its product with fixed random numbers, summed)
 * is differentiated by the tape and by central differences. Values are f32, so steps are large
 * (1e-2) and tolerances 2e-2 of the largest slope.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "grad/grad.h"

enum { HEADS = 2, WIDTH = 8, COLS = HEADS * WIDTH };

typedef struct scene {
    kua__tape *tape;
    kua__params params;
    kua__param *p[3];
    float *mix; /* what the result is multiplied by */
    kua__ragged seq;
    const uint32_t *target;
    bool causal, packed;
} scene;

typedef kua__var *(*build_fn)(scene *s);

static void scene_open(scene *s, size_t n, const size_t (*shape)[2], bool bf16)
{
    kua__rng rng = kua__rng_make(5, 0);
    assert_ok(
        kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 16, .bf16 = bf16}, &s->tape));
    kua__params_init(&s->params);
    for (size_t i = 0; i < n; i++) {
        char name[8] = {(char)('a' + i)};
        assert_ok(kua__params_add(&s->params, name, shape[i][0], shape[i][1], KUA__INIT_NORMAL,
                                  0.7f, &rng, &s->p[i]));
    }
    s->mix = kua__malloc(1 << 16);
    for (size_t i = 0; i < (1 << 14); i++)
        s->mix[i] = kua__rng_normal(&rng);
}

static void scene_close(scene *s)
{
    kua__tape_free(s->tape);
    kua__params_release(&s->params);
    kua__free(s->mix);
}

static kua__var *mixed(scene *s, kua__var *y)
{
    if (!y) return NULL;
    return kua__sum(s->tape, kua__mul(s->tape, y, kua__input(s->tape, y->rows, y->cols, s->mix)));
}

static kua__var *build_attention(scene *s)
{
    kua__tape *t = s->tape;
    if (s->packed)
        return mixed(s, kua__self_attention(t, kua__use(t, s->p[0]), s->seq, HEADS, s->causal));
    return mixed(s, kua__attention(t, kua__use(t, s->p[0]), kua__use(t, s->p[1]),
                                   kua__use(t, s->p[2]), s->seq, HEADS, s->causal));
}

static kua__var *build_loss(scene *s)
{
    kua__tape *t = s->tape;
    kua__var *h = kua__use(t, s->p[0]), *w = kua__use(t, s->p[1]);
    return kua__scale(t, kua__softmax_loss(t, h, w, s->target), 3);
}

static double value_of(scene *s, build_fn build)
{
    kua__tape_reset(s->tape);
    kua__var *y = build(s);
    assert_non_null(y);
    return y->value[0];
}

static void assert_slopes(scene *s, build_fn build)
{
    kua__tape_reset(s->tape);
    assert_ok(kua__tape_backward(s->tape, build(s)));
    for (size_t i = 0; i < s->params.n; i++) {
        kua__param *p = s->params.all[i];
        size_t n = p->rows * p->cols, stride = n / 97 + 1;
        float most = 0;
        for (size_t j = 0; j < n; j++)
            most = fmaxf(most, fabsf(p->grad[j]));
        assert_true(most > 0);
        for (size_t j = 0; j < n; j += stride) {
            float kept = p->value[j];
            p->value[j] = kept + 1e-2f;
            double up = value_of(s, build);
            p->value[j] = kept - 1e-2f;
            double down = value_of(s, build);
            p->value[j] = kept;
            assert_near(p->grad[j], (up - down) / 2e-2, 2e-2 * most + 1e-3);
        }
    }
}

/* Short sequences, an empty one, and one above the length where matrix products take over. */
static const uint32_t ends[] = {0, 3, 3, 4, 49, 54};

static void attention_slopes(bool causal, bool packed)
{
    const size_t apart[][2] = {{54, COLS}, {54, COLS}, {54, COLS}},
                 together[][2] = {{54, 3 * COLS}};
    scene s = {.seq = {5, ends}, .causal = causal, .packed = packed};
    scene_open(&s, packed ? 1 : 3, packed ? together : apart, false);
    assert_slopes(&s, build_attention);
    scene_close(&s);
}

static void attention_has_right_slopes(void **state)
{
    (void)state;
    attention_slopes(true, false);
    attention_slopes(false, false);
    attention_slopes(true, true);
    attention_slopes(false, true);
}

/* The formula, in double precision, for one query. */
static void plain_attention(const scene *s, size_t row, size_t first, size_t last, size_t head,
                            double *y)
{
    double share[64], sum = 0;
    const float *q = s->p[0]->value + row * COLS + head * WIDTH;
    for (size_t j = first; j < last; j++) {
        const float *k = s->p[1]->value + j * COLS + head * WIDTH;
        double dot = 0;
        for (size_t c = 0; c < WIDTH; c++)
            dot += (double)q[c] * k[c];
        sum += share[j - first] = exp(dot / sqrt(WIDTH));
    }
    memset(y, 0, WIDTH * sizeof(*y));
    for (size_t j = first; j < last; j++) {
        for (size_t c = 0; c < WIDTH; c++)
            y[c] += share[j - first] / sum * s->p[2]->value[j * COLS + head * WIDTH + c];
    }
}

static void attention_equals_its_formula(void **state)
{
    (void)state;
    const size_t shape[][2] = {{54, COLS}, {54, COLS}, {54, COLS}};
    scene s = {.seq = {5, ends}};
    scene_open(&s, 3, shape, false);
    for (int causal = 0; causal < 2; causal++) {
        kua__tape_reset(s.tape);
        kua__tape *t = s.tape;
        kua__var *y = kua__attention(t, kua__use(t, s.p[0]), kua__use(t, s.p[1]),
                                     kua__use(t, s.p[2]), s.seq, HEADS, causal);
        assert_non_null(y);
        for (size_t i = 0; i < s.seq.n; i++) {
            for (size_t row = ends[i]; row < ends[i + 1]; row++) {
                double expected[WIDTH];
                for (size_t head = 0; head < HEADS; head++) {
                    plain_attention(&s, row, ends[i], causal ? row + 1 : ends[i + 1], head,
                                    expected);
                    for (size_t c = 0; c < WIDTH; c++)
                        assert_near(y->value[row * COLS + head * WIDTH + c], expected[c], 1e-5);
                }
            }
        }
    }
    scene_close(&s);
}

static void attention_refuses_wrong_shapes(void **state)
{
    (void)state;
    const size_t shape[][2] = {{54, COLS}, {53, COLS}, {54, COLS}};
    scene s = {.seq = {5, ends}};
    scene_open(&s, 3, shape, false);
    kua__tape *t = s.tape;
    assert_null(build_attention(&s));
    assert_fails(kua__tape_status(t), KUA_SHAPE, "attention");
    kua__tape_reset(t);
    kua__var *q = kua__use(t, s.p[0]), *k = kua__use(t, s.p[2]);
    assert_null(kua__attention(t, q, k, kua__use(t, s.p[0]), s.seq, 3, true));
    assert_fails(kua__tape_status(t), KUA_SHAPE, "3 heads");
    kua__tape_reset(t);
    assert_null(kua__self_attention(t, kua__use(t, s.p[0]), s.seq, HEADS, true));
    assert_fails(kua__tape_status(t), KUA_SHAPE, "divide by 3");
    kua__tape_reset(t);
    kua__ragged bad = {4, ends};
    assert_null(kua__attention(t, kua__use(t, s.p[0]), kua__use(t, s.p[2]), kua__use(t, s.p[0]),
                               bad, HEADS, true));
    assert_fails(kua__tape_status(t), KUA_SHAPE, "");
    scene_close(&s);
}

/* ---- softmax loss ---- */

static const uint32_t few[] = {3, 0, KUA__NO_ID, 6, 6, 1, 2};

static void loss_has_right_slopes(void **state)
{
    (void)state;
    const size_t shape[][2] = {{7, 12}, {9, 12}};
    scene s = {.target = few};
    scene_open(&s, 2, shape, false);
    assert_slopes(&s, build_loss);
    scene_close(&s);
}

/* Many rows against a table so large that rows go through in several chunks; f32 and bf16. */
static void loss_equals_cross_entropy(void **state)
{
    (void)state;
    enum { N = 150, M = 30011, D = 16 };
    for (int bf16 = 0; bf16 < 2; bf16++) {
        const size_t shape[][2] = {{N, D}, {M, D}};
        uint32_t target[N];
        for (size_t i = 0; i < N; i++)
            target[i] = i % 11 == 0 ? KUA__NO_ID : (uint32_t)(i * 7919 % M);
        scene s = {.target = target};
        scene_open(&s, 2, shape, bf16);
        kua__tape *t = s.tape;
        kua__var *h = kua__use(t, s.p[0]), *w = kua__use(t, s.p[1]);
        kua__var *plain = kua__cross_entropy(t, kua__matmul_nt(t, h, w), target);
        assert_ok(kua__tape_backward(t, plain));
        double expected = plain->value[0];
        float *gradient[2];
        for (size_t i = 0; i < 2; i++) {
            size_t bytes = shape[i][0] * D * sizeof(float);
            gradient[i] = kua__malloc(bytes);
            memcpy(gradient[i], s.p[i]->grad, bytes);
        }
        kua__params_clear_grads(&s.params);
        kua__tape_reset(t);
        kua__var *loss = kua__softmax_loss(t, kua__use(t, s.p[0]), kua__use(t, s.p[1]), target);
        assert_ok(kua__tape_backward(t, loss));
        assert_near(loss->value[0], expected, bf16 ? 1e-3 : 1e-5);
        for (size_t i = 0; i < 2; i++) {
            for (size_t j = 0; j < shape[i][0] * D; j++)
                assert_near(s.p[i]->grad[j], gradient[i][j], bf16 ? 2e-4 : 1e-6);
            kua__free(gradient[i]);
        }
        scene_close(&s);
    }
}

static void loss_refuses_what_is_outside(void **state)
{
    (void)state;
    const size_t shape[][2] = {{7, 12}, {6, 12}};
    const uint32_t none[] = {KUA__NO_ID, KUA__NO_ID, KUA__NO_ID, KUA__NO_ID,
                             KUA__NO_ID, KUA__NO_ID, KUA__NO_ID};
    scene s = {.target = few};
    scene_open(&s, 2, shape, false);
    assert_null(build_loss(&s));
    assert_fails(kua__tape_status(s.tape), KUA_INVALID, "target[3] is 6, the table has 6");
    kua__tape_reset(s.tape);
    s.target = none;
    kua__var *loss = build_loss(&s);
    assert_non_null(loss);
    assert_near(loss->value[0], 0, 0);
    assert_ok(kua__tape_backward(s.tape, loss));
    scene_close(&s);
}

static kua_status step_of(scene *s, build_fn build)
{
    kua__params_clear_grads(&s->params);
    kua__tape_reset(s->tape);
    kua__var *y = build(s);
    return y ? kua__tape_backward(s->tape, y) : kua__tape_status(s->tape);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const size_t shape[][2] = {{54, COLS}, {54, COLS}, {54, COLS}};
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        uint32_t target[54] = {0};
        scene s = {.seq = {5, ends}, .target = target};
        kua__params_init(&s.params);
        kua__rng rng = kua__rng_make(1, 1);
        st = kua__tape_create(&(kua__tape_options){.chunk_bytes = 4096}, &s.tape);
        for (size_t i = 0; i < 3 && !st; i++) {
            char name[8] = {(char)('a' + i)};
            st = kua__params_add(&s.params, name, shape[i][0], COLS, KUA__INIT_NORMAL, 1, &rng,
                                 &s.p[i]);
        }
        static float ones[54 * COLS];
        s.mix = ones;
        if (!st) st = step_of(&s, build_attention);
        if (!st) st = step_of(&s, build_loss);
        kua__tape_free(s.tape);
        kua__params_release(&s.params);
    }
}

static void same_threads_same_bits(void **state)
{
    (void)state;
    const size_t shape[][2] = {{54, COLS}, {54, COLS}, {54, COLS}};
    scene s = {.seq = {5, ends}, .causal = true};
    scene_open(&s, 3, shape, true);
    float first[54 * COLS];
    assert_ok(step_of(&s, build_attention));
    memcpy(first, s.p[1]->grad, sizeof(first));
    assert_ok(step_of(&s, build_attention));
    assert_memory_equal(first, s.p[1]->grad, sizeof(first));
    scene_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_has_right_slopes),
        cmocka_unit_test(attention_equals_its_formula),
        cmocka_unit_test(attention_refuses_wrong_shapes),
        cmocka_unit_test(loss_has_right_slopes),
        cmocka_unit_test(loss_equals_cross_entropy),
        cmocka_unit_test(loss_refuses_what_is_outside),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(same_threads_same_bits),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

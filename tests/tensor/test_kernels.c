/* test_kernels.c - every table of kernels against the plain one.
 *
 * Rows of 0 to 40 numbers, and some longer, start at every offset of a vector, so that partial
 * vectors and unaligned starts are met everywhere; one number behind each row must stay as it was.
 * Numbers are normal with some large ones, where exp overflows or a gate saturates.
 */
#include "testlib.h"

#include <float.h>
#include <math.h>

#include "tensor/kernels.h"

enum { ROOM = 2200 };

static const size_t lengths[] = {0,  1,  2,  3,  7,  8,   9,   15,  16,  17,  23,  24,  31, 32,
                                 33, 40, 63, 64, 65, 100, 127, 128, 129, 255, 384, 500, 513};

typedef struct rows {
    float x[8][ROOM];
} rows;

static rows input, plain,
    fast; /* what goes in; results of the plain table and of the one under test */
static const kua__kernels *reference, *tested;

static void fill(uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 1);
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < ROOM; j++) {
            float size = j % 13 == 5 ? 30 : j % 7 == 3 ? 0.01f : 1;
            input.x[i][j] = size * kua__rng_normal(&rng);
        }
    }
    plain = fast = input;
}

static void compare(const char *what, size_t n, double relative, double absolute)
{
    for (size_t i = 0; i < 8; i++) {
        for (size_t j = 0; j < ROOM; j++) {
            double a = plain.x[i][j], b = fast.x[i][j];
            if (a == b || (isnan(a) && isnan(b)) || fabs(a - b) <= absolute + relative * fabs(a))
                continue;
            fail_msg("%s %s n=%zu: row %zu, number %zu is %.9g, plain gives %.9g", tested->name,
                     what, n, i, j, b, a);
        }
    }
}

/* Runs `call` with the names k (table), r (rows) and n on both tables and compares all rows. */
#define CHECK(relative, absolute, call)                                                            \
    for (size_t l = 0; l < KUA__COUNT(lengths); l++) {                                             \
        size_t n = lengths[l], o = l % 16;                                                         \
        fill(l);                                                                                   \
        for (int side = 0; side < 2; side++) {                                                     \
            const kua__kernels *k = side ? tested : reference;                                     \
            rows *r = side ? &fast : &plain;                                                       \
            const rows *in = &input;                                                               \
            (void)in, (void)o;                                                                     \
            call;                                                                                  \
        }                                                                                          \
        compare(#call, n, relative, absolute);                                                     \
    }

static void elementwise(void)
{
    CHECK(0, 0, k->add(r->x[0] + o, in->x[1] + o, in->x[2], n));
    CHECK(0, 0, k->sub(r->x[0] + o, in->x[1] + o, in->x[2], n));
    CHECK(0, 0, k->mul(r->x[0] + o, in->x[1] + o, in->x[2], n));
    CHECK(1e-6, 1e-5, k->mul_add(r->x[0] + o, in->x[1] + o, in->x[2], n));
    CHECK(0, 0, k->scale(r->x[0] + o, in->x[1], -1.7f, n));
    CHECK(1e-6, 1e-5, k->axpy(r->x[0] + o, in->x[1], -1.7f, n));
    CHECK(1e-6, 1e-5, k->lerp(r->x[0] + o, in->x[1], 0.3f, n));
    CHECK(1e-6, 1e-37, k->exp(r->x[0] + o, in->x[1], n));
    CHECK(0, 0, k->add(r->x[0], r->x[0], in->x[2], n)); /* in place */
}

static void reductions(void)
{
    CHECK(1e-5, 1e-4, r->x[0][0] = k->sum(in->x[1] + o, n));
    CHECK(1e-5, 1e-2, r->x[0][0] = k->dot(in->x[1] + o, in->x[2], n));
    CHECK(0, 0, r->x[0][0] = n ? k->max(in->x[1] + o, n) : 0);
    for (float bar = -2; bar <= 6;
         bar += 1) /* of a sample that is mostly near 0: all, some, none */
        CHECK(0, 0, r->x[0][0] = (float)k->above(in->x[1] + o, bar, n));
}

static void activations(void)
{
    CHECK(2e-6, 2e-6, k->gelu(r->x[0] + o, in->x[1], n));
    CHECK(0, 0, k->relu(r->x[0] + o, in->x[1], n));
    CHECK(1e-6, 1e-7, k->sigmoid(r->x[0] + o, in->x[1], n));
    CHECK(1e-6, 1e-7, k->tanh(r->x[0] + o, in->x[1], n));
    CHECK(1e-6, 1e-7, k->silu(r->x[0] + o, in->x[1], n));
    CHECK(1e-6, 1e-6, k->swiglu(r->x[0] + o, in->x[1], in->x[2] + o, n));
}

static void activations_backward(bool add)
{
    CHECK(2e-6, 2e-5, k->gelu_back(r->x[0] + o, in->x[1], in->x[2], n, add));
    CHECK(0, 0, k->relu_back(r->x[0] + o, in->x[1], in->x[2], n, add));
    CHECK(2e-6, 2e-3, k->sigmoid_back(r->x[0] + o, in->x[1], in->x[2], n, add));
    CHECK(2e-6, 2e-3, k->tanh_back(r->x[0] + o, in->x[1], in->x[2], n, add));
    CHECK(2e-6, 2e-5, k->silu_back(r->x[0] + o, in->x[1], in->x[2], n, add));
    CHECK(2e-6, 2e-4, k->swiglu_back(r->x[0] + o, r->x[3], in->x[1], in->x[2], in->x[4], n, add));
}

static void row_operations(bool add)
{
    CHECK(2e-6, 1e-37, k->softmax(r->x[0] + o, in->x[1], n));
    CHECK(1e-5, 1e-2, k->softmax_back(r->x[0] + o, in->x[1], in->x[2], n, add));
    CHECK(2e-6, 1e-30, r->x[2][0] = k->exp_sum(r->x[0] + o, in->x[1], 20, n));
    CHECK(1e-5, 1e-5,
          if (n) k->layer_norm(r->x[0] + o, r->x[5], in->x[1], in->x[2], in->x[3], 1e-5f, n));
    CHECK(1e-5, 1e-5, if (n) k->layer_norm(r->x[0] + o, r->x[5], in->x[1], NULL, NULL, 1e-5f, n));
    CHECK(1e-5, 1e-5, if (n) k->rms_norm(r->x[0] + o, r->x[5], in->x[1], in->x[2], 1e-5f, n));
    static const float stat[2] = {0.1f, 0.4f};
    CHECK(1e-5, 2e-2,
          if (n) k->layer_norm_back(r->x[0] + o, r->x[4], r->x[5], in->x[1], in->x[2], in->x[3],
                                    stat, n, add));
    CHECK(1e-5, 2e-2,
          if (n)
              k->layer_norm_back(r->x[0] + o, NULL, NULL, in->x[1], NULL, in->x[3], stat, n, add));
    CHECK(1e-5, 2e-2,
          if (n)
              k->rms_norm_back(r->x[0] + o, r->x[4], in->x[1], in->x[2], in->x[3], stat, n, add));
}

/* Gates take 4 n numbers. */
static void recurrent_steps(void)
{
    CHECK(2e-6, 1e-6, k->lstm(r->x[0], r->x[1], r->x[2] + o, in->x[3], n));
    CHECK(2e-6, 1e-6, k->lstm(r->x[0], r->x[1], r->x[2] + o, NULL, n));
    CHECK(1e-5, 0.5, k->lstm_back(r->x[0], r->x[1], in->x[2], in->x[3], in->x[4], in->x[5] + o, n));
    CHECK(2e-6, 2e-6, k->gru(r->x[0], r->x[1], in->x[2] + o, in->x[3], n));
    CHECK(2e-6, 2e-6, k->gru(r->x[0], r->x[1], in->x[2] + o, NULL, n));
    CHECK(1e-5, 0.5, k->gru_back(r->x[0], r->x[1], r->x[2], in->x[3], in->x[4], in->x[5] + o, n));
}

static void updates(bool add)
{
    const kua__mask mask = {
        .seed = 0x123456789abcdef, .stream = 77, .threshold = 20000, .scale = 1.5f};
    CHECK(0, 0, k->dropout(r->x[0] + o, in->x[1], n, 128 * 5, &mask, add));
    CHECK(0, 0, k->dropout(r->x[0] + o, in->x[1], n, (size_t)1 << 40, &mask, add));
    const kua__adam adam = {0.5f, 0.01f, 0.9f, 0.99f, 0.999f, 0.01f, 3, 1e-8f};
    CHECK(2e-6, 1e-6, for (size_t i = 0; i < n; i++) r->x[3][i] = fabsf(r->x[3][i]);
          k->adam(r->x[0] + o, r->x[1], r->x[2], r->x[3], n, &adam));
}

static void conversions(void)
{
    CHECK(0, 0, k->to_bf16((uint16_t *)(void *)r->x[0] + o, in->x[1], n));
    CHECK(0, 0, k->from_bf16(r->x[0] + o, (const uint16_t *)(const void *)in->x[1], n));
}

static void tables_agree_with_the_plain_one(void **state)
{
    (void)state;
    reference = kua__kernels_of(KUA__ISA_PLAIN);
    for (int isa = KUA__ISA_AVX2; isa < KUA__ISA_COUNT; isa++) {
        tested = kua__kernels_of((kua__isa)isa);
        if (!tested) {
            print_message("this processor lacks %s: not compared\n", isa == 1 ? "avx2" : "avx512");
            continue;
        }
        elementwise();
        reductions();
        activations();
        recurrent_steps();
        for (int add = 0; add < 2; add++) {
            activations_backward(add);
            row_operations(add);
            updates(add);
        }
        conversions();
    }
}

/* exp: what must hold at the ends of the range, in every table. */
static void extremes_are_handled(void **state)
{
    (void)state;
    static const float x[16] = {0, -INFINITY, INFINITY, 100, -100, -1000, 88, -87, NAN, 1e-30f};
    for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
        const kua__kernels *k = kua__kernels_of((kua__isa)isa);
        float y[16];
        if (!k) continue;
        k->exp(y, x, 16);
        assert_true(y[0] == 1 && y[1] == 0 && isinf(y[2]) && isinf(y[3]) && y[5] == 0);
        assert_true(y[4] < 1e-38f && isfinite(y[6]) && y[7] > 0 && isnan(y[8]) && y[9] == 1);
        k->sigmoid(y, x, 16);
        assert_true(y[0] == 0.5f && y[1] == 0 && y[2] == 1 && y[3] == 1 && y[5] == 0);
        k->tanh(y, x, 16);
        assert_true(y[0] == 0 && y[1] == -1 && y[2] == 1 && y[3] == 1 && y[5] == -1);
        k->gelu(y, x, 7);
        assert_true(y[0] == 0 && y[3] == 100 && fabsf(y[5]) < 1e-30f);
        k->softmax(y, (float[3]){1000, -INFINITY, 1000}, 3);
        assert_true(y[0] == 0.5f && y[1] == 0 && y[2] == 0.5f);
    }
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    static const uint32_t bits[16] = {0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x7f7fffff,
                                      0x7f800000, 0x7f800001, 0xffc00000, 0x80000000};
    static const uint16_t expected[9] = {0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x7f80,
                                         0x7f80, 0x7fc0, 0xffc0, 0x8000};
    for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
        const kua__kernels *k = kua__kernels_of((kua__isa)isa);
        uint16_t y[16];
        float x[16];
        if (!k) continue;
        memcpy(x, bits, sizeof(x));
        k->to_bf16(y, x, 16);
        for (size_t i = 0; i < KUA__COUNT(expected); i++)
            assert_int_equal(y[i], expected[i]);
    }
}

static void dropout_keeps_the_stated_share(void **state)
{
    (void)state;
    static float ones[1 << 16], y[1 << 16];
    const kua__mask mask = {.seed = 5, .stream = 9, .threshold = 6554, .scale = 1};
    for (size_t i = 0; i < KUA__COUNT(ones); i++)
        ones[i] = 1;
    kua__kernels_get()->dropout(y, ones, KUA__COUNT(y), 0, &mask, false);
    assert_near(kua__kernels_get()->sum(y, KUA__COUNT(y)) / 65536, 0.9, 0.005);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_agree_with_the_plain_one),
        cmocka_unit_test(extremes_are_handled),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(dropout_keeps_the_stated_share),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

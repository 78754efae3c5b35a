/* test_lean.c - products with weights in the type of their file against the formula in double
 * precision on the widened weights; every instruction set's rows against each other.
 *
 * Blocks are random bytes with sane scales: any bytes are valid numbers of 4 or 8 bits.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "tensor/lean.h"

static const kua__dtype types[] = {KUA__F32,  KUA__F16,  KUA__BF16, KUA__Q8_0,
                                   KUA__Q4_0, KUA__Q4_1, KUA__Q4_K, KUA__Q6_K};

/* Scales of .01 or so, whatever the bytes around them are. */
static void sane_scales(kua__dtype type, uint8_t *block)
{
    static const uint16_t half = 0x211f; /* .01 */
    if (type == KUA__Q8_0 || type == KUA__Q4_0 || type == KUA__Q4_1 || type == KUA__Q4_K)
        memcpy(block, &half, 2);
    if (type == KUA__Q4_1 || type == KUA__Q4_K) memcpy(block + 2, &half, 2);
    if (type == KUA__Q6_K) memcpy(block + 208, &half, 2);
}

/* A matrix of that type on its own memory. */
static kua__tensor make(kua__dtype type, size_t rows, size_t cols, uint64_t seed)
{
    kua__tensor t = {.name = "w", .dtype = type, .rank = 2, .dim = {rows, cols}};
    assert_true(kua__tensor_measure(&t));
    uint8_t *data = kua__malloc(t.bytes);
    assert_non_null(data);
    kua__rng rng = kua__rng_make(seed, type);
    size_t size = kua__dtype_size(type);
    for (size_t at = 0; at < t.bytes; at += size) {
        float x = kua__rng_normal(&rng);
        uint32_t bits;
        memcpy(&bits, &x, 4);
        uint16_t bf16 = (uint16_t)(bits >> 16),
                 f16 = (uint16_t)(0x3000 + kua__rng_below(&rng, 2048));
        for (size_t i = 0; i < size; i++)
            data[at + i] = (uint8_t)kua__rng_u32(&rng);
        sane_scales(type, data + at);
        if (type == KUA__F32) memcpy(data + at, &x, 4);
        if (type == KUA__BF16) memcpy(data + at, &bf16, 2);
        if (type == KUA__F16) memcpy(data + at, &f16, 2);
    }
    t.data = data;
    return t;
}

static float *normal(size_t n, uint64_t seed)
{
    float *x = kua__alloc_array(n, sizeof(*x));
    kua__rng rng = kua__rng_make(seed, 77);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = kua__rng_normal(&rng);
    return x;
}

/* ---- rows ---- */

static void rows_are_what_they_widen_to(void **state)
{
    (void)state;
    enum { N = 512 };
    for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
        for (size_t k = 0; k < KUA__COUNT(types); k++) {
            kua__lean_dot_fn dot = kua__lean_dot_of((kua__isa)isa, types[k]);
            if (!dot) continue;
            kua__tensor t = make(types[k], 3, N, 5);
            float wide[3 * N], *x = normal(N, 6);
            kua__tensor_to_f32(&t, 0, 3 * N, wide);
            for (size_t r = 0; r < 3; r++) {
                double sum = 0, size = 0;
                for (size_t i = 0; i < N; i++) {
                    sum += (double)wide[r * N + i] * x[i];
                    size += fabs((double)wide[r * N + i] * x[i]);
                }
                const char *row = (const char *)t.data + r * (t.bytes / 3);
                assert_near(dot(row, x, N), sum, 1e-5 * size + 1e-6);
            }
            kua__free((void *)(uintptr_t)t.data);
            kua__free(x);
        }
    }
}

/* ---- products ---- */

typedef struct shape {
    size_t n, out[3], rows, parts;
    bool bias, add;
} shape;

static void check(kua__dtype type, const shape *s)
{
    const size_t in = kua__dtype_block(type) == 256 ? 256 : 96; /* an odd number of blocks of 32 */
    kua__tensor t[3];
    kua__lean_options o = {.n = s->n, .add = s->add, .parts = s->parts};
    size_t out = 0;
    for (size_t i = 0; i < s->n; i++) {
        t[i] = make(type, s->out[i], in, i);
        o.tensor[i] = &t[i];
        out += s->out[i];
    }
    float *x = normal(s->rows * in, 1), *y = normal(s->rows * out, 2),
          *before = normal(s->rows * out, 2);
    float *bias = normal(out, 3), *wide = kua__alloc_array(in, sizeof(float));
    kua__lean *lean = NULL;
    if (s->bias) o.bias = bias;
    assert_ok(kua__lean_create(&o, &lean));
    float *panel = kua__alloc_array(kua__lean_panel(lean), sizeof(float));
    assert_true(wide && panel);
    for (size_t part = 0; part < s->parts; part++)
        assert_ok(kua__lean_run_part(lean, part, s->rows, x, y, panel));
    for (size_t i = 0, column = 0; i < s->n; i++) {
        for (size_t j = 0; j < s->out[i]; j++, column++) {
            kua__tensor_to_f32(&t[i], j * in, in, wide);
            for (size_t r = 0; r < s->rows; r++) {
                double sum = s->bias ? bias[column] : 0, size = 1;
                if (s->add) sum += before[r * out + column];
                for (size_t c = 0; c < in; c++) {
                    sum += (double)wide[c] * x[r * in + c];
                    size += fabs((double)wide[c] * x[r * in + c]);
                }
                assert_near(y[r * out + column], sum, 1e-5 * size);
            }
        }
        kua__free((void *)(uintptr_t)t[i].data);
    }
    kua__lean_free(lean);
    kua__free(panel);
    kua__free(wide);
    kua__free(bias);
    kua__free(before);
    kua__free(y);
    kua__free(x);
}

static void products_follow_the_formula(void **state)
{
    (void)state;
    static const shape shapes[] = {
        {1, {70}, 1, 1, false, false},        {1, {5}, 3, 2, true, true},
        {3, {48, 16, 16}, 1, 2, true, false}, {2, {96, 96}, 9, 3, false, false},
        {1, {130}, 33, 2, true, true},        {3, {64, 1, 7}, 5, 5, true, false},
        {1, {3}, 2, 8, false, true}};
    for (size_t k = 0; k < KUA__COUNT(types); k++) {
        for (size_t i = 0; i < KUA__COUNT(shapes); i++)
            check(types[k], &shapes[i]);
    }
}

static void turned_weights_are_refused(void **state)
{
    (void)state;
    float w[4] = {1, 2, 3, 4};
    kua__tensor t = {"wte", KUA__F32, 2, {2, 2}, 4, 16, w, true};
    kua__lean *lean = NULL;
    kua__lean_options o = {.tensor = {&t}, .n = 1, .parts = 1};
    assert_fails(kua__lean_create(&o, &lean), KUA_FORMAT, "tensor \"wte\" lies as [in,out]");
    assert_null(lean);
    kua__lean_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_what_they_widen_to),
        cmocka_unit_test(products_follow_the_formula),
        cmocka_unit_test(turned_weights_are_refused),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_precision.c - vectors in bf16 and int8 against those in f32, on real texts, and what holds
 * in every precision: a text's vector is the same bits again, in any batch, alone, and whatever
 * number of threads computes it. */
#include "testlib.h"

#include <math.h>

#include "kua/encoder.h"
#include "tensor/kernels.h"

enum { TEXTS_MAX = 64, DIM_MAX = 512 };

typedef struct texts {
    kua__map map;
    kua_text text[TEXTS_MAX];
    size_t n;
} texts;

static void open_texts(texts *t)
{
    *t = (texts){0};
    assert_ok(kua__map_open(&t->map, test_data("encoder/data/texts.txt")));
    const char *at = t->map.data, *end = at + t->map.size;
    while (at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t n = (size_t)((stop ? stop : end) - at);
        assert_true(t->n < TEXTS_MAX);
        t->text[t->n++] = (kua_text){at, n};
        at += n + 1;
    }
}

static void encode(const char *model, kua_precision precision, size_t batch_tokens, const texts *in,
                   float *rows)
{
    kua_encoder *e = NULL;
    kua_encoder_options o = {.precision = precision, .batch_tokens = batch_tokens};
    assert_ok(kua_encoder_load(model, &o, &e));
    assert_ok(kua_encoder_encode(e, in->text, in->n, NULL, rows, NULL));
    kua_encoder_free(e);
}

static double cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++)
        ab += (double)a[i] * b[i], aa += (double)a[i] * a[i], bb += (double)b[i] * b[i];
    return ab / sqrt(aa * bb);
}

/* ---- real models ---- */

static void check_close(const char *model, size_t dim, const double *mean_bar,
                        const double *least_bar)
{
    static const char *const names[] = {"f32", "bf16", "int8"};
    static float f32[TEXTS_MAX * DIM_MAX], rows[TEXTS_MAX * DIM_MAX];
    texts in;
    open_texts(&in);
    encode(model, KUA_PRECISION_F32, 0, &in, f32);
    for (int p = KUA_PRECISION_BF16; p <= KUA_PRECISION_INT8; p++) {
        double sum = 0, least = 1;
        encode(model, (kua_precision)p, 0, &in, rows);
        for (size_t i = 0; i < in.n; i++) {
            double c = cosine(f32 + i * dim, rows + i * dim, dim);
            sum += c;
            least = fmin(least, c);
        }
        print_message("%s: %zu texts, cosine to f32 %.5f, at least %.5f\n", names[p], in.n,
                      sum / (double)in.n, least);
        assert_true(sum / (double)in.n >= mean_bar[p] && least >= least_bar[p]);
    }
    kua__map_close(&in.map);
}

static void minilm_stays_close(void **state)
{
    (void)state;
    const char *model = test_model_dir();
    if (!model) skip();
    check_close(model, 384, (double[]){1, .9999, .998}, (double[]){1, .9998, .99});
}

static void bge_small_zh_stays_close(void **state)
{
    (void)state;
    const char *model = test_cached_model("bge-small-zh");
    if (!model) skip();
    check_close(model, 512, (double[]){1, .9999, .997}, (double[]){1, .9998, .985});
}

/* ---- the same bits ---- */

/* Own kernels sum a row in the same order whatever stands beside it; oneDNN's do not. */
static bool own_kernels(int precision)
{
    return precision == KUA_PRECISION_INT8 || kua__kernels_get()->isa == KUA__ISA_AVX512;
}

static void results_are_the_same_bits(void **state)
{
    (void)state;
    const char *model = test_data("encoder/data/tiny-gelu");
    static float rows[TEXTS_MAX * DIM_MAX], again[TEXTS_MAX * DIM_MAX];
    texts in, one;
    open_texts(&in);
    for (int p = KUA_PRECISION_F32; p <= KUA_PRECISION_INT8; p++) {
        size_t bytes = in.n * 24 * sizeof(float);
        kua__threads_set(2);
        encode(model, (kua_precision)p, 0, &in, rows);
        encode(model, (kua_precision)p, 0, &in, again);
        assert_memory_equal(rows, again, bytes);
        if (!own_kernels(p)) continue;
        encode(model, (kua_precision)p, 50, &in, again);
        assert_memory_equal(rows, again, bytes);
        one = in;
        one.n = 1; /* a crew of two */
        encode(model, (kua_precision)p, 0, &one, again);
        assert_memory_equal(rows, again, 24 * sizeof(float));
        for (int threads = 1; threads <= 3; threads += 2) {
            kua__threads_set(threads);
            encode(model, (kua_precision)p, 0, &in, again);
            assert_memory_equal(rows, again, bytes);
        }
    }
    kua__threads_set(2);
    kua__map_close(&in.map);
}

static void an_unknown_precision_is_refused(void **state)
{
    (void)state;
    kua_encoder *e = NULL;
    kua_encoder_options o = {.precision = (kua_precision)3};
    assert_fails(kua_encoder_load(test_data("encoder/data/tiny-gelu"), &o, &e), KUA_INVALID,
                 "precision is 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minilm_stays_close),
        cmocka_unit_test(bge_small_zh_stays_close),
        cmocka_unit_test(results_are_the_same_bits),
        cmocka_unit_test(an_unknown_precision_is_refused),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

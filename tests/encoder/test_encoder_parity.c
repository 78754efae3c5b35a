/* test_encoder_parity.c - vectors against those of the reference implementation
 * (tools/record-encoder.py).
 *
 * Two made-up models of 24 numbers need no download; all-MiniLM-L6-v2 is used where it is there.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "kua/encoder.h"
#include "tensor/safetensors.h"

enum { TEXTS_MAX = 64 };

typedef struct texts {
    kua_text text[TEXTS_MAX];
    size_t n;
} texts;

/* Lines of a text; the last one may lack its line break. */
static texts split_lines(const char *data, size_t size)
{
    texts t = {0};
    for (size_t at = 0; at < size;) {
        const char *end = memchr(data + at, '\n', size - at);
        size_t n = end ? (size_t)(end - data) - at : size - at;
        assert_true(t.n < TEXTS_MAX);
        t.text[t.n++] = (kua_text){data + at, n};
        at += n + 1;
    }
    return t;
}

/* Rows of `name` in the file beside what was computed: largest difference and smallest cosine. */
static void compare(const kua__safetensors *file, const char *name, const float *rows, size_t n,
                    size_t dim, double tolerance)
{
    const kua__tensor *t = NULL;
    float *expected = kua__alloc_array(n * dim, sizeof(float));
    assert_non_null(expected);
    assert_ok(kua__safetensors_need(file, name, 2, (size_t[]){n, dim}, &t));
    kua__tensor_to_f32(t, 0, n * dim, expected);
    double largest = 0, least = 1;
    for (size_t i = 0; i < n; i++) {
        double ab = 0, aa = 0, bb = 0;
        for (size_t c = 0; c < dim; c++) {
            double a = rows[i * dim + c], b = expected[i * dim + c];
            assert_true(isfinite(a));
            largest = fmax(largest, fabs(a - b));
            ab += a * b, aa += a * a, bb += b * b;
        }
        least = fmin(least, ab / sqrt(aa * bb));
    }
    print_message("%s: %zu texts, largest difference %.2g, cosine at least %.7f\n", name, n,
                  largest, least);
    assert_true(largest <= tolerance && least >= .99999);
    kua__free(expected);
}

static void check_tiny(const char *folder)
{
    kua__safetensors *file = NULL;
    char *expected = kua__path_join(test_data(folder), "expected.safetensors");
    assert_ok(kua__safetensors_open(expected, &file));
    kua__free(expected);
    const char *all = kua__safetensors_meta(file, "texts");
    assert_non_null(all);
    texts in = split_lines(all, strlen(all));
    for (size_t batch = 0; batch <= 3; batch++) { /* 1, 2, 3: every text a batch of its own */
        kua_encoder *e = NULL;
        kua_encoder_stats stats;
        float rows[TEXTS_MAX * 24];
        assert_ok(
            kua_encoder_load(test_data(folder), &(kua_encoder_options){.batch_tokens = batch}, &e));
        assert_int_equal(kua_encoder_dim(e), 24);
        assert_int_equal(kua_encoder_describe(e).max_tokens, 48);
        assert_false(kua_encoder_describe(e).unit);
        assert_ok(kua_encoder_encode(e, in.text, in.n, NULL, rows, &stats));
        assert_int_equal(stats.distinct, in.n);
        compare(file, "mean", rows, in.n, 24, 1e-4);
        kua_encoder_free(e);
    }
    kua__safetensors_close(file);
}

static void tiny_models_agree(void **state)
{
    (void)state;
    check_tiny("encoder/data/tiny-gelu");
    check_tiny("encoder/data/tiny-relu");
}

static void check_pooling(const char *model, const kua_encoder_options *options, const texts *in,
                          const kua__safetensors *file, const char *name, double tolerance)
{
    kua_encoder *e = NULL;
    float *rows = kua__alloc_array(TEXTS_MAX * 384, sizeof(float));
    assert_non_null(rows);
    assert_ok(kua_encoder_load(model, options, &e));
    assert_ok(kua_encoder_encode(e, in->text, in->n, NULL, rows, NULL));
    compare(file, name, rows, in->n, 384, tolerance);
    kua_encoder_free(e);
    kua__free(rows);
}

static void minilm_agrees(void **state)
{
    (void)state;
    const char *model = test_model_dir();
    if (!model) skip();
    kua__map map;
    kua__safetensors *file = NULL;
    assert_ok(kua__map_open(&map, test_data("encoder/data/texts.txt")));
    assert_ok(kua__safetensors_open(test_data("encoder/data/minilm.safetensors"), &file));
    texts in = split_lines(map.data, map.size), few = in;
    few.n = 8;
    kua_encoder_options cls = {.pooling = KUA_POOLING_CLS, .unit = KUA_UNIT_NO, .max_tokens = 256},
                        max = {.pooling = KUA_POOLING_MAX, .unit = KUA_UNIT_NO, .max_tokens = 256};
    check_pooling(model, NULL, &in, file, "mean", 1e-4);
    check_pooling(model, &cls, &few, file, "cls", 1e-4);
    check_pooling(model, &max, &few, file, "max", 1e-4);
    kua__safetensors_close(file);
    kua__map_close(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_models_agree),
        cmocka_unit_test(minilm_agrees),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_encoder_parity.c - vectors against those of the reference implementation
 * (tools/record-encoder.py).
 *
 * Two made-up models of 24 numbers need no download; all-MiniLM-L6-v2 and bge-small-zh-v1.5 are
 * used where they are there.
 */
#include "testlib.h"

#include <math.h>
#include <stdlib.h>
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

/* The model's last position, and texts that tokenizers stumble over. */
static void minilm_agrees_on_long_and_strange_texts(void **state)
{
    (void)state;
    const char *model = test_model_dir();
    if (!model) skip();
    kua__map map;
    kua__safetensors *file = NULL;
    assert_ok(kua__map_open(&map, test_data("encoder/data/texts-long.txt")));
    assert_ok(kua__safetensors_open(test_data("encoder/data/minilm-long.safetensors"), &file));
    texts in = split_lines(map.data, map.size);
    assert_int_equal(in.n, 20);
    check_pooling(model, &(kua_encoder_options){.max_tokens = 512}, &in, file, "mean", 1e-4);
    kua__safetensors_close(file);
    kua__map_close(&map);
}

/* ---- bge-small-zh: Chinese, from ONNX ---- */

static void bge_small_zh_agrees(void **state)
{
    (void)state;
    char path[600];
    const char *cache = getenv("KUA_CACHE"), *home = getenv("HOME");
    snprintf(path, sizeof(path), "%s%s/models/bge-small-zh",
             cache  ? cache
             : home ? home
                    : "",
             cache ? "" : "/.cache/kua");
    if (!kua__exists(path)) {
        print_message("skipped: %s is not there (kua model get bge-small-zh)\n", path);
        skip();
    }
    kua_encoder *e = NULL;
    kua__safetensors *file = NULL;
    assert_ok(kua__safetensors_open(test_data("encoder/data/bge.safetensors"), &file));
    const char *all = kua__safetensors_meta(file, "texts");
    assert_non_null(all);
    texts in = split_lines(all, strlen(all));
    float *rows = kua__alloc_array(TEXTS_MAX * 512, sizeof(float));
    assert_non_null(rows);
    assert_ok(kua_encoder_load(path, NULL, &e));
    assert_int_equal(kua_encoder_dim(e), 512);
    assert_int_equal(kua_encoder_describe(e).pooling, KUA_POOLING_CLS);
    assert_ok(kua_encoder_encode(e, in.text, in.n, NULL, rows, NULL));
    compare(file, "cls", rows, in.n, 512, 1e-4);
    kua_encoder_free(e);
    kua__safetensors_close(file);
    kua__free(rows);
}

/* ---- 16-bit weights: the vectors of the rounded weights, bit for bit ---- */

static void write_numbers(kua__st_writer *w, const kua__tensor *t, bool bf16)
{
    for (size_t i = 0; i < t->count; i++) {
        float x;
        uint32_t bits;
        kua__tensor_to_f32(t, i, 1, &x);
        memcpy(&bits, &x, sizeof(bits));
        bits &= 0xffff0000;
        uint16_t high = (uint16_t)(bits >> 16);
        assert_ok(kua__st_writer_write(w, bf16 ? (void *)&high : (void *)&bits, bf16 ? 2 : 4));
    }
}

/* tiny-gelu with weights cut to bf16, stored as such or as F32. */
static const char *cut_model(const char *name, bool bf16)
{
    static const char *const files[] = {"config.json", "vocab.txt", "modules.json"};
    const char *folder = test_temp_path(name), *from = test_data("encoder/data/tiny-gelu");
    char path[700];
    kua__st_writer *w = NULL;
    kua__safetensors *in = NULL;
    kua__map map;
    assert_ok(kua__make_folders(folder));
    for (size_t i = 0; i < KUA__COUNT(files); i++) {
        snprintf(path, sizeof(path), "%s/%s", from, files[i]);
        assert_ok(kua__map_open(&map, path));
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        assert_ok(kua__write_file(path, map.data, map.size));
        kua__map_close(&map);
    }
    snprintf(path, sizeof(path), "%s/model.safetensors", from);
    assert_ok(kua__safetensors_open(path, &in));
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    assert_ok(kua__st_writer_create(path, &w));
    for (size_t i = 0; i < kua__safetensors_count(in); i++) {
        const kua__tensor *t = kua__safetensors_at(in, i);
        assert_ok(kua__st_writer_declare(w, t->name, bf16 ? KUA__BF16 : KUA__F32, t->rank, t->dim));
    }
    for (size_t i = 0; i < kua__safetensors_count(in); i++)
        write_numbers(w, kua__safetensors_at(in, i), bf16);
    assert_ok(kua__st_writer_commit(w));
    kua__st_writer_free(w);
    kua__safetensors_close(in);
    return folder;
}

static void bf16_weights_are_what_they_round_to(void **state)
{
    (void)state;
    kua_text in[2] = {{"soft cotton towel", 17}, {"gift set of two", 15}};
    float rows[2][2 * 24];
    for (int bf16 = 0; bf16 < 2; bf16++) {
        kua_encoder *e = NULL;
        assert_ok(kua_encoder_load(cut_model(bf16 ? "bf16" : "f32", bf16), NULL, &e));
        assert_ok(kua_encoder_encode(e, in, 2, NULL, rows[bf16], NULL));
        kua_encoder_free(e);
    }
    assert_memory_equal(rows[0], rows[1], sizeof(rows[0]));
}

/* ---- batches: what stands beside a text does not matter ---- */

static void full_batches_hold_each_text_once(void **state)
{
    (void)state;
    enum { N = 500 };
    static const char words[] =
        "soft cotton towel gift set of two blue green large small quick dry";
    static kua_text in[N];
    static float rows[N * 24], again[N * 24];
    kua__rng rng = kua__rng_make(11, 0);
    for (size_t i = 0; i < N; i++)
        in[i] = (kua_text){words, kua__rng_below(&rng, sizeof(words))};
    for (size_t i = 0; i < 3; i++) {
        static const size_t tokens[] = {7, 64, 0};
        kua_encoder *e = NULL;
        assert_ok(kua_encoder_load(test_data("encoder/data/tiny-gelu"),
                                   &(kua_encoder_options){.batch_tokens = tokens[i]}, &e));
        memset(again, 0, sizeof(again));
        assert_ok(kua_encoder_encode(e, in, N, NULL, again, NULL));
        for (size_t k = 0; i && k < N * 24; k++)
            assert_near(again[k], rows[k], 1e-5);
        memcpy(rows, again, sizeof(rows));
        kua_encoder_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_models_agree),
        cmocka_unit_test(minilm_agrees),
        cmocka_unit_test(minilm_agrees_on_long_and_strange_texts),
        cmocka_unit_test(bge_small_zh_agrees),
        cmocka_unit_test(bf16_weights_are_what_they_round_to),
        cmocka_unit_test(full_batches_hold_each_text_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

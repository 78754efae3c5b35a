/* test_encoder.c - what an encoder promises beside its numbers: one vector for one text whatever
 * stands beside it, limits, cancelling, damaged folders, and every allocation failing once.
 */
#include "testlib.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "encoder/config.h"
#include "kua/encoder.h"

enum { DIM = 24, N = 6 };

static const kua_text some[N] = {{"soft cotton towel", 17}, {"gift", 4},
                                 {"soft cotton towel", 17}, {"", 0},
                                 {"SOFT cotton", 11},       {NULL, 0}};

static const char *tiny(void)
{
    return test_data("encoder/data/tiny-gelu");
}

static kua_encoder *load_tiny(const kua_encoder_options *options)
{
    kua_encoder *e = NULL;
    assert_ok(kua_encoder_load(tiny(), options, &e));
    return e;
}

static void equal_texts_are_encoded_once(void **state)
{
    (void)state;
    kua_encoder *e = load_tiny(NULL);
    kua_encoder_stats stats;
    float rows[N * DIM], again[N * DIM], alone[DIM];
    assert_ok(kua_encoder_encode(e, some, N, NULL, rows, &stats));
    assert_int_equal(stats.texts, N);
    assert_int_equal(stats.distinct, 4);
    assert_int_equal(stats.tokens, 5 + 3 + 2 + 4);
    assert_memory_equal(rows, rows + 2 * DIM, DIM * sizeof(float));
    assert_memory_equal(rows + 3 * DIM, rows + 5 * DIM, DIM * sizeof(float));
    assert_ok(kua_encoder_encode(e, some, N, NULL, again, NULL));
    assert_memory_equal(rows, again, sizeof(rows));
    for (size_t i = 0; i < N; i++) {
        assert_ok(kua_encoder_encode(e, &some[i], 1, NULL, alone, NULL));
        for (size_t c = 0; c < DIM; c++)
            assert_near(alone[c], rows[i * DIM + c], 1e-5);
    }
    assert_ok(kua_encoder_encode(e, NULL, 0, NULL, NULL, &stats));
    assert_int_equal(stats.tokens, 0);
    kua_encoder_free(e);
    kua_encoder_free(NULL);
}

static void options_hold(void **state)
{
    (void)state;
    kua_encoder_options o = {.pooling = KUA_POOLING_MAX, .unit = KUA_UNIT_YES, .max_tokens = 3};
    kua_encoder *e = load_tiny(&o);
    kua_encoder_info info = kua_encoder_describe(e);
    assert_int_equal(info.pooling, KUA_POOLING_MAX);
    assert_int_equal(info.max_tokens, 3);
    assert_true(info.unit && info.parameters > 1000 && info.weight_bytes && info.scratch_bytes);
    float rows[N * DIM];
    kua_encoder_stats stats;
    assert_ok(kua_encoder_encode(e, some, N, NULL, rows, &stats));
    assert_int_equal(stats.distinct, 3); /* both texts that begin with "soft" are cut behind it */
    double length = 0;
    for (size_t c = 0; c < DIM; c++)
        length += rows[c] * rows[c];
    assert_near(length, 1, 1e-5);
    kua_encoder_free(e);
}

static void bad_options_and_ids(void **state)
{
    (void)state;
    kua_encoder *e = NULL;
    kua_encoder_options tokens = {.max_tokens = 65}, few = {.max_tokens = 1},
                        pooling = {.pooling = (kua_pooling)9}, unit = {.unit = (kua_unit)7},
                        batch = {.batch_tokens = 1 << 20};
    assert_fails(kua_encoder_load(tiny(), &tokens, &e), KUA_INVALID,
                 "max_tokens is 65, expected 2..64");
    assert_fails(kua_encoder_load(tiny(), &few, &e), KUA_INVALID, "max_tokens is 1");
    assert_fails(kua_encoder_load(tiny(), &pooling, &e), KUA_INVALID, "pooling is 9");
    assert_fails(kua_encoder_load(tiny(), &unit, &e), KUA_INVALID, "unit is 7");
    assert_fails(kua_encoder_load(tiny(), &batch, &e), KUA_INVALID, "batch_tokens is 1048576");
    assert_null(e);
    e = load_tiny(NULL);
    uint32_t id[60] = {2, 5, 999, 3};
    size_t offset[2] = {0, 4};
    float row[DIM];
    kua_id_batch ids = {.ids = {id, 4, 60}, .offset = offset, .n = 1};
    assert_fails(kua_encoder_encode_ids(e, &ids, NULL, row, NULL), KUA_INVALID,
                 "token 2 of text 0 is 999");
    offset[1] = 49;
    assert_fails(kua_encoder_encode_ids(e, &ids, NULL, row, NULL), KUA_INVALID,
                 "49 tokens, expected 1..48");
    offset[1] = 0;
    assert_fails(kua_encoder_encode_ids(e, &ids, NULL, row, NULL), KUA_INVALID, "0 tokens");
    kua_encoder_free(e);
}

static bool refuse(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user;
    assert_true(stage && done <= total);
    return false;
}

static void a_monitor_cancels(void **state)
{
    (void)state;
    kua_encoder *e = load_tiny(NULL);
    float rows[N * DIM];
    kua_monitor monitor = {.progress = refuse};
    assert_int_equal(kua_encoder_encode(e, some, N, &monitor, rows, NULL), KUA_CANCELED);
    assert_ok(kua_encoder_encode(e, some, N, NULL, rows, NULL));
    kua_encoder_free(e);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua_encoder *e = NULL;
        float rows[N * DIM];
        st = kua_encoder_load(tiny(), NULL, &e);
        if (!st) st = kua_encoder_encode(e, some, N, NULL, rows, NULL);
        kua_encoder_free(e);
    }
}

/* ---- several callers ---- */

static void *encode_often(void *ctx)
{
    static const float zero[N * DIM];
    float rows[N * DIM];
    for (int i = 0; i < 20; i++) {
        if (kua_encoder_encode(ctx, some, N, NULL, rows, NULL)) return ctx;
        if (memcmp(rows, zero, sizeof(rows)) == 0) return ctx;
    }
    return NULL;
}

static void threads_share_an_encoder(void **state)
{
    (void)state;
    kua_encoder *e = load_tiny(NULL);
    pthread_t thread[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, encode_often, e), 0);
    for (int i = 0; i < 3; i++) {
        void *bad = NULL;
        assert_int_equal(pthread_join(thread[i], &bad), 0);
        assert_null(bad);
    }
    kua_encoder_free(e);
}

/* ---- damaged folders ---- */

static void copy_file(const char *folder, const char *name)
{
    char *from = kua__path_join(tiny(), name), *to = kua__path_join(folder, name);
    kua__map map;
    assert_ok(kua__map_open(&map, from));
    assert_ok(kua__write_file(to, map.data, map.size));
    kua__map_close(&map);
    kua__free(from);
    kua__free(to);
}

/* A copy of the tiny model with one text file replaced. */
static const char *folder_with(const char *name, const char *content)
{
    const char *folder = test_temp_path("model");
    assert_ok(kua__remove_tree(folder));
    char *inside = kua__path_join(folder, "1_Pooling"), *path = kua__path_join(folder, name);
    assert_ok(kua__make_folders(inside));
    copy_file(folder, "config.json");
    copy_file(folder, "model.safetensors");
    copy_file(folder, "vocab.txt");
    assert_ok(kua__write_file(path, content, strlen(content)));
    kua__free(inside);
    kua__free(path);
    return folder;
}

#define CONFIG(hidden, layers, heads, inner, vocab, positions)                                     \
    "{\"model_type\":\"bert\",\"hidden_size\":" hidden ",\"num_hidden_layers\":" layers            \
    ",\"num_attention_heads\":" heads ",\"intermediate_size\":" inner ",\"vocab_size\":" vocab     \
    ",\"max_position_embeddings\":" positions "}"

static void configs_that_do_not_fit(void **state)
{
    (void)state;
    static const struct {
        const char *content, *says;
    } cases[] = {
        {CONFIG("25", "2", "5", "40", "38", "64"), "[38,24], expected [38,25]"},
        {CONFIG("24", "2", "5", "40", "38", "64"), "hidden_size 24 is not a multiple"},
        {CONFIG("24", "3", "3", "40", "38", "64"), "no tensor \"encoder.layer.2."},
        {CONFIG("24", "2", "3", "65536", "38", "64"), "[40,24], expected [65536,24]"},
        {CONFIG("24", "2", "3", "99999999", "38", "64"), "intermediate_size"},
        {CONFIG("24", "2", "3", "40", "500000", "64"), "expected [500000,24]"},
        {CONFIG("24", "2", "3", "40", "9", "64"),
         "the tokenizer has 38 tokens, the table of words has 9 rows"},
        {CONFIG("24", "2", "3", "40", "38", "1"), "the model has 1 positions"},
        {CONFIG("24", "2", "3", "40", "38", "-5"), "max_position_embeddings"},
        {"{\"model_type\":\"t5\"}", "model_type is \"t5\""},
        {"[]", "not a JSON object"},
        {"{", "config.json"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        kua_encoder *e = NULL;
        assert_fails(kua_encoder_load(folder_with("config.json", cases[i].content), NULL, &e),
                     KUA_FORMAT, cases[i].says);
        assert_null(e);
    }
}

static void folders_that_lack_something(void **state)
{
    (void)state;
    static const char *const files[] = {"config.json", "model.safetensors", "vocab.txt"};
    kua_encoder *e = NULL;
    for (size_t i = 0; i < KUA__COUNT(files); i++) {
        const char *folder =
            folder_with("1_Pooling/config.json", "{\"pooling_mode_cls_token\":true}");
        char *path = kua__path_join(folder, files[i]);
        assert_int_equal(unlink(path), 0);
        kua_status st = kua_encoder_load(folder, NULL, &e);
        assert_true(st == KUA_IO || st == KUA_NOTFOUND);
        assert_null(e);
        kua__free(path);
    }
    e = NULL;
    assert_ok(kua_encoder_load(
        folder_with("1_Pooling/config.json", "{\"pooling_mode_cls_token\":true}"), NULL, &e));
    assert_int_equal(kua_encoder_describe(e).pooling, KUA_POOLING_CLS);
    assert_true(kua_encoder_describe(e).unit);
    kua_encoder_free(e);
    assert_fails(kua_encoder_load(folder_with("model.safetensors", "short"), NULL, &e), KUA_FORMAT,
                 "5 bytes");
}

static void small_settings_files(void **state)
{
    (void)state;
    kua__pooling_config c = {0};
    kua__model_config b;
#define PARSE(fn, text, out) fn("f", text, sizeof(text) - 1, out)
    assert_ok(PARSE(kua__pooling_parse, "{\"pooling_mode_max_tokens\":true}", &c));
    assert_int_equal(c.pooling, KUA_POOLING_MAX);
    assert_fails(PARSE(kua__pooling_parse, "{}", &c), KUA_FORMAT, "no pooling mode");
    assert_fails(PARSE(kua__pooling_parse, "{\"pooling_mode_weightedmean_tokens\":true}", &c),
                 KUA_FORMAT, "weightedmean");
    assert_fails(PARSE(kua__pooling_parse,
                       "{\"pooling_mode_cls_token\":true,\"pooling_mode_max_tokens\":true}", &c),
                 KUA_FORMAT, "both");
    assert_ok(
        PARSE(kua__modules_parse, "[{\"type\":\"x.Transformer\"},{\"type\":\"Normalize\"}]", &c));
    assert_true(c.unit);
    assert_fails(PARSE(kua__modules_parse, "[{\"type\":\"a.Dense\"}]", &c), KUA_FORMAT,
                 "module 0 is \"a.Dense\"");
    assert_fails(PARSE(kua__modules_parse, "{}", &c), KUA_FORMAT, "array");
    assert_fails(PARSE(kua__sentence_parse, "{\"max_seq_length\":0}", &c), KUA_FORMAT,
                 "max_seq_length");
    assert_fails(PARSE(kua__config_parse,
                       "{\"model_type\":\"bert\",\"position_embedding_type\":\"relative_key\"}",
                       &b),
                 KUA_FORMAT, "relative_key");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_texts_are_encoded_once),
        cmocka_unit_test(options_hold),
        cmocka_unit_test(bad_options_and_ids),
        cmocka_unit_test(a_monitor_cancels),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(threads_share_an_encoder),
        cmocka_unit_test(configs_that_do_not_fit),
        cmocka_unit_test(folders_that_lack_something),
        cmocka_unit_test(small_settings_files),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_model_info.c - what kua_model_show and kua_model_check answer, and with every allocation
 * failing once. tests/cli/test_model.sh asks the same of the command. */
#include "testlib.h"

#include <jansson.h>
#include <string.h>

#include "kua/engine.h"
#include "kua/model.h"

static json_t *show(const char *path)
{
    char *report = NULL;
    assert_ok(kua_model_show(path, &report));
    json_t *json = json_loads(report, 0, NULL);
    kua_text_free(report);
    assert_non_null(json);
    return json;
}

static const char *text(const json_t *json, const char *key)
{
    const char *value = json_string_value(json_object_get(json, key));
    return value ? value : "";
}

static int64_t number(const json_t *json, const char *object, const char *key)
{
    return json_integer_value(json_object_get(json_object_get(json, object), key));
}

static void a_model_is_described(void **state)
{
    (void)state;
    json_t *json = show(test_data("encoder/data/families/llama-gguf"));
    assert_string_equal(text(json, "format"), "gguf");
    assert_string_equal(text(json, "family"), "llama");
    assert_true(number(json, "sizes", "layers") >= 1);
    assert_true(number(json, "sizes", "kv_heads") <= number(json, "sizes", "heads"));
    assert_null(json_object_get(json, "problem"));
    const json_t *tensors = json_object_get(json, "tensors");
    int64_t sum = 0;
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *shape = json_object_get(json_array_get(tensors, i), "shape");
        int64_t n = 1;
        for (size_t k = 0; k < json_array_size(shape); k++)
            n *= json_integer_value(json_array_get(shape, k));
        sum += n;
    }
    assert_int_equal(sum, json_integer_value(json_object_get(json, "parameters")));
    json_decref(json);
}

static void what_is_not_a_model_is_shown_all_the_same(void **state)
{
    (void)state;
    json_t *json = show(test_data("tensor/data/blocks.gguf"));
    assert_non_null(strstr(text(json, "problem"), "test"));
    assert_int_equal(json_array_size(json_object_get(json, "tensors")), 8);
    const json_t *meta = json_object_get(json, "metadata");
    assert_string_equal(text(meta, "v.text"), "größe");
    assert_string_equal(text(meta, "v.ints"), "i32[3]");
    assert_true(json_is_true(json_object_get(meta, "v.bool")));
    assert_true(json_real_value(json_object_get(meta, "v.f32")) == 0.25);
    assert_true(strlen(text(json_object_get(json, "tokenizer"), "problem")) > 0);
    json_decref(json);
    char *report = NULL;
    assert_fails(kua_model_show(test_data("README"), &report), KUA_NOTFOUND, "no such file");
    assert_fails(kua_model_show(test_data("tensor/test_gguf.c"), &report), KUA_FORMAT,
                 "no safetensors, GGUF or ONNX file");
    assert_null(report);
}

static void a_check_says_why_not(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says; /* NULL: runs */
    } cases[] = {{"encoder/data/families/llama", NULL},
                 {"encoder/data/families/bert", "has neither tokenizer.json"},
                 {"tensor/data/blocks.gguf", "architecture"},
                 {"../fuzz/corpus/gguf/overlap", "tensors \\\"a\\\" and \\\"b\\\" overlap"}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char *report = NULL;
        assert_ok(kua_model_check(test_data(cases[i].path), &report));
        const char *runs = cases[i].says ? "\"runs\":false" : "\"runs\":true";
        if (!strstr(report, runs) || (cases[i].says && !strstr(report, cases[i].says)))
            fail_msg("%s: %s", cases[i].path, report);
        kua_text_free(report);
    }
}

/* The real ones, where they have been fetched. */
static void fetched_models_run(void **state)
{
    (void)state;
    static const struct {
        const char *name, *format, *family;
        int64_t tensors, layers, parameters;
    } cases[] = {{"minilm-l6", "safetensors", "bert", 104, 6, 22713728},
                 {"bge-small-zh", "onnx", "bert", 70, 4, 23691776},
                 {"smollm2-135m", "gguf", "llama", 272, 30, 134515008}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        const char *path = test_cached_model(cases[i].name);
        char *report = NULL;
        if (!path) continue;
        json_t *json = show(path);
        assert_string_equal(text(json, "format"), cases[i].format);
        assert_string_equal(text(json, "family"), cases[i].family);
        assert_int_equal(json_array_size(json_object_get(json, "tensors")), cases[i].tensors);
        assert_int_equal(number(json, "sizes", "layers"), cases[i].layers);
        assert_int_equal(json_integer_value(json_object_get(json, "parameters")),
                         cases[i].parameters);
        json_decref(json);
        assert_ok(kua_model_check(path, &report));
        assert_non_null(strstr(report, "\"runs\":true"));
        kua_text_free(report);
    }
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    static const char *const path[] = {"tensor/data/blocks.gguf", "tensor/data/layers.onnx",
                                       "tensor/data/sharded", "encoder/data/families/llama"};
    kua_status st;
    for (size_t i = 0; i < KUA__COUNT(path); i++) {
        TEST_EVERY_ALLOCATION(st)
        {
            char *report = NULL;
            st = kua_model_show(test_data(path[i]), &report);
            kua_text_free(report);
        }
    }
    TEST_EVERY_ALLOCATION(st)
    {
        char *report = NULL;
        st = kua_model_check(test_data("encoder/data/families/llama"), &report);
        kua_text_free(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_described),
        cmocka_unit_test(what_is_not_a_model_is_shown_all_the_same),
        cmocka_unit_test(a_check_says_why_not),
        cmocka_unit_test(fetched_models_run),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

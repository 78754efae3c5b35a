/* test_classify.c - training, saving, loading and asking classifiers on a tiny encoder: every head
 * and every way of tuning learns a rule that words decide; a stopped run goes on bit for bit.
 */
#include "testlib.h"

#include <jansson.h>
#include <string.h>

#include "base/json.h"
#include "kua/classify.h"
#include "tensor/safetensors.h"

enum { ROWS = 160 };

/* Labels by a word: "red" shades and "blue" never meet. */
static const char *table(int labels)
{
    static const char *const cold[] = {"blue hotel towel", "blue large gym", "blue quick dry pool"};
    static const char *const warm[] = {"green baby soft", "green small bamboo", "green set of two"};
    static const char *const rest[] = {"cotton kitchen", "cotton spa for two", "washable cotton"};
    kua__buf buf = {0};
    kua__buf_puts(&buf, "text\tlabel\tpart\n");
    for (int i = 0; i < ROWS; i++) {
        const char *const *from = i % labels == 0 ? cold : i % labels == 1 ? warm : rest;
        kua__buf_printf(&buf, "%s %s\t%s\t%s\n", from[i / labels % 3], i % 7 ? "with ears" : "set",
                        i % labels == 0   ? "cold"
                        : i % labels == 1 ? "warm"
                                          : "rest",
                        i % 5 == 0   ? "test"
                        : i % 5 == 1 ? "valid"
                                     : "train");
    }
    const char *path = test_temp_file(labels == 2 ? "two.tsv" : "three.tsv", buf.data, buf.len);
    kua__buf_release(&buf);
    return path;
}

static kua_classify_options options(const char *path, const char *head, const char *tune)
{
    static char model[512];
    snprintf(model, sizeof(model), "%s", test_data("encoder/data/tiny-gelu"));
    return (kua_classify_options){
        .data = {.path = path, .text = "text", .label = "label", .split = "part"},
        .model = model,
        .head = head,
        .tune = tune,
        .out = test_temp_path("classifier"),
        .settings = "{\"epochs\": 12, \"batch\": 8, \"lr\": 0.02, \"encoder_lr\": 0.005, "
                    "\"lora_lr\": 0.02, \"hidden\": 12, \"dropout\": 0, \"patience\": 0}"};
}

static double accuracy(const kua_classify_options *o)
{
    char *report = NULL;
    json_t *json = NULL;
    assert_ok(kua_classify_eval(o->out, &o->data, test_temp_path("p.tsv"), NULL, &report));
    assert_ok(kua__json_parse("report", report, strlen(report), &json));
    double value = json_number_value(json_object_get(json, "accuracy"));
    assert_int_equal(json_integer_value(json_object_get(json, "rows")), ROWS / 5);
    json_decref(json);
    kua__free(report);
    return value;
}

static void learns(const char *model, const char *head, const char *tune, int labels)
{
    kua_classify_options o = options(table(labels), head, tune);
    char *report = NULL;
    if (model) o.model = model;
    assert_ok(kua__remove_tree(o.out));
    assert_ok(kua_classify_train(&o, NULL, &report));
    kua__free(report);
    assert_in_range((int)(100 * accuracy(&o)), 90, 100);
}

static void every_head_and_tuning_learns(void **state)
{
    (void)state;
    learns("tfidf", "linear", "none", 2);
    learns("tfidf", "linear", "none", 3);
    learns(NULL, "linear", "none", 2);
    learns(NULL, "linear", "none", 3);
    learns(NULL, "mlp", "none", 3);
    learns(NULL, "linear", "head", 2);
    learns(NULL, "lstm", "none", 2);
    learns(NULL, "lstm", "full", 3);
    learns(NULL, "linear", "full", 2);
    learns(NULL, "linear", "lora", 2);
    learns(NULL, "linear", "gradual", 2);
}

static void loaded_probabilities_are_those_of_the_file(void **state)
{
    (void)state;
    const kua_text texts[] = {{"green baby", 10}, {"blue hotel", 10}, {NULL, 0}};
    kua_classify_options o = options(table(2), "linear", "full");
    kua_classifier *c = NULL;
    float p[6], q[6];
    assert_ok(kua__remove_tree(o.out));
    assert_ok(kua_classify_train(&o, NULL, NULL));
    assert_ok(kua_classifier_load(o.out, &c));
    assert_int_equal(kua_classifier_labels(c), 2);
    assert_string_equal(kua_classifier_label(c, 0), "cold");
    assert_ok(kua_classifier_predict(c, texts, 3, NULL, p));
    assert_true(p[1] > .5f && p[3] < .5f);
    for (size_t i = 0; i < 3; i++) {
        assert_near(p[2 * i] + p[2 * i + 1], 1, 1e-6);
        assert_ok(kua_classifier_predict(c, &texts[i], 1, NULL, q));
        assert_near(q[0], p[2 * i], 1e-5); /* a text's answer is its own */
    }
    kua_classifier_free(c);
}

/* ---- going on ---- */

typedef struct stopper {
    int left;
} stopper;

static bool stop_after(void *user, const char *stage, uint64_t done, uint64_t total)
{
    stopper *s = user;
    (void)total;
    if (strcmp(stage, "train rows") != 0 || done == total) return true;
    return s->left-- > 0;
}

static void read_head(const char *folder, float *out, size_t n)
{
    char path[600];
    kua__safetensors *file = NULL;
    snprintf(path, sizeof(path), "%s/head.safetensors", folder);
    assert_ok(kua__safetensors_open(path, &file));
    const kua__tensor *t = kua__safetensors_find(file, "head.weight");
    assert_true(t && t->count >= n);
    kua__tensor_to_f32(t, 0, n, out);
    kua__safetensors_close(file);
}

static void a_stopped_run_goes_on_bit_for_bit(void **state)
{
    (void)state;
    static char whole[512], parts[512];
    float a[12], b[12];
    snprintf(whole, sizeof(whole), "%s", test_temp_path("whole"));
    snprintf(parts, sizeof(parts), "%s", test_temp_path("parts"));
    kua_classify_options o = options(table(2), "mlp", "full");
    o.settings = "{\"epochs\": 4, \"batch\": 4, \"accumulate\": 2, \"lr\": 0.02, \"hidden\": 12, "
                 "\"patience\": 0}";
    o.out = whole;
    assert_ok(kua_classify_train(&o, NULL, NULL));
    o.out = parts;
    stopper s = {0};
    kua_monitor m = {.progress = stop_after, .user = &s};
    assert_fails(kua_classify_train(&o, &m, NULL), KUA_CANCELED, "training was stopped");
    char path[600];
    snprintf(path, sizeof(path), "%s/checkpoint.safetensors", parts);
    assert_true(kua__exists(path));
    assert_fails(kua_classify_eval(parts, &o.data, NULL, NULL, NULL), KUA_NOTFOUND,
                 "no classifier is here");
    kua_classify_options other = o;
    other.settings = "{\"epochs\": 5, \"batch\": 4, \"hidden\": 12}";
    assert_fails(kua_classify_train(&other, NULL, NULL), KUA_INVALID, "other data or settings");
    assert_ok(kua_classify_train(&o, NULL, NULL));
    assert_false(kua__exists(path));
    read_head(whole, a, 12);
    read_head(parts, b, 12);
    assert_memory_equal(a, b, sizeof(a));
}

/* ---- starting from another ---- */

static void a_classifier_is_where_another_starts(void **state)
{
    (void)state;
    static char first[512];
    snprintf(first, sizeof(first), "%s", test_temp_path("first"));
    kua_classify_options o = options(table(2), "linear", "full");
    o.out = first;
    assert_ok(kua__remove_tree(o.out));
    assert_ok(kua_classify_train(&o, NULL, NULL));
    kua_classify_options next = options(table(2), "linear", "none");
    next.model = NULL;
    next.from = first;
    assert_ok(kua__remove_tree(next.out));
    assert_ok(kua_classify_train(&next, NULL, NULL));
    assert_in_range((int)(100 * accuracy(&next)), 90, 100);
}

/* ---- vectors ---- */

static const char *vectors(size_t rows, bool bad)
{
    static float x[ROWS * 2];
    for (size_t i = 0; i < ROWS; i++) {
        x[2 * i] = i % 2 ? 1 : -1;
        x[2 * i + 1] = (float)(i % 3);
    }
    if (bad) x[6] = 1.f / 0.f;
    const char *path = test_temp_path("v.safetensors");
    kua__st_writer *w = NULL;
    assert_ok(kua__st_writer_create(path, &w));
    assert_ok(kua__st_writer_declare(w, "vectors", KUA__F32, 2, (size_t[]){rows, 2}));
    assert_ok(kua__st_writer_write(w, x, rows * 2 * sizeof(float)));
    assert_ok(kua__st_writer_commit(w));
    kua__st_writer_free(w);
    return path;
}

static void vectors_stand_for_texts(void **state)
{
    (void)state;
    kua_classify_options o = options(table(2), "linear", "none");
    o.model = NULL;
    o.data.text = NULL;
    o.data.vectors = vectors(ROWS, false);
    assert_ok(kua__remove_tree(o.out));
    assert_ok(kua_classify_train(&o, NULL, NULL));
    assert_near(accuracy(&o), 1, 1e-9);
    kua_classifier *c = NULL;
    float p[2];
    assert_ok(kua_classifier_load(o.out, &c));
    assert_fails(kua_classifier_predict(c, &(kua_text){"x", 1}, 1, NULL, p), KUA_INVALID,
                 "trained on vectors");
    kua_classifier_free(c);
    vectors(ROWS - 1, false);
    assert_fails(kua_classify_train(&o, NULL, NULL), KUA_SHAPE, "has 159 rows, the table has 160");
    vectors(ROWS, true);
    assert_fails(kua_classify_train(&o, NULL, NULL), KUA_FORMAT, "row 3 is not finite");
}

static void many_labels_a_text(void **state)
{
    (void)state;
    kua__buf buf = {0};
    kua__buf_puts(&buf, "text\tlabel\n");
    for (int i = 0; i < ROWS; i++)
        kua__buf_printf(&buf, "%s%s\t%s%s%s\n", i % 2 ? "green " : "", i % 3 ? "cotton" : "blue",
                        i % 2 ? "g" : "", i % 2 && i % 3 ? ";" : "", i % 3 ? "c" : "");
    kua_classify_options o =
        options(test_temp_file("many.tsv", buf.data, buf.len), "linear", "none");
    kua__buf_release(&buf);
    o.data.split = NULL;
    o.data.separator = ";";
    o.model = "tfidf";
    assert_ok(kua__remove_tree(o.out));
    assert_ok(kua_classify_train(&o, NULL, NULL));
    char *report = NULL;
    assert_ok(kua_classify_eval(o.out, &o.data, NULL, NULL, &report));
    assert_non_null(strstr(report, "\"accuracy\": 1.0"));
    kua__free(report);
    o.data.separator = NULL;
    assert_fails(kua_classify_eval(o.out, &o.data, NULL, NULL, NULL), KUA_INVALID, "separator");
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    kua_classify_options o = options(table(2), "gru", "none");
    assert_fails(kua_classify_train(&o, NULL, NULL), KUA_INVALID,
                 "head is 'gru', expected one of linear, mlp, lstm");
    o.head = "lstm";
    o.tune = "much";
    assert_fails(kua_classify_train(&o, NULL, NULL), KUA_INVALID, "\"much\"");
    o.tune = "none";
    o.model = "tfidf";
    assert_fails(kua_classify_train(&o, NULL, NULL), KUA_INVALID, "tfidf has a linear head");
    o.head = "linear";
    o.data.path = test_temp_file("same.tsv", "text\tlabel\na\tx\nb\tx\n", 19);
    o.data.split = NULL;
    assert_fails(kua_classify_train(&o, NULL, NULL), KUA_FORMAT,
                 "all 2 rows have the label 'x': there is nothing to tell apart");
    o.model = "/nowhere";
    assert_fails(kua_classify_train(&o, NULL, NULL), KUA_IO, "/nowhere");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st;
    kua_classify_options o = options(table(2), "linear", "none");
    o.model = NULL;
    o.data.text = NULL;
    o.data.vectors = vectors(ROWS, false);
    o.settings = "{\"l2\": 1}";
    TEST_EVERY_ALLOCATION(st)
    {
        char *report = NULL;
        st = kua_classify_train(&o, NULL, NULL);
        if (!st) st = kua_classify_eval(o.out, &o.data, NULL, NULL, &report);
        kua__free(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_head_and_tuning_learns),
        cmocka_unit_test(loaded_probabilities_are_those_of_the_file),
        cmocka_unit_test(a_stopped_run_goes_on_bit_for_bit),
        cmocka_unit_test(a_classifier_is_where_another_starts),
        cmocka_unit_test(vectors_stand_for_texts),
        cmocka_unit_test(many_labels_a_text),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

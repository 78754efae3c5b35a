/* tests/base/test_settings.c - JSON settings with their messages, progress and log. */
#include "testlib.h"

#include <string.h>
#include <unistd.h>

#include "base/json.h"

static json_t *parse(const char *text)
{
    json_t *json = NULL;
    assert_ok(kua__json_parse("cfg", text, strlen(text), &json));
    assert_non_null(json);
    return json;
}

static void members_are_read(void **state)
{
    (void)state;
    json_t *o =
        parse("{\"n\": 384, \"x\": 1e-12, \"i\": 3, \"b\": true, \"s\": \"gelu\", \"z\": null}");
    int64_t n;
    double x;
    bool b;
    const char *s;
    assert_ok(kua__json_int("cfg", o, "n", 1, 65536, &n));
    assert_int_equal(n, 384);
    assert_ok(kua__json_int_or("cfg", o, "z", 1, 10, 7, &n));
    assert_int_equal(n, 7);
    assert_ok(kua__json_int_or("cfg", o, "absent", 1, 10, 8, &n));
    assert_int_equal(n, 8);
    assert_ok(kua__json_real_or("cfg", o, "x", 0, 1, 5, &x));
    assert_true(x == 1e-12);
    assert_ok(kua__json_real_or("cfg", o, "i", 0, 10, 5, &x));
    assert_true(x == 3);
    assert_ok(kua__json_real_or("cfg", o, "absent", 0, 10, 5, &x));
    assert_true(x == 5);
    assert_ok(kua__json_bool_or("cfg", o, "b", false, &b));
    assert_true(b);
    assert_ok(kua__json_bool_or("cfg", o, "absent", false, &b));
    assert_false(b);
    assert_ok(kua__json_string("cfg", o, "s", &s));
    assert_string_equal(s, "gelu");
    assert_ok(kua__json_string_or("cfg", o, "absent", "relu", &s));
    assert_string_equal(s, "relu");
    json_decref(o);
}

static void wrong_members_are_named(void **state)
{
    (void)state;
    json_t *o = parse("{\"hidden_size\": \"x\", \"big\": 70000, \"real\": 1.5, \"s\": 7, "
                      "\"nested\": [1, {\"a\": 2}]}");
    json_t *array = parse("[1]");
    int64_t n;
    double x;
    bool b;
    const char *s;
    assert_fails(kua__json_int("cfg", o, "hidden_size", 1, 65536, &n), KUA_FORMAT,
                 "cfg: hidden_size is \"x\", expected an integer 1..65536");
    assert_fails(kua__json_int("cfg", o, "big", 1, 65536, &n), KUA_FORMAT,
                 "big is 70000, expected");
    assert_fails(kua__json_int_or("cfg", o, "real", 1, 9, 1, &n), KUA_FORMAT,
                 "real is 1.5, expected");
    assert_fails(kua__json_int("cfg", o, "absent", 1, 9, &n), KUA_FORMAT,
                 "absent is missing, expected");
    assert_fails(kua__json_int("cfg", array, "n", 1, 9, &n), KUA_FORMAT, "n is missing");
    assert_fails(kua__json_real_or("cfg", o, "real", 0, 1, 0, &x), KUA_FORMAT,
                 "expected a number 0..1");
    assert_fails(kua__json_real_or("cfg", o, "s", 0, 1, 0, &x), KUA_FORMAT, "s is 7");
    assert_fails(kua__json_real_or("cfg", o, "nested", 0, 1, 0, &x), KUA_FORMAT,
                 "nested is [1,{\"a\":2}]");
    assert_fails(kua__json_bool_or("cfg", o, "s", 0, &b), KUA_FORMAT, "expected true or false");
    assert_fails(kua__json_string("cfg", o, "s", &s), KUA_FORMAT, "cfg: s is 7, expected a text");
    assert_fails(kua__json_string_or("cfg", o, "real", "", &s), KUA_FORMAT, "expected a text");
    json_decref(o);
    json_decref(array);
}

static void long_values_are_shortened(void **state)
{
    (void)state;
    char text[600] = "{\"k\": \"";
    for (int i = 0; i < 100; i++) {
        memcpy(text + 7 + 3 * i, "\xE4\xBD\xA0", 3);
    }
    memcpy(text + 307, "\"}", 3);
    json_t *o = parse(text);
    int64_t n;
    assert_fails(kua__json_int("cfg", o, "k", 0, 1, &n), KUA_FORMAT,
                 "..., expected an integer 0..1");
    assert_true(strlen(kua_error_message()) < 130);
    assert_int_equal(kua__utf8_valid(kua_error_message(), strlen(kua_error_message())),
                     strlen(kua_error_message()));
    json_decref(o);
}

static void broken_json_is_located(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "{",       "{\"a\": 1,}", "[1, 2",
                                        "{\"a\" 1}", "nul",     "\"\xFF\"",    "{\"a\":1,\"a\":2}",
                                        "1 2",       "[1e999]", "\x00"};
    json_t *json;
    for (size_t i = 0; i < KUA__COUNT(texts); i++) {
        assert_fails(kua__json_parse("cfg", texts[i], strlen(texts[i]), &json), KUA_FORMAT, "cfg:");
        assert_null(json);
    }
    assert_fails(kua__json_parse("cfg", "{\n\n  \"a\": ?", 11, &json), KUA_FORMAT, "cfg:3:");
    static char deep[100000];
    memset(deep, '[', sizeof(deep)); /* must not exhaust the stack */
    assert_fails(kua__json_parse("cfg", deep, sizeof(deep), &json), KUA_FORMAT, "cfg:");
}

static void files_are_loaded_and_saved(void **state)
{
    (void)state;
    const char *path = test_temp_path("settings.json");
    json_t *o = parse("{\"b\": [1, 2.5, \"\u4f60\"], \"a\": null}"), *back;
    assert_ok(kua__json_save(path, o));
    assert_ok(kua__json_load(path, &back));
    assert_true(json_equal(o, back));
    json_decref(back);
    json_decref(o);
    assert_fails(kua__json_load(test_temp_path("none.json"), &back), KUA_IO, "none.json");
    assert_null(back);
    path = test_temp_file("bad.json", "{\"a\":\n x}", 9);
    assert_fails(kua__json_load(path, &back), KUA_FORMAT, "bad.json:2:");
}

static void json_may_run_out_of_memory(void **state)
{
    (void)state;
    static const char text[] = "{\"a\": [1, 2, {\"b\": \"text\"}], \"c\": 1.5, \"d\": {\"e\": {}}}";
    const char *path = test_temp_path("oom.json");
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        json_t *json = NULL;
        st = kua__json_parse("cfg", text, strlen(text), &json);
        if (!st) {
            st = kua__json_save(path, json);
        }
        json_decref(json);
    }
}

/* ---- monitors ---- */

typedef struct seen {
    int calls, lines;
    uint64_t done;
    bool stop;
    char line[100];
} seen;

static bool on_progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    seen *s = user;
    assert_non_null(stage);
    assert_true(done <= total);
    s->calls++;
    s->done = done;
    return !s->stop;
}

static void on_log(void *user, kua_log_level level, const char *line)
{
    seen *s = user;
    assert_int_equal(level, KUA_LOG_WARN);
    s->lines++;
    snprintf(s->line, sizeof(s->line), "%s", line);
}

static void progress_is_told_seldom_but_to_the_end(void **state)
{
    (void)state;
    seen s = {0};
    kua_monitor monitor = {.progress = on_progress, .user = &s};
    double start = kua__seconds();
    for (uint64_t i = 0; i <= 200000; i++) {
        assert_ok(kua__progress(&monitor, "count", i, 200000));
    }
    int most = 3 + (int)((kua__seconds() - start) * 10);
    assert_in_range(s.calls, 2, most);
    assert_int_equal(s.done, 200000);
    assert_ok(kua__progress(NULL, "count", 1, 2));
    assert_ok(kua__progress(&(kua_monitor){0}, "count", 1, 2));
}

static void a_monitor_can_cancel(void **state)
{
    (void)state;
    seen s = {.stop = true};
    kua_monitor monitor = {.progress = on_progress, .user = &s};
    assert_fails(kua__progress(&monitor, "encode texts", 5, 5), KUA_CANCELED,
                 "encode texts: canceled at 5 of 5");
}

static void log_lines_have_no_breaks(void **state)
{
    (void)state;
    seen s = {0};
    kua_monitor monitor = {.log = on_log, .user = &s};
    kua__log_line(&monitor, KUA_LOG_WARN, "two\nlines %d", 2);
    assert_string_equal(s.line, "two lines 2");
    kua__log_line(NULL, KUA_LOG_WARN, "nobody");
    kua__log_line(&(kua_monitor){0}, KUA_LOG_WARN, "nobody");
    assert_int_equal(s.lines, 1);
    assert_true(kua__peak_rss_bytes() > 100000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_read),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(long_values_are_shortened),
        cmocka_unit_test(broken_json_is_located),
        cmocka_unit_test(files_are_loaded_and_saved),
        cmocka_unit_test(json_may_run_out_of_memory),
        cmocka_unit_test(progress_is_told_seldom_but_to_the_end),
        cmocka_unit_test(a_monitor_can_cancel),
        cmocka_unit_test(log_lines_have_no_breaks),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

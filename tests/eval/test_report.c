/* test_report.c - the page is whole, needs nothing from outside, and data cannot break out of its
 * element. */
#include "testlib.h"

#include "base/json.h"
#include "eval/report.h"

static size_t count_of(const kua__map *map, const char *what)
{
    size_t n = 0;
    const char *at = map->data, *end = at + map->size;
    while ((at = memmem(at, (size_t)(end - at), what, strlen(what)))) {
        n++;
        at += strlen(what);
    }
    return n;
}

static void the_example_becomes_one_file(void **state)
{
    (void)state;
    json_t *data = NULL;
    kua__map map;
    const char *path = test_temp_path("report.html");
    assert_ok(kua__json_load(test_data("eval/data/report_example.json"), &data));
    assert_ok(kua__report_write(path, data));
    json_decref(data);
    assert_ok(kua__map_open(&map, path));
    assert_true(kua__has_prefix(map.data, "<!doctype html>"));
    assert_int_equal(count_of(&map, "{{"), 0);
    assert_int_equal(count_of(&map, "</script>"), 3);
    assert_int_equal(count_of(&map, " src="), 0);
    assert_int_equal(count_of(&map, " href="), 0);
    assert_int_equal(count_of(&map, "@import"), 0);
    assert_int_equal(count_of(&map, "innerHTML"), 0); /* data goes in as text only */
    assert_int_equal(count_of(&map, "\\u003ckids\\u003e \\u0026"), 1);
    assert_true(count_of(&map, "From GROCERY to DRUG GM") >= 1);
    kua__map_close(&map);
}

static void hostile_names_stay_text(void **state)
{
    (void)state;
    kua__map map;
    const char *path = test_temp_path("hostile.html");
    json_t *data = json_pack("{s:s}", "title", "</script><script>alert(1)</script><!--");
    assert_ok(kua__report_write(path, data));
    json_decref(data);
    assert_ok(kua__map_open(&map, path));
    assert_int_equal(count_of(&map, "<script>alert"), 0);
    assert_int_equal(count_of(&map, "<!--"), 0);
    assert_int_equal(count_of(&map, "</script>"), 3);
    kua__map_close(&map);
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    json_t *data = json_object();
    assert_fails(kua__report_write("/nowhere/report.html", data), KUA_IO, "/nowhere/report.html");
    json_decref(data);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    json_t *data = json_pack("{s:s, s:[i,i]}", "title", "t", "n", 1, 2);
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    st = kua__report_write(test_temp_path("oom.html"), data);
    json_decref(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_becomes_one_file),
        cmocka_unit_test(hostile_names_stay_text),
        cmocka_unit_test(a_place_that_cannot_be_written_is_named),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

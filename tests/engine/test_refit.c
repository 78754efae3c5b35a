/* test_refit.c - a transferred model asked on another split than its own: it is fitted anew, and so
 * is the model of the sources that it began from, for the old one may have seen what is scored now.
 *
 * The shop: two domains of ITEMS items; user u buys item u % 4 + 4 k on day 8 k + u % 8.
 */
#include "testlib.h"

#include <string.h>

#include "base/json.h"
#include "kua/engine.h"

enum { PEOPLE = 32, ITEMS = 28, EVENTS = 7, DAY = 86400 };

static const char small[] = "{\"epochs\": 2, \"dim\": 8, \"layers\": 1}";

static void import_domain(kua_workspace *ws, const char *domain)
{
    kua__buf items = {0}, events = {0};
    kua__buf_puts(&items, "item_id:token\ttitle:token_seq\n");
    for (int i = 0; i < ITEMS; i++)
        kua__buf_printf(&items, "%s%d\tthing %d\n", domain, i, i);
    kua__buf_puts(&events, "user_id:token\titem_id:token\ttimestamp:float\n");
    for (int u = 0; u < PEOPLE; u++) {
        for (int k = 0; k < EVENTS; k++)
            kua__buf_printf(&events, "u%d\t%s%d\t%d\n", u, domain, u % 4 + 4 * k,
                            1500000000 + (8 * k + u % 8) * DAY);
    }
    kua_import_options o = {.domain = domain};
    o.items = test_temp_file("some.item", items.data, items.len);
    o.events = test_temp_file("some.inter", events.data, events.len);
    assert_ok(kua_import(ws, &o, NULL));
    kua__buf_release(&items);
    kua__buf_release(&events);
}

static size_t count_models(kua_workspace *ws, const char *name)
{
    char *report = NULL;
    json_t *json = NULL;
    assert_ok(kua_models(ws, name, &report));
    assert_ok(kua__json_parse("models", report, strlen(report), &json));
    size_t n = json_array_size(json);
    json_decref(json);
    kua_text_free(report);
    return n;
}

static void a_transfer_is_fitted_anew_with_its_source(void **state)
{
    (void)state;
    const char *path = test_temp_path("shop");
    kua_workspace *ws = NULL;
    char *report = NULL;
    assert_ok(kua_workspace_create(path));
    assert_ok(kua_workspace_open(path, NULL, &ws));
    import_domain(ws, "home");
    import_domain(ws, "care");
    kua_transfer_options moved = {.sources = "home",
                                  .target = "care",
                                  .strategy = "finetune",
                                  .name = "moved",
                                  .settings = small};
    assert_ok(kua_transfer(ws, &moved, NULL));
    assert_int_equal(count_models(ws, "source"), 1);

    kua_evaluate_options o = {.models = "moved:raw", .split = "time=2017-08-25"};
    assert_ok(kua_evaluate(ws, &o, &report));
    json_t *json = NULL;
    assert_ok(kua__json_parse("report", report, strlen(report), &json));
    assert_true(json_number_value(json_object_get(json_object_get(json, "protocol"), "users")) > 0);
    assert_int_equal(count_models(ws, "source"), 2); /* of the other split */
    json_decref(json);
    kua_text_free(report);
    kua_workspace_close(ws);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_transfer_is_fitted_anew_with_its_source),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

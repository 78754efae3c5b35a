/* test_import.c - imports into the store: idempotent, additive, updating; what is loaded is what
 * was read; and running out of memory at every point leaves the store as it was. */
#include "shopfiles.h"

#include <math.h>

static const char items_text[] = "item_id,title,category,price\na,Amber,x > y,3.5\nb,Berry,x,\n";
static const char events_text[] = "user_id,item_id,timestamp,rating\n"
                                  "u,b,1500000000,5\nu,a,1500000000,4\nv,a,1500000500,1\n";

static kua__import_options files(void)
{
    return (kua__import_options){.domain = "d",
                                 .items = text_file("i.csv", items_text),
                                 .events = text_file("e.csv", events_text)};
}

static void an_import_is_loaded_as_it_was(void **state)
{
    (void)state;
    kua__store *store = fresh_store("import.db");
    kua__import_options o = files();
    json_t *report;
    assert_ok(kua__store_import(store, &o, NULL, &report));
    assert_int_equal(whole(report, "items"), 2);
    assert_int_equal(whole(report, "users"), 2);
    assert_int_equal(whole(report, "events"), 3);
    json_decref(report);
    kua__shop *shop;
    assert_ok(kua__store_load_shop(store, NULL, 0, &shop));
    assert_int_equal(shop->n_domains, 1);
    assert_string_equal(shop->domains[0].name, "d");
    assert_string_equal(shop->items[0].name, "Amber");
    assert_string_equal(shop->items[0].text, "Amber x y");
    assert_string_equal(shop->items[0].category, "x > y");
    assert_near((double)shop->items[0].price, 3.5, 0);
    assert_true(isnan(shop->items[1].price));
    const kua__log *log = &shop->domains[0].log;
    assert_int_equal(log->n_events, 3);
    assert_int_equal(log->item[0], 1); /* equal times keep the order of the file */
    assert_int_equal(log->item[1], 0);
    assert_near((double)log->value[0], 5, 0);
    assert_int_equal(log->type[0], KUA__EVENT_RATING);
    assert_true(log->has_clock);
    kua__shop_free(shop);
    kua__store_close(store);
}

static void a_repeat_adds_nothing(void **state)
{
    (void)state;
    kua__store *store = fresh_store("repeat.db");
    kua__import_options o = files();
    json_t *report;
    assert_int_equal(import_events(store, &o), 3);
    assert_ok(kua__store_import(store, &o, NULL, &report));
    assert_true(json_is_true(json_object_get(report, "repeat")));
    assert_int_equal(whole(report, "events"), 0);
    assert_int_equal(whole(report, "items"), 0);
    json_decref(report);

    kua__import_options other = o; /* another import in between: the repeat is read again */
    other.domain = "e";
    assert_int_equal(import_events(store, &other), 3);
    assert_ok(kua__store_import(store, &o, NULL, &report));
    assert_false(json_is_true(json_object_get(report, "repeat")));
    assert_int_equal(whole(report, "events"), 0);
    assert_int_equal(whole(report, "events_known"), 3);
    assert_int_equal(whole(report, "items") + whole(report, "items_updated"), 0);
    assert_int_equal(whole(report, "users") + whole(report, "users_updated"), 0);
    json_decref(report);
    kua__store_close(store);
}

static void another_latest_time_is_no_repeat(void **state)
{
    (void)state;
    kua__store *store = fresh_store("latest.db");
    kua__import_options o = files();
    json_t *early = json_pack("{s:i}", "latest_time", 1500000100);
    json_t *late = json_pack("{s:i}", "latest_time", 1500001000);
    o.settings = early;
    assert_int_equal(import_events(store, &o), 2); /* the third is later */
    o.settings = late;
    assert_int_equal(import_events(store, &o), 1);
    json_decref(early);
    json_decref(late);
    kua__store_close(store);
}

static void later_imports_add_and_update(void **state)
{
    (void)state;
    kua__store *store = fresh_store("later.db");
    kua__import_options o = files();
    json_t *report;
    import_events(store, &o);
    o.items = text_file("i2.csv", "item_id,title\nb,Blueberry\nc,Cherry\n");
    o.events = text_file("e2.csv", "user_id,item_id,timestamp,rating\nv,a,1500000500,1\n"
                                   "v,c,1500000600,2\nw,b,1500000700,3\n");
    assert_ok(kua__store_import(store, &o, NULL, &report));
    assert_int_equal(whole(report, "items"), 1);
    assert_int_equal(whole(report, "items_updated"), 1);
    assert_int_equal(whole(report, "users"), 1);
    assert_int_equal(whole(report, "events"), 2);
    assert_int_equal(whole(report, "events_known"), 1);
    json_decref(report);

    /* Events alone, of items that an earlier import brought. */
    o = (kua__import_options){.events = text_file("e3.csv", "user_id,item_id,timestamp\n"
                                                            "u,c,1500000900\nu,q,1500000900\n")};
    assert_int_equal(import_events(store, &o), 1);
    kua__shop *shop;
    assert_ok(kua__store_load_shop(store, NULL, 0, &shop));
    assert_int_equal(shop->n_items, 3);
    assert_string_equal(shop->items[1].name, "Blueberry");
    assert_int_equal(shop->domains[0].log.n_events, 6);
    kua__shop_free(shop);
    kua__store_close(store);
}

static void kept_duplicates_are_idempotent_too(void **state)
{
    (void)state;
    kua__store *store = fresh_store("twice.db");
    json_t *settings = json_pack("{s:s}", "duplicates", "keep");
    kua__import_options o = {.domain = "d",
                             .settings = settings,
                             .events = text_file("e.csv", "user_id,item_id,timestamp\n"
                                                          "u,a,1\nu,a,1\nu,a,1\nu,b,1\n")};
    assert_int_equal(import_events(store, &o), 4);
    o.events = text_file("e.csv", "user_id,item_id,timestamp\nu,a,1\nu,a,1\nu,a,1\nu,a,1\n");
    assert_int_equal(import_events(store, &o), 1);
    json_decref(settings);
    kua__store_close(store);
}

static void users_are_updated(void **state)
{
    (void)state;
    kua__store *store = fresh_store("users.db");
    json_t *report;
    kua__import_options o = {.users = text_file("u.csv", "user_id,age\nu,3\nv,4\n")};
    assert_ok(kua__store_import(store, &o, NULL, &report));
    assert_int_equal(whole(report, "users"), 2);
    json_decref(report);
    o.users = text_file("u.csv", "user_id,age\nu,3\nv,5\nw,6\n");
    assert_ok(kua__store_import(store, &o, NULL, &report));
    assert_int_equal(whole(report, "users"), 1);
    assert_int_equal(whole(report, "users_updated"), 1);
    json_decref(report);
    kua__store_close(store);
}

static void domains_are_loaded_by_name(void **state)
{
    (void)state;
    kua__store *store = fresh_store("names.db");
    kua__import_options o = files();
    import_events(store, &o);
    o.domain = "e";
    import_events(store, &o);
    kua__shop *shop;
    assert_ok(kua__store_load_shop(store, (const char *const[]){"e"}, 1, &shop));
    assert_int_equal(shop->n_domains, 1);
    assert_string_equal(shop->domains[0].name, "e");
    assert_int_equal(shop->n_items, 2);
    kua__shop_free(shop);
    assert_ok(kua__store_load_shop(store, (const char *const[]){"e", "d"}, 2, &shop));
    assert_string_equal(shop->domains[1].name, "d");
    assert_int_equal(shop->domains[1].first_item, 2);
    kua__shop_free(shop);
    assert_fails(kua__store_load_shop(store, (const char *const[]){"f"}, 1, &shop), KUA_NOTFOUND,
                 "no domain is called 'f', there are: d, e");
    kua__store_close(store);
}

static void inspection_sums_the_cleaning(void **state)
{
    (void)state;
    kua__store *store = fresh_store("inspect.db");
    json_t *json;
    assert_ok(kua__store_inspect(store, &json));
    assert_int_equal(json_array_size(json_object_get(json, "domains")), 0);
    json_decref(json);
    kua__import_options o = files();
    o.events = text_file("e.csv", "user_id,item_id,timestamp\nu,a,1\nu,a,1\nu,zz,1\n");
    import_events(store, &o);
    o.domain = "e";
    import_events(store, &o);
    o.domain = "d";
    import_events(store, &o); /* a repeat: not counted again */
    assert_ok(kua__store_inspect(store, &json));
    assert_int_equal(json_array_size(json_object_get(json, "imports")), 3);
    assert_int_equal(whole(json_array_get(json_object_get(json, "imports"), 0), "rows"), 5);
    size_t i, found = 0;
    json_t *step;
    json_array_foreach(json_object_get(json, "cleaned"), i, step)
    {
        const char *name = json_string_value(json_object_get(step, "step"));
        if (kua__streq(name, "exact duplicates") || kua__streq(name, "unknown items")) {
            assert_int_equal(whole(step, "removed"), 2);
            found++;
        }
    }
    assert_int_equal(found, 2);
    json_decref(json);
    kua__store_close(store);
}

static void a_failed_import_leaves_nothing(void **state)
{
    (void)state;
    const char *path = test_temp_path("failed.db");
    kua__store *store = fresh_store("failed.db");
    kua__import_options o = files();
    o.events = text_file("bad.csv", "user_id,item_id,timestamp\nu,a,1\nu,a,x\n");
    assert_fails(kua__store_import(store, &o, NULL, NULL), KUA_FORMAT, "bad.csv: 1 of 2 lines");
    o.events = text_file("bad.csv", "who,item_id\nu,a\n");
    assert_fails(kua__store_import(store, &o, NULL, NULL), KUA_FORMAT, "events.user");
    assert_int_equal(ask(path, "SELECT (SELECT count(*) FROM items) + (SELECT count(*) FROM users)"
                               " + (SELECT count(*) FROM imports)"),
                     0);
    o = files();
    assert_int_equal(import_events(store, &o), 3); /* and the store works on */
    kua__store_close(store);
}

static bool stop_at_writing(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user;
    (void)done;
    (void)total;
    return strcmp(stage, "write events") != 0;
}

static void a_canceled_import_leaves_nothing(void **state)
{
    (void)state;
    const char *path = test_temp_path("cancel.db");
    kua__store *store = fresh_store("cancel.db");
    kua__import_options o = files();
    kua_monitor monitor = {.progress = stop_at_writing};
    assert_fails(kua__store_import(store, &o, &monitor, NULL), KUA_CANCELED, "write events");
    assert_int_equal(ask(path, "SELECT count(*) FROM events"), 0);
    assert_int_equal(import_events(store, &o), 3);
    kua__store_close(store);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua__import_options o = files();
    o.users = text_file("u.csv", "user_id,age\nu,3\n");
    kua_status st = KUA_OK;
    kua__store *store = fresh_store("oom-import.db");
    TEST_EVERY_ALLOCATION(st)
    {
        json_t *report = NULL;
        st = kua__store_import(store, &o, NULL, &report);
        assert_int_equal(whole(report, "events"), st ? 0 : 3); /* all or nothing, every time */
        json_decref(report);
    }
    TEST_EVERY_ALLOCATION(st)
    {
        kua__shop *shop = NULL;
        json_t *inspected = NULL;
        st = kua__store_load_shop(store, NULL, 0, &shop);
        if (!st) st = kua__store_inspect(store, &inspected);
        json_decref(inspected);
        kua__shop_free(shop);
    }
    kua__store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_import_is_loaded_as_it_was),
        cmocka_unit_test(a_repeat_adds_nothing),
        cmocka_unit_test(another_latest_time_is_no_repeat),
        cmocka_unit_test(later_imports_add_and_update),
        cmocka_unit_test(kept_duplicates_are_idempotent_too),
        cmocka_unit_test(users_are_updated),
        cmocka_unit_test(domains_are_loaded_by_name),
        cmocka_unit_test(inspection_sums_the_cleaning),
        cmocka_unit_test(a_failed_import_leaves_nothing),
        cmocka_unit_test(a_canceled_import_leaves_nothing),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

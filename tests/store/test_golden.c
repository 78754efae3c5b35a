/* test_golden.c - a store that was written when its tables were version 1 opens for ever.
 *
 * data/version-1.db holds two domains (one with a given split), a published model and a setting. It
 * is copied before it is opened, since SQLite keeps its log beside it.
 */
#include "shopfiles.h"

#include <math.h>

static kua__store *open_copy(void)
{
    kua__map map;
    kua__store *store = NULL;
    fresh_path("golden.db");
    assert_ok(kua__map_open(&map, test_data("store/data/version-1.db")));
    const char *path = test_temp_file("golden.db", map.data, map.size);
    kua__map_close(&map);
    assert_ok(kua__store_open(path, &store));
    return store;
}

static void records_are_read(void **state)
{
    (void)state;
    kua__store *store = open_copy();
    kua__shop *shop;
    assert_ok(kua__store_load_shop(store, NULL, 0, &shop));
    assert_int_equal(shop->n_domains, 2);
    assert_int_equal(shop->users.count, 2);
    const kua__item *item = &shop->items[0];
    assert_string_equal(item->id, "a");
    assert_string_equal(item->name, "Amber lamp");
    assert_string_equal(item->text, "Amber lamp Acme Home Light");
    assert_string_equal(item->category, "Home > Light");
    assert_near((double)item->price, 3.5, 0);
    const kua__log *home = &shop->domains[0].log, *games = &shop->domains[1].log;
    assert_int_equal(home->n_events, 3);
    assert_int_equal(home->item[0], 1);
    assert_int_equal(home->type[0], KUA__EVENT_VIEW);
    assert_near((double)home->value[1], 2.5, 0);
    assert_int_equal(home->time[2], 1500000500);
    assert_true(home->has_clock && !home->part);
    assert_int_equal(games->n_events, 2);
    assert_false(games->has_clock);
    assert_int_equal(games->part[0], KUA__PART_TRAIN);
    assert_int_equal(games->part[1], KUA__PART_TEST);
    kua__shop_free(shop);
    kua__store_close(store);
}

static void the_registry_is_read(void **state)
{
    (void)state;
    kua__store *store = open_copy();
    json_t *model;
    char *value;
    assert_ok(kua__store_published(store, "home", &model));
    assert_string_equal(json_string_value(json_object_get(model, "path")), "models/m/1");
    assert_string_equal(json_string_value(json_object_get(model, "reason")), "the first");
    assert_int_equal(whole(json_object_get(model, "record"), "seeds"), 3);
    json_decref(model);
    assert_ok(kua__store_setting_get(store, "encoder", &value));
    assert_string_equal(value, "minilm-l6");
    kua__free(value);
    kua__store_close(store);
}

static void it_takes_more(void **state)
{
    (void)state;
    kua__store *store = open_copy();
    kua__import_options o = {.events = text_file("more.csv", "user_id,item_id,timestamp\n"
                                                             "w,a,1500000900\n")};
    assert_int_equal(import_events(store, &o), 1);
    kua__store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_are_read),
        cmocka_unit_test(the_registry_is_read),
        cmocka_unit_test(it_takes_more),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_store.c - the file: making, opening, settings, and the registry of models. */
#include "shopfiles.h"

static void a_store_is_made_once(void **state)
{
    (void)state;
    const char *path = fresh_path("once.db");
    kua__store *store;
    assert_fails(kua__store_open(path, &store), KUA_NOTFOUND, "once.db: no such file");
    assert_ok(kua__store_create(path));
    assert_fails(kua__store_create(path), KUA_INVALID, "exists already");
    assert_ok(kua__store_open(path, &store));
    kua__store_close(store);
    kua__store_close(NULL);
    assert_fails(kua__store_create("/nowhere/x.db"), KUA_STORE, "/nowhere/x.db: cannot open");
}

static void settings_are_kept(void **state)
{
    (void)state;
    kua__store *store = fresh_store("settings.db");
    char *value;
    assert_ok(kua__store_setting_get(store, "encoder", &value));
    assert_null(value);
    assert_ok(kua__store_setting_set(store, "encoder", "minilm-l6"));
    assert_ok(kua__store_setting_set(store, "encoder", "other"));
    assert_ok(kua__store_setting_get(store, "encoder", &value));
    assert_string_equal(value, "other");
    kua__free(value);
    assert_ok(kua__store_setting_set(store, "encoder", NULL));
    assert_ok(kua__store_setting_get(store, "encoder", &value));
    assert_null(value);
    kua__store_close(store);
}

static int add(kua__store *store, const char *name, const char *domain)
{
    int version = 0;
    json_t *record = json_pack("{s:i}", "seeds", 3);
    kua__model_row row = {.name = name, .kind = "ease", .domain = domain, .record = record};
    assert_ok(kua__store_model_add(store, &row, &version));
    json_decref(record);
    return version;
}

static void versions_count_up(void **state)
{
    (void)state;
    kua__store *store = fresh_store("models.db");
    json_t *json;
    assert_int_equal(add(store, "m", "beauty"), 1);
    assert_int_equal(add(store, "m", "beauty"), 2);
    assert_int_equal(add(store, "n", "toys"), 1);
    assert_ok(kua__store_model_get(store, "m", 0, &json));
    assert_int_equal(whole(json, "version"), 2);
    assert_string_equal(json_string_value(json_object_get(json, "kind")), "ease");
    assert_int_equal(whole(json_object_get(json, "record"), "seeds"), 3);
    assert_false(json_is_true(json_object_get(json, "published")));
    json_decref(json);
    assert_fails(kua__store_model_get(store, "m", 3, &json), KUA_NOTFOUND,
                 "model 'm' version 3 not found, there are: m, n");
    assert_null(json);

    json_t *record = json_pack("{s:s}", "state", "done");
    assert_ok(kua__store_model_record(store, "m", 1, record));
    json_decref(record);
    assert_ok(kua__store_model_get(store, "m", 1, &json));
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(json, "record"), "state")), "done");
    json_decref(json);

    assert_ok(kua__store_models(store, "m", &json));
    assert_int_equal(json_array_size(json), 2);
    json_decref(json);
    assert_ok(kua__store_models(store, NULL, &json));
    assert_int_equal(json_array_size(json), 3);
    json_decref(json);
    assert_ok(kua__store_models(store, "none", &json));
    assert_int_equal(json_array_size(json), 0);
    json_decref(json);

    kua__model_row nameless = {.name = "", .kind = "ease", .domain = "d"};
    assert_fails(kua__store_model_add(store, &nameless, NULL), KUA_INVALID, "name is empty");
    kua__store_close(store);
}

static void published_is(kua__store *store, const char *domain, const char *name, int version)
{
    json_t *json;
    assert_ok(kua__store_published(store, domain, &json));
    assert_string_equal(json_string_value(json_object_get(json, "name")), name);
    assert_int_equal(whole(json, "version"), version);
    assert_true(json_is_true(json_object_get(json, "published")));
    json_decref(json);
}

static void publishing_and_rolling_back(void **state)
{
    (void)state;
    kua__store *store = fresh_store("publish.db");
    json_t *json;
    add(store, "m", "beauty");
    add(store, "m", "beauty");
    add(store, "n", "beauty");
    assert_fails(kua__store_published(store, "beauty", &json), KUA_NOTFOUND,
                 "no model is published for 'beauty'");
    assert_ok(kua__store_publish(store, "m", 1, "the first"));
    assert_ok(kua__store_publish(store, "n", 0, "better"));
    assert_ok(kua__store_publish(store, "m", 0, NULL));
    published_is(store, "beauty", "m", 2);
    assert_fails(kua__store_model_remove(store, "m", 2), KUA_INVALID, "is published");
    assert_ok(kua__store_rollback(store, "beauty", &json));
    json_decref(json);
    published_is(store, "beauty", "n", 1);
    assert_ok(kua__store_model_get(store, "n", 1, &json));
    assert_string_equal(json_string_value(json_object_get(json, "reason")), "better");
    json_decref(json);
    assert_ok(kua__store_rollback(store, "beauty", &json));
    json_decref(json);
    published_is(store, "beauty", "m", 1);
    assert_fails(kua__store_rollback(store, "beauty", &json), KUA_NOTFOUND,
                 "no model was published before");
    published_is(store, "beauty", "m", 1);
    assert_fails(kua__store_publish(store, "x", 0, NULL), KUA_NOTFOUND, "model 'x' not found");
    assert_ok(kua__store_model_remove(store, "n", 0));
    assert_ok(kua__store_models(store, NULL, &json));
    assert_int_equal(json_array_size(json), 2);
    json_decref(json);
    kua__store_close(store);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st = KUA_OK;
    kua__store *made = fresh_store("oom.db"); /* what is committed waits for the disk: few writes */
    const char *path = test_temp_path("oom.db");
    add(made, "m", "d");
    add(made, "m", "d");
    assert_ok(kua__store_publish(made, "m", 1, "x"));
    assert_ok(kua__store_publish(made, "m", 2, "y"));
    assert_ok(kua__store_setting_set(made, "a", "b"));
    kua__store_close(made);
    TEST_EVERY_ALLOCATION(st)
    {
        kua__store *store = NULL;
        json_t *list = NULL, *back = NULL;
        char *value = NULL;
        st = kua__store_open(path, &store);
        if (!st) st = kua__store_setting_get(store, "a", &value);
        if (!st) st = kua__store_models(store, NULL, &list);
        if (!st) st = kua__store_published(store, "d", &back);
        json_decref(list);
        json_decref(back);
        kua__free(value);
        kua__store_close(store);
    }
}

/* Each write alone: on failure nothing has changed, so that the next try is the same. */
static void every_allocation_of_a_write_may_fail(void **state)
{
    (void)state;
    kua_status st = KUA_OK;
    json_t *record = json_pack("{s:{s:[i, f]}}", "metrics", "recall@10", 1, .5);
    kua__model_row row = {.name = "m", .kind = "ease", .domain = "d", .record = record};
    kua__store *store = fresh_store("oom.db");
    TEST_EVERY_ALLOCATION(st)
    st = kua__store_model_add(store, &row, NULL);
    TEST_EVERY_ALLOCATION(st)
    st = kua__store_publish(store, "m", 0, "why");
    assert_int_equal(add(store, "m", "d"), 2);
    assert_ok(kua__store_publish(store, "m", 2, "newer"));
    TEST_EVERY_ALLOCATION(st)
    st = kua__store_model_record(store, "m", 2, record);
    TEST_EVERY_ALLOCATION(st)
    st = kua__store_setting_set(store, "key", "value");
    published_is(store, "d", "m", 2);
    json_decref(record);
    kua__store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_is_made_once),
        cmocka_unit_test(settings_are_kept),
        cmocka_unit_test(versions_count_up),
        cmocka_unit_test(publishing_and_rolling_back),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_allocation_of_a_write_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

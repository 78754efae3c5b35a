/* test_shops.c - real shops: three categories of reviews, and a year of a supermarket.
 *
 * The counts are those of data/README.md beside the data. A shop that came through the store must
 * be the one that is read straight from the files. Skips where the data is not at hand.
 */
#include "shopfiles.h"

#include "data/shop_build.h"

static const char *const names[] = {"beauty", "toys", "sports"};

static void amazon_paths(const char *root, char path[6][4096])
{
    for (int d = 0; d < 3; d++) {
        snprintf(path[2 * d], 4096, "%s/%s/%s.item", root, names[d], names[d]);
        snprintf(path[2 * d + 1], 4096, "%s/%s/%s.inter", root, names[d], names[d]);
    }
}

static json_int_t shared(const json_t *inspected, const char *a, const char *b)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(inspected, "shared_users"), i, one)
    {
        const char *x = json_string_value(json_object_get(one, "a"));
        const char *y = json_string_value(json_object_get(one, "b"));
        if (kua__streq(x, a) && kua__streq(y, b)) return whole(one, "users");
    }
    return -1;
}

static void same_log(const kua__log *a, const kua__log *b)
{
    assert_int_equal(a->n_users, b->n_users);
    assert_int_equal(a->n_events, b->n_events);
    assert_memory_equal(a->user_at, b->user_at, (a->n_users + 1) * sizeof(*a->user_at));
    assert_memory_equal(a->item, b->item, a->n_events * sizeof(*a->item));
    assert_memory_equal(a->time, b->time, a->n_events * sizeof(*a->time));
    assert_memory_equal(a->value, b->value, a->n_events * sizeof(*a->value));
    assert_int_equal(a->has_clock, b->has_clock);
}

static void same_shop(const kua__shop *a, const kua__shop *b)
{
    assert_int_equal(a->n_domains, b->n_domains);
    assert_int_equal(a->n_items, b->n_items);
    for (size_t i = 0; i < a->n_items; i++) {
        assert_string_equal(a->items[i].id, b->items[i].id);
        assert_string_equal(a->items[i].name, b->items[i].name);
        assert_string_equal(a->items[i].text, b->items[i].text);
    }
    for (size_t d = 0; d < a->n_domains; d++) {
        same_log(&a->domains[d].log, &b->domains[d].log);
    }
}

static void three_categories(void **state)
{
    (void)state;
    static const json_int_t users[] = {22363, 19412, 35598}, items[] = {12101, 11924, 18357},
                            events[] = {198502, 167597, 296337};
    const char *root = test_shared_data("amazon-2014");
    if (!root) skip();
    char path[6][4096];
    amazon_paths(root, path);
    kua__store *store = fresh_store("amazon.db");
    kua__atomic_domain direct[3];
    for (int d = 0; d < 3; d++) {
        kua__import_options o = {
            .domain = names[d], .items = path[2 * d], .events = path[2 * d + 1]};
        assert_int_equal(import_events(store, &o), events[d]);
        direct[d] = (kua__atomic_domain){names[d], path[2 * d], path[2 * d + 1]};
    }
    json_t *json;
    assert_ok(kua__store_inspect(store, &json));
    for (size_t d = 0; d < 3; d++) {
        const json_t *domain = json_array_get(json_object_get(json, "domains"), d);
        assert_string_equal(json_string_value(json_object_get(domain, "name")), names[d]);
        assert_int_equal(whole(domain, "users"), users[d]);
        assert_int_equal(whole(domain, "items"), items[d]);
        assert_int_equal(whole(domain, "events"), events[d]);
        assert_false(json_is_true(json_object_get(domain, "clock")));
    }
    assert_int_equal(shared(json, "beauty", "toys"), 2073);
    assert_int_equal(shared(json, "beauty", "sports"), 1625);
    assert_int_equal(shared(json, "toys", "sports"), 1734);
    json_decref(json);
    kua__shop *stored, *read;
    assert_ok(kua__store_load_shop(store, NULL, 0, &stored));
    assert_ok(kua__shop_from_atomic(direct, 3, &read));
    same_shop(stored, read);
    kua__shop_free(stored);
    kua__shop_free(read);
    kua__store_close(store);
}

/* The demo's files, as tools/convert-completejourney leaves them in the cache. */
static bool demo_paths(char items[4096], char events[4096])
{
    const char *cache = getenv("KUA_CACHE"), *home = getenv("HOME");
    char root[2048];
    snprintf(root, sizeof(root), cache ? "%s" : "%s/.cache/kua", cache ? cache : home ? home : ".");
    snprintf(items, 4096, "%s/data/completejourney/items.tsv", root);
    snprintf(events, 4096, "%s/data/completejourney/events.tsv", root);
    if (kua__exists(items) && kua__exists(events)) return true;
    print_message("skipped: %s is not there (make demo fetches it)\n", events);
    return false;
}

static json_int_t removed(const json_t *report, const char *step)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(report, "cleaned"), i, one)
    {
        if (kua__streq(json_string_value(json_object_get(one, "step")), step)) {
            return whole(one, "removed");
        }
    }
    return -1;
}

static void a_year_of_a_supermarket(void **state)
{
    (void)state;
    char items[4096], events[4096];
    if (!demo_paths(items, events)) skip();
    kua__store *store = fresh_store("journey.db");
    kua__import_options o = {
        .items = items, .events = events, .map = test_data("../tools/demo-map.json")};
    json_t *report;
    double start = kua__seconds();
    assert_ok(kua__store_import(store, &o, NULL, &report));
    double took = kua__seconds() - start;
    print_message("1,469,307 transactions imported in %.1f s\n", took);
    assert_true(took < 30);
    assert_int_equal(whole(report, "items"), 92331);
    assert_int_equal(whole(report, "users"), 2469);
    assert_int_equal(removed(report, "unknown items"), 4836);
    assert_int_equal(removed(report, "unreadable lines"), 0);
    json_int_t added = whole(report, "events");
    assert_int_equal(added, 1469307 - 4836 - removed(report, "exact duplicates"));
    json_decref(report);

    json_t *settings =
        json_pack("{s:i}", "bot_events_per_day", 6000); /* not the very same import */
    o.settings = settings;
    start = kua__seconds();
    assert_ok(kua__store_import(store, &o, NULL, &report));
    print_message("repeated in %.1f s\n", kua__seconds() - start);
    assert_int_equal(whole(report, "events"), 0);
    assert_int_equal(whole(report, "items") + whole(report, "items_updated"), 0);
    json_decref(report);
    json_decref(settings);

    kua__shop *shop;
    uint32_t grocery;
    start = kua__seconds();
    assert_ok(kua__store_load_shop(store, NULL, 0, &shop));
    print_message("loaded in %.1f s\n", kua__seconds() - start);
    assert_ok(kua__shop_domain(shop, "GROCERY", &grocery));
    assert_int_equal(shop->domains[grocery].n_items, 39023);
    assert_true(shop->domains[grocery].log.has_clock);
    kua__shop_free(shop);
    kua__store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_categories),
        cmocka_unit_test(a_year_of_a_supermarket),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

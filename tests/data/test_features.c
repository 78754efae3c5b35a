/* test_features.c - features of a shop that is small enough to count by hand, and inspection. */
#include "testlib.h"

#include <math.h>

#include "data/features.h"
#include "data/inspect.h"
#include "data/shop_build.h"
#include "data/split.h"

enum { DAY = 86400, T0 = 1500000000 };

/* Domain a: 4 items, 2 users; u buys 0 twice and 1, v buys 1; item 3 is never bought. Domain b: u.
 */
static kua_status make_shop(kua__shop **out)
{
    static const kua__item items[] = {
        {.id = "0", .name = "zero", .text = "caf\u00e9", .category = "A > B", .price = 1},
        {.id = "1", .text = "tea", .category = "A", .price = 2},
        {.id = "2", .text = "tea", .price = 2},
        {.id = "3", .price = NAN},
        {.id = "9", .domain = 1, .price = NAN},
    };
    static const kua__raw_event events[] = {
        {0, 0, T0, 2, KUA__EVENT_PURCHASE, 0},
        {0, 1, T0 + DAY, 4, KUA__EVENT_VIEW, 0},
        {0, 0, T0 + 2 * DAY, 3, KUA__EVENT_PURCHASE, 0},
        {1, 1, T0 + 3 * DAY, 1, KUA__EVENT_VIEW, 0},
        {0, 4, 7, 1, KUA__EVENT_VIEW, 0},
    };
    kua__shop_builder b;
    uint32_t number;
    kua__shop_builder_init(&b);
    kua_status st = kua__shop_builder_domain(&b, "a", true, &number);
    if (!st) st = kua__shop_builder_domain(&b, "b", false, &number);
    if (!st) st = kua__shop_builder_user(&b, "u", 1, &number);
    if (!st) st = kua__shop_builder_user(&b, "v", 1, &number);
    for (size_t i = 0; !st && i < KUA__COUNT(items); i++) {
        st = kua__shop_builder_item(&b, &items[i], &number);
    }
    for (size_t e = 0; !st && e < KUA__COUNT(events); e++) {
        st = kua__shop_builder_event(&b, &events[e]);
    }
    if (!st) st = kua__shop_builder_finish(&b, out);
    kua__shop_builder_release(&b);
    return st;
}

static kua__shop *shop_of_two(void)
{
    kua__shop *shop = NULL;
    assert_ok(make_shop(&shop));
    return shop;
}

static void items_are_counted(void **state)
{
    (void)state;
    kua__shop *shop = shop_of_two();
    kua__features f;
    assert_ok(kua__features_items(shop, 0, NULL, KUA__SCALE_NONE, &f));
    assert_int_equal(f.n, 4);
    assert_string_equal(f.names[2], "recency");
    const float *row = f.value;
    assert_near(row[0], log1p(2), 1e-6);
    assert_near(row[1], log1p(1), 1e-6);
    assert_near(row[2], 1, 1e-6);
    assert_near(row[3], log1p(1), 1e-6);
    assert_near(row[5], 2, 0);
    assert_near(f.value[f.dim + 1], log1p(2), 1e-6);
    assert_true(isnan(f.value[3 * f.dim + 2]));
    assert_true(isnan(f.value[3 * f.dim + 4]));
    kua__features_release(&f);

    const size_t end[] = {2, 3}; /* u's third event and v's only one are hidden */
    assert_ok(kua__features_items(shop, 0, end, KUA__SCALE_NONE, &f));
    assert_near(f.value[0], log1p(1), 1e-6);
    assert_near(f.value[2], 1, 1e-6);
    assert_near(f.value[f.dim + 1], log1p(1), 1e-6);
    kua__features_release(&f);

    assert_ok(kua__features_items(shop, 1, NULL, KUA__SCALE_NONE, &f));
    assert_true(isnan(f.value[2])); /* no clock, no recency */
    kua__features_release(&f);
    kua__shop_free(shop);
}

static void users_are_counted(void **state)
{
    (void)state;
    kua__shop *shop = shop_of_two();
    kua__features f;
    assert_ok(kua__features_users(shop, 0, NULL, KUA__SCALE_NONE, &f));
    assert_near(f.value[0], log1p(3), 1e-6);
    assert_near(f.value[1], log1p(2), 1e-6);
    assert_near(f.value[2], 1. / 3, 1e-6);
    assert_near(f.value[3], 1, 1e-6);
    assert_near(f.value[4], 3, 1e-6);
    kua__features_release(&f);
    assert_ok(kua__features_users(shop, 1, NULL, KUA__SCALE_ZSCORE, &f));
    for (size_t i = 0; i < f.n * f.dim; i++) {
        assert_true(isfinite(f.value[i]));
    }
    kua__features_release(&f);
    kua__shop_free(shop);
}

static void columns_are_scaled(void **state)
{
    (void)state;
    float z[] = {1, 9, 3, 9, NAN, 9}, q[] = {5, 1, 5, NAN, 9}, same[] = {2, 2};
    assert_ok(kua__scale_column(z, 3, 2, KUA__SCALE_ZSCORE));
    assert_near(z[0], -1, 1e-6);
    assert_near(z[2], 1, 1e-6);
    assert_near(z[4], 0, 0);
    assert_near(z[1], 9, 0);
    assert_ok(kua__scale_column(q, 5, 1, KUA__SCALE_QUANTILE));
    assert_near(q[1], .125, 1e-6);
    assert_near(q[0], .5, 1e-6);
    assert_near(q[2], .5, 1e-6);
    assert_near(q[3], .5, 0);
    assert_near(q[4], .875, 1e-6);
    assert_ok(kua__scale_column(same, 2, 1, KUA__SCALE_ZSCORE));
    assert_near(same[0], 0, 0);
    assert_ok(kua__scale_column(NULL, 0, 1, KUA__SCALE_QUANTILE));
}

static void prices_and_categories(void **state)
{
    (void)state;
    kua__shop *shop = shop_of_two();
    uint8_t band[4];
    size_t n;
    assert_ok(kua__price_bands(shop, 0, 3, band));
    assert_int_equal(band[0], 0);
    assert_int_equal(band[1], 1);
    assert_int_equal(band[2], 1); /* equal prices, one band */
    assert_int_equal(band[3], 3); /* not known */
    assert_int_equal(kua__category_depth(""), 0);
    assert_int_equal(kua__category_depth("A > B > C"), 3);
    assert_memory_equal(kua__category_level("A > Bee > C", 1, &n), "Bee", 3);
    assert_int_equal(n, 3);
    assert_null(kua__category_level("A > B", 2, &n));
    kua__shop_free(shop);
}

static double number(const json_t *json, const char *a, const char *b)
{
    const json_t *value = json_object_get(json, a);
    return json_number_value(b ? json_object_get(value, b) : value);
}

static void a_shop_is_inspected(void **state)
{
    (void)state;
    kua__shop *shop = shop_of_two();
    json_t *json;
    assert_ok(kua__shop_inspect(shop, &json));
    assert_near(number(json, "users", NULL), 2, 0);
    assert_near(number(json, "events", NULL), 5, 0);
    const json_t *a = json_array_get(json_object_get(json, "domains"), 0);
    const json_t *b = json_array_get(json_object_get(json, "domains"), 1);
    assert_near(number(a, "users", NULL), 2, 0);
    assert_near(number(a, "sparsity", NULL), 1 - 3. / 8, 1e-9);
    assert_near(number(a, "repeats", NULL), .25, 1e-9);
    assert_near(number(a, "cold_items", NULL), .5, 1e-9);
    assert_near(number(a, "types", "view"), 2, 0);
    assert_near(number(a, "values", "max"), 4, 0);
    assert_near(number(a, "missing", "name"), 3, 0);
    assert_near(number(a, "missing", "price"), 1, 0);
    assert_near(number(a, "text", "distinct"), 2, 0);
    assert_near(number(a, "text", "coverage"), .75, 1e-9);
    assert_near(number(a, "text", "mean_chars"), 10. / 3, 1e-9);
    assert_near(number(a, "per_user", "median"), 2, 1e-9);
    assert_string_equal(json_string_value(json_object_get(a, "first")), "2017-07-14 02:40:00");
    assert_true(json_is_null(json_object_get(b, "first")));
    const json_t *shared = json_object_get(json, "shared_users");
    assert_int_equal(json_array_size(shared), 1);
    assert_near(number(json_array_get(shared, 0), "users", NULL), 1, 0);
    json_decref(json);
    kua__shop_free(shop);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st = KUA_OK;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__shop *shop = NULL;
        kua__features items = {0}, users = {0};
        json_t *json = NULL;
        st = make_shop(&shop);
        if (!st) st = kua__features_items(shop, 0, NULL, KUA__SCALE_QUANTILE, &items);
        if (!st) st = kua__features_users(shop, 0, NULL, KUA__SCALE_ZSCORE, &users);
        if (!st) st = kua__shop_inspect(shop, &json);
        json_decref(json);
        kua__features_release(&items);
        kua__features_release(&users);
        kua__shop_free(shop);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_counted),   cmocka_unit_test(users_are_counted),
        cmocka_unit_test(columns_are_scaled),  cmocka_unit_test(prices_and_categories),
        cmocka_unit_test(a_shop_is_inspected), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

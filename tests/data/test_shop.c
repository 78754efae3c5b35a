/* test_shop.c - logs, shops and splits: order, limits, memory, and the real categories. */
#include "testlib.h"

#include "data/shop_build.h"
#include "data/split.h"

static kua__raw_event at(uint32_t user, uint32_t item, int64_t time, uint8_t part)
{
    return (kua__raw_event){user, item, time, 1, KUA__EVENT_PURCHASE, part};
}

static void types_have_names(void **state)
{
    (void)state;
    for (int t = 0; t < KUA__EVENT_TYPES; t++) {
        uint8_t back = 99;
        const char *name = kua__event_type_name((kua__event_type)t);
        assert_true(kua__event_type_parse(name, strlen(name), &back));
        assert_int_equal(back, t);
    }
    uint8_t out = 7;
    assert_false(kua__event_type_parse("purchas", 7, &out));
    assert_false(kua__event_type_parse("", 0, &out));
    assert_int_equal(out, 7);
}

static void a_log_is_sorted_and_stable(void **state)
{
    (void)state;
    kua__raw_event events[] = {at(2, 0, 9, 0), at(0, 1, 5, 0), at(0, 2, 3, 0), at(0, 3, 5, 0),
                               at(2, 4, 1, 0), at(0, 0, 4, 0), at(0, 4, 3, 0)};
    const uint32_t expected[] = {2, 4, 0, 1, 3, 4, 0};
    kua__log log;
    assert_ok(kua__log_build(&log, 4, 5, events, 7, true));
    assert_int_equal(log.user_at[0], 0);
    assert_int_equal(log.user_at[1], 5);
    assert_int_equal(log.user_at[2], 5);
    assert_int_equal(log.user_at[3], 7);
    assert_int_equal(log.user_at[4], 7);
    for (size_t e = 0; e < 7; e++) {
        assert_int_equal(log.item[e], expected[e]);
        assert_int_equal(events[e].item, expected[e]);
    }
    assert_null(log.part);
    kua__log_release(&log);
}

/* Against the plainest stable sort, on random events of a few users. */
static void sorting_agrees_with_insertion(void **state)
{
    (void)state;
    enum { N = 500, USERS = 7 };
    kua__rng rng = kua__rng_make(5, 1);
    static kua__raw_event events[N], expected[N];
    for (uint32_t e = 0; e < N; e++) {
        events[e] = at(kua__rng_below(&rng, USERS), e, kua__rng_below(&rng, 40),
                       (uint8_t)kua__rng_below(&rng, 4));
        size_t to = e;
        for (; to > 0; to--) {
            const kua__raw_event *a = &expected[to - 1], *b = &events[e];
            bool after = a->user != b->user   ? a->user > b->user
                         : a->part != b->part ? a->part > b->part
                                              : a->time > b->time;
            if (!after) break;
            expected[to] = expected[to - 1];
        }
        expected[to] = events[e];
    }
    kua__log log;
    assert_ok(kua__log_build(&log, USERS, N, events, N, true));
    for (size_t e = 0; e < N; e++) {
        assert_int_equal(log.item[e], expected[e].item);
        assert_int_equal(log.part[e], expected[e].part);
    }
    kua__log_release(&log);
}

static void splits_are_prefixes(void **state)
{
    (void)state;
    kua__raw_event events[] = {at(0, 0, 10, 0), at(0, 1, 20, 0), at(0, 2, 30, 0),
                               at(0, 3, 40, 0), at(1, 0, 35, 0), at(1, 1, 45, 0)};
    kua__log log;
    kua__split split;
    assert_ok(kua__log_build(&log, 3, 4, events, 6, true));

    assert_ok(kua__split_leave_one_out(&log, &split));
    assert_int_equal(split.valid_at[0], 2);
    assert_int_equal(split.test_at[0], 3);
    assert_int_equal(split.valid_at[1], 6); /* two events: all train */
    assert_int_equal(split.test_at[1], 6);
    assert_int_equal(split.test_at[2], 6);
    kua__split_release(&split);

    assert_ok(kua__split_time(&log, 20, 40, &split));
    assert_int_equal(split.valid_at[0], 1);
    assert_int_equal(split.test_at[0], 3);
    assert_int_equal(split.valid_at[1], 4);
    assert_int_equal(split.test_at[1], 5);
    kua__split_release(&split);

    assert_fails(kua__split_time(&log, 41, 40, &split), KUA_INVALID, "validation starts at 41");
    assert_fails(kua__split_given(&log, &split), KUA_INVALID, "without a split of its own");
    log.has_clock = false;
    assert_fails(kua__split_time(&log, 20, 40, &split), KUA_INVALID, "positions, not a clock");
    kua__log_release(&log);
}

static void a_given_split_is_honoured(void **state)
{
    (void)state;
    kua__raw_event events[] = {at(0, 0, 1, KUA__PART_TEST), at(0, 1, 2, KUA__PART_TRAIN),
                               at(0, 2, 3, KUA__PART_VALID), at(0, 3, 1, KUA__PART_TRAIN),
                               at(1, 3, 1, KUA__PART_TRAIN)};
    const uint32_t expected[] = {3, 1, 2, 0, 3};
    kua__log log;
    kua__split split;
    assert_ok(kua__log_build(&log, 2, 4, events, 5, true));
    for (size_t e = 0; e < 5; e++) {
        assert_int_equal(log.item[e], expected[e]);
    }
    assert_ok(kua__split_given(&log, &split));
    assert_int_equal(split.valid_at[0], 2);
    assert_int_equal(split.test_at[0], 3);
    assert_int_equal(split.valid_at[1], 5);
    kua__split_release(&split);
    assert_fails(kua__split_time(&log, 1, 2, &split), KUA_INVALID, "does not follow time");
    kua__log_release(&log);
}

/* Items of two domains interleaved, one user in both. */
static kua_status build_two(kua__shop **out)
{
    kua__shop_builder b;
    uint32_t a, c, user, other, item[4];
    kua__shop_builder_init(&b);
    kua_status st = kua__shop_builder_domain(&b, "a", true, &a);
    if (!st) st = kua__shop_builder_domain(&b, "c", false, &c);
    for (uint32_t i = 0; !st && i < 4; i++) {
        const char *const id[] = {"a0", "c0", "a1", "c1"};
        kua__item it = {.id = id[i], .name = i ? "" : "first", .domain = i % 2 ? c : a};
        st = kua__shop_builder_item(&b, &it, &item[i]);
    }
    if (!st) st = kua__shop_builder_user(&b, "u", 1, &user);
    if (!st) st = kua__shop_builder_user(&b, "v", 1, &other);
    for (uint32_t i = 0; !st && i < 4; i++) {
        st = kua__shop_builder_event(
            &b, &(kua__raw_event){i % 3 ? user : other, item[i], 9 - i, 2, KUA__EVENT_VIEW, 0});
    }
    if (!st) st = kua__shop_builder_finish(&b, out);
    kua__shop_builder_release(&b);
    return st;
}

static void a_shop_orders_items_by_domain(void **state)
{
    (void)state;
    kua__shop *shop = NULL;
    uint32_t domain;
    assert_ok(build_two(&shop));
    assert_int_equal(shop->n_items, 4);
    assert_string_equal(shop->items[0].id, "a0");
    assert_string_equal(shop->items[0].name, "first");
    assert_string_equal(shop->items[1].name, "a1");
    assert_string_equal(shop->items[2].id, "c0");
    assert_string_equal(shop->items[3].text, "");
    assert_int_equal(shop->domains[1].first_item, 2);
    assert_int_equal(shop->domains[1].log.n_events, 2);
    assert_int_equal(shop->domains[1].log.item[shop->domains[1].log.user_at[0]], 0);
    assert_true(shop->domains[0].log.has_clock);
    assert_false(shop->domains[1].log.has_clock);
    assert_ok(kua__shop_domain(shop, "c", &domain));
    assert_int_equal(domain, 1);
    assert_fails(kua__shop_domain(shop, "b", &domain), KUA_NOTFOUND, "there are: a, c");
    kua__shop_free(shop);
    kua__shop_free(NULL);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st = KUA_OK;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__shop *shop = NULL;
        kua__split split = {0};
        st = build_two(&shop);
        if (!st) st = kua__split_leave_one_out(&shop->domains[0].log, &split);
        kua__split_release(&split);
        kua__shop_free(shop);
    }
}

static void the_research_data_loads(void **state)
{
    (void)state;
    const char *root = test_shared_data("amazon-2014");
    if (!root) skip();
    static const char *const names[] = {"beauty", "toys", "sports"};
    static const size_t items[] = {12101, 11924, 18357}, events[] = {198502, 167597, 296337};
    char path[6][4096];
    kua__atomic_domain domains[3];
    for (int d = 0; d < 3; d++) {
        snprintf(path[2 * d], 4096, "%s/%s/%s.item", root, names[d], names[d]);
        snprintf(path[2 * d + 1], 4096, "%s/%s/%s.inter", root, names[d], names[d]);
        domains[d] = (kua__atomic_domain){names[d], path[2 * d], path[2 * d + 1]};
    }
    kua__shop *shop = NULL;
    assert_ok(kua__shop_from_atomic(domains, 3, &shop));
    for (int d = 0; d < 3; d++) {
        assert_int_equal(shop->domains[d].n_items, items[d]);
        assert_int_equal(shop->domains[d].log.n_events, events[d]);
    }
    kua__shop_free(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_names),
        cmocka_unit_test(a_log_is_sorted_and_stable),
        cmocka_unit_test(sorting_agrees_with_insertion),
        cmocka_unit_test(splits_are_prefixes),
        cmocka_unit_test(a_given_split_is_honoured),
        cmocka_unit_test(a_shop_orders_items_by_domain),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(the_research_data_loads),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_beauty.c - popularity on Amazon Beauty gives the figures of the reference script, whole
 * catalogue ranked.
 *
 * Skips without the shared data. The reference (../shared/peers/prototype): seen items masked, R@10
 * .0120, N@10 .0056.
 */
#include "testlib.h"

#include "eval/eval.h"

typedef struct beauty {
    kua__ids users, items;
    kua__raw_event *events;
    size_t n, capacity;
    kua__log log;
    kua__split split;
    float *popularity;
} beauty;

static void add_line(beauty *b, const char *line, const char *end)
{
    const char *tab = memchr(line, '\t', (size_t)(end - line));
    const char *last = tab ? memchr(tab + 1, '\t', (size_t)(end - tab - 1)) : NULL;
    kua__raw_event event = {.value = 1, .type = KUA__EVENT_RATING};
    double time;
    assert_non_null(last);
    assert_ok(kua__ids_add(&b->users, line, (size_t)(tab - line), &event.user));
    assert_ok(kua__ids_add(&b->items, tab + 1, (size_t)(last - tab - 1), &event.item));
    assert_true(kua__parse_double(last + 1, (size_t)(end - last - 1), &time));
    event.time = (int64_t)time;
    assert_ok(KUA__GROW(&b->events, &b->capacity, b->n, "events"));
    b->events[b->n++] = event;
}

static void load(beauty *b, const char *path)
{
    kua__map map;
    kua__ids_init(&b->users);
    kua__ids_init(&b->items);
    assert_ok(kua__map_open(&map, path));
    const char *end = map.data + map.size, *line = memchr(map.data, '\n', map.size);
    while (line && ++line < end) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        add_line(b, line, stop ? stop : end);
        line = stop;
    }
    kua__map_close(&map);
    assert_ok(kua__log_build(&b->log, b->users.count, b->items.count, b->events, b->n, false));
    assert_ok(kua__split_leave_one_out(&b->log, &b->split));
    assert_ok(KUA__NEW_ZEROED(&b->popularity, b->items.count, "counts"));
    for (size_t u = 0; u < b->log.n_users; u++) {
        for (size_t e = b->log.user_at[u]; e < b->split.valid_at[u]; e++)
            b->popularity[b->log.item[e]]++;
    }
}

static void drop(beauty *b)
{
    kua__split_release(&b->split);
    kua__log_release(&b->log);
    kua__free(b->popularity);
    kua__free(b->events);
    kua__ids_release(&b->users);
    kua__ids_release(&b->items);
}

static kua_status score(void *ctx, const kua__query *queries, size_t n, float *scores)
{
    const beauty *b = ctx;
    (void)queries;
    for (size_t q = 0; q < n; q++)
        memcpy(scores + q * b->items.count, b->popularity, b->items.count * sizeof(float));
    return KUA_OK;
}

static void popularity_has_the_reference_figures(void **state)
{
    (void)state;
    const char *path = test_shared_data("amazon-2014/beauty/beauty.inter");
    if (!path) skip();
    beauty b = {0};
    load(&b, path);
    assert_int_equal(b.users.count, 22363);
    assert_int_equal(b.items.count, 12101);
    kua__domain domain = {.name = "beauty", .n_items = b.items.count};
    kua__shop shop = {.domains = &domain, .n_domains = 1};
    kua__world world = {.side = {.shop = &shop},
                        .train = {&b.log, b.split.valid_at},
                        .valid = {&b.log, b.split.test_at}};
    kua__eval_options options = {.part = KUA__PART_TEST, .mask_seen = true};
    kua__eval_set set;
    kua__eval_result result;
    double recall, ndcg;
    assert_ok(kua__leak_check(&world, &b.log, &b.split, KUA__PART_TEST));
    assert_ok(kua__eval_set_build(&set, &world, &b.split, &options));
    assert_ok(kua__eval_run(&set, score, &b, NULL, &result));
    assert_ok(kua__eval_mean(&set, &result, KUA__RECALL_10, &recall));
    assert_ok(kua__eval_mean(&set, &result, KUA__NDCG_10, &ndcg));
    assert_near(recall, .0120, .00005);
    assert_near(ndcg, .0056, .00005);
    kua__eval_result_release(&result);
    kua__eval_set_release(&set);
    drop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(popularity_has_the_reference_figures)};
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

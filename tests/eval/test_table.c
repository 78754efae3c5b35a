/* test_table.c - the table of a few models: numbers, differences, slices, text, each user's file.
 */
#include "tiny.h"

#include "base/json.h"

enum { USERS = 60, ITEMS = 40 };

typedef struct fixture {
    tiny *shop;
    kua__eval_set set;
    kua__eval_result result[3]; /* bad, and two seeds of good */
    kua__eval_row rows[2];
} fixture;

/* Items at random; `lift` moves every user's last item up the list. */
typedef struct scorer {
    const tiny *shop;
    float lift;
    uint64_t seed;
} scorer;

static kua_status score(void *ctx, const kua__query *queries, size_t n, float *scores)
{
    const scorer *s = ctx;
    for (size_t q = 0; q < n; q++) {
        uint32_t u = queries[q].user;
        kua__rng rng = kua__rng_make(s->seed, u);
        for (size_t i = 0; i < ITEMS; i++)
            scores[q * ITEMS + i] = kua__rng_uniform(&rng);
        scores[q * ITEMS + s->shop->event_item[0][s->shop->user_at[0][u + 1] - 1]] += s->lift;
    }
    return KUA_OK;
}

static fixture *make(void)
{
    tiny_event events[USERS * 8];
    kua__rng rng = kua__rng_make(1, 1);
    size_t n = 0;
    for (uint32_t u = 0; u < USERS; u++) {
        for (uint32_t e = 0; e < 4 + u % 5; e++)
            events[n++] = (tiny_event){u, kua__rng_below(&rng, ITEMS), e};
    }
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->shop = tiny_make(USERS, ITEMS, events, n);
    tiny_split_last(f->shop);
    assert_ok(kua__eval_set_build(&f->set, &f->shop->world, &f->shop->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    for (int k = 0; k < 3; k++) {
        scorer s = {.shop = f->shop, .lift = k ? .5f : 0, .seed = 10 + (uint64_t)k};
        assert_ok(kua__eval_run(&f->set, score, &s, NULL, &f->result[k]));
    }
    f->rows[0] = (kua__eval_row){.name = "good",
                                 .note = "n",
                                 .results = f->result + 1,
                                 .n_results = 2,
                                 .seconds = 2,
                                 .bytes = 5000000};
    f->rows[1] = (kua__eval_row){.name = "random", .results = f->result, .n_results = 1};
    return f;
}

static void drop(fixture *f)
{
    for (int k = 0; k < 3; k++)
        kua__eval_result_release(&f->result[k]);
    kua__eval_set_release(&f->set);
    tiny_free(f->shop);
    free(f);
}

static double at(const json_t *json, const char *a, const char *b, const char *c)
{
    const json_t *x = json_object_get(json, a);
    x = b ? json_object_get(x, b) : x;
    x = c ? json_object_get(x, c) : x;
    assert_true(json_is_number(x));
    return json_number_value(x);
}

static void numbers_of_a_table(void **state)
{
    (void)state;
    fixture *f = make();
    json_t *table = NULL;
    kua__table_options o = {
        .title = "toys -> beauty", .baseline = "random", .resamples = 300, .categories = 1};
    assert_ok(kua__table_json(&f->set, f->rows, 2, &o, &table));
    const json_t *good = json_array_get(json_object_get(table, "rows"), 0);
    const json_t *random = json_array_get(json_object_get(table, "rows"), 1);
    double a = 0, b = 0;
    assert_ok(kua__eval_mean(&f->set, &f->result[1], KUA__NDCG_10, &a));
    assert_ok(kua__eval_mean(&f->set, &f->result[2], KUA__NDCG_10, &b));
    assert_near(at(good, "metrics", "ndcg@10", NULL), (a + b) / 2,
                1e-6); /* the mean of the seeds */
    double gain = at(good, "metrics", "ndcg@10", NULL) - at(random, "metrics", "ndcg@10", NULL);
    assert_near(at(good, "difference", "ndcg@10", "mean"), gain, 2e-6);
    assert_true(at(good, "difference", "ndcg@10", "low") > 0);
    assert_null(json_object_get(random, "difference"));
    assert_near(at(good, "seeds", NULL, NULL), 2, 0);
    assert_true(at(good, "seed_spread", "ndcg@10", NULL) >= 0);
    assert_near(at(table, "metrics", "ndcg@10", NULL), at(good, "metrics", "ndcg@10", NULL), 0);
    assert_near(at(table, "protocol", "users", NULL), USERS, 0);
    const json_t *slices = json_object_get(good, "slices");
    assert_near(at(slices, "cold_users", "users", NULL) + at(slices, "warm_users", "users", NULL),
                USERS, 0);
    assert_null(json_object_get(slices, "shared_users")); /* nobody: left out */
    assert_int_equal(json_object_size(json_object_get(good, "categories")), 1);
    json_decref(table);
    drop(f);
}

static void a_table_for_a_terminal(void **state)
{
    (void)state;
    fixture *f = make();
    json_t *table = NULL;
    kua__buf text = {0};
    assert_ok(kua__table_json(&f->set, f->rows, 2,
                              &(kua__table_options){.baseline = "random", .resamples = 100},
                              &table));
    assert_ok(kua__table_text(table, false, &text));
    assert_non_null(strstr(text.data, "60 users: each user's last event is to be found among all "
                                      "40 items; items of the history are not masked."));
    assert_non_null(strstr(text.data, "better"));
    assert_non_null(strstr(text.data, "(compared with this)"));
    assert_non_null(strstr(text.data, "cold_users"));
    assert_null(strstr(text.data, "\033"));
    kua__buf_clear(&text);
    assert_ok(kua__table_text(table, true, &text));
    assert_non_null(strstr(text.data, "\033[1mgood"));
    kua__buf_release(&text);
    json_decref(table);
    drop(f);
}

static void same_seed_same_table(void **state)
{
    (void)state;
    fixture *f = make();
    json_t *table[2];
    for (int k = 0; k < 2; k++) {
        kua__threads_set(1 + k);
        assert_ok(kua__table_json(&f->set, f->rows, 2,
                                  &(kua__table_options){.resamples = 100, .seed = 7}, &table[k]));
    }
    assert_true(json_equal(table[0], table[1]));
    json_decref(table[0]);
    json_decref(table[1]);
    drop(f);
}

static void an_unknown_baseline_is_named(void **state)
{
    (void)state;
    fixture *f = make();
    json_t *table = NULL;
    assert_fails(
        kua__table_json(&f->set, f->rows, 2, &(kua__table_options){.baseline = "x"}, &table),
        KUA_NOTFOUND, "'x'");
    assert_null(table);
    drop(f);
}

static void each_user_has_a_line_a_model_and_seed(void **state)
{
    (void)state;
    fixture *f = make();
    const char *path = test_temp_path("users.tsv");
    assert_ok(kua__per_user_write(path, &f->set, f->rows, 2));
    kua__map map;
    assert_ok(kua__map_open(&map, path));
    size_t lines = 0, tabs = 0;
    for (size_t i = 0; i < map.size; i++) {
        lines += map.data[i] == '\n';
        tabs += map.data[i] == '\t';
    }
    assert_int_equal(lines, 1 + 3 * USERS);
    assert_int_equal(tabs, lines * (4 + KUA__MEASURES));
    assert_true(kua__has_prefix(map.data, "user\tmodel\tseed\trelevant\tbest_rank\trecall@5\t"));
    assert_non_null(memmem(map.data, map.size, "\nuser0\tgood\t0\t1\t", 16));
    kua__map_close(&map);
    assert_fails(kua__per_user_write("/nowhere/users.tsv", &f->set, f->rows, 2), KUA_IO,
                 "/nowhere");
    drop(f);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture *f = make();
    kua_status st;
    json_t *settings = json_pack("{s:i, s:[f]}", "neighbours", 20, "decay", .7);
    f->rows[0].settings = settings;
    TEST_EVERY_ALLOCATION(st)
    {
        json_t *table = NULL;
        kua__buf text = {0};
        st = kua__table_json(&f->set, f->rows, 1,
                             &(kua__table_options){.title = "t", .resamples = 2, .categories = 1},
                             &table);
        if (!st) st = kua__table_text(table, true, &text);
        if (!st) st = kua__per_user_write(test_temp_path("oom.tsv"), &f->set, f->rows, 1);
        if (!st) st = kua__json_save(test_temp_path("oom.json"), table);
        kua__buf_release(&text);
        json_decref(table);
    }
    json_decref(settings);
    drop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_of_a_table),
        cmocka_unit_test(a_table_for_a_terminal),
        cmocka_unit_test(same_seed_same_table),
        cmocka_unit_test(an_unknown_baseline_is_named),
        cmocka_unit_test(each_user_has_a_line_a_model_and_seed),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

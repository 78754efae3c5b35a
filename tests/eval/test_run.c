/* test_run.c - questions and ranks on shops small enough to see through.
 *
 * Scores are given as a table [users, items], so that every rank can be read off.
 */
#include "tiny.h"

#include <math.h>

typedef struct scorer {
    const float *score; /* [users, n_items] */
    size_t n_items;
    kua_status fail;
} scorer;

static kua_status score_table(void *ctx, const kua__query *queries, size_t n, float *scores)
{
    const scorer *s = ctx;
    for (size_t q = 0; q < n; q++)
        memcpy(scores + q * s->n_items, s->score + queries[q].user * s->n_items,
               s->n_items * sizeof(float));
    return s->fail ? kua__fail(s->fail, "scorer: made to fail") : KUA_OK;
}

/* user0: a b c d     user1: b b a a (bought again)     user2: c (too short to test) */
static const tiny_event shop_events[] = {{0, 0, 10}, {0, 1, 20}, {0, 2, 30}, {0, 3, 40}, {1, 1, 10},
                                         {1, 1, 20}, {1, 0, 30}, {1, 0, 40}, {2, 2, 35}};

static tiny *shop(void)
{
    tiny *t = tiny_make(3, 5, shop_events, KUA__COUNT(shop_events));
    tiny_split_last(t);
    return t;
}

static void leave_one_out_asks_for_the_last_event(void **state)
{
    (void)state;
    tiny *t = shop();
    kua__eval_set set;
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    assert_int_equal(set.n_users, 2);
    assert_int_equal(set.query[0].target.n, 3); /* validation is history by then */
    assert_int_equal(set.query[0].now, 40);
    assert_int_equal(set.relevant[0], 3);
    assert_int_equal(set.relevant[1], 0);
    assert_int_equal(set.train_count[1], 3); /* from training alone: b by user0, twice by user1 */
    kua__eval_set_release(&set);

    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_VALID}));
    assert_int_equal(set.query[0].target.n, 2);
    assert_int_equal(set.relevant[0], 2);
    assert_int_equal(set.relevant[1], 0);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void ranks_masked_and_not(void **state)
{
    (void)state;
    tiny *t = shop();
    const float score[] = {9, 8, 7, 5, 5, /* user0: d shares places 4 and 5; a b c are seen */
                           1, 2, 3, 4, 0, /* user1: a is place 4, and seen */
                           0, 0, 0, 0, 0};
    scorer s = {.score = score, .n_items = 5};
    kua__eval_set set;
    kua__eval_result r;
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    assert_ok(kua__eval_run(&set, score_table, &s, NULL, &r));
    assert_near(r.rank[0], 3.5, 0);
    assert_near(r.rank[1], 3, 0);
    assert_int_equal(r.top[0], 0);
    assert_int_equal(r.top[4], 4);
    assert_int_equal(r.top[5], KUA__NO_ID);
    assert_near(r.coverage, 1, 0);
    kua__eval_result_release(&r);
    kua__eval_set_release(&set);

    kua__eval_options masked = {.part = KUA__PART_TEST, .mask_seen = true};
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split, &masked));
    assert_ok(kua__eval_run(&set, score_table, &s, NULL, &r));
    assert_near(r.rank[0], .5, 0);
    assert_near(r.rank[1], KUA__MISS, 0); /* a repeated target is masked itself */
    assert_int_equal(r.top[0], 3);
    assert_int_equal(r.top[1], 4);
    assert_int_equal(r.top[2], KUA__NO_ID);
    assert_near(r.coverage, 3.0 / 5, 1e-12); /* d e | c d e */
    kua__eval_result_release(&r);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void a_date_makes_several_items_relevant(void **state)
{
    (void)state;
    tiny *t = shop();
    tiny_split_time(t, 20, 30);
    kua__eval_set set;
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    assert_int_equal(set.n_users, 3);
    assert_int_equal(set.relevant_at[1], 2); /* c d */
    assert_int_equal(set.relevant_at[2], 3); /* a, bought twice, once */
    assert_int_equal(set.relevant_at[3], 4);
    assert_int_equal(set.query[2].target.n, 0);
    assert_int_equal(set.query[2].now, 30);
    assert_true(set.user_bits[2] >> KUA__SLICE_ZERO_USERS & 1);
    kua__eval_set_release(&set);

    /* items known before the cut: a and b. c and d drop out, and so do users 0 and 2 */
    kua__eval_options sold = {.part = KUA__PART_TEST, .sold_only = true};
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split, &sold));
    assert_int_equal(set.n_users, 1);
    assert_int_equal(set.n_excluded, 3);
    assert_int_equal(set.n_dropped, 3);
    const float score[] = {0, 0, 0, 0, 0, 5, 1, 9, 9, 9, 0, 0, 0, 0, 0};
    kua__eval_result r;
    assert_ok(kua__eval_run(&set, score_table, &(scorer){.score = score, .n_items = 5}, NULL, &r));
    assert_near(r.rank[0], 0, 0); /* what is not ranked stands before nothing */
    assert_near(r.coverage, 1, 0);
    kua__eval_result_release(&r);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void new_only_forgets_what_was_bought_before(void **state)
{
    (void)state;
    const tiny_event events[] = {{0, 0, 10}, {0, 1, 10}, {0, 0, 30},
                                 {0, 2, 30}, {1, 1, 10}, {1, 1, 30}};
    tiny *t = tiny_make(2, 3, events, KUA__COUNT(events));
    tiny_split_time(t, 20, 20);
    kua__eval_set set;
    kua__eval_options options = {.part = KUA__PART_TEST, .new_only = true};
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split, &options));
    assert_int_equal(set.n_users, 1); /* user1 bought nothing new */
    assert_int_equal(set.n_relevant, 1);
    assert_int_equal(set.relevant[0], 2);
    assert_true(set.options.mask_seen);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void what_counts_can_be_chosen(void **state)
{
    (void)state;
    tiny *t = shop();
    t->type[0][3] = KUA__EVENT_DISLIKE; /* user0's last */
    kua__eval_set set;
    kua__eval_options options = {.part = KUA__PART_TEST};
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split, &options));
    assert_int_equal(set.n_users, 1);
    kua__eval_set_release(&set);
    options.relevant_types = 1u << KUA__EVENT_DISLIKE;
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split, &options));
    assert_int_equal(set.n_users, 1);
    assert_int_equal(set.query[0].user, 0);
    kua__eval_set_release(&set);
    options.relevant_types = 1u << KUA__EVENT_VIEW;
    assert_fails(kua__eval_set_build(&set, &t->world, &t->split, &options), KUA_INVALID,
                 "'beauty'");
    options =
        (kua__eval_options){.part = KUA__PART_TEST, .candidates = (const uint8_t[]){0, 1, 1, 1, 1}};
    options.relevant_types = 1u << KUA__EVENT_PURCHASE;
    assert_fails(kua__eval_set_build(&set, &t->world, &t->split, &options), KUA_INVALID,
                 "1 events");
    tiny_free(t);
}

/* 64 users, 64 items, everybody's last three events pseudo-random. */
static tiny *big_shop(void)
{
    tiny_event events[TINY_USERS * 9];
    kua__rng rng = kua__rng_make(5, 5);
    size_t n = 0;
    for (uint32_t u = 0; u < TINY_USERS; u++) {
        for (uint32_t e = 0; e < 3 + u % 7; e++)
            events[n++] = (tiny_event){u, kua__rng_below(&rng, TINY_ITEMS), e};
    }
    tiny *t = tiny_make(TINY_USERS, TINY_ITEMS, events, n);
    tiny_split_last(t);
    return t;
}

static void random_scores(float *score, size_t n)
{
    kua__rng rng = kua__rng_make(6, 6);
    for (size_t i = 0; i < n; i++)
        score[i] = (float)kua__rng_below(&rng, 30);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    tiny *t = big_shop();
    static float score[TINY_USERS * TINY_ITEMS];
    random_scores(score, KUA__COUNT(score));
    scorer s = {.score = score, .n_items = TINY_ITEMS};
    kua__eval_set set;
    kua__eval_result r[2];
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST, .mask_seen = true}));
    for (int k = 0; k < 2; k++) {
        kua__threads_set(1 + 2 * k);
        assert_ok(kua__eval_run(&set, score_table, &s, NULL, &r[k]));
    }
    assert_memory_equal(r[0].rank, r[1].rank, set.n_relevant * sizeof(float));
    assert_memory_equal(r[0].top, r[1].top, set.n_users * KUA__LIST * sizeof(uint32_t));
    assert_memory_equal(r[0].list, r[1].list, 3 * set.n_users * sizeof(float));
    assert_true(r[0].gini == r[1].gini && r[0].coverage == r[1].coverage);
    kua__eval_result_release(&r[0]);
    kua__eval_result_release(&r[1]);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void a_draw_of_users_keeps_their_questions(void **state)
{
    (void)state;
    tiny *t = big_shop();
    kua__eval_set all, some;
    assert_ok(kua__eval_set_build(&all, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    kua__eval_options options = {.part = KUA__PART_TEST, .max_users = 20, .seed = 3};
    assert_ok(kua__eval_set_build(&some, &t->world, &t->split, &options));
    assert_int_equal(some.n_users, 20);
    for (size_t k = 0, q = 0; k < 20; k++, q++) {
        while (q < all.n_users && all.query[q].user != some.query[k].user)
            q++;
        assert_true(q < all.n_users); /* in the same order */
        assert_int_equal(all.relevant[all.relevant_at[q]], some.relevant[some.relevant_at[k]]);
    }
    kua__eval_set_release(&all);
    kua__eval_set_release(&some);
    tiny_free(t);
}

static void sampled_ranks_are_among_so_many(void **state)
{
    (void)state;
    tiny *t = big_shop();
    static float score[TINY_USERS * TINY_ITEMS];
    random_scores(score, KUA__COUNT(score));
    kua__eval_set set;
    kua__eval_result r;
    kua__eval_options options = {.part = KUA__PART_TEST, .sampled = 10, .seed = 1};
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split, &options));
    assert_ok(kua__eval_run(&set, score_table, &(scorer){.score = score, .n_items = TINY_ITEMS},
                            NULL, &r));
    double sum = 0;
    for (size_t k = 0; k < set.n_relevant; k++) {
        assert_true(r.rank[k] <= 10);
        sum += r.rank[k];
    }
    assert_near(sum / (double)set.n_relevant, 5, 1.2); /* random scores: in the middle */
    kua__eval_result_release(&r);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void slices_split_users_and_items(void **state)
{
    (void)state;
    tiny *t = big_shop();
    tiny_add_source(t, (tiny_event[]){{0, 1, 5}, {3, 2, 5}}, 2);
    static float score[TINY_USERS * TINY_ITEMS];
    random_scores(score, KUA__COUNT(score));
    kua__eval_set set;
    kua__eval_result r;
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    assert_ok(kua__eval_run(&set, score_table, &(scorer){.score = score, .n_items = TINY_ITEMS},
                            NULL, &r));
    size_t n[KUA__SLICES];
    double all = 0, sum = 0, mean = 0;
    for (int s = 0; s < KUA__SLICES; s++) {
        kua__columns c;
        assert_ok(kua__eval_columns(&set, &r, 1, (kua__slice)s, NULL, &c));
        n[s] = c.n_users;
        for (size_t k = 0; k < c.n_users; k++) {
            double x = c.value[KUA__NDCG_10 * c.n_users + k];
            all += s == KUA__SLICE_ALL ? x : 0;
            sum += s == KUA__SLICE_COLD_USERS || s == KUA__SLICE_WARM_USERS ? x : 0;
        }
        kua__columns_release(&c);
    }
    assert_int_equal(n[KUA__SLICE_ALL], TINY_USERS);
    assert_int_equal(n[KUA__SLICE_SHARED_USERS], 2);
    assert_int_equal(n[KUA__SLICE_ALONE_USERS], TINY_USERS - 2);
    assert_int_equal(n[KUA__SLICE_COLD_USERS] + n[KUA__SLICE_WARM_USERS], TINY_USERS);
    assert_int_equal(n[KUA__SLICE_HEAD_ITEMS] + n[KUA__SLICE_TAIL_ITEMS],
                     TINY_USERS); /* one relevant item each */
    assert_int_equal(n[KUA__SLICE_COLD_ITEMS] + n[KUA__SLICE_WARM_ITEMS], TINY_USERS);
    assert_near(all, sum, 1e-6);
    assert_ok(kua__eval_mean(&set, &r, KUA__NDCG_10, &mean));
    assert_near(mean * TINY_USERS, all, 1e-6);
    kua__eval_result_release(&r);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void the_list_is_described(void **state)
{
    (void)state;
    const tiny_event events[] = {{0, 0, 1}, {0, 0, 2}, {0, 1, 3}, {0, 2, 4}, {0, 1, 5}};
    const float vectors[] = {1, 0, 0, 2, 3, 0}; /* a and c point the same way */
    tiny *t = tiny_make(1, 3, events, KUA__COUNT(events));
    tiny_split_last(t);
    t->world.side.vector = vectors;
    t->world.side.dim = TINY_DIM;
    kua__eval_set set;
    kua__eval_result r;
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    assert_ok(kua__eval_run(&set, score_table, &(scorer){.score = (float[]){3, 2, 1}, .n_items = 3},
                            NULL, &r));
    assert_near(r.list[0], 1, 1e-6); /* 2 + 1 + 0 training events over 3 items */
    assert_near(r.list[1], -(log2(3 / 6.0) + log2(2 / 6.0) + log2(1 / 6.0)) / 3, 1e-6);
    assert_near(r.list[2], 1 - 1.0 / 3, 1e-6); /* cosines 0, 1, 0 */
    kua__eval_result_release(&r);
    kua__eval_set_release(&set);
    tiny_free(t);
}

static bool stop(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user, (void)stage, (void)done, (void)total;
    return false;
}

static void failures_are_passed_on(void **state)
{
    (void)state;
    tiny *t = shop();
    float score[15] = {0};
    scorer s = {.score = score, .n_items = 5};
    kua__eval_set set;
    kua__eval_result r;
    assert_ok(kua__eval_set_build(&set, &t->world, &t->split,
                                  &(kua__eval_options){.part = KUA__PART_TEST}));
    s.fail = KUA_IO;
    assert_fails(kua__eval_run(&set, score_table, &s, NULL, &r), KUA_IO, "made to fail");
    s.fail = KUA_OK;
    score[7] = NAN;
    assert_fails(kua__eval_run(&set, score_table, &s, NULL, &r), KUA_INTERNAL, "item 2 for user 1");
    score[7] = 0;
    assert_fails(kua__eval_run(&set, score_table, &s, &(kua_monitor){.progress = stop}, &r),
                 KUA_CANCELED, "");
    kua__eval_set_release(&set);
    tiny_free(t);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    tiny *t = big_shop();
    tiny_add_source(t, (tiny_event[]){{0, 1, 5}}, 1);
    static float score[TINY_USERS * TINY_ITEMS];
    scorer s = {.score = score, .n_items = TINY_ITEMS};
    kua__eval_options options = {.part = KUA__PART_TEST, .max_users = 30};
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__eval_set set = {0};
        kua__eval_result r = {0};
        double mean;
        st = kua__eval_set_build(&set, &t->world, &t->split, &options);
        if (!st) st = kua__eval_run(&set, score_table, &s, NULL, &r);
        if (!st) st = kua__eval_mean(&set, &r, KUA__RECALL_10, &mean);
        kua__eval_result_release(&r);
        kua__eval_set_release(&set);
    }
    tiny_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leave_one_out_asks_for_the_last_event),
        cmocka_unit_test(ranks_masked_and_not),
        cmocka_unit_test(a_date_makes_several_items_relevant),
        cmocka_unit_test(new_only_forgets_what_was_bought_before),
        cmocka_unit_test(what_counts_can_be_chosen),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_draw_of_users_keeps_their_questions),
        cmocka_unit_test(sampled_ranks_are_among_so_many),
        cmocka_unit_test(slices_split_users_and_items),
        cmocka_unit_test(the_list_is_described),
        cmocka_unit_test(failures_are_passed_on),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_leak.c - a world that shows a test event to training is found out, in each way it can
 * happen. */
#include "tiny.h"

static const tiny_event events[] = {{0, 0, 10}, {0, 1, 20}, {0, 2, 30}, {0, 3, 40},
                                    {1, 1, 10}, {1, 1, 10}, {1, 0, 30}, {1, 1, 40}};

static tiny *shop(void)
{
    tiny *t = tiny_make(2, 5, events, KUA__COUNT(events));
    tiny_split_last(t);
    return t;
}

static void a_proper_split_passes(void **state)
{
    (void)state;
    tiny *t = shop();
    const kua__log *log = &t->domain[0].log;
    assert_ok(kua__leak_check(&t->world, log, &t->split, KUA__PART_TEST));
    assert_ok(kua__leak_check(&t->world, log, &t->split, KUA__PART_VALID));
    t->world.train.end = t->test_at; /* fitted again on validation: fine for the test... */
    assert_ok(kua__leak_check(&t->world, log, &t->split, KUA__PART_TEST));
    assert_fails(kua__leak_check(&t->world, log, &t->split, KUA__PART_VALID),
                 KUA_INVALID, /* ...but not before */
                 "user 'user0' has item 'c'");
    tiny_free(t);
}

static void a_cut_that_is_too_late_is_caught(void **state)
{
    (void)state;
    tiny *t = shop();
    size_t late[] = {t->valid_at[0], t->user_at[0][2]};
    t->world.train.end = late;
    assert_fails(kua__leak_check(&t->world, &t->domain[0].log, &t->split, KUA__PART_TEST),
                 KUA_INVALID,
                 "leak: user 'user1' has item 'b' (1970-01-01 00:00:40) in the test part of "
                 "'beauty', and training may see it");
    t->world.train.end = t->valid_at;
    t->world.valid.end = late;
    assert_fails(kua__leak_check(&t->world, &t->domain[0].log, &t->split, KUA__PART_TEST),
                 KUA_INVALID, "choice of settings");
    tiny_free(t);
}

/* A copied log has other offsets: here user0's history was shortened in front, so that equal
 * offsets are no leak. */
static void a_copied_log_is_compared_by_events(void **state)
{
    (void)state;
    tiny *t = shop();
    const tiny_event kept[] = {{0, 1, 20}, {0, 2, 30}, {0, 3, 40}, {1, 1, 10}, {1, 1, 10}};
    tiny *copy = tiny_make(2, 5, kept, KUA__COUNT(kept));
    size_t good[] = {1, 5}, bad[] = {3, 5};
    t->world.train.log = t->world.valid.log = &copy->domain[0].log;
    t->world.train.end = t->world.valid.end = good;
    assert_ok(kua__leak_check(&t->world, &t->domain[0].log, &t->split, KUA__PART_TEST));
    t->world.train.end = bad;
    assert_fails(kua__leak_check(&t->world, &t->domain[0].log, &t->split, KUA__PART_TEST),
                 KUA_INVALID, "item 'd'");
    tiny_free(copy);
    tiny_free(t);
}

static void the_target_as_its_own_source_is_caught(void **state)
{
    (void)state;
    tiny *t = shop();
    size_t whole[] = {t->user_at[0][1], t->user_at[0][2]};
    kua__source same = {.side = t->world.side, .cut = {.log = &t->domain[0].log, .end = whole}};
    t->world.sources = &same;
    t->world.n_sources = 1;
    assert_fails(kua__leak_check(&t->world, &t->domain[0].log, &t->split, KUA__PART_TEST),
                 KUA_INVALID, "a source may see it");
    tiny_free(t);
}

static void a_source_may_not_run_past_the_date(void **state)
{
    (void)state;
    tiny *t = shop();
    tiny_split_time(t, 20, 30);
    tiny_add_source(t, (tiny_event[]){{0, 0, 5}, {0, 1, 35}}, 2);
    assert_fails(kua__leak_check(&t->world, &t->domain[0].log, &t->split, KUA__PART_TEST),
                 KUA_INVALID, "source 'toys' shows an event of user 'user0'");
    t->source_end[0] = 1;
    assert_ok(kua__leak_check(&t->world, &t->domain[0].log, &t->split, KUA__PART_TEST));
    tiny_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proper_split_passes),
        cmocka_unit_test(a_cut_that_is_too_late_is_caught),
        cmocka_unit_test(a_copied_log_is_compared_by_events),
        cmocka_unit_test(the_target_as_its_own_source_is_caught),
        cmocka_unit_test(a_source_may_not_run_past_the_date),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

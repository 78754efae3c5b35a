/* test_guard.c - a helpful source is let through, a harmful one and one of pure noise are not.
 *
 * The questions are built by hand: one relevant item each, whose rank is drawn so that a share of
 * the users has a hit.
 */
#include "testlib.h"

#include "transfer/guard.h"

enum { USERS = 2000 };

typedef struct fixture {
    kua__eval_set set;
    kua__eval_result base, moved;
    size_t relevant_at[USERS + 1];
    uint32_t relevant[USERS], user_bits[USERS], item_bits[1];
    float rank[2][USERS], list[3 * USERS];
} fixture;

/* Half of the users are cold, a third is shared; everybody has a hit at place 1 with probability
 * `p`. */
static fixture *make(double p)
{
    fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    kua__rng rng = kua__rng_make(1, 1);
    for (size_t u = 0; u < USERS; u++) {
        f->relevant_at[u + 1] = u + 1;
        f->user_bits[u] = 1u << KUA__SLICE_ALL |
                          1u << (u % 2 ? KUA__SLICE_COLD_USERS : KUA__SLICE_WARM_USERS) |
                          1u << (u % 3 ? KUA__SLICE_ALONE_USERS : KUA__SLICE_SHARED_USERS);
        f->rank[0][u] = f->rank[1][u] = kua__rng_uniform(&rng) < (float)p ? 0 : KUA__MISS;
    }
    f->item_bits[0] =
        1u << KUA__SLICE_ALL | 1u << KUA__SLICE_WARM_ITEMS | 1u << KUA__SLICE_HEAD_ITEMS;
    f->set = (kua__eval_set){.n_items = 1,
                             .n_users = USERS,
                             .n_relevant = USERS,
                             .relevant_at = f->relevant_at,
                             .relevant = f->relevant,
                             .user_bits = f->user_bits,
                             .item_bits = f->item_bits};
    f->base = (kua__eval_result){
        .n_users = USERS, .n_relevant = USERS, .rank = f->rank[0], .list = f->list};
    f->moved = f->base;
    f->moved.rank = f->rank[1];
    return f;
}

/* Some users' results change: a share `win` of the misses becomes a hit, a share `lose` of the hits
 * a miss. */
static void change(fixture *f, uint32_t bits, double win, double lose, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 2);
    for (size_t u = 0; u < USERS; u++) {
        float x = kua__rng_uniform(&rng);
        if ((f->user_bits[u] & bits) != bits) continue;
        if (f->rank[1][u] > 0)
            f->rank[1][u] = x < (float)win ? 0 : KUA__MISS;
        else
            f->rank[1][u] = x < (float)lose ? KUA__MISS : 0;
    }
}

static const kua__guard_options options = {.strategy = "finetune", .resamples = 500};

static void decide(fixture *f, kua__verdict *v)
{
    assert_ok(kua__guard_decide(&f->set, &f->base, 1, &f->moved, 1, &options, v));
    assert_non_null(v->words);
    assert_int_equal(v->slice[0].slice, KUA__SLICE_ALL);
}

static void a_helpful_source_is_published(void **state)
{
    (void)state;
    fixture *f = make(.3);
    kua__verdict v;
    change(f, 1u << KUA__SLICE_ALL, .06, .02, 1);
    decide(f, &v);
    assert_true(v.transfer);
    assert_int_equal(v.slice[0].reason, KUA__GUARD_BETTER);
    assert_true(v.published.low > 0);
    assert_true(kua__has_prefix(v.words, "Transfer is on: finetune has ndcg@10"));
    assert_true(kua__verdict_allows(&v, f->user_bits[0]));
    kua__verdict_release(&v);
    free(f);
}

static void a_harmful_source_is_switched_off(void **state)
{
    (void)state;
    fixture *f = make(.3);
    kua__verdict v;
    change(f, 1u << KUA__SLICE_ALL, .01, .2, 1);
    decide(f, &v);
    assert_false(v.transfer);
    assert_int_equal(v.slice[0].reason, KUA__GUARD_WORSE);
    assert_true(
        kua__has_prefix(v.words, "Transfer switched off for everybody because finetune is worse"));
    assert_non_null(strstr(v.words, "Target-only is published."));
    for (size_t u = 0; u < 6; u++)
        assert_false(kua__verdict_allows(&v, f->user_bits[u]));
    assert_near(v.published.mean, 0, 0);
    kua__verdict_release(&v);
    free(f);
}

/* Noise moves as many users up as down. Whatever the draw, what is published may not be much worse
 * in truth: here the true difference is 0, so it is enough that noise is seldom believed in. */
static void noise_is_seldom_believed(void **state)
{
    (void)state;
    int on = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        fixture *f = make(.3);
        kua__verdict v;
        change(f, 1u << KUA__SLICE_ALL, .09, .21, seed); /* .7 * .09 = .3 * .21 */
        decide(f, &v);
        on += v.transfer;
        kua__verdict_release(&v);
        free(f);
    }
    assert_in_range(on, 0, 6);
}

static void harm_to_some_is_switched_off_for_them(void **state)
{
    (void)state;
    fixture *f = make(.3);
    kua__verdict v;
    change(f, 1u << KUA__SLICE_COLD_USERS, .15, .02, 1);
    change(f, 1u << KUA__SLICE_WARM_USERS, .01, .15, 1);
    decide(f, &v);
    assert_true(v.transfer); /* the gain is larger than the loss... */
    assert_non_null(strstr(v.words, "Transfer switched off for users with more than 5 events in "
                                    "the target because it is worse there"));
    assert_false(kua__verdict_allows(&v, f->user_bits[0]));
    assert_true(kua__verdict_allows(&v, f->user_bits[1]));
    assert_true(v.published.mean >
                v.slice[0].difference.mean); /* ...and the switch keeps the gain only */
    kua__verdict_release(&v);
    free(f);
}

static void help_to_some_is_kept_for_them(void **state)
{
    (void)state;
    fixture *f = make(.3);
    kua__verdict v;
    change(f, 1u << KUA__SLICE_COLD_USERS, .1, .02, 1);
    change(f, 1u << KUA__SLICE_WARM_USERS, .01, .5, 1);
    decide(f, &v);
    assert_false(v.transfer);
    assert_non_null(strstr(v.words, "Transfer stays on for users with at most 5 events in the "
                                    "target because it is better there"));
    assert_false(kua__verdict_allows(&v, f->user_bits[0]));
    assert_true(kua__verdict_allows(&v, f->user_bits[1]));
    assert_true(v.published.low > 0);
    kua__verdict_release(&v);
    free(f);
}

static void a_handful_of_users_follows_everybody(void **state)
{
    (void)state;
    fixture *f = make(.3);
    kua__verdict v;
    for (size_t u = 0; u < 20; u++)
        f->user_bits[u] |= 1u << KUA__SLICE_ZERO_USERS;
    change(f, 1u << KUA__SLICE_ALL, .06, .02, 1);
    for (size_t u = 0; u < 20; u++)
        f->rank[1][u] = KUA__MISS;
    decide(f, &v);
    for (size_t k = 0; k < v.n_slices; k++) {
        if (v.slice[k].slice == KUA__SLICE_ZERO_USERS) {
            assert_int_equal(v.slice[k].reason, KUA__GUARD_FEW);
            assert_true(v.slice[k].transfer);
        }
    }
    assert_true(kua__verdict_allows(&v, f->user_bits[0]));
    kua__verdict_release(&v);
    free(f);
}

static void a_verdict_survives_json(void **state)
{
    (void)state;
    fixture *f = make(.3);
    kua__verdict v, back;
    json_t *json = NULL;
    change(f, 1u << KUA__SLICE_COLD_USERS, .15, .02, 1);
    change(f, 1u << KUA__SLICE_WARM_USERS, .01, .15, 1);
    decide(f, &v);
    assert_ok(kua__verdict_json(&v, &json));
    assert_true(json_is_true(json_object_get(json, "partly")));
    assert_ok(kua__verdict_load("model.json", json, &back));
    for (size_t u = 0; u < 6; u++)
        assert_int_equal(kua__verdict_allows(&v, f->user_bits[u]),
                         kua__verdict_allows(&back, f->user_bits[u]));
    assert_string_equal(v.words, back.words);
    assert_int_equal(v.n_slices, back.n_slices);
    kua__verdict_release(&back);
    json_object_set_new(json_array_get(json_object_get(json, "slices"), 1), "slice",
                        json_string("x"));
    assert_fails(kua__verdict_load("model.json", json, &back), KUA_FORMAT, "model.json: slice 'x'");
    json_object_set_new(json, "slices", json_array());
    assert_fails(kua__verdict_load("model.json", json, &back), KUA_FORMAT, "0 entries");
    json_object_set_new(json, "measure", json_string("ndcg@11"));
    assert_fails(kua__verdict_load("model.json", json, &back), KUA_FORMAT, "ndcg@11");
    assert_fails(kua__verdict_load("model.json", NULL, &back), KUA_FORMAT, "not an object");
    json_decref(json);
    kua__verdict_release(&v);
    free(f);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fixture *f = make(.3);
    const kua__guard_options fast = {.strategy = "finetune", .resamples = 4};
    kua_status st;
    change(f, 1u << KUA__SLICE_ALL, .06, .02, 1);
    TEST_EVERY_ALLOCATION(st)
    {
        kua__verdict v = {0}, back = {0};
        json_t *json = NULL;
        st = kua__guard_decide(&f->set, &f->base, 1, &f->moved, 1, &fast, &v);
        if (!st) st = kua__verdict_json(&v, &json);
        if (!st) st = kua__verdict_load("v", json, &back);
        json_decref(json);
        kua__verdict_release(&v);
        kua__verdict_release(&back);
    }
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_helpful_source_is_published),
        cmocka_unit_test(a_harmful_source_is_switched_off),
        cmocka_unit_test(noise_is_seldom_believed),
        cmocka_unit_test(harm_to_some_is_switched_off_for_them),
        cmocka_unit_test(help_to_some_is_kept_for_them),
        cmocka_unit_test(a_handful_of_users_follows_everybody),
        cmocka_unit_test(a_verdict_survives_json),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

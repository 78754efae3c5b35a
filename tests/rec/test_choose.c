/* test_choose.c - NDCG@10 on validation against a plain sort, and what choosing by it promises. */
#include "small.h"

#include <float.h>

#include "rec/common.h"
#include "rec/recommenders.h"

/* ---- the measure ---- */

static bool is_in(const kua__log *log, size_t from, size_t to, uint32_t item)
{
    for (size_t i = from; i < to; i++) {
        if (log->item[i] == item) return true;
    }
    return false;
}

/* NAN: nothing is relevant to this user. */
static double ndcg_of(const small *s, uint32_t user, const float *scores, bool fresh)
{
    size_t begin = s->log.user_at[user], train = s->world.train.end[user],
           end = s->world.valid.end[user], relevant = 0;
    double gain = 0, ideal = 0;
    for (uint32_t i = 0; i < ITEMS; i++) {
        bool old = fresh && is_in(&s->log, begin, train, i);
        size_t rank = 0;
        if (old || !is_in(&s->log, train, end, i)) continue;
        for (uint32_t k = 0; k < ITEMS; k++) {
            bool gone = fresh && is_in(&s->log, begin, train, k);
            rank += !gone && (scores[k] > scores[i] || (scores[k] == scores[i] && k < i));
        }
        gain += rank < 10 ? 1 / log2((double)rank + 2) : 0;
        relevant++;
    }
    for (size_t k = 0; k < KUA__MIN(relevant, 10); k++)
        ideal += 1 / log2((double)k + 2);
    return relevant ? gain / ideal : NAN;
}

static double plain_ndcg(const small *s, const kua__rec *rec, bool fresh)
{
    double sum = 0, n = 0;
    for (uint32_t u = 0; u < USERS; u++) {
        float scores[ITEMS];
        kua__query q = {u, s->now, kua__cut_history(&s->world.train, u), NULL};
        assert_ok(kua__rec_score(rec, &q, 1, scores));
        double one =
            s->world.valid.end[u] > s->world.train.end[u] ? ndcg_of(s, u, scores, fresh) : NAN;
        sum += isnan(one) ? 0 : one;
        n += !isnan(one);
    }
    return n > 0 ? sum / n : 0;
}

static void check_measure(const small *s, const kua__rec *rec)
{
    kua__valid valid;
    assert_ok(kua__valid_open(&valid, &s->world));
    for (int fresh = 0; fresh < 2; fresh++) {
        for (int threads = 1; threads <= 2; threads++) {
            double ndcg = -1;
            kua__threads_set(threads);
            assert_ok(kua__valid_ndcg(&valid, rec, fresh, &ndcg));
            assert_near(ndcg, plain_ndcg(s, rec, fresh), 1e-12);
        }
    }
    kua__valid_close(&valid);
}

static void the_measure_is_ndcg(void **state)
{
    (void)state;
    for (int world = 0; world < 4; world++) {
        small s;
        small_open(&s, world & 1, world & 2);
        kua__rec *rec = small_fit(&s, "itemknn", "{}");
        check_measure(&s, rec);
        for (size_t u = 0; u < USERS; u++) { /* several validation events */
            size_t first = s.log.user_at[u], n = s.split.valid_at[u] - first;
            s.split.valid_at[u] -= n / 2;
        }
        check_measure(&s, rec);
        kua__rec_free(rec);
        small_close(&s);
    }
}

/* Scores that are all the same, negative, or -FLT_MAX ("never"). */
typedef struct stub {
    kua__rec rec;
    float value;
    bool fails;
} stub;

static kua_status stub_score(const kua__rec *rec, const kua__query *queries, size_t n,
                             float *scores)
{
    for (size_t i = 0; i < n * rec->n_items; i++)
        scores[i] = ((const stub *)rec)->value;
    return ((const stub *)rec)->fails ? kua__fail(KUA_INVALID, "user %u", queries[0].user) : KUA_OK;
}

static void ties_and_nothing(void **state)
{
    (void)state;
    static const kua__rec_ops ops = {.name = "stub", .score = stub_score};
    stub all = {{.ops = &ops, .n_items = ITEMS}, -3, false};
    small s;
    small_open(&s, true, false);
    check_measure(&s, &all.rec);
    all.value = -FLT_MAX; /* nothing is recommended */
    kua__valid valid;
    double ndcg = -1;
    assert_ok(kua__valid_open(&valid, &s.world));
    assert_ok(kua__valid_ndcg(&valid, &all.rec, false, &ndcg));
    assert_near(ndcg, 0, 0);
    all.fails = true; /* a worker's message comes through */
    assert_fails(kua__valid_ndcg(&valid, &all.rec, false, &ndcg), KUA_INVALID, "user ");
    kua__valid_close(&valid);
    small_close(&s);
}

/* ---- choosing ---- */

static double fact(const kua__rec *rec, const char *key)
{
    const json_t *value = json_object_get(rec->facts, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

/* A fit with what was chosen is the same model, and measures what the facts say. */
static void check_choice(const small *s, const char *kind, bool repeats)
{
    kua__rec *rec = small_fit(s, kind, "{}"), *again = NULL;
    float a[USERS * ITEMS], b[USERS * ITEMS];
    assert_ok(kua__rec_create(kind, json_object_get(rec->facts, "chosen"), &again));
    assert_ok(kua__rec_fit(again, &s->world, NULL));
    small_score(s, rec, a);
    small_score(s, again, b);
    assert_memory_equal(a, b, sizeof(a));
    assert_near(plain_ndcg(s, rec, !repeats), fact(rec, "valid_ndcg@10"), 1e-12);
    assert_near(fact(again, "valid_ndcg@10"), fact(rec, "valid_ndcg@10"), 1e-12);
    kua__rec_free(again);
    kua__rec_free(rec);
}

static void what_was_chosen_can_be_given(void **state)
{
    (void)state;
    for (int world = 0; world < 4; world++) {
        small s;
        small_open(&s, world & 1, world & 2);
        for (size_t k = 0; kua__rec_all[k]; k++) {
            const char *kind = kua__rec_all[k]->name;
            if (kua__streq(kind, "sequence") || kua__streq(kind, "crossknn")) continue;
            check_choice(&s, kind, world & 2);
        }
        small_close(&s);
    }
}

/* One number that is open: the best of its values, if it is 1 % better than where it starts. */
static void the_best_value_is_chosen(void **state)
{
    (void)state;
    static const double decays[] = {1, .9, .8, .7, .5, .3};
    small s;
    small_open(&s, false, false);
    double best = -1, at_start = -1;
    for (size_t i = 0; i < KUA__COUNT(decays); i++) {
        char given[96];
        snprintf(given, sizeof(given),
                 "{\"shrink\": 20, \"neighbours\": 20, \"user_power\": 0, "
                 "\"decay\": %g}",
                 decays[i]);
        kua__rec *rec = small_fit(&s, "itemknn", given);
        best = KUA__MAX(best, plain_ndcg(&s, rec, true));
        if (decays[i] == .7) at_start = plain_ndcg(&s, rec, true);
        kua__rec_free(rec);
    }
    kua__rec *rec =
        small_fit(&s, "itemknn", "{\"shrink\": 20, \"neighbours\": 20, \"user_power\": 0}");
    double got = fact(rec, "valid_ndcg@10");
    assert_true(got >= at_start);
    assert_true(got >= best / 1.0201); /* two steps may be passed over for less than 1 % each */
    kua__rec_free(rec);
    small_close(&s);
}

static void without_validation_defaults_stay(void **state)
{
    (void)state;
    small s;
    small_open(&s, false, false);
    small_no_validation(&s);
    kua__rec *rec = small_fit(&s, "itemknn", "{\"shrink\": 7}");
    const json_t *chosen = json_object_get(rec->facts, "chosen");
    assert_near(json_number_value(json_object_get(chosen, "decay")), .7, 0);
    assert_near(json_number_value(json_object_get(chosen, "neighbours")), 20, 0);
    assert_near(json_number_value(json_object_get(chosen, "shrink")), 7, 0);
    assert_null(json_object_get(rec->facts, "valid_ndcg@10"));
    kua__rec_free(rec);
    small_close(&s);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    small s;
    small_open(&s, true, true);
    kua__rec *rec = small_fit(&s, "popularity", "{}");
    double want, ndcg;
    kua__valid valid;
    assert_ok(kua__valid_open(&valid, &s.world));
    assert_ok(kua__valid_ndcg(&valid, rec, true, &want));
    kua__valid_close(&valid);
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__valid_open(&valid, &s.world);
        if (!st) st = kua__valid_ndcg(&valid, rec, true, &ndcg);
        if (!st) assert_near(ndcg, want, 0);
        kua__valid_close(&valid);
    }
    kua__rec_free(rec);
    small_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_measure_is_ndcg),
        cmocka_unit_test(ties_and_nothing),
        cmocka_unit_test(what_was_chosen_can_be_given),
        cmocka_unit_test(the_best_value_is_chosen),
        cmocka_unit_test(without_validation_defaults_stay),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_engine.c - the whole loop through the public interface, on a made-up shop whose numbers are
 * counted while it is written; then the same jobs with one allocation failing.
 *
 * The shop: two domains of ITEMS items in groups of five; who likes a group buys in it, in both
 * domains. Every fourth user buys in "home" only.
 */
#include "testlib.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "kua/engine.h"

enum { PEOPLE = 40, ITEMS = 20, GROUP = 5 };

static const char *const domains[] = {"home", "care"};

typedef struct counted {
    size_t users, events, asked; /* asked: users of at least three events */
} counted;

static struct shop {
    const char *items[2], *events[2];
    counted count[2];
    bool bought[2][PEOPLE][ITEMS];
} shop;

/* ---- the shop ---- */

static void write_items(int d)
{
    kua__buf text = {0};
    char name[16];
    kua__buf_puts(&text, "item_id:token\ttitle:token_seq\n");
    for (int i = 0; i < ITEMS; i++)
        kua__buf_printf(&text, "%s%d\tthing %d of %s\n", domains[d], i, i, domains[d]);
    snprintf(name, sizeof(name), "%s.item", domains[d]);
    assert_ok(kua__buf_status(&text));
    shop.items[d] = test_temp_file(name, text.data, text.len);
    kua__buf_release(&text);
}

static void write_events(int d)
{
    kua__buf text = {0};
    kua__rng rng = kua__rng_make(7, (uint64_t)d);
    char name[16];
    kua__buf_puts(&text, "user_id:token\titem_id:token\ttimestamp:float\n");
    for (uint32_t u = 0; u < PEOPLE; u++) {
        size_t n = 0, tries = 2 + kua__rng_below(&rng, 8);
        for (size_t k = 0; k < tries && !(d == 1 && u % 4 == 3); k++) {
            bool own = kua__rng_below(&rng, 10) < 8;
            uint32_t i =
                own ? u % 4 * GROUP + kua__rng_below(&rng, GROUP) : kua__rng_below(&rng, ITEMS);
            if (shop.bought[d][u][i]) continue;
            shop.bought[d][u][i] = true;
            kua__buf_printf(&text, "u%u\t%s%u\t%zu\n", u, domains[d], i, k);
            n++;
        }
        shop.count[d].users += n > 0;
        shop.count[d].asked += n >= 3;
        shop.count[d].events += n;
    }
    snprintf(name, sizeof(name), "%s.inter", domains[d]);
    assert_ok(kua__buf_status(&text));
    shop.events[d] = test_temp_file(name, text.data, text.len);
    kua__buf_release(&text);
}

static kua_workspace *open_shop(const char *path)
{
    kua_workspace *ws = NULL;
    assert_ok(kua_workspace_open(path, NULL, &ws));
    return ws;
}

/* ---- reports ---- */

static json_t *parsed(char *report)
{
    json_t *json = NULL;
    assert_non_null(report);
    assert_ok(kua__json_parse("report", report, strlen(report), &json));
    kua_text_free(report);
    return json;
}

/* The member at a path like "rows/1/metrics/recall@10". */
static const json_t *at(const json_t *json, const char *path)
{
    while (json && *path) {
        char key[32];
        size_t n = strcspn(path, "/");
        snprintf(key, sizeof(key), "%.*s", (int)n, path);
        json = json_is_array(json) ? json_array_get(json, strtoul(key, NULL, 10))
                                   : json_object_get(json, key);
        path += n + (path[n] == '/');
    }
    if (!json) fail_msg("the report has no %s", path);
    return json;
}

static double number(const json_t *json, const char *path)
{
    const json_t *value = at(json, path);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static const char *text(const json_t *json, const char *path)
{
    const char *value = json_string_value(at(json, path));
    assert_non_null(value);
    return value;
}

static json_t *trained(kua_workspace *ws, const char *kind, const char *name, const char *settings)
{
    char *report = NULL;
    kua_train_options o = {.domain = "care", .kind = kind, .name = name, .settings = settings};
    assert_ok(kua_train(ws, &o, &report));
    return parsed(report);
}

static json_t *evaluated(kua_workspace *ws, const char *models, bool mask_seen)
{
    char *report = NULL;
    kua_evaluate_options o = {.models = models, .mask_seen = mask_seen};
    assert_ok(kua_evaluate(ws, &o, &report));
    return parsed(report);
}

/* ---- the loop ---- */

static const char *workspace; /* made by the group's setup, with itemknn "knn" in it */

static void imports(kua_workspace *ws, int d, bool again)
{
    char *report = NULL;
    kua_import_options o = {.domain = domains[d], .items = shop.items[d], .events = shop.events[d]};
    assert_ok(kua_import(ws, &o, &report));
    json_t *json = parsed(report);
    size_t users = d == 0 ? shop.count[0].users : 0; /* who buys care buys home */
    assert_near(number(json, "items"), again ? 0 : ITEMS, 0);
    assert_near(number(json, "users"), again ? 0 : (double)users, 0);
    assert_near(number(json, "events"), again ? 0 : (double)shop.count[d].events, 0);
    json_decref(json);
}

static int make_workspace(void **state)
{
    test_no_leaks_begin(state);
    kua_threads(1); /* which of two threads meets a failing allocation would be chance */
    workspace = test_temp_path("shop");
    assert_ok(kua_workspace_create(workspace));
    kua_workspace *ws = open_shop(workspace);
    for (int d = 0; d < 2; d++) {
        write_items(d);
        write_events(d);
        imports(ws, d, false);
    }
    json_decref(trained(ws, "itemknn", "knn",
                        "{\"decay\": 0.8, \"neighbours\": 10, "
                        "\"shrink\": 5, \"user_power\": 0}"));
    kua_workspace_close(ws);
    return 0;
}

static void an_import_counts_what_it_adds(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    char *report = NULL;
    for (int d = 0; d < 2; d++)
        imports(ws, d, true);
    assert_ok(kua_inspect(ws, &report));
    json_t *json = parsed(report);
    for (int d = 0; d < 2; d++) {
        const json_t *of = at(json, d ? "domains/1" : "domains/0");
        assert_string_equal(text(of, "name"), domains[d]);
        assert_near(number(of, "users"), (double)shop.count[d].users, 0);
        assert_near(number(of, "events"), (double)shop.count[d].events, 0);
        assert_near(number(of, "items"), ITEMS, 0);
    }
    assert_near(number(json, "shared_users/0/users"), (double)shop.count[1].users, 0);
    json_decref(json);
    kua_workspace_close(ws);
}

static void a_second_training_is_a_second_version(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    for (int version = 1; version <= 2; version++) {
        json_t *json = trained(ws, "popularity", "pop", NULL);
        assert_string_equal(text(json, "name"), "pop");
        assert_string_equal(text(json, "kind"), "popularity");
        assert_string_equal(text(json, "split"), "leave-one-out");
        assert_near(number(json, "version"), version, 0);
        assert_near(number(json, "seeds/0/seed"), 1, 0);
        assert_true(number(json, "seconds") > 0 && number(json, "peak_bytes") > 0);
        assert_near(number(json, "metrics/ndcg@10"), number(json, "seeds/0/valid/ndcg@10"), 0);
        json_decref(json);
    }
    kua_workspace_close(ws);
}

static void same_seed_same_numbers(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    const char *tiny = "{\"dim\": 8, \"heads\": 2, \"layers\": 1, \"epochs\": 2, \"warmup\": 2}";
    json_decref(trained(ws, "sequence", "one", tiny));
    json_decref(trained(ws, "sequence", "two", tiny));
    json_t *json = evaluated(ws, "one,two", true);
    assert_true(json_equal(at(json, "rows/0/metrics"), at(json, "rows/1/metrics")));
    assert_true(json_equal(at(json, "rows/0/intervals"), at(json, "rows/1/intervals")));
    json_decref(json);
    kua_workspace_close(ws);
}

static size_t count_lines(const char *path)
{
    kua__map map;
    size_t n = 0;
    assert_ok(kua__map_open(&map, path));
    for (size_t i = 0; i < map.size; i++)
        n += map.data[i] == '\n';
    kua__map_close(&map);
    return n;
}

static void a_table_asks_every_user_once(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    char *report = NULL;
    const char *file = test_temp_path("users.tsv");
    kua_evaluate_options o = {.models = "knn,pop", .baseline = "pop", .per_user = file};
    assert_ok(kua_evaluate(ws, &o, &report));
    json_t *json = parsed(report);
    assert_near(number(json, "protocol/users"), (double)shop.count[1].asked, 0);
    assert_near(number(json, "protocol/ranked_items"), ITEMS, 0);
    assert_int_equal(json_array_size(at(json, "rows")), 2);
    for (int r = 0; r < 2; r++) { /* all ITEMS items are ranked: at ITEMS everything is found */
        const json_t *row = at(json, r ? "rows/1" : "rows/0");
        assert_string_equal(text(row, "model"), r ? "pop" : "knn");
        assert_near(number(row, "metrics/recall@20"), 1, 0);
        assert_true(number(row, "metrics/recall@5") <= number(row, "metrics/recall@10"));
        double low = number(row, "intervals/ndcg@10/0"), high = number(row, "intervals/ndcg@10/1");
        assert_true(low <= number(row, "metrics/ndcg@10") &&
                    number(row, "metrics/ndcg@10") <= high);
    }
    assert_true(json_equal(at(json, "metrics"), at(json, "rows/0/metrics")));
    assert_int_equal((count_lines(file) - 1) % shop.count[1].asked, 0); /* and a header */
    json_decref(json);
    json = evaluated(ws, "knn,pop", true); /* who likes a group buys in it: counting pairs helps */
    assert_true(number(json, "rows/0/metrics/ndcg@5") > number(json, "rows/1/metrics/ndcg@5"));
    json_decref(json);
    kua_workspace_close(ws);
}

/* A model of another split is fitted anew, or it would know the answers. */
static void another_split_is_fitted_anew(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    char *report = NULL;
    kua_evaluate_options o = {.models = "knn", .split = "time=2020-01-01"};
    assert_fails(kua_evaluate(ws, &o, &report), KUA_INVALID, "");
    assert_null(report);
    o.split = "sideways";
    assert_fails(kua_evaluate(ws, &o, &report), KUA_INVALID, "expected leave-one-out, given or");
    kua_workspace_close(ws);
}

static void a_transfer_is_judged(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    char *report = NULL;
    kua_transfer_options o = {
        .sources = "home", .target = "care", .strategy = "crossknn", .name = "cross"};
    assert_ok(kua_transfer(ws, &o, &report));
    json_t *json = parsed(report);
    assert_string_equal(text(json, "sources"), "home");
    assert_string_equal(text(json, "strategy"), "crossknn");
    assert_string_equal(text(json, "target_only/name"), "two"); /* there was one: none is trained */
    assert_near(number(json, "target_only/version"), 1, 0);
    assert_string_equal(text(json, "verdict/sources/0"), "home");
    assert_true(json_is_boolean(at(json, "verdict/transfer")));
    assert_near(number(json, "verdict/slices/0/users"), (double)shop.count[1].asked, 0);
    json_decref(json);
    json = evaluated(ws, "cross,cross:raw,pop", false);
    assert_int_equal(json_array_size(at(json, "rows")), 3);
    assert_string_equal(text(json, "rows/1/model"), "cross:raw");
    json_decref(json);
    kua_workspace_close(ws);
}

/* ---- answers ---- */

static bool has_bought(int d, unsigned user, const char *item)
{
    size_t n = strlen(domains[d]);
    assert_memory_equal(item, domains[d], n);
    return shop.bought[d][user][strtoul(item + n, NULL, 10)];
}

static void recommendations_are_new_and_sorted(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    for (unsigned user = 0; user < PEOPLE; user++) {
        char id[8];
        kua_hit hits[2 * ITEMS];
        size_t n = 0, own = 0;
        snprintf(id, sizeof(id), "u%u", user);
        kua_recommend_options o = {.model = "knn", .user = id};
        assert_ok(kua_recommend(ws, &o, hits, 2 * ITEMS, &n));
        for (size_t i = 0; i < ITEMS; i++)
            own += shop.bought[1][user][i];
        assert_int_equal(n, ITEMS - own);
        for (size_t i = 0; i < n; i++) {
            assert_false(has_bought(1, user, hits[i].item));
            assert_true(i == 0 || hits[i - 1].score >= hits[i].score);
        }
        o.repeats = true;
        assert_ok(kua_recommend(ws, &o, hits, 3, &n));
        assert_int_equal(n, 3);
    }
    kua_workspace_close(ws);
}

static void what_cannot_be_answered_says_why(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    kua_hit hits[3];
    size_t n = 7;
    const struct {
        kua_recommend_options o;
        kua_status status;
        const char *message;
    } cases[] = {
        {{.model = "knn", .user = "stranger"}, KUA_NOTFOUND, "no such user: 'stranger'"},
        {{.model = "nothing", .user = "u1"}, KUA_NOTFOUND, "nothing"},
        {{.user = "u1"}, KUA_INVALID, "give a model, or a domain"},
        {{.domain = "home", .user = "u1"}, KUA_NOTFOUND, "no model is published for 'home'"},
        {{.model = "knn", .user = "u1", .as_of = "soon"}, KUA_INVALID, "'soon' is no date"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        assert_fails(kua_recommend(ws, &cases[i].o, hits, 3, &n), cases[i].status,
                     cases[i].message);
        assert_int_equal(n, 0);
    }
    assert_fails(kua_similar(ws, "care1", NULL, hits, 3, &n), KUA_NOTFOUND, "no vectors yet");
    assert_fails(kua_similar(ws, "care99", NULL, hits, 3, &n), KUA_NOTFOUND, "no such item");
    kua_workspace_close(ws);
}

static void a_history_is_what_was_bought(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    kua_hit hits[ITEMS];
    size_t n = 0, own = 0;
    assert_ok(kua_history(ws, "u5", "home", NULL, NULL, hits, ITEMS, &n));
    for (size_t i = 0; i < ITEMS; i++)
        own += shop.bought[0][5][i];
    assert_int_equal(n, own);
    for (size_t i = 0; i < n; i++)
        assert_true(has_bought(0, 5, hits[i].item));
    kua_workspace_close(ws);
}

static void publishing_can_be_taken_back(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    kua_recommend_options o = {.domain = "care", .user = "u1"};
    kua_hit by_domain[5], by_name[5];
    const char *const names[] = {"knn", "pop"};
    size_t n = 0, m = 0;
    char *report = NULL;
    assert_fails(kua_rollback(ws, "care", &report), KUA_NOTFOUND, "care");
    for (int i = 0; i < 3; i++) { /* publish, publish, and back to the first */
        o.model = NULL;
        if (i < 2)
            assert_ok(kua_publish(ws, names[i], 1, &report));
        else
            assert_ok(kua_rollback(ws, "care", &report));
        json_t *json = parsed(report);
        assert_string_equal(text(json, "name"), names[i % 2]);
        assert_true(json_is_true(at(json, "published")));
        json_decref(json);
        assert_ok(kua_recommend(ws, &o, by_domain, 5, &n));
        o.model = names[i % 2];
        assert_ok(kua_recommend(ws, &o, by_name, 5, &m));
        assert_int_equal(n, m);
        for (size_t k = 0; k < n; k++)
            assert_string_equal(by_domain[k].item, by_name[k].item);
    }
    assert_fails(kua_publish(ws, "knn", 9, &report), KUA_NOTFOUND, "knn");
    assert_fails(kua_publish(ws, "nothing", 0, &report), KUA_NOTFOUND, "nothing");
    assert_null(report);
    kua_workspace_close(ws);
}

/* ---- what is refused ---- */

static void a_bad_order_changes_nothing(void **state)
{
    (void)state;
    kua_workspace *ws = open_shop(workspace);
    char *before = NULL, *after = NULL, *report = NULL;
    assert_ok(kua_models(ws, NULL, &before));
    const struct {
        kua_train_options o;
        kua_status status;
        const char *message;
    } trains[] = {
        {{.domain = "care", .kind = "magic", .name = "x"}, KUA_INVALID, "no model 'magic'; there"},
        {{.domain = "shoes", .kind = "ease", .name = "x"}, KUA_NOTFOUND, "home"},
        {{.domain = "care", .kind = "ease", .name = "../x"}, KUA_INVALID, "model name '../x'"},
        {{.domain = "care", .kind = "ease", .name = "x", .split = "given"}, KUA_INVALID, ""},
        {{.domain = "care", .kind = "ease", .name = "x", .settings = "{\"lambda\":"},
         KUA_FORMAT,
         "settings:1:"},
        {{.domain = "care", .kind = "ease", .name = "x", .settings = "[]"}, KUA_INVALID, "object"},
        {{.domain = "care", .kind = "ease", .name = "x", .settings = "{\"lambda\": 0}"},
         KUA_INVALID,
         "lambda is 0"},
    };
    for (size_t i = 0; i < KUA__COUNT(trains); i++) {
        assert_fails(kua_train(ws, &trains[i].o, &report), trains[i].status, trains[i].message);
        assert_null(report);
    }
    const struct {
        kua_transfer_options o;
        kua_status status;
        const char *message;
    } moves[] = {
        {{"home", "care", "magic", "x"}, KUA_INVALID, "no strategy 'magic'; there is: target-only"},
        {{"care", "care", "crossknn", "x"}, KUA_INVALID, "named twice"},
        {{"", "care", "frozen", "x"}, KUA_INVALID, "no source is named"},
        {{"home,", "care", "crossknn", "x"}, KUA_NOTFOUND, ""},
        {{"home", "care", "crossknn", "a b"}, KUA_INVALID, "model name 'a b'"},
        {{"home", "care", "crossknn", "x", .settings = "{\"shrnk\": 1}"}, KUA_INVALID, "'shrnk'"},
    };
    for (size_t i = 0; i < KUA__COUNT(moves); i++) {
        assert_fails(kua_transfer(ws, &moves[i].o, &report), moves[i].status, moves[i].message);
        assert_null(report);
    }
    assert_ok(kua_models(ws, NULL, &after));
    assert_string_equal(before, after);
    kua_text_free(before);
    kua_text_free(after);
    kua_workspace_close(ws);
}

static void workspaces_are_told_apart(void **state)
{
    (void)state;
    kua_workspace *ws = NULL;
    assert_fails(kua_workspace_open(test_temp_path("nowhere"), NULL, &ws), KUA_NOTFOUND,
                 "no workspace there");
    assert_null(ws);
    assert_fails(kua_workspace_create(workspace), KUA_INVALID, "");
    kua_workspace_close(NULL);
}

static void what_exists_is_listed(void **state)
{
    (void)state;
    char *report = NULL;
    assert_ok(kua_kinds(&report));
    json_t *json = parsed(report);
    assert_true(json_array_size(json) >= 7);
    assert_string_equal(text(json, "0/name"), "popularity");
    assert_true(json_object_size(at(json, "0/settings")) > 0);
    json_decref(json);
    assert_ok(kua_strategies(&report));
    json = parsed(report);
    assert_true(json_array_size(json) >= 4);
    json_decref(json);
}

/* ---- failing allocations ---- */

typedef kua_status (*job)(kua_workspace *ws, char **report);

static kua_status job_train(kua_workspace *ws, char **report)
{
    kua_train_options o = {.domain = "care",
                           .kind = "itemknn",
                           .name = "swept",
                           .settings = "{\"decay\": 0.8, \"neighbours\": 10, \"shrink\": 5, "
                                       "\"user_power\": 0}"};
    return kua_train(ws, &o, report);
}

static kua_status job_evaluate(kua_workspace *ws, char **report)
{
    kua_evaluate_options o = {.models = "cross,knn"};
    return kua_evaluate(ws, &o, report);
}

static kua_status job_recommend(kua_workspace *ws, char **report)
{
    kua_hit hits[5];
    size_t n;
    kua_recommend_options o = {.model = "cross", .user = "u1"};
    *report = NULL;
    return kua_recommend(ws, &o, hits, 5, &n);
}

static kua_status job_list(kua_workspace *ws, char **report)
{
    kua_status st = kua_kinds(report);
    if (st) return st;
    kua_text_free(*report);
    st = kua_strategies(report);
    if (st) return st;
    kua_text_free(*report);
    return kua_models(ws, "knn", report);
}

/* The report without what differs from run to run. */
static json_t *lasting(char *report)
{
    static const char *const passing[] = {"version", "created", "seconds", "peak_bytes"};
    json_t *json = report ? parsed(report) : json_null();
    json_t *row;
    size_t i;
    for (size_t k = 0; k < KUA__COUNT(passing); k++)
        json_object_del(json, passing[k]);
    json_array_foreach(json_object_get(json, "rows"), i, row) json_object_del(row, "eval_seconds");
    return json;
}

static size_t n_models(const char *name)
{
    kua_workspace *ws = open_shop(workspace);
    char *report = NULL;
    assert_ok(kua_models(ws, name, &report));
    json_t *json = parsed(report);
    size_t n = json_array_size(json);
    json_decref(json);
    kua_workspace_close(ws);
    return n;
}

/* Opens the workspace and runs the job with the nth allocation failing, for n = 1 and on in steps
 * that grow by a `stride`th: it fails with KUA_NOMEM and no report, or gives the whole one. */
static void sweep(job run, long stride)
{
    kua_workspace *ws = open_shop(workspace);
    char *report = NULL;
    assert_ok(run(ws, &report));
    json_t *want = lasting(report);
    kua_workspace_close(ws);
    bool failed = true;
    for (long nth = 1; failed; nth += 1 + nth / stride) {
        long live = kua__alloc_live();
        ws = NULL, report = NULL;
        kua__alloc_fail_after(nth);
        kua_status st = kua_workspace_open(workspace, NULL, &ws);
        if (!st) st = run(ws, &report);
        failed = kua__alloc_has_failed();
        kua__alloc_fail_after(0);
        kua_workspace_close(ws);
        if (st) {
            test_assert_status(st, KUA_NOMEM, "a failing allocation", __FILE__, __LINE__);
            assert_null(report);
        } else {
            json_t *got = lasting(report);
            assert_true(json_equal(got, want));
            json_decref(got);
        }

        if (kua__alloc_live() != live) fail_msg("failing allocation %ld lost memory", nth);
    }
    json_decref(want);
}

static void allocations_of_training_may_fail(void **state)
{
    (void)state;
    sweep(job_train, 25);
    size_t n = n_models("swept");
    assert_true(n >= 2); /* the first, the last, and what succeeded all the same */
    kua_workspace *ws = open_shop(workspace);
    json_t *json = evaluated(ws, "swept,knn", false); /* and it is the model it should be */
    assert_true(json_equal(at(json, "rows/0/metrics"), at(json, "rows/1/metrics")));
    json_decref(json);
    kua_workspace_close(ws);
}

static void allocations_of_evaluation_may_fail(void **state)
{
    (void)state;
    sweep(job_evaluate, 25);
}

static void allocations_of_answers_may_fail(void **state)
{
    (void)state;
    sweep(job_recommend, 1000);
    sweep(job_list, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_import_counts_what_it_adds),
        cmocka_unit_test(a_second_training_is_a_second_version),
        cmocka_unit_test(same_seed_same_numbers),
        cmocka_unit_test(a_table_asks_every_user_once),
        cmocka_unit_test(another_split_is_fitted_anew),
        cmocka_unit_test(a_transfer_is_judged),
        cmocka_unit_test(recommendations_are_new_and_sorted),
        cmocka_unit_test(what_cannot_be_answered_says_why),
        cmocka_unit_test(a_history_is_what_was_bought),
        cmocka_unit_test(publishing_can_be_taken_back),
        cmocka_unit_test(a_bad_order_changes_nothing),
        cmocka_unit_test(workspaces_are_told_apart),
        cmocka_unit_test(what_exists_is_listed),
        cmocka_unit_test(allocations_of_training_may_fail),
        cmocka_unit_test(allocations_of_evaluation_may_fail),
        cmocka_unit_test(allocations_of_answers_may_fail),
    };
    return cmocka_run_group_tests(tests, make_workspace, test_no_leaks_end);
}

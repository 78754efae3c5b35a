/* test_sequence.c - the sequential recommender on small worlds whose answer is known.
 *
 * Method: in the chain world item i is always followed by i + 1, so a model that reads order names
 * the next item, and one that counts cannot. Vectors are random, the same for the same item name in
 * every domain, so that a body learned on one domain means something in another.
 */
#include "testlib.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "data/split.h"
#include "rec/sequence.h"
#include "rec/sequence_model.h"

enum { ITEMS = 24, DIM = 12 };

typedef struct shop {
    kua__log log;
    kua__split split;
    float vector[ITEMS * DIM];
    kua__world world;
} shop;

static void fill_vectors(shop *d)
{
    kua__rng rng = kua__rng_make(99, 0);
    for (size_t i = 0; i < ITEMS * DIM; i++)
        d->vector[i] = kua__rng_normal(&rng);
}

static void open_shop(shop *d, kua__raw_event *events, size_t users, size_t n, bool text)
{
    assert_ok(kua__log_build(&d->log, users, ITEMS, events, n, false));
    assert_ok(kua__split_leave_one_out(&d->log, &d->split));
    fill_vectors(d);
    d->world = (kua__world){
        .train = {&d->log, d->split.valid_at}, .valid = {&d->log, d->split.test_at}, .seed = 3};
    if (text) d->world.side = (kua__side){.vector = d->vector, .dim = DIM};
}

/* Users walk along the chain by `step` from a place of their own. */
static void chain_shop(shop *d, size_t users, size_t length, size_t step, bool text)
{
    kua__raw_event *events = kua__alloc_array(users * length, sizeof(*events));
    size_t n = 0;
    for (size_t u = 0; u < users; u++) {
        for (size_t k = 0; k < length; k++)
            events[n++] = (kua__raw_event){.user = (uint32_t)u,
                                           .item = (uint32_t)((u * 5 + k * step) % ITEMS),
                                           .time = (int64_t)k,
                                           .value = 1};
    }
    open_shop(d, events, users, n, text);
    kua__free(events);
}

/* After a view the next item follows, after a purchase the one after it. */
static void typed_shop(shop *d, size_t users, size_t length)
{
    kua__raw_event *events = kua__alloc_array(users * length, sizeof(*events));
    kua__rng rng = kua__rng_make(21, 0);
    size_t n = 0;
    for (size_t u = 0; u < users; u++) {
        uint32_t item = kua__rng_below(&rng, ITEMS);
        for (size_t k = 0; k < length; k++) {
            uint8_t type = kua__rng_below(&rng, 2) ? KUA__EVENT_VIEW : KUA__EVENT_PURCHASE;
            events[n++] = (kua__raw_event){
                .user = (uint32_t)u, .item = item, .time = (int64_t)k, .value = 1, .type = type};
            item = (item + (type == KUA__EVENT_VIEW ? 1 : 2)) % ITEMS;
        }
    }
    open_shop(d, events, users, n, false);
    kua__free(events);
}

/* Everybody buys one item again and again, with another now and then. */
static void repeat_shop(shop *d)
{
    kua__raw_event events[60 * 9];
    kua__rng rng = kua__rng_make(8, 0);
    size_t n = 0;
    for (uint32_t u = 0; u < 60; u++) {
        for (uint32_t k = 0; k < 9; k++) {
            uint32_t other = kua__rng_below(&rng, ITEMS);
            events[n++] = (kua__raw_event){
                .user = u, .item = k % 4 == 2 ? other : u * 7 % ITEMS, .time = k, .value = 1};
        }
    }
    open_shop(d, events, 60, n, false);
}

static void close_shop(shop *d)
{
    kua__log_release(&d->log);
    kua__split_release(&d->split);
}

/* Defaults, small; then the given JSON over it. */
static json_t *settings(const char *given)
{
    json_t *described = json_loads(kua__rec_sequence.settings, 0, NULL), *all = json_object(), *e;
    const char *key;
    json_object_foreach(described, key, e) json_object_set(all, key, json_array_get(e, 0));
    json_decref(described);
    json_t *small = json_loads(
        "{\"dim\": 16, \"heads\": 2, \"layers\": 1, \"epochs\": 25, \"lr\": "
        "0.01, \"warmup\": 10, \"dropout\": 0.1, \"batch_tokens\": 128, \"text_dropout\": 0, "
        "\"averaging\": 0.5, \"partners\": \"none\"}",
        0, NULL);
    json_t *over = json_loads(given, 0, NULL);
    assert_non_null(over);
    json_object_update(all, small);
    json_object_update(all, over);
    json_decref(small);
    json_decref(over);
    return all;
}

static kua__rec *fitted(const shop *d, const char *given)
{
    json_t *all = settings(given);
    kua__rec *rec = NULL;
    assert_ok(kua__rec_sequence.create(all, &rec));
    assert_ok(kua__rec_sequence.fit(rec, &d->world, NULL));
    json_decref(all);
    return rec;
}

/* Share of users whose test event gets the best score of what is not in the history, which lacks
 * its first event: all histories of a shop are of one length here, and positions beyond
 * validation's would mean nothing. */
static double hits(const shop *d, const kua__rec *rec)
{
    float scores[ITEMS];
    double hit = 0;
    kua__cut cut = {&d->log, d->split.test_at};
    for (uint32_t u = 0; u < d->log.n_users; u++) {
        kua__query q = {.user = u, .target = kua__cut_history(&cut, u)};
        size_t best = 0;
        q.target.item++;
        q.target.time++;
        q.target.type++;
        q.target.n--;
        assert_ok(kua__rec_sequence.score(rec, &q, 1, scores));
        for (size_t k = 0; k < q.target.n; k++)
            scores[q.target.item[k]] = -FLT_MAX;
        for (size_t i = 1; i < ITEMS; i++)
            best = scores[i] > scores[best] ? i : best;
        hit += d->log.item[d->split.test_at[u]] == best;
    }
    return hit / (double)d->log.n_users;
}

static double fact(const kua__rec *rec, const char *key)
{
    const json_t *value = json_object_get(rec->facts, key);
    assert_non_null(value);
    return json_number_value(value);
}

static const int64_t when[] = {0, 1, 2, 3, 4};

static void scores_of(const kua__rec *rec, const uint32_t *item, size_t n, float *scores)
{
    kua__query q = {.user = KUA__NO_ID, .target = {item, when, NULL, n}};
    assert_ok(kua__rec_sequence.score(rec, &q, 1, scores));
    for (size_t i = 0; i < rec->n_items; i++)
        assert_true(isfinite(scores[i]));
}

static const uint32_t some[] = {3, 4, 5, 6, 7};

/* ---- learning ---- */

static void learns_what_comes_next(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 240, 7, 1, true);
    static const char *const kinds[] = {"both", "ids", "text"};
    for (size_t i = 0; i < 3; i++) {
        char given[64];
        snprintf(given, sizeof(given), "{\"items\": \"%s\"}", kinds[i]);
        kua__rec *rec = fitted(&d, given);
        assert_true(hits(&d, rec) > 0.7);
        assert_true(fact(rec, "valid_ndcg@10") > 0.9);
        assert_true(fact(rec, "epochs") >= 1);
        assert_near(fact(rec, "repeat_weight"), 0, 0);
        const json_t *curve = json_object_get(rec->facts, "curve");
        assert_true(json_array_size(curve) >= (size_t)fact(rec, "epochs"));
        kua__rec_sequence.free(rec);
    }
    close_shop(&d);
}

static void sampled_softmax_learns_it_too(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 240, 7, 1, true);
    kua__rec *rec = fitted(&d, "{\"negatives\": 4}");
    assert_true(hits(&d, rec) > 0.7);
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

static void works_without_vectors(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 80, 7, 1, false);
    kua__rec *rec = fitted(&d, "{\"items\": \"text\", \"bf16\": false}");
    assert_true(hits(&d, rec) > 0.7);
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

/* Histories of 60 events are cut into windows of 8: all of them are learned from. */
static void long_histories_are_cut(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 12, 60, 1, false);
    kua__rec *rec = fitted(&d, "{\"maxlen\": 8}");
    float whole[ITEMS], end[ITEMS];
    kua__cut cut = {&d.log, d.split.test_at};
    kua__history h = kua__cut_history(&cut, 0);
    scores_of(rec, h.item, h.n, whole);
    scores_of(rec, h.item + h.n - 8, 8, end);
    assert_memory_equal(whole, end, sizeof(whole));
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

static void repeats_are_weighed(void **state)
{
    (void)state;
    shop d;
    repeat_shop(&d);
    kua__rec *rec = fitted(&d, "{\"epochs\": 3}");
    assert_true(fact(rec, "repeat_weight") > 0);
    float scores[ITEMS];
    const uint32_t twice[] = {5, 9, 5, 5};
    scores_of(rec, twice, 4, scores);
    for (size_t i = 0; i < ITEMS; i++)
        assert_true(i == 5 || scores[i] < scores[5]);
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

static void trains_blind_without_validation(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 80, 7, 1, false);
    d.world.valid = d.world.train;
    kua__rec *rec = fitted(&d, "{\"blind_epochs\": 9}");
    assert_near(fact(rec, "epochs"), 9, 0);
    assert_null(json_object_get(rec->facts, "valid_ndcg@10"));
    assert_true(hits(&d, rec) > 0.7);
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

static bool is_first(const kua__log *log, size_t user, size_t event)
{
    for (size_t i = log->user_at[user]; i < event; i++) {
        if (log->item[i] == log->item[event]) return false;
    }
    return true;
}

static void an_empty_history_gets_what_is_popular(void **state)
{
    (void)state;
    shop d;
    repeat_shop(&d);
    kua__rec *rec = fitted(&d, "{\"epochs\": 1}");
    size_t count[ITEMS] = {0};
    float scores[2 * ITEMS];
    for (size_t u = 0; u < d.log.n_users; u++) {
        for (size_t i = d.log.user_at[u]; i < d.split.valid_at[u]; i++)
            count[d.log.item[i]] += is_first(&d.log, u, i); /* buyers, not purchases */
    }
    scores_of(rec, NULL, 0, scores);
    for (size_t i = 1; i < ITEMS; i++)
        assert_true((count[i] > count[0]) == (scores[i] > scores[0]));
    /* beside a full one in the same call */
    float alone[ITEMS];
    kua__query q[2] = {{.target = {NULL, NULL, NULL, 0}}, {.target = {some, when, NULL, 5}}};
    scores_of(rec, some, 5, alone);
    assert_ok(kua__rec_sequence.score(rec, q, 2, scores));
    for (size_t i = 0; i < ITEMS; i++)
        assert_near(scores[ITEMS + i], alone[i], 1e-4);
    assert_ok(kua__rec_sequence.score(rec, q, 0, scores));
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

static void same_seed_same_bits(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 40, 7, 1, true);
    float a[ITEMS], b[ITEMS], c[ITEMS];
    kua__rec *one = fitted(&d, "{\"epochs\": 3}"), *two = fitted(&d, "{\"epochs\": 3}");
    d.world.seed = 4;
    kua__rec *other = fitted(&d, "{\"epochs\": 3}");
    scores_of(one, some, 5, a);
    scores_of(two, some, 5, b);
    scores_of(other, some, 5, c);
    assert_memory_equal(a, b, sizeof(a));
    assert_memory_not_equal(a, c, sizeof(a));
    kua__rec_sequence.free(one);
    kua__rec_sequence.free(two);
    kua__rec_sequence.free(other);
    close_shop(&d);
}

static void reads_what_kind_of_event_it_was(void **state)
{
    (void)state;
    shop d;
    typed_shop(&d, 150, 12);
    kua__rec *rec = fitted(&d, "{\"epochs\": 40, \"repeat_weight\": 0}");
    assert_true(hits(&d, rec) > 0.9);
    memset(d.log.type, KUA__EVENT_VIEW, d.log.n_events); /* blindfolded: half are right */
    assert_true(hits(&d, rec) < 0.7);
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

/* The states of the last tokens are the same whether the others are computed too or not. */
static void ends_are_rows_of_the_whole(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 40, 7, 1, true);
    static const char *const given[] = {"{\"epochs\": 1, \"layers\": 2}",
                                        "{\"epochs\": 1, \"layers\": 0}"};
    const uint32_t token[] = {1, 2, 3, 9, 4, 5}, position[] = {0, 1, 2, 0, 0, 1},
                   at[] = {0, 3, 4, 6};
    for (size_t i = 0; i < 2; i++) {
        kua__rec *rec = fitted(&d, given[i]);
        const kua__sequence *s = (const kua__sequence *)rec;
        kua__tape *t = NULL;
        assert_ok(kua__tape_create(NULL, &t));
        kua__tape_set_training(t, false);
        const uint32_t type[6] = {0};
        kua__ragged seq = {3, at};
        kua__sequence_events events = {position, type, seq};
        kua__var *table = kua__input(t, ITEMS, s->options.dim, s->input);
        kua__var *x = kua__gather_rows(t, table, token, 6);
        kua__var *all = kua__last_row(t, kua__sequence_states(t, s, x, &events, false), seq);
        kua__var *ends = kua__sequence_states(t, s, x, &events, true);
        assert_ok(kua__tape_status(t));
        for (size_t k = 0; k < 3 * s->options.dim; k++)
            assert_near(ends->value[k], all->value[k], 1e-5);
        kua__tape_free(t);
        kua__rec_sequence.free(rec);
    }
    close_shop(&d);
}

/* ---- files ---- */

static void a_loaded_model_scores_the_same_bits(void **state)
{
    (void)state;
    for (int text = 0; text < 2; text++) {
        shop d;
        float before[ITEMS], after[ITEMS];
        chain_shop(&d, 40, 7, 1, text);
        kua__rec *rec = fitted(&d, "{\"epochs\": 2}"), *loaded = NULL;
        const char *folder = test_temp_path(text ? "text" : "ids");
        assert_ok(kua__rec_sequence.save(rec, folder));
        assert_ok(kua__rec_sequence.load(folder, &d.world, &loaded));
        scores_of(rec, some, 5, before);
        scores_of(loaded, some, 5, after);
        assert_memory_equal(before, after, sizeof(before));
        assert_true(json_equal(rec->settings, loaded->settings));
        assert_near(fact(loaded, "epochs"), fact(rec, "epochs"), 0);
        kua__rec *moved = NULL; /* and is a source as before */
        assert_ok(
            kua__sequence_fit_from(&d.world, NULL, loaded, KUA__SEQUENCE_FROZEN, NULL, &moved));
        kua__rec_sequence.free(moved);
        kua__rec_sequence.free(rec);
        kua__rec_sequence.free(loaded);
        close_shop(&d);
    }
}

static void change_file(const char *path, const char *key, json_t *value)
{
    json_t *json = NULL;
    assert_ok(kua__json_load(path, &json));
    if (value)
        json_object_set_new(json, key, value);
    else
        json_object_del(json, key);
    assert_ok(kua__json_save(path, json));
    json_decref(json);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 20, 5, 1, true);
    kua__rec *rec = fitted(&d, "{\"epochs\": 1}"), *out = NULL;
    char json[512], tensors[512];
    const char *folder = test_temp_path("damaged");
    snprintf(json, sizeof(json), "%s/model.json", folder);
    snprintf(tensors, sizeof(tensors), "%s/model.safetensors", folder);
    const struct {
        const char *key;
        json_t *value;
        kua_status status;
        const char *message;
    } cases[] = {
        {"format", json_integer(9), KUA_FORMAT, "format is 9"},
        {"items", json_integer(5), KUA_FORMAT, "knows 5 items, the shop has 24"},
        {"items", json_string("x"), KUA_FORMAT, "items"},
        {"settings", NULL, KUA_FORMAT, "settings is missing"},
        {"settings", json_object(), KUA_FORMAT, "setting dim is missing"},
        {"components", json_integer(3), KUA_SHAPE, "whitening.basis"},
        {"components", json_integer(99), KUA_FORMAT, "components"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        assert_ok(kua__rec_sequence.save(rec, folder));
        change_file(json, cases[i].key, cases[i].value);
        assert_fails(kua__rec_sequence.load(folder, &d.world, &out), cases[i].status,
                     cases[i].message);
        assert_null(out);
    }
    assert_ok(kua__rec_sequence.save(rec, folder));
    assert_ok(kua__write_file(tensors, "abc", 3));
    assert_fails(kua__rec_sequence.load(folder, &d.world, &out), KUA_FORMAT, "");
    assert_fails(kua__rec_sequence.load(test_temp_path("nowhere"), &d.world, &out), KUA_IO, "");
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

/* ---- partners ---- */

/* An untrained network is helped by who counts, and the model keeps who helped. */
static void partners_are_weighed(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 60, 6, 1, true);
    float before[ITEMS], after[ITEMS];
    kua__rec *alone = fitted(&d, "{\"epochs\": 0}"), *loaded = NULL, *again = NULL;
    kua__rec *helped = fitted(&d, "{\"epochs\": 0, \"partners\": \"itemknn,popularity\"}");
    const json_t *weights = json_object_get(helped->facts, "partners");
    assert_true(json_number_value(json_object_get(weights, "itemknn")) > 0);
    assert_true(fact(helped, "valid_ndcg@10") > fact(alone, "valid_ndcg@10") + 0.1);
    assert_true(hits(&d, helped) > hits(&d, alone));

    const char *folder = test_temp_path("partners");
    assert_ok(kua__rec_sequence.save(helped, folder));
    assert_ok(kua__rec_sequence.load(folder, &d.world, &loaded));
    scores_of(helped, some, 5, before);
    scores_of(loaded, some, 5, after);
    assert_memory_equal(before, after, sizeof(before));

    json_t *all = settings(
        "{\"epochs\": 0, \"partners\": \"usual\"}"); /* what was chosen is taken as it is */
    json_object_update(all, json_object_get(helped->facts, "chosen"));
    assert_ok(kua__rec_sequence.create(all, &again));
    kua__world blind = d.world;
    blind.valid = blind.train;
    assert_ok(kua__rec_sequence.fit(again, &blind, NULL));
    assert_true(json_equal(json_object_get(json_object_get(again->facts, "partners"), "itemknn"),
                           json_object_get(weights, "itemknn")));
    json_decref(all);
    kua__rec_sequence.free(alone);
    kua__rec_sequence.free(helped);
    kua__rec_sequence.free(loaded);
    kua__rec_sequence.free(again);
    close_shop(&d);
}

static void a_partner_that_is_missing_is_told(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 60, 6, 1, true);
    kua__rec *rec = fitted(&d, "{\"epochs\": 0, \"partners\": \"itemknn\"}"), *out = NULL;
    char json[512];
    const char *folder = test_temp_path("unpartnered");
    snprintf(json, sizeof(json), "%s/model.json", folder);
    assert_ok(kua__rec_sequence.save(rec, folder));
    change_file(json, "partners", json_pack("{s:f}", "ease", 1.0));
    assert_fails(kua__rec_sequence.load(folder, &d.world, &out), KUA_IO, "partner/ease");
    change_file(json, "partners", json_pack("{s:f}", "nobody", 1.0));
    assert_fails(kua__rec_sequence.load(folder, &d.world, &out), KUA_INVALID, "nobody");
    assert_null(out);
    kua__rec_sequence.free(rec);
    close_shop(&d);
}

/* ---- transfer ---- */

static bool same_body(const kua__rec *a, const kua__rec *b)
{
    const kua__sequence *x = (const kua__sequence *)a, *y = (const kua__sequence *)b;
    bool same = true;
    for (size_t i = 0; i < x->params.n; i++) {
        const kua__param *p = x->params.all[i], *q = kua__params_find(&y->params, p->name);
        if (kua__has_prefix(p->name, "ids") || kua__has_prefix(p->name, "domain")) continue;
        assert_non_null(q);
        same &= memcmp(p->value, q->value, p->rows * p->cols * sizeof(float)) == 0;
    }
    return same;
}

static void a_body_moves_to_another_domain(void **state)
{
    (void)state;
    shop source, target;
    chain_shop(&source, 80, 7, 1, true);
    chain_shop(&target, 30, 5, 1, true);
    kua__rec *from = fitted(&source, "{\"items\": \"text\", \"epochs\": 60, \"patience\": 20}"),
             *frozen = NULL, *tuned = NULL;
    json_t *few =
        json_loads("{\"epochs\": 2, \"dim\": 64, \"body_lr\": 0.1, \"items\": \"both\"}", 0, NULL);
    assert_ok(
        kua__sequence_fit_from(&target.world, few, from, KUA__SEQUENCE_FROZEN, NULL, &frozen));
    assert_ok(
        kua__sequence_fit_from(&target.world, few, from, KUA__SEQUENCE_FINETUNE, NULL, &tuned));
    assert_true(same_body(frozen, from));
    assert_false(same_body(tuned, from));
    assert_true(hits(&target, frozen) > 0.8);
    assert_true(hits(&target, tuned) > 0.8);
    kua__rec_sequence.free(from);
    kua__rec_sequence.free(frozen);
    kua__rec_sequence.free(tuned);
    json_decref(few);
    close_shop(&source);
    close_shop(&target);
}

static void vectors_must_fit_the_source(void **state)
{
    (void)state;
    shop source, target;
    chain_shop(&source, 20, 5, 1, true);
    chain_shop(&target, 20, 5, 1, false);
    kua__rec *from = fitted(&source, "{\"epochs\": 1}"), *out = NULL;
    assert_fails(
        kua__sequence_fit_from(&target.world, NULL, from, KUA__SEQUENCE_FROZEN, NULL, &out),
        KUA_INVALID, "have 12 numbers, the target's 0");
    assert_null(out);
    kua__rec_sequence.free(from);
    close_shop(&source);
    close_shop(&target);
}

static void several_domains_train_one_body(void **state)
{
    (void)state;
    shop a, b;
    chain_shop(&a, 240, 7, 1, true);
    chain_shop(&b, 240, 7, 5, true);
    kua__sequence_domain domains[] = {{&a.world.side, &a.world.train, &a.world.valid},
                                      {&b.world.side, &b.world.train, &b.world.valid}};
    json_t *all = settings("{}");
    kua__rec *rec = NULL;
    kua__pretraining what = {.domains = domains, .n = 2, .settings = all, .seed = 5};
    assert_ok(kua__sequence_pretrain(&what, NULL, &rec));
    assert_int_equal(rec->n_items, ITEMS);
    assert_true(hits(&a, rec) > 0.7);
    kua__rec_sequence.free(rec);
    json_decref(all);
    close_shop(&a);
    close_shop(&b);
}

/* ---- limits ---- */

static void settings_are_checked(void **state)
{
    (void)state;
    const struct {
        const char *given, *message;
    } cases[] = {
        {"{\"dim\": 15}", "dim is 15, must be a multiple of heads, 2"},
        {"{\"dropout\": 1.0}", "dropout is 1, must be in 0..0.99"},
        {"{\"items\": \"names\"}", "items is \"names\", must be both, text or ids"},
        {"{\"maxlen\": 1}", "maxlen is 1, must be in 2..4096"},
        {"{\"tau\": 0}", "tau is 0"},
        {"{\"partners\": \"itemknn,nobody\"}", "partners has \"nobody\""},
        {"{\"partners\": \"itemknn,itemknn\"}", "partners has \"itemknn\""},
        {"{\"partners\": \"sequence\"}", "partners has \"sequence\""},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        json_t *all = settings(cases[i].given);
        kua__rec *rec = NULL;
        assert_fails(kua__rec_sequence.create(all, &rec), KUA_INVALID, cases[i].message);
        assert_null(rec);
        json_decref(all);
    }
}

static bool stop_at_once(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage;
    (void)done;
    (void)total;
    ++*(int *)user;
    return false;
}

static void training_can_be_stopped(void **state)
{
    (void)state;
    shop d;
    int calls = 0;
    chain_shop(&d, 80, 7, 1, false);
    json_t *all = settings("{\"epochs\": 1000, \"patience\": 1000}");
    kua__rec *rec = NULL;
    kua_monitor monitor = {.progress = stop_at_once, .user = &calls};
    assert_ok(kua__rec_sequence.create(all, &rec));
    assert_fails(kua__rec_sequence.fit(rec, &d.world, &monitor), KUA_CANCELED, "");
    assert_int_equal(calls, 1);
    kua__rec_sequence.free(rec);
    json_decref(all);
    close_shop(&d);
}

static void score_once(const kua__rec *rec, float *scores)
{
    kua__query q = {.user = KUA__NO_ID, .target = {some, when, NULL, 5}};
    assert_ok(kua__rec_sequence.score(rec, &q, 1, scores));
}

/* Fits with the nth allocation failing, n = 1, 8, 15, ...: each attempt goes on where the last one
 * was stopped. Returns how many were needed. */
static size_t fit_in_pieces(const kua__world *world, const json_t *all, float *scores)
{
    for (long n = 1, attempts = 1;; n += 7, attempts++) {
        kua__rec *rec = NULL;
        assert_ok(kua__rec_sequence.create(all, &rec));
        kua__alloc_fail_after(n);
        kua_status st = kua__rec_sequence.fit(rec, world, NULL);
        kua__alloc_fail_after(0);
        if (!st) score_once(rec, scores);
        kua__rec_sequence.free(rec);
        if (!st) return (size_t)attempts;
        assert_int_equal(st, KUA_NOMEM);
    }
}

static void interrupted_training_goes_on(void **state)
{
    (void)state;
    static const char *const kinds[] = {
        "{\"epochs\": 5, \"patience\": 9}",
        "{\"epochs\": 4, \"averaging\": 0}",
    };
    shop d;
    chain_shop(&d, 30, 5, 1, true);
    for (size_t i = 0; i < 4; i++) {
        float whole[ITEMS], pieces[ITEMS];
        json_t *all = settings(kinds[i / 2]);
        kua__rec *rec = fitted(&d, kinds[i / 2]);
        kua__world world = d.world;
        if (i % 2) world.valid = world.train; /* nothing to validate with */
        if (i % 2) assert_ok((kua__rec_sequence.free(rec), kua__rec_sequence.create(all, &rec)));
        if (i % 2) assert_ok(kua__rec_sequence.fit(rec, &world, NULL));
        score_once(rec, whole);
        world.checkpoint = test_temp_path("training");
        assert_true(fit_in_pieces(&world, all, pieces) > 3);
        assert_memory_equal(whole, pieces, sizeof(whole));
        assert_false(kua__exists(test_temp_path("training")));
        assert_false(kua__exists(test_temp_path("training.best")));
        kua__rec_sequence.free(rec);
        json_decref(all);
    }
    close_shop(&d);
}

/* Leaves a checkpoint: a fit that lacks memory for its last steps. Not every allocation that fails
 * makes it fail: JSON has a reserve. */
static void interrupt(const kua__world *world, const json_t *all)
{
    for (long n = 1; !kua__exists(world->checkpoint); n += 3) {
        kua__rec *rec = NULL;
        assert_ok(kua__rec_sequence.create(all, &rec));
        kua__alloc_fail_after(n);
        (void)kua__rec_sequence.fit(rec, world, NULL);
        kua__alloc_fail_after(0);
        kua__rec_sequence.free(rec);
        assert_true(n < 100000);
    }
}

static void checkpoints_of_others_are_left_out(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 30, 5, 1, true);
    json_t *all = settings("{\"epochs\": 3}"), *other = settings("{\"epochs\": 3, \"lr\": 0.02}");
    kua__rec *rec = fitted(&d, "{\"epochs\": 3}"), *again = NULL;
    float whole[ITEMS], scores[ITEMS];
    score_once(rec, whole);
    kua__world world = d.world;
    world.checkpoint = test_temp_path("training");
    interrupt(&world, other);
    assert_ok(kua__rec_sequence.create(all, &again));
    assert_ok(kua__rec_sequence.fit(again, &world, NULL));
    score_once(again, scores);
    assert_memory_equal(whole, scores, sizeof(whole));
    kua__rec_sequence.free(again);

    interrupt(&world, all);
    assert_ok(kua__write_file(world.checkpoint, "{}", 2)); /* and a broken one is named */
    assert_ok(kua__rec_sequence.create(all, &again));
    assert_fails(kua__rec_sequence.fit(again, &world, NULL), KUA_FORMAT, "remove its file");
    kua__rec_sequence.free(again);
    kua__rec_sequence.free(rec);
    json_decref(all);
    json_decref(other);
    close_shop(&d);
}

static kua_status whole_life(const shop *d, const json_t *all, const char *saved)
{
    kua__rec *rec = NULL, *loaded = NULL, *moved = NULL;
    float scores[ITEMS];
    kua__query q = {.user = KUA__NO_ID, .target = {some, when, NULL, 5}};
    kua_status st = kua__rec_sequence.create(all, &rec);
    if (!st) st = kua__rec_sequence.fit(rec, &d->world, NULL);
    if (!st) st = kua__rec_sequence.score(rec, &q, 1, scores);
    if (!st) st = kua__rec_sequence.load(saved, &d->world, &loaded);
    if (!st)
        st = kua__sequence_fit_from(&d->world, NULL, loaded, KUA__SEQUENCE_FINETUNE, NULL, &moved);
    kua__rec_sequence.free(rec);
    kua__rec_sequence.free(loaded);
    kua__rec_sequence.free(moved);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    shop d;
    chain_shop(&d, 6, 5, 1, true);
    const char *given = /* nothing to choose: every failure repeats all of it */
        "{\"epochs\": 1, \"partners\": \"itemknn\", \"partner_settings\": {\"itemknn\": "
        "{\"shrink\": 0, \"neighbours\": 5, \"decay\": 0.7, \"user_power\": 0}}}";
    json_t *all = settings(given);
    kua__rec *rec = fitted(&d, given);
    const char *saved = test_temp_path("saved"), *again = test_temp_path("again");
    assert_ok(kua__rec_sequence.save(rec, saved));
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__rec_sequence.save(rec, again);
    }
    TEST_EVERY_ALLOCATION(st)
    {
        st = whole_life(&d, all, saved);
    }
    kua__rec_sequence.free(rec);
    json_decref(all);
    close_shop(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_what_comes_next),
        cmocka_unit_test(sampled_softmax_learns_it_too),
        cmocka_unit_test(reads_what_kind_of_event_it_was),
        cmocka_unit_test(works_without_vectors),
        cmocka_unit_test(long_histories_are_cut),
        cmocka_unit_test(repeats_are_weighed),
        cmocka_unit_test(trains_blind_without_validation),
        cmocka_unit_test(an_empty_history_gets_what_is_popular),
        cmocka_unit_test(same_seed_same_bits),
        cmocka_unit_test(ends_are_rows_of_the_whole),
        cmocka_unit_test(a_loaded_model_scores_the_same_bits),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(partners_are_weighed),
        cmocka_unit_test(a_partner_that_is_missing_is_told),
        cmocka_unit_test(a_body_moves_to_another_domain),
        cmocka_unit_test(vectors_must_fit_the_source),
        cmocka_unit_test(several_domains_train_one_body),
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(training_can_be_stopped),
        cmocka_unit_test(interrupted_training_goes_on),
        cmocka_unit_test(checkpoints_of_others_are_left_out),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

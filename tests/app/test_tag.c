/* test_tag.c - BIO files, entities, decoding, and a tagger on a tiny encoder. */
#include "testlib.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/crf.h"
#include "app/tags.h"
#include "kua/classify.h"

static kua_status parse(kua__tagged *t, const char *text)
{
    return kua__tagged_parse(t, "t.txt", text, strlen(text), NULL);
}

static void files_of_units_and_tags(void **state)
{
    (void)state;
    kua__tagged t;
    assert_ok(
        parse(&t, "x B-q\ny I-q\n\n\n\xe5\xb8\xbd B-a\r\n  O\n")); /* the last unit is a space */
    assert_int_equal(t.n, 2);
    assert_int_equal(t.n_units, 4);
    assert_string_equal(t.types.name[0], "a"); /* sorted */
    assert_int_equal(t.tag[0], 3);
    assert_int_equal(t.tag[1], 4);
    assert_int_equal(t.tag[2], 1);
    assert_true(t.characters);
    kua__tagged_release(&t);
    assert_ok(parse(&t, "word O\nword B-x"));
    assert_false(t.characters);
    kua__tagged_release(&t);
}

static void refused(const char *text, const char *part)
{
    kua__tagged t;
    assert_fails(parse(&t, text), KUA_FORMAT, part);
    kua__tagged_release(&t);
}

static void bad_files_are_refused_with_their_line(void **state)
{
    (void)state;
    refused("", "there are no texts");
    refused("x O\ny Q-a\n", "t.txt:2: the tag is 'Q-a', expected O, B-TYPE or I-TYPE");
    refused("x\n", "t.txt:1: expected a unit");
    refused("x B-\n", "t.txt:1: the tag is 'B-'");
    refused("\xff O\n", "t.txt:1: is not UTF-8");
}

static void entities_are_conlls(void **state)
{
    (void)state;
    /* O B-0 I-0 I-1 O I-0 B-0 B-0 */
    const uint32_t tag[] = {0, 1, 2, 4, 0, 2, 1, 1};
    kua__entity e[8];
    assert_int_equal(kua__entities(tag, 8, e), 5);
    assert_int_equal(e[0].first, 1);
    assert_int_equal(e[0].last, 2);
    assert_int_equal(e[1].type, 1);
    assert_int_equal(e[2].first, 5);
    assert_int_equal(e[4].first, 7);
}

static void decoding_never_leaves_an_inside_alone(void **state)
{
    (void)state;
    /* the likeliest tags one by one are O I-0; together B-0 I-0 is better than O O */
    const float log_p[] = {-.5f, -1, -9, -3, -5, -.1f};
    uint32_t out[2];
    assert_ok(kua__tag_decode(log_p, NULL, 2, 3, out));
    assert_int_equal(out[0], 1);
    assert_int_equal(out[1], 2);
}

/* ---- the chain ---- */

enum { TAGS = 3, UNITS = 4 };

/* The loss by listing all 81 ways to tag one text. */
static double listed(const float *e, const float *t, const uint32_t *target)
{
    double sum = 0, truth = 0;
    for (int way = 0; way < 81; way++) {
        double score = 0;
        bool is = true;
        for (int i = 0, rest = way, last = TAGS; i < UNITS; i++, rest /= 3) {
            int k = rest % 3;
            score += t[last * TAGS + k] + e[i * TAGS + k];
            is &= target[i] == (uint32_t)k;
            last = k;
        }
        sum += exp(score);
        if (is) truth = score;
    }
    return (log(sum) - truth) / UNITS;
}

static void the_chain_sums_over_all_ways(void **state)
{
    (void)state;
    float e[UNITS * TAGS], step = 1e-2f;
    const uint32_t target[UNITS] = {0, 1, 2, 2},
                   at[3] = {0, 0, UNITS}; /* the first text is empty */
    kua__params params;
    kua__param *p = NULL;
    kua__tape *t = NULL;
    kua__rng rng = kua__rng_make(5, 5);
    for (size_t i = 0; i < UNITS * TAGS; i++)
        e[i] = kua__rng_normal(&rng);
    kua__params_init(&params);
    assert_ok(kua__params_add(&params, "t", TAGS + 1, TAGS, KUA__INIT_NORMAL, 1, &rng, &p));
    assert_ok(kua__tape_create(NULL, &t));
    kua__var *x = kua__input_with_grad(t, UNITS, TAGS, e);
    kua__var *loss = kua__crf_loss(t, x, kua__use(t, p), (kua__ragged){2, at}, target);
    assert_non_null(loss);
    assert_near(*loss->value, listed(e, p->value, target), 1e-5);
    assert_ok(kua__tape_backward(t, loss));
    for (size_t i = 0; i < UNITS * TAGS; i++) {
        float old = e[i], g = x->grad[i];
        e[i] = old + step;
        double up = listed(e, p->value, target);
        e[i] = old - step;
        assert_near(g, (up - listed(e, p->value, target)) / (2 * step), 1e-4);
        e[i] = old;
    }
    for (size_t i = 0; i < (TAGS + 1) * TAGS; i++) {
        float old = p->value[i];
        p->value[i] = old + step;
        double up = listed(e, p->value, target);
        p->value[i] = old - step;
        assert_near(p->grad[i], (up - listed(e, p->value, target)) / (2 * step), 1e-4);
        p->value[i] = old;
    }
    kua__tape_free(t);
    kua__params_release(&params);
}

static const char *titles(void)
{
    kua__buf buf = {0};
    static const char *const brand[] = {"blue", "green", "bamboo"};
    for (int i = 0; i < 90; i++)
        kua__buf_printf(&buf, "%s\nlarge O\n%s B-brand\nhotel I-brand\n%s\n\n",
                        i % 2 ? "soft O" : "towel B-what", brand[i % 3], i % 5 ? "spa O" : "gym O");
    const char *path = test_temp_file("titles.txt", buf.data, buf.len);
    kua__buf_release(&buf);
    return path;
}

static void a_tagger_learns_and_is_loaded_again(void **state)
{
    (void)state;
    static char model[512];
    const char *ways[] = {"none", "full", "lora"};
    snprintf(model, sizeof(model), "%s", test_data("encoder/data/tiny-gelu"));
    for (size_t i = 0; i < 3; i++) {
        kua_tag_options o = {.train = titles(),
                             .model = model,
                             .tune = ways[i],
                             .out = test_temp_path("tagger"),
                             .settings =
                                 "{\"epochs\": 25, \"batch\": 8, \"lr\": 0.03, "
                                 "\"encoder_lr\": 0.003, \"lora_lr\": 0.01, \"dropout\": 0}"};
        char *report = NULL;
        assert_ok(kua__remove_tree(o.out));
        assert_ok(kua_tag_train(&o, NULL, NULL));
        assert_ok(kua_tag_eval(o.out, o.train, NULL, &report));
        const char *f1 = strstr(report, "\"f1\": ");
        assert_non_null(f1);
        if (i) assert_true(strtod(f1 + 6, NULL) > .9); /* frozen random weights know less */
        kua__free(report);
        kua_text text = {"soft large green hotel spa", 26};
        assert_ok(kua_tag_predict(o.out, &text, 1, NULL, &report));
        if (i) assert_non_null(strstr(report, "\"text\": \"green hotel\""));
        kua__free(report);
        kua_text none = {"", 0};
        assert_ok(kua_tag_predict(o.out, &none, 1, NULL, &report));
        kua__free(report);
        kua_classifier *c = NULL;
        assert_fails(kua_classifier_load(o.out, &c), KUA_INVALID, "is a tagger");
    }
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__tagged t;
        st = parse(&t, "x B-q\ny I-q\n\nz O\n");
        kua__tagged_release(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_of_units_and_tags),
        cmocka_unit_test(bad_files_are_refused_with_their_line),
        cmocka_unit_test(entities_are_conlls),
        cmocka_unit_test(decoding_never_leaves_an_inside_alone),
        cmocka_unit_test(the_chain_sums_over_all_ways),
        cmocka_unit_test(a_tagger_learns_and_is_loaded_again),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

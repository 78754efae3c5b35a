/* test_pretrain.c - pre-training end to end on a tiny model: losses fall, runs repeat and resume
 * bit for bit, what is written opens, and wrong settings are refused.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include <jansson.h>

#include "base/json.h"
#include "encoder/pretrain.h"
#include "kua/encoder.h"
#include "kua/pretrain.h"

enum { TEXTS = 240, ROOM = 64 };

static const char vocab[] =
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nred\nblue\ngreen\nshirt\ntrousers\nhat\n"
    "for\nmen\nwomen\nkids\nof\ncotton\nwool\nsize\nlarge\nsmall\n";
static const char bert[] =
    "{\"model_type\": \"bert\", \"hidden_size\": 16, \"num_hidden_layers\": 2,"
    "\"num_attention_heads\": 2, \"intermediate_size\": 32, \"max_position_embeddings\": 32,"
    "\"type_vocab_size\": 2, \"hidden_act\": \"gelu\", \"layer_norm_eps\": 1e-12}";
static const char gpt[] =
    "{\"model_type\": \"gpt2\", \"n_embd\": 16, \"n_layer\": 2, \"n_head\": 2,"
    "\"n_inner\": 32, \"n_positions\": 32}";
static const char llama[] =
    "{\"model_type\": \"llama\", \"hidden_size\": 16, \"num_hidden_layers\": 1,"
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"intermediate_size\": 24,"
    "\"max_position_embeddings\": 32, \"rms_norm_eps\": 1e-6, \"tie_word_embeddings\": true}";

static char storage[TEXTS][ROOM];
static kua_text texts[TEXTS];
static const char *tokenizer;

static void make_texts(void)
{
    static const char *const colour[] = {"red", "blue", "green"},
                             *const thing[] = {"shirt", "trousers", "hat"},
                             *const who[] = {"men", "women", "kids"},
                             *const of[] = {"cotton", "wool"}, *const size[] = {"large", "small"};
    kua__rng rng = kua__rng_make(1, 1);
    for (size_t i = 0; i < TEXTS; i++) {
        uint32_t c = kua__rng_below(&rng, 3), t = kua__rng_below(&rng, 3);
        snprintf(storage[i], ROOM, "%s %s for %s of %s size %s", colour[c], thing[t],
                 who[(c + t) % 3], of[t % 2], size[kua__rng_below(&rng, 2)]);
        texts[i] = (kua_text){storage[i], strlen(storage[i])};
    }
    test_temp_file("vocab.txt", vocab, strlen(vocab));
    tokenizer = test_temp_dir();
}

static kua_pretrain_options options_of(kua_objective objective, const char *config, const char *out,
                                       const char *settings)
{
    return (kua_pretrain_options){.objective = objective,
                                  .config = config,
                                  .tokenizer = tokenizer,
                                  .out = out,
                                  .settings = settings};
}

static double best_of(const char *report, const char *key, const char *what)
{
    json_t *json = NULL;
    assert_ok(kua__json_parse("report", report, strlen(report), &json));
    const json_t *point = json_object_get(json, what);
    assert_true(json_is_number(json_object_get(point, key)));
    double value = json_number_value(json_object_get(point, key));
    json_decref(json);
    return value;
}

static char *run(const kua_pretrain_options *o, const uint32_t *pair, size_t n_pairs)
{
    char *report = NULL;
    kua_pretrain_texts t = {texts, TEXTS, pair, n_pairs};
    assert_ok(kua_pretrain(&t, o, NULL, &report));
    assert_non_null(report);
    return report;
}

static const char small[] =
    "{\"epochs\": 8, \"batch_tokens\": 128, \"max_tokens\": 16, \"lr\": "
    "0.01, \"held_out\": 0.15, \"evals\": 4, \"dropout\": 0, \"bf16\": false}";

/* ---- objectives ---- */

static void masked_words_are_learnt(void **state)
{
    (void)state;
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    kua_pretrain_options o = options_of(KUA_OBJECTIVE_MLM, config, test_temp_path("mlm"), small);
    char *report = run(&o, NULL, 0);
    assert_true(best_of(report, "loss", "best") < .7 * best_of(report, "loss", "before"));
    assert_true(best_of(report, "accuracy", "best") > .4);
    kua__free(report);
    /* What was written opens for inference and for more training, head included. */
    kua_encoder *e = NULL;
    float row[16];
    assert_ok(kua_encoder_load(o.out, NULL, &e));
    assert_ok(kua_encoder_encode(e, texts, 1, NULL, row, NULL));
    kua_encoder_free(e);
    o = (kua_pretrain_options){.objective = KUA_OBJECTIVE_MLM,
                               .model = o.out,
                               .out = test_temp_path("mlm2"),
                               .settings = small};
    report = run(&o, NULL, 0);
    assert_non_null(strstr(report, "\"head\":\"loaded\""));
    assert_true(best_of(report, "accuracy", "before") > .4);
    kua__free(report);
}

static void next_words_are_learnt(void **state)
{
    (void)state;
    static const char packed[] =
        "{\"epochs\": 8, \"batch_tokens\": 128, \"max_tokens\": 24, \"lr\": 0.01, \"held_out\": "
        "0.15, \"evals\": 4, \"dropout\": 0, \"pack\": true, \"ngram\": 3, \"recompute\": true}";
    const char *configs[] = {test_temp_file("gpt.json", gpt, strlen(gpt)),
                             test_temp_file("llama.json", llama, strlen(llama))};
    for (size_t i = 0; i < 4; i++) {
        kua_pretrain_options o = options_of(KUA_OBJECTIVE_CLM, configs[i / 2],
                                            test_temp_path("clm"), i % 2 ? packed : small);
        char *report = run(&o, NULL, 0);
        assert_true(best_of(report, "perplexity", "best") < 3.5);
        assert_true(best_of(report, "bits_per_character", "best") <
                    .5 * best_of(report, "bits_per_character", "before"));
        if (i % 2) assert_true(best_of(report, "perplexity", "ngram") < 8);
        kua__free(report);
    }
}

static void partners_come_together(void **state)
{
    (void)state;
    /* Partners: texts of one colour and thing. */
    static uint32_t pair[2 * TEXTS * 4];
    size_t n = 0;
    for (uint32_t a = 0; a < TEXTS; a++) {
        for (uint32_t b = a + 1; b < TEXTS && n < TEXTS * 4; b++) {
            size_t same = strcspn(storage[a], "f");
            if (a % 7 == b % 7 && !strncmp(storage[a], storage[b], same) &&
                strcmp(storage[a], storage[b]) != 0) {
                pair[2 * n] = a;
                pair[2 * n++ + 1] = b;
            }
        }
    }
    assert_true(n > 50);
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    for (int twins = 0; twins < 2; twins++) {
        kua_pretrain_options o =
            options_of(KUA_OBJECTIVE_CONTRASTIVE, config, test_temp_path("pairs"),
                       twins ? "{\"epochs\": 2, \"batch_tokens\": 128, "
                               "\"max_tokens\": 16, \"held_out\": 0.15}"
                             : small);
        char *report = run(&o, twins ? NULL : pair, twins ? 0 : n);
        assert_true(best_of(report, "loss", "best") < best_of(report, "loss", "before"));
        kua__free(report);
    }
}

static void adapters_alone_are_trained(void **state)
{
    (void)state;
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    kua_pretrain_options o = options_of(KUA_OBJECTIVE_MLM, config, test_temp_path("first"), small);
    kua__free(run(&o, NULL, 0));
    o = (kua_pretrain_options){
        .objective = KUA_OBJECTIVE_MLM,
        .model = test_temp_path("first"),
        .out = test_temp_path("adapted"),
        .settings =
            "{\"steps\": 10, \"max_tokens\": 16, \"batch_tokens\": 256, \"tune\": \"lora\", "
            "\"rank\": 2, \"targets\": \"all\", \"lr\": 0.01, \"held_out\": 0.15}"};
    char *report = run(&o, NULL, 0);
    assert_true(best_of(report, "loss", "best") <= best_of(report, "loss", "before"));
    kua__free(report);
    kua_encoder *e = NULL;
    assert_ok(kua_encoder_load(o.out, NULL, &e));
    kua_encoder_free(e);
}

/* ---- resuming ---- */

typedef struct stop_after {
    size_t calls, limit;
} stop_after;

static bool stop(void *user, const char *stage, uint64_t done, uint64_t total)
{
    stop_after *s = user;
    (void)total;
    return strcmp(stage, "pretrain") != 0 || done < s->limit;
}

static void assert_same_file(const char *a, const char *b)
{
    kua__map x, y;
    assert_ok(kua__map_open(&x, a));
    assert_ok(kua__map_open(&y, b));
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    kua__map_close(&x);
    kua__map_close(&y);
}

static void interrupted_runs_go_on(void **state)
{
    (void)state;
    static const char settings[] = "{\"steps\": 30, \"batch_tokens\": 64, \"accumulate\": 2, "
                                   "\"max_tokens\": 16, \"lr\": 0.01, "
                                   "\"held_out\": 0.1, \"evals\": 6, \"dropout\": 0.2}";
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    kua_pretrain_texts t = {texts, TEXTS, NULL, 0};
    char whole[600], parts[600];
    snprintf(whole, sizeof(whole), "%s", test_temp_path("whole"));
    snprintf(parts, sizeof(parts), "%s", test_temp_path("parts"));
    kua_pretrain_options o = options_of(KUA_OBJECTIVE_MLM, config, whole, settings);
    char *report = run(&o, NULL, 0);
    o.out = parts;
    size_t limits[] = {7, 13, 21, 1000};
    for (size_t i = 0; i < KUA__COUNT(limits); i++) {
        stop_after s = {.limit = limits[i]};
        kua_monitor monitor = {.progress = stop, .user = &s};
        /* Calls come ten times a second at most: a slow machine may stop later, never earlier. */
        kua_status st = kua_pretrain(&t, &o, &monitor, NULL);
        assert_true(st == KUA_OK || st == KUA_CANCELED);
    }
    char a[700], b[700];
    snprintf(a, sizeof(a), "%s/model.safetensors", whole);
    snprintf(b, sizeof(b), "%s/model.safetensors", parts);
    assert_same_file(a, b);
    snprintf(b, sizeof(b), "%s/checkpoint.safetensors", parts);
    assert_false(kua__exists(b));
    kua__free(report);
}

/* A run stopped exactly where told, by its own functions: the monitor above may never be asked in a
 * run as short as this. */
static void a_checkpoint_holds_everything(void **state)
{
    (void)state;
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    kua_pretrain_texts t = {texts, TEXTS, NULL, 0};
    kua__pretrain_settings s;
    kua_tokenizer *tok = NULL;
    kua__corpus corpus;
    kua__pretraining r[2];
    json_t *json = json_pack("{s:i,s:i,s:i,s:f,s:f}", "steps", 12, "batch_tokens", 64, "max_tokens",
                             16, "held_out", .1, "dropout", .1);
    assert_ok(kua__pretrain_settings_read(json, true, &s));
    json_decref(json);
    assert_ok(kua_tokenizer_load(tokenizer, &tok));
    assert_ok(kua__corpus_build(&t, tok, KUA_OBJECTIVE_MLM, &s, NULL, &corpus));
    for (int i = 0; i < 2; i++) {
        kua__rng rng = kua__rng_make(1, 1);
        kua__model_config c;
        json_t *text = NULL;
        assert_ok(kua__json_load(config, &text));
        json_object_set_new(text, "vocab_size", json_integer(21));
        char *dump = kua__json_dumps(text, 0);
        assert_ok(kua__config_parse("c", dump, strlen(dump), &c));
        kua__free(dump);
        json_decref(text);
        r[i] = (kua__pretraining){.objective = KUA_OBJECTIVE_MLM,
                                  .settings = &s,
                                  .corpus = &corpus,
                                  .checkpoint = test_temp_path("one.safetensors")};
        kua__params_init(&r[i].params);
        assert_ok(kua__tape_model_create(&r[i].model, &r[i].params, &c, KUA__TAPE_HEAD, &rng));
        assert_ok(kua__tuning_begin(&r[i].tuning, &s.plan, &r[i].model, &r[i].params, &rng));
        assert_ok(kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 18}, &r[i].tape));
    }
    assert_ok(kua__pretrain_train(&r[0]));
    assert_ok(kua__pretrain_identify(&r[1]));
    assert_true(r[0].step == 12 && r[0].total == 12);
    assert_ok(kua__pretrain_save(&r[0]));
    bool found;
    snprintf(r[1].identity, sizeof(r[1].identity), "%s", r[0].identity);
    assert_ok(kua__pretrain_restore(&r[1], &found));
    assert_true(found && r[1].step == 12 && r[1].cursor == r[0].cursor);
    assert_true(r[1].best_loss == r[0].best_loss && json_equal(r[1].curve, r[0].curve));
    for (size_t i = 0; i < r[0].params.n; i++) {
        const kua__param *a = r[0].params.all[i], *b = r[1].params.all[i];
        assert_memory_equal(a->value, b->value, a->rows * a->cols * sizeof(float));
        assert_memory_equal(a->m, b->m, a->rows * a->cols * sizeof(float));
    }
    snprintf(r[1].identity, sizeof(r[1].identity), "another run");
    assert_ok(kua__pretrain_restore(&r[1], &found));
    assert_false(found);
    for (int i = 0; i < 2; i++) {
        kua__tape_free(r[i].tape);
        kua__tuning_release(&r[i].tuning);
        kua__tape_model_release(&r[i].model);
        kua__params_release(&r[i].params);
        kua__words_batch_release(&r[i].batch);
        kua__free(r[i].order);
        kua__free(r[i].held);
        json_decref(r[i].curve);
        json_decref(r[i].before);
        json_decref(r[i].best);
    }
    kua__corpus_release(&corpus);
    kua_tokenizer_free(tok);
}

/* ---- the corpus ---- */

static void corpus_of(kua_objective objective, const char *settings, kua__corpus *out)
{
    kua_pretrain_texts t = {texts, TEXTS, NULL, 0};
    kua__pretrain_settings s;
    kua_tokenizer *tok = NULL;
    json_t *json = NULL;
    assert_ok(kua__json_parse("settings", settings, strlen(settings), &json));
    assert_ok(kua__pretrain_settings_read(json, true, &s));
    json_decref(json);
    assert_ok(kua_tokenizer_load(tokenizer, &tok));
    assert_ok(kua__corpus_build(&t, tok, objective, &s, NULL, out));
    kua_tokenizer_free(tok);
}

static bool same_piece(const kua__corpus *c, size_t a, size_t b)
{
    size_t n = c->at[a + 1] - c->at[a];
    return c->at[b + 1] - c->at[b] == n &&
           memcmp(c->id + c->at[a], c->id + c->at[b], n * sizeof(*c->id)) == 0;
}

static void equal_texts_are_on_one_side(void **state)
{
    (void)state;
    kua__corpus c;
    corpus_of(KUA_OBJECTIVE_MLM, "{\"held_out\": 0.3, \"max_tokens\": 16}", &c);
    assert_true(c.n_train > 50 && c.n_held > 20 && c.n_train + c.n_held == TEXTS);
    for (size_t a = 0; a < c.n_train; a++)
        for (size_t b = c.n_train; b < c.n; b++)
            assert_false(same_piece(&c, a, b));
    kua__corpus_release(&c);
}

/* Every token but the first of a text is asked once, whatever the windows. */
static void windows_ask_every_token_once(void **state)
{
    (void)state;
    size_t expected = 0;
    for (size_t window = 4; window <= 16; window += 6) {
        for (int pack = 0; pack < 2; pack++) {
            char settings[128];
            kua__corpus c;
            snprintf(settings, sizeof(settings),
                     "{\"held_out\": 0, \"max_tokens\": %zu, \"pack\": %s}", window,
                     pack ? "true" : "false");
            corpus_of(KUA_OBJECTIVE_CLM, settings, &c);
            size_t asked = 0;
            for (size_t i = 0; i < c.n; i++) {
                size_t n = c.at[i + 1] - c.at[i];
                assert_true(n >= 2 && n <= window + 1);
                asked += n - 1;
            }
            if (!expected) expected = asked;
            assert_int_equal(asked, expected);
            kua__corpus_release(&c);
        }
    }
    assert_int_equal(expected, TEXTS * 9); /* eight words and the end */
}

static void masks_are_drawn_as_told(void **state)
{
    (void)state;
    kua__corpus c;
    kua__words_batch b;
    kua__pretrain_settings s;
    corpus_of(KUA_OBJECTIVE_MLM, "{\"held_out\": 0, \"max_tokens\": 16}", &c);
    assert_ok(kua__pretrain_settings_read(NULL, true, &s));
    s.batch_tokens = 4096;
    assert_ok(kua__words_batch_init(&b, s.batch_tokens, c.longest));
    uint32_t order[TEXTS];
    size_t hidden = 0, same = 0, asked = 0, all = 0;
    for (uint32_t i = 0; i < TEXTS; i++)
        order[i] = i;
    for (uint64_t epoch = 0; epoch < 40; epoch++) {
        size_t end = kua__words_batch_fill(&b, &c, KUA_OBJECTIVE_MLM, &s, order, 0, TEXTS, epoch);
        assert_int_equal(end, TEXTS);
        for (size_t i = 0; i < b.n_rows; i++) {
            assert_true(b.word[i] > 4); /* never a special token */
            hidden += b.id[b.row[i]] == c.mask;
            same += b.id[b.row[i]] == b.word[i];
        }
        asked += b.n_rows;
        all += 8 * TEXTS;
    }
    assert_near((double)asked / (double)all, .15, .01);
    assert_near((double)hidden / (double)asked, .8 + .1 / 21, .02);
    assert_near((double)same / (double)asked, .1 + .1 / 21, .02);
    kua__words_batch_release(&b);
    kua__corpus_release(&c);
}

/* ---- wrong input ---- */

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    const struct {
        kua_objective objective;
        const char *settings, *message;
    } cases[] = {
        {KUA_OBJECTIVE_MLM, "{\"epoch\": 3}", "'epoch' is unknown"},
        {KUA_OBJECTIVE_MLM, "{\"epochs\": 0}", "epochs is 0"},
        {KUA_OBJECTIVE_MLM, "{\"mask\": 1}", "mask"},
        {KUA_OBJECTIVE_MLM, "{\"tune\": \"head\"}", "expected full, lora or gradual"},
        {KUA_OBJECTIVE_MLM, "{\"max_tokens\": 64}", "the model's longest text has 32"},
        {KUA_OBJECTIVE_CLM, "{\"max_tokens\": 16}", "sees both sides: use mlm"},
        {KUA_OBJECTIVE_MLM, "{\"targets\": \"none\"}", "known are attention"},
    };
    kua_pretrain_texts t = {texts, TEXTS, NULL, 0};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        kua_pretrain_options o =
            options_of(cases[i].objective, config, test_temp_path("wrong"), cases[i].settings);
        assert_fails(kua_pretrain(&t, &o, NULL, NULL), KUA_INVALID, cases[i].message);
    }
    kua_pretrain_options o = options_of(KUA_OBJECTIVE_MLM, NULL, test_temp_path("wrong"), NULL);
    assert_fails(kua_pretrain(&t, &o, NULL, NULL), KUA_INVALID, "neither");
    o = options_of(KUA_OBJECTIVE_MLM, config, test_temp_path("wrong"), "{\"max_tokens\": 16}");
    kua_text empty = {"", 0};
    t = (kua_pretrain_texts){&empty, 1, NULL, 0};
    assert_fails(kua_pretrain(&t, &o, NULL, NULL), KUA_INVALID, "none of 1 texts");
    const char *nothing = test_temp_file("nothing.txt", "", 0);
    assert_fails(kua_pretrain_file(nothing, &o, NULL, NULL), KUA_INVALID, "no text in it");
}

static void files_are_read_line_by_line(void **state)
{
    (void)state;
    static char lines[TEXTS * ROOM];
    size_t n = 0;
    for (size_t i = 0; i < TEXTS; i++)
        n += (size_t)snprintf(lines + n, sizeof(lines) - n, "%s\r\n", storage[i]);
    const char *file = test_temp_file("lines.txt", lines, n);
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    kua_pretrain_options o = options_of(KUA_OBJECTIVE_MLM, config, test_temp_path("lines"), small);
    char *a = run(&o, NULL, 0), *b = NULL;
    assert_ok(kua_pretrain_file(file, &o, NULL, &b));
    assert_true(best_of(a, "loss", "best") == best_of(b, "loss", "best")); /* and same bits */
    kua__free(a);
    kua__free(b);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    const char *config = test_temp_file("bert.json", bert, strlen(bert));
    kua_pretrain_texts t = {texts, 12, NULL, 0};
    kua_pretrain_options o =
        options_of(KUA_OBJECTIVE_MLM, config, test_temp_path("memory"),
                   "{\"steps\": 1, \"evals\": 1, \"max_tokens\": 16, \"batch_tokens\": 32, "
                   "\"held_out\": 0.3}");
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        char *report = NULL;
        st = kua_pretrain(&t, &o, NULL, &report);
        kua__free(report);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masked_words_are_learnt),
        cmocka_unit_test(next_words_are_learnt),
        cmocka_unit_test(partners_come_together),
        cmocka_unit_test(adapters_alone_are_trained),
        cmocka_unit_test(interrupted_runs_go_on),
        cmocka_unit_test(a_checkpoint_holds_everything),
        cmocka_unit_test(equal_texts_are_on_one_side),
        cmocka_unit_test(windows_ask_every_token_once),
        cmocka_unit_test(masks_are_drawn_as_told),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(files_are_read_line_by_line),
        cmocka_unit_test(every_allocation_fails_once),
    };
    make_texts();
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_train.c - vocabularies learnt from texts.
 *
 * Method: a corpus small enough to count by hand for the merges and their order; files that load
 * again and give back what they were learnt from; the same bytes twice; little memory.
 */
#include "testlib.h"

#include <string.h>

#include "base/json.h"
#include "kua/tokenizer.h"
#include "text/train.h"

static const kua_text corpus[] = {{"low low low low low", 19},
                                  {"lower lower", 11},
                                  {"newest newest newest newest newest newest", 41},
                                  {"widest widest widest", 20},
                                  {"\xe4\xb8\xad\xe6\x96\x87 \xe4\xb8\xad\xe6\x96\x87", 13}};

static kua_tokenizer *trained(const kua_tokenizer_training *options, const char *folder,
                              kua_tokenizer_trained *report)
{
    kua_tokenizer *tokenizer = NULL;
    const char *path = test_temp_path(folder);
    assert_ok(kua_tokenizer_train(corpus, KUA__COUNT(corpus), options, path, report));
    assert_ok(kua_tokenizer_load(path, &tokenizer));
    return tokenizer;
}

static void bpe_merges_the_most_frequent_pairs(void **state)
{
    (void)state;
    kua_tokenizer_trained report;
    kua_tokenizer *tokenizer = trained(
        &(kua_tokenizer_training){.kind = KUA_TOKENIZER_BPE, .vocab_size = 265}, "bpe", &report);
    /* e s, es t: 9 each; then l o and lo w: 7; ties by the smaller ids, as tokenizers has them */
    assert_int_equal(report.vocab_size, 265);
    assert_int_equal(report.merges, 8);
    assert_string_equal(kua_tokenizer_piece(tokenizer, 0), "<|endoftext|>");
    assert_string_equal(kua_tokenizer_piece(tokenizer, 257), "es");
    assert_string_equal(kua_tokenizer_piece(tokenizer, 258), "est");
    kua_ids ids = {0};
    kua_text_buffer text = {0};
    assert_ok(kua_tokenizer_encode(tokenizer, "newest \xe4\xb8\xad<|endoftext|>", 23, 0, &ids));
    assert_ok(kua_tokenizer_decode(tokenizer, ids.id, ids.n, false, &text));
    assert_string_equal(text.data, "newest \xe4\xb8\xad<|endoftext|>");
    kua_text_buffer_release(&text);
    kua_ids_release(&ids);
    kua_tokenizer_free(tokenizer);
}

static void wordpiece_learns_words(void **state)
{
    (void)state;
    kua_tokenizer_trained report;
    kua_tokenizer_training options = {
        .kind = KUA_TOKENIZER_WORDPIECE, .vocab_size = 60, .alphabet_limit = 20};
    kua_tokenizer *json = trained(&options, "wp", &report), *txt = NULL;
    assert_ok(kua_tokenizer_load(test_temp_path("wp/vocab.txt"), &txt));
    kua_ids one = {0}, other = {0};
    assert_ok(kua_tokenizer_encode(json, "Newest low, \xe4\xb8\xad", 15, 0, &one));
    assert_ok(kua_tokenizer_encode(txt, "Newest low, \xe4\xb8\xad", 15, 0, &other));
    assert_int_equal(one.n, 6); /* [CLS] newest low [UNK] 中 [SEP] */
    assert_int_equal(other.n, one.n);
    assert_memory_equal(one.id, other.id, one.n * sizeof(uint32_t));
    assert_string_equal(kua_tokenizer_piece(json, one.id[1]), "newest");
    assert_int_equal(one.id[3], kua_tokenizer_describe(json).unk);
    kua_ids_release(&one);
    kua_ids_release(&other);
    kua_tokenizer_free(json);
    kua_tokenizer_free(txt);
}

static void the_same_texts_give_the_same_files(void **state)
{
    (void)state;
    kua__map first, second;
    kua_tokenizer_training options = {
        .kind = KUA_TOKENIZER_BPE, .vocab_size = 270, .min_frequency = 1};
    kua_tokenizer_free(trained(&options, "one", NULL));
    kua_tokenizer_free(trained(&options, "two", NULL));
    assert_ok(kua__map_open(&first, test_temp_path("one/tokenizer.json")));
    assert_ok(kua__map_open(&second, test_temp_path("two/tokenizer.json")));
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    kua__map_close(&first);
    kua__map_close(&second);
}

/* With room for four words the rare ones go, and are counted. */
static void rare_words_make_room(void **state)
{
    (void)state;
    kua_tokenizer_trained report;
    kua_tokenizer_training options = {.kind = KUA_TOKENIZER_BPE, .vocab_size = 260, .max_words = 4};
    kua_tokenizer_free(trained(&options, "few", &report));
    assert_in_range(report.words, 1, 4);
    assert_true(report.forgotten > 0);
}

static void nothing_to_learn_from_is_no_error(void **state)
{
    (void)state;
    kua_tokenizer *tokenizer = NULL;
    kua_tokenizer_trained report;
    const kua_text broken[] = {{NULL, 0}, {"\xff\0\xc3", 3}};
    assert_ok(kua_tokenizer_train(broken, 2, &(kua_tokenizer_training){.kind = KUA_TOKENIZER_BPE},
                                  test_temp_path("none"), &report));
    assert_int_equal(report.vocab_size, 257);
    assert_ok(kua_tokenizer_train(NULL, 0, &(kua_tokenizer_training){0}, test_temp_path("none"),
                                  &report));
    assert_int_equal(report.vocab_size, 5);
    assert_ok(kua_tokenizer_load(test_temp_path("none"), &tokenizer));
    kua_tokenizer_free(tokenizer);
}

static void options_that_fit_nothing_are_refused(void **state)
{
    (void)state;
    const char *folder = test_temp_path("bad");
    const struct {
        kua_tokenizer_training options;
        const char *message;
    } bad[] = {
        {{.kind = KUA_TOKENIZER_UNIGRAM}, "the kind is \"unigram\""},
        {{.kind = KUA_TOKENIZER_BPE, .vocab_size = 100},
         "vocab_size is 100, and special tokens and alphabet are 257"},
        {{.kind = KUA_TOKENIZER_BPE, .vocab_size = 1 << 20}, "vocab_size is 1048576"},
        {{.kind = KUA_TOKENIZER_BPE, .max_words = 1}, "max_words 1"},
        {{.kind = KUA_TOKENIZER_BPE, .special = (const char *[]){""}, .n_special = 1},
         "special token 0 is \"\""},
        {{.kind = KUA_TOKENIZER_BPE, .special = (const char *[]){"a", "a"}, .n_special = 2},
         "special token 1 is \"a\", as token 0 is"},
        {{.special = (const char *[]){"[CLS]"}, .n_special = 1}, "no special token is \"[UNK]\""},
    };
    for (size_t i = 0; i < KUA__COUNT(bad); i++) {
        assert_fails(kua_tokenizer_train(corpus, KUA__COUNT(corpus), &bad[i].options, folder, NULL),
                     KUA_INVALID, bad[i].message);
    }
    assert_false(kua__exists(folder));
}

static bool cancel(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user, (void)stage, (void)done, (void)total;
    return false;
}

static void a_monitor_may_cancel(void **state)
{
    (void)state;
    kua_monitor monitor = {.progress = cancel};
    kua_tokenizer_training options = {.kind = KUA_TOKENIZER_BPE, .monitor = &monitor};
    assert_fails(
        kua_tokenizer_train(corpus, KUA__COUNT(corpus), &options, test_temp_path("stop"), NULL),
        KUA_CANCELED, "");
    assert_false(kua__exists(test_temp_path("stop")));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_tokenizer_training all = {.vocab_size = 280, .alphabet_limit = 30, .min_frequency = 1};
    for (int kind = 0; kind < 2; kind++) {
        kua_tokenizer_training options = all;
        options.kind = kind ? KUA_TOKENIZER_BPE : KUA_TOKENIZER_WORDPIECE;
        options.special = (const char *[]){"[UNK]"};
        options.n_special = 1;
        options.max_words = 4;
        kua_status st;
        TEST_EVERY_ALLOCATION(st)
        {
            kua__word_counts counts;
            kua__learning learning;
            st = kua__count_words(corpus, KUA__COUNT(corpus), &options, &counts);
            if (st) continue;
            st = kua__learn(&counts, &options, &learning);
            if (!st) kua__learning_release(&learning);
            kua__word_counts_release(&counts);
        }
    }
}

static void every_allocation_of_writing_may_fail(void **state)
{
    (void)state;
    kua_tokenizer_training options = {.kind = KUA_TOKENIZER_WORDPIECE,
                                      .vocab_size = 40,
                                      .alphabet_limit = 30,
                                      .special = (const char *[]){"[UNK]", "[CLS]", "[SEP]"},
                                      .n_special = 3,
                                      .max_words = 100,
                                      .min_frequency = 2};
    kua__word_counts counts;
    kua__learning learning;
    assert_ok(kua__count_words(corpus, KUA__COUNT(corpus), &options, &counts));
    assert_ok(kua__learn(&counts, &options, &learning));
    kua_status st;
    const char *folder = test_temp_path("written");
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__write_learnt(&learning, &options, folder);
    }
    kua__learning_release(&learning);
    kua__word_counts_release(&counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bpe_merges_the_most_frequent_pairs),
        cmocka_unit_test(wordpiece_learns_words),
        cmocka_unit_test(the_same_texts_give_the_same_files),
        cmocka_unit_test(rare_words_make_room),
        cmocka_unit_test(nothing_to_learn_from_is_no_error),
        cmocka_unit_test(options_that_fit_nothing_are_refused),
        cmocka_unit_test(a_monitor_may_cancel),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_allocation_of_writing_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

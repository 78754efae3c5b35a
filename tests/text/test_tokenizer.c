/* test_tokenizer.c - encoding: limits, special tokens, batches, broken bytes, long texts, running
 * out of memory.
 *
 * Method: a vocabulary of 14 pieces whose ids have names, so that expectations are readable. What
 * the reference gives is checked in test_parity.c.
 */
#include "testlib.h"

#include <string.h>

#include "kua/tokenizer.h"
#include "tiny.h"

static kua_tokenizer *tiny;

static int setup(void **state)
{
    test_no_leaks_begin(state);
    return tiny_load(NULL, &tiny) ? -1 : 0;
}

static int teardown(void **state)
{
    kua_tokenizer_free(tiny);
    return test_no_leaks_end(state);
}

#define assert_ids(text, limit, ...)                                                               \
    check_ids((text), strlen(text), (limit), (const uint32_t[]){__VA_ARGS__},                      \
              sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t), __LINE__)

static void check_ids(const char *text, size_t n, size_t limit, const uint32_t *expected,
                      size_t n_expected, int line)
{
    kua_ids ids = {0};
    assert_ok(kua_tokenizer_encode(tiny, text, n, limit, &ids));
    bool same =
        ids.n == n_expected && memcmp(ids.id, expected, n_expected * sizeof(*expected)) == 0;
    for (size_t i = 0; !same && i < ids.n; i++)
        print_message("got %s\n", kua_tokenizer_piece(tiny, ids.id[i]));
    kua_ids_release(&ids);
    if (!same) fail_msg("line %d: ids of \"%s\" differ", line, text);
}

static void words_become_their_longest_pieces(void **state)
{
    (void)state;
    assert_ids("unaffable", 0, CLS, UN, _AFF, _ABLE, SEP);
    assert_ids("UN aff,able", 0, CLS, UN, AFF, COMMA, ABLE, SEP);
    assert_ids("", 0, CLS, SEP);
    assert_ids(" \t\n ", 0, CLS, SEP);
}

static void one_missing_piece_makes_the_word_unknown(void **state)
{
    (void)state;
    assert_ids("unaffx", 0, CLS, UNK, SEP);
    assert_ids("x un", 0, CLS, UNK, UN, SEP);
    assert_ids("ununaffx,", 3, CLS, UNK, SEP); /* also where the limit is reached inside the word */
}

static void chinese_characters_and_accents_are_handled(void **state)
{
    (void)state;
    assert_ids("un\xe4\xb8\xad\xe4\xb8\xad", 0, CLS, UN, ZHONG, ZHONG, SEP);
    assert_ids("\xc3\x84", 0, CLS, A, SEP);
    assert_ids("a\xcc\x81\xcc\x81", 0, CLS, A, SEP);
}

static void special_tokens_in_the_text_are_recognised(void **state)
{
    (void)state;
    assert_ids("un[MASK]able", 0, CLS, UN, MASK, ABLE, SEP);
    assert_ids("[MASK", 0, CLS, UNK, UNK, SEP);
    assert_ids("[[SEP]", 0, CLS, UNK, SEP, SEP);
}

static void the_limit_counts_special_tokens(void **state)
{
    (void)state;
    assert_ids("un able aff", 4, CLS, UN, ABLE, SEP);
    assert_ids("un able aff", 5, CLS, UN, ABLE, AFF, SEP);
    assert_ids("un able aff", 100, CLS, UN, ABLE, AFF, SEP);
    assert_ids("un able aff", 2, CLS, SEP);
    assert_ids("un[MASK][MASK][MASK]", 4, CLS, UN, MASK, SEP);
    kua_ids ids = {0};
    assert_fails(kua_tokenizer_encode(tiny, "un", 2, 1, &ids), KUA_INVALID,
                 "the limit is 1 ids, and 2 of them");
    assert_int_equal(ids.n, 0);
}

static void broken_bytes_vanish_like_control_characters(void **state)
{
    (void)state;
    assert_ids("u\xffn", 0, CLS, UN, SEP);
    assert_ids("un\xe4\xb8", 0, CLS, UN, SEP);
    assert_ids("\xe4\xb8\xad\xed\xa0\x80", 0, CLS, ZHONG, SEP);
    const uint32_t expected[] = {CLS, UN, SEP};
    check_ids("u\0n\0", 4, 0, expected, 3, __LINE__);
}

static void a_long_word_is_unknown(void **state)
{
    (void)state;
    char word[202];
    memset(word, 'a', sizeof(word));
    kua_ids ids = {0};
    assert_ok(kua_tokenizer_encode(tiny, word, 100, 0, &ids));
    assert_int_equal(ids.n, 102);
    assert_ok(kua_tokenizer_encode(tiny, word, 101, 0, &ids));
    assert_int_equal(ids.n, 3);
    assert_int_equal(ids.id[1], UNK);
    for (size_t i = 0; i < 101; i++)
        memcpy(word + 2 * i, "\xc3\x84", 2);
    assert_ok(kua_tokenizer_encode(tiny, word, 200, 0, &ids));
    assert_int_equal(ids.n, 102);
    assert_ok(kua_tokenizer_encode(tiny, word, 202, 0, &ids));
    assert_int_equal(ids.n, 3);
    kua_ids_release(&ids);
}

/* Seconds for n bytes made of `unit` again and again. */
static double time_text(const char *unit, size_t n, kua_ids *ids)
{
    char *text = kua__malloc(n);
    assert_non_null(text);
    size_t length = strlen(unit);
    for (size_t i = 0; i < n; i++)
        text[i] = unit[i % length];
    assert_ok(kua_tokenizer_encode(tiny, text, n, 0, ids)); /* so that the buffer has its size */
    double start = kua__seconds();
    assert_ok(kua_tokenizer_encode(tiny, text, n, 0, ids));
    double seconds = kua__seconds() - start;
    kua__free(text);
    return seconds;
}

static void a_text_of_a_megabyte_takes_linear_time(void **state)
{
    (void)state;
    static const char *const units[] = {"a",
                                        "\xcc\x81",
                                        "[",
                                        "[MASK]",
                                        "\xe3\x80\xae\xf0\x9d\x85\xa5",
                                        "\xff",
                                        " ",
                                        ",",
                                        "unaffable ",
                                        "\xed\x95\x9c",
                                        "\xe4\xb8\xad",
                                        "[MAS",
                                        "a\xcc\x81"};
    kua_ids ids = {0};
    for (size_t i = 0; i < KUA__COUNT(units); i++) {
        double small = time_text(units[i], 1 << 16, &ids),
               large = time_text(units[i], 1 << 20, &ids);
        if (large > 16 * small * 8 + 0.05)
            fail_msg("\"%s\": 64 KB took %g s, 1 MB %g s", units[i], small, large);
    }
    kua_ids_release(&ids);
}

static void a_batch_equals_its_texts(void **state)
{
    (void)state;
    enum { N = 1000 };
    static kua_text texts[N];
    static const char *const words[] = {"unaffable",       "",       "un, un, able", "x",
                                        "\xe4\xb8\xad un", "[MASK]", "aaaaaaaaaaa"};
    for (size_t i = 0; i < N; i++) {
        const char *word = words[(i * i + i / 7) % KUA__COUNT(words)];
        texts[i] = (kua_text){*word ? word : NULL, strlen(word)};
    }
    kua_id_batch batch = {0};
    kua_ids ids = {0};
    for (size_t limit = 0; limit < 8; limit += 4) {
        assert_ok(kua_tokenizer_encode_batch(tiny, texts, N, limit, &batch));
        assert_int_equal(batch.n, N);
        assert_int_equal(batch.offset[N], batch.ids.n);
        for (size_t i = 0; i < N; i++) {
            assert_ok(kua_tokenizer_encode(tiny, texts[i].data, texts[i].n, limit, &ids));
            assert_int_equal(batch.offset[i + 1] - batch.offset[i], ids.n);
            assert_memory_equal(batch.ids.id + batch.offset[i], ids.id, ids.n * sizeof(*ids.id));
        }
    }
    assert_ok(kua_tokenizer_encode_batch(tiny, NULL, 0, 0, &batch));
    assert_int_equal(batch.offset[0], 0);
    assert_fails(kua_tokenizer_encode_batch(tiny, texts, N, 1, &batch), KUA_INVALID, "limit");
    kua_id_batch_release(&batch);
    kua_ids_release(&ids);
}

static void repeated_use_allocates_nothing(void **state)
{
    (void)state;
    kua_ids ids = {0};
    kua_id_batch batch = {0};
    kua_text texts[] = {{"unaffable, un", 13}, {"[MASK] aff", 10}};
    assert_ok(kua_tokenizer_encode(tiny, texts[0].data, texts[0].n, 0, &ids));
    assert_ok(kua_tokenizer_encode_batch(tiny, texts, 2, 0, &batch));
    kua__alloc_fail_after(1);
    kua_status one = kua_tokenizer_encode(tiny, texts[1].data, texts[1].n, 0, &ids);
    kua_status many = kua_tokenizer_encode_batch(tiny, texts, 2, 0, &batch);
    kua__alloc_fail_after(0);
    assert_ok(one);
    assert_ok(many);
    kua_id_batch_release(&batch);
    kua_ids_release(&ids);
}

static void pieces_and_ids_are_found(void **state)
{
    (void)state;
    kua_tokenizer_info info = kua_tokenizer_describe(tiny);
    assert_int_equal(info.vocab_size, TINY_SIZE);
    assert_int_equal(info.pad, PAD);
    assert_int_equal(info.unk, UNK);
    assert_int_equal(info.cls, CLS);
    assert_int_equal(info.sep, SEP);
    assert_int_equal(info.mask, MASK);
    assert_int_equal(info.special_per_text, 2);
    assert_true(info.lowercase);
    assert_string_equal(kua_tokenizer_piece(tiny, _AFF), "##aff");
    assert_null(kua_tokenizer_piece(tiny, TINY_SIZE));
    assert_null(kua_tokenizer_piece(tiny, UINT32_MAX));
    assert_int_equal(kua_tokenizer_find(tiny, "##able", 6), _ABLE);
    assert_int_equal(kua_tokenizer_find(tiny, "##abl", 5), KUA_TOKEN_NONE);
    assert_int_equal(kua_tokenizer_find(tiny, "", 0), KUA_TOKEN_NONE);
}

static void options_of_the_config_are_followed(void **state)
{
    (void)state;
    kua_tokenizer *cased = NULL;
    kua_ids ids = {0};
    assert_ok(tiny_load("{\"do_lower_case\": false, \"tokenize_chinese_chars\": false}", &cased));
    assert_false(kua_tokenizer_describe(cased).lowercase);
    assert_ok(kua_tokenizer_encode(cased, "UN un a\xe4\xb8\xad", 10, 0, &ids));
    assert_int_equal(ids.n, 5);
    assert_int_equal(ids.id[1], UNK);
    assert_int_equal(ids.id[2], UN);
    assert_int_equal(ids.id[3], UNK);
    kua_ids_release(&ids);
    kua_tokenizer_free(cased);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const kua_text texts[] = {{"unaffable", 9}, {"aff", 3}};
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua_tokenizer *tokenizer = NULL;
        kua_ids ids = {0};
        kua_id_batch batch = {0};
        st = tiny_load("{\"unk_token\": {\"content\": \"[UNK]\"}}", &tokenizer);
        if (!st) st = kua_tokenizer_encode(tokenizer, "unaffable", 9, 0, &ids);
        if (!st) st = kua_tokenizer_encode_batch(tokenizer, texts, 2, 0, &batch);
        assert_true(!st || ids.n == 0 || batch.n == 0);
        kua_id_batch_release(&batch);
        kua_ids_release(&ids);
        kua_tokenizer_free(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_become_their_longest_pieces),
        cmocka_unit_test(one_missing_piece_makes_the_word_unknown),
        cmocka_unit_test(chinese_characters_and_accents_are_handled),
        cmocka_unit_test(special_tokens_in_the_text_are_recognised),
        cmocka_unit_test(the_limit_counts_special_tokens),
        cmocka_unit_test(broken_bytes_vanish_like_control_characters),
        cmocka_unit_test(a_long_word_is_unknown),
        cmocka_unit_test(a_text_of_a_megabyte_takes_linear_time),
        cmocka_unit_test(a_batch_equals_its_texts),
        cmocka_unit_test(repeated_use_allocates_nothing),
        cmocka_unit_test(pieces_and_ids_are_found),
        cmocka_unit_test(options_of_the_config_are_followed),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* test_fold.c - normalisation by itself: UTF-8, single characters, canonical ordering, all options.
 *
 * Method: expectations written by hand from the Unicode standard and BERT's definition; the
 * reference's own answers are in test_parity.c.
 */
#include "testlib.h"

#include <string.h>

#include "text/fold.h"

static kua__fold uncased, plain;

static int setup(void **state)
{
    test_no_leaks_begin(state);
    if (kua__fold_init(&uncased, (kua__fold_options){true, true, true, true})) return -1;
    return kua__fold_init(&plain, (kua__fold_options){0}) ? -1 : 0;
}

static int teardown(void **state)
{
    kua__fold_release(&uncased);
    kua__fold_release(&plain);
    return test_no_leaks_end(state);
}

static void check_string(const kua__fold *fold, const char *text, size_t n, const char *expected)
{
    kua__buf out = {0};
    kua__fold_string(fold, text, n, &out);
    assert_ok(kua__buf_status(&out));
    assert_string_equal(n && out.data ? out.data : "", expected);
    kua__buf_release(&out);
}

#define assert_folds(fold, text, expected)                                                         \
    check_string((fold), (text), sizeof(text) - 1, (expected))

static void text_is_folded(void **state)
{
    (void)state;
    assert_folds(&uncased, "", "");
    assert_folds(&uncased, "H\xc3\xa9LLO\tW\0orld", "hello world");
    assert_folds(&uncased,
                 "a\xe4\xb8\xad"
                 "b",
                 "a \xe4\xb8\xad b");
    assert_folds(&uncased, "\xef\xa4\x80", " \xe8\xb1\x88 "); /* U+F900 is decomposed, too */
    assert_folds(&uncased, "\xc4\xb0", "i");
    assert_folds(&uncased, "\xed\x95\x9c\xea\xb0\x80",
                 "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xe1\x84\x80\xe1\x85\xa1");
    assert_folds(&plain, "H\xc3\xa9\tW\0x\xe4\xb8\xad",
                 "H\xc3\xa9\tW"); /* as a C string: cut at the NUL */
    assert_folds(&plain,
                 "a\xff"
                 "b",
                 "a\xef\xbf\xbd"
                 "b");
}

static void options_are_independent(void **state)
{
    (void)state;
    kua__fold fold;
    assert_ok(kua__fold_init(&fold, (kua__fold_options){.lowercase = true}));
    assert_folds(&fold, "\xc3\x89\xc4\xb0\xce\xa3", "\xc3\xa9i\xcc\x87\xcf\x83");
    kua__fold_release(&fold);
    assert_ok(kua__fold_init(&fold, (kua__fold_options){.strip_accents = true}));
    assert_folds(&fold, "\xc3\x89\xc4\xb0\x01", "EI\x01");
    kua__fold_release(&fold);
    assert_ok(kua__fold_init(&fold, (kua__fold_options){.clean_text = true}));
    assert_folds(&fold, "\xc3\x89\x01\xe3\x80\x80\xe4\xb8\xad", "\xc3\x89 \xe4\xb8\xad");
    kua__fold_release(&fold);
    assert_ok(kua__fold_init(&fold, (kua__fold_options){.chinese = true}));
    assert_folds(&fold, "\xe4\xb8\xad\x01", " \xe4\xb8\xad \x01");
    kua__fold_release(&fold);
}

/* U+302E has class 224, U+1D165 class 216, U+1B44 class 9; U+0301 (230) is removed; U+093A (0) is
 * removed and a border. */
static void characters_that_stay_are_ordered(void **state)
{
    (void)state;
    assert_folds(&uncased, "a\xe3\x80\xae\xf0\x9d\x85\xa5", "a\xf0\x9d\x85\xa5\xe3\x80\xae");
    assert_folds(&uncased, "a\xe3\x80\xae\xcc\x81\xe1\xad\x84\xcc\x81\xf0\x9d\x85\xa5z",
                 "a\xe1\xad\x84\xf0\x9d\x85\xa5\xe3\x80\xaez");
    assert_folds(&uncased, "a\xe3\x80\xae\xe0\xa4\xba\xf0\x9d\x85\xa5",
                 "a\xe3\x80\xae\xf0\x9d\x85\xa5");
    assert_folds(&uncased, "\xe3\x80\xae\xe3\x80\xaf\xe3\x80\xae",
                 "\xe3\x80\xae\xe3\x80\xaf\xe3\x80\xae"); /* equal ones stay */
    assert_folds(&plain, "a\xe3\x80\xae\xf0\x9d\x85\xa5", "a\xe3\x80\xae\xf0\x9d\x85\xa5");
}

static void a_very_long_run_is_read_to_its_end(void **state)
{
    (void)state;
    enum { N = 3 * KUA__FOLD_RUN_MAX + 5 };
    static char text[3 * N];
    for (size_t i = 0; i < N; i++)
        memcpy(text + 3 * i, "\xe3\x80\xae", 3);
    static kua__fold_cursor cursor;
    kua__fold_start(&cursor, &uncased, text, sizeof(text));
    for (size_t i = 0; i < N; i++)
        assert_int_equal(kua__fold_next(&cursor), KUA__CELL(KUA__LETTER, 0x302e, 0));
    assert_int_equal(kua__fold_next(&cursor), KUA__FOLD_END);
    assert_int_equal(kua__fold_next(&cursor), KUA__FOLD_END);
}

static kua__fold_kind kind_of(const kua__fold *fold, uint32_t c)
{
    uint8_t bytes[4];
    static kua__fold_cursor cursor;
    kua__fold_start(&cursor, fold, (const char *)bytes, kua__utf8_encode(c, bytes));
    return KUA__CELL_KIND(kua__fold_next(&cursor));
}

static void characters_have_the_kinds_of_the_reference(void **state)
{
    (void)state;
    assert_int_equal(kind_of(&uncased, '_'), KUA__ALONE);
    assert_int_equal(kind_of(&uncased, '$'),
                     KUA__ALONE); /* all of ASCII that is neither letter nor digit */
    assert_int_equal(kind_of(&uncased, 0x20ac), KUA__LETTER); /* but no currency sign beyond it */
    assert_int_equal(kind_of(&uncased, 0x3002), KUA__ALONE);
    assert_int_equal(kind_of(&uncased, 0x2028), KUA__SPACE);
    assert_int_equal(kind_of(&uncased, 0x85), KUA__DROP);
    assert_int_equal(kind_of(&plain, 0x85), KUA__SPACE);
    assert_int_equal(kind_of(&uncased, 0xe000), KUA__DROP);
    assert_int_equal(kind_of(&uncased, 0x378), KUA__LETTER); /* unassigned */
    assert_int_equal(kind_of(&uncased, 0x4e00), KUA__CHINESE);
    assert_int_equal(kind_of(&uncased, 0x3042), KUA__LETTER); /* kana is not "Chinese" */
    assert_int_equal(kind_of(&uncased, 0x2e43),
                     KUA__LETTER); /* punctuation since Unicode 9: unknown to the reference */
    assert_int_equal(kind_of(&uncased, 0x300), KUA__DROP);
    assert_int_equal(kind_of(&uncased, 0x8d4), KUA__LETTER); /* a mark since Unicode 9 */
}

/* ---- UTF-8
 * --------------------------------------------------------------------------------------------------------
 */

static void every_code_point_survives(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint8_t bytes[5] = {0, 0, 0, 0, 0xff};
        size_t n = kua__utf8_encode(c, bytes), length = 0;
        uint32_t expected = c >= 0xd800 && c <= 0xdfff ? 0xfffd : c;
        if (kua__utf8_decode(bytes, n, &length) != expected) fail_msg("U+%04X", c);
        if (expected == c && length != n)
            fail_msg("U+%04X has %zu bytes, %zu were read", c, n, length);
        for (size_t cut = 1; cut < n; cut++) {
            if (kua__utf8_decode(bytes, cut, &length) != 0xfffd)
                fail_msg("U+%04X cut at %zu", c, cut);
        }
    }
}

/* Lengths of broken sequences: Unicode 15, table 3-8, and Python's errors="replace". */
static void broken_sequences_have_the_standard_lengths(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t lengths[6];
    } cases[] = {
        {"\x80", {1}},
        {"\xc0\xaf", {1, 1}},
        {"\xe0\x80\xaf", {1, 1, 1}},
        {"\xed\xa0\x80", {1, 1, 1}},
        {"\xf4\x91\x92\x93", {1, 1, 1, 1}},
        {"\xe1\x80\xe2\xf0\x91\x92", {2, 1, 3}},
        {"\xf1\xbf\x41", {2, 1}},
        {"\xff\xfe", {1, 1}},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        const uint8_t *bytes = (const uint8_t *)cases[i].bytes;
        size_t n = strlen(cases[i].bytes), at = 0;
        for (size_t k = 0; at < n; k++) {
            size_t length = 0;
            uint32_t c = kua__utf8_decode(bytes + at, n - at, &length);
            assert_int_equal(length, cases[i].lengths[k]);
            assert_true(c == 0xfffd || c == 0x41);
            at += length;
        }
        assert_int_equal(at, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_folded),
        cmocka_unit_test(options_are_independent),
        cmocka_unit_test(characters_that_stay_are_ordered),
        cmocka_unit_test(a_very_long_run_is_read_to_its_end),
        cmocka_unit_test(characters_have_the_kinds_of_the_reference),
        cmocka_unit_test(every_code_point_survives),
        cmocka_unit_test(broken_sequences_have_the_standard_lengths),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

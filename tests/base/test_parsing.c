/* tests/base/test_parsing.c - numbers, dates and UTF-8 out of users' files; messages of failures.
 */
#include "testlib.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- numbers ---- */

static bool parse_double(const char *text, double *out)
{
    return kua__parse_double(text, strlen(text), out);
}

static void doubles_equal_strtod(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "-0",
                                        "1",
                                        "+1",
                                        "-2.5",
                                        ".5",
                                        "5.",
                                        "007",
                                        "1e3",
                                        "1E-3",
                                        "1.25e+2",
                                        "3.4028234663852886e38",
                                        "123456789012345678",
                                        "1234567890123456789",
                                        "12345678901234567890123",
                                        "0.1",
                                        "0.30000000000000004",
                                        "9007199254740993",
                                        "9007199254740992",
                                        "4.9e-324",
                                        "2.2250738585072011e-308",
                                        "1.7976931348623157e308",
                                        "1e-400",
                                        "0e99999999999",
                                        "0.000000000000000000000000000000000000001",
                                        "100000000000000000000000",
                                        "1388534400",
                                        "1388534400.123456",
                                        "179769313486231570000e-1"};
    for (size_t i = 0; i < KUA__COUNT(texts); i++) {
        double got = -77, expected = strtod(texts[i], NULL);
        if (!parse_double(texts[i], &got) || got != expected || signbit(got) != signbit(expected)) {
            fail_msg("%s gave %.17g, expected %.17g", texts[i], got, expected);
        }
    }
}

static void random_doubles_survive_a_round_trip(void **state)
{
    (void)state;
    kua__rng rng = kua__rng_make(3, 0);
    for (int i = 0; i < 200000; i++) {
        char text[40];
        uint64_t bits = (uint64_t)kua__rng_u32(&rng) << 32 | kua__rng_u32(&rng);
        double value, got;
        memcpy(&value, &bits, sizeof(value));
        if (i % 2) {
            value = (int32_t)kua__rng_u32(&rng) / 1000.0; /* what a price looks like */
        }
        if (isfinite(value)) {
            snprintf(text, sizeof(text), "%.*g", i % 3 ? 17 : 12, value);
            assert_true(parse_double(text, &got));
            assert_true(got == strtod(text, NULL));
        }
    }
}

static void what_is_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",      " ",    "1 ",       " 1",    "1a",     "a",   "--1",  "+-1", "1.2.3", "nan", "NaN",
        "inf",   "-inf", "Infinity", "0x1",   "1e",     "1e+", "e5",   ".",   "-",     "+.",  "1,5",
        "1e5.0", "1_0",  "١",        "1e999", "-1e999", "1\n", "-.e1", "0x",  "1f"};
    for (size_t i = 0; i < KUA__COUNT(texts); i++) {
        double d;
        if (parse_double(texts[i], &d)) {
            fail_msg("\"%s\" was taken for %g", texts[i], d);
        }
    }
    double d;
    char *longest = calloc(1, 5000);
    memset(longest, '1', 4999);
    assert_false(parse_double(longest, &d));
    assert_false(kua__parse_double("1\0002", 3, &d));
    assert_true(kua__parse_double("12345", 2, &d)); /* only n bytes count */
    assert_true(d == 12);
    free(longest);
}

static void the_locale_does_not_matter(void **state)
{
    (void)state;
    double d = 0;
    const char *found = setlocale(LC_ALL, "de_DE.UTF-8"); /* NULL where it is not installed */
    assert_true(parse_double("1.5", &d) && d == 1.5);
    assert_true(parse_double("1.500000000000000000000000000000000", &d) && d == 1.5);
    assert_false(parse_double("1,5", &d));
    (void)found;
    setlocale(LC_ALL, "C");
}

static void integers_have_limits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {{"0", true, 0},
                 {"-0", true, 0},
                 {"+17", true, 17},
                 {"000123", true, 123},
                 {"9223372036854775807", true, INT64_MAX},
                 {"-9223372036854775808", true, INT64_MIN},
                 {"9223372036854775808", false, 0},
                 {"-9223372036854775809", false, 0},
                 {"99999999999999999999", false, 0},
                 {"", false, 0},
                 {"-", false, 0},
                 {"1.0", false, 0},
                 {"1e3", false, 0},
                 {" 1", false, 0},
                 {"1 ", false, 0},
                 {"0x10", false, 0}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        int64_t value = -5;
        assert_int_equal(kua__parse_i64(cases[i].text, strlen(cases[i].text), &value),
                         cases[i].good);
        assert_true(value == (cases[i].good ? cases[i].value : -5));
    }
}

/* ---- dates ---- */

static void dates_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } cases[] = {{"1970-01-01", 0},
                 {"2017-11-05", 1509840000},
                 {"2017-11-05 13:02:07", 1509886927},
                 {"2017-11-05T13:02:07Z", 1509886927},
                 {"2017-11-05T13:02:07.999Z", 1509886927},
                 {"2017-11-05T13:02:07+02:00", 1509886927 - 7200},
                 {"2017-11-05 13:02:07-05:30", 1509886927 + 19800},
                 {"1969-12-31 23:59:59", -1},
                 {"2000-02-29", 951782400},
                 {"2016-02-29", 1456704000},
                 {"0001-01-01", INT64_C(-62135596800)},
                 {"9999-12-31 23:59:59", INT64_C(253402300799)}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        int64_t seconds = 1;
        if (!kua__parse_date(cases[i].text, strlen(cases[i].text), &seconds) ||
            seconds != cases[i].seconds) {
            fail_msg("%s gave %lld", cases[i].text, (long long)seconds);
        }
    }
}

static void what_is_no_date_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "2017",
                                        "2017-11",
                                        "2017-11-5",
                                        "2017-13-01",
                                        "2017-00-01",
                                        "2017-02-29",
                                        "1900-02-29",
                                        "2017-04-31",
                                        "2017-11-05 ",
                                        "2017-11-05 13",
                                        "2017-11-05 13:02",
                                        "2017-11-05 24:00:00",
                                        "2017-11-05 13:60:00",
                                        "2017-11-05 13:02:60",
                                        "2017-11-05T13:02:07.",
                                        "2017-11-05T13:02:07+2",
                                        "2017-11-05T13:02:07+24:00",
                                        "2017-11-05T13:02:07ZZ",
                                        "2017/11/05",
                                        "05-11-2017",
                                        " 2017-11-05",
                                        "2017-11-05Z",
                                        "20171105",
                                        "-017-11-05"};
    for (size_t i = 0; i < KUA__COUNT(texts); i++) {
        int64_t seconds;
        if (kua__parse_date(texts[i], strlen(texts[i]), &seconds)) {
            fail_msg("\"%s\" was taken for %lld", texts[i], (long long)seconds);
        }
    }
}

static void dates_survive_a_round_trip(void **state)
{
    (void)state;
    char text[32], expected[64];
    for (int64_t s = -62135596800; s < 253402300799; s += 86399 * 1013) {
        int64_t back;
        time_t t = s;
        struct tm parts;
        kua__format_date(s, text);
        assert_true(kua__parse_date(text, strlen(text), &back) && back == s);
        gmtime_r(&t, &parts);
        snprintf(expected, sizeof(expected), "%04d-%02d-%02d", parts.tm_year + 1900,
                 parts.tm_mon + 1, parts.tm_mday);
        assert_true(kua__has_prefix(text, expected));
    }
    kua__format_date(1509840000, text);
    assert_string_equal(text, "2017-11-05");
    kua__format_date(1509886927, text);
    assert_string_equal(text, "2017-11-05 13:02:07");
    kua__format_date(INT64_MAX, text); /* must fit */
    kua__format_date(INT64_MIN, text);
}

/* ---- UTF-8 ---- */

static void every_character_is_valid_and_nothing_else_is(void **state)
{
    (void)state;
    size_t valid = 0;
    for (uint32_t v = 0; v < 0x1000000; v++) { /* all three-byte texts */
        char s[3] = {(char)(v >> 16), (char)(v >> 8), (char)v};
        valid += kua__utf8_valid(s, 3) == 3;
    }
    /* 128^3 of ASCII; one 2-byte character (1920) and one ASCII, either order; one 3-byte character
     */
    assert_int_equal(valid, 128 * 128 * 128 + 2 * 1920 * 128 + (65536 - 2048 - 2048));
}

static void the_valid_prefix_is_measured(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t valid;
    } cases[] = {{"", 0},
                 {"plain ascii, long enough for eight at a time", 44},
                 {"caf\xC3\xA9", 5},
                 {"caf\xC3", 3},
                 {"\xE4\xBD\xA0\xE5\xA5\xBD", 6},
                 {"\xE4\xBD\xA0\xE5\xA5", 3},
                 {"\xF0\x9F\x98\x80!", 5},
                 {"\xF0\x9F\x98", 0},
                 {"abc\xFF", 3},
                 {"\xC0\x80", 0},         /* overlong NUL */
                 {"\xE0\x9F\xBF", 0},     /* overlong */
                 {"\xF0\x8F\xBF\xBF", 0}, /* overlong */
                 {"\xED\xA0\x80", 0},     /* surrogate */
                 {"\xF4\x90\x80\x80", 0}, /* past U+10FFFF */
                 {"\xF4\x8F\xBF\xBF", 4}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        assert_int_equal(kua__utf8_valid(cases[i].text, strlen(cases[i].text)), cases[i].valid);
    }
}

static void prefixes_and_suffixes(void **state)
{
    (void)state;
    assert_true(kua__streq("a", "a") && !kua__streq("a", "b") && kua__streq(NULL, NULL));
    assert_false(kua__streq(NULL, "a") || kua__streq("a", NULL));
    assert_true(kua__has_prefix("beauty.inter", "beauty") && !kua__has_prefix("be", "beauty"));
    assert_true(kua__has_suffix("beauty.inter", ".inter") && !kua__has_suffix("r", ".inter"));
    assert_true(kua__has_prefix("x", "") && kua__has_suffix("x", ""));
}

/* ---- messages ---- */

static void failures_carry_a_message(void **state)
{
    (void)state;
    assert_string_equal(kua_status_text(KUA_OK), "success");
    assert_string_equal(kua_status_text(KUA_INTERNAL), "internal error");
    assert_string_equal(kua_status_text((kua_status)4711), "unknown status");
    assert_string_equal(kua_status_text((kua_status)-1), "unknown status");

    assert_int_equal(kua__fail(KUA_SHAPE, "a is %dx%d", 3, 4), KUA_SHAPE);
    assert_string_equal(kua_error_message(), "a is 3x4");
    assert_int_equal(kua__fail_prefix(KUA_SHAPE, "layer %d", 7), KUA_SHAPE);
    assert_string_equal(kua_error_message(), "layer 7: a is 3x4");
    assert_int_equal(kua__fail(KUA_INVALID, "again: %s", kua_error_message()), KUA_INVALID);
    assert_string_equal(kua_error_message(), "again: layer 7: a is 3x4");
    errno = ENOENT;
    assert_int_equal(kua__fail_errno("%s", "x.csv"), KUA_IO);
    assert_string_equal(kua_error_message(), "x.csv: No such file or directory");
    errno = ENOMEM;
    assert_int_equal(kua__fail_errno("x"), KUA_NOMEM);
}

static void long_messages_end_with_a_whole_character(void **state)
{
    (void)state;
    char text[6001];
    for (size_t shift = 0; shift < 3; shift++) {
        memset(text, 'x', shift);
        for (size_t i = 0; i + shift < 6000; i++) {
            text[shift + i] = "\xE4\xBD\xA0"[i % 3];
        }
        text[6000] = '\0';
        kua__fail(KUA_FORMAT, "%s", text);
        size_t n = strlen(kua_error_message());
        assert_in_range(n, 1000, 1023);
        assert_int_equal(kua__utf8_valid(kua_error_message(), n), n);
        kua__fail_prefix(KUA_FORMAT, "%s", "prefix");
        n = strlen(kua_error_message());
        assert_in_range(n, 1000, 1023);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_equal_strtod),
        cmocka_unit_test(random_doubles_survive_a_round_trip),
        cmocka_unit_test(what_is_no_number_is_refused),
        cmocka_unit_test(the_locale_does_not_matter),
        cmocka_unit_test(integers_have_limits),
        cmocka_unit_test(dates_are_read),
        cmocka_unit_test(what_is_no_date_is_refused),
        cmocka_unit_test(dates_survive_a_round_trip),
        cmocka_unit_test(every_character_is_valid_and_nothing_else_is),
        cmocka_unit_test(the_valid_prefix_is_measured),
        cmocka_unit_test(prefixes_and_suffixes),
        cmocka_unit_test(failures_carry_a_message),
        cmocka_unit_test(long_messages_end_with_a_whole_character),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_text_clean.c - markup, NFKC and white space in texts. */
#include "testlib.h"

#include "data/text_clean.h"

static void becomes(const char *text, const char *expected)
{
    kua__buf out = {0};
    assert_ok(kua__text_clean(text, strlen(text), &out));
    assert_string_equal(out.data ? out.data : "", expected);
    kua__buf_release(&out);
}

static void white_space_is_one_blank(void **state)
{
    (void)state;
    becomes("", "");
    becomes("  \t\n ", "");
    becomes("plain", "plain");
    becomes(" a  b\tc\r\nd\x01"
            "e\x7f ",
            "a b c d e");
    becomes("a\u00a0b\u3000c\u2028d\u2029e", "a b c d e");
}

static void markup_goes(void **state)
{
    (void)state;
    becomes("<p>Soft<br/>soap</p><!-- x -->!", "Soft soap !");
    becomes("5 < 7 > 3 & so", "5 < 7 > 3 & so");
    becomes("a <b unclosed", "a <b unclosed");
    becomes("AT&amp;T &lt;3 &#233;&#xE9; &quot;x&quot; &nbsp;y", "AT&T <3 \u00e9\u00e9 \"x\" y");
    becomes("&amp;amp;amp;", "&");
    becomes("&nosuch; &; &#; &#x; &#0; &#1114112; &#55296; &#99999999999;",
            "&nosuch; &; &#; &#x; &#0; &#1114112; &#55296; &#99999999999;");
    becomes("&lt;b&gt;bold&lt;/b&gt;", "bold");
}

static void compatibility_forms_are_plain(void **state)
{
    (void)state;
    becomes("\uff21\uff22\uff23 \u2460 \ufb01ne", "ABC 1 fine");
    becomes("e\u0301", "\u00e9");
    becomes("caf\u00e9\u2122", "caf\u00e9TM");
    becomes("zero\u200bwidth\ufeff soft\u00adhyphen", "zerowidth softhyphen");
    becomes("\u4e2d\u6587 \u5546\u54c1", "\u4e2d\u6587 \u5546\u54c1");
}

static void cleaning_appends(void **state)
{
    (void)state;
    kua__buf out = {0};
    kua__buf_puts(&out, "before:");
    assert_ok(kua__text_clean(" x ", 3, &out));
    assert_string_equal(out.data, "before:x");
    kua__buf_release(&out);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char text[] = "<i>caf\u00e9</i> &amp; more";
    kua_status st = KUA_OK;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__buf out = {0};
        st = kua__text_clean(text, strlen(text), &out);
        kua__buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(white_space_is_one_blank),      cmocka_unit_test(markup_goes),
        cmocka_unit_test(compatibility_forms_are_plain), cmocka_unit_test(cleaning_appends),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

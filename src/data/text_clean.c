/* data/text_clean.c - text normalisation in three passes: markup, NFKC, white space.
 *
 * Most texts are plain ASCII without markup: they take only the last pass.
 *
 * Markup is what shops export by accident: "<br/>", "<!-- -->", "&amp;amp;", "&#233;". A '<' that
 * opens no tag ("5 < 7") stays, and so does a "&" that begins no entity. Entities may be escaped
 * twice; decoding is repeated until nothing changes, at most three times. NFKC can itself make
 * markup ("＜br＞" in wide letters), which is therefore looked for once more afterwards.
 *
 * The bounds on entities, tags and rounds keep the work linear: an '&' or '<' looks ahead a bounded
 * number of bytes, and only so many rounds are made. A longer "tag" is text that holds a '<'.
 */
#include "data/text_clean.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>

enum { ENTITY_BYTES_MAX = 12, TAG_BYTES_MAX = 2000, ROUNDS_MAX = 3 };

static const struct {
    const char *name, *text;
} entities[] = {
    {"amp", "&"},         {"lt", "<"},          {"gt", ">"},          {"quot", "\""},
    {"apos", "'"},        {"nbsp", " "},        {"reg", "\u00ae"},    {"copy", "\u00a9"},
    {"trade", "\u2122"},  {"deg", "\u00b0"},    {"ndash", "\u2013"},  {"mdash", "\u2014"},
    {"lsquo", "\u2018"},  {"rsquo", "\u2019"},  {"ldquo", "\u201c"},  {"rdquo", "\u201d"},
    {"hellip", "\u2026"}, {"eacute", "\u00e9"}, {"egrave", "\u00e8"}, {"agrave", "\u00e0"},
    {"ouml", "\u00f6"},   {"auml", "\u00e4"},   {"uuml", "\u00fc"},   {"szlig", "\u00df"},
    {"frac12", "\u00bd"}, {"frac14", "\u00bc"}, {"times", "\u00d7"},  {"bull", "\u2022"},
    {"middot", "\u00b7"}, {"ntilde", "\u00f1"}, {"ccedil", "\u00e7"}, {"euro", "\u20ac"},
    {"pound", "\u00a3"},  {"cent", "\u00a2"},   {"yen", "\u00a5"},
};

static int digit_value(char c, int base)
{
    int value = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : 99;
    return value < base ? value : -1;
}

/* "233" or "xe9": the character's bytes into out; 0 where it is none. */
static size_t numeric_entity(const char *text, size_t n, char out[4])
{
    bool hex = n > 0 && (text[0] == 'x' || text[0] == 'X');
    utf8proc_int32_t code = 0;
    if (n == (hex ? 1 : 0)) {
        return 0;
    }
    for (size_t i = hex ? 1 : 0; i < n; i++) {
        int digit = digit_value(text[i], hex ? 16 : 10);
        if (digit < 0 || code > 0x10ffff) { /* before the product can overflow */
            return 0;
        }
        code = code * (hex ? 16 : 10) + digit;
    }
    if (code == 0 || !utf8proc_codepoint_valid(code)) {
        return 0;
    }
    return (size_t)utf8proc_encode_char(code, (utf8proc_uint8_t *)out);
}

/* Decodes the entity at text ("&amp;"); returns the bytes it takes, 0 where it is none. */
static size_t decode_entity(const char *text, size_t n, kua__buf *out)
{
    assert(n > 0 && text[0] == '&');
    const char *end = memchr(text, ';', KUA__MIN(n, (size_t)ENTITY_BYTES_MAX));
    if (!end || end == text + 1) {
        return 0;
    }
    size_t inside = (size_t)(end - text) - 1;
    if (text[1] == '#') {
        char bytes[4];
        size_t got = numeric_entity(text + 2, inside - 1, bytes);
        kua__buf_add(out, bytes, got);
        return got ? inside + 2 : 0;
    }
    for (size_t i = 0; i < KUA__COUNT(entities); i++) {
        if (strlen(entities[i].name) == inside && memcmp(entities[i].name, text + 1, inside) == 0) {
            kua__buf_puts(out, entities[i].text);
            return inside + 2;
        }
    }
    return 0;
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* The bytes of the tag at text ("<br/>", "</p>", "<!-- -->"); 0 where it is none. */
static size_t tag_length(const char *text, size_t n)
{
    assert(n > 0 && text[0] == '<');
    if (n < 3 || !(is_letter(text[1]) || text[1] == '/' || text[1] == '!')) {
        return 0;
    }
    const char *end = memchr(text, '>', KUA__MIN(n, (size_t)TAG_BYTES_MAX));
    return end ? (size_t)(end - text) + 1 : 0;
}

/* One round; true if anything was markup. A tag leaves a blank: "Soap<br>Bar" is two words. */
static bool strip_markup(const char *text, size_t n, kua__buf *out)
{
    bool found = false;
    for (size_t i = 0; i < n;) {
        size_t skip = 0;
        if (text[i] == '<') {
            skip = tag_length(text + i, n - i);
            kua__buf_add(out, " ", skip ? 1 : 0);
        } else if (text[i] == '&') {
            skip = decode_entity(text + i, n - i, out);
        }
        if (skip == 0) {
            size_t end = i + 1;
            while (end < n && text[end] != '<' && text[end] != '&') {
                end++;
            }
            kua__buf_add(out, text + i, end - i);
            i = end;
        }
        found |= skip > 0;
        i += skip;
    }
    return found;
}

static bool has_markup(const char *text, size_t n)
{
    return n && (memchr(text, '<', n) || memchr(text, '&', n));
}

static bool is_ascii(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

/* Bytes of the blank at text: ASCII's, controls, and U+2028 and U+2029, which NFKC leaves; else 0.
 */
static size_t blank_length(const char *text, size_t n)
{
    unsigned char c = (unsigned char)text[0];
    if (c <= 0x20 || c == 0x7f) {
        return 1;
    }
    bool separator =
        n >= 3 && memcmp(text, "\xE2\x80", 2) == 0 && (text[2] == '\xA8' || text[2] == '\xA9');
    return separator ? 3 : 0;
}

static void squeeze_blanks(const char *text, size_t n, kua__buf *out)
{
    /* A blank is written before a word that has one in front of it, so that none is left at the
     * ends. */
    size_t start = out->len;
    for (size_t i = 0; i < n;) {
        size_t end = i, blank = 0;
        while (end < n && (blank = blank_length(text + end, n - end)) == 0) {
            end++;
        }
        if (end > i) {
            kua__buf_add(out, " ", out->len > start ? 1 : 0);
            kua__buf_add(out, text + i, end - i);
        }
        i = end + blank;
    }
}

/* Repeats strip_markup on *text until nothing is found; leaves the result in *text. */
static void strip_rounds(kua__buf *text, kua__buf *spare)
{
    for (int round = 0; round < ROUNDS_MAX && text->len && has_markup(text->data, text->len);
         round++) {
        kua__buf_clear(spare);
        bool found = strip_markup(text->data, text->len, spare);
        kua__buf swap = *text;
        *text = *spare;
        *spare = swap;
        if (!found || text->failed) {
            return;
        }
    }
}

/* NFKC without characters that show nothing (soft hyphen, zero width space, byte order mark). White
 * space beyond ASCII becomes a blank by the compatibility mapping. */
static kua_status normalise(kua__buf *text)
{
    utf8proc_uint8_t *normal = NULL;
    utf8proc_ssize_t n = utf8proc_map(
        (const utf8proc_uint8_t *)text->data, (utf8proc_ssize_t)text->len, &normal,
        UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_IGNORE | UTF8PROC_STRIPCC);
    if (n < 0) {
        free(normal); /* utf8proc takes it from malloc */
        return n == UTF8PROC_ERROR_NOMEM ? kua__fail_nomem(text->len, "a text")
                                         : kua__fail(KUA_FORMAT, "text: %s", utf8proc_errmsg(n));
    }
    kua__buf_clear(text);
    kua__buf_add(text, normal, (size_t)n);
    free(normal);
    return kua__buf_status(text);
}

kua_status kua__text_clean(const char *text, size_t n, kua__buf *out)
{
    assert((text || n == 0) && out);
    if (!has_markup(text, n) && is_ascii(text, n)) {
        squeeze_blanks(text, n, out);
        return kua__buf_status(out);
    }
    kua__buf work = {0}, spare = {0};
    kua__buf_add(&work, text, n);
    strip_rounds(&work, &spare);
    kua_status st = kua__buf_status(&work);
    if (!st && work.len && !is_ascii(work.data, work.len)) {
        st = normalise(&work);
        if (!st) strip_rounds(&work, &spare);
        if (!st) st = kua__buf_status(&work);
    }
    if (!st && work.len) {
        squeeze_blanks(work.data, work.len, out);
        st = kua__buf_status(out);
    }
    kua__buf_release(&work);
    kua__buf_release(&spare);
    return st;
}

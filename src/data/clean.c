/* clean.c - text normalisation in three passes: markup, NFKC, white space.
 *
 * Most texts are plain ASCII without markup: they take only the last pass.
 */
#include "data/clean.h"

#include <ctype.h>
#include <string.h>
#include <utf8proc.h>

static const struct {
    const char *name;
    const char *text;
} entities[] = {
    {"amp", "&"},         {"lt", "<"},          {"gt", ">"},         {"quot", "\""},
    {"apos", "'"},        {"nbsp", " "},        {"reg", "\u00ae"},   {"copy", "\u00a9"},
    {"trade", "\u2122"},  {"deg", "\u00b0"},    {"ndash", "\u2013"}, {"mdash", "\u2014"},
    {"lsquo", "\u2018"},  {"rsquo", "\u2019"},  {"ldquo", "\u201c"}, {"rdquo", "\u201d"},
    {"hellip", "\u2026"}, {"eacute", "\u00e9"},
};

/* "&#233;" and "&#xe9;": the character's bytes into out; 0 where it is none. */
static size_t numeric_entity(const char *text, size_t n, char out[4])
{
    bool hex = n > 1 && (text[0] == 'x' || text[0] == 'X');
    uint32_t code = 0;
    if (n <= (hex ? 1u : 0u)) return 0;
    for (size_t i = hex; i < n; i++) {
        int digit = isdigit((unsigned char)text[i])           ? text[i] - '0'
                    : isxdigit((unsigned char)text[i]) && hex ? (text[i] | 32) - 'a' + 10
                                                              : -1;
        if (digit < 0 || code > 0x10ffff) return 0;
        code = code * (hex ? 16 : 10) + (uint32_t)digit;
    }
    if (!utf8proc_codepoint_valid((utf8proc_int32_t)code) || !code) return 0;
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
}

/* Decodes the entity at text ("&amp;"); returns the bytes it takes, 0 where it is none. */
static size_t decode_entity(const char *text, size_t n, kua__buf *out)
{
    const char *end = memchr(text, ';', KUA__MIN(n, 12));
    if (!end) return 0;
    size_t inside = (size_t)(end - text) - 1;
    char bytes[4];
    if (inside > 1 && text[1] == '#') {
        size_t got = numeric_entity(text + 2, inside - 1, bytes);
        kua__buf_add(out, bytes, got);
        return got ? inside + 2 : 0;
    }
    for (size_t i = 0; i < KUA__COUNT(entities); i++) {
        if (strlen(entities[i].name) == inside && !memcmp(entities[i].name, text + 1, inside)) {
            kua__buf_puts(out, entities[i].text);
            return inside + 2;
        }
    }
    return 0;
}

/* The bytes of the tag at text ("<br/>", "</p>", "<!-- -->"), 0 where it is none: "5 < 7" stays. */
static size_t tag_length(const char *text, size_t n)
{
    if (n < 3 || !(isalpha((unsigned char)text[1]) || text[1] == '/' || text[1] == '!')) return 0;
    const char *end = memchr(text, '>', KUA__MIN(n, 2000));
    return end ? (size_t)(end - text) + 1 : 0;
}

static void strip_markup(const char *text, size_t n, kua__buf *out)
{
    for (size_t i = 0; i < n;) {
        size_t skip = text[i] == '<' ? tag_length(text + i, n - i) : 0;
        if (skip) kua__buf_add(out, " ", 1);
        if (!skip && text[i] == '&') skip = decode_entity(text + i, n - i, out);
        if (skip) {
            i += skip;
            continue;
        }
        kua__buf_add(out, text + i++, 1);
    }
}

static bool is_plain(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((unsigned char)text[i] >= 0x80 || text[i] == '<' || text[i] == '&') return false;
    }
    return true;
}

static void squeeze_blanks(const char *text, size_t n, kua__buf *out)
{
    size_t start = out->len;
    bool blank = false;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c <= 0x20 || c == 0x7f) {
            blank = true;
            continue;
        }
        if (blank && out->len > start) kua__buf_add(out, " ", 1);
        blank = false;
        kua__buf_add(out, text + i, 1);
    }
}

kua_status kua__clean_text(const char *text, size_t n, kua__buf *out)
{
    if (is_plain(text, n)) {
        squeeze_blanks(text, n, out);
        return kua__buf_status(out);
    }
    kua__buf plain = {0};
    strip_markup(text, n, &plain);
    kua_status st = kua__buf_status(&plain);
    utf8proc_uint8_t *normal = NULL;
    utf8proc_ssize_t length = 0;
    if (!st && plain.len) {
        length =
            utf8proc_map((const utf8proc_uint8_t *)plain.data, (utf8proc_ssize_t)plain.len, &normal,
                         UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT | UTF8PROC_IGNORE);
        if (length < 0)
            st = length == UTF8PROC_ERROR_NOMEM ? kua__fail_nomem(plain.len, "a text") : KUA_OK;
        if (length >= 0) squeeze_blanks((const char *)normal, (size_t)length, out);
    }
    free(normal); /* utf8proc takes it from malloc */
    kua__buf_release(&plain);
    return st ? st : kua__buf_status(out);
}

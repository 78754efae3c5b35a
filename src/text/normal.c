/* normal.c - applies a list of normalisers.
 *
 * Each step reads one buffer and writes the other. Composition and decomposition are utf8proc's:
 * Unicode 15, where the reference has 9 for these; characters that are younger are left alone, as
 * it does (is_young).
 */
#include "text/normal.h"

#include <assert.h>
#include <string.h>
#include <utf8proc.h>

#include "text/chars.h"

void kua__normal_release(kua__normal *normal)
{
    assert(normal);
    if (normal->has_map) kua__charsmap_release(&normal->map);
    if (normal->has_fold) kua__fold_release(&normal->fold);
    *normal = (kua__normal){0};
}

static void add_point(kua__buf *out, uint32_t c)
{
    uint8_t bytes[4];
    kua__buf_add(out, bytes, kua__utf8_encode(c, bytes));
}

static void replace(const kua__normal_step *step, const char *text, size_t n, kua__buf *out)
{
    size_t length = strlen(step->from), at = 0;
    assert(length > 0);
    for (const char *found; at < n && (found = memmem(text + at, n - at, step->from, length));) {
        kua__buf_add(out, text + at, (size_t)(found - text) - at);
        kua__buf_puts(out, step->to);
        at = (size_t)(found - text) + length;
    }
    kua__buf_add(out, text + at, n - at);
}

static void collapse(const kua__normal_step *step, const char *text, size_t n, kua__buf *out)
{
    for (size_t at = 0; at < n;) {
        const char *found = memmem(text + at, n - at, "  ", 2);
        size_t start = found ? (size_t)(found - text) : n;
        kua__buf_add(out, text + at, start - at);
        at = start;
        if (!found) break;
        while (at < n && text[at] == ' ')
            at++;
        kua__buf_puts(out, step->to);
    }
}

static void lower(const char *text, size_t n, kua__buf *out)
{
    size_t length;
    for (size_t at = 0; at < n; at += length) {
        uint32_t c = kua__utf8_decode((const uint8_t *)text + at, n - at, &length);
        add_point(out, c == 0x130 ? 'i' : kua__fold_lower(c));
        if (c == 0x130) add_point(out, 0x307); /* the one whose lower case is two */
    }
}

static void strip(const kua__normal_step *step, const char *text, size_t n, kua__buf *out)
{
    size_t from = 0, end = 0, length;
    bool begun = !step->left;
    for (size_t at = 0; at < n; at += length) {
        bool blank = kua__is_blank(kua__utf8_decode((const uint8_t *)text + at, n - at, &length));
        if (!begun && !blank) from = at;
        begun |= !blank;
        if (!blank || !step->right) end = at + length;
    }
    if (begun && end > from) kua__buf_add(out, text + from, end - from);
}

static bool is_dropped(uint32_t c)
{
    return (c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
           c == 0x9f;
}

/* SentencePiece's nmt rules: control characters go, odd blanks become blanks. */
static void nmt(const char *text, size_t n, kua__buf *out)
{
    size_t length;
    for (size_t at = 0; at < n; at += length) {
        uint32_t c = kua__utf8_decode((const uint8_t *)text + at, n - at, &length);
        bool blank = c == 9 || c == 10 || c == 12 || c == 13 || c == 0x1680 ||
                     (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xfeff || c == 0xfffd;
        if (is_dropped(c)) continue;
        if (blank)
            kua__buf_add(out, " ", 1);
        else
            kua__buf_add(out, text + at, length);
    }
}

static bool is_young(uint32_t c)
{
    size_t low = 0, high = kua__n_young;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (c > kua__young[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < kua__n_young && c >= kua__young[low].first;
}

static void form_part(const kua__normal_step *step, const char *text, size_t n, kua__buf *out)
{
    if (n == 0) return;
    utf8proc_option_t how = step->compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    utf8proc_uint8_t *made = NULL;
    how |= UTF8PROC_STABLE | (step->compatible ? UTF8PROC_COMPAT : 0);
    utf8proc_ssize_t length =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)n, &made, how);
    if (length < 0)
        out->failed = true;
    else
        kua__buf_add(out, made, (size_t)length);
    free(made);
}

/* A young character parts what stands before it from what stands behind. */
static void form(const kua__normal_step *step, const char *text, size_t n, kua__buf *out)
{
    size_t from = 0, length;
    for (size_t at = 0; at < n; at += length) {
        uint32_t c = kua__utf8_decode((const uint8_t *)text + at, n - at, &length);
        if (c < 0x300 || !is_young(c)) continue;
        form_part(step, text + from, at - from, out);
        kua__buf_add(out, text + at, length);
        from = at + length;
    }
    form_part(step, text + from, n - from, out);
}

static bool is_mark(uint32_t c)
{
    if (c < 0x300) return false;
    if (c == 0x1cf2 || c == 0x1cf3) return true; /* were marks, are letters since Unicode 11 */
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
        return !is_young(c);
    default:
        return false;
    }
}

static void strip_accents(const char *text, size_t n, kua__buf *out)
{
    size_t length;
    for (size_t at = 0; at < n; at += length) {
        if (!is_mark(kua__utf8_decode((const uint8_t *)text + at, n - at, &length)))
            kua__buf_add(out, text + at, length);
    }
}

static void apply_step(const kua__normal *normal, const kua__normal_step *step, const char *text,
                       size_t n, kua__buf *out)
{
    switch (step->kind) {
    case KUA__NORMAL_CHARSMAP:
        kua__charsmap_apply(&normal->map, (const uint8_t *)text, n, out);
        break;
    case KUA__NORMAL_REPLACE:
        replace(step, text, n, out);
        break;
    case KUA__NORMAL_COLLAPSE:
        collapse(step, text, n, out);
        break;
    case KUA__NORMAL_PREPEND:
        if (n) kua__buf_puts(out, step->to);
        kua__buf_add(out, text, n);
        break;
    case KUA__NORMAL_LOWER:
        lower(text, n, out);
        break;
    case KUA__NORMAL_STRIP:
        strip(step, text, n, out);
        break;
    case KUA__NORMAL_NMT:
        nmt(text, n, out);
        break;
    case KUA__NORMAL_FORM:
        form(step, text, n, out);
        break;
    case KUA__NORMAL_STRIP_ACCENTS:
        strip_accents(text, n, out);
        break;
    case KUA__NORMAL_BERT:
        kua__fold_string(&normal->fold, text, n, out);
        break;
    }
}

/* Does the step take away the first character of text[n]? Then the reference does not count the
 * result as the text's beginning, and Metaspace with "first" puts no mark there. */
static bool takes_first(const kua__normal_step *step, const char *text, size_t n)
{
    size_t length, from = strlen(step->from);
    if (n == 0) return false;
    uint32_t c = kua__utf8_decode((const uint8_t *)text, n, &length);
    switch (step->kind) {
    case KUA__NORMAL_STRIP:
        return step->left && kua__is_blank(c);
    case KUA__NORMAL_NMT:
        return is_dropped(c);
    case KUA__NORMAL_STRIP_ACCENTS:
        return is_mark(c);
    case KUA__NORMAL_REPLACE: /* of several characters the last is what remains */
        return from > length && n >= from && memcmp(text, step->from, from) == 0;
    case KUA__NORMAL_COLLAPSE:
        return n >= 2 && text[0] == ' ' && text[1] == ' ';
    default:
        return false;
    }
}

const char *kua__normal_apply(const kua__normal *normal, kua__buf buffer[2], const char *text,
                              size_t n, size_t *made, bool *moved)
{
    assert(normal && buffer && made && moved && (text || n == 0));
    *moved = false;
    for (size_t i = 0; i < normal->n; i++) {
        kua__buf *out = &buffer[i % 2];
        *moved |= takes_first(&normal->step[i], text, n);
        kua__buf_clear(out);
        kua__buf_add(out, "", 0);
        apply_step(normal, &normal->step[i], text, n, out);
        if (out->failed) return NULL;
        text = out->data ? out->data : "";
        n = out->len;
    }
    *made = n;
    return text;
}

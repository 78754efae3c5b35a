/* base/strings.c - comparing text, reading numbers out of it, and checking UTF-8.
 *
 * Numbers come from users' files, so a text is a number as a whole or not at all: no leading
 * blanks, no trailing letters, no "nan", no hexadecimal, and a decimal point whatever the locale
 * says. Almost every number in a shop's file has at most 19 digits and a small exponent: those are
 * exact as one integer times or over one power of ten (Clinger, "How to read floating point numbers
 * accurately", 1990). The rest goes to strtod in the C locale.
 */
#include "base/base.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

bool kua__streq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

bool kua__has_prefix(const char *text, const char *prefix)
{
    assert(text && prefix);
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool kua__has_suffix(const char *text, const char *suffix)
{
    assert(text && suffix);
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

bool kua__parse_i64(const char *text, size_t n, int64_t *out)
{
    assert((text || n == 0) && out);
    bool negative = n && text[0] == '-';
    size_t i = n && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    if (i == n) {
        return false;
    }
    int64_t value = 0;
    for (; i < n; i++) {
        int digit = text[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, digit,
                                   &value)) { /* downwards: INT64_MIN has no negative */
            return false;
        }
    }
    if (!negative && value == INT64_MIN) {
        return false;
    }
    *out = negative ? value : -value;
    return true;
}

/* [sign] digits [. digits] [e [sign] digits], with a digit before or after the point. */
typedef struct decimal {
    uint64_t digits; /* the significant ones, where there are at most 19 */
    int n_digits;    /* significant ones; leading zeros do not count */
    int exponent;    /* of ten */
    bool negative;
} decimal;

/* Reads digits at text[i..n), returns where they end. */
static size_t scan_digits(const char *text, size_t i, size_t n, decimal *d)
{
    for (; i < n && text[i] >= '0' && text[i] <= '9'; i++) {
        d->n_digits += d->n_digits || text[i] != '0';
        if (d->n_digits <= 19) {
            d->digits = 10 * d->digits + (uint64_t)(text[i] - '0');
        }
    }
    return i;
}

static bool scan_exponent(const char *text, size_t i, size_t n, decimal *d)
{
    bool negative = i < n && text[i] == '-';
    i += i < n && (text[i] == '-' || text[i] == '+');
    if (i == n) {
        return false;
    }
    int value = 0;
    for (; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return false;
        }
        value = KUA__MIN(10 * value + (text[i] - '0'), 100000);
    }
    d->exponent += negative ? -value : value;
    return true;
}

static bool scan_decimal(const char *text, size_t n, decimal *d)
{
    *d = (decimal){.negative = n && text[0] == '-'};
    size_t start = n && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    size_t i = scan_digits(text, start, n, d), count = i - start;
    if (i < n && text[i] == '.') {
        size_t end = scan_digits(text, i + 1, n, d);
        count += end - i - 1;
        d->exponent = -(int)KUA__MIN(end - i - 1, (size_t)100000);
        i = end;
    }
    if (count == 0) {
        return false;
    }
    if (i < n && (text[i] == 'e' || text[i] == 'E')) {
        return scan_exponent(text, i + 1, n, d);
    }
    return i == n;
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

/* The rare long or very small or large number. Text that does not fit is no number anyone meant. */
static bool parse_slowly(const char *text, size_t n, double *out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char copy[1024];
    if (n >= sizeof(copy) || pthread_once(&once, make_c_locale)) {
        return false;
    }
    memcpy(copy, text, n);
    copy[n] = '\0';
    char *end;
    double value = c_locale ? strtod_l(copy, &end, c_locale) : strtod(copy, &end);
    if (*end || !isfinite(value)) {
        return false;
    }
    *out = value;
    return true;
}

bool kua__parse_double(const char *text, size_t n, double *out)
{
    static const double ten_to[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                    1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    assert((text || n == 0) && out);
    decimal d;
    if (!scan_decimal(text, n, &d)) {
        return false;
    }
    if (d.n_digits > 19 || d.digits > (UINT64_C(1) << 53) || d.exponent < -22 || d.exponent > 22) {
        return parse_slowly(text, n, out);
    }
    double value = (double)d.digits; /* exact, and so is the power: one rounding, the correct one */
    value = d.exponent < 0 ? value / ten_to[-d.exponent] : value * ten_to[d.exponent];
    *out = d.negative ? -value : value;
    return true;
}

/* Bytes of the character at s[0..n), 0: not valid (Unicode 15, table 3-7). */
static size_t utf8_char(const unsigned char *s, size_t n)
{
    unsigned c = s[0];
    size_t len = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (len < 2) {
        return len;
    }
    if (len > n) {
        return 0;
    }
    unsigned low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80; /* no overlong forms */
    unsigned high = c == 0xED   ? 0x9F
                    : c == 0xF4 ? 0x8F
                                : 0xBF; /* no surrogates, nothing past U+10FFFF */
    if (s[1] < low || s[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < len; i++) {
        if ((s[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return len;
}

size_t kua__utf8_valid(const char *text, size_t n)
{
    assert(text || n == 0);
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8 && (memcpy(&eight, text + i, 8), !(eight & UINT64_C(0x8080808080808080)))) {
            i += 8;
            continue;
        }
        size_t len = utf8_char((const unsigned char *)text + i, n - i);
        if (!len) {
            break;
        }
        i += len;
    }
    return i;
}

/* base/date.c - dates as people write them to seconds since 1970-01-01 UTC, and back.
 *
 * Own code because timegm and strptime depend on the locale, accept too much, and are slow for a
 * million lines. Days are counted from March, so that the leap day is the last of a year (Hinnant,
 * "chrono-compatible low-level date algorithms").
 */
#include "base/base.h"

#include <assert.h>

static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_from_days(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097, of_era = days - era * 146097;
    int64_t y = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * y + y / 4 - y / 100), m = (5 * of_year + 2) / 153;
    *day = (int)(of_year - (153 * m + 2) / 5 + 1);
    *month = (int)(m < 10 ? m + 3 : m - 9);
    *year = y + era * 400 + (*month <= 2);
}

static int days_in_month(int64_t year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && leap ? 29 : days[month - 1];
}

/* What is left of the text. */
typedef struct cursor {
    const char *at, *end;
} cursor;

static bool take_digits(cursor *c, int n, int *out)
{
    *out = 0;
    for (int i = 0; i < n; i++, c->at++) {
        if (c->at == c->end || *c->at < '0' || *c->at > '9') {
            return false;
        }
        *out = 10 * *out + (*c->at - '0');
    }
    return true;
}

static bool take(cursor *c, char expected)
{
    if (c->at == c->end || *c->at != expected) {
        return false;
    }
    c->at++;
    return true;
}

static bool take_day(cursor *c, int64_t *seconds)
{
    int year, month, day;
    if (!take_digits(c, 4, &year) || !take(c, '-') || !take_digits(c, 2, &month) || !take(c, '-') ||
        !take_digits(c, 2, &day)) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    *seconds = 86400 * days_from_date(year, month, day);
    return true;
}

/* hh:mm:ss[.digits]; parts of a second are dropped. */
static bool take_time(cursor *c, int64_t *seconds)
{
    int hour, minute, second;
    if (!take_digits(c, 2, &hour) || !take(c, ':') || !take_digits(c, 2, &minute) ||
        !take(c, ':') || !take_digits(c, 2, &second) || hour > 23 || minute > 59 || second > 59) {
        return false;
    }
    *seconds += 3600 * hour + 60 * minute + second;
    if (take(c, '.')) {
        int digit;
        if (!take_digits(c, 1, &digit)) {
            return false;
        }
        while (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
            c->at++;
        }
    }
    return true;
}

/* Nothing, "Z", "+hh:mm" or "-hh:mm". */
static bool take_zone(cursor *c, int64_t *seconds)
{
    if (c->at == c->end || take(c, 'Z')) {
        return true;
    }
    int sign = take(c, '+') ? -1 : take(c, '-') ? 1 : 0, hour, minute;
    if (!sign || !take_digits(c, 2, &hour) || !take(c, ':') || !take_digits(c, 2, &minute) ||
        hour > 23 || minute > 59) {
        return false;
    }
    *seconds += sign * (3600 * hour + 60 * minute);
    return true;
}

bool kua__parse_date(const char *text, size_t n, int64_t *out)
{
    assert((text || n == 0) && out);
    if (n == 0) {
        return false;
    }
    cursor c = {text, text + n};
    int64_t seconds;
    if (!take_day(&c, &seconds)) {
        return false;
    }
    if (c.at < c.end) {
        if (!take(&c, ' ') && !take(&c, 'T')) {
            return false;
        }
        if (!take_time(&c, &seconds) || !take_zone(&c, &seconds) || c.at < c.end) {
            return false;
        }
    }
    *out = seconds;
    return true;
}

void kua__format_date(int64_t seconds, char out[32])
{
    assert(out);
    int64_t days = seconds / 86400, rest = seconds % 86400, year;
    int month, day;
    if (rest < 0) {
        days--;
        rest += 86400;
    }
    date_from_days(days, &year, &month, &day);
    int n = snprintf(out, 32, "%04lld-%02d-%02d", (long long)year, month, day);
    if (rest && n < 20) {
        snprintf(out + n, 32 - (size_t)n, " %02d:%02d:%02d", (int)(rest / 3600),
                 (int)(rest / 60 % 60), (int)(rest % 60));
    }
}

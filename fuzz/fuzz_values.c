/* fuzz/fuzz_values.c - numbers, dates, UTF-8 and JSON settings: never a crash, and answers that
 * agree with each other. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

/* What is taken for a number is what strtod reads, and survives printing. */
static void try_numbers(const char *text, size_t n)
{
    double real, again;
    int64_t whole;
    if (kua__parse_double(text, n, &real)) {
        char printed[40];
        int len = snprintf(printed, sizeof(printed), "%.17g", real);
        require(isfinite(real) && kua__parse_double(printed, (size_t)len, &again) && again == real);
        char *copy = kua__strndup(text, n);
        require(copy && strtod(copy, NULL) == real);
        kua__free(copy);
    }
    if (kua__parse_i64(text, n, &whole)) {
        require(kua__parse_double(text, n, &real) && real == (double)whole);
    }
}

static void try_dates(const char *text, size_t n)
{
    int64_t seconds, again;
    if (kua__parse_date(text, n, &seconds)) {
        char printed[32];
        kua__format_date(seconds, printed);
        /* A zone may move a date of year 0 or 9999 past the four digits that are read. */
        if (seconds >= -62167219200 && seconds < 253402300800) {
            require(kua__parse_date(printed, strlen(printed), &again) && again == seconds);
        }
    }
}

static void try_settings(const char *text, size_t n)
{
    json_t *json;
    if (kua__json_parse("fuzz", text, n, &json)) {
        require(strlen(kua_error_message()) > 0);
        return;
    }
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        int64_t whole;
        double real;
        bool flag;
        const char *string;
        (void)value;
        require(kua__json_int("fuzz", json, key, -5, 5, &whole) || (whole >= -5 && whole <= 5));
        require(kua__json_real_or("fuzz", json, key, -1, 1, 0, &real) || (real >= -1 && real <= 1));
        (void)kua__json_bool_or("fuzz", json, key, false, &flag);
        (void)kua__json_string_or("fuzz", json, key, "", &string);
    }
    json_decref(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t valid = kua__utf8_valid(text, size);
    require(valid <= size && kua__utf8_valid(text, valid) == valid);
    try_numbers(text, size);
    try_dates(text, size);
    try_settings(text, size);
    return 0;
}

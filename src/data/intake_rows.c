/* data/intake_rows.c - the loop over a file's rows, and reading fields of one.
 *
 * A row that cannot be used is rejected with the column, the value and what was expected; the
 * file's share of such lines is checked when the file has ended, because only then is it known.
 *
 *     table -> row -> bad? reject : take(row)      take: intake_items.c, intake_events.c
 *                                    |- reads a field: missing or wrong -> reject, r->bad
 *                                    `- KUA_OK: next row; else the import ends
 *
 * Two kinds of trouble, two ways: a row that is no good sets r->bad and the status stays KUA_OK; a
 * status is for what ends the import (memory, a full disk, a question to the user). A `take` looks
 * at r->bad after each field, since a rejected row is counted once, with its first fault.
 */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "data/intake_private.h"

enum { SHOWN_MAX = 40, PROGRESS_ROWS = 4096 };
/* SHOWN_MAX: bytes of a value in a message; a progress call every PROGRESS_ROWS lines. */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

kua__field kua__reading_field(const kua__reading *r, kua__role role)
{
    assert(r && role < KUA__ROLES);
    const kua__source_columns *source = &r->binding.role[role];
    kua__field field = {"", 0};
    if (source->constant) {
        return (kua__field){source->constant, strlen(source->constant)};
    }
    if (source->n) {
        field = r->row.field[source->column[0]];
    }
    while (field.n && is_blank(field.text[0])) {
        field.text++;
        field.n--;
    }
    while (field.n && is_blank(field.text[field.n - 1])) {
        field.n--;
    }
    return field.text ? field : (kua__field){"", 0};
}

/* Keeps the row with its reason, and counts it. */
static kua_status reject(kua__reading *r, const char *reason)
{
    assert(!r->bad); /* a row is counted once */
    struct kua__intake_private *own = r->in->own;
    r->bad = true;
    r->file->bad += r->row.n_lines;
    kua__intake_count(r->in, KUA__CLEAN_LINES, r->row.n_lines, "%s:%zu: %s", r->file->path,
                      r->row.line, reason);
    return kua__rejects_add(&own->rejects, r->file->path, r->row.line, reason, r->row.raw,
                            r->row.raw_n);
}

kua_status kua__reading_reject(kua__reading *r, kua__role role, kua__field value,
                               const char *expected)
{
    const kua__source_columns *source = &r->binding.role[role];
    const char *column =
        source->n ? kua__table_column(r->table, source->column[0]) : "the mapping's constant";
    size_t shown = KUA__MIN(value.n, (size_t)SHOWN_MAX);
    char reason[512];
    /* Cut before a character that does not fit whole: the reason ends up in JSON. */
    shown = kua__utf8_valid(value.text, shown);
    snprintf(reason, sizeof(reason), "%.100s is '%.*s%s', expected %s", column, (int)shown,
             value.text, shown < value.n ? "..." : "", expected);
    return reject(r, reason);
}

kua_status kua__reading_id(kua__reading *r, kua__role role, kua__field *out)
{
    *out = kua__reading_field(r, role);
    if (out->n == 0 || out->n > KUA__ID_MAX) {
        return kua__reading_reject(r, role, *out, "an id of 1 to 512 bytes");
    }
    return KUA_OK;
}

kua_status kua__reading_number(kua__reading *r, kua__role role, float fallback, float *out)
{
    kua__field field = kua__reading_field(r, role);
    double value;
    *out = fallback;
    if (field.n == 0) {
        return KUA_OK;
    }
    /* A double that no float can hold would become infinite without a word. */
    if (!kua__parse_double(field.text, field.n, &value) || fabs(value) > (double)FLT_MAX) {
        return kua__reading_reject(r, role, field, "a number");
    }
    *out = (float)value;
    return KUA_OK;
}

kua_status kua__reading_domain(kua__reading *r, uint32_t *out)
{
    const char *option = r->in->own->options.domain;
    const kua__source_columns *source = &r->binding.role[KUA__ROLE_DOMAIN];
    *out = KUA__NO_ID;
    if (option) {
        return kua__intake_domain_number(r->in, option, strlen(option), out);
    }
    if (source->n == 0 && !source->constant) {
        return KUA_OK;
    }
    kua__field name;
    KUA__TRY(kua__reading_id(r, KUA__ROLE_DOMAIN, &name));
    return r->bad ? KUA_OK : kua__intake_domain_number(r->in, name.text, name.n, out);
}

static kua_status check_share(const kua__intake *in, const kua__intake_file *file)
{
    assert(file->bad <= file->rows);
    const double share = file->rows ? (double)file->bad / (double)file->rows : 0;
    if (share <= in->own->settings.max_bad_share) {
        return KUA_OK;
    }
    return kua__fail(KUA_FORMAT,
                     "%s: %llu of %llu lines are unreadable, more than the %g %% that "
                     "max_bad_share allows; the first: %s",
                     file->path, (unsigned long long)file->bad, (unsigned long long)file->rows,
                     100 * in->own->settings.max_bad_share,
                     in->own->steps[KUA__CLEAN_LINES].example);
}

static kua_status show_progress(const kua__reading *r)
{
    static const char *const stages[KUA__SECTIONS] = {"read items", "read events", "read users"};
    uint64_t done, total;
    kua__table_progress(r->table, &done, &total);
    return kua__progress(r->in->own->monitor, stages[r->file->section], done, total);
}

static kua_status take_rows(kua__reading *r, kua__take_row take)
{
    for (;;) {
        KUA__TRY(kua__table_next(r->table, &r->row));
        if (r->row.line == 0) {
            return show_progress(r);
        }
        r->file->rows += r->row.n_lines;
        r->bad = false;
        KUA__TRY(r->row.bad ? reject(r, r->row.bad) : take(r));
        if (r->file->rows % PROGRESS_ROWS == 0) {
            KUA__TRY(show_progress(r));
        }
    }
}

kua_status kua__intake_rows(kua__intake *in, kua__intake_file *file, kua__take_row take)
{
    assert(in && file && file->path && take);
    kua__reading r = {.in = in, .file = file};
    kua__table_format format;
    KUA__TRY(kua__mapping_format(in->own->mapping, file->section, file->path, &format));
    KUA__TRY(kua__table_open(file->path, format, &r.table));
    kua_status st = kua__mapping_bind(in->own->mapping, file->section, r.table, &r.binding);
    if (!st) st = take_rows(&r, take);
    if (!st) st = check_share(in, file);
    kua__table_close(r.table);
    return st;
}

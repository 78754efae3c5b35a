/* data/table.c - opening a file of rows, the window that is moved over it, and its columns.
 *
 * Lines are looked for in a window that grows only for a line that does not fit, up to a limit: a
 * file of 100 MB in one line costs 16 MiB and gives an error. Files are read, not mapped, so that a
 * pipe works as well, and a file that is cut off while it is read is no crash.
 *
 *     data  [ done | begin ... end | free ]     make_room moves begin..end to the front, and only
 *                                               doubles the block where that was not enough
 *
 * Invariants
 *   I1  begin <= end <= room (a table in memory has no room: its window is all there is).
 *   I2  next_line is the number of the line at `begin`: kua__table_skip moves both together.
 *   I3  what a row lends out (raw, fields) points into the window, scratch or the JSON object, and
 *       none of them is touched before the next kua__table_next.
 *   I4  columns are only added before the first row: fields has room for all of them.
 */
#include "data/table.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/table_private.h"

enum { FIRST_ROOM = 256 * 1024 };

static const char *const format_names[KUA__TABLE_FORMATS] = {
    [KUA__TABLE_ATOMIC] = "atomic",
    [KUA__TABLE_CSV] = "csv",
    [KUA__TABLE_TSV] = "tsv",
    [KUA__TABLE_JSONL] = "jsonl",
};

const char *kua__table_format_name(kua__table_format format)
{
    assert(format >= 0 && format < KUA__TABLE_FORMATS);
    return format_names[format];
}

kua_status kua__table_format_of(const char *path, kua__table_format *out)
{
    static const struct {
        const char *ending;
        kua__table_format format;
    } known[] = {{".inter", KUA__TABLE_ATOMIC}, {".item", KUA__TABLE_ATOMIC},
                 {".user", KUA__TABLE_ATOMIC},  {".csv", KUA__TABLE_CSV},
                 {".tsv", KUA__TABLE_TSV},      {".jsonl", KUA__TABLE_JSONL},
                 {".ndjson", KUA__TABLE_JSONL}};
    assert(path && out);
    for (size_t i = 0; i < KUA__COUNT(known); i++) {
        if (kua__has_suffix(path, known[i].ending)) {
            *out = known[i].format;
            return KUA_OK;
        }
    }
    return kua__fail(KUA_INVALID,
                     "%s: the ending does not tell the format, expected .inter, .item, .user "
                     "(RecBole), .csv, .tsv, .jsonl or .ndjson",
                     path);
}

/* ---- the window ---- */

/* Room for at least one more byte behind `end`. */
static kua_status make_room(kua__table *t)
{
    assert(t->owns_data && t->begin <= t->end && t->end <= t->room);
    if (t->begin) {
        memmove(t->data, t->data + t->begin, t->end - t->begin);
        t->end -= t->begin;
        t->begin = 0;
    }
    if (t->end < t->room) {
        return KUA_OK;
    }
    if (t->end > KUA__TABLE_LINE_MAX) {
        return kua__fail(KUA_FORMAT, "%s:%zu: the line is longer than %d bytes", t->name,
                         t->next_line, KUA__TABLE_LINE_MAX);
    }
    size_t room = t->room ? 2 * t->room : FIRST_ROOM;
    char *data = kua__realloc_array(t->data, room, 1);
    if (!data) {
        return kua__fail_nomem(room, "a line of a file");
    }
    t->data = data;
    t->room = room;
    return KUA_OK;
}

kua_status kua__table_more(kua__table *t)
{
    assert(!t->eof && t->begin <= t->end);
    if (t->fd < 0) {
        t->eof = true;
        return t->end - t->begin <= KUA__TABLE_LINE_MAX
                   ? KUA_OK
                   : kua__fail(KUA_FORMAT, "%s:%zu: the line is longer than %d bytes", t->name,
                               t->next_line, KUA__TABLE_LINE_MAX);
    }
    KUA__TRY(make_room(t));
    ssize_t got;
    do {
        got = read(t->fd, t->data + t->end, t->room - t->end);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return kua__fail_errno("%s: cannot read", t->name);
    }
    t->eof = got == 0;
    t->end += (size_t)got;
    t->read += (uint64_t)got;
    return KUA_OK;
}

kua_status kua__table_line(kua__table *t, size_t *n, size_t *used)
{
    assert(t->begin <= t->end);
    const char *stop = NULL;
    for (size_t seen = 0;;) {
        size_t have = t->end - t->begin; /* the first `seen` bytes of it hold no line end */
        stop = have > seen ? memchr(t->data + t->begin + seen, '\n', have - seen) : NULL;
        if (stop || t->eof) {
            break;
        }
        seen = have;
        KUA__TRY(kua__table_more(t));
    }
    *n = stop ? (size_t)(stop - t->data) - t->begin : t->end - t->begin;
    *used = stop ? *n + 1 : *n;
    if (*n > KUA__TABLE_LINE_MAX) {
        return kua__fail(KUA_FORMAT, "%s:%zu: the line is longer than %d bytes", t->name,
                         t->next_line, KUA__TABLE_LINE_MAX);
    }
    if (*n && t->data[t->begin + *n - 1] == '\r') {
        (*n)--;
    }
    return KUA_OK;
}

void kua__table_skip(kua__table *t, size_t used, size_t lines)
{
    assert(used <= t->end - t->begin);
    t->begin += used;
    t->next_line += lines;
}

bool kua__table_clean(kua__table *t, const char *text, size_t n)
{
    kua__buf_clear(&t->problem);
    const char *nul = n ? memchr(text, '\0', n) : NULL;
    if (nul) {
        kua__buf_printf(&t->problem, "holds a NUL byte (byte %zu)", (size_t)(nul - text) + 1);
        return false;
    }
    size_t valid = kua__utf8_valid(text, n);
    if (valid < n) {
        kua__buf_printf(&t->problem, "is not UTF-8 (byte %zu is 0x%02x)", valid + 1,
                        (unsigned char)text[valid]);
        return false;
    }
    return true;
}

kua_status kua__table_bad(kua__table *t, kua__row *row)
{
    assert(row->line > 0);
    KUA__TRY(kua__buf_status(&t->problem));
    row->bad = t->problem.data;
    row->field = NULL;
    return KUA_OK;
}

/* ---- columns ---- */

kua_status kua__table_add_column(kua__table *t, const char *name, size_t n)
{
    assert(t && name && t->n_columns <= KUA__TABLE_COLUMNS_MAX);
    if (t->n_columns == KUA__TABLE_COLUMNS_MAX) {
        return kua__fail(KUA_FORMAT, "%s:1: more than %d columns", t->name, KUA__TABLE_COLUMNS_MAX);
    }
    KUA__TRY(KUA__GROW(&t->columns, &t->columns_room, t->n_columns, "columns"));
    char *copy = kua__strndup(name, n);
    if (!copy) {
        return kua__fail_nomem(n + 1, "the name of a column");
    }
    t->columns[t->n_columns++] = (kua__column){.name = copy};
    return KUA_OK;
}

kua_status kua__table_reserve_fields(kua__table *t)
{
    size_t room = KUA__MAX(t->n_columns, (size_t)1); /* "{}" has none, and is a row */
    if (t->fields_room >= room) {
        return KUA_OK;
    }
    kua__field *fields = kua__realloc_array(t->fields, room, sizeof(*fields));
    if (!fields) {
        return kua__fail_nomem(room * sizeof(*fields), "fields of a row");
    }
    t->fields = fields;
    t->fields_room = room;
    return KUA_OK;
}

const char *kua__table_name(const kua__table *table)
{
    assert(table);
    return table->name;
}

size_t kua__table_columns(const kua__table *table)
{
    assert(table);
    return table->n_columns;
}

const char *kua__table_column(const kua__table *table, size_t i)
{
    assert(table && i < table->n_columns);
    return table->columns[i].name;
}

bool kua__table_has(const kua__table *table, const char *column)
{
    assert(table && column);
    for (size_t i = 0; i < table->n_header; i++) {
        if (kua__streq(table->columns[i].name, column)) {
            return true;
        }
    }
    return false;
}

/* Forty names: a message that a terminal can show. */
static kua_status no_column(const kua__table *t, const char *column)
{
    kua__buf names = {0};
    for (size_t i = 0; i < KUA__MIN(t->n_header, (size_t)40); i++) {
        kua__buf_printf(&names, "%s%s", i ? ", " : "", t->columns[i].name);
    }
    kua_status st = kua__buf_status(&names);
    if (!st) {
        st = kua__fail(KUA_FORMAT, "%s:1: no column is called '%s', there are: %s", t->name, column,
                       names.data);
    }
    kua__buf_release(&names);
    return st;
}

kua_status kua__table_want(kua__table *table, const char *column, size_t *out)
{
    assert(table && column && out);
    for (size_t i = 0; i < table->n_columns; i++) {
        if (kua__streq(table->columns[i].name, column)) {
            *out = i;
            return KUA_OK;
        }
    }
    if (table->format != KUA__TABLE_JSONL) {
        return no_column(table, column);
    }
    *out = table->n_columns;
    return kua__table_add_column(table, column, strlen(column));
}

kua_status kua__table_joiner(kua__table *table, size_t column, const char *joiner)
{
    assert(table && column < table->n_columns && joiner);
    char *copy = kua__strdup(joiner);
    if (!copy) {
        return kua__fail_nomem(strlen(joiner) + 1, "a column's joiner");
    }
    kua__free(table->columns[column].joiner);
    table->columns[column].joiner = copy;
    return KUA_OK;
}

/* ---- opening, reading, closing ---- */

/* Byte order marks: UTF-8's is skipped; UTF-16 and UTF-32 are refused by name. */
static kua_status check_mark(kua__table *t)
{
    /* A pipe may give less than asked for: four bytes, or all there are. */
    while (!t->eof && t->end - t->begin < 4) {
        KUA__TRY(kua__table_more(t));
    }
    const char *s = t->data + t->begin;
    size_t n = t->end - t->begin;
    if (n == 0) {
        return kua__fail(KUA_FORMAT, "%s: is empty, expected at least a %s", t->name,
                         t->format == KUA__TABLE_JSONL ? "JSON object" : "header line");
    }
    if (n >= 3 && memcmp(s, "\xEF\xBB\xBF", 3) == 0) {
        kua__table_skip(t, 3, 0);
    } else if (n >= 2 && (memcmp(s, "\xFF\xFE", 2) == 0 || memcmp(s, "\xFE\xFF", 2) == 0)) {
        return kua__fail(KUA_FORMAT, "%s: is UTF-16 or UTF-32, expected UTF-8", t->name);
    }
    return KUA_OK;
}

static kua_status read_header(kua__table *t)
{
    KUA__TRY(check_mark(t));
    KUA__TRY(t->format == KUA__TABLE_JSONL ? kua__jsonl_header(t) : kua__delimited_header(t));
    t->n_header = t->n_columns;
    return KUA_OK;
}

static kua_status open_file(kua__table *t)
{
    struct stat info;
    t->fd = open(t->name, O_RDONLY | O_CLOEXEC);
    if (t->fd < 0) {
        return kua__fail_errno("%s: cannot open", t->name);
    }
    if (fstat(t->fd, &info)) {
        return kua__fail_errno("%s: cannot stat", t->name);
    }
    if (S_ISDIR(info.st_mode)) {
        return kua__fail(KUA_IO, "%s: is a folder, expected a file", t->name);
    }
    t->total = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
    t->owns_data = true;
    return KUA_OK;
}

static kua_status table_new(const char *name, kua__table_format format, kua__table **out)
{
    *out = NULL;
    kua__table *t;
    KUA__TRY(KUA__NEW_ZEROED(&t, 1, "a table"));
    t->fd = -1;
    t->format = format;
    t->next_line = 1;
    t->name = kua__strdup(name);
    if (!t->name) {
        kua__free(t);
        return kua__fail_nomem(strlen(name) + 1, "the name of a file");
    }
    *out = t;
    return KUA_OK;
}

kua_status kua__table_open(const char *path, kua__table_format format, kua__table **out)
{
    assert(path && out && format < KUA__TABLE_FORMATS);
    KUA__TRY(table_new(path, format, out));
    assert(*out);
    kua_status st = open_file(*out);
    if (!st) st = read_header(*out);
    if (st) {
        kua__table_close(*out);
        *out = NULL;
    }
    return st;
}

kua_status kua__table_open_memory(const char *name, const void *data, size_t n,
                                  kua__table_format format, kua__table **out)
{
    assert(name && (data || n == 0) && out && format < KUA__TABLE_FORMATS);
    KUA__TRY(table_new(name, format, out));
    kua__table *t = *out;
    assert(t);
    t->data = (char *)data; /* never written: a window that owns nothing does not move */
    t->end = n;
    t->read = t->total = n;
    kua_status st = read_header(t);
    if (st) {
        kua__table_close(t);
        *out = NULL;
    }
    return st;
}

kua_status kua__table_next(kua__table *table, kua__row *row)
{
    assert(table && row);
    *row = (kua__row){0};
    assert(table->begin <= table->end); /* I1 */
    KUA__TRY(kua__table_reserve_fields(table));
    return table->format == KUA__TABLE_JSONL ? kua__jsonl_next(table, row)
                                             : kua__delimited_next(table, row);
}

void kua__table_progress(const kua__table *table, uint64_t *done, uint64_t *total)
{
    assert(table && done && total);
    *done = table->read - (table->end - table->begin);
    *total = table->total;
}

void kua__table_close(kua__table *table)
{
    if (!table) {
        return;
    }
    if (table->fd >= 0) {
        close(table->fd);
    }
    for (size_t i = 0; i < table->n_columns; i++) {
        kua__free(table->columns[i].name);
        kua__free(table->columns[i].joiner);
    }
    if (table->owns_data) {
        kua__free(table->data);
    }
    kua__free(table->columns);
    kua__free(table->cells);
    kua__free(table->fields);
    kua__free(table->name);
    kua__buf_release(&table->scratch);
    kua__buf_release(&table->problem);
    json_decref(table->object);
    kua__free(table);
}

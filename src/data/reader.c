/* reader.c - one row at a time from delimited text and JSON Lines, over a mapped file.
 *
 * How it works
 *   A row's raw bytes are found first (a line, or for CSV lines until quotes balance); then the
 * fields are copied into one buffer, NUL-terminated, and their offsets kept. Nothing else is
 * allocated, and a row longer than the limit is an error after at most that many bytes, so that 100
 * MB without a line break cost no memory.
 */
#include "data/reader.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"

typedef enum reader_kind { READER_TABS, READER_CSV, READER_JSONL } reader_kind;

struct kua__reader {
    char *name;
    kua__map map;
    bool mapped;
    const char *data;
    size_t size, at, row_at, row_end;
    uint64_t line, next_line;
    reader_kind kind;
    kua__ids columns;
    kua__buf fields; /* bytes of the row's fields */
    size_t *offset;  /* [capacity] of each field in `fields` */
    size_t *length;
    size_t n_fields, capacity;
    char bad[160];
};

/* ---- finding a row
 * --------------------------------------------------------------------------------------------------
 */

/* A CSV row ends at a line break outside quotes. Returns the row's end, or the size where quotes
 * never close. */
static size_t csv_row_end(const kua__reader *r, bool *balanced)
{
    bool quoted = false;
    size_t limit = KUA__MIN(r->size, r->at + KUA__LINE_MAX + 1), i = r->at;
    for (; i < limit; i++) {
        if (r->data[i] == '"') quoted = !quoted;
        if (r->data[i] == '\n' && !quoted) break;
    }
    *balanced = !quoted;
    return i;
}

static size_t line_end(const kua__reader *r)
{
    size_t limit = KUA__MIN(r->size - r->at, (size_t)KUA__LINE_MAX + 1);
    const char *end = memchr(r->data + r->at, '\n', limit);
    return end ? (size_t)(end - r->data) : r->at + limit;
}

static uint64_t count_breaks(const char *text, size_t n)
{
    uint64_t breaks = 0;
    for (const char *p = text; (p = memchr(p, '\n', n - (size_t)(p - text))); p++)
        breaks++;
    return breaks;
}

/* Moves to the next non-empty row; false at the end of the file. */
static kua_status next_row(kua__reader *r, bool *more)
{
    for (;;) {
        *more = r->at < r->size;
        if (!*more) return KUA_OK;
        bool balanced = true;
        size_t end = r->kind == READER_CSV ? csv_row_end(r, &balanced) : line_end(r);
        r->line = r->next_line;
        if (end - r->at > KUA__LINE_MAX) {
            return kua__fail(KUA_FORMAT, "%s:%llu: the line is longer than %d bytes", r->name,
                             (unsigned long long)r->line, KUA__LINE_MAX);
        }
        if (!balanced) {
            return kua__fail(KUA_FORMAT, "%s:%llu: a quote opens here and never closes", r->name,
                             (unsigned long long)r->line);
        }
        r->row_at = r->at;
        r->row_end = end > r->at && r->data[end - 1] == '\r' ? end - 1 : end;
        r->next_line += count_breaks(r->data + r->at, end - r->at) + 1;
        r->at = end + 1;
        if (r->row_end > r->row_at) return KUA_OK;
    }
}

/* ---- cutting a row into fields
 * -------------------------------------------------------------------------------------- */

static kua_status field_begin(kua__reader *r)
{
    if (r->n_fields == r->capacity) {
        size_t capacity = r->capacity;
        KUA__TRY(KUA__GROW(&r->offset, &capacity, r->n_fields, "fields of a row"));
        KUA__TRY(KUA__GROW(&r->length, &r->capacity, r->n_fields, "fields of a row"));
    }
    r->offset[r->n_fields] = r->fields.len;
    return KUA_OK;
}

static void field_end(kua__reader *r)
{
    r->length[r->n_fields] = r->fields.len - r->offset[r->n_fields];
    if (r->length[r->n_fields] > KUA__FIELD_MAX && !*r->bad) {
        snprintf(r->bad, sizeof(r->bad), "field %zu has %zu bytes, at most %d are allowed",
                 r->n_fields + 1, r->length[r->n_fields], KUA__FIELD_MAX);
    }
    kua__buf_add(&r->fields, "", 1);
    r->n_fields++;
}

static kua_status cut_tabs(kua__reader *r)
{
    const char *p = r->data + r->row_at, *end = r->data + r->row_end;
    for (;;) {
        const char *tab = memchr(p, '\t', (size_t)(end - p));
        KUA__TRY(field_begin(r));
        kua__buf_add(&r->fields, p, (size_t)((tab ? tab : end) - p));
        field_end(r);
        if (!tab) return KUA_OK;
        p = tab + 1;
    }
}

/* One CSV field from p; returns where it ends (at a comma or the row's end). */
static const char *csv_field(kua__reader *r, const char *p, const char *end)
{
    if (p == end || *p != '"') {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        kua__buf_add(&r->fields, p, (size_t)((comma ? comma : end) - p));
        return comma ? comma : end;
    }
    for (p++; p < end; p++) {
        if (*p == '"' && (p + 1 == end || p[1] != '"')) break;
        if (*p == '"') p++;
        kua__buf_add(&r->fields, p, 1);
    }
    if (p < end) p++;
    if (p < end && *p != ',' && !*r->bad) {
        snprintf(r->bad, sizeof(r->bad),
                 "'%.20s' behind the closing quote of field %zu, expected a comma", p,
                 r->n_fields + 1);
    }
    const char *comma = memchr(p, ',', (size_t)(end - p));
    return comma ? comma : end;
}

static kua_status cut_csv(kua__reader *r)
{
    const char *p = r->data + r->row_at, *end = r->data + r->row_end;
    for (;; p++) {
        KUA__TRY(field_begin(r));
        p = csv_field(r, p, end);
        field_end(r);
        if (p == end) return KUA_OK;
    }
}

/* A JSON value as the text that a delimited file would hold; arrays of texts are joined by blanks.
 */
static void add_json_value(kua__buf *buf, const json_t *value)
{
    size_t i;
    json_t *element;
    switch (json_typeof(value)) {
    case JSON_STRING:
        kua__buf_add(buf, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        kua__buf_printf(buf, "%lld", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        kua__buf_printf(buf, "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        kua__buf_puts(buf, json_is_true(value) ? "true" : "false");
        break;
    case JSON_ARRAY:
        json_array_foreach(value, i, element)
        {
            if (i) kua__buf_puts(buf, " ");
            if (!json_is_array(element)) add_json_value(buf, element);
        }
        break;
    default: /* null and nested objects: nothing */
        break;
    }
}

static kua_status cut_jsonl(kua__reader *r)
{
    json_error_t error;
    json_t *row =
        json_loadb(r->data + r->row_at, r->row_end - r->row_at, JSON_REJECT_DUPLICATES, &error);
    kua_status st = KUA_OK;
    if (!json_is_object(row)) {
        snprintf(r->bad, sizeof(r->bad), "not a JSON object: %.100s",
                 row ? "another kind of value" : error.text);
    }
    for (size_t c = 0; !st && c < r->columns.count; c++) {
        st = field_begin(r);
        if (st) break;
        const json_t *value = json_object_get(row, r->columns.name[c]);
        if (value) add_json_value(&r->fields, value);
        field_end(r);
    }
    json_decref(row);
    return st;
}

static kua_status cut_row(kua__reader *r)
{
    kua__buf_clear(&r->fields);
    r->n_fields = 0;
    r->bad[0] = 0;
    size_t n = r->row_end - r->row_at, valid = kua__utf8_valid(r->data + r->row_at, n);
    if (valid < n) {
        snprintf(r->bad, sizeof(r->bad), "byte %zu of the line (0x%02x) is not UTF-8", valid + 1,
                 (unsigned char)r->data[r->row_at + valid]);
    } else if (memchr(r->data + r->row_at, 0, n)) {
        snprintf(r->bad, sizeof(r->bad), "the line holds a zero byte");
    }
    KUA__TRY(r->kind == READER_TABS  ? cut_tabs(r)
             : r->kind == READER_CSV ? cut_csv(r)
                                     : cut_jsonl(r));
    return kua__buf_status(&r->fields);
}

/* ---- opening
 * --------------------------------------------------------------------------------------------------------
 */

/* "item_id:token" names the column item_id. */
static kua_status read_header(kua__reader *r)
{
    bool more = false;
    KUA__TRY(next_row(r, &more));
    if (!more)
        return kua__fail(KUA_FORMAT, "%s: the file is empty, expected a header line", r->name);
    KUA__TRY(cut_row(r));
    if (*r->bad) return kua__fail(KUA_FORMAT, "%s:1: header: %s", r->name, r->bad);
    if (r->n_fields > KUA__COLUMNS_MAX) {
        return kua__fail(KUA_FORMAT, "%s:1: %zu columns, at most %d are allowed", r->name,
                         r->n_fields, KUA__COLUMNS_MAX);
    }
    for (size_t c = 0; c < r->n_fields; c++) {
        const char *text = r->fields.data + r->offset[c];
        size_t n = strcspn(text, ":");
        uint32_t id = 0;
        KUA__TRY(kua__ids_add(&r->columns, text, n, &id));
        if (id != c)
            return kua__fail(KUA_FORMAT, "%s:1: column '%.*s' appears twice", r->name,
                             (int)KUA__MIN(n, 200), text);
    }
    return KUA_OK;
}

static kua_status check_start(const kua__reader *r)
{
    const unsigned char *d = (const unsigned char *)r->data;
    if (r->size >= 2 && ((d[0] == 0xff && d[1] == 0xfe) || (d[0] == 0xfe && d[1] == 0xff))) {
        return kua__fail(
            KUA_FORMAT,
            "%s: the file is UTF-16, expected UTF-8; iconv -f UTF-16 -t UTF-8 converts it",
            r->name);
    }
    return KUA_OK;
}

static kua_status reader_start(kua__reader *r)
{
    KUA__TRY(check_start(r));
    if (r->size >= 3 && !memcmp(r->data, "\xef\xbb\xbf", 3)) r->at = 3;
    r->next_line = 1;
    r->kind = kua__has_suffix(r->name, ".csv")     ? READER_CSV
              : kua__has_suffix(r->name, ".jsonl") ? READER_JSONL
                                                   : READER_TABS;
    if (r->kind == READER_JSONL) {
        if (!r->size) return kua__fail(KUA_FORMAT, "%s: the file is empty", r->name);
        return KUA_OK;
    }
    return read_header(r);
}

static kua_status reader_make(const char *name, kua__reader **out)
{
    *out = kua__calloc(1, sizeof(**out));
    if (!*out) return kua__fail_nomem(sizeof(**out), "a reader");
    kua__ids_init(&(*out)->columns);
    (*out)->name = kua__strdup(name);
    return (*out)->name ? KUA_OK : kua__fail_nomem(strlen(name) + 1, "a file's name");
}

kua_status kua__reader_open_memory(const char *name, const char *data, size_t size,
                                   kua__reader **out)
{
    kua_status st = reader_make(name, out);
    if (!st) {
        (*out)->data = data;
        (*out)->size = size;
        st = reader_start(*out);
    }
    if (st) {
        kua__reader_close(*out);
        *out = NULL;
    }
    return st;
}

kua_status kua__reader_open(const char *path, kua__reader **out)
{
    kua_status st = reader_make(path, out);
    if (!st) st = kua__map_open(&(*out)->map, path);
    if (!st) {
        (*out)->mapped = true;
        (*out)->data = (*out)->map.data;
        (*out)->size = (*out)->map.size;
        st = reader_start(*out);
    }
    if (st) {
        kua__reader_close(*out);
        *out = NULL;
    }
    return st;
}

void kua__reader_close(kua__reader *r)
{
    if (!r) return;
    if (r->mapped) kua__map_close(&r->map);
    kua__ids_release(&r->columns);
    kua__buf_release(&r->fields);
    kua__free(r->offset);
    kua__free(r->length);
    kua__free(r->name);
    kua__free(r);
}

/* ---- reading
 * --------------------------------------------------------------------------------------------------------
 */

kua_status kua__reader_next(kua__reader *r, bool *more, const char **bad)
{
    *bad = NULL;
    KUA__TRY(next_row(r, more));
    if (!*more) return KUA_OK;
    KUA__TRY(cut_row(r));
    if (!*r->bad && r->n_fields != r->columns.count) {
        snprintf(r->bad, sizeof(r->bad), "%zu fields, expected %zu", r->n_fields, r->columns.count);
    }
    if (*r->bad) *bad = r->bad;
    return KUA_OK;
}

int kua__reader_column(const kua__reader *r, const char *name)
{
    uint32_t id = kua__ids_find(&r->columns, name, strlen(name));
    if (id == KUA__NO_ID && r->kind == READER_JSONL && r->columns.count < KUA__COLUMNS_MAX) {
        /* Objects have no header: a member becomes a column when it is first asked for. */
        if (kua__ids_add((kua__ids *)&r->columns, name, strlen(name), &id)) return -1;
    }
    return id == KUA__NO_ID ? -1 : (int)id;
}

size_t kua__reader_columns(const kua__reader *r)
{
    return r->columns.count;
}

const char *kua__reader_column_name(const kua__reader *r, size_t column)
{
    assert(column < r->columns.count);
    return r->columns.name[column];
}

kua__field kua__reader_field(const kua__reader *r, int column)
{
    if (column < 0 || (size_t)column >= r->n_fields) return (kua__field){"", 0};
    return (kua__field){r->fields.data + r->offset[column], r->length[column]};
}

kua__field kua__reader_raw(const kua__reader *r)
{
    return (kua__field){r->data + r->row_at, r->row_end - r->row_at};
}

const char *kua__reader_name(const kua__reader *r)
{
    return r->name;
}

uint64_t kua__reader_line(const kua__reader *r)
{
    return r->line;
}

uint64_t kua__reader_offset(const kua__reader *r)
{
    return r->at;
}

uint64_t kua__reader_size(const kua__reader *r)
{
    return r->size;
}

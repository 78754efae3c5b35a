/* data/table_delimited.c - rows of fields between commas or tabs.
 *
 * Tabs: a row is a line, a field is what stands between tabs. Commas: one pass of a small machine
 * over the window finds the fields and the end of the row together, because only it knows whether a
 * line break stands inside quotes:
 *
 *     START -"-> QUOTED -"-> CLOSED -"-> QUOTED          ("" is a quote)
 *       |                      | , or line end -> field ends
 *       v                      | anything else: the row is bad, and ends at the line's end
 *     PLAIN (a quote is a letter here)
 *
 * Positions are relative to the row's begin: the window may move while a row is read.
 *
 * A row passes three hands: scan_row finds its cells (offsets), check_row says whether it is one,
 * fill_fields makes pointers of the offsets. Only the last needs the window to stay where it is.
 *
 * A quote that is never closed would swallow the rest of the file as one field. It is therefore an
 * error of the file and not of a row, told with the line of the quote.
 */
#include <assert.h>
#include <string.h>

#include "data/table_private.h"

typedef enum csv_state { START, PLAIN, QUOTED, CLOSED } csv_state;

typedef struct csv_scan {
    csv_state state;
    size_t at, from;      /* positions: next byte, begin of the field */
    size_t used, lines;   /* when done */
    size_t quote_line;    /* where the open quote stands */
    bool escaped, broken; /* broken: text after a closing quote, in field broken_field */
    size_t broken_field;
} csv_scan;

static kua_status add_cell(kua__table *t, size_t from, size_t n, bool escaped)
{
    if (t->n_cells == KUA__TABLE_COLUMNS_MAX + 1) {
        return KUA_OK; /* one too many is enough to know */
    }
    KUA__TRY(KUA__GROW(&t->cells, &t->cells_room, t->n_cells, "fields of a row"));
    t->cells[t->n_cells++] = (kua__cell){from, n, escaped};
    return KUA_OK;
}

static kua_status end_field(kua__table *t, csv_scan *s)
{
    assert(s->from <= s->at);
    size_t n = s->at - s->from;
    if (s->state == CLOSED && !s->broken) {
        assert(n > 0);
        n--; /* the closing quote; `at` is past it */
        const char *text = t->data + t->begin + s->from;
        while (n && text[n] != '"') { /* a '\r' before the line's end */
            n--;
        }
    } else if (n && t->data[t->begin + s->at - 1] == '\r') {
        n--;
    }
    KUA__TRY(add_cell(t, s->from, n, s->escaped));
    s->state = START;
    s->escaped = false;
    s->from = s->at + 1;
    return KUA_OK;
}

/* One byte that is neither a comma nor a line end of its own. */
static void scan_byte(kua__table *t, csv_scan *s, char c)
{
    assert(c != ',' || s->state == QUOTED);
    switch (s->state) {
    case START:
        s->state = c == '"' ? QUOTED : PLAIN;
        s->from = s->at + (c == '"');
        s->quote_line = t->next_line + s->lines;
        break;
    case QUOTED:
        s->lines += c == '\n';
        s->state = c == '"' ? CLOSED : QUOTED;
        break;
    case CLOSED:
        if (c == '"') {
            s->state = QUOTED;
            s->escaped = true;
        } else if (c != '\r') {
            s->broken_field = s->broken ? s->broken_field : t->n_cells + 1;
            s->broken = true;
            s->state = PLAIN;
        }
        break;
    case PLAIN:
        break;
    }
}

static kua_status never_closed(const kua__table *t, const csv_scan *s)
{
    return kua__fail(KUA_FORMAT, "%s:%zu: the quote that opens column %zu is never closed", t->name,
                     s->quote_line, t->n_cells + 1);
}

static kua_status scan_more(kua__table *t, const csv_scan *s)
{
    if (s->state == QUOTED && t->end - t->begin > KUA__TABLE_LINE_MAX) {
        return never_closed(t, s);
    }
    return kua__table_more(t);
}

/* Finds the row at `begin`: cells, used and lines; used is 0 at the end of the file. */
static kua_status scan_csv(kua__table *t, csv_scan *s)
{
    /* Invariant: at <= end - begin, and every cell lies before `at`. */
    *s = (csv_scan){0};
    t->n_cells = 0;
    for (;; s->at++) {
        while (s->at == t->end - t->begin && !t->eof) {
            KUA__TRY(scan_more(t, s));
        }
        if (s->at == t->end - t->begin) {
            break;
        }
        char c = t->data[t->begin + s->at];
        if (s->state != QUOTED && (c == ',' || c == '\n')) {
            KUA__TRY(end_field(t, s));
            if (c == '\n') {
                s->used = s->at + 1;
                s->lines++;
                return KUA_OK;
            }
        } else {
            scan_byte(t, s, c);
        }
    }
    if (s->state == QUOTED) {
        return never_closed(t, s);
    }
    s->used = s->at;
    s->lines += s->at > 0;
    return s->at ? end_field(t, s) : KUA_OK;
}

/* ---- rows ---- */

static kua_status cut_tabs(kua__table *t, size_t n)
{
    assert(n <= t->end - t->begin);
    t->n_cells = 0;
    const char *text = t->data + t->begin;
    for (size_t from = 0;;) {
        const char *tab = memchr(text + from, '\t', n - from);
        size_t to = tab ? (size_t)(tab - text) : n;
        KUA__TRY(add_cell(t, from, to - from, false));
        if (!tab) {
            return KUA_OK;
        }
        from = to + 1;
    }
}

static kua_status scan_row(kua__table *t, csv_scan *s)
{
    if (t->format == KUA__TABLE_CSV) {
        return scan_csv(t, s);
    }
    size_t n;
    *s = (csv_scan){0};
    KUA__TRY(kua__table_line(t, &n, &s->used));
    s->lines = 1;
    return s->used ? cut_tabs(t, n) : KUA_OK;
}

/* Is the row well formed? Else `problem` says why not. */
static bool check_row(kua__table *t, const csv_scan *s, const kua__row *row)
{
    if (!kua__table_clean(t, row->raw, row->raw_n)) {
        return false;
    }
    if (s->broken) {
        kua__buf_printf(&t->problem, "column %zu has text after its closing quote",
                        s->broken_field);
        return false;
    }
    if (t->n_cells != t->n_columns) {
        kua__buf_printf(&t->problem, "has %zu%s columns, the header has %zu", t->n_cells,
                        t->n_cells > KUA__TABLE_COLUMNS_MAX ? " or more" : "", t->n_columns);
        return false;
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        if (t->cells[i].n > KUA__TABLE_FIELD_MAX) {
            kua__buf_printf(&t->problem, "%s has %zu bytes, the limit is %d", t->columns[i].name,
                            t->cells[i].n, KUA__TABLE_FIELD_MAX);
            return false;
        }
    }
    return true;
}

static void add_unescaped(kua__buf *to, const char *text, size_t n)
{
    for (size_t i = 0; i < n;) {
        const char *quote = memchr(text + i, '"', n - i);
        size_t end = quote ? (size_t)(quote - text) + 1 : n; /* the first of the two stays */
        kua__buf_add(to, text + i, end - i);
        i = quote ? end + 1 : n;
    }
}

/* Cells to fields. Escaped ones are rewritten in scratch, whose place is known only at the end. */
static kua_status fill_fields(kua__table *t)
{
    assert(t->n_cells == t->n_columns && t->n_cells <= t->fields_room);
    const char *base = t->data + t->begin;
    kua__buf_clear(&t->scratch);
    for (size_t i = 0; i < t->n_cells; i++) {
        kua__cell *c = &t->cells[i];
        t->fields[i] = (kua__field){base + c->from, c->n};
        if (c->escaped) {
            size_t from = t->scratch.len;
            add_unescaped(&t->scratch, base + c->from, c->n);
            *c = (kua__cell){from, t->scratch.len - from, true};
        }
    }
    KUA__TRY(kua__buf_status(&t->scratch));
    for (size_t i = 0; i < t->n_cells; i++) {
        if (t->cells[i].escaped) {
            t->fields[i] = (kua__field){t->scratch.data + t->cells[i].from, t->cells[i].n};
        }
    }
    return KUA_OK;
}

/* A line with nothing on it is no row: files often end with some. A quoted "" is a field. */
static bool is_blank(const kua__table *t)
{
    return t->n_cells == 1 && t->cells[0].n == 0 && !t->cells[0].escaped;
}

kua_status kua__delimited_next(kua__table *t, kua__row *row)
{
    csv_scan s;
    for (;;) {
        KUA__TRY(scan_row(t, &s));
        if (s.used == 0) {
            return KUA_OK; /* the end: row->line is 0 */
        }
        if (!is_blank(t)) {
            break;
        }
        kua__table_skip(t, s.used, s.lines);
    }
    row->line = t->next_line;
    row->n_lines = s.lines;
    row->raw = t->data + t->begin;
    row->raw_n = s.used;
    /* strchr finds the NUL at the end of its list as well, which is no line end. */
    while (row->raw_n && strchr("\r\n", row->raw[row->raw_n - 1]) && row->raw[row->raw_n - 1]) {
        row->raw_n--;
    }
    kua_status st = KUA_OK;
    if (check_row(t, &s, row)) {
        row->field = t->fields;
        st = fill_fields(t);
    } else {
        st = kua__table_bad(t, row);
    }
    kua__table_skip(t, s.used, s.lines);
    return st;
}

/* ---- the header ---- */

/* "timestamp:float" -> 9, the length of the name. */
static kua_status check_type(const kua__table *t, const char *text, size_t n, size_t *name_n)
{
    static const char *const types[] = {"token", "token_seq", "float", "float_seq"};
    const char *colon = n ? memrchr(text, ':', n) : NULL;
    size_t at = colon ? (size_t)(colon - text) + 1 : 0;
    for (size_t i = 0; colon && i < KUA__COUNT(types); i++) {
        if (strlen(types[i]) == n - at && memcmp(types[i], text + at, n - at) == 0) {
            *name_n = at - 1;
            return KUA_OK;
        }
    }
    return kua__fail(KUA_FORMAT,
                     "%s:1: column '%.*s', expected name:type with type token, token_seq, float "
                     "or float_seq",
                     t->name, (int)KUA__MIN(n, (size_t)100), text);
}

static kua_status add_header_field(kua__table *t, const char *text, size_t n)
{
    if (t->format == KUA__TABLE_ATOMIC) {
        KUA__TRY(check_type(t, text, n, &n));
    }
    if (n == 0) {
        return kua__fail(KUA_FORMAT, "%s:1: column %zu has no name", t->name, t->n_columns + 1);
    }
    for (size_t i = 0; i < t->n_columns; i++) {
        if (strlen(t->columns[i].name) == n && memcmp(t->columns[i].name, text, n) == 0) {
            return kua__fail(KUA_FORMAT, "%s:1: columns %zu and %zu are both called '%s'", t->name,
                             i + 1, t->n_columns + 1, t->columns[i].name);
        }
    }
    return kua__table_add_column(t, text, n);
}

kua_status kua__delimited_header(kua__table *t)
{
    csv_scan s;
    KUA__TRY(scan_row(t, &s));
    if (s.used == 0) {
        return kua__fail(KUA_FORMAT, "%s: is empty, expected at least a header line", t->name);
    }
    const char *text = t->data + t->begin;
    if (!kua__table_clean(t, text, s.used)) {
        KUA__TRY(kua__buf_status(&t->problem));
        return kua__fail(KUA_FORMAT, "%s:1: the header %s", t->name, t->problem.data);
    }
    if (s.broken) {
        return kua__fail(KUA_FORMAT, "%s:1: column %zu has text after its closing quote", t->name,
                         s.broken_field);
    }
    for (size_t i = 0; i < t->n_cells; i++) {
        kua__buf_clear(&t->scratch);
        add_unescaped(&t->scratch, text + t->cells[i].from,
                      t->cells[i].escaped ? t->cells[i].n : 0);
        KUA__TRY(kua__buf_status(&t->scratch));
        bool escaped = t->cells[i].escaped;
        KUA__TRY(add_header_field(t, escaped ? t->scratch.data : text + t->cells[i].from,
                                  escaped ? t->scratch.len : t->cells[i].n));
    }
    kua__table_skip(t, s.used, s.lines);
    return KUA_OK;
}

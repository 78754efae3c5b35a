/* data/table_jsonl.c - rows that are JSON objects, one a line.
 *
 * The columns are the members of the first object plus those that the reader asks for. Strings are
 * lent out from the parsed object, which lives until the next line is parsed; everything else is
 * written into scratch, whose place is known only when it has stopped growing. Pointers are
 * therefore set in a second pass over the fields, in the order in which they were written.
 */
#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "data/table_private.h"

/* Finds the next line that is not blank; *used is 0 at the end. */
static kua_status next_object_line(kua__table *t, size_t *n, size_t *used)
{
    for (;;) {
        KUA__TRY(kua__table_line(t, n, used));
        const char *text = t->data + t->begin;
        size_t blank = 0;
        while (blank < *n && strchr(" \t\r", text[blank]) && text[blank]) {
            blank++;
        }
        if (*used == 0 || blank < *n) {
            return KUA_OK;
        }
        kua__table_skip(t, *used, 1);
    }
}

/* Parses a line into `object`; where it is none, *fine is false and `problem` says why. */
static kua_status parse_line(kua__table *t, const char *text, size_t n, bool *fine)
{
    json_decref(t->object);
    t->object = NULL;
    *fine = kua__table_clean(t, text, n);
    if (!*fine) {
        return KUA_OK;
    }
    kua_status st = kua__json_parse("", text, n, &t->object);
    if (st == KUA_FORMAT) { /* ":1:17: words" */
        const char *words = kua_error_message();
        kua__buf_printf(&t->problem, "position %s",
                        kua__has_prefix(words, ":1:") ? words + 3 : words);
        *fine = false;
        return KUA_OK;
    }
    if (!st && !json_is_object(t->object)) {
        kua__buf_printf(&t->problem, "is not a JSON object");
        *fine = false;
    }
    return st;
}

kua_status kua__jsonl_header(kua__table *t)
{
    size_t n, used;
    bool fine;
    KUA__TRY(next_object_line(t, &n, &used));
    if (used == 0) {
        return kua__fail(KUA_FORMAT, "%s: has only blank lines, expected JSON objects", t->name);
    }
    KUA__TRY(parse_line(t, t->data + t->begin, n, &fine));
    if (!fine) {
        KUA__TRY(kua__buf_status(&t->problem));
        return kua__fail(KUA_FORMAT, "%s:%zu: the first line, which names the columns: %s", t->name,
                         t->next_line, t->problem.data);
    }
    const char *key;
    json_t *value;
    json_object_foreach(t->object, key, value)
    {
        KUA__TRY(kua__table_add_column(t, key, strlen(key)));
    }
    return KUA_OK;
}

/* ---- values to text ---- */

static void add_joined(kua__buf *to, const json_t *value, const char *joiner, int depth);

static void add_scalar(kua__buf *to, const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_STRING:
        kua__buf_add(to, json_string_value(value), json_string_length(value));
        break;
    case JSON_INTEGER:
        kua__buf_printf(to, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
        break;
    case JSON_REAL:
        kua__buf_printf(to, "%.17g", json_real_value(value));
        break;
    case JSON_TRUE:
        kua__buf_puts(to, "true");
        break;
    case JSON_FALSE:
        kua__buf_puts(to, "false");
        break;
    default:
        break;
    }
}

/* Arrays in arrays (paths of categories) are flattened; objects in arrays have no text. The depth
 * is bounded because a file decides about it, and the stack is ours. */
static void add_joined(kua__buf *to, const json_t *value, const char *joiner, int depth)
{
    enum { DEPTH_MAX = 8 };
    if (!json_is_array(value)) {
        add_scalar(to, value);
        return;
    }
    size_t i, start = to->len;
    json_t *part;
    json_array_foreach(value, i, part)
    {
        if (json_is_null(part) || json_is_object(part) || depth == DEPTH_MAX) {
            continue;
        }
        if (to->len > start) {
            kua__buf_puts(to, joiner);
        }
        add_joined(to, part, joiner, depth + 1);
    }
}

/* Fills fields; those in scratch get their offset first and their place when it is known. */
static kua_status fill_fields(kua__table *t)
{
    assert(json_is_object(t->object) && t->n_columns <= KUA__MAX(t->fields_room, (size_t)1));
    kua__buf_clear(&t->scratch);
    for (size_t i = 0; i < t->n_columns; i++) {
        const json_t *value = json_object_get(t->object, t->columns[i].name);
        kua__field *field = &t->fields[i];
        *field = (kua__field){0};
        if (json_is_string(value)) {
            *field = (kua__field){json_string_value(value), json_string_length(value)};
        } else if (value && !json_is_null(value)) {
            size_t from = t->scratch.len;
            const char *joiner = t->columns[i].joiner;
            add_joined(&t->scratch, value, joiner ? joiner : " ", 0);
            field->n = t->scratch.len - from;
        }
    }
    KUA__TRY(kua__buf_status(&t->scratch));
    size_t at = 0;
    for (size_t i = 0; i < t->n_columns; i++) {
        const json_t *value = json_object_get(t->object, t->columns[i].name);
        if (value && !json_is_null(value) && !json_is_string(value)) {
            t->fields[i].text = t->scratch.data ? t->scratch.data + at : "";
            at += t->fields[i].n;
        }
    }
    assert(at == t->scratch.len);
    return KUA_OK;
}

static bool check_fields(kua__table *t)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        if (t->fields[i].n > KUA__TABLE_FIELD_MAX) {
            kua__buf_clear(&t->problem);
            kua__buf_printf(&t->problem, "%s has %zu bytes, the limit is %d", t->columns[i].name,
                            t->fields[i].n, KUA__TABLE_FIELD_MAX);
            return false;
        }
    }
    return true;
}

kua_status kua__jsonl_next(kua__table *t, kua__row *row)
{
    size_t n, used;
    bool fine;
    KUA__TRY(next_object_line(t, &n, &used));
    if (used == 0) {
        return KUA_OK; /* the end: row->line is 0 */
    }
    *row = (kua__row){.line = t->next_line, .n_lines = 1, .raw = t->data + t->begin, .raw_n = n};
    KUA__TRY(parse_line(t, row->raw, n, &fine));
    if (fine) {
        KUA__TRY(fill_fields(t));
        row->field = t->fields;
        fine = check_fields(t);
    }
    kua_status st = fine ? KUA_OK : kua__table_bad(t, row);
    kua__table_skip(t, used, 1);
    return st;
}

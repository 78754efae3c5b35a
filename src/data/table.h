/* data/table.h - files of rows and named columns, read one row at a time.
 *
 *     kua__table *t = NULL;
 *     kua__row row;
 *     kua_status st = kua__table_open("beauty.inter", KUA__TABLE_ATOMIC, &t);
 *     size_t user = 0;
 *     if (!st) st = kua__table_want(t, "user_id", &user);
 *     while (!st && !(st = kua__table_next(t, &row)) && row.line) {
 *         if (row.bad) ...line row.line is no row: row.bad says why...
 *         else ...row.field[user].text, .n...
 *     }
 *     kua__table_close(t);
 *
 * Formats
 *   atomic   RecBole's .inter, .item, .user: tabs, no quotes, columns "name:type" with type one of
 *            token, token_seq, float, float_seq
 *   csv      RFC 4180: commas, "quoted, fields" with "" for a quote and line breaks inside; a quote
 *            in the middle of an unquoted field stands for itself
 *   tsv      tabs, no quotes
 *   jsonl    one JSON object a line; members are columns, arrays are joined by the column's joiner,
 *            true and numbers are written out, null and what is absent is missing
 *
 * Two kinds of trouble: a line that is no row (wrong number of columns, not UTF-8, a NUL, a field
 * over the limit, text after a closing quote, broken JSON) is told in row.bad and reading goes on
 * after it; what makes the rest of the file meaningless (an unreadable file, UTF-16, a bad header,
 * a quote that is never closed, a line over the limit) fails with KUA_FORMAT.
 *
 * Memory: the longest line so far, whatever the file's size.
 */
#ifndef KUA_DATA_TABLE_H
#define KUA_DATA_TABLE_H

#include "base/base.h"

enum {
    KUA__TABLE_FIELD_MAX = 1 << 20, /* bytes of a field */
    KUA__TABLE_LINE_MAX = 16 << 20, /* bytes of a line, or of a row with line breaks in quotes */
    KUA__TABLE_COLUMNS_MAX = 4096,
};

typedef enum kua__table_format {
    KUA__TABLE_ATOMIC,
    KUA__TABLE_CSV,
    KUA__TABLE_TSV,
    KUA__TABLE_JSONL,
    KUA__TABLE_FORMATS
} kua__table_format;

const char *kua__table_format_name(kua__table_format format); /* "csv" */
/* By the file's ending: .inter .item .user, .csv, .tsv, .jsonl .ndjson. KUA_INVALID names them. */
kua_status kua__table_format_of(const char *path, kua__table_format *out);

typedef struct kua__field {
    const char *text; /* n bytes, not NUL-terminated; valid until the next row; NULL: missing */
    size_t n;
} kua__field;

typedef struct kua__row {
    size_t line;     /* number of its first line, the header being 1; 0: there are no more rows */
    size_t n_lines;  /* how many lines it spans */
    const char *bad; /* why it is no row ("has 3 columns, the header has 4"); NULL: it is one */
    const kua__field *field; /* [columns] where it is one */
    const char *raw;         /* the line as it stands in the file */
    size_t raw_n;
} kua__row;

typedef struct kua__table kua__table;

kua_status kua__table_open(const char *path, kua__table_format format, kua__table **out);
/* The same for bytes in memory, which must outlive the table; `name` is for messages. */
kua_status kua__table_open_memory(const char *name, const void *data, size_t n,
                                  kua__table_format format, kua__table **out);
void kua__table_close(kua__table *table); /* NULL is allowed */

const char *kua__table_name(const kua__table *table); /* the path as given */
size_t kua__table_columns(const kua__table *table);
const char *kua__table_column(const kua__table *table, size_t i);
/* Does the header (JSON Lines: the first object) have this column? */
bool kua__table_has(const kua__table *table, const char *column);
/* The number of a column. KUA_FORMAT where the header lacks it, naming those that it has; in JSON
 * Lines every name may be wanted, since later lines may have it. Before the first row only. */
kua_status kua__table_want(kua__table *table, const char *column, size_t *out);
/* What stands between the values of a JSON array in this column; the default is a space. */
kua_status kua__table_joiner(kua__table *table, size_t column, const char *joiner);

kua_status kua__table_next(kua__table *table, kua__row *row);
/* Bytes read so far, and of the whole file (0: not known, as for a pipe). */
void kua__table_progress(const kua__table *table, uint64_t *done, uint64_t *total);

#endif

/* data/reader.h - rows of text files by column name: RecBole atomic files, CSV, TSV, JSON Lines.
 *
 *     kua__reader *r = NULL;
 *     kua_status st = kua__reader_open("beauty.inter", &r);
 *     int user = kua__reader_column(r, "user_id");
 *     while (!st && !(st = kua__reader_next(r, &more)) && more) use(kua__reader_field(r, user));
 *
 * The kind is chosen by the name's end: .csv (RFC 4180: quotes, doubled quotes, line breaks inside
 * quotes), .jsonl (one object a line), anything else tab-separated; a header of "name:type" fields
 * makes it an atomic file.
 *
 * Limits: a line of 16 MiB, a field of 1 MiB, 4096 columns. Memory: one line, whatever the file's
 * size. A bad row is not a failure of the reader: kua__reader_next returns KUA_OK with r->bad set
 * to the reason.
 */
#ifndef KUA_DATA_READER_H
#define KUA_DATA_READER_H

#include "base/base.h"

enum { KUA__LINE_MAX = 16 << 20, KUA__FIELD_MAX = 1 << 20, KUA__COLUMNS_MAX = 4096 };

typedef struct kua__field {
    const char *text; /* NUL-terminated; valid until the next row */
    size_t n;
} kua__field;

typedef struct kua__reader kua__reader;

/* KUA_IO: cannot be read. KUA_FORMAT: empty, no header, UTF-16, a header that is not UTF-8. */
kua_status kua__reader_open(const char *path, kua__reader **out);
/* The same over memory (for tests and fuzzing); `name` decides the kind. The bytes must outlive the
 * reader. */
kua_status kua__reader_open_memory(const char *name, const char *data, size_t size,
                                   kua__reader **out);
void kua__reader_close(kua__reader *reader);

const char *kua__reader_name(const kua__reader *reader);
uint64_t kua__reader_line(const kua__reader *reader); /* of the row last read, from 1 */
uint64_t kua__reader_offset(const kua__reader *reader);
uint64_t kua__reader_size(const kua__reader *reader);

int kua__reader_column(const kua__reader *reader,
                       const char *name); /* -1: no such column; JSON Lines: always >= 0 */
size_t kua__reader_columns(const kua__reader *reader);
const char *kua__reader_column_name(const kua__reader *reader, size_t column);

/* Reads the next row; *more is false at the end. *bad is NULL or why the row cannot be used ("3
 * fields, expected 4"). */
kua_status kua__reader_next(kua__reader *reader, bool *more, const char **bad);
/* Empty where a JSON object lacks the member or column < 0. */
kua__field kua__reader_field(const kua__reader *reader, int column);
/* The bytes of the row last read, for the rejects file. */
kua__field kua__reader_raw(const kua__reader *reader);

#endif

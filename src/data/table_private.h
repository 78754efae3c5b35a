/* data/table_private.h - what the readers of the formats share: the window on the file.
 *
 *     data   [ done | begin ......... end | free ]       `room` bytes
 *                     ^ the next record starts here; positions are relative to it, because the
 *                       window moves when more is read
 */
#ifndef KUA_DATA_TABLE_PRIVATE_H
#define KUA_DATA_TABLE_PRIVATE_H

#include "base/json.h"
#include "data/table.h"

typedef struct kua__column {
    char *name, *joiner; /* joiner: NULL for a space */
} kua__column;

/* A field of the record at `begin`, before it becomes a pointer. */
typedef struct kua__cell {
    size_t from, n;
    bool escaped; /* has "" for quotes */
} kua__cell;

struct kua__table {
    char *name;
    kua__table_format format;

    int fd; /* -1: memory, which is all in `data` */
    bool owns_data, eof;
    char *data;
    size_t room, begin, end;
    uint64_t read, total; /* bytes */
    size_t next_line;     /* number of the line at `begin` */

    kua__column *columns;
    size_t n_columns, columns_room, n_header; /* n_header: those of the header */
    kua__cell *cells;                         /* of the last record */
    size_t n_cells, cells_room;
    kua__field *fields; /* [n_columns] of the last row */
    size_t fields_room;
    kua__buf scratch; /* what had to be rewritten: unescaped quotes, JSON values */
    kua__buf problem; /* row.bad */
    json_t *object;   /* JSON Lines: the last row */
};

/* Reads more behind `end`; sets eof where there is none. KUA_FORMAT past the limit of a line. */
kua_status kua__table_more(kua__table *t);
/* Finds the line at `begin` without its end; *used is 0 at the end of the file, else what to skip.
 */
kua_status kua__table_line(kua__table *t, size_t *n, size_t *used);
void kua__table_skip(kua__table *t, size_t used, size_t lines);
/* Checks for NUL bytes and broken UTF-8; false with `problem` set. */
bool kua__table_clean(kua__table *t, const char *text, size_t n);
kua_status kua__table_add_column(kua__table *t, const char *name, size_t n);
kua_status kua__table_reserve_fields(kua__table *t);
/* row->bad = problem, or KUA_NOMEM */
kua_status kua__table_bad(kua__table *t, kua__row *row);

kua_status kua__delimited_header(kua__table *t);
kua_status kua__delimited_next(kua__table *t, kua__row *row);
kua_status kua__jsonl_header(kua__table *t);
kua_status kua__jsonl_next(kua__table *t, kua__row *row);

#endif

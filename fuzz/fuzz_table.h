/* fuzz/fuzz_table.h - what the targets of the table formats share: read everything there is, and
 * hold the reader to what its header promises. */
#ifndef FUZZ_TABLE_H
#define FUZZ_TABLE_H

#include <stdlib.h>
#include <string.h>

#include "data/table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static inline void check_row(const kua__table *t, const kua__row *row)
{
    require(row->raw_n == 0 || row->raw);
    require(!row->bad == (row->field != NULL));
    for (size_t i = 0; row->field && i < kua__table_columns(t); i++) {
        kua__field f = row->field[i];
        require(f.n <= KUA__TABLE_FIELD_MAX && (f.text || f.n == 0));
        require(f.n == 0 || (kua__utf8_valid(f.text, f.n) == f.n && !memchr(f.text, 0, f.n)));
    }
}

static inline void read_table(const char *name, kua__table_format format, const uint8_t *data,
                              size_t size)
{
    kua__table *t;
    kua__row row;
    size_t last = 0;
    if (kua__table_open_memory(name, data, size, format, &t)) {
        require(!t && strlen(kua_error_message()) > 0);
        return;
    }
    while (!kua__table_next(t, &row) && row.line) {
        require(row.line > last && row.n_lines >= 1);
        last = row.line + row.n_lines - 1;
        check_row(t, &row);
    }
    kua__table_close(t);
}

#endif

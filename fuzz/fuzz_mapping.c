/* fuzz/fuzz_mapping.c - mappings: refused with a message, or bound to a table without a crash. The
 * part after the first NUL byte is the table's header. */
#include "data/mapping.h"
#include "fuzz_table.h"

static void bind_all(const kua__mapping *m, const uint8_t *header, size_t n)
{
    for (int s = 0; s < KUA__SECTIONS; s++) {
        kua__table *t;
        kua__binding b;
        if (kua__table_open_memory("fuzz.csv", header, n, KUA__TABLE_CSV, &t)) {
            continue;
        }
        if (!kua__mapping_bind(m, (kua__section)s, t, &b)) {
            for (int r = 0; r < KUA__ROLES; r++) {
                for (size_t i = 0; i < b.role[r].n; i++) {
                    require(b.role[r].column[i] < kua__table_columns(t));
                }
            }
        }
        kua__table_close(t);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *nul = size ? memchr(data, 0, size) : NULL;
    size_t n = nul ? (size_t)(nul - data) : size;
    kua__mapping *m;
    uint8_t type;
    if (kua__mapping_parse("fuzz.json", (const char *)data, n, &m)) {
        require(!m && strlen(kua_error_message()) > 0);
        return 0;
    }
    (void)kua__mapping_type(m, (const char *)data, KUA__MIN(n, (size_t)8), &type);
    if (nul) {
        bind_all(m, nul + 1, size - n - 1);
    }
    kua__mapping_free(m);
    return 0;
}

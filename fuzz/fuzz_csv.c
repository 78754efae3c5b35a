/* fuzz/fuzz_csv.c - CSV and TSV: never a crash, and every row is one or says why not. */
#include "fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_table("fuzz.csv", KUA__TABLE_CSV, data, size);
    read_table("fuzz.tsv", KUA__TABLE_TSV, data, size);
    return 0;
}

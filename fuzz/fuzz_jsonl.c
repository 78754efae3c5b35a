/* fuzz/fuzz_jsonl.c - JSON Lines: never a crash, and every row is one or says why not. */
#include "fuzz_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_table("fuzz.jsonl", KUA__TABLE_JSONL, data, size);
    return 0;
}

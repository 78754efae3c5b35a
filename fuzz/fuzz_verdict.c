/* fuzz_verdict.c - the guard's verdict as a published model stores it. */
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "transfer/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *json = NULL;
    kua__verdict verdict;
    if (kua__json_parse("verdict", (const char *)data, size, &json)) return 0;
    if (!kua__verdict_load("verdict", json, &verdict)) {
        for (uint32_t bits = 0; bits < 1u << KUA__SLICES; bits += 37)
            kua__verdict_allows(&verdict, bits);
        kua__verdict_release(&verdict);
    }
    json_decref(json);
    return 0;
}

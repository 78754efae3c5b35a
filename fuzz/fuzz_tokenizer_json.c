/* fuzz/fuzz_tokenizer_json.c - tokenizer.json: a clear refusal or a tokenizer that works. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    long live = kua__alloc_live();
    kua_tokenizer *tokenizer = NULL;
    kua_status st = kua__tokenizer_from_json("tokenizer.json", text, size, &tokenizer);
    require((st == KUA_OK) == (tokenizer != NULL));
    if (st)
        require(st == KUA_FORMAT && strlen(kua_error_message()) > 0);
    else
        require_sane_tokenizer(tokenizer, text, size);
    kua_tokenizer_free(tokenizer);
    require(kua__alloc_live() == live);
    return 0;
}

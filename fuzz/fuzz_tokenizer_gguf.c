/* fuzz/fuzz_tokenizer_gguf.c - the metadata of a GGUF file as a tokenizer. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    long live = kua__alloc_live();
    kua_tokenizer *tokenizer = NULL;
    kua__gguf *file = NULL;
    kua_status st = kua__gguf_parse("fuzz.gguf", data, size, &file);
    if (!st) {
        st = kua__tokenizer_from_gguf(file, &tokenizer);
        require((st == KUA_OK) == (tokenizer != NULL));
        if (st)
            require((st == KUA_FORMAT || st == KUA_NOTFOUND) && strlen(kua_error_message()) > 0);
        else
            require_sane_tokenizer(tokenizer, (const char *)data, size);
    }
    kua__gguf_close(file);
    kua_tokenizer_free(tokenizer);
    require(kua__alloc_live() == live);
    return 0;
}

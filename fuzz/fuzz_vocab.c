/* fuzz/fuzz_vocab.c - vocab.txt, and the tokenizer_config.json beside it: what stands before the
 * first NUL byte. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size ? memchr(text, 0, size) : NULL;
    const char *vocab = end ? end + 1 : text;
    size_t n = size - (size_t)(vocab - text);
    long live = kua__alloc_live();
    kua_tokenizer *tokenizer = NULL;
    kua_status st = kua__tokenizer_from_vocab("vocab.txt", vocab, n, "config", end ? text : NULL,
                                              (size_t)(end ? end - text : 0), &tokenizer);
    require((st == KUA_OK) == (tokenizer != NULL));
    if (st)
        require(st == KUA_FORMAT && strlen(kua_error_message()) > 0);
    else
        require_sane_tokenizer(tokenizer, text, size);
    kua_tokenizer_free(tokenizer);
    require(kua__alloc_live() == live);
    return 0;
}

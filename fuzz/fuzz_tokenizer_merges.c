/* fuzz/fuzz_tokenizer_merges.c - merges.txt, and the vocab.json beside it: what stands before the
 * first NUL byte. */
#include "fuzz_tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data, *end = size ? memchr(text, 0, size) : NULL;
    const char *merges = end ? end + 1 : text;
    size_t n = size - (size_t)(merges - text);
    static const char vocab[] = "{\"a\":0,\"b\":1,\"ab\":2,\"aba\":3,\"\\u0120\":4,\"\\u0120a\":5}";
    long live = kua__alloc_live();
    kua_tokenizer *tokenizer = NULL;
    kua_status st = kua__tokenizer_from_merges("vocab.json", end ? text : vocab,
                                               end ? (size_t)(end - text) : sizeof(vocab) - 1,
                                               "merges.txt", merges, n, &tokenizer);
    require((st == KUA_OK) == (tokenizer != NULL));
    if (st)
        require(st == KUA_FORMAT && strlen(kua_error_message()) > 0);
    else
        require_sane_tokenizer(tokenizer, text, size);
    kua_tokenizer_free(tokenizer);
    require(kua__alloc_live() == live);
    return 0;
}

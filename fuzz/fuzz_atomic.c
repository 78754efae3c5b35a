/* fuzz/fuzz_atomic.c - RecBole's atomic files, and cleaning of every field as a text. */
#include "data/text_clean.h"
#include "fuzz_table.h"

static void clean(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    kua__buf out = {0};
    if (kua__utf8_valid(text, size) == size) {
        require(!kua__text_clean(text, size, &out));
        require(out.len == 0 || kua__utf8_valid(out.data, out.len) == out.len);
        require(out.len == 0 || (out.data[0] != ' ' && out.data[out.len - 1] != ' '));
        require(out.len == 0 || !memchr(out.data, '\n', out.len));
    }
    kua__buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_table("fuzz.inter", KUA__TABLE_ATOMIC, data, size);
    clean(data, size);
    return 0;
}

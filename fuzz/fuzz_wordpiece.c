/* fuzz/fuzz_wordpiece.c - any bytes as a text.
 *
 * Three things must hold: ids are sane (fuzz_tokenizer.h); the two ways to encode agree, that is
 * straight from the text, and from the normalised text as it is done where a file has added tokens
 * to be found there; and a blank separates: the ids of "a b" are those of a and of b.
 */
#include "fuzz_tokenizer.h"

#define VOCAB                                                                                      \
    "\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,\"[MASK]\":4,\"a\":5,\"##a\":6,\"b\":7,\"##"  \
    "b\":8,\"ab\":9,\"##ba\":10,"                                                                  \
    "\"i\":11,\"##i\":12,\"\\u4e2d\":13,\"##\\u302e\":14,\"##\\ud834\\udd65\":15,\"\\u1112\":16,"  \
    "\"##\\u1161\":17,\"##\\u11ab\":18,"                                                           \
    "\",\":19,\"[\":20,\"]\":21,\"\\u302e\":22,\"e\":23,\"##e\":24,\"##\\u1b44\":25,\"\\ufffd\":"  \
    "26,\"##\\ufffd\":27"
#define SPECIAL(id, text) "{\"id\":" #id ",\"content\":\"" text "\",\"special\":true}"
#define FILE_TEXT(more)                                                                            \
    "{\"model\":{\"type\":\"WordPiece\",\"vocab\":{" VOCAB                                         \
    "}},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"                                        \
    "\"normalizer\":{\"type\":\"BertNormalizer\"},\"added_tokens\":[" SPECIAL(                     \
        2, "[CLS]") "," SPECIAL(4, "[MASK]") more "]}"

static const char straight_text[] = FILE_TEXT("");
static const char normalised_text[] =
    FILE_TEXT(",{\"id\":28,\"content\":\"\\u0378\\u0379\\u0380\",\"normalized\":true}");

static kua_tokenizer *straight, *normalised;

static void require_agreement(const char *text, size_t n)
{
    kua_ids one = {0}, other = {0};
    require(!kua_tokenizer_encode(straight, text, n, 0, &one));
    require(!kua_tokenizer_encode(normalised, text, n, 0, &other));
    bool added = false; /* the added token does occur in the text */
    for (size_t i = 0; i < other.n; i++)
        added |= other.id[i] == 28;
    require(added || (one.n == other.n && memcmp(one.id, other.id, one.n * sizeof(*one.id)) == 0));
    kua_ids_release(&one);
    kua_ids_release(&other);
}

static void require_separation(const char *text, size_t n)
{
    size_t half = n / 2;
    char *joined = malloc(n + 1);
    require(joined != NULL);
    memcpy(joined, text, half);
    joined[half] = ' ';
    memcpy(joined + half + 1, text + half, n - half);
    kua_ids first = {0}, second = {0}, both = {0};
    require(!kua_tokenizer_encode(straight, text, half, 0, &first));
    require(!kua_tokenizer_encode(straight, text + half, n - half, 0, &second));
    require(!kua_tokenizer_encode(straight, joined, n + 1, 0, &both));
    require(both.n == first.n + second.n);
    if (first.n) require(memcmp(both.id, first.id, first.n * sizeof(*both.id)) == 0);
    if (second.n) require(memcmp(both.id + first.n, second.id, second.n * sizeof(*both.id)) == 0);
    kua_ids_release(&first);
    kua_ids_release(&second);
    kua_ids_release(&both);
    free(joined);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!straight) {
        require(
            !kua__tokenizer_from_json("straight", straight_text, strlen(straight_text), &straight));
        require(!kua__tokenizer_from_json("normalised", normalised_text, strlen(normalised_text),
                                          &normalised));
    }
    const char *text = size ? (const char *)data : "";
    long live = kua__alloc_live();
    require_sane_ids(straight, text, size);
    require_agreement(text, size);
    require_separation(text, size);
    require(kua__alloc_live() == live);
    return 0;
}

/* fuzz/fuzz_tokenizer.h - what must hold for every tokenizer that a fuzzed file gave. */
#ifndef KUA_FUZZ_TOKENIZER_H
#define KUA_FUZZ_TOKENIZER_H

#include <stdlib.h>
#include <string.h>

#include "text/wordpiece.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void require(bool holds)
{
    if (!holds) abort();
}

/* Ids are known, a limit cuts the end off the body and nothing else, and a batch gives the same. */
static inline void require_sane_ids(const kua_tokenizer *tokenizer, const char *text, size_t n)
{
    kua_tokenizer_info info = kua_tokenizer_describe(tokenizer);
    kua_ids all = {0}, cut = {0};
    kua_id_batch batch = {0};
    require(!kua_tokenizer_encode(tokenizer, text, n, 0, &all));
    for (size_t i = 0; i < all.n; i++)
        require(all.id[i] < info.vocab_size);
    size_t limit = info.special_per_text + (n ? (unsigned char)text[0] % 9 : 0);
    if (limit && !kua_tokenizer_encode(tokenizer, text, n, limit, &cut)) {
        require(cut.n == KUA__MIN(all.n, limit));
        size_t same = cut.n - tokenizer->around.n_behind;
        require(memcmp(cut.id, all.id, same * sizeof(*all.id)) == 0);
    }
    kua_text texts[2] = {{text, n}, {text, n / 2}};
    require(!kua_tokenizer_encode_batch(tokenizer, texts, 2, 0, &batch));
    require(batch.offset[1] == all.n && memcmp(batch.ids.id, all.id, all.n * sizeof(*all.id)) == 0);
    kua_ids_release(&all);
    kua_ids_release(&cut);
    kua_id_batch_release(&batch);
}

/* Every piece has a text, and is found by it. */
static inline void require_sane_tokenizer(const kua_tokenizer *tokenizer, const char *text,
                                          size_t n)
{
    kua_tokenizer_info info = kua_tokenizer_describe(tokenizer);
    require(info.vocab_size >= 1);
    require(info.unk == KUA_TOKEN_NONE || info.unk < info.vocab_size);
    for (uint32_t id = 0; id < info.vocab_size && id < 1000; id++) {
        const char *piece = kua_tokenizer_piece(tokenizer, id);
        require(piece && kua_tokenizer_find(tokenizer, piece, strlen(piece)) == id);
    }
    require_sane_ids(tokenizer, text, n);
}

#endif

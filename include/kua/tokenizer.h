/* kua/tokenizer.h - text to token ids, identical to what a BERT model was trained with.
 *
 *     kua_tokenizer *tokenizer = NULL;
 *     kua_ids ids = {0};
 *     kua_status st = kua_tokenizer_load("models/minilm-l6", &tokenizer);
 *     if (!st) st = kua_tokenizer_encode(tokenizer, "wireless headphones", 19, 128, &ids);
 *     for (size_t i = 0; !st && i < ids.n; i++) puts(kua_tokenizer_piece(tokenizer, ids.id[i]));
 *     kua_ids_release(&ids);
 *     kua_tokenizer_free(tokenizer);
 *
 * What it computes: BERT's normalisation (control characters, Chinese characters, accents, lower
 *     case), its word splitter and WordPiece: token for token what the `tokenizers` package gives
 *     for the same file, with added tokens such as "[MASK]" recognised inside a text. Padding and
 *     truncation settings of the file are not applied: give a limit.
 *
 * Text: UTF-8 of any length, NUL bytes included, in time proportional to its length. Bytes that are
 *     not UTF-8 are read as U+FFFD, one for each longest broken sequence (Python's
 *     errors="replace"), which clean_text then removes.
 *
 * Threads: a loaded tokenizer is immutable; any number of threads may encode with it, each into its
 *     own buffers.
 *
 * Memory: encode grows the caller's buffer and allocates nothing else, so that repeated use settles
 *     at no allocation at all. Only files that list an added token with "normalized": true cost a
 *     temporary copy of each text.
 */
#ifndef KUA_TOKENIZER_H
#define KUA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kua/status.h"

enum {
    KUA_VOCAB_MAX = 1 << 19,     /* pieces, added tokens included */
    KUA_PIECE_BYTES_MAX = 512,   /* of one piece */
    KUA_WORD_CHARS_MAX = 4096,   /* upper limit of the file's max_input_chars_per_word */
    KUA_TOKEN_NONE = 0x7fffffff, /* "there is no such token" */
};

typedef struct kua_tokenizer kua_tokenizer;

/* A growing list of ids. Starts as {0}; the memory is kept from call to call. */
typedef struct kua_ids {
    uint32_t *id; /* [n] */
    size_t n, room;
} kua_ids;

void kua_ids_release(kua_ids *ids);

/* The ids of many texts one after another: those of text i are id[offset[i]] .. id[offset[i + 1] -
 * 1]. Starts as {0}. */
typedef struct kua_id_batch {
    kua_ids ids;
    size_t *offset; /* [n + 1] */
    size_t n, room;
} kua_id_batch;

void kua_id_batch_release(kua_id_batch *batch);

typedef struct kua_text {
    const char *data; /* may be NULL where n is 0 */
    size_t n;         /* bytes */
} kua_text;

typedef struct kua_tokenizer_info {
    size_t vocab_size;                 /* ids are 0 .. vocab_size - 1 */
    uint32_t pad, unk, cls, sep, mask; /* KUA_TOKEN_NONE where the file has none */
    size_t special_per_text;           /* how many ids encode adds around a text */
    size_t max_tokens; /* the file's own limit, special tokens included; 0: it states none */
    bool lowercase;
} kua_tokenizer_info;

/* Reads a tokenizer.json (WordPiece with BertNormalizer), or a vocab.txt with the
 * tokenizer_config.json beside it (where missing: lower case, as BERT's uncased models). `path` is
 * one of these files or a folder that holds one; tokenizer.json is preferred. On failure *out is
 * NULL. KUA_NOTFOUND: the folder has neither. KUA_FORMAT: the file is of another kind or damaged;
 * the message names the field or line, what it is and what was expected. */
KUA_MUST_CHECK kua_status kua_tokenizer_load(const char *path, kua_tokenizer **out);
void kua_tokenizer_free(kua_tokenizer *tokenizer); /* NULL is allowed */

kua_tokenizer_info kua_tokenizer_describe(const kua_tokenizer *tokenizer);

/* Replaces *ids by the ids of text[n], special tokens around them. `limit` is the largest number of
 * ids, special tokens included: what is over is cut off the text's end; 0: no limit. Stops reading
 * once the limit is reached. KUA_INVALID: 0 < limit < special_per_text. KUA_NOMEM. On failure *ids
 * is empty. */
KUA_MUST_CHECK kua_status kua_tokenizer_encode(const kua_tokenizer *tokenizer, const char *text,
                                               size_t n, size_t limit, kua_ids *ids);

/* The same for many texts, with all threads. The result does not depend on how many there are. */
KUA_MUST_CHECK kua_status kua_tokenizer_encode_batch(const kua_tokenizer *tokenizer,
                                                     const kua_text *texts, size_t n, size_t limit,
                                                     kua_id_batch *batch);

/* The piece of an id ("##ing"), owned by the tokenizer; NULL: no such id. */
const char *kua_tokenizer_piece(const kua_tokenizer *tokenizer, uint32_t id);
/* The id of a piece or added token, as written in the file; KUA_TOKEN_NONE: unknown. */
uint32_t kua_tokenizer_find(const kua_tokenizer *tokenizer, const char *piece, size_t n);

#endif

/* kua/tokenizer.h - text to token ids and back, identical to what a model was trained with.
 *
 *     kua_tokenizer *tokenizer = NULL;
 *     kua_ids ids = {0};
 *     kua_status st = kua_tokenizer_load("models/minilm-l6", &tokenizer);
 *     if (!st) st = kua_tokenizer_encode(tokenizer, "wireless headphones", 19, 128, &ids);
 *     for (size_t i = 0; !st && i < ids.n; i++) puts(kua_tokenizer_piece(tokenizer, ids.id[i]));
 *     kua_ids_release(&ids);
 *     kua_tokenizer_free(tokenizer);
 *
 * What it computes: one of three kinds, token for token what the `tokenizers` package gives for the
 *     same file, with added tokens such as "[MASK]" recognised inside a text:
 *       WordPiece  BERT's normalisation (control characters, Chinese characters, accents, lower
 *                  case), its word splitter, longest pieces first
 *       BPE        the splitters of GPT-2, SmolLM2, llama 3 and Qwen 2, on bytes; or on characters
 *                  with byte fallback; merges in the order learnt
 *       Unigram    SentencePiece's normalisation (XLM-R, multilingual E5, T5), the most probable
 *                  pieces
 *     Padding and truncation settings of the file are not applied: give a limit.
 *
 * Text: UTF-8 of any length, NUL bytes included, in time proportional to its length. Bytes that are
 *     not UTF-8 are read as U+FFFD, one for each longest broken sequence (Python's
 *     errors="replace"), which BERT's clean_text then removes. No text gives no ids but those that
 *     stand around every text.
 *
 * Threads: a loaded tokenizer is immutable; any number of threads may encode with it, each into its
 *     own buffers.
 *
 * Memory: encode grows the caller's buffer, so that repeated use settles at no allocation at all.
 *     WordPiece allocates nothing else, unless the file lists an added token with "normalized":
 *     true (a temporary copy of each text). BPE and Unigram work in scratch memory that the
 *     tokenizer keeps, 512 kB and more for each thread that was ever inside at once; their batches
 *     allocate one block of ids for 64 texts.
 */
#ifndef KUA_TOKENIZER_H
#define KUA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kua/monitor.h"
#include "kua/status.h"

enum {
    KUA_VOCAB_MAX = 1 << 19,     /* pieces, added tokens included */
    KUA_PIECE_BYTES_MAX = 512,   /* of one piece */
    KUA_WORD_CHARS_MAX = 4096,   /* upper limit of the file's max_input_chars_per_word */
    KUA_TOKEN_NONE = 0x7fffffff, /* "there is no such token" */
};

typedef struct kua_tokenizer kua_tokenizer;

#define KUA_TOKENIZER_KIND_MAP(X)                                                                  \
    X(WORDPIECE, "wordpiece")                                                                      \
    X(BPE, "bpe")                                                                                  \
    X(UNIGRAM, "unigram")

typedef enum kua_tokenizer_kind {
#define X(name, text) KUA_TOKENIZER_##name,
    KUA_TOKENIZER_KIND_MAP(X)
#undef X
} kua_tokenizer_kind;

const char *kua_tokenizer_kind_name(kua_tokenizer_kind kind); /* "bpe" */

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

/* A growing text. Starts as {0}; the memory is kept from call to call. */
typedef struct kua_text_buffer {
    char *data; /* [n], a NUL behind it */
    size_t n, room;
} kua_text_buffer;

void kua_text_buffer_release(kua_text_buffer *text);

typedef struct kua_tokenizer_info {
    kua_tokenizer_kind kind;
    size_t vocab_size;                 /* ids are 0 .. vocab_size - 1 */
    uint32_t pad, unk, cls, sep, mask; /* KUA_TOKEN_NONE where the file has none */
    uint32_t bos, eos;                 /* beginning and end of a text, for generation */
    size_t special_per_text;           /* how many ids encode adds around a text */
    size_t max_tokens; /* the file's own limit, special tokens included; 0: it states none */
    bool lowercase;
} kua_tokenizer_info;

/* Reads a tokenizer.json, the metadata of a .gguf file, a vocab.json with the merges.txt beside it,
 * or a vocab.txt with the tokenizer_config.json beside it (where missing: lower case, as BERT's
 * uncased models). `path` is one of these files, a folder that holds one (looked for in that order,
 * but a *-tokenizer.json and a .gguf come last), or a file of weights in such a folder. On failure
 * *out is NULL. KUA_NOTFOUND: the folder has none of them. KUA_FORMAT: the file is of another kind
 * or damaged; the message names the field or line, what it is and what was expected. */
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

/* Replaces *text by what ids[n] stand for, as the reference's decode does: pieces joined, prefixes
 * and marks undone; with skip_special without special tokens. What is not UTF-8 (half a character
 * at the end of a generated text) becomes U+FFFD. KUA_INVALID: an id that there is not. KUA_NOMEM.
 * On failure *text is empty. */
KUA_MUST_CHECK kua_status kua_tokenizer_decode(const kua_tokenizer *tokenizer, const uint32_t *ids,
                                               size_t n, bool skip_special, kua_text_buffer *text);

/* The piece of an id ("##ing"), owned by the tokenizer; NULL: no such id. */
const char *kua_tokenizer_piece(const kua_tokenizer *tokenizer, uint32_t id);
/* The id of a piece or added token, as written in the file; KUA_TOKEN_NONE: unknown. */
uint32_t kua_tokenizer_find(const kua_tokenizer *tokenizer, const char *piece, size_t n);

/* ---- training a vocabulary ---- */

typedef struct kua_tokenizer_training {
    kua_tokenizer_kind kind; /* WORDPIECE (BERT's words) or BPE (bytes, GPT-2's words) */
    size_t vocab_size;       /* pieces, special tokens included; 0: 30,000 */
    size_t min_frequency;    /* of a pair that is merged; 0: 2 */
    size_t alphabet_limit;   /* WordPiece: the most frequent characters; 0: a third of vocab_size */
    size_t max_words;        /* distinct words kept in memory; 0: 4 million (about 400 MB) */
    bool cased;              /* WordPiece: neither lower case nor accents stripped */
    const char *const *special; /* [n_special] first pieces; NULL: BERT's five, or GPT-2's one */
    size_t n_special;
    const kua_monitor *monitor; /* may be NULL */
} kua_tokenizer_training;

typedef struct kua_tokenizer_trained {
    size_t vocab_size, merges;
    size_t words;     /* distinct, at the end */
    size_t forgotten; /* occurrences of rare words that made room for others */
} kua_tokenizer_trained;

/* Learns a vocabulary from texts (as reading them: UTF-8, broken bytes replaced) and writes
 * tokenizer.json, for WordPiece vocab.txt and tokenizer_config.json too, into the folder, which is
 * made where missing. The same texts give the same files, whatever the number of threads; merges
 * are those of the `tokenizers` package's trainers, the pair with the smaller ids first where
 * counts are equal. Words with a NUL byte or of over 4,096 bytes are passed over. `report` may be
 * NULL. KUA_INVALID: options that fit nothing. KUA_CANCELED: the monitor said so, nothing is
 * written. KUA_NOMEM, KUA_IO. */
KUA_MUST_CHECK kua_status kua_tokenizer_train(const kua_text *texts, size_t n,
                                              const kua_tokenizer_training *options,
                                              const char *folder, kua_tokenizer_trained *report);

#endif

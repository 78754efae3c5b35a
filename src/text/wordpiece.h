/* text/wordpiece.h - a loaded tokenizer of any kind, and what its loaders hand over to make one. */
#ifndef KUA_TEXT_WORDPIECE_H
#define KUA_TEXT_WORDPIECE_H

#include "kua/tokenizer.h"
#include "base/json.h"
#include "tensor/gguf.h"
#include "text/added.h"
#include "text/decode.h"
#include "text/fold.h"
#include "text/pipeline.h"
#include "text/vocab.h"

enum { KUA__AROUND_MAX = 8, KUA__PREFIX_BYTES_MAX = 16 };

/* Ids that are put before and behind every text. */
typedef struct kua__around {
    uint32_t before[KUA__AROUND_MAX], behind[KUA__AROUND_MAX];
    size_t n_before, n_behind;
} kua__around;

struct kua_tokenizer {
    kua__vocab vocab;
    kua__fold fold;
    kua__fold split;           /* only the word splitter: for text that is normalised already */
    kua__added_set raw;        /* looked for in the text as it came */
    kua__added_set normalised; /* looked for after `fold`; usually empty */
    uint32_t
        continuation; /* the trie's state after the prefix "##"; KUA__TRIE_DEAD: no piece goes on */
    bool has_more;    /* there are added tokens that WordPiece does not know */
    size_t max_chars; /* a longer word is [UNK] */
    kua__around around;
    kua_tokenizer_info info;
    kua__decoder decoder;
    bool *special;           /* [vocab.n] what decoding may leave out */
    kua__pipeline *pipeline; /* BPE and Unigram; NULL: WordPiece */
};

/* What a file says, in terms of pieces that belong to the file. */
typedef struct kua__recipe {
    const char *name; /* for messages */
    kua__pieces pieces;
    size_t n_model; /* pieces that WordPiece knows; the rest are added tokens only */
    kua__added_token *added;
    size_t n_added, added_room;
    kua__fold_options fold;
    const char *unk, *prefix; /* unk: NULL where there is none; NULL needs a pipeline */
    size_t max_chars;
    kua__around around;
    kua_tokenizer_info info; /* pad, cls, sep, mask, max_tokens; the rest is filled in by make */
    kua__decoder decoder;
    kua__pipeline *pipeline; /* owned; NULL: WordPiece */
    kua__merge *merge;       /* [n_merges] owned, the text borrowed */
    double *score;           /* [n_model] owned, by id */
    size_t n_merges, merges_room;
} kua__recipe;

kua_status kua__tokenizer_make(kua__recipe *recipe, kua_tokenizer **out);
void kua__recipe_release(kua__recipe *recipe);
/* The id of a piece in a recipe, or KUA_TOKEN_NONE. Slow. */
uint32_t kua__recipe_find(const kua__recipe *recipe, const char *piece, size_t n);
kua_status kua__recipe_add_token(kua__recipe *recipe, kua__added_token token);

/* The loaders. `config` is the text of a tokenizer_config.json named config_name; NULL: there is
 * none. */
kua_status kua__tokenizer_from_vocab(const char *name, const char *text, size_t n,
                                     const char *config_name, const char *config, size_t n_config,
                                     kua_tokenizer **out);
kua_status kua__tokenizer_from_json(const char *name, const char *text, size_t n,
                                    kua_tokenizer **out);

/* vocab.json and merges.txt, as GPT-2 and RoBERTa come. */
kua_status kua__tokenizer_from_merges(const char *name, const char *vocab, size_t n_vocab,
                                      const char *merges_name, const char *merges, size_t n_merges,
                                      kua_tokenizer **out);
/* The metadata of a GGUF file. */
kua_status kua__tokenizer_from_gguf(const kua__gguf *file, kua_tokenizer **out);

/* The same from a parsed file. */
kua_status kua__tokenizer_from_root(const char *name, const json_t *root, kua_tokenizer **out);

#endif

/* text/load.h - what the readers of tokenizer.json share. */
#ifndef KUA_TEXT_LOAD_H
#define KUA_TEXT_LOAD_H

#include "text/wordpiece.h"

/* A recipe with no piece and no special token yet. */
kua__recipe kua__recipe_start(const char *name);

/* A member that is an object, or NULL where it is missing or null. */
kua_status kua__load_section(const char *name, const json_t *object, const char *key,
                             const json_t **out);
/* The object's "type"; `where` is for messages. */
kua_status kua__load_type(const char *name, const json_t *object, const char *where,
                          const char **out);

/* The members "normalizer", "pre_tokenizer" and "decoder" of a file with BPE or Unigram. Each may
 * be missing or null. */
kua_status kua__load_normalizer(const char *name, const json_t *root, kua__normal *normal);
kua_status kua__load_splitter(const char *name, const json_t *root, kua__splitter *splitter);
kua_status kua__load_decoder(const char *name, const json_t *root, kua__decoder *decoder);

/* BertNormalizer's members. */
kua_status kua__load_fold(const char *name, const json_t *normalizer, kua__fold_options *fold);

/* "model" of type BPE and Unigram. */
kua_status kua__load_bpe(kua__recipe *recipe, const json_t *model);
kua_status kua__load_unigram(kua__recipe *recipe, const json_t *model);
/* model.vocab as an object of piece: id. */
kua_status kua__load_pieces(kua__recipe *recipe, json_t *vocab);

/* "a b" as a merge of a and b; `i` is for messages. */
kua_status kua__load_merge(kua__recipe *recipe, size_t i, const char *text, size_t n);
kua_status kua__load_merge_pair(kua__recipe *recipe, size_t i, const char *left, size_t n_left,
                                const char *right, size_t n_right);

/* The first of `names` that is a piece; KUA_TOKEN_NONE: none is. */
uint32_t kua__load_first(const kua__recipe *recipe, const char *const *names, size_t n);
/* Fills in pad, mask, bos and eos by the names that are customary. */
void kua__load_customary(kua__recipe *recipe);

#endif

/* app/tags.h - texts whose units (characters or words) have BIO tags: files, tokens, entities. */
#ifndef KUA_APP_TAGS_H
#define KUA_APP_TAGS_H

#include "base/base.h"
#include "kua/tokenizer.h"

/* "O" is 0, "B-<type t>" is 2 t + 1, "I-<type t>" is 2 t + 2. */
typedef struct kua__tagged {
    size_t n;        /* texts */
    size_t *unit_at; /* [n + 1] units of text i: unit_at[i] .. unit_at[i + 1] - 1 */
    size_t *byte_at; /* [units + 1] into bytes */
    uint32_t *tag;   /* [units]; KUA__NO_ID: of a type that is not known */
    kua__buf bytes;  /* all units one after another */
    kua__ids types;  /* sorted; or those that were given */
    bool characters; /* every unit is one character */
    size_t n_units, unknown;
    size_t text_capacity, unit_capacity, tag_capacity;
} kua__tagged;

/* From text in memory; `name` is for messages. known: types that there are; NULL: those of the
 * file. KUA_FORMAT names the line. *t is to be released after a failure too. */
kua_status kua__tagged_parse(kua__tagged *t, const char *name, const char *text, size_t n,
                             const kua__ids *known);
kua_status kua__tagged_load(kua__tagged *t, const char *path, const kua__ids *known);
/* One text without tags, cut into characters or at spaces. */
kua_status kua__tagged_add_text(kua__tagged *t, const kua_text *text, bool characters);
void kua__tagged_init(kua__tagged *t);
void kua__tagged_release(kua__tagged *t);

/* Tokens of the texts, and which of them is a unit's first. */
typedef struct kua__tag_tokens {
    kua_id_batch ids;
    uint32_t *first; /* [units] token of its text; KUA__NO_ID: behind the limit */
} kua__tag_tokens;

/* *out is to be released after a failure too. */
kua_status kua__tag_tokens_make(kua__tag_tokens *out, const kua__tagged *t,
                                const kua_tokenizer *tokenizer, size_t max_tokens);
void kua__tag_tokens_release(kua__tag_tokens *t);

typedef struct kua__entity {
    size_t first, last; /* units, both included */
    uint32_t type;
} kua__entity;

/* Entities of tag[n]: from a B, or an I that goes on nothing of its type, to its last I. Writes at
 * most n. */
size_t kua__entities(const uint32_t *tag, size_t n, kua__entity *out);
/* The sequence with the highest score (Viterbi) among those in which every I follows a B or I of
 * its type: score [n, tags] of units, transition [tags + 1, tags] as in crf.h, or NULL. */
kua_status kua__tag_decode(const float *score, const float *transition, size_t n, size_t tags,
                           uint32_t *out);

#endif

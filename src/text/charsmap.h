/* text/charsmap.h - SentencePiece's precompiled normalisation. */
#ifndef KUA_TEXT_CHARSMAP_H
#define KUA_TEXT_CHARSMAP_H

#include "base/base.h"

typedef struct kua__charsmap {
    uint32_t *unit; /* [n_units] a double-array trie as darts-clone writes it */
    size_t n_units;
    char *text; /* [n_text] replacements, each with a NUL behind it */
    size_t n_text;
} kua__charsmap;

/* From base64, as tokenizer.json has it. KUA_FORMAT: after "<name>: ". */
kua_status kua__charsmap_parse(kua__charsmap *map, const char *name, const char *base64, size_t n);
void kua__charsmap_release(kua__charsmap *map);

/* Appends the normalised text; check the buffer's status. */
void kua__charsmap_apply(const kua__charsmap *map, const uint8_t *text, size_t n, kua__buf *out);

#endif

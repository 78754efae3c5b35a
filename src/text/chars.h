/* text/chars.h - what a code point is to the splitters: letter, number, blank or other. */
#ifndef KUA_TEXT_CHARS_H
#define KUA_TEXT_CHARS_H

#include "base/base.h"
#include "text/fold.h"

typedef enum kua__char_class {
    KUA__CHAR_OTHER,
    KUA__CHAR_LETTER, /* \p{L} */
    KUA__CHAR_NUMBER, /* \p{N} */
    KUA__CHAR_BLANK,  /* \s */
} kua__char_class;

enum { KUA__CHARS_END = 0x34000 }; /* from here on all are OTHER: Unicode has no letters there */

/* A table of KUA__CHARS_END classes; free with kua__free. */
kua_status kua__chars_make(uint8_t **out);

/* The class of the character at text[0..n), n >= 1, which is UTF-8; its length in *length. */
static inline kua__char_class kua__char_at(const uint8_t *chars, const uint8_t *text, size_t n,
                                           size_t *length)
{
    if (text[0] < 0x80) {
        *length = 1;
        return (kua__char_class)chars[text[0]];
    }
    uint32_t c = kua__utf8_decode(text, n, length);
    return c < KUA__CHARS_END ? (kua__char_class)chars[c] : KUA__CHAR_OTHER;
}

/* White space as Unicode's White_Space property and the expression \s have it. */
bool kua__is_blank(uint32_t c);

/* The bytes of a text as GPT-2's byte-level files spell them: printable characters stand for
 * themselves, the others for U+0100 and on. spelling[] is the code point of each byte. */
void kua__byte_spelling(uint32_t spelling[256]);
/* The way back: the byte that code point c stands for, or -1. */
int kua__byte_spelled(uint32_t c);

#endif

/* chars.c - classes of code points for the splitters, and GPT-2's spelling of bytes.
 *
 * The splitters of the byte-level tokenizers are regular expressions over \p{L}, \p{N} and \s. All
 * that they ask of a character is one of four classes, so these are looked up in one table of a
 * byte each. It ends where Unicode has no letter or number any more (213 kB instead of 1.1 MB).
 *
 * A byte-level vocabulary is a JSON object of strings, which cannot hold all bytes. So GPT-2 wrote
 * each byte as a printable character: itself where it is printable in Latin-1, else the next of
 * U+0100, U+0101, ... in the order of the bytes. "Ġ" (U+0120) at the head of a piece is a blank.
 */
#include "text/chars.h"

#include <assert.h>
#include <utf8proc.h>

bool kua__is_blank(uint32_t c)
{
    if (c <= 0x20) return c == 0x20 || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

static kua__char_class class_of(uint32_t c)
{
    if (kua__is_blank(c)) return KUA__CHAR_BLANK;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return KUA__CHAR_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return KUA__CHAR_NUMBER;
    default:
        return KUA__CHAR_OTHER;
    }
}

kua_status kua__chars_make(uint8_t **out)
{
    assert(out);
    KUA__TRY(KUA__NEW_ARRAY(out, KUA__CHARS_END, "a tokenizer's table"));
    for (uint32_t c = 0; c < KUA__CHARS_END; c++)
        (*out)[c] = (uint8_t)class_of(c);
    return KUA_OK;
}

static bool spells_itself(uint32_t byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
}

void kua__byte_spelling(uint32_t spelling[256])
{
    assert(spelling);
    uint32_t next = 0x100;
    for (uint32_t byte = 0; byte < 256; byte++)
        spelling[byte] = spells_itself(byte) ? byte : next++;
    assert(next == 0x100 + 68);
}

int kua__byte_spelled(uint32_t c)
{
    if (c < 0x100) return spells_itself(c) ? (int)c : -1;
    if (c <= 0x120) return (int)c - 0x100;        /* 0x00 .. 0x20 */
    if (c <= 0x142) return (int)c - 0x121 + 0x7f; /* 0x7f .. 0xa0 */
    return c == 0x143 ? 0xad : -1;
}

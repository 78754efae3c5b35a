/* text/bert_tables.h - what the reference tokenizer takes code points for, where utf8proc would
 * answer otherwise.
 *
 * The reference's categories are those of Unicode 8, its decompositions and combining classes those
 * of Unicode 9, its lower case the newest; utf8proc 2.8 follows Unicode 15 in everything. A model
 * was trained with the former, so the former are right here. tools/make-bert-tables.py asked
 * tokenizers 0.23.3 for every code point. Where they differ:
 *
 *     accents that the reference keeps (marks since Unicode 9)                       419
 *     U+1734, which it removes though it is no such mark any more; U+11938, which it leaves whole
 *     punctuation that it takes for letters (since Unicode 9), and U+166D, U+111C9 the other way
 * 129 capitals with a lower case that utf8proc does not know (Unicode 16 and 17)     55 combining
 * classes that it takes for 0                                          108 format characters
 * (U+0890, U+0891, U+08E2, U+110CD, U+13430..1343F) and unassigned code points, which clean_text
 * keeps though they are in the categories Cf and Cn
 */
#ifndef KUA_TEXT_BERT_TABLES_H
#define KUA_TEXT_BERT_TABLES_H

#include <stddef.h>
#include <stdint.h>

typedef struct kua__range {
    uint32_t first, last;
} kua__range;

typedef struct kua__span {
    uint32_t first, last;
    int32_t value;
} kua__span;

/* All are sorted and free of overlaps. */
#define KUA__BERT_RANGES(X) X(control) X(space) X(punctuation) X(chinese) X(mark) X(whole)
#define KUA__BERT_SPANS(X)  X(combining) X(lower)

#define X(name)                                                                                    \
    extern const kua__range kua__bert_##name[];                                                    \
    extern const size_t kua__bert_n_##name;
KUA__BERT_RANGES(X)
#undef X
#define X(name)                                                                                    \
    extern const kua__span kua__bert_##name[];                                                     \
    extern const size_t kua__bert_n_##name;
KUA__BERT_SPANS(X)
#undef X

#endif

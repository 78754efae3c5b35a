/* text/bert_tables.h - what the reference tokenizer takes code points for, where utf8proc would
 * answer otherwise.
 *
 * The reference's categories are those of Unicode 8, its decompositions and combining classes those
 * of Unicode 9, its lower case the newest; utf8proc 2.8 follows Unicode 15 in everything. A model
 * was trained with the former, so the former are right here. tools/make-bert-tables.py asked
 * tokenizers 0.23.3 for every code point. Where they differ:
 *
 *     419  accents that the reference keeps (marks since Unicode 9)
 *     127  punctuation that it takes for letters (since Unicode 9)
 *       2  U+166D and U+111C9, which it takes for punctuation still
 *       2  U+1734, which it removes as an accent still, and U+11938, which it does not decompose
 *     108  combining classes that it takes for 0
 *      55  capitals with a lower case that utf8proc does not know (Unicode 14 to 17)
 *      20  format characters that clean_text keeps (U+0890 and later), and all that are unassigned
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

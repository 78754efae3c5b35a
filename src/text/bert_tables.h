/* text/bert_tables.h - what the reference tokenizer takes code points for, where utf8proc would
 * answer otherwise.
 *
 * The reference's category tables are those of Unicode 8, its decompositions and combining classes
 * those of Unicode 9, its lower case the newest one. utf8proc 2.8 follows Unicode 14/15 in
 * everything. A model was trained with the former, so the former are right here.
 * tools/make-bert-tables.py asked the reference for every code point.
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

/* tests/text/tiny.h - a vocabulary small enough to read, for tests that need no model. */
#ifndef KUA_TESTS_TINY_H
#define KUA_TESTS_TINY_H

#include <string.h>

#include "text/wordpiece.h"

/*                        0      1      2      3      4       5     6    7      8    9       10  11
 * 12   13 */
#define TINY_VOCAB                                                                                 \
    "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nun\n##able\n##aff\naff\nable\n,\na\n##a\n\xe4\xb8\xad\n"
enum { PAD, UNK, CLS, SEP, MASK, UN, _ABLE, _AFF, AFF, ABLE, COMMA, A, _A, ZHONG, TINY_SIZE };

static inline kua_status tiny_load(const char *config, kua_tokenizer **out)
{
    return kua__tokenizer_from_vocab("vocab.txt", TINY_VOCAB, strlen(TINY_VOCAB), "config", config,
                                     config ? strlen(config) : 0, out);
}

#endif

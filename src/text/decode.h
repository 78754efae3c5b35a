/* text/decode.h - how pieces become text again. */
#ifndef KUA_TEXT_DECODE_H
#define KUA_TEXT_DECODE_H

#include <stdbool.h>
#include <stdint.h>

#include "text/split.h"

typedef enum kua__decoder_kind {
    KUA__DECODE_WORDPIECE,
    KUA__DECODE_BYTES,     /* ByteLevel */
    KUA__DECODE_METASPACE, /* marks become blanks */
    KUA__DECODE_FALLBACK,  /* the same, and "<0x..>" become bytes: as llama 2 has it */
    KUA__DECODE_PLAIN,     /* pieces with a blank between */
} kua__decoder_kind;

typedef struct kua__decoder {
    kua__decoder_kind kind;
    bool cleanup;    /* WORDPIECE: no blank before punctuation */
    bool drop_first; /* METASPACE: marks of the first piece go; FALLBACK: one blank in front */
    char prefix[17]; /* WORDPIECE: "##" */
    char mark[5];
} kua__decoder;

#endif

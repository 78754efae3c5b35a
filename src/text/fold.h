/* text/fold.h - BERT's normalisation and its view of characters, as one table and a cursor over a
 * text. */
#ifndef KUA_TEXT_FOLD_H
#define KUA_TEXT_FOLD_H

#include "base/base.h"

/* What becomes of a code point. The first four are what a cursor yields; the others are resolved by
 * it. */
typedef enum kua__fold_kind {
    KUA__LETTER,  /* part of a word */
    KUA__SPACE,   /* between words */
    KUA__ALONE,   /* punctuation: a word of its own */
    KUA__CHINESE, /* a word of its own, with a blank on both sides in the normalised text */
    KUA__DROP,    /* nothing; see KUA__FOLD_* below */
    KUA__MOVES, /* a letter that canonical ordering may move; its combining class is in the top byte
                 */
    KUA__SEVERAL, /* value: where its replacement starts in `several`; top byte: how many */
    KUA__HANGUL,  /* a syllable, to be taken apart into two or three letters */
} kua__fold_kind;

/* A cell: bits 0-20 the code point that results (0 in the table: itself), bits 21-23 the kind, bits
 * 24-31 as said above. */
typedef uint32_t kua__fold_cell;
#define KUA__CELL(kind, value, extra)                                                              \
    ((uint32_t)(value) | (uint32_t)(kind) << 21 | (uint32_t)(extra) << 24)
#define KUA__CELL_KIND(cell)  ((kua__fold_kind)((cell) >> 21 & 7))
#define KUA__CELL_VALUE(cell) ((cell)&0x1fffff)
#define KUA__CELL_EXTRA(cell) ((cell) >> 24)

#define KUA__FOLD_NOTHING KUA__CELL(KUA__DROP, 1, 0) /* as if it had never stood there */
#define KUA__FOLD_BREAK                                                                            \
    KUA__CELL(KUA__DROP, 2, 0)                   /* the same, but characters do not move past it */
#define KUA__FOLD_END KUA__CELL(KUA__DROP, 3, 0) /* of the text */

typedef struct kua__fold_options {
    bool clean_text, chinese, strip_accents, lowercase;
} kua__fold_options;

enum { KUA__FOLD_PAGE = 128, KUA__FOLD_PAGES = 0x110000 / KUA__FOLD_PAGE };

typedef struct kua__fold {
    kua__fold_options options;
    uint8_t letter[256];            /* ASCII letters and digits: what they become; all others: 0 */
    uint16_t page[KUA__FOLD_PAGES]; /* of each 128 code points: which page of `cell` */
    kua__fold_cell *cell;           /* [n_cells] */
    kua__fold_cell *several;        /* [n_several] replacements by more than one code point */
    size_t n_cells, cells_room, n_several, several_room;
} kua__fold;

kua_status kua__fold_init(kua__fold *fold, kua__fold_options options);
void kua__fold_release(kua__fold *fold);

enum { KUA__FOLD_RUN_MAX = 4096 }; /* combining characters that are ordered together */

/* Reads a text character by character. Do not copy one that is in use. */
typedef struct kua__fold_cursor {
    const kua__fold *fold;
    const uint8_t *at, *end;
    const kua__fold_cell *more; /* the rest of a replacement */
    uint32_t n_more;
    uint32_t queued, n_queue; /* the next of an ordered run, and its length */
    kua__fold_cell jamo[3];
    kua__fold_cell queue[KUA__FOLD_RUN_MAX + 1];
} kua__fold_cursor;

static inline void kua__fold_start(kua__fold_cursor *cursor, const kua__fold *fold,
                                   const char *text, size_t n)
{
    cursor->fold = fold;
    cursor->at = (const uint8_t *)text;
    cursor->end = cursor->at + n;
    cursor->n_more = cursor->queued = cursor->n_queue = 0;
}

/* True where the next character comes from `at` itself, so that a caller may look there for plain
 * letters. */
static inline bool kua__fold_plain(const kua__fold_cursor *cursor)
{
    return !cursor->n_more && cursor->queued == cursor->n_queue;
}

/* The next character in its final form and place: LETTER, SPACE, ALONE or CHINESE with its code
 * point, or FOLD_END. */
kua__fold_cell kua__fold_next(kua__fold_cursor *cursor);

/* Appends the normalised text (as the reference's normalize_str gives it). */
void kua__fold_string(const kua__fold *fold, const char *text, size_t n, kua__buf *out);

/* Lower case of one code point (U+0130 would be two: not here). */
uint32_t kua__fold_lower(uint32_t c);

/* The code point at text[0..n), n >= 1, and its length in bytes. What is not UTF-8 is U+FFFD, one
 * for each longest broken sequence (Unicode 15, section 3.9, "substitution of maximal subparts").
 */
uint32_t kua__utf8_decode(const uint8_t *text, size_t n, size_t *length);
/* Writes 1..4 bytes; returns how many. */
size_t kua__utf8_encode(uint32_t c, uint8_t *out);

#endif

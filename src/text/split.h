/* text/split.h - pre-tokenizers: a text into the words that BPE and Unigram work on. */
#ifndef KUA_TEXT_SPLIT_H
#define KUA_TEXT_SPLIT_H

#include "base/base.h"
#include "text/chars.h"

/* The regular expressions that are known, as a few numbers. */
typedef struct kua__pattern {
    bool newer;       /* llama 3 and its like, not GPT-2 */
    uint32_t numbers; /* at most so many digits together; 0: any number */
} kua__pattern;

typedef enum kua__split_kind {
    KUA__SPLIT_DIGITS,   /* each digit alone */
    KUA__SPLIT_NUMBERS,  /* runs of digits alone */
    KUA__SPLIT_PATTERN,  /* by `pattern` */
    KUA__SPLIT_BYTES,    /* ByteLevel: perhaps a blank in front, perhaps by `pattern` */
    KUA__SPLIT_BLANKS,   /* at white space, which is dropped */
    KUA__SPLIT_METASPACE /* blanks become `mark`, words begin with it */
} kua__split_kind;

typedef enum kua__prepend {
    KUA__PREPEND_NEVER,
    KUA__PREPEND_FIRST,
    KUA__PREPEND_ALWAYS
} kua__prepend;

typedef struct kua__split_step {
    kua__split_kind kind;
    kua__pattern pattern;
    kua__prepend prepend; /* METASPACE: the mark; BYTES: a blank (ALWAYS or NEVER) */
    bool cut;             /* METASPACE: cut before each mark; BYTES: by the pattern */
    char mark[5];
    uint8_t n_mark;
} kua__split_step;

enum { KUA__SPLIT_STEPS_MAX = 6, KUA__SLACK = 32 };

typedef struct kua__splitter {
    kua__split_step step[KUA__SPLIT_STEPS_MAX];
    size_t n;
    bool bytes;     /* the last step is BYTES: words are bytes, not characters */
    uint8_t *chars; /* kua__chars_make; NULL: no step needs it */
} kua__splitter;

kua_status kua__splitter_prepare(kua__splitter *splitter); /* once all steps are known */
void kua__splitter_release(kua__splitter *splitter);

/* Finds one of the known expressions; false: it is none of them. */
bool kua__pattern_find(const char *expression, kua__pattern *out);

/* Gets each word, with KUA__SLACK readable bytes behind it; false: enough. */
typedef bool (*kua__word_fn)(void *ctx, const uint8_t *word, size_t n);

/* Splits text[n], UTF-8 with KUA__SLACK readable bytes behind it; at_start: it begins the whole
 * text. room[] is scratch. False: `take` had enough, or there is no memory (then a room has
 * failed). */
bool kua__split(const kua__splitter *splitter, kua__buf room[KUA__SPLIT_STEPS_MAX],
                const uint8_t *text, size_t n, bool at_start, kua__word_fn take, void *ctx);

#endif

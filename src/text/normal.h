/* text/normal.h - normalisers of Unigram and character BPE, one step after another. */
#ifndef KUA_TEXT_NORMAL_H
#define KUA_TEXT_NORMAL_H

#include "text/charsmap.h"
#include "text/fold.h"

typedef enum kua__normal_kind {
    KUA__NORMAL_CHARSMAP,
    KUA__NORMAL_REPLACE,  /* `from`, literally, by `to` */
    KUA__NORMAL_COLLAPSE, /* two and more blanks by `to` */
    KUA__NORMAL_PREPEND,  /* `to` in front */
    KUA__NORMAL_LOWER,
    KUA__NORMAL_STRIP, /* white space at the ends */
    KUA__NORMAL_NMT,
    KUA__NORMAL_FORM, /* NFC, NFD, NFKC, NFKD */
    KUA__NORMAL_STRIP_ACCENTS,
    KUA__NORMAL_BERT,
} kua__normal_kind;

typedef struct kua__normal_step {
    kua__normal_kind kind;
    char from[33], to[33];    /* with a NUL behind */
    bool left, right;         /* STRIP */
    bool compose, compatible; /* FORM */
} kua__normal_step;

enum { KUA__NORMAL_STEPS_MAX = 12 };

typedef struct kua__normal {
    kua__normal_step step[KUA__NORMAL_STEPS_MAX];
    size_t n;
    kua__charsmap map; /* at most one of each */
    kua__fold fold;
    bool has_map, has_fold;
} kua__normal;

/* Code points that the reference's Unicode does not know yet; sorted. */
typedef struct kua__young_range {
    uint32_t first, last;
} kua__young_range;
extern const kua__young_range kua__young[];
extern const size_t kua__n_young;

void kua__normal_release(kua__normal *normal);

/* Normalises text[n] (UTF-8); the result is text itself where there is no step, else in one of the
 * buffers, and its length in *made. *moved: what it begins with is not what the text begins with,
 * because that is gone. NULL: out of memory. */
const char *kua__normal_apply(const kua__normal *normal, kua__buf buffer[2], const char *text,
                              size_t n, size_t *made, bool *moved);

#endif

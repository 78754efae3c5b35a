/* data/clean.h - texts as a shop has them, made fit for people and for an encoder. */
#ifndef KUA_DATA_CLEAN_H
#define KUA_DATA_CLEAN_H

#include "base/base.h"

/* Appends text[n] to `out`: tags removed, entities decoded, Unicode NFKC, control characters and
 * runs of white space as one blank, none at the ends. Invalid UTF-8 must have been refused before.
 * KUA_NOMEM. */
kua_status kua__clean_text(const char *text, size_t n, kua__buf *out);

#endif

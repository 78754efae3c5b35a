/* data/text_clean.h - texts as a shop has them, made fit for people and for an encoder. */
#ifndef KUA_DATA_TEXT_CLEAN_H
#define KUA_DATA_TEXT_CLEAN_H

#include "base/base.h"

/* Appends text[n], which must be UTF-8, to `out`: tags removed, entities decoded, Unicode NFKC,
 * and every run of white space and control characters as one blank, none at the ends. Cleaning what
 * is clean changes nothing. KUA_NOMEM. */
kua_status kua__text_clean(const char *text, size_t n, kua__buf *out);

#endif

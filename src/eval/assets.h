/* eval/assets.h - files that are compiled into the library (cmake/embed.cmake makes the array). */
#ifndef KUA_EVAL_ASSETS_H
#define KUA_EVAL_ASSETS_H

#include <stddef.h>

typedef struct kua__asset {
    const char *name; /* "report_html": the file's name, other characters as '_' */
    const unsigned char *data;
    size_t size;
} kua__asset;

extern const kua__asset kua__assets[]; /* name is NULL at the end */

#endif

/* data/rejects.h - the file of lines that an import could not read: what a user needs to mend them.
 *
 *     file <tab> line <tab> reason <tab> the line as it stands (line breaks as \n, cut at 4 KiB)
 *
 * Made at the first rejected line; kept whether or not the import succeeds.
 */
#ifndef KUA_DATA_REJECTS_H
#define KUA_DATA_REJECTS_H

#include "base/base.h"

typedef struct kua__rejects {
    const char *folder; /* NULL: lines are not kept */
    char *path;         /* NULL: nothing was rejected */
    kua__writer writer;
    bool open, kept;
} kua__rejects;

void kua__rejects_init(kua__rejects *r, const char *folder);
kua_status kua__rejects_add(kua__rejects *r, const char *file, uint64_t line, const char *reason,
                            const char *raw, size_t n);
/* Puts the file in its place; the path stays valid until release. */
kua_status kua__rejects_keep(kua__rejects *r);
void kua__rejects_release(kua__rejects *r);

#endif

/* engine/tool.h - running another program to its end. */
#ifndef KUA_ENGINE_TOOL_H
#define KUA_ENGINE_TOOL_H

#include "base/base.h"

typedef struct kua__tool {
    const char *const *argv; /* ends with NULL; argv[0] is looked up in PATH */
    const char *log;         /* the file that takes what it prints; NULL: nobody wants it */
    const char *temporary;   /* its TMPDIR */
    const char *stage;       /* what the monitor is told; NULL: nothing */
    uint64_t total;          /* bytes that `temporary` will have in the end, for the monitor */
} kua__tool;

/* Returns when it has ended. KUA_NOTFOUND: no such program. KUA_IO: it failed; the message has its
 * own first complaint out of the log. KUA_CANCELED: the monitor said so, and it was stopped. */
kua_status kua__tool_run(const kua__tool *tool, const kua_monitor *monitor);

#endif

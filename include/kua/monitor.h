/* kua/monitor.h - how long work tells its caller what it does, and how the caller stops it.
 *
 * The library prints nothing. Whoever wants to see progress passes a kua_monitor; every member may
 * be NULL.
 *
 * Threads: the callbacks run on the thread that called the library function, never on a worker.
 */
#ifndef KUA_MONITOR_H
#define KUA_MONITOR_H

#include <stdbool.h>
#include <stdint.h>

typedef enum kua_log_level { KUA_LOG_DEBUG, KUA_LOG_INFO, KUA_LOG_WARN } kua_log_level;

typedef struct kua_monitor {
    /* Called a few times a second during long work: `done` of `total` units of `stage` ("encode
     * texts"); total is 0 where it is not known. Returning false cancels the work: it stops cleanly
     * with KUA_CANCELED. */
    bool (*progress)(void *user, const char *stage, uint64_t done, uint64_t total);
    /* One line without a line break. */
    void (*log)(void *user, kua_log_level level, const char *line);
    void *user;
} kua_monitor;

#endif

/* base/progress.c - telling the caller how far work has come, and the clock and memory figures that
 * reports print. */
#include "base/base.h"

#include <assert.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

double kua__seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

size_t kua__peak_rss_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) ? 0 : (size_t)usage.ru_maxrss * 1024;
}

/* Monitors run on the thread that called the library, so the time of the last call belongs to that
 * thread. */
static bool is_due(const kua_monitor *monitor, const char *stage)
{
    static _Thread_local double last;
    static _Thread_local const void *last_monitor, *last_stage;
    double now = kua__seconds();
    if (monitor == last_monitor && stage == last_stage && now - last < 0.1) {
        return false;
    }
    last = now;
    last_monitor = monitor;
    last_stage = stage;
    return true;
}

kua_status kua__progress(const kua_monitor *monitor, const char *stage, uint64_t done,
                         uint64_t total)
{
    assert(stage);
    if (!monitor || !monitor->progress || (!is_due(monitor, stage) && done != total)) {
        return KUA_OK;
    }
    if (monitor->progress(monitor->user, stage, done, total)) {
        return KUA_OK;
    }
    return kua__fail(KUA_CANCELED, "%s: canceled at %llu of %llu", stage, (unsigned long long)done,
                     (unsigned long long)total);
}

void kua__log_line(const kua_monitor *monitor, kua_log_level level, const char *format, ...)
{
    if (!monitor || !monitor->log) {
        return;
    }
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    for (char *p = line; *p; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = ' ';
        }
    }
    monitor->log(monitor->user, level, line);
}

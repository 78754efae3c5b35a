/* tool.c - another program as a child process.
 *
 * Its input is empty and its output goes to a file, so that it can neither ask nor print. While it
 * runs, twenty times a second: has it ended, and does the monitor still want it? Progress is told
 * in the bytes of its folder for temporary files, which is where downloads grow.
 *
 * No shell is involved: arguments are arguments.
 */
#include "engine/tool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { LINE_MAX_BYTES = 300 };

/* The environment with another TMPDIR; *own is to be freed behind it. */
static kua_status make_environment(const char *temporary, char ***out, char **own)
{
    static const char name[] = "TMPDIR=";
    size_t n = 0, at = 0, room = strlen(temporary) + sizeof(name);
    while (environ[n])
        n++;
    KUA__TRY(KUA__NEW_ARRAY(out, n + 2, "an environment"));
    *own = kua__malloc(room);
    if (!*own) {
        kua__free(*out);
        *out = NULL;
        return kua__fail_nomem(room, "an environment");
    }
    snprintf(*own, room, "%s%s", name, temporary);
    for (size_t i = 0; i < n; i++) {
        if (!kua__has_prefix(environ[i], name)) (*out)[at++] = environ[i];
    }
    (*out)[at++] = *own;
    (*out)[at] = NULL;
    return KUA_OK;
}

static int spawn(const kua__tool *tool, char **environment, pid_t *child)
{
    posix_spawn_file_actions_t files;
    int error = posix_spawn_file_actions_init(&files);
    if (error) return error;
    const char *log = tool->log ? tool->log : "/dev/null";
    error = posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    if (!error)
        error =
            posix_spawn_file_actions_addopen(&files, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (!error) error = posix_spawn_file_actions_adddup2(&files, 1, 2);
    if (!error)
        error = posix_spawnp(child, tool->argv[0], &files, NULL, (char *const *)tool->argv,
                             environment);
    posix_spawn_file_actions_destroy(&files);
    return error;
}

static kua_status start(const kua__tool *tool, pid_t *child)
{
    char **environment = NULL, *own = NULL;
    KUA__TRY(make_environment(tool->temporary, &environment, &own));
    int error = spawn(tool, environment, child);
    kua__free(environment);
    kua__free(own);
    if (!error) return KUA_OK;
    errno = error;
    if (error == ENOENT) return kua__fail(KUA_NOTFOUND, "%s is not installed", tool->argv[0]);
    return kua__fail_errno("%s: cannot be run", tool->argv[0]);
}

/* Until it has ended, however; *status is waitpid()'s. */
static kua_status wait_for(const kua__tool *tool, const kua_monitor *monitor, pid_t child,
                           int *status)
{
    const struct timespec pause = {0, 50000000};
    kua_status st = KUA_OK;
    for (;;) {
        pid_t done = waitpid(child, status, st ? 0 : WNOHANG);
        if (done == child) return st;
        if (done < 0 && errno != EINTR) return kua__fail_errno("%s", tool->argv[0]);
        if (st || done < 0) continue;
        uint64_t bytes = tool->stage ? kua__tree_bytes(tool->temporary) : 0;
        if (tool->stage)
            st = kua__progress(monitor, tool->stage, KUA__MIN(bytes, tool->total), tool->total);
        if (st)
            kill(child, SIGTERM);
        else
            nanosleep(&pause, NULL);
    }
}

/* The first line with "ERROR" in it, else the last one: clients end with hints. */
static void first_complaint(const char *text, size_t n, char out[LINE_MAX_BYTES])
{
    out[0] = 0;
    for (size_t at = 0; at < n;) {
        const char *line = text + at, *end = memchr(line, '\n', n - at);
        size_t length = end ? (size_t)(end - line) : n - at;
        at += length + 1;
        if (length == 0) continue;
        size_t cut = kua__utf8_valid(line, KUA__MIN(length, (size_t)LINE_MAX_BYTES - 1));
        if (cut == 0) continue;
        memcpy(out, line, cut);
        out[cut] = 0;
        if (strstr(out, "ERROR")) return;
    }
}

static kua_status failed(const kua__tool *tool, int status)
{
    char line[LINE_MAX_BYTES] = "";
    kua__map map = {0};
    if (tool->log && !kua__map_open(&map, tool->log)) {
        first_complaint(map.data, map.size, line);
        kua__map_close(&map);
    }
    return kua__fail(KUA_IO, "%s %s %d%s%s", tool->argv[0],
                     WIFSIGNALED(status) ? "was stopped by signal" : "failed with status",
                     WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status),
                     line[0] ? ": " : "", line);
}

kua_status kua__tool_run(const kua__tool *tool, const kua_monitor *monitor)
{
    assert(tool && tool->argv && tool->argv[0] && tool->temporary);
    pid_t child = 0;
    int status = 0;
    KUA__TRY(start(tool, &child));
    KUA__TRY(wait_for(tool, monitor, child, &status));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return KUA_OK;
    return failed(tool, status);
}

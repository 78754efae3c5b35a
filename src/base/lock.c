/* base/lock.c - one process at a time on a workspace.
 *
 * flock() belongs to the open file, so the system drops it when the process dies however it dies,
 * and a second take in the same process is refused too. The holder's number inside the file is only
 * for the message. The file is never removed: a process that waits on a removed file would lock
 * something nobody else sees.
 */
#include "base/base.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static kua_status say_who_holds(int fd, const char *path)
{
    char text[32] = "";
    int64_t pid;
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n > 0 && kua__parse_i64(text, strcspn(text, "\n"), &pid)) {
        return kua__fail(KUA_STORE, "%s: workspace is in use by process %lld", path,
                         (long long)pid);
    }
    return kua__fail(KUA_STORE, "%s: workspace is in use by another process", path);
}

kua_status kua__lock_take(kua__lock *lock, const char *path)
{
    assert(lock && path);
    lock->fd = -1;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return kua__fail_errno("%s: cannot open the lock file", path);
    }
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        kua_status st = errno == EWOULDBLOCK ? say_who_holds(fd, path)
                                             : kua__fail_errno("%s: cannot lock", path);
        close(fd);
        return st;
    }
    char text[32];
    int n = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n) {
        kua_status st = kua__fail_errno("%s: cannot write the lock file", path);
        close(fd);
        return st;
    }
    lock->fd = fd;
    return KUA_OK;
}

void kua__lock_release(kua__lock *lock)
{
    assert(lock);
    if (lock->fd >= 0) {
        if (ftruncate(lock->fd, 0)) {
            /* The number of a process that has gone is only a wrong hint, and flock decides. */
        }
        close(lock->fd);
        lock->fd = -1;
    }
}

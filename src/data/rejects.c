/* data/rejects.c - the lines that an import could not read, written as they come.
 *
 *     init -> add -> add ... -> keep -> release       path: from the first add on
 *              `- opens the file                      kept: it is in its place
 *
 * The file is written beside its place and renamed by keep (base's writer), so that the rejects of
 * the import before stay readable until this one has its own. An import that fails keeps its
 * rejects too: they are what the user needs then. One that is killed leaves none.
 */
#include "data/rejects.h"

#include <assert.h>
#include <string.h>

enum { RAW_MAX = 4096 }; /* bytes of a line that are shown: enough to find it by */

void kua__rejects_init(kua__rejects *r, const char *folder)
{
    assert(r);
    *r = (kua__rejects){.folder = folder};
}

/* <folder>/<base name of the file>.rejects.tsv */
static kua_status open_file(kua__rejects *r, const char *file)
{
    assert(r->folder && !r->open && !r->path);
    const char *slash = strrchr(file, '/');
    const char *base = slash ? slash + 1 : file;
    KUA__TRY(kua__make_folders(r->folder));
    kua__buf path = {0};
    kua__buf_printf(&path, "%s/%s.rejects.tsv", r->folder, base);
    KUA__TRY(kua__buf_status(&path));
    r->path = path.data; /* a buffer's memory is kua__free's */
    kua_status st = kua__writer_open(&r->writer, r->path);
    if (st) {
        kua__writer_abort(&r->writer);
        return st;
    }
    r->open = true;
    kua__writer_printf(&r->writer, "file\tline\treason\tcontent\n");
    return KUA_OK;
}

/* Line breaks inside a row (quoted CSV) are written as \n and \r: one reject, one line. Tabs stay,
 * since the content is the last column. */
static void write_raw(kua__writer *w, const char *raw, size_t n)
{
    n = KUA__MIN(n, (size_t)RAW_MAX);
    while (n) {
        size_t run = 0;
        while (run < n && raw[run] != '\n' && raw[run] != '\r') {
            run++;
        }
        kua__writer_add(w, raw, run);
        raw += run;
        n -= run;
        if (n) {
            kua__writer_printf(w, *raw == '\n' ? "\\n" : "\\r");
            raw++;
            n--;
        }
    }
}

kua_status kua__rejects_add(kua__rejects *r, const char *file, uint64_t line, const char *reason,
                            const char *raw, size_t n)
{
    assert(r && file && reason && (raw || n == 0) && !r->kept);
    if (!r->folder) {
        return KUA_OK;
    }
    if (!r->open) {
        KUA__TRY(open_file(r, file));
    }
    kua__writer_printf(&r->writer, "%s\t%llu\t%s\t", file, (unsigned long long)line, reason);
    write_raw(&r->writer, raw, n);
    kua__writer_printf(&r->writer, "\n");
    return KUA_OK;
}

kua_status kua__rejects_keep(kua__rejects *r)
{
    assert(r);
    if (!r->open) {
        return KUA_OK;
    }
    r->open = false;
    kua_status st = kua__writer_commit(&r->writer);
    r->kept = !st;
    return st;
}

void kua__rejects_release(kua__rejects *r)
{
    assert(r);
    if (r->open) {
        kua__writer_abort(&r->writer);
    }
    kua__free(r->path);
    *r = (kua__rejects){0};
}

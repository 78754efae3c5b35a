/* data/rejects.c - see rejects.h. */
#include "data/rejects.h"

#include <assert.h>
#include <string.h>

enum { RAW_MAX = 4096 };

void kua__rejects_init(kua__rejects *r, const char *folder)
{
    assert(r);
    *r = (kua__rejects){.folder = folder};
}

/* <folder>/<base name of the file>.rejects.tsv */
static kua_status open_file(kua__rejects *r, const char *file)
{
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

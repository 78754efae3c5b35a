/* report.c - puts data into the page that draws it, and both into one file.
 *
 * web/report/report.html names its parts as {{part}}: stylesheets and scripts, which were compiled
 * in as assets, and the data as JSON in a <script type="application/json">. Nothing in the data can
 * end that element or begin another: '<', '>' and '&' are written as \u003c, \u003e, \u0026, and
 * the page's script puts every value in as text, never as markup.
 *
 * The data. Every member may be missing, and its section is then left out. Times are seconds since
 * 1970, shares 0..1.
 *
 *   title      "From GROCERY to DRUG GM"
 *   headline   one sentence: the verdict
 *   lead       a paragraph under it
 *   generated  "2026-01-31 10:00"
 *   version    of kua
 *   machine    "2 cores of ..., 24 GB"
 *   published  name of the table row that is published; it and the verdicts' strategies are
 *              coloured as transfer
 *   tiles      [{"value": "1.4M", "text": "events"}] further key figures
 *   tables     what kua__table_json makes; tables of one "title" stand side by side; "label"
 *              takes the place of "Everything that was bought"
 *   models     [{"name", "kind", "strategy", "sources"}] of the tables' rows
 *   verdicts   what kua__verdict_json makes, with "sources": [name], "target", "strategy", "model"
 *   examples   [{"user", "title", "note", "before": [item], "recommended": [item],
 *                "after": [item]}]
 *              item: {"name", "category", "domain", "times": n, "known": had it before,
 *                     "hit": recommended and bought}
 *   data       {"words": sentence,
 *               "domains": [{"name", "items", "users", "events", "first", "last",
 *                            "role": "source" or "target"}],
 *               "others": {"domains": n, "items", "events"} that are not listed
 *               "shared_users": [{"a": domain, "b": domain, "users": n}],
 *               "activity": {"step": "week", "time": [..], "log": logarithmic axis,
 *                            "series": [{"name", "count": [..]}]},
 *               "cleaned": [{"step", "removed", "unit", "why"}]}
 *   training   [{"name": "finetune, seed 1", "measure", "epoch": [..], "valid": [..],
 *                "loss": [..]}]
 *   cost       [{"step", "seconds", "bytes", "note"}]
 *   scaling    {"events": [..], "steps": [{"name", "seconds": [..], "bytes": [..]}]}
 *   notes      [sentence] under "How was this measured?"
 */
#include "eval/report.h"

#include <assert.h>

#include "eval/assets.h"

static const kua__asset *find_asset(const char *name, size_t n)
{
    for (const kua__asset *a = kua__assets; a->name; a++) {
        if (strlen(a->name) == n && memcmp(a->name, name, n) == 0) return a;
    }
    return NULL;
}

static int write_escaped(const char *text, size_t n, void *user)
{
    kua__writer *w = user;
    size_t from = 0;
    for (size_t i = 0; i < n; i++) {
        const char *safe = text[i] == '<'   ? "\\u003c"
                           : text[i] == '>' ? "\\u003e"
                           : text[i] == '&' ? "\\u0026"
                                            : NULL;
        if (!safe) continue;
        kua__writer_add(w, text + from, i - from);
        kua__writer_add(w, safe, strlen(safe));
        from = i + 1;
    }
    kua__writer_add(w, text + from, n - from);
    return 0;
}

static kua_status write_part(kua__writer *w, const char *name, size_t n, const json_t *data)
{
    if (n == 4 && memcmp(name, "data", 4) == 0) {
        /* a json_t holds finite numbers and valid UTF-8 only, so nothing but memory can be short */
        if (json_dump_callback(data, write_escaped, w, JSON_COMPACT))
            return kua__fail_nomem(0, "the report's data");
        return KUA_OK;
    }
    const kua__asset *asset = find_asset(name, n);
    assert(asset && "report.html names a part that was not compiled in");
    kua__writer_add(w, asset->data, asset->size);
    return KUA_OK;
}

/* Copies the template, with every {{part}} replaced. The page and its parts are ours, compiled in:
 * what they lack is a mistake of the build. */
static kua_status write_page(kua__writer *w, const json_t *data)
{
    const kua__asset *page = find_asset("report_html", strlen("report_html"));
    assert(page);
    const char *at = (const char *)page->data, *end = at + page->size;
    while (at < end) {
        const char *open = memmem(at, (size_t)(end - at), "{{", 2);
        const char *close = open ? memmem(open, (size_t)(end - open), "}}", 2) : NULL;
        if (!close) break;
        kua__writer_add(w, at, (size_t)(open - at));
        KUA__TRY(write_part(w, open + 2, (size_t)(close - open - 2), data));
        at = close + 2;
    }
    kua__writer_add(w, at, (size_t)(end - at));
    return KUA_OK;
}

kua_status kua__report_write(const char *path, const json_t *data)
{
    assert(path);
    assert(json_is_object(data));
    kua__writer w;
    kua_status st = kua__writer_open(&w, path);
    if (!st) st = write_page(&w, data);
    if (!st) return kua__writer_commit(&w);
    kua__writer_abort(&w);
    return st;
}

/* workspace.c - opening the folder, its lock, the shop in memory, and small jobs that only read.
 *
 * Opening is cheap and takes no lock: the store alone is opened. The first job that needs the shop
 * loads it, and the workspace keeps it for the next one; an import forgets it. The first job that
 * writes takes the lock file, which the workspace holds until it is closed: two writers would train
 * two models of one version. Readers are kept apart by SQLite alone.
 *
 * Every job sets *report to NULL first, so that it is NULL after any failure.
 */
#include "engine/engine.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"

char *kua__engine_path(const kua_workspace *ws, const char *folder, const char *name)
{
    assert(ws && folder && name);
    char *middle = kua__path_join(ws->path, folder);
    char *whole = middle ? kua__path_join(middle, name) : NULL;
    kua__free(middle);
    return whole;
}

kua_status kua_workspace_create(const char *path)
{
    assert(path);
    char *db = kua__path_join(path, "kua.db");
    if (!db) return kua__fail_nomem(strlen(path) + 8, "a path");
    kua_status st = kua__make_folders(path);
    if (!st) st = kua__store_create(db);
    kua__free(db);
    return st;
}

static kua_status workspace_start(kua_workspace *ws, const char *path)
{
    ws->path = kua__strdup(path);
    char *db = kua__path_join(path, "kua.db");
    kua_status st = ws->path && db ? KUA_OK : kua__fail_nomem(strlen(path) + 8, "a path");
    if (!st && !kua__exists(db))
        st = kua__fail(KUA_NOTFOUND, "%s: no workspace there; kua init %s makes one", path, path);
    if (!st) st = kua__store_open(db, &ws->store);
    kua__free(db);
    return st;
}

kua_status kua_workspace_open(const char *path, const kua_monitor *monitor, kua_workspace **out)
{
    assert(path && out);
    *out = NULL;
    kua_workspace *ws = kua__calloc(1, sizeof(*ws));
    if (!ws) return kua__fail_nomem(sizeof(*ws), "a workspace");
    ws->monitor = monitor;
    kua_status st = workspace_start(ws, path);
    if (st) {
        kua_workspace_close(ws);
        return st;
    }
    *out = ws;
    return KUA_OK;
}

void kua_workspace_close(kua_workspace *ws)
{
    if (!ws) return;
    kua__engine_forget(ws);
    kua__store_close(ws->store);
    if (ws->locked) kua__lock_release(&ws->lock);
    kua__free(ws->path);
    kua__free(ws);
}

void kua_text_free(char *report)
{
    kua__free(report);
}

void kua_threads(int n)
{
    kua__threads_set(n);
}

kua_status kua__engine_shop(kua_workspace *ws, const kua__shop **out)
{
    assert(ws && ws->store && out);
    if (!ws->shop) KUA__TRY(kua__store_load_shop(ws->store, NULL, 0, &ws->shop));
    *out = ws->shop;
    return KUA_OK;
}

void kua__engine_forget(kua_workspace *ws)
{
    kua__shop_free(ws->shop);
    ws->shop = NULL;
}

kua_status kua__engine_lock(kua_workspace *ws)
{
    assert(ws && ws->path);
    if (ws->locked) return KUA_OK;
    char *path = kua__path_join(ws->path, "lock");
    if (!path) return kua__fail_nomem(strlen(ws->path) + 8, "a path");
    kua_status st = kua__lock_take(&ws->lock, path);
    kua__free(path);
    ws->locked = !st;
    return st;
}

kua_status kua__engine_report(json_t *json, char **report)
{
    kua_status st = KUA_OK;
    if (report) {
        *report =
            json ? kua__json_dumps(json, JSON_COMPACT | JSON_REAL_PRECISION(9) | JSON_ENCODE_ANY)
                 : NULL;
        if (!*report) st = kua__fail_nomem(0, "a report");
    }
    json_decref(json);
    return st;
}

kua_status kua_import(kua_workspace *ws, const kua_import_options *o, char **report)
{
    assert(ws && o);
    if (report) *report = NULL;
    KUA__TRY(kua__engine_lock(ws));
    json_t *settings = NULL, *result = NULL;
    char *rejects = kua__path_join(ws->path, "rejects");
    if (!rejects) return kua__fail_nomem(strlen(ws->path) + 8, "a path");
    kua_status st = o->settings ? kua__json_parse("import settings", o->settings,
                                                  strlen(o->settings), &settings)
                                : KUA_OK;
    if (!st) {
        kua__import_options import = {
            .domain = o->domain,
            .items = o->items,
            .events = o->events,
            .users = o->users,
            .map = o->map,
            .train = o->train,
            .valid = o->valid,
            .test = o->test,
            .settings = settings,
            .rejects = rejects,
        };
        st = kua__store_import(ws->store, &import, ws->monitor, &result);
    }
    kua__engine_forget(ws); /* also after a failure: it costs a load, and is never wrong */
    json_decref(settings);
    kua__free(rejects);
    return st ? st : kua__engine_report(result, report);
}

kua_status kua_inspect(kua_workspace *ws, char **report)
{
    assert(ws);
    if (report) *report = NULL;
    json_t *json = NULL;
    KUA__TRY(kua__store_inspect(ws->store, &json));
    return kua__engine_report(json, report);
}

kua_status kua_models(kua_workspace *ws, const char *name, char **report)
{
    assert(ws);
    if (report) *report = NULL;
    json_t *json = NULL;
    kua_status st = kua__store_models(ws->store, name, &json);
    if (!st && name && !json_array_size(json)) {
        json_t *row = NULL;
        st = kua__store_model_get(ws->store, name, 0, &row); /* says that there is none */
        json_decref(row);
    }
    if (!st) return kua__engine_report(json, report);
    json_decref(json);
    return st;
}

kua_status kua_publish(kua_workspace *ws, const char *name, int version, char **report)
{
    assert(ws && name && version >= 0);
    if (report) *report = NULL;
    KUA__TRY(kua__engine_lock(ws));
    json_t *row = NULL;
    KUA__TRY(kua__store_publish(ws->store, name, version, "published by hand"));
    KUA__TRY(kua__store_model_get(ws->store, name, version, &row));
    return kua__engine_report(row, report);
}

kua_status kua_rollback(kua_workspace *ws, const char *domain, char **report)
{
    assert(ws && domain);
    if (report) *report = NULL;
    KUA__TRY(kua__engine_lock(ws));
    json_t *row = NULL;
    KUA__TRY(kua__store_rollback(ws->store, domain, &row));
    return kua__engine_report(row, report);
}

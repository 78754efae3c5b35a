/* store/store.h - the workspace's records in one SQLite file: items, users, events, models,
 * settings.
 *
 *     kua__store *store = NULL;
 *     json_t *report = NULL;
 *     kua_status st = kua__store_create("shop/kua.db");
 *     if (!st) st = kua__store_open("shop/kua.db", &store);
 *     if (!st) st = kua__store_import(store, &(kua__import_options){.domain = "beauty",
 *                       .items = "beauty.item", .events = "beauty.inter"}, monitor, &report);
 *     kua__shop *shop = NULL;
 *     if (!st) st = kua__store_load_shop(store, NULL, 0, &shop);
 *     kua__shop_free(shop);
 *     json_decref(report);
 *     kua__store_close(store);
 *
 * Errors: what SQLite reports is KUA_STORE and names the file, what was tried and SQLite's words; a
 *     full disk, a locked, damaged or read-only file are all of these. A file made by a newer
 *     version, or that is no store at all, is KUA_FORMAT; a missing one KUA_NOTFOUND.
 * Transactions: every function that writes does so in one transaction: all of it or nothing, also
 *     when the process is killed in between. Readers see the state before until it is done.
 * Threads: a store belongs to one thread at a time. Processes: any number may read, one may write;
 * a second writer waits for two seconds and then gets KUA_STORE "... is locked".
 */
#ifndef KUA_STORE_STORE_H
#define KUA_STORE_STORE_H

#include <jansson.h>

#include "data/intake.h" /* kua__import_options and its settings */
#include "data/shop.h"

enum { KUA__STORE_VERSION = 1 }; /* of the tables, in the file's user_version */

typedef struct kua__store kua__store;

/* Makes an empty store. KUA_INVALID: the file exists. */
kua_status kua__store_create(const char *path);
kua_status kua__store_open(const char *path, kua__store **out);
/* The same without any right to write, for reading jobs on read-only media. */
kua_status kua__store_open_read_only(const char *path, kua__store **out);
void kua__store_close(kua__store *store); /* NULL is allowed */

/* ---- import ---- */

/* Reads, cleans and stores files. Items and users that exist are updated where they differ; an
 * event that is there already (same user, item, time, type, value) is not added again, so that a
 * repeat adds nothing. *report (owned; may be NULL):
 *   {"files": [{"file", "kind": "items|events|users", "rows", "bad", "seconds"}],
 *    "items": added, "items_updated": n, "users": added, "users_updated": n,
 *    "events": added, "events_known": n, "domains": ["beauty"],
 *    "cleaned": [{"step": "unknown items", "unit": "events", "removed": 4836, "why", "example"}],
 *               every step that ran, also those that removed nothing
 *    "rejects": path or null, "seconds": s, "repeat": bool}
 * KUA_FORMAT: a file is not what it should be, or a larger share of lines is bad than allowed.
 * KUA_INVALID: options that contradict each other. KUA_CANCELED. On failure the store is unchanged.
 */
kua_status kua__store_import(kua__store *store, const kua__import_options *options,
                             const kua_monitor *monitor, json_t **report);

/* ---- read ---- */

/* The named domains (n == 0: all) as a shop; users are all users of the store, in the order in
 * which they were first seen; items of a domain keep theirs. KUA_NOTFOUND: no such domain. */
kua_status kua__store_load_shop(kua__store *store, const char *const *domains, size_t n,
                                kua__shop **out);

/* What the store holds: kua__shop_inspect's object (data/inspect.h) and
 *   "imports": [{"id", "time", "files": [..], "items", "users", "events", "rows", "bad"}],
 *   "cleaned": [as in the import's report, summed over all imports but repeated ones] */
kua_status kua__store_inspect(kua__store *store, json_t **out);

/* ---- the model registry ---- */

typedef struct kua__model_row {
    const char *name;   /* required; versions count from 1 for each name */
    const char *kind;   /* required: "itemknn" */
    const char *domain; /* required: what it recommends */
    const char *strategy, *path, *parent, *reason; /* NULL: "" */
    const json_t *record; /* object: all else (settings, split, seeds, metrics); NULL: {} */
} kua__model_row;

/* Adds the next version of row->name and writes its number to *version (may be NULL). */
kua_status kua__store_model_add(kua__store *store, const kua__model_row *row, int *version);
/* Replaces the record of a version (0: the newest). KUA_NOTFOUND. */
kua_status kua__store_model_record(kua__store *store, const char *name, int version,
                                   const json_t *record);
/* Removes a version that is not published. KUA_NOTFOUND; KUA_INVALID: it is published. */
kua_status kua__store_model_remove(kua__store *store, const char *name, int version);

/* One model: {"name", "version", "kind", "domain", "strategy", "path", "parent", "reason",
 * "created": "2017-11-05 13:02:07", "published": bool, "record": {..}}; owned by the caller. */
kua_status kua__store_model_get(kua__store *store, const char *name, int version, json_t **out);
/* All versions of one name (NULL: of all), oldest first, as an array of the above; maybe empty. */
kua_status kua__store_models(kua__store *store, const char *name, json_t **out);

/* Makes a version (0: the newest) the published one of its domain and keeps why. */
kua_status kua__store_publish(kua__store *store, const char *name, int version, const char *reason);
/* The published model of a domain. KUA_NOTFOUND: nothing is published there. */
kua_status kua__store_published(kua__store *store, const char *domain, json_t **out);
/* Back to what was published before; *out is that model. KUA_NOTFOUND: nothing was. */
kua_status kua__store_rollback(kua__store *store, const char *domain, json_t **out);

/* ---- settings: what a workspace remembers, by name ---- */

/* *value is owned (kua__free); NULL where the setting was never made. */
kua_status kua__store_setting_get(kua__store *store, const char *key, char **value);
/* NULL removes it. */
kua_status kua__store_setting_set(kua__store *store, const char *key, const char *value);

#endif

/* db.c - opening the file, its schema, and statements with messages. */
#include "store/db.h"

#include <assert.h>
#include <string.h>

static const char schema_sql[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE domains(id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, has_clock INTEGER NOT NULL DEFAULT 1);"
    "CREATE TABLE items(id INTEGER PRIMARY KEY, domain INTEGER NOT NULL, key TEXT NOT NULL, name TEXT, text TEXT,"
    " category TEXT, price REAL, UNIQUE(domain, key));"
    "CREATE TABLE users(id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL);"
    "CREATE TABLE events(user INTEGER, item INTEGER, time INTEGER, type INTEGER, copy INTEGER, seq INTEGER, value REAL,"
    " part INTEGER, PRIMARY KEY(user, item, time, type, copy)) WITHOUT ROWID;"
    "CREATE TABLE imports(id INTEGER PRIMARY KEY, created TEXT DEFAULT CURRENT_TIMESTAMP, report TEXT);"
    "CREATE TABLE models(name TEXT, version INTEGER, domain TEXT, record TEXT, created TEXT DEFAULT CURRENT_TIMESTAMP,"
    " PRIMARY KEY(name, version)) WITHOUT ROWID;"
    "CREATE TABLE publications(id INTEGER PRIMARY KEY, domain TEXT, name TEXT, version INTEGER,"
    " created TEXT DEFAULT CURRENT_TIMESTAMP);"
    "INSERT INTO meta VALUES('schema', '1');";

kua_status kua__db_fail(const kua__store *store, const char *what)
{
    int code = store->db ? sqlite3_errcode(store->db) : SQLITE_NOMEM;
    kua_status st = code == SQLITE_NOMEM ? KUA_NOMEM : code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? KUA_FORMAT : KUA_STORE;
    return kua__fail(st, "%s: %s: %s", store->path, what, store->db ? sqlite3_errmsg(store->db) : "out of memory");
}

kua_status kua__db_exec(kua__store *store, const char *sql)
{
    return sqlite3_exec(store->db, sql, NULL, NULL, NULL) ? kua__db_fail(store, "write") : KUA_OK;
}

kua_status kua__db_prepare(kua__store *store, const char *sql, sqlite3_stmt **out)
{
    return sqlite3_prepare_v2(store->db, sql, -1, out, NULL) ? kua__db_fail(store, "read") : KUA_OK;
}

kua_status kua__db_step(kua__store *store, sqlite3_stmt *statement, bool *row)
{
    int code = sqlite3_step(statement);
    *row = code == SQLITE_ROW;
    return code == SQLITE_ROW || code == SQLITE_DONE ? KUA_OK : kua__db_fail(store, "read");
}

kua_status kua__db_run(kua__store *store, sqlite3_stmt *statement)
{
    int code = sqlite3_step(statement);
    kua_status st = code == SQLITE_DONE || code == SQLITE_ROW ? KUA_OK : kua__db_fail(store, "write");
    sqlite3_reset(statement);
    return st;
}

const char *kua__db_text(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    return text ? text : "";
}

kua_status kua__db_end(kua__store *store, kua_status st)
{
    if (!st) st = kua__db_exec(store, "COMMIT");
    if (st && !sqlite3_get_autocommit(store->db)) sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    return st;
}

static kua_status check_schema(kua__store *store)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    int version = 0;
    kua_status st = kua__db_prepare(store, "SELECT value FROM meta WHERE key = 'schema'", &q);
    if (!st) st = kua__db_step(store, q, &row);
    if (!st && row) version = sqlite3_column_int(q, 0);
    sqlite3_finalize(q);
    if (st) return st;
    if (version < 1) return kua__fail(KUA_FORMAT, "%s: not a kua workspace", store->path);
    if (version > KUA__SCHEMA) {
        return kua__fail(KUA_FORMAT, "%s: made by a newer kua (schema %d, this one knows %d)", store->path, version, KUA__SCHEMA);
    }
    return KUA_OK;
}

static kua_status store_start(kua__store *store, bool create)
{
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    if (sqlite3_open_v2(store->path, &store->db, flags, NULL)) return kua__db_fail(store, "open");
    sqlite3_busy_timeout(store->db, 5000);
    if (sqlite3_exec(store->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536", NULL, NULL, NULL)) {
        return kua__db_fail(store, "open");
    }
    if (!create) return check_schema(store);
    kua_status st = kua__db_exec(store, "BEGIN IMMEDIATE");
    if (!st) st = kua__db_exec(store, schema_sql);
    return kua__db_end(store, st);
}

kua_status kua__store_open(const char *path, bool create, kua__store **out)
{
    *out = NULL;
    bool exists = kua__exists(path);
    if (create && exists) return kua__fail(KUA_INVALID, "%s: there is a workspace already", path);
    if (!create && !exists) return kua__fail(KUA_NOTFOUND, "%s: no workspace there; kua init makes one", path);
    kua__store *store = kua__calloc(1, sizeof(*store));
    if (!store) return kua__fail_nomem(sizeof(*store), "a store");
    store->path = kua__strdup(path);
    kua_status st = store->path ? store_start(store, create) : kua__fail_nomem(strlen(path) + 1, "a store");
    if (st) {
        kua__store_close(store);
        return st;
    }
    *out = store;
    return KUA_OK;
}

void kua__store_close(kua__store *store)
{
    if (!store) return;
    sqlite3_close_v2(store->db);
    kua__free(store->path);
    kua__free(store);
}

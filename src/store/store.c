/* store/store.c - making and opening the file, its tables, and the settings.
 *
 *     domains   number, name, clock
 *     items     number, domain, id, name, text, category, brand, price, described (by a catalogue,
 *               not only met in an event); (domain, id) is unique
 *     users     number, id, attributes (JSON)
 *     events    clustered by (domain, user, time, item, type, value, occurrence): the shop is
 * loaded by one pass in this order, and a repeated event meets itself; seq is the order of equal
 * times, part the given split's imports   one row an import: hash of what was read, report (JSON)
 *     models, publications (store/models.c), settings
 *
 * Invariants
 *   I1  numbers of domains, items and users are 0, 1, 2, ... without holes: they are positions in
 *       the arrays of a shop and of an import.
 *   I2  an event's domain is its item's.
 *   I3  user_version is KUA__STORE_VERSION, application_id is "kua".
 *
 * Write-ahead log: readers go on while an import writes, and a killed import leaves a log that the
 * next one who opens the file ignores. synchronous=FULL: what is committed survives a power cut.
 */
#include "store/store.h"

#include <assert.h>
#include <string.h>

#include "store/db.h"

enum { APPLICATION_ID = 0x6b756101, BUSY_MS = 2000 };
/* The names of the enum stand as numbers in the text below: a PRAGMA takes no parameter. */

static const char tables[] =
    "CREATE TABLE domains(number INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL,"
    " clock INTEGER NOT NULL);"
    "CREATE TABLE items(number INTEGER PRIMARY KEY, domain INTEGER NOT NULL, id TEXT NOT NULL,"
    " name TEXT NOT NULL, text TEXT NOT NULL, category TEXT NOT NULL, brand TEXT NOT NULL,"
    " price REAL, described INTEGER NOT NULL, UNIQUE(domain, id));"
    "CREATE TABLE users(number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, attributes TEXT);"
    "CREATE TABLE events(domain INTEGER NOT NULL, user INTEGER NOT NULL, time INTEGER NOT NULL,"
    " item INTEGER NOT NULL, type INTEGER NOT NULL, value REAL NOT NULL,"
    " occurrence INTEGER NOT NULL, seq INTEGER NOT NULL, part INTEGER NOT NULL,"
    " PRIMARY KEY(domain, user, time, item, type, value, occurrence)) WITHOUT ROWID;"
    "CREATE TABLE imports(id INTEGER PRIMARY KEY, time INTEGER NOT NULL, hash INTEGER NOT NULL,"
    " report TEXT NOT NULL);"
    "CREATE TABLE models(name TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL,"
    " domain TEXT NOT NULL, strategy TEXT NOT NULL, path TEXT NOT NULL, parent TEXT NOT NULL,"
    " reason TEXT NOT NULL, created INTEGER NOT NULL, record TEXT NOT NULL,"
    " PRIMARY KEY(name, version)) WITHOUT ROWID;"
    "CREATE TABLE publications(id INTEGER PRIMARY KEY, domain TEXT NOT NULL, name TEXT NOT NULL,"
    " version INTEGER NOT NULL, time INTEGER NOT NULL, reason TEXT NOT NULL);"
    "CREATE TABLE settings(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "PRAGMA application_id = 1802854657;" /* APPLICATION_ID */
    "PRAGMA user_version = 1;";           /* KUA__STORE_VERSION */

/* In this order: a database of somebody else has a version of its own, which means nothing here. */
static kua_status check_version(kua__store *store)
{
    int64_t application = 0, version = 0;
    KUA__TRY(kua__query_int64(store, "PRAGMA application_id", &application));
    KUA__TRY(kua__query_int64(store, "PRAGMA user_version", &version));
    if (application != APPLICATION_ID) {
        return kua__fail(KUA_FORMAT, "%s: is a database, but not of kua", store->path);
    }
    if (version > KUA__STORE_VERSION) {
        return kua__fail(KUA_FORMAT,
                         "%s: made by a newer kua (its tables are version %lld, this one knows up "
                         "to %d)",
                         store->path, (long long)version, KUA__STORE_VERSION);
    }
    if (version < 1) {
        return kua__fail(KUA_FORMAT, "%s: its tables are version %lld, expected 1..%d", store->path,
                         (long long)version, KUA__STORE_VERSION);
    }
    return KUA_OK;
}

static kua_status connect_file(kua__store *store, int flags)
{
    assert(store && !store->db);
    int code = sqlite3_open_v2(store->path, &store->db, flags, NULL);
    if (code) {
        return kua__db_fail(store, code, "open");
    }
    sqlite3_extended_result_codes(store->db, 1);
    sqlite3_busy_timeout(store->db, BUSY_MS);
    return kua__db_exec(store, "PRAGMA cache_size = -65536; PRAGMA temp_store = MEMORY", "open");
}

static kua_status store_new(const char *path, kua__store **out)
{
    kua__store *store;
    *out = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&store, 1, "a store"));
    assert(store);
    store->path = kua__strdup(path);
    if (!store->path) {
        kua__free(store);
        return kua__fail_nomem(strlen(path) + 1, "a path");
    }
    *out = store;
    return KUA_OK;
}

/* The journal's mode is kept in the file and cannot change inside a transaction; synchronous
 * belongs to the connection, and open_with sets it again. */
static kua_status make_tables(kua__store *store)
{
    KUA__TRY(kua__db_exec(store, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", "open"));
    KUA__TRY(kua__db_begin(store));
    return kua__db_end(store, kua__db_exec(store, tables, "make its tables"));
}

kua_status kua__store_create(const char *path)
{
    assert(path);
    kua__store *store;
    if (kua__exists(path)) {
        return kua__fail(KUA_INVALID, "%s: exists already", path);
    }
    KUA__TRY(store_new(path, &store));
    kua_status st = connect_file(store, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (!st) st = make_tables(store);
    kua__store_close(store);
    return st;
}

static kua_status open_with(const char *path, int flags, kua__store **out)
{
    kua__store *store;
    *out = NULL;
    if (!kua__exists(path)) {
        return kua__fail(KUA_NOTFOUND, "%s: no such file", path);
    }
    KUA__TRY(store_new(path, &store));
    kua_status st = connect_file(store, flags);
    if (!st) st = check_version(store);
    if (!st && flags == SQLITE_OPEN_READWRITE) {
        st = kua__db_exec(store, "PRAGMA synchronous = FULL", "open");
    }
    if (st) {
        kua__store_close(store);
        return st;
    }
    *out = store;
    return KUA_OK;
}

kua_status kua__store_open(const char *path, kua__store **out)
{
    assert(path && out);
    return open_with(path, SQLITE_OPEN_READWRITE, out);
}

kua_status kua__store_open_read_only(const char *path, kua__store **out)
{
    assert(path && out);
    return open_with(path, SQLITE_OPEN_READONLY, out);
}

void kua__store_close(kua__store *store)
{
    if (!store) {
        return;
    }
    int code = sqlite3_close(store->db); /* NULL is fine; every query is closed by now */
    assert(code == SQLITE_OK);
    (void)code;
    kua__free(store->path);
    kua__free(store);
}

/* ---- settings ---- */

kua_status kua__store_setting_get(kua__store *store, const char *key, char **value)
{
    assert(store && key && value);
    kua__query q;
    *value = NULL;
    kua_status st = kua__query_open(store, &q, "SELECT value FROM settings WHERE key = ?1");
    if (!st) kua__query_text(&q, 1, key);
    if (!st) st = kua__query_step(&q);
    if (!st && q.row) {
        *value = kua__strdup(kua__query_get_text(&q, 0));
        st = *value ? KUA_OK : kua__fail_nomem(64, "a setting");
    }
    kua__query_close(&q);
    return st;
}

kua_status kua__store_setting_set(kua__store *store, const char *key, const char *value)
{
    assert(store && key);
    kua__query q;
    const char *sql = value ? "INSERT INTO settings VALUES(?1, ?2)"
                              " ON CONFLICT(key) DO UPDATE SET value = ?2"
                            : "DELETE FROM settings WHERE key = ?1";
    kua_status st = kua__query_open(store, &q, sql);
    if (!st) kua__query_text(&q, 1, key);
    if (!st && value) kua__query_text(&q, 2, value);
    if (!st) st = kua__query_run(&q);
    kua__query_close(&q);
    return st;
}

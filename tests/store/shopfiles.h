/* shopfiles.h - what the store's tests share: a fresh store, small files, rows of a table as text.
 */
#ifndef SHOPFILES_H
#define SHOPFILES_H

#include "testlib.h"

#include <sqlite3.h>
#include <unistd.h>

#include "store/store.h"

/* A path for a store that is not there (nor its log). */
static inline const char *fresh_path(const char *name)
{
    static const char *const tails[] = {"", "-wal", "-shm"};
    const char *path = test_temp_path(name);
    for (size_t i = 0; i < 3; i++) {
        kua__buf full = {0};
        kua__buf_printf(&full, "%s%s", path, tails[i]);
        unlink(full.data);
        kua__buf_release(&full);
    }
    return path;
}

static inline kua__store *fresh_store(const char *name)
{
    kua__store *store = NULL;
    const char *path = fresh_path(name);
    assert_ok(kua__store_create(path));
    assert_ok(kua__store_open(path, &store));
    return store;
}

static inline const char *text_file(const char *name, const char *text)
{
    return test_temp_file(name, text, strlen(text));
}

/* One number by SQL, through a connection of its own: what another process would see. */
static inline int64_t ask(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *q = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    int64_t out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return out;
}

static inline void run_sql(const char *path, const char *sql)
{
    sqlite3 *db = NULL;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static inline json_int_t whole(const json_t *json, const char *key)
{
    return json_integer_value(json_object_get(json, key));
}

/* Imports, and returns how many events were added. */
static inline json_int_t import_events(kua__store *store, const kua__import_options *options)
{
    json_t *report = NULL;
    assert_ok(kua__store_import(store, options, NULL, &report));
    json_int_t n = whole(report, "events");
    json_decref(report);
    return n;
}

#endif

/* store/db.c - statements, transactions and messages over SQLite.
 *
 * Statuses: SQLite's out-of-memory is KUA_NOMEM, a file that is no database KUA_FORMAT, everything
 * else KUA_STORE. Messages name the file and carry SQLite's own words, which are good.
 *
 *     open -> bind ... -> step -> row -> step -> ... -> no row: reset, ready to be bound again
 *                          `- failure: reset, the status goes up; close is still to be called
 *
 * Bindings report into the query and not to their caller: nine bindings and a step are one check.
 * The lowest byte of SQLite's extended codes is the kind of error, and all that is decided by.
 */
#include "store/db.h"

#include <assert.h>
#include <string.h>

kua_status kua__db_fail(const kua__store *store, int code, const char *what)
{
    assert(store && what && code != SQLITE_OK);
    int kind = code & 0xff;
    kua_status st = kind == SQLITE_NOMEM    ? KUA_NOMEM
                    : kind == SQLITE_NOTADB ? KUA_FORMAT
                                            : KUA_STORE;
    bool current = store->db && (sqlite3_errcode(store->db) & 0xff) == kind;
    /* errmsg belongs to the connection's last error. Where that is another one, as after an open
     * without memory, the code's own words are less, but true. */
    return kua__fail(st, "%s: cannot %s: %s", store->path, what,
                     current ? sqlite3_errmsg(store->db) : sqlite3_errstr(code));
}

kua_status kua__db_exec(kua__store *store, const char *sql, const char *what)
{
    assert(store && store->db && sql && what);
    int code = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return code ? kua__db_fail(store, code, what) : KUA_OK;
}

/* IMMEDIATE takes the write lock now. A transaction that reads first and wants to write later can
 * be refused in the middle, with all its work done. */
kua_status kua__db_begin(kua__store *store)
{
    return kua__db_exec(store, "BEGIN IMMEDIATE", "begin to write");
}

/* Some errors (a full disk) make SQLite roll back by itself: autocommit is on again then, and
 * ROLLBACK would be a second error over the first. */
kua_status kua__db_end(kua__store *store, kua_status st)
{
    assert(store && store->db);
    if (!st) st = kua__db_exec(store, "COMMIT", "write");
    if (st && !sqlite3_get_autocommit(store->db)) {
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL); /* its failure changes nothing */
    }
    return st;
}

kua_status kua__query_open(kua__store *store, kua__query *q, const char *sql)
{
    assert(store && q && sql);
    *q = (kua__query){.store = store};
    int code = sqlite3_prepare_v2(store->db, sql, -1, &q->statement, NULL);
    return code ? kua__db_fail(store, code, "read") : KUA_OK;
}

void kua__query_close(kua__query *q)
{
    assert(q);
    sqlite3_finalize(q->statement);
    *q = (kua__query){0};
}

kua_status kua__query_step(kua__query *q)
{
    assert(q && q->store && q->statement);
    int code = q->error ? q->error : sqlite3_step(q->statement);
    q->row = code == SQLITE_ROW;
    if (q->row) {
        return KUA_OK;
    }
    bool reads = sqlite3_stmt_readonly(q->statement);
    kua_status st =
        code == SQLITE_DONE ? KUA_OK : kua__db_fail(q->store, code, reads ? "read" : "write");
    sqlite3_reset(q->statement);
    q->error = 0;
    return st;
}

kua_status kua__query_run(kua__query *q)
{
    kua_status st = kua__query_step(q);
    assert(st || !q->row);
    return st;
}

kua_status kua__query_int64(kua__store *store, const char *sql, int64_t *out)
{
    assert(out);
    kua__query q;
    kua_status st = kua__query_open(store, &q, sql);
    if (!st) st = kua__query_step(&q);
    if (!st) *out = q.row ? sqlite3_column_int64(q.statement, 0) : 0;
    kua__query_close(&q);
    return st;
}

/* The first failure holds: the ones after it are mostly its consequences. */
static void note(kua__query *q, int code)
{
    assert(q->statement);
    if (!q->error) {
        q->error = code;
    }
}

void kua__query_int(kua__query *q, int place, int64_t value)
{
    note(q, sqlite3_bind_int64(q->statement, place, value));
}

void kua__query_real(kua__query *q, int place, double value)
{
    note(q, sqlite3_bind_double(q->statement, place, value)); /* not-a-number is stored as NULL */
}

void kua__query_text(kua__query *q, int place, const char *text)
{
    note(q, sqlite3_bind_text(q->statement, place, text, -1, SQLITE_STATIC)); /* not copied */
}

void kua__query_text_n(kua__query *q, int place, const char *text, size_t n)
{
    assert(n < INT32_MAX);
    note(q, sqlite3_bind_text(q->statement, place, text, (int)n, SQLITE_STATIC));
}

const char *kua__query_get_text(kua__query *q, int column)
{
    assert(q->row && column >= 0 && column < sqlite3_column_count(q->statement));
    const char *text = (const char *)sqlite3_column_text(q->statement, column);
    return text ? text : "";
}

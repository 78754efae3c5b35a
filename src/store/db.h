/* store/db.h - SQLite with this library's statuses; private to the layer.
 *
 *     kua__query q;
 *     kua_status st = kua__query_open(store, &q, "SELECT name FROM domains WHERE number = ?1");
 *     kua__query_int(&q, 1, number);
 *     while (!st && !(st = kua__query_step(&q)) && q.row) use(kua__query_get_text(&q, 0));
 *     kua__query_close(&q);
 *
 * Binding never fails by itself: a failure sticks in the query and comes out of the next step.
 */
#ifndef KUA_STORE_DB_H
#define KUA_STORE_DB_H

#include <sqlite3.h>

#include "store/store.h"

struct kua__store {
    sqlite3 *db;
    char *path;
};

typedef struct kua__query {
    kua__store *store;
    sqlite3_stmt *statement;
    bool row;  /* the last step gave a row */
    int error; /* SQLite's code of the first binding that failed */
} kua__query;

/* "<path>: <what>: <SQLite's words>" with the status that goes with SQLite's code. */
kua_status kua__db_fail(const kua__store *store, int code, const char *what);
kua_status kua__db_exec(kua__store *store, const char *sql, const char *what);

/* A transaction: the write lock is taken at its begin; end commits where st is KUA_OK, else rolls
 * back, and returns st or the commit's failure. */
kua_status kua__db_begin(kua__store *store);
kua_status kua__db_end(kua__store *store, kua_status st);

kua_status kua__query_open(kua__store *store, kua__query *q, const char *sql);
void kua__query_close(kua__query *q); /* also after a failed open */
/* The next row, or the end; at the end the query is ready to be bound and run again. */
kua_status kua__query_step(kua__query *q);
/* Runs a statement that gives no rows. */
kua_status kua__query_run(kua__query *q);
/* Opens, and makes the first step; the usual way to read one value. */
kua_status kua__query_int64(kua__store *store, const char *sql, int64_t *out);

void kua__query_int(kua__query *q, int place, int64_t value);
void kua__query_real(kua__query *q, int place, double value);
/* The text must live until the step; NULL binds NULL. */
void kua__query_text(kua__query *q, int place, const char *text);
void kua__query_text_n(kua__query *q, int place, const char *text, size_t n);
const char *kua__query_get_text(kua__query *q, int column); /* never NULL; until the next step */

#endif

/* store/db.h - SQLite with this library's statuses: the only header of this layer that knows it. */
#ifndef KUA_STORE_DB_H
#define KUA_STORE_DB_H

#include <sqlite3.h>

#include "store/store.h"

struct kua__store {
    sqlite3 *db;
    char *path;
};

/* Turns SQLite's last error into a message "<path>: <what>: <sqlite's words>". */
kua_status kua__db_fail(const kua__store *store, const char *what);
kua_status kua__db_exec(kua__store *store, const char *sql);
kua_status kua__db_prepare(kua__store *store, const char *sql, sqlite3_stmt **out);
/* One step: *row tells whether there is one. */
kua_status kua__db_step(kua__store *store, sqlite3_stmt *statement, bool *row);
/* Runs a statement without rows and makes it ready for the next time. */
kua_status kua__db_run(kua__store *store, sqlite3_stmt *statement);
const char *kua__db_text(sqlite3_stmt *statement, int column); /* never NULL; valid until the next step */
/* Ends a transaction: commits where st is KUA_OK, else rolls back; returns st or the commit's failure. */
kua_status kua__db_end(kua__store *store, kua_status st);

#endif

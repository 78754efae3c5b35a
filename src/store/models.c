/* models.c - the registry: versions of models, and which one is published for each domain. */
#include "store/db.h"

#include <string.h>

#include "base/json.h"

kua_status kua__store_next_version(kua__store *store, const char *name, int *out)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua_status st = kua__db_prepare(store, "SELECT coalesce(max(version), 0) + 1 FROM models WHERE name = ?1", &q);
    if (!st) {
        sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
        st = kua__db_step(store, q, &row);
        *out = row ? sqlite3_column_int(q, 0) : 1;
    }
    sqlite3_finalize(q);
    return st;
}

kua_status kua__store_model_add(kua__store *store, const char *name, const char *domain, const json_t *record, int *version)
{
    char *text = json_dumps(record, JSON_COMPACT);
    if (!text) return kua__fail_nomem(0, "a model's record");
    sqlite3_stmt *q = NULL;
    kua_status st = kua__store_next_version(store, name, version);
    if (!st) st = kua__db_prepare(store, "INSERT INTO models(name, version, domain, record) VALUES(?1, ?2, ?3, ?4)", &q);
    if (!st) {
        sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_int(q, 2, *version);
        sqlite3_bind_text(q, 3, domain, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 4, text, -1, SQLITE_STATIC);
        st = kua__db_run(store, q);
    }
    sqlite3_finalize(q);
    kua__free(text);
    return st;
}

static kua_status no_model(kua__store *store, const char *name, int version)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua__buf names = {0};
    kua_status st = kua__db_prepare(store, "SELECT DISTINCT name FROM models ORDER BY name", &q);
    while (!st && !(st = kua__db_step(store, q, &row)) && row) {
        kua__buf_printf(&names, "%s%s", names.len ? ", " : "", kua__db_text(q, 0));
    }
    sqlite3_finalize(q);
    char which[32] = "";
    if (version) snprintf(which, sizeof(which), " version %d", version);
    st = kua__fail(KUA_NOTFOUND, "model '%s'%s not found; there is: %s", name, which, names.len ? names.data : "none yet");
    kua__buf_release(&names);
    return st;
}

kua_status kua__store_model_get(kua__store *store, const char *name, int version, json_t **record, int *found)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua_status st = kua__db_prepare(store, "SELECT record, version FROM models WHERE name = ?1 AND (?2 = 0 OR version = ?2)"
                                           " ORDER BY version DESC LIMIT 1", &q);
    if (!st) {
        sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_int(q, 2, version);
        st = kua__db_step(store, q, &row);
    }
    if (!st && !row) st = no_model(store, name, version);
    if (!st) {
        const char *text = kua__db_text(q, 0);
        if (found) *found = sqlite3_column_int(q, 1);
        st = kua__json_parse(name, text, strlen(text), record);
    }
    sqlite3_finalize(q);
    return st;
}

static kua_status model_row(sqlite3_stmt *q, json_t *list)
{
    json_t *record = NULL;
    const char *text = kua__db_text(q, 2);
    KUA__TRY(kua__json_parse(kua__db_text(q, 0), text, strlen(text), &record));
    json_object_set_new(record, "name", json_string(kua__db_text(q, 0)));
    json_object_set_new(record, "version", json_integer(sqlite3_column_int(q, 1)));
    json_object_set_new(record, "created", json_string(kua__db_text(q, 3)));
    json_object_set_new(record, "published", json_boolean(sqlite3_column_int(q, 4)));
    return json_array_append_new(list, record) ? kua__fail_nomem(64, "a list of models") : KUA_OK;
}

kua_status kua__store_models(kua__store *store, const char *name, json_t **out)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    *out = json_array();
    kua_status st = kua__db_prepare(store,
        "SELECT m.name, m.version, m.record, m.created, EXISTS(SELECT 1 FROM publications p WHERE p.id ="
        " (SELECT max(id) FROM publications WHERE domain = m.domain) AND p.name = m.name AND p.version = m.version)"
        " FROM models m WHERE ?1 IS NULL OR m.name = ?1 ORDER BY m.created, m.name, m.version", &q);
    if (!st) sqlite3_bind_text(q, 1, name, -1, SQLITE_STATIC);
    while (!st && !(st = kua__db_step(store, q, &row)) && row) st = model_row(q, *out);
    sqlite3_finalize(q);
    if (!st && name && !json_array_size(*out)) st = no_model(store, name, 0);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

/* ---- publications: the newest row of a domain is what is published; rolling back removes it ------------------------------ */

kua_status kua__store_publish(kua__store *store, const char *domain, const char *name, int version)
{
    sqlite3_stmt *q = NULL;
    kua_status st = kua__db_prepare(store, "INSERT INTO publications(domain, name, version) VALUES(?1, ?2, ?3)", &q);
    if (!st) {
        sqlite3_bind_text(q, 1, domain, -1, SQLITE_STATIC);
        sqlite3_bind_text(q, 2, name, -1, SQLITE_STATIC);
        sqlite3_bind_int(q, 3, version);
        st = kua__db_run(store, q);
    }
    sqlite3_finalize(q);
    return st;
}

/* The publication `back` steps before the newest. */
static kua_status publication(kua__store *store, const char *domain, int back, char **name, int *version, int64_t *id)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua_status st = kua__db_prepare(store, "SELECT name, version, id FROM publications WHERE domain = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2", &q);
    if (!st) {
        sqlite3_bind_text(q, 1, domain, -1, SQLITE_STATIC);
        sqlite3_bind_int(q, 2, back);
        st = kua__db_step(store, q, &row);
    }
    if (!st && !row) {
        st = kua__fail(KUA_NOTFOUND, back ? "nothing was published for '%s' before" : "nothing is published for '%s'; kua models WS publish M does", domain);
    }
    if (!st) {
        *name = kua__strdup(kua__db_text(q, 0));
        *version = sqlite3_column_int(q, 1);
        *id = sqlite3_column_int64(q, 2);
        if (!*name) st = kua__fail_nomem(0, "a model's name");
    }
    sqlite3_finalize(q);
    return st;
}

kua_status kua__store_published(kua__store *store, const char *domain, char **name, int *version)
{
    int64_t id = 0;
    return publication(store, domain, 0, name, version, &id);
}

kua_status kua__store_rollback(kua__store *store, const char *domain, char **name, int *version)
{
    int64_t id = 0;
    KUA__TRY(publication(store, domain, 1, name, version, &id));
    sqlite3_stmt *q = NULL;
    kua_status st = kua__db_prepare(store, "DELETE FROM publications WHERE domain = ?1 AND id > ?2", &q);
    if (!st) {
        sqlite3_bind_text(q, 1, domain, -1, SQLITE_STATIC);
        sqlite3_bind_int64(q, 2, id);
        st = kua__db_run(store, q);
    }
    sqlite3_finalize(q);
    if (st) {
        kua__free(*name);
        *name = NULL;
    }
    return st;
}

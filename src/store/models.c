/* store/models.c - the registry: versions of models, and which one each domain recommends with.
 *
 * A publication is a row that is never changed: the published model of a domain is its latest one,
 * and rolling back removes that row. So the history of a domain is there to be read, and a roll
 * back can be followed by another.
 *
 *     models        (shoes, 1) (shoes, 2) (shoes, 3)           versions count from 1, by name
 *     publications   #1 shoes 1   #2 shoes 2   #3 shoes 1      of one domain, by id
 *                                              ^ published; rolling back removes #3: #2 is
 *
 * Invariants
 *   I1  a publication names a model that is there: a published version cannot be removed, and one
 *       that is not takes its old publications along.
 *   I2  versions of a name only grow while its newest one stays: max + 1 is taken inside the same
 *       transaction that adds the row, so that two processes cannot take one number.
 *
 * The registry knows names and paths; the files of a model are the workspace's (engine/models.c).
 */
#include <assert.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "data/report_json.h"
#include "store/db.h"

static const char columns[] =
    "SELECT m.name, m.version, m.kind, m.domain, m.strategy, m.path, m.parent, m.reason, m.created,"
    " m.record, p.id IS NOT NULL, coalesce(p.reason, '') FROM models m LEFT JOIN publications p"
    " ON p.name = m.name AND p.version = m.version AND p.id ="
    " (SELECT max(id) FROM publications WHERE domain = m.domain)";

/* ---- reading ---- */

static kua_status read_row(kua__query *q, json_t **out)
{
    /* In the order of the columns from 2 on. */
    static const char *const texts[] = {"kind", "domain", "strategy", "path", "parent"};
    char date[32];
    json_t *record;
    *out = NULL;
    const char *text = kua__query_get_text(q, 9);
    KUA__TRY(kua__json_parse("model's record", text, strlen(text), &record));
    kua_status st = KUA_OK;
    json_t *row = kua__json_new_object(&st);
    bool published = sqlite3_column_int(q->statement, 10) != 0;
    const char *why = kua__query_get_text(q, published ? 11 : 7);
    /* Why it was published says more than why it was made, where anybody said so. */
    kua__json_put(row, "name", kua__json_text(kua__query_get_text(q, 0)), &st);
    kua__json_put(row, "version", json_integer(sqlite3_column_int(q->statement, 1)), &st);
    for (int i = 0; i < (int)KUA__COUNT(texts); i++) {
        kua__json_put(row, texts[i], kua__json_text(kua__query_get_text(q, 2 + i)), &st);
    }
    kua__json_put(row, "reason", kua__json_text(*why ? why : kua__query_get_text(q, 7)), &st);
    kua__format_date(sqlite3_column_int64(q->statement, 8), date);
    kua__json_put(row, "created", json_string(date), &st);
    kua__json_put(row, "published", json_boolean(published), &st);
    kua__json_put(row, "record", record, &st);
    return kua__json_finish(row, st, out);
}

static kua_status no_model(kua__store *store, const char *name, int version)
{
    kua__query q;
    kua__buf names = {0};
    char which[32] = "";
    kua_status st = kua__query_open(store, &q, "SELECT DISTINCT name FROM models ORDER BY name");
    while (!st && !(st = kua__query_step(&q)) && q.row) {
        kua__buf_printf(&names, "%s%s", names.len ? ", " : "", kua__query_get_text(&q, 0));
    }
    if (version) {
        snprintf(which, sizeof(which), " version %d", version);
    }
    if (!st) st = kua__buf_status(&names);
    if (!st) {
        st = kua__fail(KUA_NOTFOUND, "model '%s'%s not found, there are: %s", name, which,
                       names.len ? names.data : "none");
    }
    kua__query_close(&q);
    kua__buf_release(&names);
    return st;
}

kua_status kua__store_model_get(kua__store *store, const char *name, int version, json_t **out)
{
    assert(store && name && version >= 0 && out);
    kua__query q;
    kua__buf sql = {0};
    *out = NULL;
    kua__buf_printf(&sql,
                    "%s WHERE m.name = ?1 AND (?2 = 0 OR m.version = ?2)"
                    " ORDER BY m.version DESC LIMIT 1",
                    columns);
    KUA__TRY(kua__buf_status(&sql));
    kua_status st = kua__query_open(store, &q, sql.data);
    if (!st) {
        kua__query_text(&q, 1, name);
        kua__query_int(&q, 2, version);
        st = kua__query_step(&q);
    }
    if (!st) st = q.row ? read_row(&q, out) : no_model(store, name, version);
    kua__query_close(&q);
    kua__buf_release(&sql);
    return st;
}

kua_status kua__store_models(kua__store *store, const char *name, json_t **out)
{
    assert(store && out);
    kua__query q;
    kua__buf sql = {0};
    kua_status made = KUA_OK;
    *out = NULL;
    kua__buf_printf(
        &sql, "%s WHERE ?1 IS NULL OR m.name = ?1 ORDER BY m.created, m.name, m.version", columns);
    KUA__TRY(kua__buf_status(&sql));
    json_t *list = kua__json_new_array(&made);
    kua_status st = kua__query_open(store, &q, sql.data);
    if (!st) kua__query_text(&q, 1, name);
    while (!st && !made && !(st = kua__query_step(&q)) && q.row) {
        json_t *row;
        st = read_row(&q, &row);
        if (!st) kua__json_push(list, row, &made);
    }
    kua__query_close(&q);
    kua__buf_release(&sql);
    return kua__json_finish(list, st ? st : made, out);
}

/* ---- writing ---- */

static const char *or_empty(const char *text)
{
    return text ? text : "";
}

static kua_status next_version(kua__store *store, const char *name, int *out)
{
    kua__query q;
    kua_status st = kua__query_open(
        store, &q, "SELECT coalesce(max(version), 0) + 1 FROM models WHERE name = ?1");
    if (!st) kua__query_text(&q, 1, name);
    if (!st) st = kua__query_step(&q);
    if (!st) *out = sqlite3_column_int(q.statement, 0);
    kua__query_close(&q);
    return st;
}

static kua_status insert_model(kua__store *store, const kua__model_row *row, const char *record,
                               int version)
{
    assert(version >= 1 && record);
    kua__query q;
    kua_status st = kua__query_open(
        store, &q, "INSERT INTO models VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
    if (!st) {
        kua__query_text(&q, 1, row->name);
        kua__query_int(&q, 2, version);
        kua__query_text(&q, 3, row->kind);
        kua__query_text(&q, 4, row->domain);
        kua__query_text(&q, 5, or_empty(row->strategy));
        kua__query_text(&q, 6, or_empty(row->path));
        kua__query_text(&q, 7, or_empty(row->parent));
        kua__query_text(&q, 8, or_empty(row->reason));
        kua__query_int(&q, 9, (int64_t)time(NULL));
        kua__query_text(&q, 10, record);
        st = kua__query_run(&q);
    }
    kua__query_close(&q);
    return st;
}

/* Owned text of a record; NULL gives "{}". */
static kua_status record_text(const json_t *record, char **out)
{
    if (record) {
        return kua__json_to_text(record, out);
    }
    *out = kua__strdup("{}");
    return *out ? KUA_OK : kua__fail_nomem(3, "a model's record");
}

kua_status kua__store_model_add(kua__store *store, const kua__model_row *row, int *version)
{
    assert(store && row && row->name && row->kind && row->domain);
    assert(!row->record || json_is_object(row->record));
    char *record;
    int next = 0;
    if (!*row->name) {
        return kua__fail(KUA_INVALID, "a model's name is empty");
    }
    KUA__TRY(record_text(row->record, &record));
    kua_status st = kua__db_begin(store);
    if (!st) {
        st = next_version(store, row->name, &next);
        if (!st) st = insert_model(store, row, record, next);
        st = kua__db_end(store, st);
    }
    kua__free(record);
    if (!st && version) {
        *version = next;
    }
    return st;
}

/* The version that 0 stands for; KUA_NOTFOUND where there is none. *domain is owned; may be NULL.
 */
static kua_status find_version(kua__store *store, const char *name, int *version, char **domain)
{
    json_t *row;
    KUA__TRY(kua__store_model_get(store, name, *version, &row));
    *version = (int)json_integer_value(json_object_get(row, "version"));
    kua_status st = KUA_OK;
    if (domain) {
        *domain = kua__strdup(json_string_value(json_object_get(row, "domain")));
        st = *domain ? KUA_OK : kua__fail_nomem(64, "a domain's name");
    }
    json_decref(row);
    return st;
}

kua_status kua__store_model_record(kua__store *store, const char *name, int version,
                                   const json_t *record)
{
    assert(store && name && json_is_object(record));
    kua__query q;
    char *text;
    KUA__TRY(find_version(store, name, &version, NULL));
    KUA__TRY(record_text(record, &text));
    kua_status st = kua__query_open(
        store, &q, "UPDATE models SET record = ?3 WHERE name = ?1 AND version = ?2");
    if (!st) {
        kua__query_text(&q, 1, name);
        kua__query_int(&q, 2, version);
        kua__query_text(&q, 3, text);
        st = kua__query_run(&q);
    }
    kua__query_close(&q);
    kua__free(text);
    return st;
}

static kua_status delete_rows(kua__store *store, const char *sql, const char *name, int version)
{
    kua__query q;
    kua_status st = kua__query_open(store, &q, sql);
    if (!st) {
        kua__query_text(&q, 1, name);
        kua__query_int(&q, 2, version);
        st = kua__query_run(&q);
    }
    kua__query_close(&q);
    return st;
}

/* A version that recommends now is not removed. Its rows in publications go along: rolling back to
 * a model that is gone would leave the domain without one. */
static kua_status remove_model(kua__store *store, const char *name, int version)
{
    json_t *row;
    KUA__TRY(kua__store_model_get(store, name, version, &row));
    bool published = json_is_true(json_object_get(row, "published"));
    version = (int)json_integer_value(json_object_get(row, "version"));
    json_decref(row);
    if (published) {
        return kua__fail(KUA_INVALID, "model '%s' version %d is published, it cannot be removed",
                         name, version);
    }
    KUA__TRY(delete_rows(store, "DELETE FROM publications WHERE name = ?1 AND version = ?2", name,
                         version));
    return delete_rows(store, "DELETE FROM models WHERE name = ?1 AND version = ?2", name, version);
}

kua_status kua__store_model_remove(kua__store *store, const char *name, int version)
{
    assert(store && name && version >= 0);
    KUA__TRY(kua__db_begin(store));
    return kua__db_end(store, remove_model(store, name, version));
}

/* ---- publishing ---- */

static kua_status insert_publication(kua__store *store, const char *domain, const char *name,
                                     int version, const char *reason)
{
    assert(version >= 1 && domain);
    kua__query q;
    kua_status st = kua__query_open(store, &q,
                                    "INSERT INTO publications(domain, name, version, time, reason)"
                                    " VALUES(?1, ?2, ?3, ?4, ?5)");
    if (!st) {
        kua__query_text(&q, 1, domain);
        kua__query_text(&q, 2, name);
        kua__query_int(&q, 3, version);
        kua__query_int(&q, 4, (int64_t)time(NULL));
        kua__query_text(&q, 5, or_empty(reason));
        st = kua__query_run(&q);
    }
    kua__query_close(&q);
    return st;
}

kua_status kua__store_publish(kua__store *store, const char *name, int version, const char *reason)
{
    assert(store && name && version >= 0);
    char *domain = NULL;
    KUA__TRY(kua__db_begin(store));
    kua_status st = find_version(store, name, &version, &domain);
    if (!st) st = insert_publication(store, domain, name, version, reason);
    kua__free(domain);
    return kua__db_end(store, st);
}

/* The `back`-th latest publication of a domain: name (owned, NULL: none), version and row. */
static kua_status publication(kua__store *store, const char *domain, int back, char **name,
                              int *version, int64_t *id)
{
    assert(back >= 0);
    kua__query q;
    *name = NULL;
    kua_status st = kua__query_open(store, &q,
                                    "SELECT name, version, id FROM publications WHERE domain = ?1"
                                    " ORDER BY id DESC LIMIT 1 OFFSET ?2");
    if (!st) {
        kua__query_text(&q, 1, domain);
        kua__query_int(&q, 2, back);
        st = kua__query_step(&q);
    }
    if (!st && q.row) {
        *name = kua__strdup(kua__query_get_text(&q, 0));
        *version = sqlite3_column_int(q.statement, 1);
        *id = sqlite3_column_int64(q.statement, 2);
        st = *name ? KUA_OK : kua__fail_nomem(64, "a model's name");
    }
    kua__query_close(&q);
    return st;
}

kua_status kua__store_published(kua__store *store, const char *domain, json_t **out)
{
    assert(store && domain && out);
    char *name;
    int version = 0;
    int64_t id;
    *out = NULL;
    KUA__TRY(publication(store, domain, 0, &name, &version, &id));
    kua_status st = name ? kua__store_model_get(store, name, version, out)
                         : kua__fail(KUA_NOTFOUND, "no model is published for '%s'", domain);
    kua__free(name);
    return st;
}

static kua_status roll_back(kua__store *store, const char *domain)
{
    char *latest = NULL, *before = NULL;
    int version = 0;
    int64_t id = 0, older = 0;
    kua__query q;
    kua_status st = publication(store, domain, 0, &latest, &version, &id);
    if (!st) st = publication(store, domain, 1, &before, &version, &older);
    bool found = latest && before;
    kua__free(latest);
    kua__free(before);
    if (!st && !found) {
        st = kua__fail(KUA_NOTFOUND, "'%s': no model was published before the present one", domain);
    }
    if (st) {
        return st;
    }
    st = kua__query_open(store, &q, "DELETE FROM publications WHERE id = ?1");
    if (!st) {
        kua__query_int(&q, 1, id);
        st = kua__query_run(&q);
    }
    kua__query_close(&q);
    return st;
}

kua_status kua__store_rollback(kua__store *store, const char *domain, json_t **out)
{
    assert(store && domain && out);
    *out = NULL;
    KUA__TRY(kua__db_begin(store));
    KUA__TRY(kua__db_end(store, roll_back(store, domain)));
    return kua__store_published(store, domain, out);
}

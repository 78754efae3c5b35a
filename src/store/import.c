/* import.c - one import: read into memory, clean, write in one transaction, report.
 *
 * Memory: about 48 bytes an event and the texts of new items. Events are written in the order of their table's key, so
 * that the clustered table grows at its end.
 */
#include "store/import.h"

#include <math.h>
#include <string.h>

/* ---- writing -------------------------------------------------------------------------------------------------------------- */

static kua_status write_names(importer *im, const char *sql_add, const char *sql_find, const kua__ids *ids, int64_t *out)
{
    sqlite3_stmt *add = NULL, *find = NULL;
    kua_status st = kua__db_prepare(im->store, sql_add, &add);
    if (!st) st = kua__db_prepare(im->store, sql_find, &find);
    for (size_t i = 0; !st && i < ids->count; i++) {
        bool row = false;
        sqlite3_bind_text(add, 1, ids->name[i], (int)ids->len[i], SQLITE_STATIC);
        st = kua__db_run(im->store, add);
        sqlite3_bind_text(find, 1, ids->name[i], (int)ids->len[i], SQLITE_STATIC);
        if (!st) st = kua__db_step(im->store, find, &row);
        if (!st) out[i] = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);
    }
    sqlite3_finalize(add);
    sqlite3_finalize(find);
    return st;
}

static void bind_item(importer *im, sqlite3_stmt *q, const import_item *item)
{
    sqlite3_bind_int64(q, 1, im->domain_id[item->domain]);
    sqlite3_bind_text(q, 2, item->key, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 3, item->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 4, item->text, -1, SQLITE_STATIC);
    sqlite3_bind_text(q, 5, item->category, -1, SQLITE_STATIC);
    if (isnan(item->price)) sqlite3_bind_null(q, 6);
    else sqlite3_bind_double(q, 6, item->price);
}

/* Items of the files are added or brought up to date; those that the store has and no file mentions are left alone. */
static kua_status write_items(importer *im)
{
    sqlite3_stmt *put = NULL, *find = NULL;
    kua_status st = kua__db_prepare(im->store,
        "INSERT INTO items(domain, key, name, text, category, price) VALUES(?1, ?2, ?3, ?4, ?5, ?6)"
        " ON CONFLICT(domain, key) DO UPDATE SET name = ?3, text = ?4, category = ?5, price = ?6", &put);
    if (!st) st = kua__db_prepare(im->store, "SELECT id FROM items WHERE domain = ?1 AND key = ?2", &find);
    for (size_t i = 0; !st && i < im->n_items; i++) {
        const import_item *item = &im->item[i];
        bool row = false;
        bind_item(im, put, item);
        if (item->is_new || *item->text || *item->name) st = kua__db_run(im->store, put);
        sqlite3_bind_int64(find, 1, im->domain_id[item->domain]);
        sqlite3_bind_text(find, 2, item->key, -1, SQLITE_STATIC);
        if (!st) st = kua__db_step(im->store, find, &row);
        if (!st) im->item_id[i] = sqlite3_column_int64(find, 0);
        sqlite3_reset(find);
        if (!st && i % 4096 == 0) st = kua__progress(im->monitor, "write items", i, im->n_items);
    }
    sqlite3_finalize(put);
    sqlite3_finalize(find);
    return st;
}

static void bind_event(importer *im, sqlite3_stmt *q, const import_event *e)
{
    sqlite3_bind_int64(q, 1, im->user_id[e->user]);
    sqlite3_bind_int64(q, 2, im->item_id[e->item]);
    sqlite3_bind_int64(q, 3, e->time);
    sqlite3_bind_int(q, 4, e->type);
    sqlite3_bind_int(q, 5, e->copy);
    sqlite3_bind_int64(q, 6, e->seq);
    sqlite3_bind_double(q, 7, (double)e->value);
    sqlite3_bind_int(q, 8, e->part);
}

static kua_status write_events(importer *im)
{
    sqlite3_stmt *q = NULL;
    kua_status st = kua__db_prepare(im->store,
        "INSERT OR IGNORE INTO events(user, item, time, type, copy, seq, value, part) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", &q);
    for (size_t i = 0; !st && i < im->n_events; i++) {
        bind_event(im, q, &im->event[i]);
        st = kua__db_run(im->store, q);
        im->added_events += (uint64_t)sqlite3_changes(im->store->db);
        if (!st && i % 8192 == 0) st = kua__progress(im->monitor, "write events", i, im->n_events);
    }
    sqlite3_finalize(q);
    return st;
}

/* Times below this are positions in a history: 1e8 seconds is March 1973. */
static kua_status write_clocks(importer *im)
{
    bool clock = im->has_times && im->latest >= 100000000;
    if (clock || !im->n_events) return KUA_OK;
    sqlite3_stmt *q = NULL;
    kua_status st = kua__db_prepare(im->store, "UPDATE domains SET has_clock = 0 WHERE id = ?1", &q);
    for (size_t d = 0; !st && d < im->domains.count; d++) {
        bool touched = !im->options->domain || kua__streq(im->domains.name[d], im->options->domain);
        sqlite3_bind_int64(q, 1, im->domain_id[d]);
        if (touched) st = kua__db_run(im->store, q);
    }
    sqlite3_finalize(q);
    return st;
}

kua_status kua__import_write(importer *im)
{
    KUA__TRY(KUA__NEW_ARRAY(&im->domain_id, im->domains.count, "row ids"));
    KUA__TRY(KUA__NEW_ARRAY(&im->item_id, im->n_items, "row ids"));
    KUA__TRY(KUA__NEW_ARRAY(&im->user_id, im->users.count, "row ids"));
    KUA__TRY(write_names(im, "INSERT OR IGNORE INTO domains(name) VALUES(?1)", "SELECT id FROM domains WHERE name = ?1",
                         &im->domains, im->domain_id));
    KUA__TRY(write_items(im));
    KUA__TRY(write_names(im, "INSERT OR IGNORE INTO users(key) VALUES(?1)", "SELECT id FROM users WHERE key = ?1", &im->users,
                         im->user_id));
    KUA__TRY(write_events(im));
    return write_clocks(im);
}

/* ---- the whole -------------------------------------------------------------------------------------------------------------- */

static json_t *make_report(const importer *im, double seconds)
{
    static const struct {
        const char *name, *why;
    } steps[IMPORT_STEPS] = {
#define X(id, name, why) [IMPORT_##id] = {name, why},
        IMPORT_STEP_MAP(X)
#undef X
    };
    json_t *cleaned = json_array();
    for (int s = 0; s < IMPORT_STEPS; s++) {
        json_array_append_new(cleaned, json_pack("{s:s, s:I, s:s}", "step", steps[s].name, "removed", (json_int_t)im->removed[s],
                                                 "why", steps[s].why));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:f, s:o, s:s}", "items", (json_int_t)(im->n_items - im->old_items), "users",
                     (json_int_t)(im->users.count - im->old_users), "events", (json_int_t)im->added_events, "lines",
                     (json_int_t)im->lines, "seconds", seconds, "cleaned", cleaned, "rejects",
                     im->rejects.len ? im->options->rejects : "");
}

static kua_status read_files(importer *im)
{
    const kua__import *o = im->options;
    KUA__TRY(kua__import_known(im));
    if (o->items) KUA__TRY(kua__import_items(im, o->items));
    if (o->users) KUA__TRY(kua__import_users(im, o->users));
    if (o->events) KUA__TRY(kua__import_events(im, o->events, KUA__PART_NONE));
    for (int i = 0; i < 3; i++) {
        if (o->given[i]) KUA__TRY(kua__import_events(im, o->given[i], (uint8_t)(KUA__PART_TRAIN + i)));
    }
    return kua__import_clean(im);
}

static kua_status log_import(importer *im, const json_t *report)
{
    char *text = json_dumps(report, JSON_COMPACT);
    if (!text) return kua__fail_nomem(0, "an import's report");
    sqlite3_stmt *q = NULL;
    kua_status st = kua__db_prepare(im->store, "INSERT INTO imports(report) VALUES(?1)", &q);
    if (!st) {
        sqlite3_bind_text(q, 1, text, -1, SQLITE_STATIC);
        st = kua__db_run(im->store, q);
    }
    sqlite3_finalize(q);
    kua__free(text);
    return st;
}

static void importer_release(importer *im)
{
    kua__arena_release(&im->arena);
    kua__ids_release(&im->domains);
    kua__ids_release(&im->users);
    kua__ids_release(&im->keys);
    kua__ids_release(&im->plain);
    kua__buf_release(&im->rejects);
    kua__buf_release(&im->scratch);
    kua__buf_release(&im->scratch2);
    kua__free(im->plain_item);
    kua__free(im->item);
    kua__free(im->event);
    kua__free(im->item_id);
    kua__free(im->user_id);
    kua__free(im->domain_id);
}

/* The rejects are kept whether or not the import succeeds: they are what the user needs to mend the file. */
static kua_status keep_rejects(const importer *im, kua_status st)
{
    if (!im->rejects.len || !im->options->rejects) return st;
    if (!st) return kua__write_file(im->options->rejects, im->rejects.data, im->rejects.len);
    kua__buf message = {0};
    kua__buf_puts(&message, kua_error_message());
    kua_status written = kua__write_file(im->options->rejects, im->rejects.data, im->rejects.len);
    kua__fail(st, "%s%s%s", message.data ? message.data : "", written ? "" : "; all of them are in ", written ? "" : im->options->rejects);
    kua__buf_release(&message);
    return st;
}

kua_status kua__store_import(kua__store *store, const kua__import *import, const kua_monitor *monitor, json_t **report)
{
    double start = kua__seconds();
    importer im = {.store = store, .options = import, .monitor = monitor};
    kua__arena_init(&im.arena, 1 << 20);
    kua__ids_init(&im.domains);
    kua__ids_init(&im.users);
    kua__ids_init(&im.keys);
    kua__ids_init(&im.plain);
    *report = NULL;
    kua_status st = read_files(&im);
    if (!st) {
        st = kua__db_exec(store, "BEGIN IMMEDIATE");
        if (!st) {
            st = kua__import_write(&im);
            if (!st) {
                *report = make_report(&im, kua__seconds() - start);
                st = *report ? log_import(&im, *report) : kua__fail_nomem(0, "an import's report");
            }
            st = kua__db_end(store, st);
        }
    }
    st = keep_rejects(&im, st);
    if (st) {
        json_decref(*report);
        *report = NULL;
    }
    importer_release(&im);
    return st;
}

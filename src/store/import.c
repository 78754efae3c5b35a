/* store/import.c - one import: all of it in one transaction.
 *
 *     BEGIN IMMEDIATE -> known domains, items, users -> read, clean -> write -> report -> COMMIT
 *
 * What the store knows is numbered first and files are read inside the transaction, because new
 * numbers go on from there; readers are not held up, they see the state before. Numbers of the
 * intake are the store's numbers, so writing needs no look-ups.
 *
 * Invariants
 *   I1  the three lists are read in order of number and without holes (store.c, I1), so that the
 *       intake, which counts from 0, gives each the number that it has. A hole is a damaged store.
 *   I2  an item or user that is known and was not read again is not written: a second month of
 *       events does not touch the catalogue.
 *   I3  a row that is written but says what is there already changes nothing (the WHERE of the
 *       upserts), so that sqlite3_changes counts what is new.
 *
 * A repeat of the latest import is found by its hash before a row is read. Any other import is read
 * in full, and the keys of the tables see to it that nothing is stored twice.
 */
#include <assert.h>
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "data/report_json.h"
#include "store/db.h"

enum { PROGRESS_ROWS = 4096 };

typedef struct importing {
    kua__store *store;
    kua__intake *in;
    const kua_monitor *monitor;
    int64_t items, items_updated, users, users_updated; /* rows added and changed */
    int64_t events, events_known; /* added, and left out because the store had them */
    uint64_t hash;
    double start; /* kua__seconds() */
} importing;

/* ---- what is known ---- */

static kua_status hole(kua__store *store, const char *table)
{
    return kua__fail(KUA_STORE, "%s: is damaged: the numbers of its %s have holes", store->path,
                     table);
}

static kua_status know_domains(importing *im)
{
    kua__query q;
    kua_status st =
        kua__query_open(im->store, &q, "SELECT number, name, clock FROM domains ORDER BY number");
    for (int64_t i = 0; !st && !(st = kua__query_step(&q)) && q.row; i++) {
        st = sqlite3_column_int64(q.statement, 0) == i
                 ? kua__intake_know_domain(im->in, kua__query_get_text(&q, 1),
                                           sqlite3_column_int(q.statement, 2) != 0)
                 : hole(im->store, "domains");
    }
    kua__query_close(&q);
    return st;
}

static kua_status know_items(importing *im)
{
    kua__query q;
    kua_status st = kua__query_open(
        im->store, &q, "SELECT number, domain, id, described FROM items ORDER BY number");
    for (int64_t i = 0; !st && !(st = kua__query_step(&q)) && q.row; i++) {
        int64_t domain = sqlite3_column_int64(q.statement, 1);
        bool good = sqlite3_column_int64(q.statement, 0) == i && domain >= 0 &&
                    (size_t)domain < im->in->domain_names.count;
        bool described = sqlite3_column_int(q.statement, 3) != 0;
        st = good ? kua__intake_know_item(im->in, (uint32_t)domain, kua__query_get_text(&q, 2),
                                          described)
                  : hole(im->store, "items");
    }
    kua__query_close(&q);
    return st;
}

static kua_status know_users(importing *im)
{
    kua__query q;
    kua_status st = kua__query_open(im->store, &q, "SELECT number, id FROM users ORDER BY number");
    for (int64_t i = 0; !st && !(st = kua__query_step(&q)) && q.row; i++) {
        st = sqlite3_column_int64(q.statement, 0) == i
                 ? kua__intake_know_user(im->in, kua__query_get_text(&q, 1))
                 : hole(im->store, "users");
    }
    kua__query_close(&q);
    return st;
}

/* ---- writing ---- */

static kua_status write_domains(importing *im)
{
    assert(im->in->domain_names.count == 0 || im->in->domains);
    const kua__intake *in = im->in;
    kua__query q;
    kua_status st = kua__query_open(im->store, &q,
                                    "INSERT INTO domains VALUES(?1, ?2, ?3)"
                                    " ON CONFLICT(number) DO UPDATE SET clock = ?3");
    for (size_t d = 0; !st && d < in->domain_names.count; d++) {
        kua__query_int(&q, 1, (int64_t)d);
        kua__query_text(&q, 2, in->domain_names.name[d]);
        kua__query_int(&q, 3, in->domains[d].has_clock);
        st = kua__query_run(&q);
    }
    kua__query_close(&q);
    return st;
}

static void bind_item(kua__query *q, size_t number, const kua__intake_item *item)
{
    assert(item->id && item->name && item->text && item->category && item->brand);
    kua__query_int(q, 1, (int64_t)number);
    kua__query_int(q, 2, item->domain);
    kua__query_text(q, 3, item->id);
    kua__query_text(q, 4, item->name);
    kua__query_text(q, 5, item->text);
    kua__query_text(q, 6, item->category);
    kua__query_text(q, 7, item->brand);
    kua__query_real(q, 8, (double)item->price);
    kua__query_int(q, 9, item->read);
}

static kua_status write_items(importing *im)
{
    const kua__intake *in = im->in;
    kua__query q;
    kua_status st = kua__query_open(
        im->store, &q,
        "INSERT INTO items VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
        " ON CONFLICT(number) DO UPDATE SET name = ?4, text = ?5, category = ?6, brand = ?7,"
        " price = ?8, described = ?9 WHERE name <> ?4 OR text <> ?5 OR category <> ?6"
        " OR brand <> ?7 OR price IS NOT ?8 OR described <> ?9");
    for (size_t i = 0; !st && i < in->n_items; i++) {
        const kua__intake_item *item = &in->items[i];
        if (item->known && !item->read) {
            continue;
        }
        bind_item(&q, i, item);
        st = kua__query_run(&q);
        int changed = st ? 0 : sqlite3_changes(im->store->db);
        im->items += item->known ? 0 : changed;
        im->items_updated += item->known ? changed : 0;
        if (!st && i % PROGRESS_ROWS == 0) {
            st = kua__progress(im->monitor, "write items", i, in->n_items);
        }
    }
    kua__query_close(&q);
    return st;
}

static kua_status write_users(importing *im)
{
    const kua__intake *in = im->in;
    kua__query q;
    kua_status st = kua__query_open(im->store, &q,
                                    "INSERT INTO users VALUES(?1, ?2, ?3)"
                                    " ON CONFLICT(number) DO UPDATE SET attributes = ?3"
                                    " WHERE attributes IS NOT ?3");
    for (size_t u = 0; !st && u < in->users.count; u++) {
        const char *attributes = u < in->attributes_room ? in->attributes[u] : NULL;
        /* The array is only as long as the highest user with attributes needs it. */
        if (u < in->known_users && !attributes) {
            continue;
        }
        kua__query_int(&q, 1, (int64_t)u);
        kua__query_text_n(&q, 2, in->users.name[u], in->users.len[u]);
        kua__query_text(&q, 3, attributes);
        st = kua__query_run(&q);
        int changed = st ? 0 : sqlite3_changes(im->store->db);
        im->users += u < in->known_users ? 0 : changed;
        im->users_updated += u < in->known_users ? changed : 0;
    }
    kua__query_close(&q);
    return st;
}

static void bind_event(kua__query *q, uint32_t domain, const kua__intake_event *event)
{
    kua__query_int(q, 1, domain);
    kua__query_int(q, 2, event->user);
    kua__query_int(q, 3, event->time);
    kua__query_int(q, 4, event->item);
    kua__query_int(q, 5, event->type);
    kua__query_real(q, 6, (double)event->value);
    kua__query_int(q, 7, event->occurrence);
    kua__query_int(q, 8, event->seq);
    kua__query_int(q, 9, event->part);
}

/* In the order of the key: the tree grows at its end, or, in a repeat, is walked from left to
 * right. */
static kua_status write_events(importing *im)
{
    const kua__intake *in = im->in;
    kua__query q;
    kua_status st = kua__query_open(im->store, &q,
                                    "INSERT INTO events VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
                                    " ON CONFLICT DO NOTHING");
    for (size_t e = 0; !st && e < in->n_events; e++) {
        const kua__intake_event *event = &in->events[e];
        assert(event->item < in->n_items && event->user < in->users.count);
        bind_event(&q, in->items[event->item].domain, event);
        st = kua__query_run(&q);
        int changed = st ? 0 : sqlite3_changes(im->store->db);
        im->events += changed;
        im->events_known += !changed;
        if (!st && e % PROGRESS_ROWS == 0) {
            st = kua__progress(im->monitor, "write events", e, in->n_events);
        }
    }
    kua__query_close(&q);
    return st ? st : kua__progress(im->monitor, "write events", in->n_events, in->n_events);
}

/* ---- the report ---- */

static kua_status make_report(const importing *im, bool repeat, json_t **out)
{
    kua_status st = kua__intake_report(im->in, out);
    if (st) {
        return st;
    }
    json_t *report = *out;
    kua__json_put(report, "items", json_integer(im->items), &st);
    kua__json_put(report, "items_updated", json_integer(im->items_updated), &st);
    kua__json_put(report, "users", json_integer(im->users), &st);
    kua__json_put(report, "users_updated", json_integer(im->users_updated), &st);
    kua__json_put(report, "events", json_integer(im->events), &st);
    kua__json_put(report, "events_known", json_integer(im->events_known), &st);
    kua__json_put(report, "repeat", json_boolean(repeat), &st);
    kua__json_put(report, "seconds", json_real(kua__seconds() - im->start), &st);
    return kua__json_finish(report, st, out);
}

static kua_status write_report(const importing *im, const json_t *report)
{
    kua__query q;
    char *text;
    KUA__TRY(kua__json_to_text(report, &text));
    kua_status st = kua__query_open(im->store, &q,
                                    "INSERT INTO imports(time, hash, report) VALUES(?1, ?2, ?3)");
    if (!st) {
        kua__query_int(&q, 1, (int64_t)time(NULL));
        kua__query_int(&q, 2, (int64_t)im->hash);
        kua__query_text(&q, 3, text);
        st = kua__query_run(&q);
    }
    kua__query_close(&q);
    kua__free(text);
    return st;
}

/* ---- the whole ---- */

/* Is this exactly the latest import again? Then there is nothing to do. */
static kua_status is_repeat(importing *im, bool *out)
{
    int64_t latest = 0;
    KUA__TRY(kua__intake_hash(im->in, &im->hash));
    KUA__TRY(
        kua__query_int64(im->store, "SELECT hash FROM imports ORDER BY id DESC LIMIT 1", &latest));
    *out = latest == (int64_t)im->hash;
    return KUA_OK;
}

static kua_status import_all(importing *im, json_t **report)
{
    KUA__TRY(know_domains(im));
    KUA__TRY(know_items(im));
    KUA__TRY(know_users(im));
    KUA__TRY(kua__intake_read(im->in, im->monitor));
    KUA__TRY(kua__intake_clean(im->in, im->monitor));
    KUA__TRY(write_domains(im));
    KUA__TRY(write_items(im));
    KUA__TRY(write_users(im));
    KUA__TRY(write_events(im));
    KUA__TRY(make_report(im, false, report));
    return write_report(im, *report);
}

/* The hash is compared inside the transaction: between a look and the lock another process could
 * have imported something else. */
static kua_status import_in_transaction(importing *im, json_t **report)
{
    KUA__TRY(kua__db_begin(im->store));
    bool repeat = false;
    kua_status st = is_repeat(im, &repeat);
    if (!st) st = repeat ? make_report(im, true, report) : import_all(im, report);
    return kua__db_end(im->store, st);
}

kua_status kua__store_import(kua__store *store, const kua__import_options *options,
                             const kua_monitor *monitor, json_t **report)
{
    assert(store && options);
    importing im = {.store = store, .monitor = monitor, .start = kua__seconds()};
    json_t *made = NULL;
    kua_status st = kua__intake_create(options, &im.in);
    if (!st) st = import_in_transaction(&im, &made);
    kua__intake_free(im.in);
    if (st || !report) {
        json_decref(made);
        made = NULL;
    }
    if (report) {
        *report = made;
    }
    return st;
}

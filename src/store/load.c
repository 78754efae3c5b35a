/* store/load.c - the store into a shop in memory, and what it holds in numbers.
 *
 * Events come out of their table by domain, user and time. Equal times of one user are put back
 * into the order of their files (seq) in a small buffer before they are handed on, so that a shop
 * from the store and one straight from the files are the same.
 *
 *     BEGIN -> users -> for each domain: items, then events -> finish -> ROLLBACK
 *
 * All of it is one read transaction, which sees one state of the file whoever writes meanwhile; it
 * has nothing to commit. Users come first and all of them, also for one domain: their numbers are
 * the store's, so that what was trained on one shop fits another one of the same store. Items of an
 * event's domain must be there before the event, since events name them.
 *
 * What is read is checked as a file is, by range: a damaged page can hold anything, and the shop
 * takes numbers for positions in arrays.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "data/inspect.h"
#include "data/report_json.h"
#include "data/shop_build.h"
#include "store/db.h"

typedef struct tied_event {
    kua__raw_event event;
    int64_t seq;
} tied_event;

typedef struct loading {
    kua__store *store;
    kua__shop_builder builder;
    uint32_t *item; /* [n_store_items] the builder's number; KUA__NO_ID: not loaded */
    int64_t n_store_items;
    tied_event *tied; /* events of one user at one time */
    size_t n_tied, tied_room;
} loading;

static kua_status damaged(const loading *l, const char *what)
{
    return kua__fail(KUA_STORE, "%s: is damaged: %s", l->store->path, what);
}

/* ---- items and users ---- */

static kua_status load_item(loading *l, kua__query *q, uint32_t domain)
{
    int64_t number = sqlite3_column_int64(q->statement, 0);
    bool priced = sqlite3_column_type(q->statement, 5) != SQLITE_NULL;
    if (number < 0 || number >= l->n_store_items) {
        return damaged(l, "an item's number is out of range");
    }
    kua__item item = {
        .id = kua__query_get_text(q, 1),
        .name = kua__query_get_text(q, 2),
        .text = kua__query_get_text(q, 3),
        .category = kua__query_get_text(q, 4),
        .price = priced ? (float)sqlite3_column_double(q->statement, 5) : NAN,
        .domain = domain,
    };
    return kua__shop_builder_item(&l->builder, &item, &l->item[number]);
}

static kua_status load_items(loading *l, int64_t store_domain, uint32_t domain)
{
    kua__query q;
    kua_status st = kua__query_open(l->store, &q,
                                    "SELECT number, id, name, text, category, price FROM items"
                                    " WHERE domain = ?1 ORDER BY number");
    if (!st) kua__query_int(&q, 1, store_domain);
    while (!st && !(st = kua__query_step(&q)) && q.row) {
        st = load_item(l, &q, domain);
    }
    kua__query_close(&q);
    return st;
}

static kua_status load_users(loading *l)
{
    kua__query q;
    kua_status st = kua__query_open(l->store, &q, "SELECT number, id FROM users ORDER BY number");
    while (!st && !(st = kua__query_step(&q)) && q.row) {
        uint32_t user;
        const char *id = kua__query_get_text(&q, 1);
        st = kua__shop_builder_user(&l->builder, id, strlen(id), &user);
        if (!st && sqlite3_column_int64(q.statement, 0) != user) {
            st = damaged(l, "the numbers of its users have holes");
        }
    }
    kua__query_close(&q);
    return st;
}

/* ---- events ---- */

/* Hands on the events of one user and time, in the order of their files. */
static kua_status flush_tied(loading *l)
{
    for (size_t i = 1; i < l->n_tied; i++) { /* insertion: few, and mostly in order */
        tied_event moved = l->tied[i];
        size_t to = i;
        for (; to > 0 && l->tied[to - 1].seq > moved.seq; to--) {
            l->tied[to] = l->tied[to - 1];
        }
        l->tied[to] = moved;
    }
    for (size_t i = 0; i < l->n_tied; i++) {
        KUA__TRY(kua__shop_builder_event(&l->builder, &l->tied[i].event));
    }
    l->n_tied = 0;
    return KUA_OK;
}

static kua_status read_event(const loading *l, kua__query *q, tied_event *out)
{
    assert(q->row && sqlite3_column_count(q->statement) == 7);
    sqlite3_stmt *s = q->statement;
    int64_t user = sqlite3_column_int64(s, 0), item = sqlite3_column_int64(s, 2);
    int64_t type = sqlite3_column_int64(s, 3), part = sqlite3_column_int64(s, 6);
    bool good = user >= 0 && (size_t)user < l->builder.shop.users.count && item >= 0 &&
                item < l->n_store_items && l->item[item] != KUA__NO_ID && type >= 0 &&
                type < KUA__EVENT_TYPES && part >= KUA__PART_NONE && part <= KUA__PART_TEST;
    if (!good) {
        return damaged(l, "an event has a number that is out of range");
    }
    out->event = (kua__raw_event){(uint32_t)user,
                                  l->item[item],
                                  sqlite3_column_int64(s, 1),
                                  (float)sqlite3_column_double(s, 4),
                                  (uint8_t)type,
                                  (uint8_t)part};
    out->seq = sqlite3_column_int64(s, 5);
    return KUA_OK;
}

static kua_status load_event(loading *l, kua__query *q)
{
    tied_event next = {0};
    KUA__TRY(read_event(l, q, &next));
    const kua__raw_event *last = l->n_tied ? &l->tied[0].event : NULL;
    /* Tied: the same user and time; rows come by (user, time, ...), so that they are neighbours. */
    if (last && (last->user != next.event.user || last->time != next.event.time)) {
        KUA__TRY(flush_tied(l));
    }
    KUA__TRY(KUA__GROW(&l->tied, &l->tied_room, l->n_tied, "events of one time"));
    l->tied[l->n_tied++] = next;
    return KUA_OK;
}

static kua_status load_events(loading *l, int64_t store_domain)
{
    kua__query q;
    kua_status st =
        kua__query_open(l->store, &q,
                        "SELECT user, time, item, type, value, seq, part FROM events"
                        " WHERE domain = ?1 ORDER BY user, time, item, type, value, occurrence");
    if (!st) kua__query_int(&q, 1, store_domain);
    while (!st && !(st = kua__query_step(&q)) && q.row) {
        st = load_event(l, &q);
    }
    kua__query_close(&q);
    return st ? st : flush_tied(l);
}

/* ---- domains ---- */

static kua_status load_domain(loading *l, int64_t store_domain, const char *name, bool clock)
{
    uint32_t domain;
    KUA__TRY(kua__shop_builder_domain(&l->builder, name, clock, &domain));
    KUA__TRY(load_items(l, store_domain, domain));
    return load_events(l, store_domain);
}

static kua_status load_all_domains(loading *l)
{
    kua__query q;
    kua_status st =
        kua__query_open(l->store, &q, "SELECT number, name, clock FROM domains ORDER BY number");
    while (!st && !(st = kua__query_step(&q)) && q.row) {
        st = load_domain(l, sqlite3_column_int64(q.statement, 0), kua__query_get_text(&q, 1),
                         sqlite3_column_int(q.statement, 2) != 0);
    }
    kua__query_close(&q);
    return st;
}

static kua_status no_domain(kua__store *store, const char *name)
{
    kua__query q;
    kua__buf names = {0};
    kua_status st = kua__query_open(store, &q, "SELECT name FROM domains ORDER BY number");
    while (!st && !(st = kua__query_step(&q)) && q.row) {
        kua__buf_printf(&names, "%s%s", names.len ? ", " : "", kua__query_get_text(&q, 0));
    }
    if (!st) st = kua__buf_status(&names);
    if (!st) {
        st = kua__fail(KUA_NOTFOUND, "no domain is called '%s', there are: %s", name,
                       names.len ? names.data : "none");
    }
    kua__query_close(&q);
    kua__buf_release(&names);
    return st;
}

static kua_status load_named_domain(loading *l, const char *name)
{
    kua__query q;
    kua_status st =
        kua__query_open(l->store, &q, "SELECT number, clock FROM domains WHERE name = ?1");
    if (!st) kua__query_text(&q, 1, name);
    if (!st) st = kua__query_step(&q);
    if (!st) {
        st = q.row ? load_domain(l, sqlite3_column_int64(q.statement, 0), name,
                                 sqlite3_column_int(q.statement, 1) != 0)
                   : no_domain(l->store, name);
    }
    kua__query_close(&q);
    return st;
}

static kua_status load_shop(loading *l, const char *const *domains, size_t n, kua__shop **out)
{
    KUA__TRY(kua__query_int64(l->store, "SELECT coalesce(max(number) + 1, 0) FROM items",
                              &l->n_store_items));
    KUA__TRY(KUA__NEW_ARRAY(&l->item, (size_t)l->n_store_items, "numbers of items"));
    memset(l->item, 0xff, (size_t)l->n_store_items * sizeof(*l->item)); /* KUA__NO_ID */
    KUA__TRY(load_users(l));
    for (size_t d = 0; d < n; d++) {
        KUA__TRY(load_named_domain(l, domains[d]));
    }
    if (n == 0) {
        KUA__TRY(load_all_domains(l));
    }
    return kua__shop_builder_finish(&l->builder, out);
}

kua_status kua__store_load_shop(kua__store *store, const char *const *domains, size_t n,
                                kua__shop **out)
{
    assert(store && (domains || n == 0) && out);
    loading l = {.store = store};
    *out = NULL;
    kua__shop_builder_init(&l.builder);
    kua_status st = kua__db_exec(store, "BEGIN", "read"); /* one state, whoever writes */
    if (!st) {
        st = load_shop(&l, domains, n, out);
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    kua__shop_builder_release(&l.builder);
    kua__free(l.item);
    kua__free(l.tied);
    return st;
}

/* ---- inspect ---- */

/* Adds the removals of one import's steps to those of the same name. */
static void add_steps(json_t *sum, const json_t *steps, kua_status *st)
{
    size_t i, j;
    json_t *step, *have;
    json_array_foreach(steps, i, step)
    {
        json_t *same = NULL;
        json_array_foreach(sum, j, have)
        {
            if (json_equal(json_object_get(have, "step"), json_object_get(step, "step"))) {
                same = have;
            }
        }
        if (!same) {
            kua__json_push(sum, kua__json_copy(step), st);
            continue;
        }
        json_int_t removed = json_integer_value(json_object_get(same, "removed")) +
                             json_integer_value(json_object_get(step, "removed"));
        const json_t *example = json_object_get(step, "example");
        kua__json_put(same, "removed", json_integer(removed), st);
        if (example && !json_object_get(same, "example")) {
            kua__json_put(same, "example", kua__json_copy(example), st);
        }
    }
}

static json_int_t sum_of(const json_t *files, const char *key)
{
    size_t i;
    json_t *file;
    json_int_t sum = 0;
    json_array_foreach(files, i, file)
    {
        sum += json_integer_value(json_object_get(file, key));
    }
    return sum;
}

static json_t *import_summary(kua__query *q, const json_t *report, kua_status *st)
{
    char date[32];
    const char *const copied[] = {"files", "items", "users", "events"};
    json_t *one = kua__json_new_object(st);
    kua__format_date(sqlite3_column_int64(q->statement, 1), date);
    kua__json_put(one, "id", json_integer(sqlite3_column_int64(q->statement, 0)), st);
    kua__json_put(one, "time", json_string(date), st);
    for (size_t i = 0; i < KUA__COUNT(copied); i++) {
        kua__json_put(one, copied[i], kua__json_copy(json_object_get(report, copied[i])), st);
    }
    const json_t *files = json_object_get(report, "files");
    kua__json_put(one, "rows", json_integer(sum_of(files, "rows")), st);
    kua__json_put(one, "bad", json_integer(sum_of(files, "bad")), st);
    return one;
}

static kua_status add_imports(kua__store *store, json_t *out)
{
    kua__query q;
    kua_status made = KUA_OK;
    json_t *imports = kua__json_new_array(&made), *cleaned = kua__json_new_array(&made);
    kua_status st = kua__query_open(store, &q,
                                    "SELECT id, time, report, id = (SELECT max(id) FROM imports a"
                                    " WHERE a.hash = imports.hash) FROM imports ORDER BY id");
    while (!st && !made && !(st = kua__query_step(&q)) && q.row) {
        json_t *report;
        const char *text = kua__query_get_text(&q, 2);
        st = kua__json_parse("import's report", text, strlen(text), &report);
        if (!st) {
            kua__json_push(imports, import_summary(&q, report, &made), &made);
            if (sqlite3_column_int(q.statement, 3)) { /* a repeat cleans the same rows again */
                add_steps(cleaned, json_object_get(report, "cleaned"), &made);
            }
            json_decref(report);
        }
    }
    kua__query_close(&q);
    kua__json_put(out, "imports", imports, &made);
    kua__json_put(out, "cleaned", cleaned, &made);
    return st ? st : made;
}

kua_status kua__store_inspect(kua__store *store, json_t **out)
{
    assert(store && out);
    kua__shop *shop;
    *out = NULL;
    KUA__TRY(kua__store_load_shop(store, NULL, 0, &shop));
    json_t *json = NULL;
    kua_status st = kua__shop_inspect(shop, &json);
    if (!st) st = add_imports(store, json);
    kua__shop_free(shop);
    return kua__json_finish(json, st, out);
}

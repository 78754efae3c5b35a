/* load.c - the whole shop from the store into memory: items by domain, users, one log a domain.
 *
 * Users keep the store's order, so user number + 1 is not the row id but its rank; likewise items inside a domain. Events
 * are put back into the order of their files (seq) before the logs are built, since equal times keep that order.
 */
#include "store/db.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

typedef struct loader {
    kua__store *store;
    kua__shop *shop;
    uint32_t *item_number; /* [max item id + 1] row id -> number in shop->items */
    uint32_t *user_number; /* [max user id + 1] */
    uint32_t *domain_number;
    bool *clock;           /* [n_domains] */
} loader;

static kua_status count_rows(kua__store *store, const char *sql, int64_t *out)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua_status st = kua__db_prepare(store, sql, &q);
    if (!st) st = kua__db_step(store, q, &row);
    if (!st) *out = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    return st;
}

static const char *keep(kua__shop *shop, sqlite3_stmt *q, int column)
{
    const char *text = kua__db_text(q, column);
    return kua__arena_strndup(&shop->arena, text, strlen(text));
}

static kua_status load_domains(loader *l)
{
    int64_t n = 0, top = 0;
    KUA__TRY(count_rows(l->store, "SELECT count(*) FROM domains", &n));
    KUA__TRY(count_rows(l->store, "SELECT coalesce(max(id), 0) FROM domains", &top));
    KUA__TRY(KUA__NEW_ZEROED(&l->shop->domains, (size_t)n, "domains"));
    KUA__TRY(KUA__NEW_ZEROED(&l->domain_number, (size_t)top + 1, "domains"));
    KUA__TRY(KUA__NEW_ZEROED(&l->clock, (size_t)n, "domains"));
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua_status st = kua__db_prepare(l->store, "SELECT id, name, has_clock FROM domains ORDER BY id", &q);
    while (!st && !(st = kua__db_step(l->store, q, &row)) && row) {
        size_t d = l->shop->n_domains++;
        l->domain_number[sqlite3_column_int64(q, 0)] = (uint32_t)d;
        l->shop->domains[d].name = keep(l->shop, q, 1);
        l->clock[d] = sqlite3_column_int(q, 2) != 0;
        if (!l->shop->domains[d].name) st = kua__fail_nomem(0, "a domain's name");
    }
    sqlite3_finalize(q);
    return st;
}

static kua_status load_item(loader *l, sqlite3_stmt *q)
{
    size_t at = l->shop->n_items++;
    kua__item *item = &l->shop->items[at];
    item->domain = l->domain_number[sqlite3_column_int64(q, 1)];
    item->id = keep(l->shop, q, 2);
    item->name = *kua__db_text(q, 3) ? keep(l->shop, q, 3) : item->id;
    item->text = keep(l->shop, q, 4);
    item->category = keep(l->shop, q, 5);
    item->price = sqlite3_column_type(q, 6) == SQLITE_NULL ? NAN : (float)sqlite3_column_double(q, 6);
    if (!item->id || !item->name || !item->text || !item->category) return kua__fail_nomem(0, "an item");
    kua__domain *domain = &l->shop->domains[item->domain];
    if (!domain->n_items) domain->first_item = at;
    domain->n_items++;
    l->item_number[sqlite3_column_int64(q, 0)] = (uint32_t)at;
    return KUA_OK;
}

static kua_status load_items(loader *l)
{
    int64_t n = 0, top = 0;
    KUA__TRY(count_rows(l->store, "SELECT count(*) FROM items", &n));
    KUA__TRY(count_rows(l->store, "SELECT coalesce(max(id), 0) FROM items", &top));
    KUA__TRY(KUA__NEW_ZEROED(&l->shop->items, (size_t)n, "items"));
    KUA__TRY(KUA__NEW_ZEROED(&l->item_number, (size_t)top + 1, "items"));
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua_status st = kua__db_prepare(l->store, "SELECT id, domain, key, name, text, category, price FROM items ORDER BY domain, id", &q);
    while (!st && !(st = kua__db_step(l->store, q, &row)) && row) st = load_item(l, q);
    sqlite3_finalize(q);
    return st;
}

static kua_status load_users(loader *l)
{
    int64_t top = 0;
    KUA__TRY(count_rows(l->store, "SELECT coalesce(max(id), 0) FROM users", &top));
    KUA__TRY(KUA__NEW_ZEROED(&l->user_number, (size_t)top + 1, "users"));
    sqlite3_stmt *q = NULL;
    bool row = false;
    kua_status st = kua__db_prepare(l->store, "SELECT id, key FROM users ORDER BY id", &q);
    while (!st && !(st = kua__db_step(l->store, q, &row)) && row) {
        const char *key = kua__db_text(q, 1);
        st = kua__ids_add(&l->shop->users, key, strlen(key), &l->user_number[sqlite3_column_int64(q, 0)]);
    }
    sqlite3_finalize(q);
    return st;
}

/* ---- events ---------------------------------------------------------------------------------------------------------- */

typedef struct seq_event {
    int64_t seq;
    kua__raw_event event;
} seq_event;

static int by_seq(const void *a, const void *b)
{
    int64_t x = ((const seq_event *)a)->seq, y = ((const seq_event *)b)->seq;
    return (x > y) - (x < y);
}

/* All events, with global item numbers, in file order. */
static kua_status read_events(loader *l, seq_event **out, size_t *n)
{
    int64_t count = 0;
    KUA__TRY(count_rows(l->store, "SELECT count(*) FROM events", &count));
    KUA__TRY(KUA__NEW_ARRAY(out, (size_t)count, "events"));
    sqlite3_stmt *q = NULL;
    bool row = false;
    size_t at = 0;
    kua_status st = kua__db_prepare(l->store, "SELECT user, item, time, type, seq, value, part FROM events", &q);
    while (!st && !(st = kua__db_step(l->store, q, &row)) && row) {
        assert(at < (size_t)count);
        (*out)[at++] = (seq_event){
            .seq = sqlite3_column_int64(q, 4),
            .event = {.user = l->user_number[sqlite3_column_int64(q, 0)], .item = l->item_number[sqlite3_column_int64(q, 1)],
                      .time = sqlite3_column_int64(q, 2), .type = (uint8_t)sqlite3_column_int(q, 3),
                      .value = (float)sqlite3_column_double(q, 5), .part = (uint8_t)sqlite3_column_int(q, 6)},
        };
    }
    sqlite3_finalize(q);
    *n = at;
    if (!st) qsort(*out, at, sizeof(**out), by_seq);
    return st;
}

static kua_status build_logs(loader *l, const seq_event *all, size_t n)
{
    kua__raw_event *own = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&own, n, "events of a domain"));
    kua_status st = KUA_OK;
    for (size_t d = 0; !st && d < l->shop->n_domains; d++) {
        kua__domain *domain = &l->shop->domains[d];
        size_t m = 0;
        for (size_t i = 0; i < n; i++) {
            uint32_t item = all[i].event.item;
            if (l->shop->items[item].domain != d) continue;
            own[m] = all[i].event;
            own[m++].item = item - (uint32_t)domain->first_item;
        }
        st = kua__log_build(&domain->log, l->shop->users.count, domain->n_items, own, m, l->clock[d]);
    }
    kua__free(own);
    return st;
}

kua_status kua__store_load(kua__store *store, kua__shop **out)
{
    *out = NULL;
    kua_status st;
    seq_event *events = NULL;
    size_t n = 0;
    loader l = {.store = store, .shop = kua__calloc(1, sizeof(kua__shop))};
    if (!l.shop) return kua__fail_nomem(sizeof(kua__shop), "a shop");
    kua__ids_init(&l.shop->users);
    kua__arena_init(&l.shop->arena, 1 << 20);
    KUA__GOTO(st, load_domains(&l));
    KUA__GOTO(st, load_items(&l));
    KUA__GOTO(st, load_users(&l));
    KUA__GOTO(st, read_events(&l, &events, &n));
    KUA__GOTO(st, build_logs(&l, events, n));
    *out = l.shop;
    l.shop = NULL;
done:
    kua__free(events);
    kua__free(l.item_number);
    kua__free(l.user_number);
    kua__free(l.domain_number);
    kua__free(l.clock);
    kua__shop_free(l.shop);
    return st;
}

/* ---- what was cleaned --------------------------------------------------------------------------------------------------- */

static void add_steps(json_t *sum, const json_t *steps)
{
    size_t i, j;
    json_t *step, *have;
    json_array_foreach(steps, i, step) {
        json_t *same = NULL;
        json_array_foreach(sum, j, have) {
            if (json_equal(json_object_get(have, "step"), json_object_get(step, "step"))) same = have;
        }
        if (!same) {
            json_array_append_new(sum, json_deep_copy(step));
            continue;
        }
        json_int_t n = json_integer_value(json_object_get(same, "removed")) + json_integer_value(json_object_get(step, "removed"));
        json_object_set_new(same, "removed", json_integer(n));
    }
}

kua_status kua__store_cleaning(kua__store *store, json_t **out)
{
    sqlite3_stmt *q = NULL;
    bool row = false;
    *out = json_array();
    kua_status st = kua__db_prepare(store, "SELECT report FROM imports ORDER BY id", &q);
    while (!st && !(st = kua__db_step(store, q, &row)) && row) {
        json_t *report = NULL;
        const char *text = kua__db_text(q, 0);
        st = kua__json_parse("import report", text, strlen(text), &report);
        if (!st) add_steps(*out, json_object_get(report, "cleaned"));
        json_decref(report);
    }
    sqlite3_finalize(q);
    return st;
}

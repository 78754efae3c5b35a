/* import_events.c - rows of an events file: users, items, times, values and types, each checked as it is read. */
#include "store/import.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

typedef struct event_reader {
    importer *im;
    kua__reader *r;
    kua__bindings b;
    uint8_t part, usual_type;
    uint32_t domain; /* of created items */
    uint64_t rows, bad_rows;
    char why[200];
} event_reader;

static void refuse(event_reader *e, const char *format, ...) KUA__PRINTF(2, 3);
static void refuse(event_reader *e, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(e->why, sizeof(e->why), format, args);
    va_end(args);
}

static kua__field role_field(const event_reader *e, kua__role role)
{
    const kua__binding *b = &e->b.role[role];
    for (int i = 0; i < b->n_columns; i++) {
        kua__field f = kua__reader_field(e->r, b->column[i]);
        if (f.n) return f;
    }
    return (kua__field){b->constant ? b->constant : "", b->constant ? strlen(b->constant) : 0};
}

static bool read_time(event_reader *e, int64_t *out)
{
    kua__field f = role_field(e, KUA__ROLE_TIME);
    double number = 0;
    if (!e->b.role[KUA__ROLE_TIME].n_columns) {
        *out = (int64_t)e->im->n_events;
        return true;
    }
    e->im->has_times = true;
    if (kua__parse_double(f.text, f.n, &number) && fabs(number) < 1e15) {
        *out = (int64_t)(fabs(number) > 1e11 ? number / 1000 : number); /* milliseconds */
        return true;
    }
    if (kua__parse_date(f.text, f.n, out)) return true;
    refuse(e, "timestamp is '%.60s', expected a number or a date like 2017-11-05 13:02:07", f.text);
    return false;
}

static bool read_value(event_reader *e, float *out)
{
    kua__field f = role_field(e, KUA__ROLE_VALUE);
    double number = 1;
    if (f.n && !kua__parse_double(f.text, f.n, &number)) {
        refuse(e, "value is '%.60s', expected a number", f.text);
        return false;
    }
    *out = (float)number;
    return true;
}

static bool read_type(event_reader *e, uint8_t *out)
{
    kua__field f = role_field(e, KUA__ROLE_TYPE);
    *out = e->usual_type;
    if (!f.n || kua__event_type_parse(f.text, f.n, out)) return true;
    refuse(e, "type is '%.60s', expected view, click, cart, purchase, rating, dislike or search", f.text);
    return false;
}

/* The item's number; KUA__NO_ID: unknown, and unknown ones are not to be created. */
static kua_status find_item(event_reader *e, kua__field key, uint32_t *out)
{
    importer *im = e->im;
    if (im->options->domain) {
        char name[512];
        int n = snprintf(name, sizeof(name), "%u/%.*s", e->domain, (int)KUA__MIN(key.n, (size_t)400), key.text);
        *out = kua__ids_find(&im->keys, name, (size_t)n);
    } else {
        uint32_t id = kua__ids_find(&im->plain, key.text, key.n);
        *out = id == KUA__NO_ID ? KUA__NO_ID : im->plain_item[id];
    }
    if (*out != KUA__NO_ID || !im->options->create_items) return KUA_OK;
    return kua__import_item_number(im, e->domain, key.text, key.n, out);
}

static kua_status add_event(event_reader *e, uint32_t user, kua__field item, const import_event *proto)
{
    importer *im = e->im;
    uint32_t number = KUA__NO_ID;
    KUA__TRY(find_item(e, item, &number));
    if (number == KUA__NO_ID) {
        im->removed[IMPORT_UNKNOWN]++;
        return KUA_OK;
    }
    KUA__TRY(KUA__GROW(&im->event, &im->event_capacity, im->n_events, "events"));
    import_event *event = &im->event[im->n_events];
    *event = *proto;
    event->user = user;
    event->item = number;
    event->seq = (int64_t)im->n_events++;
    return KUA_OK;
}

/* A row with a history: item k of the list happened at time k, the row's own item after all of them. */
static kua_status add_history(event_reader *e, uint32_t user, kua__field list, import_event *proto)
{
    int64_t at = 0;
    for (const char *p = list.text; *p;) {
        size_t n = strcspn(p, " ");
        proto->time = at++;
        if (n) KUA__TRY(add_event(e, user, (kua__field){p, n}, proto));
        p += n + (p[n] == ' ');
    }
    proto->time = at;
    e->im->has_times = true;
    e->im->latest = KUA__MAX(e->im->latest, at);
    return KUA_OK;
}

static kua_status event_row(event_reader *e)
{
    importer *im = e->im;
    import_event proto = {.part = e->part};
    uint32_t user = 0;
    kua__field key = role_field(e, KUA__ROLE_USER), item = role_field(e, KUA__ROLE_ITEM), list = role_field(e, KUA__ROLE_HISTORY);
    if (!key.n || !item.n) refuse(e, "the %s's id is empty", key.n ? "item" : "user");
    if (*e->why || !read_value(e, &proto.value) || !read_type(e, &proto.type)) return KUA_OK;
    if (!list.n && !read_time(e, &proto.time)) return KUA_OK;
    KUA__TRY(kua__ids_add(&im->users, key.text, key.n, &user));
    if (list.n) {
        KUA__TRY(add_history(e, user, list, &proto));
    } else if (proto.time < 0 || proto.time > (int64_t)time(NULL) + 86400) {
        im->removed[IMPORT_TIME]++;
        return KUA_OK;
    }
    im->latest = KUA__MAX(im->latest, proto.time);
    return add_event(e, user, item, &proto);
}

static kua_status event_reader_start(event_reader *e)
{
    const kua__import *o = e->im->options;
    KUA__TRY(kua__mapping_bind(o->mapping, "events", e->r, &e->b));
    const kua__binding *value = &e->b.role[KUA__ROLE_VALUE];
    bool rating = value->n_columns && kua__streq(kua__reader_column_name(e->r, (size_t)value->column[0]), "rating");
    e->usual_type = rating ? KUA__EVENT_RATING : KUA__EVENT_PURCHASE;
    if (o->domain) return kua__ids_add(&e->im->domains, o->domain, strlen(o->domain), &e->domain);
    return o->create_items ? kua__fail(KUA_INVALID, "%s: to create items, give --domain NAME", kua__reader_name(e->r)) : KUA_OK;
}

kua_status kua__import_events(importer *im, const char *path, uint8_t part)
{
    event_reader e = {.im = im, .part = part};
    bool more = true;
    KUA__TRY(kua__reader_open(path, &e.r));
    kua_status st;
    KUA__GOTO(st, event_reader_start(&e));
    for (;;) {
        const char *bad = NULL;
        KUA__GOTO(st, kua__reader_next(e.r, &more, &bad));
        if (!more) break;
        e.rows++;
        e.why[0] = 0;
        if (!bad) KUA__GOTO(st, event_row(&e));
        if (!bad && *e.why) bad = e.why;
        if (bad) {
            kua__import_reject(im, e.r, bad);
            e.bad_rows++;
        }
        if (e.rows % 4096 == 0) {
            KUA__GOTO(st, kua__progress(im->monitor, "read events", kua__reader_offset(e.r), kua__reader_size(e.r)));
        }
    }
    im->lines += e.rows;
    st = kua__import_share(im, e.r, e.rows, e.bad_rows);
done:
    kua__reader_close(e.r);
    return st;
}

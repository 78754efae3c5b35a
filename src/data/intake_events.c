/* data/intake_events.c - rows of events, with or without a clock, with or without a history column.
 *
 * Time. A column of seconds, milliseconds or dates is a clock. Small numbers (all below 10^8, March
 * 1973) are positions in a user's history, as in many research data sets; so is the order of the
 * rows where there is no time at all. A domain has a clock if all of its events do.
 *
 * History. UniSRec and others write one row for each target: user, the items before it, the item.
 *
 *     u1  [a]        b            a b c d, of which b is the target of the first row
 *     u1  [a b]      c
 *     u1  [b c]      d            lists may be cut to the latest: they must end what is known
 *
 * The first row of a user brings its list and its item, the following ones only their item, after a
 * check that their list is what the sequence ends with. Rows are put aside until all files are
 * read, because valid and test rows of the same user are in files of their own; then they are taken
 * by user, part and length of the list, which is the order in which they were made.
 *
 * Order of checks in a row: the item first, then the rest. An event of an unknown item is counted
 * as such, whatever else is wrong with it, and adds no user.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "data/intake_private.h"

enum { CLOCK_SINCE = 100000000 };
/* As seconds this is the year 5138, as milliseconds March 1973: neither is a shop's. */

static const double milliseconds_above = 1e11;

/* ---- time ---- */

static bool seconds_from_number(double number, kua__time_format format, int64_t *out)
{
    bool milli = format == KUA__TIME_MILLISECONDS ||
                 (format == KUA__TIME_AUTO && fabs(number) > milliseconds_above);
    number = floor(milli ? number / 1000 : number);
    /* Doubles are whole numbers up to 2^53, about 9.007e15; beyond, the cast would be of a number
     * that the file does not hold. */
    if (fabs(number) > 9e15) {
        return false;
    }
    *out = (int64_t)number;
    return true;
}

static kua_status read_time(kua__reading *r, int64_t *out)
{
    kua__field field = kua__reading_field(r, KUA__ROLE_TIME);
    kua__time_format format = kua__mapping_time_format(r->in->own->mapping);
    double number;
    bool dates = format == KUA__TIME_AUTO || format == KUA__TIME_DATE;
    if (format != KUA__TIME_DATE && kua__parse_double(field.text, field.n, &number) &&
        seconds_from_number(number, format, out)) {
        return KUA_OK;
    }
    if (dates && kua__parse_date(field.text, field.n, out)) {
        return KUA_OK;
    }
    return kua__reading_reject(r, KUA__ROLE_TIME, field,
                               format == KUA__TIME_AUTO   ? "a number or a date"
                               : format == KUA__TIME_DATE ? "a date"
                                                          : "a number");
}

/* ---- one event ---- */

/* Where no column tells the type: a column called rating holds ratings, all else is a purchase. */
static kua_status read_type(kua__reading *r, uint8_t *out)
{
    kua__field word = kua__reading_field(r, KUA__ROLE_TYPE);
    const kua__source_columns *value = &r->binding.role[KUA__ROLE_VALUE];
    bool rated = value->n && kua__streq(kua__table_column(r->table, value->column[0]), "rating");
    *out = rated ? KUA__EVENT_RATING : KUA__EVENT_PURCHASE;
    if (word.n == 0 || kua__mapping_type(r->in->own->mapping, word.text, word.n, out)) {
        return KUA_OK;
    }
    return kua__reading_reject(r, KUA__ROLE_TYPE, word,
                               "view, click, cart, purchase, rating, dislike or search, or a word "
                               "that events.types maps to one");
}

static bool may_create(const kua__intake *in, uint32_t domain)
{
    assert(domain == KUA__NO_ID || domain < in->domain_names.count);
    const kua__intake_settings *s = &in->own->settings;
    if (domain == KUA__NO_ID) {
        return false;
    }
    return s->create_unknown || (s->auto_unknown && in->domains[domain].n_items == 0);
}

/* *item is KUA__NO_ID where the row is rejected or its item is unknown. */
static kua_status find_item(kua__reading *r, uint32_t domain, kua__field id, uint32_t *item)
{
    bool ambiguous = false;
    *item = kua__intake_find_item(r->in, domain, id.text, id.n, &ambiguous);
    if (ambiguous) {
        *item = KUA__NO_ID;
        return kua__reading_reject(r, KUA__ROLE_ITEM, id,
                                   "an item of one domain: several have it, name the domain");
    }
    return KUA_OK;
}

static kua_status find_or_create(kua__reading *r, uint32_t domain, kua__field id, uint32_t *item)
{
    KUA__TRY(find_item(r, domain, id, item));
    if (r->bad || *item != KUA__NO_ID || !may_create(r->in, domain)) return KUA_OK;
    return kua__intake_add_item(r->in, domain, id.text, id.n, item);
}

static kua_status add_event(kua__intake *in, const kua__intake_event *event)
{
    assert(event->item < in->n_items && event->user < in->users.count);
    if (in->own->seq == UINT32_MAX) {
        return kua__fail(KUA_INVALID, "import: more than 2^32 - 1 events at once");
    }
    KUA__TRY(KUA__GROW(&in->events, &in->events_room, in->n_events, "events"));
    in->events[in->n_events] = *event;
    in->events[in->n_events++].seq = in->own->seq++;
    return KUA_OK;
}

/* Items of the list into history_items; unknown ones are left out, as their events are. */
static kua_status read_history(kua__reading *r, uint32_t domain, size_t *n)
{
    struct kua__intake_private *own = r->in->own;
    kua__field list = kua__reading_field(r, KUA__ROLE_HISTORY);
    *n = 0;
    /* The items become the row's only when it is taken (take_history): what a rejected row has left
     * behind n_history_items is written over by the next. */
    for (size_t i = 0; i < list.n && !r->bad;) {
        const char *blank = memchr(list.text + i, ' ', list.n - i);
        size_t end = blank ? (size_t)(blank - list.text) : list.n;
        kua__field id = {list.text + i, end - i};
        uint32_t item = KUA__NO_ID;
        if (id.n > KUA__ID_MAX) {
            return kua__reading_reject(r, KUA__ROLE_HISTORY, id, "ids of 1 to 512 bytes");
        }
        if (id.n) KUA__TRY(find_or_create(r, domain, id, &item));
        if (item != KUA__NO_ID) {
            KUA__TRY(KUA__GROW(&own->history_items, &own->history_items_room,
                               own->n_history_items + *n, "items of histories"));
            own->history_items[own->n_history_items + (*n)++] = item;
        }
        i = end + 1;
    }
    return KUA_OK;
}

static kua_status take_history(kua__reading *r, uint32_t domain, const kua__intake_event *event)
{
    struct kua__intake_private *own = r->in->own;
    size_t n;
    KUA__TRY(read_history(r, domain, &n));
    if (r->bad) {
        return KUA_OK;
    }
    KUA__TRY(KUA__GROW(&own->histories, &own->histories_room, own->n_histories, "histories"));
    own->histories[own->n_histories] = (kua__history_row){.user = event->user,
                                                          .item = event->item,
                                                          .file = (uint32_t)(r->file - own->files),
                                                          .seq = (uint32_t)own->n_histories,
                                                          .part = event->part,
                                                          .from = own->n_history_items,
                                                          .n = n,
                                                          .line = r->row.line};
    own->n_histories++;
    own->n_history_items += n;
    return KUA_OK;
}

/* The array grows by doubling, maybe several times: each new part is cleared once. */
static kua_status mark_no_clock(kua__intake *in, uint32_t domain)
{
    struct kua__intake_private *own = in->own;
    size_t old = own->no_clock_room;
    while (own->no_clock_room <= domain) {
        KUA__TRY(KUA__GROW(&own->no_clock, &own->no_clock_room, own->no_clock_room, "domains"));
        memset(own->no_clock + old, 0, own->no_clock_room - old);
        old = own->no_clock_room;
    }
    own->no_clock[domain] = true;
    return KUA_OK;
}

/* Everything about a row but its item and history. */
static kua_status read_event(kua__reading *r, kua__intake_event *event)
{
    kua__field user;
    KUA__TRY(kua__reading_id(r, KUA__ROLE_USER, &user));
    if (!r->bad && r->binding.role[KUA__ROLE_TIME].n) KUA__TRY(read_time(r, &event->time));
    if (!r->bad) KUA__TRY(kua__reading_number(r, KUA__ROLE_VALUE, 1, &event->value));
    if (!r->bad) KUA__TRY(read_type(r, &event->type));
    event->part = r->file->part;
    return r->bad ? KUA_OK : kua__ids_add(&r->in->users, user.text, user.n, &event->user);
}

static kua_status take_event(kua__reading *r)
{
    kua__intake *in = r->in;
    kua__intake_event event = {0};
    kua__field id;
    uint32_t domain = KUA__NO_ID;
    KUA__TRY(kua__reading_id(r, KUA__ROLE_ITEM, &id));
    if (!r->bad) KUA__TRY(kua__reading_domain(r, &domain));
    if (!r->bad) KUA__TRY(find_item(r, domain, id, &event.item));
    if (r->bad) {
        return KUA_OK;
    }
    if (event.item == KUA__NO_ID && !may_create(in, domain)) {
        kua__intake_count(in, KUA__CLEAN_UNKNOWN, 1, "%s:%zu: item '%.*s'", r->file->path,
                          r->row.line, (int)id.n, id.text);
        return KUA_OK;
    }
    KUA__TRY(read_event(r, &event));
    if (r->bad) {
        return KUA_OK; /* and its item, if that is new, is not made */
    }
    if (event.item == KUA__NO_ID) KUA__TRY(find_or_create(r, domain, id, &event.item));
    if (r->binding.role[KUA__ROLE_HISTORY].n) {
        return take_history(r, domain, &event);
    }
    if (r->binding.role[KUA__ROLE_TIME].n == 0) {
        event.time = INT64_MIN; /* a position, when the number of earlier ones is known */
        KUA__TRY(mark_no_clock(in, in->items[event.item].domain));
    }
    return add_event(in, &event);
}

kua_status kua__intake_read_events(kua__intake *in, kua__intake_file *file)
{
    assert(in && file && file->section == KUA__SECTION_EVENTS);
    return kua__intake_rows(in, file, take_event);
}

/* ---- histories ---- */

static int by_user_part_length(const void *a, const void *b)
{
    const kua__history_row *x = a, *y = b;
    if (x->user != y->user) return x->user < y->user ? -1 : 1;
    if (x->part != y->part) return x->part < y->part ? -1 : 1;
    if (x->n != y->n) return x->n < y->n ? -1 : 1;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

/* The user's events so far are events[first ..]; do they end with the row's list? */
static bool continues(const kua__intake *in, size_t first, const kua__history_row *row)
{
    assert(first <= in->n_events);
    size_t have = in->n_events - first;
    if (row->n > have) {
        return false;
    }
    for (size_t i = 0; i < row->n; i++) {
        size_t e = in->n_events - row->n + i;
        if (in->events[e].item != in->own->history_items[row->from + i]) {
            return false;
        }
    }
    return true;
}

static kua_status unroll_item(kua__intake *in, const kua__history_row *row, size_t first,
                              uint32_t item, uint8_t part)
{
    assert(item < in->n_items && first <= in->n_events);
    kua__intake_event event = {.user = row->user,
                               .item = item,
                               .time = (int64_t)(in->n_events - first),
                               .value = 1,
                               .type = KUA__EVENT_PURCHASE,
                               .part = part};
    KUA__TRY(mark_no_clock(in, in->items[item].domain));
    return add_event(in, &event);
}

static kua_status reject_history(kua__intake *in, const kua__history_row *row)
{
    static const char reason[] = "item_id_list does not continue the user's history";
    kua__intake_file *file = &in->own->files[row->file];
    file->bad++;
    kua__intake_count(in, KUA__CLEAN_LINES, 1, "%s:%llu: %s", file->path,
                      (unsigned long long)row->line, reason);
    return kua__rejects_add(&in->own->rejects, file->path, row->line, reason, "", 0);
}

static kua_status unroll_row(kua__intake *in, const kua__history_row *row, size_t first)
{
    bool fresh = in->n_events == first;
    if (!fresh && !continues(in, first, row)) {
        return reject_history(in, row);
    }
    uint8_t before = row->part == KUA__PART_NONE ? KUA__PART_NONE : KUA__PART_TRAIN;
    /* In a given split what precedes a user's first target was there to be learnt from. */
    for (size_t i = 0; fresh && i < row->n; i++) {
        KUA__TRY(unroll_item(in, row, first, in->own->history_items[row->from + i], before));
    }
    return unroll_item(in, row, first, row->item, row->part);
}

static kua_status unroll_histories(kua__intake *in)
{
    struct kua__intake_private *own = in->own;
    size_t first = in->n_events;
    if (own->n_histories == 0) {
        return KUA_OK;
    }
    qsort(own->histories, own->n_histories, sizeof(*own->histories), by_user_part_length);
    for (size_t i = 0; i < own->n_histories; i++) {
        if (i == 0 || own->histories[i].user != own->histories[i - 1].user) {
            first = in->n_events;
        }
        KUA__TRY(unroll_row(in, &own->histories[i], first));
    }
    for (size_t f = 0; f < KUA__INTAKE_FILES; f++) {
        const kua__intake_file *file = &own->files[f]; /* checked before, without these rows */
        if ((double)file->bad > own->settings.max_bad_share * (double)file->rows) {
            return kua__fail(KUA_FORMAT, "%s: %llu of %llu lines are unreadable; the first: %s",
                             file->path, (unsigned long long)file->bad,
                             (unsigned long long)file->rows, own->steps[KUA__CLEAN_LINES].example);
        }
    }
    return KUA_OK;
}

/* ---- positions and clocks ---- */

/* Events without a time get their place among the user's events of that domain, in the order of the
 * files, which is the order of in->events until they are cleaned. */
static kua_status number_positions(kua__intake *in)
{
    size_t n_domains = in->domain_names.count;
    uint32_t *next;
    KUA__TRY(KUA__NEW_ZEROED(&next, in->users.count * n_domains, "positions of events"));
    for (size_t e = 0; e < in->n_events; e++) {
        kua__intake_event *event = &in->events[e];
        if (event->time == INT64_MIN) {
            event->time = next[event->user * n_domains + in->items[event->item].domain]++;
        }
    }
    kua__free(next);
    return KUA_OK;
}

static bool is_positional(const kua__intake *in, size_t domain)
{
    return domain < in->own->no_clock_room && in->own->no_clock[domain];
}

static kua_status decide_clocks(kua__intake *in)
{
    /* A domain loses its clock for good: the store's flag is what was known, and only false is ever
     * written over it. One domain's events of both kinds could not be put in order. */
    int64_t *latest;
    KUA__TRY(KUA__NEW_ZEROED(&latest, in->domain_names.count, "times of domains"));
    for (size_t e = 0; e < in->n_events; e++) {
        uint32_t domain = in->items[in->events[e].item].domain;
        in->domains[domain].n_events++;
        latest[domain] = KUA__MAX(latest[domain], in->events[e].time);
    }
    bool asked = kua__mapping_time_format(in->own->mapping) == KUA__TIME_POSITION;
    for (size_t d = 0; d < in->domain_names.count; d++) {
        if (in->domains[d].n_events && (asked || is_positional(in, d) || latest[d] < CLOCK_SINCE)) {
            in->domains[d].has_clock = false;
        }
    }
    kua__free(latest);
    return KUA_OK;
}

/* Saves the table of users by domains of number_positions where every event has a time. */
static bool any_positional(const kua__intake *in)
{
    for (size_t d = 0; d < in->domain_names.count; d++) {
        if (is_positional(in, d)) {
            return true;
        }
    }
    return false;
}

kua_status kua__intake_end_events(kua__intake *in)
{
    KUA__TRY(unroll_histories(in));
    if (any_positional(in)) {
        KUA__TRY(number_positions(in));
    }
    return decide_clocks(in);
}

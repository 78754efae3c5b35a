/* data/intake.c - the intake's files, numbers and report; rows are read in intake_rows.c and after.
 *
 *     options, mapping                                       kua__intake_create
 *       -> items file    -> items, domains                   intake_items.c
 *       -> users file    -> users, attributes                intake_items.c
 *       -> events file(s) -> events, users, maybe items      intake_events.c
 *       -> events sorted, thinned by the cleaning steps      intake_clean.c
 *       -> the store (store/import.c) or a shop in memory    kua__shop_from_files
 *
 * Files come in this order because an event of an item that no catalogue has can only be told when
 * all catalogues are read.
 *
 * Items of one id in several domains form a chain, because events often name no domain:
 *
 *     item_ids   "B004" -> 7          first_item[7] -> items[12] -next-> items[40] -> none
 *                                                      beauty            toys
 *
 * Numbers of users, items and domains are given in order of first appearance, what the store knows
 * first: they are the store's own numbers, so that writing needs no look-up.
 *
 * Invariants
 *   I1  domains[d] exists for every d < domain_names.count, first_item[k] for every k <
 *       item_ids.count: room is made before a name is added, so that a failure leaves both as long.
 *   I2  a chain holds each domain at most once, and ends with KUA__NO_ID.
 *   I3  events name users and items by numbers below users.count and n_items.
 *   I4  strings live in the arenas (of the intake, and of the three lists of names) until
 *       kua__intake_free; options, settings and the monitor are the caller's.
 */
#include "data/intake.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "data/intake_private.h"
#include "data/report_json.h"
#include "data/shop_build.h"

enum { ARENA_CHUNK = 1 << 20 };

static const struct {
    const char *name, *unit, *why;
} step_info[KUA__CLEAN_STEPS] = {
    [KUA__CLEAN_LINES] = {"unreadable lines", "lines", "kept in the rejects file with the reason"},
    [KUA__CLEAN_ITEMS] = {"repeated items", "items", "described twice: the last row holds"},
    [KUA__CLEAN_UNKNOWN] = {"unknown items", "events", "of items that are in no catalogue"},
    [KUA__CLEAN_TIMES] = {"impossible times", "events", "before 1970 or later than tomorrow"},
    [KUA__CLEAN_DUPLICATES] = {"exact duplicates", "events",
                               "same user, item, time, type and value"},
    [KUA__CLEAN_BOTS] = {"bots by rate", "events",
                         "of users with more events in an hour or a day than a person has"},
    [KUA__CLEAN_CORE] = {"k-core", "events",
                         "of users and items with fewer events than was asked for"},
};

/* ---- options ---- */

static kua_status check_options(const kua__import_options *o)
{
    bool given = o->train || o->valid || o->test;
    if (o->events && given) {
        return kua__fail(KUA_INVALID,
                         "import: give either an events file or a split (train, valid, test)");
    }
    if (given && !o->train) {
        return kua__fail(KUA_INVALID, "import: a split needs its train file");
    }
    if (o->domain && !*o->domain) {
        return kua__fail(KUA_INVALID, "import: the domain's name is empty");
    }
    return KUA_OK;
}

/* files[]: 0 items, 1 users, 2 events or the split's train part, 3 its valid part, 4 its test part:
 * the order of reading. */
static void set_file(kua__intake *in, size_t i, const char *path, kua__section section,
                     uint8_t part)
{
    assert(i < KUA__INTAKE_FILES);
    in->own->files[i] = (kua__intake_file){.path = path, .section = section, .part = part};
}

/* The option's file, else the mapping's. */
static kua_status section_file(kua__intake *in, const char *option, kua__section section,
                               const char **out)
{
    *out = option;
    if (!option) {
        KUA__TRY(kua__mapping_file(in->own->mapping, section, &in->own->mapped[section]));
        *out = in->own->mapped[section];
    }
    return KUA_OK;
}

static kua_status set_files(kua__intake *in)
{
    const kua__import_options *o = &in->own->options;
    const char *items, *users, *events = NULL;
    KUA__TRY(section_file(in, o->items, KUA__SECTION_ITEMS, &items));
    KUA__TRY(section_file(in, o->users, KUA__SECTION_USERS, &users));
    if (!o->train) {
        KUA__TRY(section_file(in, o->events, KUA__SECTION_EVENTS, &events));
    }
    set_file(in, 0, items, KUA__SECTION_ITEMS, KUA__PART_NONE);
    set_file(in, 1, users, KUA__SECTION_USERS, KUA__PART_NONE);
    set_file(in, 2, events ? events : o->train, KUA__SECTION_EVENTS,
             events ? KUA__PART_NONE : KUA__PART_TRAIN);
    set_file(in, 3, o->valid, KUA__SECTION_EVENTS, KUA__PART_VALID);
    set_file(in, 4, o->test, KUA__SECTION_EVENTS, KUA__PART_TEST);
    for (size_t i = 0; i < KUA__INTAKE_FILES; i++) {
        if (in->own->files[i].path) {
            return KUA_OK;
        }
    }
    return kua__fail(KUA_INVALID, "import: no file is given, neither items nor users nor events");
}

static kua_status intake_setup(kua__intake *in, const kua__import_options *options)
{
    assert(in && options);
    KUA__TRY(KUA__NEW_ZEROED(&in->own, 1, "an import"));
    assert(in->own);
    in->own->options = *options;
    kua__rejects_init(&in->own->rejects, options->rejects);
    KUA__TRY(check_options(options));
    KUA__TRY(kua__intake_settings_read(options->settings, &in->own->settings));
    KUA__TRY(kua__mapping_load(options->map, &in->own->mapping));
    return set_files(in);
}

kua_status kua__intake_create(const kua__import_options *options, kua__intake **out)
{
    assert(options && out);
    *out = NULL;
    kua__intake *in;
    KUA__TRY(KUA__NEW_ZEROED(&in, 1, "an import"));
    kua__arena_init(&in->arena, ARENA_CHUNK);
    kua__ids_init(&in->domain_names);
    kua__ids_init(&in->users);
    kua__ids_init(&in->item_ids);
    kua_status st = intake_setup(in, options);
    if (st) {
        kua__intake_free(in);
        return st;
    }
    *out = in;
    return KUA_OK;
}

static void own_free(struct kua__intake_private *own)
{
    if (!own) {
        return;
    }
    kua__mapping_free(own->mapping);
    for (size_t s = 0; s < KUA__SECTIONS; s++) {
        kua__free(own->mapped[s]);
    }
    kua__rejects_release(&own->rejects);
    kua__buf_release(&own->scratch);
    kua__buf_release(&own->raw);
    kua__free(own->histories);
    kua__free(own->history_items);
    kua__free(own->no_clock);
    kua__free(own);
}

void kua__intake_free(kua__intake *in)
{
    if (!in) {
        return;
    }
    own_free(in->own);
    kua__ids_release(&in->domain_names);
    kua__ids_release(&in->users);
    kua__ids_release(&in->item_ids);
    kua__arena_release(&in->arena);
    kua__free(in->domains);
    kua__free(in->attributes);
    kua__free(in->first_item);
    kua__free(in->items);
    kua__free(in->events);
    kua__free(in);
}

/* ---- numbers ---- */

kua_status kua__intake_domain_number(kua__intake *in, const char *name, size_t n, uint32_t *out)
{
    assert(in && name && out);
    size_t before = in->domain_names.count;
    KUA__TRY(KUA__GROW(&in->domains, &in->domains_room, before, "domains"));
    KUA__TRY(kua__ids_add(&in->domain_names, name, n, out));
    assert(*out <= before);
    if (*out == before) {
        in->domains[before] = (kua__intake_domain){.has_clock = true};
    }
    return KUA_OK;
}

/* Without a domain the head of the chain is the answer, and right where the chain has one link. */
uint32_t kua__intake_find_item(const kua__intake *in, uint32_t domain, const char *id, size_t n,
                               bool *ambiguous)
{
    assert(in && (domain == KUA__NO_ID || domain < in->domain_names.count));
    uint32_t key = kua__ids_find(&in->item_ids, id, n);
    uint32_t item = key == KUA__NO_ID ? KUA__NO_ID : in->first_item[key];
    assert(item == KUA__NO_ID || item < in->n_items);
    if (domain == KUA__NO_ID) {
        if (ambiguous) {
            *ambiguous = item != KUA__NO_ID && in->items[item].next != KUA__NO_ID;
        }
        return item;
    }
    while (item != KUA__NO_ID && in->items[item].domain != domain) {
        item = in->items[item].next;
    }
    return item;
}

/* Adds the item at the head of its id's chain. Room for everything is made first (I1): after
 * kua__ids_add nothing fails any more. */
kua_status kua__intake_add_item(kua__intake *in, uint32_t domain, const char *id, size_t n,
                                uint32_t *out)
{
    assert(domain < in->domain_names.count);
    uint32_t key, before = (uint32_t)in->item_ids.count;
    KUA__TRY(KUA__GROW(&in->items, &in->items_room, in->n_items, "items"));
    KUA__TRY(KUA__GROW(&in->first_item, &in->first_item_room, in->item_ids.count, "items"));
    KUA__TRY(kua__ids_add(&in->item_ids, id, n, &key));
    if (key == before) {
        in->first_item[key] = KUA__NO_ID;
    }
    *out = (uint32_t)in->n_items++;
    in->items[*out] = (kua__intake_item){.domain = domain,
                                         .id = in->item_ids.name[key],
                                         .name = "",
                                         .text = "",
                                         .category = "",
                                         .brand = "",
                                         .price = NAN,
                                         .next = in->first_item[key]};
    in->first_item[key] = *out;
    return KUA_OK;
}

kua_status kua__intake_know_domain(kua__intake *in, const char *name, bool has_clock)
{
    assert(in && name && !in->n_events);
    uint32_t number;
    KUA__TRY(kua__intake_domain_number(in, name, strlen(name), &number));
    in->domains[number].known = true;
    in->domains[number].has_clock = has_clock;
    return KUA_OK;
}

kua_status kua__intake_know_item(kua__intake *in, uint32_t domain, const char *id, bool described)
{
    assert(in && id && domain < in->domain_names.count);
    uint32_t number;
    KUA__TRY(kua__intake_add_item(in, domain, id, strlen(id), &number));
    in->items[number].known = true;
    in->domains[domain].n_items += described;
    return KUA_OK;
}

kua_status kua__intake_know_user(kua__intake *in, const char *id)
{
    assert(in && id);
    assert(in->known_users == in->users.count); /* before any file adds users of its own */
    uint32_t number;
    KUA__TRY(kua__ids_add(&in->users, id, strlen(id), &number));
    in->known_users = in->users.count;
    return KUA_OK;
}

void kua__intake_count(kua__intake *in, kua__clean_step step, uint64_t n, const char *format, ...)
{
    assert(step < KUA__CLEAN_STEPS && format);
    kua__step_count *count = &in->own->steps[step];
    if (count->removed == 0 && n) {
        va_list args;
        va_start(args, format);
        vsnprintf(count->example, sizeof(count->example), format, args);
        va_end(args);
        size_t whole = strlen(count->example);
        /* The cut may have gone through a character, which no JSON string may hold. */
        count->example[kua__utf8_valid(count->example, whole)] = '\0';
    }
    count->removed += n;
}

/* ---- reading ---- */

static kua_status read_files(kua__intake *in)
{
    for (size_t i = 0; i < KUA__INTAKE_FILES; i++) {
        kua__intake_file *file = &in->own->files[i];
        double start = kua__seconds();
        if (!file->path) {
            continue;
        }
        if (file->section == KUA__SECTION_ITEMS) {
            KUA__TRY(kua__intake_read_items(in, file));
        } else if (file->section == KUA__SECTION_USERS) {
            KUA__TRY(kua__intake_read_users(in, file));
        } else {
            KUA__TRY(kua__intake_read_events(in, file));
        }
        file->seconds = kua__seconds() - start;
    }
    return kua__intake_end_events(in);
}

kua_status kua__intake_read(kua__intake *in, const kua_monitor *monitor)
{
    assert(in);
    assert(!in->n_events); /* once: a second reading would count every row twice */
    in->own->monitor = monitor;
    kua_status st = read_files(in);
    if (!st) return kua__rejects_keep(&in->own->rejects);
    /* The message is copied before anything else can fail and write over it. */
    kua__buf message = {0}; /* the rejects are kept all the same, and their file named */
    kua__buf_puts(&message, kua_error_message());
    bool had = in->own->rejects.open, kept = !kua__rejects_keep(&in->own->rejects) && had;
    kua__fail(st, "%s%s%s", message.data ? message.data : "out of memory",
              kept ? "; unreadable lines are in " : "", kept ? in->own->rejects.path : "");
    kua__buf_release(&message);
    return st;
}

/* ---- the report ---- */

static json_t *report_files(const kua__intake *in, kua_status *st)
{
    json_t *files = kua__json_new_array(st);
    for (size_t i = 0; i < KUA__INTAKE_FILES; i++) {
        const kua__intake_file *file = &in->own->files[i];
        if (file->path) {
            json_t *one = kua__json_new_object(st);
            kua__json_put(one, "file", kua__json_text(file->path), st);
            kua__json_put(one, "kind", json_string(kua__section_name(file->section)), st);
            kua__json_put(one, "rows", json_integer((json_int_t)file->rows), st);
            kua__json_put(one, "bad", json_integer((json_int_t)file->bad), st);
            kua__json_put(one, "seconds", json_real(file->seconds), st);
            kua__json_push(files, one, st);
        }
    }
    return files;
}

static json_t *report_steps(const kua__intake *in, kua_status *st)
{
    json_t *steps = kua__json_new_array(st);
    for (size_t s = 0; s < KUA__CLEAN_STEPS; s++) {
        const kua__step_count *count = &in->own->steps[s];
        json_t *one = kua__json_new_object(st);
        kua__json_put(one, "step", json_string(step_info[s].name), st);
        kua__json_put(one, "unit", json_string(step_info[s].unit), st);
        kua__json_put(one, "removed", json_integer((json_int_t)count->removed), st);
        kua__json_put(one, "why", json_string(step_info[s].why), st);
        if (count->example[0]) {
            kua__json_put(one, "example", kua__json_text(count->example), st);
        }
        kua__json_push(steps, one, st);
    }
    return steps;
}

kua_status kua__intake_report(const kua__intake *in, json_t **out)
{
    assert(in && out);
    kua_status st = KUA_OK;
    const kua__rejects *rejects = &in->own->rejects;
    json_t *domains = kua__json_new_array(&st), *report = kua__json_new_object(&st);
    for (size_t d = 0; d < in->domain_names.count; d++) {
        if (in->domains[d].n_events || !in->domains[d].known) {
            kua__json_push(domains, kua__json_text(in->domain_names.name[d]), &st);
        }
    }
    kua__json_put(report, "files", report_files(in, &st), &st);
    kua__json_put(report, "cleaned", report_steps(in, &st), &st);
    kua__json_put(report, "domains", domains, &st);
    kua__json_put(report, "rejects", rejects->kept ? kua__json_text(rejects->path) : json_null(),
                  &st);
    return kua__json_finish(report, st, out);
}

/* ---- hash ---- */

/* Each file's hash is the seed of the next one's: the order counts, and so does which is which. */
static kua_status hash_file(const char *path, uint64_t *hash)
{
    kua__map map;
    KUA__TRY(kua__map_open(&map, path));
    *hash = kua__hash64(map.data, map.size, *hash);
    kua__map_close(&map);
    return KUA_OK;
}

kua_status kua__intake_hash(const kua__intake *in, uint64_t *out)
{
    assert(in && out);
    const kua__import_options *o = &in->own->options;
    const char *domain = o->domain ? o->domain : "";
    kua__intake_settings s = in->own->settings;
    char words[256];
    /* latest_time only where it was given: its default moves with the clock, and would make every
     * import a new one. */
    int n = snprintf(words, sizeof(words), "%g %d %d %d %lld %lld %lld", s.max_bad_share,
                     s.auto_unknown, s.create_unknown, s.keep_duplicates,
                     (long long)s.bot_events_per_hour, (long long)s.bot_events_per_day,
                     (long long)s.k_core);
    uint64_t hash = kua__hash64(words, (size_t)n, 1);
    if (json_object_get(o->settings, "latest_time")) {
        hash = kua__hash64(&s.latest_time, sizeof(s.latest_time), hash);
    }
    hash = kua__hash64(domain, strlen(domain), hash);
    if (o->map) {
        KUA__TRY(hash_file(o->map, &hash));
    }
    for (size_t i = 0; i < KUA__INTAKE_FILES; i++) {
        hash = kua__hash64(&i, sizeof(i), hash);
        if (in->own->files[i].path) {
            KUA__TRY(hash_file(in->own->files[i].path, &hash));
        }
    }
    *out = hash;
    return KUA_OK;
}

/* ---- straight into memory ---- */

static kua_status add_users(const kua__intake *in, kua__shop_builder *b, uint32_t *user)
{
    for (size_t u = 0; u < in->users.count; u++) {
        KUA__TRY(kua__shop_builder_user(b, in->users.name[u], in->users.len[u], &user[u]));
    }
    return KUA_OK;
}

static kua_status add_items(const kua__intake *in, kua__shop_builder *b, uint32_t first_domain,
                            uint32_t *item)
{
    for (size_t i = 0; i < in->n_items; i++) {
        const kua__intake_item *it = &in->items[i];
        kua__item made = {.id = it->id,
                          .name = it->name,
                          .text = it->text,
                          .category = it->category,
                          .domain = first_domain + it->domain,
                          .price = it->price};
        KUA__TRY(kua__shop_builder_item(b, &made, &item[i]));
    }
    return KUA_OK;
}

static kua_status add_domains(const kua__intake *in, kua__shop_builder *b, uint32_t *first)
{
    *first = (uint32_t)b->shop.n_domains;
    for (size_t d = 0; d < in->domain_names.count; d++) {
        uint32_t number;
        KUA__TRY(kua__shop_builder_domain(b, in->domain_names.name[d], in->domains[d].has_clock,
                                          &number));
    }
    return KUA_OK;
}

/* seq is unique within an intake, so that the order does not depend on how qsort treats ties. */
static int by_seq(const void *a, const void *b)
{
    const kua__intake_event *x = a, *y = b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

static kua_status add_events(const kua__intake *in, kua__shop_builder *b, const uint32_t *user,
                             const uint32_t *item)
{
    if (in->n_events) { /* the order of equal times */
        qsort(in->events, in->n_events, sizeof(*in->events), by_seq);
    }
    for (size_t e = 0; e < in->n_events; e++) {
        const kua__intake_event *ev = &in->events[e];
        kua__raw_event raw = {user[ev->user], item[ev->item], ev->time,
                              ev->value,      ev->type,       ev->part};
        KUA__TRY(kua__shop_builder_event(b, &raw));
    }
    return KUA_OK;
}

static kua_status add_intake(const kua__intake *in, kua__shop_builder *b)
{
    uint32_t *user = NULL, *item = NULL, first;
    kua_status st = KUA__NEW_ARRAY(&user, in->users.count, "numbers of users");
    if (!st) st = KUA__NEW_ARRAY(&item, in->n_items, "numbers of items");
    if (!st) st = add_domains(in, b, &first);
    if (!st) st = add_users(in, b, user);
    if (!st) st = add_items(in, b, first, item);
    if (!st) st = add_events(in, b, user, item);
    kua__free(user);
    kua__free(item);
    return st;
}

kua_status kua__shop_from_files(const kua__import_options *imports, size_t n, kua__shop **out)
{
    assert((imports || n == 0) && out);
    kua__shop_builder b;
    kua_status st = KUA_OK;
    *out = NULL;
    kua__shop_builder_init(&b);
    for (size_t i = 0; !st && i < n; i++) {
        kua__intake *in = NULL;
        /* Each import numbers its users and items from 0; the builder knows users by their id, and
         * takes domains and items as new ones. */
        st = kua__intake_create(&imports[i], &in);
        if (!st) st = kua__intake_read(in, NULL);
        if (!st) st = kua__intake_clean(in, NULL);
        if (!st) st = add_intake(in, &b);
        kua__intake_free(in);
    }
    if (!st) st = kua__shop_builder_finish(&b, out);
    kua__shop_builder_release(&b);
    return st;
}

/* data/intake.h - a shop's files, read and cleaned into memory: what an import writes to the store.
 *
 *     kua__intake *in = NULL;
 *     kua_status st = kua__intake_create(&options, &in);
 *     ...kua__intake_know_domain/_item/_user for what the store has already...
 *     if (!st) st = kua__intake_read(in, monitor);       items, users, events, in this order
 *     if (!st) st = kua__intake_clean(in, monitor);      named, counted steps
 *     ...in->items, in->users, in->events...
 *     if (!st) st = kua__intake_report(in, &report);
 *     kua__intake_free(in);
 *
 * The steps, in their order; each is counted, with an example and the reason:
 *   unreadable lines    no row, or a field that is not what it should be: kept in the rejects file
 *   repeated items      the same item twice in one import: the last row holds
 *   unknown items       events of an item that no catalogue has: dropped, or the item is created
 *   impossible times    before 1970, or after tomorrow
 *   exact duplicates    same user, item, time, type and value
 *   bots by rate        all events of a user with more of them in an hour or a day than allowed
 *   k-core              on request: users and items of a domain with fewer than k events, until
 *                       none is left
 *
 * Settings (a JSON object; an unknown name is KUA_INVALID)
 *   max_bad_share       .01     stop where a larger share of a file's lines is unreadable
 *   unknown_items       "auto"  "drop", "create"; auto: drop where the domain has a catalogue
 *   duplicates          "drop"  "keep": the second one counts as an event of its own
 *   bot_events_per_hour 0       0: no limit
 *   bot_events_per_day  5000    0: no limit
 *   k_core              0       0: off
 *   latest_time         now + 1 day, as a date or in seconds
 */
#ifndef KUA_DATA_INTAKE_H
#define KUA_DATA_INTAKE_H

#include <jansson.h>

#include "data/shop.h"

/* Members may be NULL unless it says otherwise. */
typedef struct kua__import_options {
    const char *domain; /* put all items here; NULL: the mapping's domain column decides */
    const char *items, *events,
        *users;      /* files; one at least must be given, here or in the mapping */
    const char *map; /* JSON file that names columns (data/mapping.h) */
    const char *train, *valid, *test; /* a given split, in place of `events` */
    const json_t *settings;           /* object, see above; NULL: defaults */
    const char *rejects; /* folder for lines that are no records (made when needed); NULL: they are
                            counted, not kept */
} kua__import_options;

typedef enum kua__clean_step {
    KUA__CLEAN_LINES,
    KUA__CLEAN_ITEMS,
    KUA__CLEAN_UNKNOWN,
    KUA__CLEAN_TIMES,
    KUA__CLEAN_DUPLICATES,
    KUA__CLEAN_BOTS,
    KUA__CLEAN_CORE,
    KUA__CLEAN_STEPS
} kua__clean_step;

typedef struct kua__intake_item {
    uint32_t domain;
    const char *id, *name, *text, *category, *brand; /* in the intake's arena */
    float price;                                     /* NAN: unknown */
    bool known;                                      /* the store had it before */
    bool read;                                       /* a row of this import describes it */
    uint32_t next; /* the next item of the same id in another domain; KUA__NO_ID: none */
} kua__intake_item;

typedef struct kua__intake_event {
    uint32_t user, item; /* numbers in users and items */
    int64_t time;
    float value;
    uint8_t type, part;
    uint16_t occurrence; /* 0; 1, 2, .. for kept duplicates */
    uint32_t seq;        /* place in the files: the order of equal times */
} kua__intake_event;

typedef struct kua__intake_domain {
    bool known;     /* the store had it before */
    bool has_clock; /* of what was known and what was read */
    size_t n_items; /* rows of catalogues, known or read: 0, there is none */
    size_t n_events;
} kua__intake_domain;

typedef struct kua__intake {
    kua__arena arena;
    kua__ids domain_names, users;
    kua__intake_domain *domains; /* [domain_names.count] */
    size_t known_users;          /* users 0 .. known_users were known before */
    const char **attributes;     /* [attributes_room] JSON object of a user; NULL: none read */
    kua__ids item_ids;
    uint32_t *first_item; /* [item_ids.count] head of the items of one id */
    kua__intake_item *items;
    size_t n_items;
    kua__intake_event *events; /* after cleaning sorted by domain, user, time, item, type, value */
    size_t n_events;
    struct kua__intake_private *own; /* data/intake_private.h */
    size_t domains_room, attributes_room, first_item_room, items_room, events_room;
} kua__intake;

/* KUA_INVALID: options that contradict each other, a wrong setting. KUA_FORMAT: a wrong mapping. */
kua_status kua__intake_create(const kua__import_options *options, kua__intake **out);
void kua__intake_free(kua__intake *in); /* NULL is allowed */

/* What is there already, before reading; numbers are given in order from 0. */
kua_status kua__intake_know_domain(kua__intake *in, const char *name, bool has_clock);
/* described: by a catalogue; else the item was only met in an event. */
kua_status kua__intake_know_item(kua__intake *in, uint32_t domain, const char *id, bool described);
kua_status kua__intake_know_user(kua__intake *in, const char *id);

/* Reads all files. KUA_FORMAT: "beauty.inter: 30 of 100 lines are unreadable, ..." */
kua_status kua__intake_read(kua__intake *in, const kua_monitor *monitor);
kua_status kua__intake_clean(kua__intake *in, const kua_monitor *monitor);

/* {"files": [{"file", "kind", "rows", "bad", "seconds"}], "cleaned": [{"step", "unit", "removed",
 * "why", "example"}], "domains": [names], "rejects": path or null}; owned by the caller. */
kua_status kua__intake_report(const kua__intake *in, json_t **out);
/* A hash of all files' bytes, of the mapping and of the options: equal for a repeated import. */
kua_status kua__intake_hash(const kua__intake *in, uint64_t *out);

/* Files straight into a shop in memory, without a store: one import after another. */
kua_status kua__shop_from_files(const kua__import_options *imports, size_t n, kua__shop **out);

#endif

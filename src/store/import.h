/* store/import.h - what the files of an import share: rows being gathered in memory before one transaction writes them.
 *
 *     read items -> read events -> clean -> write          (import_items.c, import_events.c, import_clean.c, import.c)
 */
#ifndef KUA_STORE_IMPORT_H
#define KUA_STORE_IMPORT_H

#include "data/mapping.h"
#include "store/db.h"

typedef struct import_item {
    const char *key, *name, *text, *category;
    uint32_t domain;
    double price; /* NAN: unknown */
    bool is_new;
} import_item;

typedef struct import_event {
    uint32_t user, item; /* numbers in users and items below */
    int64_t time, seq;
    float value;
    uint8_t type, part;
    uint16_t copy;
} import_event;

/* The cleaning steps, in the order in which they run. */
#define IMPORT_STEP_MAP(X)                                                                         \
    X(BAD_LINE, "unreadable lines", "kept in the rejects file with the reason")                    \
    X(TIME, "impossible times", "before 1970 or after tomorrow")                                   \
    X(UNKNOWN, "unknown items", "events of items that are in no catalogue")                        \
    X(DUPLICATE, "exact duplicates", "same user, item, time, type and value")                      \
    X(BOT, "bots by rate", "users with more events in an hour than a person can have")             \
    X(CORE, "k-core", "users and items with too few events, asked for")

typedef enum import_step {
#define X(id, name, why) IMPORT_##id,
    IMPORT_STEP_MAP(X)
#undef X
        IMPORT_STEPS
} import_step;

typedef struct importer {
    kua__store *store;
    const kua__import *options;
    const kua_monitor *monitor;
    kua__arena arena; /* strings of new items */
    kua__ids domains, users;
    kua__ids keys;        /* "domain number/key" -> item number */
    kua__ids plain;       /* key alone -> first item with it */
    uint32_t *plain_item; /* [plain.count] */
    size_t plain_capacity;
    import_item *item;
    size_t n_items, item_capacity, old_items, old_users;
    import_event *event;
    size_t n_events, event_capacity;
    int64_t *item_id, *user_id, *domain_id; /* row ids in the store */
    int64_t latest;   /* largest time read; decides whether there is a clock */
    bool has_times;
    uint64_t lines, removed[IMPORT_STEPS];
    uint64_t added_events;
    kua__buf rejects;
    kua__buf scratch, scratch2;
} importer;

kua_status kua__import_known(importer *im);       /* items and users that the store holds already */
kua_status kua__import_items(importer *im, const char *path);
kua_status kua__import_users(importer *im, const char *path);
kua_status kua__import_events(importer *im, const char *path, uint8_t part);
kua_status kua__import_clean(importer *im);
kua_status kua__import_write(importer *im);

/* Finds or adds an item; *out its number. */
kua_status kua__import_item_number(importer *im, uint32_t domain, const char *key, size_t n, uint32_t *out);
/* Notes a row that cannot be used. */
void kua__import_reject(importer *im, const kua__reader *reader, const char *why);
kua_status kua__import_share(const importer *im, const kua__reader *reader, uint64_t rows, uint64_t bad);
/* The text of a role: columns joined by `between`, cleaned into im->scratch. */
kua_status kua__import_text(importer *im, const kua__reader *reader, const kua__binding *binding, const char *between);

#endif

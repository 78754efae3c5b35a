/* data/shop.h - a shop in memory: items, users, and each domain's events, user by user, in time
 * order.
 *
 *     shop
 *      |- users      id -> number, shared by all domains
 *      |- items      number -> id, name, text, domain; those of a domain have consecutive numbers
 *      `- domains[d] first_item .. first_item + n_items, and its log
 *
 *     log of a domain (local item numbers 0 .. n_items)
 *      user_at   [ 0 | 3 | 3 | 8 ...]          events of user u: user_at[u] .. user_at[u + 1]
 *      item      [ 7 2 7 | 1 0 5 5 2 | ...]    oldest first
 *
 * Time order inside a user makes every split two offsets per user (data/split.h), and a history a
 * slice.
 *
 * Threads: a shop is immutable once built; share it freely.
 */
#ifndef KUA_DATA_SHOP_H
#define KUA_DATA_SHOP_H

#include "base/base.h"

typedef enum kua__event_type {
    KUA__EVENT_VIEW,
    KUA__EVENT_CLICK,
    KUA__EVENT_CART,
    KUA__EVENT_PURCHASE,
    KUA__EVENT_RATING,
    KUA__EVENT_DISLIKE,
    KUA__EVENT_SEARCH,
    KUA__EVENT_TYPES
} kua__event_type;

const char *kua__event_type_name(kua__event_type type);               /* "purchase" */
bool kua__event_type_parse(const char *name, size_t n, uint8_t *out); /* false: no such type */

/* Where an event came from a given split (RecBole's benchmark_filename): else KUA__PART_NONE. */
enum { KUA__PART_NONE, KUA__PART_TRAIN, KUA__PART_VALID, KUA__PART_TEST };

typedef struct kua__log {
    size_t n_users, n_items, n_events;
    size_t *user_at; /* [n_users + 1] */
    uint32_t *item;  /* [n_events] local item number */
    int64_t *time;  /* [n_events] seconds since 1970, or a position where the domain has no clock */
    float *value;   /* [n_events] rating, quantity, money; 1 where the data has none */
    uint8_t *type;  /* [n_events] kua__event_type */
    uint8_t *part;  /* [n_events] KUA__PART_...; NULL where no split was given */
    bool has_clock; /* false: `time` orders one user's events within this domain and means nothing
                       else */
} kua__log;

typedef struct kua__item {
    const char *id;       /* the shop's own id */
    const char *name;     /* short, for people; the id where there is none */
    const char *text;     /* all text, cleaned, for the encoder; "" where there is none */
    const char *category; /* path, " > " between levels; "" where there is none */
    uint32_t domain;
    float price; /* NAN: unknown */
} kua__item;

typedef struct kua__domain {
    const char *name;
    size_t first_item, n_items; /* in shop->items */
    kua__log log;
} kua__domain;

typedef struct kua__shop {
    kua__ids users;   /* user number <-> id */
    kua__item *items; /* [n_items] sorted by domain */
    size_t n_items;
    kua__domain *domains; /* [n_domains] */
    size_t n_domains;
    kua__arena arena; /* every string above */
} kua__shop;

/* Number of the domain called `name`; KUA_NOTFOUND with the names that exist. */
kua_status kua__shop_domain(const kua__shop *shop, const char *name, uint32_t *out);
void kua__shop_free(kua__shop *shop);
void kua__log_release(kua__log *log);

/* Builds a log from events in any order: a stable sort by user, part, time. `events` is left
 * sorted. */
typedef struct kua__raw_event {
    uint32_t user, item; /* item: local number */
    int64_t time;
    float value;
    uint8_t type, part;
} kua__raw_event;
kua_status kua__log_build(kua__log *log, size_t n_users, size_t n_items, kua__raw_event *events,
                          size_t n, bool has_clock);

#endif

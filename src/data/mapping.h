/* data/mapping.h - which columns of a shop's files mean what.
 *
 *     {"items":  {"id": "product_id", "domain": "department", "name": "name", "brand": "brand",
 *                 "category": ["category", "type"], "text": ["type", "category", "brand"],
 *                 "price": "price"},
 *      "events": {"user": "household_id", "item": "product_id", "time": "timestamp",
 *                 "value": "sales_value", "type": "=purchase"},
 *      "users":  {"id": "household_id", "attributes": ["age", "city"]}}
 *
 * A value is a column's name, a list of names, or "=WORD" for the same word in every row. What a
 * section leaves out is looked for by the usual names (RecBole's user_id, item_id, timestamp,
 * rating, title, categories; Amazon's; MovieLens's; Gorse's): mapping.c has the list.
 *
 * Further members, all optional:
 *   file         the file, relative to the mapping's folder, where the import names none
 *   format       atomic, csv, tsv, jsonl, where the file's ending does not tell
 *   items.text_else    columns that make the text of items for which `text` is empty
 *   events.time_format auto (default: seconds since 1970, milliseconds above 10^11, or a date),
 *                      seconds, milliseconds, date, position (an order, no clock)
 *   events.types       {"transaction": "purchase", ...}: the shop's words for event types
 *
 * A category is a path: several columns, or a list in JSON Lines, are joined by " > ".
 */
#ifndef KUA_DATA_MAPPING_H
#define KUA_DATA_MAPPING_H

#include <jansson.h>

#include "data/table.h"

enum { KUA__SOURCE_COLUMNS_MAX = 16 };

typedef enum kua__section {
    KUA__SECTION_ITEMS,
    KUA__SECTION_EVENTS,
    KUA__SECTION_USERS,
    KUA__SECTIONS
} kua__section;

const char *kua__section_name(kua__section section); /* "items" */

typedef enum kua__role {
    KUA__ROLE_ITEM,
    KUA__ROLE_USER,
    KUA__ROLE_DOMAIN,
    KUA__ROLE_NAME,
    KUA__ROLE_CATEGORY,
    KUA__ROLE_BRAND,
    KUA__ROLE_TEXT,
    KUA__ROLE_TEXT_ELSE,
    KUA__ROLE_PRICE,
    KUA__ROLE_TIME,
    KUA__ROLE_VALUE,
    KUA__ROLE_TYPE,
    KUA__ROLE_HISTORY, /* item_id_list: what came before, in the same row */
    KUA__ROLE_ATTRIBUTES,
    KUA__ROLES
} kua__role;

/* Where a role's value comes from in one file. */
typedef struct kua__source_columns {
    size_t column[KUA__SOURCE_COLUMNS_MAX]; /* of the table */
    size_t n;
    const char *constant; /* borrowed from the mapping; NULL: none */
} kua__source_columns;

typedef struct kua__binding {
    kua__source_columns role[KUA__ROLES];
} kua__binding;

typedef enum kua__time_format {
    KUA__TIME_AUTO,
    KUA__TIME_SECONDS,
    KUA__TIME_MILLISECONDS,
    KUA__TIME_DATE,
    KUA__TIME_POSITION
} kua__time_format;

typedef struct kua__mapping kua__mapping;

/* NULL path: the empty mapping, usual names only. KUA_FORMAT names the member that is wrong. */
kua_status kua__mapping_load(const char *path, kua__mapping **out);
kua_status kua__mapping_parse(const char *name, const char *text, size_t n, kua__mapping **out);
void kua__mapping_free(kua__mapping *mapping); /* NULL is allowed */

/* The section's file, owned by the caller (kua__free); *out is NULL where the mapping names none.
 */
kua_status kua__mapping_file(const kua__mapping *mapping, kua__section section, char **out);
/* The mapping's word, else the ending's. */
kua_status kua__mapping_format(const kua__mapping *mapping, kua__section section, const char *path,
                               kua__table_format *out);
kua__time_format kua__mapping_time_format(const kua__mapping *mapping);
/* What the shop calls an event type; also "buy", "order", "add_to_cart", "pv" and the like. */
bool kua__mapping_type(const kua__mapping *mapping, const char *word, size_t n, uint8_t *out);

/* Finds a section's columns in a table that has just been opened. KUA_FORMAT: a column that the
 * mapping names is not there (the message lists those that are), or a required one has none. */
kua_status kua__mapping_bind(const kua__mapping *mapping, kua__section section, kua__table *table,
                             kua__binding *out);

#endif

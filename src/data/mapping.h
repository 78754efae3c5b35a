/* data/mapping.h - which columns of a shop's files mean what.
 *
 *     {"items":  {"item": "product_id", "domain": "department", "name": "name", "category":
 * ["category", "type"], "text": ["type", "category", "brand"], "price": "price"}, "events":
 * {"user": "household_id", "item": "product_id", "time": "timestamp", "value": "sales_value",
 *                 "type": "=purchase"}}
 *
 * A column's name, a list of them, or "=WORD" for a constant. What a mapping leaves out is found by
 * the usual names: RecBole's (user_id, item_id, timestamp, rating, title, categories, ...), Gorse's
 * and plain ones (user, item, time).
 */
#ifndef KUA_DATA_MAPPING_H
#define KUA_DATA_MAPPING_H

#include <jansson.h>

#include "data/reader.h"

enum { KUA__PARTS_MAX = 16 };

typedef enum kua__role {
    KUA__ROLE_ITEM,
    KUA__ROLE_DOMAIN,
    KUA__ROLE_NAME,
    KUA__ROLE_CATEGORY,
    KUA__ROLE_TEXT,
    KUA__ROLE_PRICE,
    KUA__ROLE_USER,
    KUA__ROLE_TIME,
    KUA__ROLE_VALUE,
    KUA__ROLE_TYPE,
    KUA__ROLE_HISTORY, /* item_id_list:token_seq: what came before, in the same row */
    KUA__ROLES
} kua__role;

/* Where a role's value comes from in one file. */
typedef struct kua__binding {
    int column[KUA__PARTS_MAX];
    int n_columns;        /* 0 and constant NULL: the file does not have it */
    const char *constant; /* borrowed from the mapping */
} kua__binding;

typedef struct kua__bindings {
    kua__binding role[KUA__ROLES];
} kua__bindings;

/* Reads a mapping file; NULL path: the empty mapping. *out is owned (json_decref). KUA_FORMAT names
 * the member. */
kua_status kua__mapping_load(const char *path, json_t **out);
kua_status kua__mapping_check(const char *name, const json_t *mapping);

/* Binds `section` ("items", "events", "users") of a mapping to a file's columns. KUA_FORMAT: a
 * column that the mapping names is not in the file (the message lists those that are), or a
 * required role has no column. */
kua_status kua__mapping_bind(const json_t *mapping, const char *section, kua__reader *reader,
                             kua__bindings *out);

#endif

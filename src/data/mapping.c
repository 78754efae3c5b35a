/* data/mapping.c - finds the columns of a file: by the mapping, else by the names that people use.
 *
 * Everything known about roles stands in one table, so that the checks of the mapping, the messages
 * and the binding cannot disagree.
 *
 *     mapping file --parse, check--> kua__mapping --bind to a table's header--> kua__binding
 *                                                  per role: columns' numbers, or a constant
 *
 * All of a mapping is checked when it is loaded, before any file of data is opened: a word that is
 * misspelt is told with the words that are known. What depends on a file, whether its columns are
 * there, is checked at binding, once a file. After that the code that reads rows trusts both, and
 * the accessors below need no checks of their own.
 */
#include "data/mapping.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "data/shop.h"

struct kua__mapping {
    char *name;   /* for messages */
    char *folder; /* that its files are relative to */
    json_t *json;
    kua__time_format time_format;
};

typedef struct role_info {
    kua__section section;
    kua__role role;
    const char *key, *synonym; /* members of the section */
    bool required, list;       /* list: usual names are all taken, not only the first */
    const char *usual[9];      /* looked for in this order */
} role_info;

/* clang-format off */
/* One role a row, the usual names below it where the row is full. */
static const role_info roles[] = {
    {KUA__SECTION_ITEMS, KUA__ROLE_ITEM, "id", "item", true, false,
     {"item_id", "item", "id", "product_id", "asin", "parent_asin", "sku", "ItemId"}},
    {KUA__SECTION_ITEMS, KUA__ROLE_DOMAIN, "domain", NULL, false, false,
     {"domain", "department", "main_category"}},
    {KUA__SECTION_ITEMS, KUA__ROLE_NAME, "name", NULL, false, false,
     {"title", "name", "product_name", "item_name", "movie_title"}},
    {KUA__SECTION_ITEMS, KUA__ROLE_CATEGORY, "category", NULL, false, false,
     {"categories", "category", "Categories", "class", "genre", "genres"}},
    {KUA__SECTION_ITEMS, KUA__ROLE_BRAND, "brand", NULL, false, false, {"brand", "store"}},
    {KUA__SECTION_ITEMS, KUA__ROLE_TEXT, "text", NULL, false, false, {NULL}},
    {KUA__SECTION_ITEMS, KUA__ROLE_TEXT_ELSE, "text_else", NULL, false, true,
     {"keywords", "description"}},
    {KUA__SECTION_ITEMS, KUA__ROLE_PRICE, "price", NULL, false, false, {"price"}},
    {KUA__SECTION_EVENTS, KUA__ROLE_USER, "user", NULL, true, false,
     {"user_id", "user", "customer_id", "household_id", "reviewerID", "visitorid", "session_id",
      "UserId"}},
    {KUA__SECTION_EVENTS, KUA__ROLE_ITEM, "item", NULL, true, false,
     {"item_id", "item", "product_id", "asin", "parent_asin", "sku", "itemid", "ItemId"}},
    {KUA__SECTION_EVENTS, KUA__ROLE_DOMAIN, "domain", NULL, false, false, {"domain"}},
    {KUA__SECTION_EVENTS, KUA__ROLE_TIME, "time", NULL, false, false,
     {"timestamp", "time", "unixReviewTime", "event_time", "date", "Timestamp"}},
    {KUA__SECTION_EVENTS, KUA__ROLE_VALUE, "value", NULL, false, false,
     {"rating", "value", "overall", "quantity"}},
    {KUA__SECTION_EVENTS, KUA__ROLE_TYPE, "type", NULL, false, false,
     {"type", "event_type", "event", "FeedbackType"}},
    {KUA__SECTION_EVENTS, KUA__ROLE_HISTORY, "history", NULL, false, false, {"item_id_list"}},
    {KUA__SECTION_USERS, KUA__ROLE_USER, "id", "user", true, false,
     {"user_id", "user", "id", "customer_id", "household_id", "UserId"}},
    {KUA__SECTION_USERS, KUA__ROLE_ATTRIBUTES, "attributes", NULL, false, false, {NULL}},
};
/* clang-format on */

static const char *const section_names[KUA__SECTIONS] = {"items", "events", "users"};
/* In the order of kua__time_format. */
static const char *const time_formats[] = {"auto", "seconds", "milliseconds", "date", "position"};

const char *kua__section_name(kua__section section)
{
    assert(section >= 0 && section < KUA__SECTIONS);
    return section_names[section];
}

/* ---- checking a mapping ---- */

static const role_info *find_role(kua__section section, const char *key)
{
    for (size_t i = 0; i < KUA__COUNT(roles); i++) {
        const role_info *r = &roles[i];
        if (r->section == section && (kua__streq(key, r->key) || kua__streq(key, r->synonym))) {
            return r;
        }
    }
    return NULL;
}

static bool is_name_or_names(const json_t *value)
{
    size_t i;
    json_t *element;
    if (json_is_string(value)) {
        return json_string_length(value) > 0;
    }
    if (!json_is_array(value) || json_array_size(value) > KUA__SOURCE_COLUMNS_MAX) {
        return false;
    }
    json_array_foreach(value, i, element)
    {
        if (!json_is_string(element) || json_string_length(element) == 0) {
            return false;
        }
    }
    return true;
}

static kua_status unknown_member(const kua__mapping *m, kua__section section, const char *key)
{
    kua__buf known = {0};
    for (size_t i = 0; i < KUA__COUNT(roles); i++) {
        if (roles[i].section == section) {
            kua__buf_printf(&known, "%s, ", roles[i].key);
        }
    }
    kua__buf_puts(&known, "file, format");
    kua__buf_puts(&known, section == KUA__SECTION_EVENTS ? ", time_format, types" : "");
    kua_status st = kua__buf_status(&known);
    if (!st) {
        st = kua__fail(KUA_FORMAT, "%s: %s has an unknown member '%.60s', expected %s", m->name,
                       section_names[section], key, known.data);
    }
    kua__buf_release(&known);
    return st;
}

static kua_status check_time_format(kua__mapping *m, const json_t *value)
{
    for (size_t i = 0; i < KUA__COUNT(time_formats); i++) {
        if (json_is_string(value) && kua__streq(json_string_value(value), time_formats[i])) {
            m->time_format = (kua__time_format)i;
            return KUA_OK;
        }
    }
    return kua__fail(KUA_FORMAT,
                     "%s: events.time_format is unknown, expected auto, seconds, milliseconds, "
                     "date or position",
                     m->name);
}

static kua_status check_types(const kua__mapping *m, const json_t *types)
{
    const char *word;
    json_t *type;
    uint8_t out;
    if (!json_is_object(types)) {
        return kua__fail(KUA_FORMAT, "%s: events.types is not an object", m->name);
    }
    json_object_foreach((json_t *)types, word, type)
    {
        if (!json_is_string(type) ||
            !kua__event_type_parse(json_string_value(type), json_string_length(type), &out)) {
            return kua__fail(KUA_FORMAT,
                             "%s: events.types.%.60s is no type, expected view, click, cart, "
                             "purchase, rating, dislike or search",
                             m->name, word);
        }
    }
    return KUA_OK;
}

static kua_status check_format(const kua__mapping *m, kua__section section, const json_t *value)
{
    for (size_t f = 0; f < KUA__TABLE_FORMATS; f++) {
        if (json_is_string(value) &&
            kua__streq(json_string_value(value), kua__table_format_name((kua__table_format)f))) {
            return KUA_OK;
        }
    }
    return kua__fail(KUA_FORMAT, "%s: %s.format is unknown, expected atomic, csv, tsv or jsonl",
                     m->name, section_names[section]);
}

static kua_status check_member(kua__mapping *m, kua__section section, const char *key,
                               const json_t *value)
{
    if (kua__streq(key, "file")) {
        return json_is_string(value) ? KUA_OK
                                     : kua__fail(KUA_FORMAT, "%s: %s.file is not a string", m->name,
                                                 section_names[section]);
    }
    if (kua__streq(key, "format")) {
        return check_format(m, section, value);
    }
    if (section == KUA__SECTION_EVENTS && kua__streq(key, "time_format")) {
        return check_time_format(m, value);
    }
    if (section == KUA__SECTION_EVENTS && kua__streq(key, "types")) {
        return check_types(m, value);
    }
    if (!find_role(section, key)) {
        return unknown_member(m, section, key);
    }
    if (!is_name_or_names(value)) {
        return kua__fail(KUA_FORMAT,
                         "%s: %s.%s, expected a column's name, a list of at most %d names, or "
                         "\"=WORD\"",
                         m->name, section_names[section], key, KUA__SOURCE_COLUMNS_MAX);
    }
    return KUA_OK;
}

static kua_status check_section(kua__mapping *m, const char *name, const json_t *section)
{
    for (int s = 0; s < KUA__SECTIONS; s++) {
        if (!kua__streq(name, section_names[s])) {
            continue;
        }
        if (!json_is_object(section)) {
            return kua__fail(KUA_FORMAT, "%s: %s is not an object", m->name, name);
        }
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)section, key, value)
        {
            KUA__TRY(check_member(m, (kua__section)s, key, value));
        }
        return KUA_OK;
    }
    return kua__fail(KUA_FORMAT, "%s: unknown member '%.60s', expected items, events, users",
                     m->name, name);
}

static kua_status check_mapping(kua__mapping *m)
{
    const char *key;
    json_t *value;
    if (!json_is_object(m->json)) {
        return kua__fail(KUA_FORMAT, "%s: is not a JSON object", m->name);
    }
    json_object_foreach(m->json, key, value)
    {
        KUA__TRY(check_section(m, key, value));
    }
    return KUA_OK;
}

/* ---- making one ---- */

static kua_status mapping_new(const char *name, kua__mapping **out)
{
    *out = NULL;
    kua__mapping *m;
    KUA__TRY(KUA__NEW_ZEROED(&m, 1, "a mapping"));
    const char *slash = strrchr(name, '/');
    m->name = kua__strdup(name);
    m->folder = slash ? kua__strndup(name, (size_t)(slash - name)) : kua__strdup(".");
    if (!m->name || !m->folder) {
        kua__mapping_free(m);
        return kua__fail_nomem(strlen(name) + 1, "the name of a mapping");
    }
    *out = m;
    return KUA_OK;
}

/* Checks m, or frees it. */
static kua_status mapping_finish(kua_status st, kua__mapping *m, kua__mapping **out)
{
    if (!st) st = check_mapping(m);
    *out = st ? NULL : m;
    if (st) kua__mapping_free(m);
    return st;
}

kua_status kua__mapping_parse(const char *name, const char *text, size_t n, kua__mapping **out)
{
    assert(name && (text || n == 0) && out);
    kua__mapping *m;
    KUA__TRY(mapping_new(name, &m));
    return mapping_finish(kua__json_parse(name, text, n, &m->json), m, out);
}

kua_status kua__mapping_load(const char *path, kua__mapping **out)
{
    assert(out);
    if (!path) {
        return kua__mapping_parse("no mapping", "{}", 2, out);
    }
    kua__mapping *m;
    KUA__TRY(mapping_new(path, &m));
    return mapping_finish(kua__json_load(path, &m->json), m, out);
}

void kua__mapping_free(kua__mapping *mapping)
{
    if (!mapping) {
        return;
    }
    json_decref(mapping->json);
    kua__free(mapping->name);
    kua__free(mapping->folder);
    kua__free(mapping);
}

/* ---- what it says ---- */

/* NULL where the mapping leaves the section out; json_object_get finds nothing in it. */
static const json_t *section_of(const kua__mapping *m, kua__section section)
{
    assert(section >= 0 && section < KUA__SECTIONS);
    return json_object_get(m->json, section_names[section]);
}

kua_status kua__mapping_file(const kua__mapping *mapping, kua__section section, char **out)
{
    assert(mapping && out);
    const char *file = json_string_value(json_object_get(section_of(mapping, section), "file"));
    *out = NULL;
    if (!file) {
        return KUA_OK;
    }
    *out = *file == '/' ? kua__strdup(file) : kua__path_join(mapping->folder, file);
    return *out ? KUA_OK : kua__fail_nomem(strlen(file) + 1, "a path");
}

kua_status kua__mapping_format(const kua__mapping *mapping, kua__section section, const char *path,
                               kua__table_format *out)
{
    assert(mapping && path && out);
    const char *word = json_string_value(json_object_get(section_of(mapping, section), "format"));
    for (size_t f = 0; word && f < KUA__TABLE_FORMATS; f++) {
        if (kua__streq(word, kua__table_format_name((kua__table_format)f))) {
            *out = (kua__table_format)f;
            return KUA_OK;
        }
    }
    return kua__table_format_of(path, out);
}

kua__time_format kua__mapping_time_format(const kua__mapping *mapping)
{
    assert(mapping);
    return mapping->time_format;
}

/* Other words for the types, as the well-known data sets have them. */
static bool usual_type(const char *word, size_t n, uint8_t *out)
{
    static const struct {
        const char *word;
        kua__event_type type;
    } known[] = {
        {"buy", KUA__EVENT_PURCHASE},    {"order", KUA__EVENT_PURCHASE},
        {"sale", KUA__EVENT_PURCHASE},   {"transaction", KUA__EVENT_PURCHASE},
        {"pv", KUA__EVENT_VIEW},         {"read", KUA__EVENT_VIEW},
        {"addtocart", KUA__EVENT_CART},  {"add_to_cart", KUA__EVENT_CART},
        {"clicks", KUA__EVENT_CLICK},    {"carts", KUA__EVENT_CART},
        {"orders", KUA__EVENT_PURCHASE},
    };
    for (size_t i = 0; i < KUA__COUNT(known); i++) {
        if (strlen(known[i].word) == n && memcmp(known[i].word, word, n) == 0) {
            *out = (uint8_t)known[i].type;
            return true;
        }
    }
    return false;
}

bool kua__mapping_type(const kua__mapping *mapping, const char *word, size_t n, uint8_t *out)
{
    assert(mapping && (word || n == 0) && out);
    const json_t *types = json_object_get(section_of(mapping, KUA__SECTION_EVENTS), "types");
    const json_t *type = types ? json_object_getn(types, word, n) : NULL;
    if (type) return kua__event_type_parse(json_string_value(type), json_string_length(type), out);
    return kua__event_type_parse(word, n, out) || usual_type(word, n, out);
}

/* ---- binding ---- */

static kua_status bind_column(kua__table *table, const role_info *info, const char *name,
                              kua__source_columns *out)
{
    assert(out->n < KUA__SOURCE_COLUMNS_MAX);
    kua_status st = kua__table_want(table, name, &out->column[out->n]);
    if (st) {
        return st == KUA_FORMAT
                   ? kua__fail_prefix(st, "%s.%s", section_names[info->section], info->key)
                   : st;
    }
    if (info->role == KUA__ROLE_CATEGORY) {
        KUA__TRY(kua__table_joiner(table, out->column[out->n], " > "));
    }
    out->n++;
    return KUA_OK;
}

static kua_status bind_mapped(kua__table *table, const role_info *info, const json_t *value,
                              kua__source_columns *out)
{
    const char *text = json_string_value(value);
    if (text && *text == '=') {
        out->constant = text + 1;
        return KUA_OK;
    }
    if (text) {
        return bind_column(table, info, text, out);
    }
    size_t i;
    json_t *element;
    json_array_foreach(value, i, element)
    {
        KUA__TRY(bind_column(table, info, json_string_value(element), out));
    }
    return KUA_OK;
}

/* A single-valued role takes the first of its usual names that the header has: they stand in order
 * of preference. */
static kua_status bind_usual(kua__table *table, const role_info *info, kua__source_columns *out)
{
    for (size_t i = 0; i < KUA__COUNT(info->usual) && info->usual[i]; i++) {
        if (kua__table_has(table, info->usual[i])) {
            KUA__TRY(bind_column(table, info, info->usual[i], out));
            if (!info->list) {
                break;
            }
        }
    }
    return KUA_OK;
}

static kua_status bind_role(const json_t *given, const role_info *info, kua__table *table,
                            kua__source_columns *out)
{
    const json_t *value = json_object_get(given, info->key);
    if (!value && info->synonym) {
        value = json_object_get(given, info->synonym);
    }
    KUA__TRY(value ? bind_mapped(table, info, value, out) : bind_usual(table, info, out));
    assert(out->n <= KUA__SOURCE_COLUMNS_MAX);
    if (info->required && out->n == 0) {
        return kua__fail(KUA_FORMAT,
                         "%s:1: no column for %s.%s; a mapping tells which it is "
                         "(usual names: %s, %s, ...)",
                         kua__table_name(table), section_names[info->section], info->key,
                         info->usual[0], info->usual[1]);
    }
    return KUA_OK;
}

static void append(kua__source_columns *to, const kua__source_columns *from)
{
    for (size_t i = 0; i < from->n && to->n < KUA__SOURCE_COLUMNS_MAX; i++) {
        to->column[to->n++] = from->column[i];
    }
}

/* Where a mapping tells name, brand or category but not the text, they are the text. */
static void bind_text(const json_t *given, kua__binding *out)
{
    kua__source_columns *text = &out->role[KUA__ROLE_TEXT];
    if (json_object_get(given, "text")) {
        return;
    }
    *text = (kua__source_columns){0};
    append(text, &out->role[KUA__ROLE_NAME]);
    append(text, &out->role[KUA__ROLE_BRAND]);
    append(text, &out->role[KUA__ROLE_CATEGORY]);
}

kua_status kua__mapping_bind(const kua__mapping *mapping, kua__section section, kua__table *table,
                             kua__binding *out)
{
    assert(mapping && table && out && section < KUA__SECTIONS);
    const json_t *given = section_of(mapping, section);
    *out = (kua__binding){0};
    for (size_t i = 0; i < KUA__COUNT(roles); i++) {
        if (roles[i].section == section) {
            KUA__TRY(bind_role(given, &roles[i], table, &out->role[roles[i].role]));
        }
    }
    if (section == KUA__SECTION_ITEMS) {
        bind_text(given, out);
    }
    return KUA_OK;
}

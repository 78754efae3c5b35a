/* mapping.c - finds the columns of a file: by the mapping, else by the names that people use. */
#include "data/mapping.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"

typedef struct role_info {
    const char *name;
    const char *section; /* "items", "events" or "users" */
    bool required;
    const char *usual[8]; /* names tried in this order */
} role_info;

static const role_info roles_of_items[] = {
    [KUA__ROLE_ITEM] = {"item",
                        "items",
                        true,
                        {"item_id", "item", "product_id", "ItemId", "id", "asin", "sku"}},
    [KUA__ROLE_DOMAIN] = {"domain", "items", false, {"domain", "department"}},
    [KUA__ROLE_NAME] = {"name",
                        "items",
                        false,
                        {"title", "name", "product_name", "movie_title", "Comment"}},
    [KUA__ROLE_CATEGORY] = {"category",
                            "items",
                            false,
                            {"categories", "category", "Categories", "class", "genre"}},
    [KUA__ROLE_TEXT] = {"text", "items", false, {NULL}},
    [KUA__ROLE_PRICE] = {"price", "items", false, {"price"}},
};

static const role_info roles_of_events[] = {
    [KUA__ROLE_ITEM] = {"item",
                        "events",
                        true,
                        {"item_id", "item", "product_id", "ItemId", "asin", "sku"}},
    [KUA__ROLE_USER] = {"user",
                        "events",
                        true,
                        {"user_id", "user", "household_id", "UserId", "customer_id"}},
    [KUA__ROLE_TIME] = {"time", "events", false, {"timestamp", "time", "Timestamp", "date"}},
    [KUA__ROLE_VALUE] = {"value", "events", false, {"rating", "value", "quantity"}},
    [KUA__ROLE_TYPE] = {"type", "events", false, {"type", "event_type", "FeedbackType"}},
    [KUA__ROLE_HISTORY] = {"history", "events", false, {"item_id_list"}},
};

static const role_info roles_of_users[] = {
    [KUA__ROLE_USER] = {"user",
                        "users",
                        true,
                        {"user_id", "user", "household_id", "UserId", "customer_id"}},
};

static const role_info *section_roles(const char *section, size_t *n)
{
    if (kua__streq(section, "items")) return *n = KUA__COUNT(roles_of_items), roles_of_items;
    if (kua__streq(section, "events")) return *n = KUA__COUNT(roles_of_events), roles_of_events;
    assert(kua__streq(section, "users"));
    return *n = KUA__COUNT(roles_of_users), roles_of_users;
}

/* ---- the mapping file
 * --------------------------------------------------------------------------------------------------
 */

static bool is_name_or_names(const json_t *value)
{
    if (json_is_string(value)) return true;
    if (!json_is_array(value) || json_array_size(value) > KUA__PARTS_MAX) return false;
    size_t i;
    json_t *element;
    json_array_foreach(value, i, element)
    {
        if (!json_is_string(element)) return false;
    }
    return true;
}

kua_status kua__mapping_check(const char *name, const json_t *mapping)
{
    static const char *const sections[] = {"items", "events", "users"};
    if (!json_is_object(mapping))
        return kua__fail(KUA_FORMAT, "%s: the mapping is not a JSON object", name);
    for (size_t s = 0; s < KUA__COUNT(sections); s++) {
        const json_t *section = json_object_get(mapping, sections[s]);
        if (!section) continue;
        if (!json_is_object(section))
            return kua__fail(KUA_FORMAT, "%s: %s is not an object", name, sections[s]);
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)section, key, value)
        {
            if (!is_name_or_names(value)) {
                return kua__fail(
                    KUA_FORMAT,
                    "%s: %s.%s is not a column's name, a list of at most %d names, or \"=WORD\"",
                    name, sections[s], key, KUA__PARTS_MAX);
            }
        }
    }
    return KUA_OK;
}

kua_status kua__mapping_load(const char *path, json_t **out)
{
    *out = NULL;
    if (!path) {
        *out = json_object();
        return *out ? KUA_OK : kua__fail_nomem(64, "a mapping");
    }
    KUA__TRY(kua__json_load(path, out));
    kua_status st = kua__mapping_check(path, *out);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

/* ---- binding
 * --------------------------------------------------------------------------------------------------------------
 */

static kua_status no_column(const kua__reader *r, const char *section, const char *role,
                            const char *name)
{
    kua__buf have = {0};
    for (size_t c = 0; c < kua__reader_columns(r); c++) {
        kua__buf_printf(&have, "%s%s", c ? ", " : "", kua__reader_column_name(r, c));
    }
    kua_status st =
        kua__fail(KUA_FORMAT, "%s: no column '%s' for %s.%s; the file has: %.500s",
                  kua__reader_name(r), name, section, role, have.len ? have.data : "none");
    kua__buf_release(&have);
    return st;
}

static kua_status bind_column(kua__reader *r, const char *section, const char *role,
                              const char *name, kua__binding *out)
{
    int column = kua__reader_column(r, name);
    if (column < 0) return no_column(r, section, role, name);
    out->column[out->n_columns++] = column;
    return KUA_OK;
}

static kua_status bind_mapped(kua__reader *r, const char *section, const char *role,
                              const json_t *value, kua__binding *out)
{
    const char *text = json_string_value(value);
    if (text && *text == '=') {
        out->constant = text + 1;
        return KUA_OK;
    }
    if (text) return bind_column(r, section, role, text, out);
    size_t i;
    json_t *element;
    json_array_foreach(value, i, element)
    {
        KUA__TRY(bind_column(r, section, role, json_string_value(element), out));
    }
    return KUA_OK;
}

static bool is_json_lines(const kua__reader *r)
{
    return kua__has_suffix(kua__reader_name(r), ".jsonl");
}

/* By usual names: the first that the file has. JSON Lines have no header, so every name is taken,
 * and the first member that a row has is used; names are joined, and a row normally has one of
 * them. */
static void bind_usual(kua__reader *r, const role_info *info, kua__binding *out)
{
    for (size_t i = 0; i < KUA__COUNT(info->usual) && info->usual[i]; i++) {
        int column = kua__reader_column(r, info->usual[i]);
        if (column < 0) continue;
        out->column[out->n_columns++] = column;
        if (!is_json_lines(r)) return;
    }
}

kua_status kua__mapping_bind(const json_t *mapping, const char *section, kua__reader *reader,
                             kua__bindings *out)
{
    size_t n = 0;
    const role_info *roles = section_roles(section, &n);
    const json_t *given = json_object_get(mapping, section);
    *out = (kua__bindings){0};
    for (size_t i = 0; i < n; i++) {
        if (!roles[i].name) continue;
        kua__binding *binding = &out->role[i];
        const json_t *value = json_object_get(given, roles[i].name);
        if (value) {
            KUA__TRY(bind_mapped(reader, section, roles[i].name, value, binding));
        } else {
            bind_usual(reader, &roles[i], binding);
        }
        if (roles[i].required && !binding->n_columns) {
            return no_column(reader, section, roles[i].name, roles[i].usual[0]);
        }
    }
    return KUA_OK;
}

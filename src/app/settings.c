/* settings.c - one table makes the defaults, the checks and the list that --help shows. */
#include "app/settings.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

static const struct {
    const char *name;
    double fallback, low, high;
    bool whole;
    const char *what;
} table[KUA__APP_SETTINGS] = {
#define X(id, name, fallback, low, high, whole, what) {name, fallback, low, high, whole, what},
    KUA__APP_SETTING_MAP(X)
#undef X
};

static int find(const char *name)
{
    for (int i = 0; i < KUA__APP_SETTINGS; i++)
        if (kua__streq(table[i].name, name)) return i;
    return -1;
}

static kua_status take(const char *name, const json_t *json, kua__app_settings *out)
{
    int i = find(name);
    if (i < 0) return kua__fail(KUA_INVALID, "settings: there is no '%.60s'", name);
    double value = json_is_boolean(json) ? json_is_true(json) : json_number_value(json);
    bool number = json_is_number(json) || json_is_boolean(json);
    if (!number || !(value >= table[i].low && value <= table[i].high) ||
        (table[i].whole && value != floor(value)))
        return kua__fail(KUA_INVALID, "settings: %s is not %s from %g to %g", name,
                         table[i].whole ? "a whole number" : "a number", table[i].low,
                         table[i].high);
    out->value[i] = value;
    return KUA_OK;
}

kua_status kua__app_settings_parse(const char *json, kua__app_settings *out)
{
    assert(out);
    for (int i = 0; i < KUA__APP_SETTINGS; i++)
        out->value[i] = table[i].fallback;
    if (!json) return KUA_OK;
    json_t *object = NULL;
    KUA__TRY(kua__json_parse("settings", json, strlen(json), &object));
    kua_status st = json_is_object(object)
                        ? KUA_OK
                        : kua__fail(KUA_INVALID, "settings: expected a JSON object");
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (!st) st = take(name, value, out);
    }
    json_decref(object);
    return st;
}

json_t *kua__app_settings_list(void)
{
    json_t *list = json_array();
    for (int i = 0; i < KUA__APP_SETTINGS; i++)
        json_array_append_new(list, json_pack("{s:s, s:f, s:f, s:f, s:s}", "name", table[i].name,
                                              "default", table[i].fallback, "low", table[i].low,
                                              "high", table[i].high, "what", table[i].what));
    return list;
}

json_t *kua__app_settings_json(const kua__app_settings *s)
{
    json_t *object = json_object();
    for (int i = 0; i < KUA__APP_SETTINGS; i++)
        json_object_set_new(object, table[i].name, json_real(s->value[i]));
    return object;
}

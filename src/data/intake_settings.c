/* data/intake_settings.c - the import's settings, from JSON with every name and value checked.
 *
 * A name that is unknown is an error and not ignored: a misspelt "bot_event_per_day" would else
 * import what the user meant to keep out, and say nothing. The defaults stand here and in
 * data/intake.h, which says what each means.
 */
#include <assert.h>
#include <time.h>

#include "base/json.h"
#include "data/intake_private.h"

static const char name[] = "import settings";

static const char *const known[] = {
    "max_bad_share",      "unknown_items", "duplicates",  "bot_events_per_hour",
    "bot_events_per_day", "k_core",        "latest_time",
};

static kua_status check_names(const json_t *json)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json)) {
        return kua__fail(KUA_INVALID, "%s: expected a JSON object", name);
    }
    json_object_foreach((json_t *)json, key, value)
    {
        bool found = false;
        for (size_t i = 0; i < KUA__COUNT(known); i++) {
            found |= kua__streq(key, known[i]);
        }
        if (!found) {
            return kua__fail(KUA_INVALID,
                             "%s: '%.60s' is unknown, expected max_bad_share, unknown_items, "
                             "duplicates, bot_events_per_hour, bot_events_per_day, k_core, "
                             "latest_time",
                             name, key);
        }
    }
    return KUA_OK;
}

static kua_status read_unknown(const json_t *json, kua__intake_settings *out)
{
    const char *word;
    KUA__TRY(kua__json_string_or(name, json, "unknown_items", "auto", &word));
    out->auto_unknown = kua__streq(word, "auto");
    out->create_unknown = kua__streq(word, "create");
    if (!out->auto_unknown && !out->create_unknown && !kua__streq(word, "drop")) {
        return kua__fail(KUA_FORMAT, "%s: unknown_items is '%.60s', expected auto, drop or create",
                         name, word);
    }
    KUA__TRY(kua__json_string_or(name, json, "duplicates", "drop", &word));
    out->keep_duplicates = kua__streq(word, "keep");
    if (!out->keep_duplicates && !kua__streq(word, "drop")) {
        return kua__fail(KUA_FORMAT, "%s: duplicates is '%.60s', expected drop or keep", name,
                         word);
    }
    return KUA_OK;
}

static kua_status read_latest(const json_t *json, int64_t *out)
{
    const json_t *value = json_object_get(json, "latest_time");
    if (json_is_string(value)) {
        return kua__parse_date(json_string_value(value), json_string_length(value), out)
                   ? KUA_OK
                   : kua__fail(KUA_FORMAT, "%s: latest_time is '%.60s', expected a date", name,
                               json_string_value(value));
    }
    return kua__json_int_or(name, json, "latest_time", 0, INT64_MAX, (int64_t)time(NULL) + 86400,
                            out); /* one day of grace: clocks and time zones of shops differ */
}

static kua_status read_all(const json_t *json, kua__intake_settings *out)
{
    if (json) {
        KUA__TRY(check_names(json));
    }
    KUA__TRY(kua__json_real_or(name, json, "max_bad_share", 0, 1, .01, &out->max_bad_share));
    KUA__TRY(read_unknown(json, out));
    KUA__TRY(kua__json_int_or(name, json, "bot_events_per_hour", 0, INT32_MAX, 0,
                              &out->bot_events_per_hour));
    KUA__TRY(kua__json_int_or(name, json, "bot_events_per_day", 0, INT32_MAX, 5000,
                              &out->bot_events_per_day));
    KUA__TRY(kua__json_int_or(name, json, "k_core", 0, 1000000, 0, &out->k_core));
    return read_latest(json, &out->latest_time);
}

kua_status kua__intake_settings_read(const json_t *json, kua__intake_settings *out)
{
    assert(out);
    kua_status st = read_all(json, out);
    return st == KUA_FORMAT ? KUA_INVALID : st; /* what a caller gave, not a file */
}

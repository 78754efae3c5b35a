/* rec.c - the list of recommenders, their settings, and the steps that are the same for all. */
#include "rec/rec.h"

#include <assert.h>

#include "base/json.h"
#include "rec/recommenders.h"
#include "rec/sequence.h"

const kua__rec_ops *const kua__rec_all[] = {
    &kua__rec_popularity, &kua__rec_repeat, &kua__rec_itemknn, &kua__rec_userknn, &kua__rec_ease, &kua__rec_textknn,
    &kua__rec_sequence,   NULL,
};

const kua__rec_ops *kua__rec_find(const char *name)
{
    for (size_t i = 0; kua__rec_all[i]; i++) {
        if (kua__streq(kua__rec_all[i]->name, name)) return kua__rec_all[i];
    }
    return NULL;
}

/* ---- settings ---------------------------------------------------------------------------------------------------------- */

static kua_status unknown_setting(const kua__rec_ops *ops, const json_t *known, const char *key)
{
    kua__buf names = {0};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)known, name, value) {
        kua__buf_printf(&names, "%s%s", names.len ? ", " : "", name);
    }
    kua_status st = kua__fail(KUA_INVALID, "%s has no setting '%s'; it has: %s", ops->name, key, names.len ? names.data : "none");
    kua__buf_release(&names);
    return st;
}

/* Numbers for numbers and for "auto", booleans for booleans, texts for texts. */
static bool fits(const json_t *fallback, const json_t *given)
{
    if (json_is_number(fallback)) return json_is_number(given);
    if (json_is_boolean(fallback)) return json_is_boolean(given);
    if (kua__streq(json_string_value(fallback), "auto")) return json_is_number(given) || kua__streq(json_string_value(given) ? json_string_value(given) : "", "auto");
    return json_is_string(given);
}

static kua_status wrong_kind(const kua__rec_ops *ops, const char *key, const json_t *fallback, const json_t *given)
{
    char *have = json_dumps(given, JSON_ENCODE_ANY), *want = json_dumps(fallback, JSON_ENCODE_ANY);
    kua_status st = kua__fail(KUA_INVALID, "%s: setting %s is %s, expected something like %s", ops->name, key, have ? have : "?", want ? want : "?");
    kua__free(have);
    kua__free(want);
    return st;
}

static kua_status complete_settings(const kua__rec_ops *ops, const json_t *given, json_t **out)
{
    json_t *known = NULL, *value;
    const char *key;
    KUA__TRY(kua__json_parse(ops->name, ops->settings, strlen(ops->settings), &known));
    json_t *all = json_object();
    kua_status st = all ? KUA_OK : kua__fail_nomem(64, "settings");
    json_object_foreach(known, key, value) {
        json_object_set(all, key, json_array_get(value, 0));
    }
    json_object_foreach((json_t *)given, key, value) {
        const json_t *fallback = json_object_get(all, key);
        if (!st && !fallback) st = unknown_setting(ops, known, key);
        if (!st && !fits(fallback, value)) st = wrong_kind(ops, key, fallback, value);
        if (!st) json_object_set(all, key, value);
    }
    json_decref(known);
    if (st) json_decref(all);
    else *out = all;
    return st;
}

/* ---- the interface ------------------------------------------------------------------------------------------------------- */

kua_status kua__rec_create_from(const kua__rec_ops *ops, const json_t *settings, kua__rec **out)
{
    *out = NULL;
    json_t *all = NULL;
    KUA__TRY(complete_settings(ops, settings, &all));
    kua_status st = ops->create(all, out);
    json_decref(all);
    return st;
}

kua_status kua__rec_create(const char *name, const json_t *settings, kua__rec **out)
{
    const kua__rec_ops *ops = kua__rec_find(name);
    *out = NULL;
    return ops ? kua__rec_create_from(ops, settings, out) : kua__fail(KUA_INVALID, "no recommender '%s'", name);
}

kua_status kua__rec_fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    assert(world->train.log == world->valid.log);
    return rec->ops->fit(rec, world, monitor);
}

kua_status kua__rec_score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    return rec->ops->score(rec, queries, n, scores);
}

void kua__rec_free(kua__rec *rec)
{
    if (rec) rec->ops->free(rec);
}

kua__history kua__cut_history(const kua__cut *cut, uint32_t user)
{
    const kua__log *log = cut->log;
    size_t first = log->user_at[user];
    assert(user < log->n_users && cut->end[user] >= first);
    return (kua__history){log->item + first, log->time + first, log->type + first, cut->end[user] - first};
}

/* rec.c - the list of recommenders, their settings, and the steps that are the same for all.
 *
 * A recommender describes its settings as JSON, {"name": [default, "meaning"]}: the command's
 * --help prints it, and what a user gives is checked against it here, so that no recommender ever
 * sees a setting that is missing, unknown or of the wrong kind. The default "auto" stands for a
 * number that is chosen on validation.
 */
#include "rec/rec.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "rec/recommenders.h"
#include "rec/sequence.h"

const kua__rec_ops *const kua__rec_all[] = {
    &kua__rec_popularity, &kua__rec_repeat,   &kua__rec_itemknn,
    &kua__rec_userknn,    &kua__rec_ease,     &kua__rec_textknn,
    &kua__rec_crossknn,   &kua__rec_sequence, NULL,
};

const kua__rec_ops *kua__rec_find(const char *name)
{
    assert(name);
    for (size_t i = 0; kua__rec_all[i]; i++) {
        if (kua__streq(kua__rec_all[i]->name, name)) return kua__rec_all[i];
    }
    return NULL;
}

/* ---- settings ---- */

/* Fails with `problem` and the names that exist; frees `names`. */
static kua_status fail_with_names(kua__buf *names, const char *problem, const char *subject,
                                  const char *value)
{
    kua_status st = kua__buf_status(names);
    if (!st)
        st = kua__fail(KUA_INVALID, "%s: %s '%s'; there are: %s", subject, problem, value,
                       names->len ? names->data : "none");
    kua__buf_release(names);
    return st;
}

static kua_status unknown_setting(const kua__rec_ops *ops, const json_t *known, const char *key)
{
    kua__buf names = {0};
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)known, name, value)
    {
        kua__buf_printf(&names, "%s%s", names.len ? ", " : "", name);
    }
    return fail_with_names(&names, "no setting", ops->name, key);
}

static kua_status unknown_recommender(const char *name)
{
    kua__buf names = {0};
    for (size_t i = 0; kua__rec_all[i]; i++)
        kua__buf_printf(&names, "%s%s", i ? ", " : "", kua__rec_all[i]->name);
    return fail_with_names(&names, "no recommender", "model", name);
}

static bool is_auto(const json_t *value)
{
    return json_is_string(value) && kua__streq(json_string_value(value), "auto");
}

/* Numbers for numbers and for "auto", and the same kind for everything else. */
static bool fits(const json_t *fallback, const json_t *given)
{
    if (is_auto(fallback)) return json_is_number(given) || is_auto(given);
    if (json_is_number(fallback)) return json_is_number(given);
    if (json_is_boolean(fallback)) return json_is_boolean(given);
    return json_typeof(fallback) == json_typeof(given);
}

static kua_status wrong_kind(const kua__rec_ops *ops, const char *key, const json_t *fallback,
                             const json_t *given)
{
    char *have = json_dumps(given, JSON_ENCODE_ANY);
    const char *want = json_is_boolean(fallback) ? "true or false" : "a text";
    if (json_is_number(fallback)) want = "a number";
    if (json_is_object(fallback)) want = "an object";
    if (is_auto(fallback)) want = "a number or \"auto\"";
    kua_status st = kua__fail(KUA_INVALID, "%s: setting %s is %s, expected %s", ops->name, key,
                              have ? have : "unprintable", want);
    kua__free(have);
    return st;
}

/* all := the defaults, then what is given over them. */
static kua_status fill_settings(const kua__rec_ops *ops, const json_t *known, const json_t *given,
                                json_t *all)
{
    json_t *value;
    const char *key;
    json_object_foreach((json_t *)known, key, value)
    {
        assert(json_array_size(value) == 2 && "settings are [default, meaning]");
        if (json_object_set(all, key, json_array_get(value, 0)))
            return kua__fail_nomem(64, "settings");
    }
    json_object_foreach((json_t *)given, key, value)
    {
        const json_t *fallback = json_object_get(all, key);
        if (!fallback) return unknown_setting(ops, known, key);
        if (!fits(fallback, value)) return wrong_kind(ops, key, fallback, value);
        if (json_object_set(all, key, value)) return kua__fail_nomem(64, "settings");
    }
    return KUA_OK;
}

static kua_status complete_settings(const kua__rec_ops *ops, const json_t *given, json_t **out)
{
    json_t *known = NULL, *all = NULL;
    KUA__TRY(kua__json_parse(ops->name, ops->settings, strlen(ops->settings), &known));
    all = json_object();
    kua_status st = all ? fill_settings(ops, known, given, all) : kua__fail_nomem(64, "settings");
    json_decref(known);
    if (st) json_decref(all);
    *out = st ? NULL : all;
    return st;
}

/* ---- the interface ---- */

kua_status kua__rec_create_from(const kua__rec_ops *ops, const json_t *settings, kua__rec **out)
{
    assert(ops && (!settings || json_is_object(settings)));
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
    return ops ? kua__rec_create_from(ops, settings, out) : unknown_recommender(name);
}

kua_status kua__rec_fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    assert(world->train.log && world->train.log == world->valid.log);
    assert(world->n_sources == 0 || world->sources);
    return rec->ops->fit(rec, world, monitor);
}

kua_status kua__rec_fitted(const kua__rec_ops *ops, const json_t *settings, const kua__world *world,
                           const kua_monitor *monitor, kua__rec **out)
{
    KUA__TRY(kua__rec_create_from(ops, settings, out));
    kua_status st = kua__rec_fit(*out, world, monitor);
    if (st) {
        kua__rec_free(*out);
        *out = NULL;
    }
    return st;
}

kua_status kua__rec_score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    assert(rec->n_items && (n == 0 || (queries && scores)));
    return rec->ops->score(rec, queries, n, scores);
}

void kua__rec_free(kua__rec *rec)
{
    if (rec) rec->ops->free(rec);
}

kua__history kua__cut_history(const kua__cut *cut, uint32_t user)
{
    const kua__log *log = cut->log;
    assert(user < log->n_users);
    size_t first = log->user_at[user];
    assert(cut->end[user] >= first && cut->end[user] <= log->user_at[user + 1]);
    return (kua__history){log->item + first, log->time + first, log->type + first,
                          cut->end[user] - first};
}

kua__query kua__cut_query(const kua__cut *cut, const kua__source *sources, size_t n_sources,
                          uint32_t user, int64_t now, kua__history *room)
{
    assert(room || n_sources == 0);
    for (size_t s = 0; s < n_sources; s++)
        room[s] = kua__cut_history(&sources[s].cut, user);
    return (kua__query){.user = user,
                        .now = now,
                        .target = kua__cut_history(cut, user),
                        .sources = n_sources ? room : NULL};
}

/* sequence_partner.c - the simple recommender whose scores are mixed into the network's.
 *
 * A network that reads the order of the last events and a count of who bought what together are
 * right about different items: of all that was tried on the research splits, mixing the two gave
 * the largest gain. The weight is chosen on validation, so a partner that is of no use gets 0. What
 * the partner itself mixes in for items bought before is switched off: the repeat term does that
 * here.
 *
 * In a model's folder the partner has a folder of its own, partner/.
 */
#include "base/json.h"
#include "rec/sequence_model.h"
#include "tensor/kernels.h"

static const char *name_of(const kua__sequence *s)
{
    const char *name = json_string_value(json_object_get(s->rec.settings, "partner"));
    return kua__streq(name, "none") ? NULL : name;
}

/* The setting partner_settings, with the repeat term off where there is one. */
static kua_status settings_of(const kua__sequence *s, const kua__rec_ops *ops, json_t **out)
{
    const char *text = json_string_value(json_object_get(s->rec.settings, "partner_settings"));
    text = text && *text ? text : "{}";
    KUA__TRY(kua__json_parse("partner_settings", text, strlen(text), out));
    json_t *known = NULL;
    kua_status st = kua__json_parse(ops->name, ops->settings, strlen(ops->settings), &known);
    if (!st && json_object_get(known, "again") &&
        json_object_set_new(*out, "again", json_integer(0)))
        st = kua__fail_nomem(1, "settings");
    json_decref(known);
    return st;
}

kua_status kua__partner_fit(kua__sequence *s, const kua__world *world, const kua_monitor *monitor)
{
    json_t *settings = NULL;
    if (!name_of(s)) return KUA_OK;
    const kua__rec_ops *ops = kua__rec_find(name_of(s));
    kua_status st = settings_of(s, ops, &settings);
    if (!st) st = kua__rec_create_from(ops, settings, &s->partner);
    if (!st) st = kua__rec_fit(s->partner, world, monitor);
    json_decref(settings);
    return st;
}

kua_status kua__partner_add(const kua__rec *partner, const kua__query *queries, size_t n,
                            double weight, float *scores)
{
    const kua__kernels *k = kua__kernels_get();
    size_t n_items = partner->n_items;
    float *own = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&own, n * n_items, "scores"));
    kua_status st = kua__rec_score(partner, queries, n, own);
    for (size_t i = 0; i < n && !st; i++) {
        float most = k->max(own + i * n_items, n_items);
        if (most > 0)
            k->axpy(scores + i * n_items, own + i * n_items, (float)weight / most, n_items);
    }
    kua__free(own);
    return st;
}

kua_status kua__partner_save(const kua__sequence *s, const char *folder)
{
    if (!s->partner) return KUA_OK;
    char *path = kua__path_join(folder, "partner");
    kua_status st = path ? kua__make_folders(path) : kua__fail_nomem(1, "a path");
    if (!st) st = s->partner->ops->save(s->partner, path);
    kua__free(path);
    return st;
}

kua_status kua__partner_load(kua__sequence *s, const char *folder, const kua__world *world)
{
    if (!name_of(s)) return KUA_OK;
    char *path = kua__path_join(folder, "partner");
    kua_status st = path ? KUA_OK : kua__fail_nomem(1, "a path");
    if (!st && kua__exists(path)) st = kua__rec_find(name_of(s))->load(path, world, &s->partner);
    kua__free(path);
    return st;
}

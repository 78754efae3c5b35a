/* sequence_partner.c - simple recommenders whose scores are mixed into the network's.
 *
 *     score(j) += sum over partners of weight * p(j) / max over items of p
 *
 * A network that reads the order of the last events, a count of who bought what together, and the
 * likeness of texts are right about different items: of all that was tried on the research splits,
 * mixing them gave the largest gain. The weights are chosen on validation (sequence_mixture.c), and
 * a partner of no use gets 0 and is dropped. What a partner itself adds for items bought before is
 * switched off: the repeat term does that here.
 *
 * Where there are sources, what a user had in them speaks too, through crossknn: the network reads
 * the target's history only.
 *
 * In a model's folder each partner has a folder of its own, partner/NAME.
 */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "rec/recommenders.h"
#include "rec/sequence_model.h"
#include "tensor/kernels.h"

static const char usual[] = "itemknn,textknn,userknn,popularity", across[] = "crossknn";

/* ---- which ---- */

typedef struct names {
    const kua__rec_ops *ops[KUA__PARTNERS_MAX];
    size_t n;
} names;

static bool has(const names *list, const kua__rec_ops *ops)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->ops[i] == ops) return true;
    }
    return false;
}

static kua_status add_name(names *list, const char *text, size_t n)
{
    for (size_t i = 0; kua__rec_all[i]; i++) {
        const kua__rec_ops *ops = kua__rec_all[i];
        if (strlen(ops->name) != n || memcmp(ops->name, text, n) != 0) continue;
        if (ops == &kua__rec_sequence || has(list, ops) || list->n == KUA__PARTNERS_MAX) break;
        list->ops[list->n++] = ops;
        return KUA_OK;
    }
    return kua__fail(KUA_INVALID,
                     "sequence: partners has \"%.*s\", must be usual, none, or up to %d different "
                     "simple recommenders with commas between",
                     (int)n, text, KUA__PARTNERS_MAX);
}

static kua_status read_names(const json_t *settings, bool sources, names *out)
{
    const char *text = json_string_value(json_object_get(settings, "partners"));
    bool as_usual = kua__streq(text, "usual");
    out->n = 0;
    if (!text || kua__streq(text, "none")) return KUA_OK;
    for (const char *at = as_usual ? usual : text;;) {
        size_t n = strcspn(at, ",");
        KUA__TRY(add_name(out, at, n));
        if (!at[n]) break;
        at += n + 1;
    }
    return as_usual && sources ? add_name(out, across, sizeof(across) - 1) : KUA_OK;
}

kua_status kua__partners_check(const json_t *settings)
{
    names list;
    return read_names(settings, false, &list);
}

/* ---- fitting ---- */

/* Sets what this model does itself, where the partner knows such a setting. */
static kua_status switch_off(const kua__rec_ops *ops, json_t *settings)
{
    static const char *const keys[] = {"again", "target_weight"};
    json_t *known = NULL;
    KUA__TRY(kua__json_parse(ops->name, ops->settings, strlen(ops->settings), &known));
    int failed = 0;
    for (size_t i = 0; i < KUA__COUNT(keys); i++) {
        if (json_object_get(known, keys[i]))
            failed |= json_object_set_new(settings, keys[i], json_integer(0));
    }
    json_decref(known);
    return failed ? kua__fail_nomem(1, "settings") : KUA_OK;
}

static kua_status fit_one(const kua__rec_ops *ops, const json_t *given, const kua__world *world,
                          const kua_monitor *monitor, kua__rec **out)
{
    json_t *settings = json_is_object(given) ? kua__json_copy(given) : json_object();
    kua_status st = settings ? switch_off(ops, settings) : kua__fail_nomem(1, "settings");
    if (!st) st = kua__rec_fitted(ops, settings, world, monitor, out);
    json_decref(settings);
    return st;
}

/* Needs what this world lacks. */
static bool is_idle(const kua__rec_ops *ops, const kua__world *world)
{
    return (ops == &kua__rec_textknn && !world->side.vector) ||
           (ops == &kua__rec_crossknn && world->n_sources == 0);
}

kua_status kua__partners_fit(kua__sequence *s, const kua__world *world, const kua_monitor *monitor)
{
    const json_t *weights = json_object_get(s->rec.settings, "partner_weights");
    const json_t *settings = json_object_get(s->rec.settings, "partner_settings");
    names list;
    KUA__TRY(read_names(s->rec.settings, world->n_sources > 0, &list));
    s->weights_given = json_object_size(weights) > 0;
    for (size_t i = 0; i < list.n; i++) {
        const kua__rec_ops *ops = list.ops[i];
        double weight = json_number_value(json_object_get(weights, ops->name));
        if ((s->weights_given && weight <= 0) || is_idle(ops, world)) continue;
        kua__partner *p = &s->partner[s->n_partners++];
        p->weight = weight;
        KUA__TRY(fit_one(ops, json_object_get(settings, ops->name), world, monitor, &p->rec));
    }
    return KUA_OK;
}

void kua__partners_drop_idle(kua__sequence *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->n_partners; i++) {
        if (s->partner[i].weight > 0)
            s->partner[kept++] = s->partner[i];
        else
            kua__rec_free(s->partner[i].rec);
    }
    s->n_partners = kept;
}

/* ---- scoring ---- */

kua_status kua__partner_scores(const kua__rec *partner, const kua__query *queries, size_t n,
                               float *out)
{
    const kua__kernels *k = kua__kernels_get();
    size_t n_items = partner->n_items;
    KUA__TRY(kua__rec_score(partner, queries, n, out));
    for (size_t i = 0; i < n; i++) {
        float most = k->max(out + i * n_items, n_items);
        k->scale(out + i * n_items, out + i * n_items, most > 0 ? 1 / most : 0, n_items);
    }
    return KUA_OK;
}

kua_status kua__partners_add(const kua__sequence *s, const kua__query *queries, size_t n,
                             float *scores)
{
    const kua__kernels *k = kua__kernels_get();
    float *own = NULL;
    if (s->n_partners == 0) return KUA_OK;
    KUA__TRY(KUA__NEW_ARRAY(&own, n * s->rec.n_items, "scores"));
    kua_status st = KUA_OK;
    for (size_t p = 0; p < s->n_partners && !st; p++) {
        st = kua__partner_scores(s->partner[p].rec, queries, n, own);
        if (!st) k->axpy(scores, own, (float)s->partner[p].weight, n * s->rec.n_items);
    }
    kua__free(own);
    return st;
}

/* ---- what was chosen, and files ---- */

kua_status kua__partners_weights(const kua__sequence *s, json_t **out)
{
    json_t *weights = json_object();
    bool failed = !weights;
    for (size_t i = 0; i < s->n_partners && !failed; i++)
        failed = json_object_set_new(weights, s->partner[i].rec->ops->name,
                                     json_real(s->partner[i].weight)) != 0;
    if (failed) json_decref(weights);
    *out = failed ? NULL : weights;
    return failed ? kua__fail_nomem(1, "weights of partners") : KUA_OK;
}

/* A path below the model's folder, owned; NULL: no memory. */
static char *partner_path(const char *folder, const char *name)
{
    char *all = kua__path_join(folder, "partner"), *path = all ? kua__path_join(all, name) : NULL;
    kua__free(all);
    return path;
}

kua_status kua__partners_save(const kua__sequence *s, const char *folder)
{
    for (size_t i = 0; i < s->n_partners; i++) {
        const kua__rec *rec = s->partner[i].rec;
        char *path = partner_path(folder, rec->ops->name);
        kua_status st = path ? kua__make_folders(path) : kua__fail_nomem(1, "a path");
        if (!st) st = rec->ops->save(rec, path);
        kua__free(path);
        KUA__TRY(st);
    }
    return KUA_OK;
}

kua_status kua__partners_load(kua__sequence *s, const char *folder, const json_t *weights,
                              const kua__world *world)
{
    const char *name;
    json_t *weight;
    names list = {.n = 0};
    json_object_foreach((json_t *)weights, name, weight)
    {
        KUA__TRY(add_name(&list, name, strlen(name)));
        const kua__rec_ops *ops = list.ops[list.n - 1];
        char *path = partner_path(folder, name);
        kua__partner *p = &s->partner[s->n_partners++];
        p->weight = json_number_value(weight);
        assert(ops);
        kua_status st = path ? ops->load(path, world, &p->rec) : kua__fail_nomem(1, "a path");
        kua__free(path);
        KUA__TRY(st);
    }
    return KUA_OK;
}

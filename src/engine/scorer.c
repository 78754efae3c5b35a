/* scorer.c - loading what answers questions, and sending each question to the model that the guard
 * allows.
 *
 *     question of user u --verdict--> transfer is allowed for u's slices?  yes: rec   no: other
 *
 * `other` is loaded only where the verdict switches anybody off. Both are asked in batches: the
 * transferred model everything, the other what the verdict keeps from it, whose rows are then
 * written over.
 */
#include "engine/scorer.h"

#include <assert.h>
#include <string.h>

#include "transfer/transfer.h"

static uint64_t seed_of(const kua__kept *model, size_t k)
{
    const json_t *seeds = json_object_get(json_object_get(model->row, "record"), "seeds");
    return (uint64_t)json_integer_value(json_object_get(json_array_get(seeds, k), "seed"));
}

/* The model of the sources on the new split, where the strategy begins from one. All seeds begin
 * from the same, as in kua_transfer; it is kept in the registry, which is a writer's job. */
static kua_status source_anew(kua_workspace *ws, const kua__kept *model, const kua__stage *stage,
                              const kua__recipe *recipe, kua__rec **out)
{
    json_t *own = NULL;
    *out = NULL;
    if (!recipe->strategy || !recipe->strategy->needs_source) return KUA_OK;
    KUA__TRY(kua__engine_lock(ws));
    KUA__TRY(kua__engine_own_settings(recipe->ops, recipe->settings, &own));
    kua_status st = kua__engine_source(ws, stage, model->sources, own, seed_of(model, 0), out);
    json_decref(own);
    return st;
}

/* A model of another split would have seen this split's test events: it is fitted anew, with the
 * same settings. */
static kua_status fit_anew(kua_workspace *ws, const kua__kept *model, size_t k,
                           const kua__stage *stage, kua__rec **out)
{
    kua__recipe recipe = {
        .kind = model->kind,
        .ops = kua__rec_find(model->kind),
        .strategy = *model->strategy ? kua__strategy_find(model->strategy) : NULL,
        .settings = model->settings,
    };
    if (!recipe.ops)
        return kua__fail(KUA_FORMAT, "model %s: kind '%s' is not known to this version",
                         model->name, model->kind);
    if (*model->strategy && !recipe.strategy)
        return kua__fail(KUA_FORMAT, "model %s: strategy '%s' is not known to this version",
                         model->name, model->strategy);
    kua__rec *source = NULL;
    kua__fitted fitted;
    KUA__TRY(source_anew(ws, model, stage, &recipe, &source));
    recipe.source = source;
    kua_status st = kua__engine_fit(stage, &recipe, seed_of(model, k), NULL, ws->monitor, &fitted);
    kua__rec_free(source);
    if (st) return st;
    *out = fitted.rec;
    fitted.rec = NULL;
    kua__fitted_release(&fitted);
    return KUA_OK;
}

static kua_status open_rec(kua_workspace *ws, const kua__kept *model, size_t k,
                           const kua__stage *stage, const kua__world *world, kua__rec **out)
{
    if (kua__streq(stage->split_text, model->split))
        return kua__kept_load(ws, model, k, world, out);
    return fit_anew(ws, model, k, stage, out);
}

/* Slices of items cannot be switched by user: they are in the verdict to be read. */
static bool switches_somebody_off(const kua__verdict *v)
{
    for (size_t i = 0; i < v->n_slices; i++) {
        if (!kua__slice_is_items(v->slice[i].slice) && !v->slice[i].transfer) return true;
    }
    return !v->transfer;
}

static kua_status open_other(kua_workspace *ws, const kua__kept *model, size_t k,
                             const kua__stage *stage, const kua__world *world,
                             const json_t *verdict, kua__scorer *out)
{
    KUA__TRY(kua__verdict_load(model->name, verdict, &out->verdict));
    if (!switches_somebody_off(&out->verdict)) return KUA_OK;
    const json_t *base = json_object_get(json_object_get(model->row, "record"), "target_only");
    kua__kept other = {0};
    KUA__TRY(kua__kept_open(ws, json_string_value(json_object_get(base, "name")),
                            (int)json_integer_value(json_object_get(base, "version")), &other));
    kua_status st = open_rec(ws, &other, k, stage, world, &out->other);
    kua__kept_release(&other);
    return st;
}

kua_status kua__scorer_open(kua_workspace *ws, const kua__kept *model, size_t k,
                            const kua__stage *stage, const kua__world *world, bool raw,
                            kua__scorer *out)
{
    assert(ws && model && model->row && stage && world && out);
    *out = (kua__scorer){.n_sources = stage->n_sources};
    const json_t *verdict = json_object_get(json_object_get(model->row, "record"), "verdict");
    kua_status st = open_rec(ws, model, k, stage, world, &out->rec);
    if (!st && verdict && !raw) st = open_other(ws, model, k, stage, world, verdict, out);
    if (st) kua__scorer_release(out);
    return st;
}

void kua__scorer_release(kua__scorer *s)
{
    assert(s);
    kua__rec_free(s->rec);
    kua__rec_free(s->other);
    kua__verdict_release(&s->verdict);
    *s = (kua__scorer){0};
}

/* Answers the questions that the verdict keeps from transfer with the other model, in one batch. */
static kua_status score_by_other(const kua__scorer *s, const kua__query *queries,
                                 const uint32_t *kept, size_t n_kept, float *scores)
{
    assert(s->other && s->other->n_items == s->rec->n_items);
    size_t n_items = s->rec->n_items;
    kua__query *batch = NULL;
    float *rows = NULL;
    kua_status st = KUA__NEW_ARRAY(&batch, n_kept, "questions");
    if (!st) st = KUA__NEW_ARRAY(&rows, n_kept * n_items, "scores");
    for (size_t i = 0; !st && i < n_kept; i++)
        batch[i] = queries[kept[i]];
    if (!st) st = kua__rec_score(s->other, batch, n_kept, rows);
    for (size_t i = 0; !st && i < n_kept; i++)
        memcpy(scores + kept[i] * n_items, rows + i * n_items, n_items * sizeof(*rows));
    kua__free(batch);
    kua__free(rows);
    return st;
}

kua_status kua__scorer_score(void *scorer, const kua__query *queries, size_t n, float *scores)
{
    const kua__scorer *s = scorer;
    assert(s && s->rec && (n == 0 || (queries && scores)));
    KUA__TRY(kua__rec_score(s->rec, queries, n, scores));
    if (!s->other) return KUA_OK;
    uint32_t *kept = NULL;
    size_t n_kept = 0;
    KUA__TRY(KUA__NEW_ARRAY(&kept, n, "questions"));
    for (size_t i = 0; i < n; i++) {
        if (!kua__verdict_allows(&s->verdict, kua__slice_user_bits(&queries[i], s->n_sources)))
            kept[n_kept++] = (uint32_t)i;
    }
    kua_status st = n_kept ? score_by_other(s, queries, kept, n_kept, scores) : KUA_OK;
    kua__free(kept);
    return st;
}

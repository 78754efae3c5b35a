/* ease.c - a linear item-to-item model in closed form, with history decay.
 *
 *     P = (X^T X + lambda I)^-1,   B_ij = -P_ij / P_jj,  B_jj = 0,   score(user, j) = sum over history i of weight(i) B_ij
 *
 * Steck, "Embarrassingly shallow autoencoders for sparse data", 2019. X is users x items, 1 where a user had an item.
 * Memory: one items x items matrix of floats; catalogues larger than `max_items` are cut to the items with most users, and
 * the others score 0.
 */
#include <math.h>
#include <stdlib.h>

#include "rec/common.h"
#include "rec/inverse.h"
#include "rec/recommenders.h"

typedef struct ease {
    kua__rec rec;
    double lambda, decay, half_life;
    size_t n, n_b;     /* items of the matrix; n * n */
    uint32_t *item;    /* [n] item numbers */
    uint32_t *place;   /* [rec.n_items] row in the matrix, KUA__NO_ID: none */
    float *b;          /* [n, n] weights; owned, or in `file` */
    float fitted;      /* lambda that b was made with; 0: none */
    kua__safetensors *file;
} ease;

static void release(kua__rec *rec)
{
    ease *e = (ease *)rec;
    kua__free(e->item);
    kua__free(e->place);
    if (e->file) kua__safetensors_close(e->file);
    else kua__free(e->b);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(e);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    ease *e = kua__calloc(1, sizeof(*e));
    if (!e) return kua__fail_nomem(sizeof(*e), "a recommender");
    e->rec = (kua__rec){.ops = &kua__rec_ease, .settings = json_deep_copy(settings), .facts = json_object()};
    *out = &e->rec;
    return KUA_OK;
}

/* ---- which items ------------------------------------------------------------------------------------------------------------ */

static kua_status place_items(ease *e)
{
    KUA__TRY(KUA__NEW_ARRAY(&e->place, e->rec.n_items, "item places"));
    memset(e->place, 0xff, e->rec.n_items * sizeof(*e->place));
    for (size_t i = 0; i < e->n; i++) e->place[e->item[i]] = (uint32_t)i;
    return KUA_OK;
}

static kua_status choose_items(ease *e, const kua__pairs *items)
{
    size_t most = (size_t)kua__setting(&e->rec, "max_items"), largest = 0;
    KUA__TRY(KUA__NEW_ARRAY(&e->item, items->n_rows, "item places"));
    for (size_t i = 0; i < items->n_rows; i++) largest = KUA__MAX(largest, items->at[i + 1] - items->at[i]);
    /* The smallest number of users at which not too many items are left. */
    for (size_t least = 1; least <= largest; least++) {
        e->n = 0;
        for (size_t i = 0; i < items->n_rows; i++) {
            if (items->at[i + 1] - items->at[i] >= least) e->item[e->n++] = (uint32_t)i;
        }
        if (e->n <= most) break;
    }
    e->n_b = e->n * e->n;
    return place_items(e);
}

/* ---- fitting --------------------------------------------------------------------------------------------------------------- */

typedef struct gram_task {
    ease *e;
    const kua__pairs *users, *items;
} gram_task;

static void gram_rows(void *ctx, int thread, size_t first, size_t last)
{
    gram_task *g = ctx;
    (void)thread;
    for (size_t r = first; r < last; r++) {
        float *row = g->e->b + r * g->e->n;
        uint32_t item = g->e->item[r];
        memset(row, 0, g->e->n * sizeof(*row));
        for (size_t k = g->items->at[item]; k < g->items->at[item + 1]; k++) {
            uint32_t user = g->items->col[k];
            for (size_t i = g->users->at[user]; i < g->users->at[user + 1]; i++) {
                uint32_t place = g->e->place[g->users->col[i]];
                if (place != KUA__NO_ID) row[place] += 1;
            }
        }
        row[r] += (float)g->e->lambda;
    }
}

typedef struct weights_task {
    ease *e;
    const float *diagonal; /* of P */
} weights_task;

/* B from P, column by column scaled by its diagonal element, in place. */
static void to_weights(void *ctx, size_t first, size_t last)
{
    weights_task *w = ctx;
    size_t n = w->e->n;
    for (size_t r = first; r < last; r++) {
        float *row = w->e->b + r * n;
        for (size_t c = 0; c < n; c++) row[c] = r == c ? 0 : -row[c] / w->diagonal[c];
    }
}

static kua_status finish_weights(ease *e)
{
    float *diagonal = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&diagonal, e->n, "a diagonal"));
    for (size_t i = 0; i < e->n; i++) diagonal[i] = e->b[i * e->n + i];
    weights_task task = {e, diagonal};
    kua__parallel_for(e->n, 64, to_weights, &task);
    kua__free(diagonal);
    return KUA_OK;
}

static kua_status solve(ease *e, const kua__world *world, const kua_monitor *monitor)
{
    kua__pairs users = {0}, items = {0};
    kua_status st;
    KUA__GOTO(st, kua__pairs_from_cut(&world->train, false, &users));
    KUA__GOTO(st, kua__pairs_transpose(&users, &items));
    if (!e->item) KUA__GOTO(st, choose_items(e, &items));
    if (!e->b) KUA__GOTO(st, KUA__NEW_ARRAY(&e->b, e->n_b, "item weights"));
    gram_task task = {e, &users, &items};
    kua__parallel_chunks(e->n, 32, gram_rows, &task);
    KUA__GOTO(st, kua__inverse_spd(e->b, e->n, monitor));
    st = finish_weights(e);
    e->fitted = (float)e->lambda;
done:
    kua__pairs_release(&users);
    kua__pairs_release(&items);
    return st;
}

static kua_status prepare(kua__rec *rec, const kua__world *world)
{
    ease *e = (ease *)rec;
    return e->b && e->fitted == (float)e->lambda ? KUA_OK : solve(e, world, NULL);
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    ease *e = (ease *)rec;
    bool clock = world->train.log->has_clock;
    /* lambda changes slowest, so that each is solved once */
    kua__tunable tunables[] = {
        {"half_life", &e->half_life, {0, 60, 240}, clock ? 3 : 1, 0, false},
        {"decay", &e->decay, {1, .7, .5}, 3, .7, false},
        {"lambda", &e->lambda, {50, 200}, 2, 50, false},
    };
    rec->n_items = world->train.log->n_items;
    kua__tunables_read(rec, tunables, 3);
    return kua__choose(rec, world, tunables, 3, prepare, monitor);
}

/* ---- scoring ----------------------------------------------------------------------------------------------------------------- */

static kua_status score_one(const ease *e, const kua__query *query, float *row, float *scores)
{
    const kua__history *h = &query->target;
    uint32_t *item = NULL;
    float *weight = NULL;
    kua_status st = KUA__NEW_ARRAY(&item, h->n, "a history");
    if (!st) st = KUA__NEW_ARRAY(&weight, h->n, "a history");
    size_t n = st ? 0 : kua__history_weights(h, e->decay, e->half_life, query->now, item, weight);
    memset(row, 0, e->n * sizeof(*row));
    for (size_t i = 0; i < n; i++) {
        uint32_t place = item[i] < e->rec.n_items ? e->place[item[i]] : KUA__NO_ID;
        const float *b = e->b + (size_t)place * e->n;
        for (size_t c = 0; place != KUA__NO_ID && c < e->n; c++) row[c] += weight[i] * b[c];
    }
    for (size_t c = 0; c < e->n; c++) scores[e->item[c]] = row[c];
    kua__free(item);
    kua__free(weight);
    return st;
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const ease *e = (const ease *)rec;
    float *row = NULL;
    kua_status st = KUA__NEW_ARRAY(&row, e->n, "scores");
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; !st && q < n; q++) st = score_one(e, &queries[q], row, scores + q * rec->n_items);
    kua__free(row);
    return st;
}

/* ---- files: the weights are mapped, not read -------------------------------------------------------------------------------- */

#define SAVED(e)                                                                                   \
    {{"weights", KUA__F32, (void **)&(e)->b, &(e)->n_b}, {"item", KUA__I32, (void **)&(e)->item, &(e)->n}}
#define TUNABLES(e)                                                                                \
    {{.key = "half_life", .value = &(e)->half_life}, {.key = "decay", .value = &(e)->decay}, {.key = "lambda", .value = &(e)->lambda}}

static kua_status save(const kua__rec *rec, const char *folder)
{
    ease *e = (ease *)rec;
    return kua__simple_save(rec, folder, (kua__saved[])SAVED(e), 2, (kua__tunable[])TUNABLES(e), 3);
}

static kua_status map_weights(ease *e, const char *folder)
{
    char *path = kua__path_join(folder, "model.safetensors");
    kua_status st = path ? kua__safetensors_open(path, &e->file) : kua__fail_nomem(0, "a path");
    const kua__tensor *t = st ? NULL : kua__safetensors_find(e->file, "weights");
    e->b = t ? (float *)kua__tensor_f32(t) : NULL;
    if (!st && (!e->b || t->count != e->n_b)) st = kua__fail(KUA_FORMAT, "%s: expected weights of %zu x %zu", path, e->n, e->n);
    kua__free(path);
    return st;
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    (void)world;
    json_t *settings = NULL;
    *out = NULL;
    KUA__TRY(kua__simple_settings(folder, "ease", &settings));
    kua_status st = create(settings, out);
    json_decref(settings);
    ease *e = (ease *)*out;
    kua__saved items[] = {{"item", KUA__I32, (void **)&e->item, &e->n}};
    if (!st) st = kua__simple_load(*out, folder, items, 1, (kua__tunable[])TUNABLES(e), 3);
    for (size_t i = 0; !st && i < e->n; i++) {
        if (e->item[i] >= (*out)->n_items) st = kua__fail(KUA_FORMAT, "%s: item %u of %zu", folder, e->item[i], (*out)->n_items);
    }
    e->n_b = e->n * e->n;
    if (!st) st = place_items(e);
    if (!st) st = map_weights(e, folder);
    if (st && *out) {
        release(*out);
        *out = NULL;
    }
    return st;
}

const kua__rec_ops kua__rec_ease = {
    .name = "ease",
    .summary = "linear item-to-item model in closed form, with history decay",
    .settings = "{\"lambda\": [\"auto\", \"L2 regularisation\"],"
                "\"decay\": [\"auto\", \"weight of a history item per event after it\"],"
                "\"half_life\": [\"auto\", \"days after which a purchase counts half, in place of decay; 0: decay\"],"
                "\"max_items\": [12500, \"items of the matrix, those with most users; memory is 4 bytes times its square\"]}",
    .create = create, .fit = fit, .score = score, .save = save, .load = load, .free = release,
};

/* crossknn.c - the simple transfer: what the target's buyers bought in the sources, by item-to-item cosine.
 *
 *     sim(i, j) = co(i, j) / (sqrt(|i| |j|) + shrink)      i in a source, j in the target, co: users who have both
 *     score(user, j) = sum over sources, over the user's items i there, of weight(i) sim(i, j)
 *                      + own_weight * the same over the user's items in the target itself
 *
 * Every transfer strategy has to beat this row; it needs users whom source and target share.
 */
#include "rec/neighbours.h"
#include "transfer/transfer.h"

enum { SOURCES_MAX = 16, NEIGHBOURS = 200 };

typedef struct crossknn {
    kua__rec rec;
    double decay, half_life, own_weight;
    size_t n_sources;
    kua__neighbours own, source[SOURCES_MAX];
} crossknn;

static void release(kua__rec *rec)
{
    crossknn *c = (crossknn *)rec;
    kua__neighbours_release(&c->own);
    for (size_t i = 0; i < SOURCES_MAX; i++) kua__neighbours_release(&c->source[i]);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(c);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    crossknn *c = kua__calloc(1, sizeof(*c));
    if (!c) return kua__fail_nomem(sizeof(*c), "a recommender");
    c->rec = (kua__rec){.ops = &kua__rec_crossknn, .settings = json_deep_copy(settings), .facts = json_object()};
    *out = &c->rec;
    return KUA_OK;
}

static kua_status count(crossknn *c, const kua__world *world)
{
    kua__pairs target = {0}, target_items = {0}, source = {0};
    double shrink = kua__setting(&c->rec, "shrink");
    kua_status st = kua__pairs_from_cut(&world->train, false, &target);
    if (!st) st = kua__pairs_transpose(&target, &target_items);
    if (!st) st = kua__neighbours_build(&target, &target_items, true, shrink, NEIGHBOURS, &c->own);
    for (size_t i = 0; !st && i < world->n_sources; i++) {
        st = kua__pairs_from_cut(&world->sources[i].cut, false, &source);
        if (!st) st = kua__neighbours_build(&source, &target_items, false, shrink, NEIGHBOURS, &c->source[i]);
        kua__pairs_release(&source);
    }
    kua__pairs_release(&target);
    kua__pairs_release(&target_items);
    return st;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    crossknn *c = (crossknn *)rec;
    bool clock = world->train.log->has_clock;
    kua__tunable tunables[] = {
        {"half_life", &c->half_life, {0, 60, 240}, clock ? 3 : 1, 0, false},
        {"decay", &c->decay, {1, .7}, 2, 1, false},
        {"own_weight", &c->own_weight, {0}, 1, 0, false},
    };
    if (world->n_sources < 1 || world->n_sources > SOURCES_MAX) {
        return kua__fail(KUA_INVALID, "crossknn: %zu sources, expected 1..%d", world->n_sources, SOURCES_MAX);
    }
    rec->n_items = world->train.log->n_items;
    c->n_sources = world->n_sources;
    KUA__TRY(count(c, world));
    kua__tunables_read(rec, tunables, 3);
    return kua__choose(rec, world, tunables, 3, NULL, monitor);
}

static kua_status add_history(const crossknn *c, const kua__neighbours *near, const kua__history *h, int64_t now, float scale, float *scores)
{
    uint32_t *item = NULL;
    float *weight = NULL;
    kua_status st = KUA__NEW_ARRAY(&item, h->n, "a history");
    if (!st) st = KUA__NEW_ARRAY(&weight, h->n, "a history");
    size_t n = st ? 0 : kua__history_weights(h, c->decay, c->half_life, now, item, weight);
    kua__neighbours_add(near, item, weight, n, scale, scores);
    kua__free(item);
    kua__free(weight);
    return st;
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const crossknn *c = (const crossknn *)rec;
    kua_status st = KUA_OK;
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; !st && q < n; q++) {
        float *row = scores + q * rec->n_items;
        for (size_t i = 0; !st && queries[q].sources && i < c->n_sources; i++) {
            st = add_history(c, &c->source[i], &queries[q].sources[i], queries[q].now, 1, row);
        }
        if (!st && c->own_weight > 0) st = add_history(c, &c->own, &queries[q].target, queries[q].now, (float)c->own_weight, row);
    }
    return st;
}

/* ---- files: three arrays a source, and three of the target's own ---------------------------------------------------------- */

enum { ARRAYS = 3 * (SOURCES_MAX + 1) };

typedef struct array_list {
    kua__saved saved[ARRAYS];
    char name[ARRAYS][48];
    size_t n;
} array_list;

static void list_neighbours(array_list *l, const char *prefix, kua__neighbours *near)
{
    static const char *const parts[] = {"at", "to", "weight"};
    const kua__saved three[] = {{NULL, KUA__I64, (void **)&near->at, &near->n_at},
                                {NULL, KUA__I32, (void **)&near->to, &near->n},
                                {NULL, KUA__F32, (void **)&near->weight, &near->n}};
    for (size_t i = 0; i < 3; i++) {
        snprintf(l->name[l->n], sizeof(l->name[0]), "%s.%s", prefix, parts[i]);
        l->saved[l->n] = three[i];
        l->saved[l->n].name = l->name[l->n];
        l->n++;
    }
}

static void list_arrays(crossknn *c, array_list *l)
{
    l->n = 0;
    list_neighbours(l, "own", &c->own);
    for (size_t i = 0; i < c->n_sources; i++) {
        char prefix[32];
        snprintf(prefix, sizeof(prefix), "source%zu", i);
        list_neighbours(l, prefix, &c->source[i]);
    }
}

#define TUNABLES(c)                                                                                \
    {{.key = "half_life", .value = &(c)->half_life}, {.key = "decay", .value = &(c)->decay},       \
     {.key = "own_weight", .value = &(c)->own_weight}}

static kua_status save(const kua__rec *rec, const char *folder)
{
    crossknn *c = (crossknn *)rec;
    array_list list;
    list_arrays(c, &list);
    return kua__simple_save(rec, folder, list.saved, list.n, (kua__tunable[])TUNABLES(c), 3);
}

static kua_status check(crossknn *c, const char *folder, const kua__world *world)
{
    c->own.n_from = c->own.n_to = c->rec.n_items;
    KUA__TRY(kua__neighbours_check(&c->own, folder));
    for (size_t i = 0; i < c->n_sources; i++) {
        c->source[i].n_from = world->sources[i].cut.log->n_items;
        c->source[i].n_to = c->rec.n_items;
        KUA__TRY(kua__neighbours_check(&c->source[i], folder));
    }
    return KUA_OK;
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    json_t *settings = NULL;
    array_list list;
    *out = NULL;
    KUA__TRY(kua__simple_settings(folder, "crossknn", &settings));
    kua_status st = create(settings, out);
    json_decref(settings);
    crossknn *c = (crossknn *)*out;
    if (!st) {
        c->n_sources = KUA__MIN(world->n_sources, (size_t)SOURCES_MAX);
        list_arrays(c, &list);
        st = kua__simple_load(*out, folder, list.saved, list.n, (kua__tunable[])TUNABLES(c), 3);
    }
    if (!st) st = check(c, folder, world);
    if (st && *out) {
        release(*out);
        *out = NULL;
    }
    return st;
}

const kua__rec_ops kua__rec_crossknn = {
    .name = "crossknn",
    .summary = "source item to target item over shared users",
    .settings = "{\"decay\": [\"auto\", \"weight of a history item per event after it\"],"
                "\"half_life\": [\"auto\", \"days after which a purchase counts half, in place of decay; 0: decay\"],"
                "\"shrink\": [20, \"added to the denominator of the cosine\"],"
                "\"own_weight\": [\"auto\", \"weight of the target's own item-to-item scores; 0: sources only\"]}",
    .create = create, .fit = fit, .score = score, .save = save, .load = load, .free = release,
};

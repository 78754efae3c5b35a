/* itemknn.c - items bought by the same people: cosine with shrinkage, nearest neighbours, history decay.
 *
 *     score(user, j) = sum over the history's items i of weight(i) sim(i, j)
 *
 * With history decay this row beats most published neural models on Amazon's categories.
 */
#include "rec/neighbours.h"
#include "rec/recommenders.h"

enum { NEIGHBOURS_MOST = 300 };

typedef struct itemknn {
    kua__rec rec;
    double keep, decay, half_life;
    double kept; /* what `used` was trimmed to */
    kua__neighbours all, used; /* all: while choosing */
} itemknn;

static void release(kua__rec *rec)
{
    itemknn *k = (itemknn *)rec;
    kua__neighbours_release(&k->all);
    kua__neighbours_release(&k->used);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(k);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    itemknn *k = kua__calloc(1, sizeof(*k));
    if (!k) return kua__fail_nomem(sizeof(*k), "a recommender");
    k->rec = (kua__rec){.ops = &kua__rec_itemknn, .settings = json_deep_copy(settings), .facts = json_object()};
    *out = &k->rec;
    return KUA_OK;
}

static kua_status trim(kua__rec *rec, const kua__world *world)
{
    itemknn *k = (itemknn *)rec;
    (void)world;
    if (k->used.at && k->kept == k->keep) return KUA_OK;
    kua__neighbours_release(&k->used);
    k->kept = k->keep;
    return kua__neighbours_trim(&k->all, (size_t)KUA__MAX(k->keep, 1), &k->used);
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    itemknn *k = (itemknn *)rec;
    bool clock = world->train.log->has_clock;
    kua__tunable tunables[] = {
        {"half_life", &k->half_life, {0, 60, 240}, clock ? 3 : 1, 0, false},
        {"decay", &k->decay, {1, .9, .7, .5}, 4, .7, false},
        {"neighbours", &k->keep, {20, 100, 300}, 3, 20, false},
    };
    kua__pairs users = {0}, items = {0};
    rec->n_items = world->train.log->n_items;
    kua__tunables_read(rec, tunables, 3);
    size_t most = tunables[2].automatic ? NEIGHBOURS_MOST : (size_t)KUA__MAX(k->keep, 1);
    kua_status st;
    KUA__GOTO(st, kua__pairs_from_cut(&world->train, false, &users));
    KUA__GOTO(st, kua__pairs_transpose(&users, &items));
    KUA__GOTO(st, kua__neighbours_build(&users, &items, true, kua__setting(rec, "shrink"), most, &k->all));
    st = kua__choose(rec, world, tunables, 3, trim, monitor);
    kua__neighbours_release(&k->all);
done:
    kua__pairs_release(&users);
    kua__pairs_release(&items);
    return st;
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const itemknn *k = (const itemknn *)rec;
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; q < n; q++) {
        const kua__history *h = &queries[q].target;
        uint32_t *item = NULL;
        float *weight = NULL;
        kua_status st = KUA__NEW_ARRAY(&item, h->n, "a history");
        if (!st) st = KUA__NEW_ARRAY(&weight, h->n, "a history");
        size_t have = st ? 0 : kua__history_weights(h, k->decay, k->half_life, queries[q].now, item, weight);
        kua__neighbours_add(&k->used, item, weight, have, 1, scores + q * rec->n_items);
        kua__free(item);
        kua__free(weight);
        if (st) return st;
    }
    return KUA_OK;
}

#define SAVED(k)                                                                                   \
    {{"at", KUA__I64, (void **)&(k)->used.at, &(k)->used.n_at},                                    \
     {"to", KUA__I32, (void **)&(k)->used.to, &(k)->used.n},                                       \
     {"weight", KUA__F32, (void **)&(k)->used.weight, &(k)->used.n}}
#define TUNABLES(k)                                                                                \
    {{.key = "half_life", .value = &(k)->half_life}, {.key = "decay", .value = &(k)->decay},       \
     {.key = "neighbours", .value = &(k)->keep}}

static kua_status save(const kua__rec *rec, const char *folder)
{
    itemknn *k = (itemknn *)rec;
    return kua__simple_save(rec, folder, (kua__saved[])SAVED(k), 3, (kua__tunable[])TUNABLES(k), 3);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    (void)world;
    json_t *settings = NULL;
    *out = NULL;
    KUA__TRY(kua__simple_settings(folder, "itemknn", &settings));
    kua_status st = create(settings, out);
    json_decref(settings);
    itemknn *k = (itemknn *)*out;
    if (!st) st = kua__simple_load(*out, folder, (kua__saved[])SAVED(k), 3, (kua__tunable[])TUNABLES(k), 3);
    if (!st) {
        k->used.n_from = k->used.n_to = (*out)->n_items;
        st = kua__neighbours_check(&k->used, folder);
    }
    if (st && *out) {
        release(*out);
        *out = NULL;
    }
    return st;
}

const kua__rec_ops kua__rec_itemknn = {
    .name = "itemknn",
    .summary = "items that the same people buy: cosine, nearest neighbours, history decay",
    .settings = "{\"neighbours\": [\"auto\", \"items kept per item\"],"
                "\"shrink\": [20, \"added to the denominator of the cosine\"],"
                "\"decay\": [\"auto\", \"weight of a history item per event after it\"],"
                "\"half_life\": [\"auto\", \"days after which a purchase counts half, in place of decay; 0: decay\"]}",
    .create = create, .fit = fit, .score = score, .save = save, .load = load, .free = release,
};

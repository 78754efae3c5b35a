/* userknn.c - people who buy alike: cosine of log counts, nearest users, what they bought and how recently the asker did.
 *
 *     sim(a, b) = <w_a, w_b> / (|w_a| |w_b| + shrink)        w: log(1 + count) idf of each item, decayed for the asker
 *     score(user, j) = sum over the k nearest users v of sim(user, v) w_v(j)
 */
#include <math.h>
#include <stdlib.h>

#include "rec/common.h"
#include "rec/recommenders.h"

typedef struct userknn {
    kua__rec rec;
    double keep, half_life, decay, self;
    size_t *at, *item_at; /* user rows, item columns */
    uint32_t *item, *user;
    float *weight, *user_weight, *idf, *norm;
    size_t n_at, n_item_at, n, n_items, n_users;
} userknn;

typedef struct neighbour {
    uint32_t user;
    float sim;
} neighbour;

static void release(kua__rec *rec)
{
    userknn *k = (userknn *)rec;
    kua__free(k->at);
    kua__free(k->item_at);
    kua__free(k->item);
    kua__free(k->user);
    kua__free(k->weight);
    kua__free(k->user_weight);
    kua__free(k->idf);
    kua__free(k->norm);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(k);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    userknn *k = kua__calloc(1, sizeof(*k));
    if (!k) return kua__fail_nomem(sizeof(*k), "a recommender");
    k->rec = (kua__rec){.ops = &kua__rec_userknn, .settings = json_deep_copy(settings), .facts = json_object()};
    *out = &k->rec;
    return KUA_OK;
}

static void weigh(userknn *k, kua__pairs *users, const kua__pairs *items)
{
    for (size_t i = 0; i < k->n_items; i++) k->idf[i] = logf(1 + (float)k->n_users / (1 + (float)(items->at[i + 1] - items->at[i])));
    for (size_t u = 0; u < k->n_users; u++) {
        double square = 0;
        for (size_t i = users->at[u]; i < users->at[u + 1]; i++) {
            users->weight[i] *= k->idf[users->col[i]];
            square += (double)users->weight[i] * (double)users->weight[i];
        }
        k->norm[u] = (float)sqrt(square);
    }
}

static kua_status learn(userknn *k, const kua__cut *cut)
{
    kua__pairs users = {0}, items = {0};
    k->n_users = cut->log->n_users;
    k->n_items = cut->log->n_items;
    KUA__TRY(KUA__NEW_ARRAY(&k->idf, k->n_items, "item weights"));
    KUA__TRY(KUA__NEW_ARRAY(&k->norm, k->n_users, "user norms"));
    kua_status st = kua__pairs_from_cut(cut, true, &users);
    if (!st) st = kua__pairs_transpose(&users, &items);
    if (!st) {
        weigh(k, &users, &items);
        kua__pairs_release(&items);
        st = kua__pairs_transpose(&users, &items); /* with the weights */
    }
    if (st) {
        kua__pairs_release(&users);
        kua__pairs_release(&items);
        return st;
    }
    k->at = users.at, k->item = users.col, k->weight = users.weight, k->n = users.n, k->n_at = k->n_users + 1;
    k->item_at = items.at, k->user = items.col, k->user_weight = items.weight, k->n_item_at = k->n_items + 1;
    return KUA_OK;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    userknn *k = (userknn *)rec;
    bool clock = world->train.log->has_clock, repeats = kua__cut_repeats(&world->train) > .01;
    kua__tunable tunables[] = {
        {"neighbours", &k->keep, {50, 200, 800}, 3, 200, false},
        {"half_life", &k->half_life, {0, 90}, clock ? 2 : 1, 0, false},
        {"decay", &k->decay, {1, .8}, clock ? 1 : 2, 1, false},
        {"self", &k->self, {0, 1}, repeats ? 2 : 1, 0, false},
    };
    rec->n_items = world->train.log->n_items;
    KUA__TRY(learn(k, &world->train));
    kua__tunables_read(rec, tunables, 4);
    return kua__choose(rec, world, tunables, 4, NULL, monitor);
}

/* ---- scoring -------------------------------------------------------------------------------------------------------------- */

static int by_sim(const void *a, const void *b)
{
    const neighbour *x = a, *y = b;
    if (x->sim != y->sim) return x->sim > y->sim ? -1 : 1;
    return (x->user > y->user) - (x->user < y->user);
}

/* Users who share an item with the asker, most similar first; sim[n_users] is 0 before and after. */
static size_t find_neighbours(const userknn *k, uint32_t asker, const uint32_t *item, const float *weight, size_t n, float *sim, neighbour *list)
{
    double square = 0;
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        float w = log1pf(weight[i]) * k->idf[item[i]];
        square += (double)w * (double)w;
        for (size_t at = k->item_at[item[i]]; at < k->item_at[item[i] + 1]; at++) {
            uint32_t user = k->user[at];
            if (user == asker && k->self == 0) continue;
            if (sim[user] == 0) list[found++].user = user;
            sim[user] += w * k->user_weight[at];
        }
    }
    for (size_t i = 0; i < found; i++) {
        uint32_t user = list[i].user;
        list[i].sim = sim[user] / ((float)sqrt(square) * k->norm[user] + 1);
        sim[user] = 0;
    }
    qsort(list, found, sizeof(*list), by_sim);
    return KUA__MIN(found, (size_t)KUA__MAX(k->keep, 1));
}

static kua_status score_one(const userknn *k, const kua__query *query, float *sim, neighbour *list, float *scores)
{
    const kua__history *h = &query->target;
    uint32_t *item = NULL;
    float *weight = NULL;
    kua_status st = KUA__NEW_ARRAY(&item, h->n, "a history");
    if (!st) st = KUA__NEW_ARRAY(&weight, h->n, "a history");
    size_t n = st ? 0 : kua__history_weights(h, k->decay, k->half_life, query->now, item, weight);
    size_t near = find_neighbours(k, query->user, item, weight, n, sim, list);
    for (size_t v = 0; v < near; v++) {
        for (size_t i = k->at[list[v].user]; i < k->at[list[v].user + 1]; i++) scores[k->item[i]] += list[v].sim * k->weight[i];
    }
    kua__free(item);
    kua__free(weight);
    return st;
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const userknn *k = (const userknn *)rec;
    float *sim = NULL;
    neighbour *list = NULL;
    kua_status st = KUA__NEW_ZEROED(&sim, k->n_users, "similarities");
    if (!st) st = KUA__NEW_ARRAY(&list, k->n_users, "similarities");
    memset(scores, 0, n * rec->n_items * sizeof(*scores));
    for (size_t q = 0; !st && q < n; q++) st = score_one(k, &queries[q], sim, list, scores + q * rec->n_items);
    kua__free(sim);
    kua__free(list);
    return st;
}

/* ---- files ------------------------------------------------------------------------------------------------------------------ */

#define SAVED(k)                                                                                                   \
    {{"user_at", KUA__I64, (void **)&(k)->at, &(k)->n_at}, {"item", KUA__I32, (void **)&(k)->item, &(k)->n},       \
     {"weight", KUA__F32, (void **)&(k)->weight, &(k)->n}, {"item_at", KUA__I64, (void **)&(k)->item_at, &(k)->n_item_at}, \
     {"user", KUA__I32, (void **)&(k)->user, &(k)->n}, {"user_weight", KUA__F32, (void **)&(k)->user_weight, &(k)->n}, \
     {"idf", KUA__F32, (void **)&(k)->idf, &(k)->n_items}, {"norm", KUA__F32, (void **)&(k)->norm, &(k)->n_users}}
#define TUNABLES(k)                                                                                \
    {{.key = "neighbours", .value = &(k)->keep}, {.key = "half_life", .value = &(k)->half_life},   \
     {.key = "decay", .value = &(k)->decay}, {.key = "self", .value = &(k)->self}}

static bool rows_fit(const size_t *at, size_t n_at, size_t rows, const uint32_t *col, size_t n, size_t cols)
{
    bool good = n_at == rows + 1 && at[0] == 0 && at[rows] == n;
    for (size_t i = 0; good && i < rows; i++) good = at[i] <= at[i + 1];
    for (size_t i = 0; good && i < n; i++) good = col[i] < cols;
    return good;
}

static kua_status save(const kua__rec *rec, const char *folder)
{
    userknn *k = (userknn *)rec;
    return kua__simple_save(rec, folder, (kua__saved[])SAVED(k), 8, (kua__tunable[])TUNABLES(k), 4);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    (void)world;
    json_t *settings = NULL;
    *out = NULL;
    KUA__TRY(kua__simple_settings(folder, "userknn", &settings));
    kua_status st = create(settings, out);
    json_decref(settings);
    userknn *k = (userknn *)*out;
    if (!st) st = kua__simple_load(*out, folder, (kua__saved[])SAVED(k), 8, (kua__tunable[])TUNABLES(k), 4);
    bool good = !st && k->n_items == (*out)->n_items && rows_fit(k->at, k->n_at, k->n_users, k->item, k->n, k->n_items) &&
                rows_fit(k->item_at, k->n_item_at, k->n_items, k->user, k->n, k->n_users);
    if (!st && !good) st = kua__fail(KUA_FORMAT, "%s: the users' rows do not fit together", folder);
    if (st && *out) {
        release(*out);
        *out = NULL;
    }
    return st;
}

const kua__rec_ops kua__rec_userknn = {
    .name = "userknn",
    .summary = "what people who buy alike bought",
    .settings = "{\"neighbours\": [\"auto\", \"users looked at\"],"
                "\"half_life\": [\"auto\", \"days after which the asker's purchase counts half; 0: decay\"],"
                "\"decay\": [\"auto\", \"weight of the asker's event per event after it\"],"
                "\"self\": [\"auto\", \"1: the asker is a neighbour too, which recommends what was bought before\"]}",
    .create = create, .fit = fit, .score = score, .save = save, .load = load, .free = release,
};

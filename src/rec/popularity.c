/* popularity.c - what sells: training events per item, older ones counting less where the domain has a clock.
 *
 *     score(item) = sum over its events of 2^(-age / half_life)
 */
#include <math.h>

#include "rec/common.h"
#include "rec/recommenders.h"

typedef struct popularity {
    kua__rec rec;
    double half_life; /* days; 0: all events count alike */
    float *score;     /* [n_items] */
    size_t n;
} popularity;

static void release(kua__rec *rec)
{
    popularity *p = (popularity *)rec;
    kua__free(p->score);
    json_decref(rec->settings);
    json_decref(rec->facts);
    kua__free(p);
}

static kua_status create(const json_t *settings, kua__rec **out)
{
    popularity *p = kua__calloc(1, sizeof(*p));
    if (!p) return kua__fail_nomem(sizeof(*p), "a recommender");
    p->rec = (kua__rec){.ops = &kua__rec_popularity, .settings = json_deep_copy(settings), .facts = json_object()};
    *out = &p->rec;
    return KUA_OK;
}

static kua_status count(kua__rec *rec, const kua__world *world)
{
    popularity *p = (popularity *)rec;
    const kua__log *log = world->train.log;
    int64_t now = kua__cut_now(&world->train);
    memset(p->score, 0, p->n * sizeof(*p->score));
    for (size_t u = 0; u < log->n_users; u++) {
        for (size_t i = log->user_at[u]; i < world->train.end[u]; i++) {
            double days = (double)(now - log->time[i]) / 86400;
            p->score[log->item[i]] += p->half_life > 0 && log->has_clock ? (float)exp2(-days / p->half_life) : 1;
        }
    }
    return KUA_OK;
}

static kua_status fit(kua__rec *rec, const kua__world *world, const kua_monitor *monitor)
{
    popularity *p = (popularity *)rec;
    bool clock = world->train.log->has_clock;
    kua__tunable tunables[] = {{"half_life", &p->half_life, {0, 14, 28, 90, 180}, clock ? 5 : 1, 0, false}};
    rec->n_items = p->n = world->train.log->n_items;
    KUA__TRY(KUA__NEW_ZEROED(&p->score, p->n, "item counts"));
    kua__tunables_read(rec, tunables, 1);
    return kua__choose(rec, world, tunables, 1, count, monitor);
}

static kua_status score(const kua__rec *rec, const kua__query *queries, size_t n, float *scores)
{
    const popularity *p = (const popularity *)rec;
    (void)queries;
    for (size_t i = 0; i < n; i++) memcpy(scores + i * p->n, p->score, p->n * sizeof(*scores));
    return KUA_OK;
}

#define SAVED(p)    {{"score", KUA__F32, (void **)&(p)->score, &(p)->n}}
#define TUNABLES(p) {{.key = "half_life", .value = &(p)->half_life}}

static kua_status save(const kua__rec *rec, const char *folder)
{
    popularity *p = (popularity *)rec;
    return kua__simple_save(rec, folder, (kua__saved[])SAVED(p), 1, (kua__tunable[])TUNABLES(p), 1);
}

static kua_status load(const char *folder, const kua__world *world, kua__rec **out)
{
    (void)world;
    json_t *settings = NULL;
    *out = NULL;
    KUA__TRY(kua__simple_settings(folder, "popularity", &settings));
    kua_status st = create(settings, out);
    json_decref(settings);
    popularity *p = (popularity *)*out;
    if (!st) st = kua__simple_load(*out, folder, (kua__saved[])SAVED(p), 1, (kua__tunable[])TUNABLES(p), 1);
    if (!st && p->n != (*out)->n_items) st = kua__fail(KUA_FORMAT, "%s: %zu scores for %zu items", folder, p->n, (*out)->n_items);
    if (st && *out) {
        release(*out);
        *out = NULL;
    }
    return st;
}

const kua__rec_ops kua__rec_popularity = {
    .name = "popularity",
    .summary = "what sells, recently",
    .settings = "{\"half_life\": [\"auto\", \"days after which an event counts half; 0: all count alike\"]}",
    .create = create, .fit = fit, .score = score, .save = save, .load = load, .free = release,
};

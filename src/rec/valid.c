/* valid.c - NDCG@10 of any recommender at the border between training and validation: what settings are chosen by.
 *
 * At most VALID_USERS users, spread evenly over those who have validation events. Every item is ranked; items of the
 * history are left out unless people buy again in this domain.
 */
#include "rec/common.h"

#include <float.h>
#include <math.h>

enum { VALID_USERS = 2000, BLOCK = 64, TOP = 10 };

typedef struct valid_run {
    const kua__rec *rec;
    const kua__world *world;
    const uint32_t *user;
    size_t n;
    int64_t now;
    bool repeats;
    float *scores;        /* [threads, BLOCK, n_items] */
    kua__history *sources; /* [threads, BLOCK, n_sources] */
    double *ndcg;         /* [n] */
    kua_status *status;   /* [threads] */
} valid_run;

static size_t best_items(const float *scores, size_t n, uint32_t best[TOP])
{
    size_t have = 0;
    float least = -FLT_MAX;
    for (size_t i = 0; i < n; i++) {
        if (scores[i] <= least) continue;
        size_t at = have < TOP ? have++ : TOP - 1;
        for (; at > 0 && scores[best[at - 1]] < scores[i]; at--) best[at] = best[at - 1];
        best[at] = (uint32_t)i;
        if (have == TOP) least = scores[best[TOP - 1]];
    }
    return have;
}

static bool in_list(const uint32_t *list, size_t n, uint32_t item)
{
    for (size_t i = 0; i < n; i++) {
        if (list[i] == item) return true;
    }
    return false;
}

static double user_ndcg(const valid_run *v, uint32_t user, float *scores)
{
    const kua__log *log = v->world->train.log;
    size_t from = v->world->train.end[user], to = v->world->valid.end[user], answers = 0;
    uint32_t best[TOP];
    double gain = 0, ideal = 0;
    for (size_t i = log->user_at[user]; i < from && !v->repeats; i++) scores[log->item[i]] = -FLT_MAX;
    size_t n = best_items(scores, log->n_items, best);
    for (size_t r = 0; r < n; r++) {
        if (in_list(log->item + from, to - from, best[r])) gain += 1 / log2((double)r + 2);
    }
    for (size_t i = from; i < to && answers < TOP; i++) answers += !in_list(log->item + from, i - from, log->item[i]);
    for (size_t r = 0; r < answers; r++) ideal += 1 / log2((double)r + 2);
    return ideal > 0 ? gain / ideal : 0;
}

static void run_users(void *ctx, int thread, size_t first, size_t last)
{
    valid_run *v = ctx;
    size_t n_items = v->rec->n_items, n_sources = v->world->n_sources;
    float *scores = v->scores + (size_t)thread * BLOCK * n_items;
    kua__history *sources = v->sources + (size_t)thread * BLOCK * n_sources;
    kua__query query[BLOCK] = {0};
    for (size_t i = first; i < last; i++) {
        kua__history *own = sources + (i - first) * n_sources;
        for (size_t s = 0; s < n_sources; s++) own[s] = kua__cut_history(&v->world->sources[s].cut, v->user[i]);
        query[i - first] = (kua__query){v->user[i], v->now, kua__cut_history(&v->world->train, v->user[i]), own};
    }
    kua_status st = kua__rec_score(v->rec, query, last - first, scores);
    if (st) v->status[thread] = st;
    for (size_t i = first; !st && i < last; i++) v->ndcg[i] = user_ndcg(v, v->user[i], scores + (i - first) * n_items);
}

static kua_status choose_users(const kua__world *world, uint32_t **out, size_t *n)
{
    const kua__log *log = world->train.log;
    size_t all = 0, kept = 0;
    KUA__TRY(KUA__NEW_ARRAY(out, log->n_users, "validation users"));
    for (size_t u = 0; u < log->n_users; u++) {
        if (world->valid.end[u] > world->train.end[u]) (*out)[all++] = (uint32_t)u;
    }
    size_t step = all > VALID_USERS ? all / VALID_USERS : 1;
    for (size_t i = 0; i < all && kept < VALID_USERS; i += step) (*out)[kept++] = (*out)[i];
    *n = kept;
    return KUA_OK;
}

kua_status kua__valid_ndcg(const kua__rec *rec, const kua__world *world, double *out)
{
    uint32_t *user = NULL;
    valid_run v = {.rec = rec, .world = world, .now = kua__cut_now(&world->train), .repeats = kua__cut_repeats(&world->train) > .01};
    size_t threads = (size_t)kua__threads();
    double sum = 0;
    kua_status st;
    *out = NAN;
    KUA__GOTO(st, choose_users(world, &user, &v.n));
    v.user = user;
    if (!v.n) goto done;
    KUA__GOTO(st, KUA__NEW_ARRAY(&v.scores, threads * BLOCK * rec->n_items, "scores"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&v.sources, threads * BLOCK * world->n_sources, "histories"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&v.ndcg, v.n, "measures"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&v.status, threads, "statuses"));
    kua__parallel_chunks(v.n, BLOCK, run_users, &v);
    for (size_t t = 0; t < threads && !st; t++) st = v.status[t];
    for (size_t i = 0; i < v.n; i++) sum += v.ndcg[i];
    *out = sum / (double)v.n;
done:
    kua__free(user);
    kua__free(v.scores);
    kua__free(v.sources);
    kua__free(v.ndcg);
    kua__free(v.status);
    return st;
}

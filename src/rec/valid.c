/* valid.c - NDCG@10 of any recommender at the border between training and validation: what settings
 * are chosen by.
 *
 * The users are spread evenly over those who have validation events. Every item is ranked. A user's
 * relevant items are the distinct ones of all his validation events; fresh leaves out what his
 * history holds. Users are handed out in blocks; each writes its own number, and the sum is taken
 * in order, so that the result does not depend on the number of threads.
 */
#include <assert.h>
#include <float.h>
#include <math.h>
#include <string.h>

#include "rec/common.h"
#include "rec/top.h"

enum { VALID_USERS = 5000, BLOCK = 64 };

typedef struct run {
    const kua__valid *valid;
    const kua__rec *rec;
    bool fresh;
    float *scores;         /* [threads, BLOCK, n_items] */
    kua__history *sources; /* [threads, BLOCK, n_sources] */
    double *ndcg;          /* [n users], NAN: no relevant item */
    kua__failure *failed;  /* [threads] */
} run;

/* Distinct relevant items, at most as many as an ideal list could show. */
static size_t count_relevant(const run *r, const kua__log *log, uint32_t user)
{
    size_t begin = log->user_at[user], from = r->valid->world->train.end[user];
    size_t to = r->valid->world->valid.end[user], n = 0;
    for (size_t i = from; i < to && n < KUA__TOP; i++) {
        bool old = kua__holds(log->item + from, i - from, log->item[i]);
        if (r->fresh) old |= kua__holds(log->item + begin, from - begin, log->item[i]);
        n += !old;
    }
    return n;
}

static double user_ndcg(const run *r, uint32_t user, float *scores)
{
    const kua__log *log = r->valid->world->train.log;
    size_t from = r->valid->world->train.end[user], to = r->valid->world->valid.end[user];
    size_t relevant = count_relevant(r, log, user);
    for (size_t i = log->user_at[user]; i < from && r->fresh; i++)
        scores[log->item[i]] = -FLT_MAX;
    kua__top top;
    kua__top_fill(&top, scores, log->n_items);
    return relevant ? kua__top_ndcg(&top, log->item + from, to - from, relevant) : NAN;
}

static kua_status score_block(const run *r, const uint32_t *user, size_t n, kua__history *sources,
                              float *scores)
{
    const kua__world *world = r->valid->world;
    kua__query query[BLOCK];
    for (size_t i = 0; i < n; i++) {
        query[i] = kua__cut_query(&world->train, world->sources, world->n_sources, user[i],
                                  r->valid->now, sources + i * world->n_sources);
    }
    return kua__rec_score(r->rec, query, n, scores);
}

static void run_block(void *ctx, int thread, size_t first, size_t last)
{
    run *r = ctx;
    size_t n_items = r->rec->n_items, n_sources = r->valid->world->n_sources;
    float *scores = r->scores + (size_t)thread * BLOCK * n_items;
    kua__history *sources = r->sources + (size_t)thread * BLOCK * n_sources;
    const uint32_t *user = r->valid->user + first;
    assert(last - first <= BLOCK);
    kua_status st = score_block(r, user, last - first, sources, scores);
    if (st) kua__failure_keep(&r->failed[thread], st, first);
    for (size_t i = first; !st && i < last; i++)
        r->ndcg[i] = user_ndcg(r, r->valid->user[i], scores + (i - first) * n_items);
}

static double mean(const double *value, size_t n)
{
    double sum = 0, counted = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(value[i])) continue;
        sum += value[i];
        counted++;
    }
    return counted > 0 ? sum / counted : 0;
}

kua_status kua__valid_ndcg(const kua__valid *valid, const kua__rec *rec, bool fresh, double *out)
{
    size_t threads = (size_t)kua__threads(), blocks = threads * BLOCK;
    run r = {.valid = valid, .rec = rec, .fresh = fresh};
    kua_status st;
    assert(valid->n && rec->n_items == valid->world->train.log->n_items);
    KUA__GOTO(st, KUA__NEW_ARRAY(&r.scores, blocks * rec->n_items, "scores"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&r.sources, blocks * valid->world->n_sources, "histories"));
    KUA__GOTO(st, KUA__NEW_ARRAY(&r.ndcg, valid->n, "measures"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&r.failed, threads, "threads"));
    kua__parallel_chunks(valid->n, BLOCK, run_block, &r);
    st = kua__failure_first(r.failed, threads);
    if (!st) *out = mean(r.ndcg, valid->n);
done:
    kua__free(r.scores);
    kua__free(r.sources);
    kua__free(r.ndcg);
    kua__free(r.failed);
    return st;
}

kua_status kua__valid_open(kua__valid *valid, const kua__world *world)
{
    const kua__log *log = world->train.log;
    size_t all = 0;
    *valid = (kua__valid){.world = world, .now = kua__cut_now(&world->train)};
    KUA__TRY(KUA__NEW_ARRAY(&valid->user, log->n_users, "validation users"));
    for (size_t u = 0; u < log->n_users; u++) {
        if (world->valid.end[u] > world->train.end[u]) valid->user[all++] = (uint32_t)u;
    }
    valid->n = KUA__MIN(all, (size_t)VALID_USERS);
    for (size_t i = 0; i < valid->n; i++)
        valid->user[i] = valid->user[i * all / valid->n];
    return KUA_OK;
}

void kua__valid_close(kua__valid *valid)
{
    kua__free(valid->user);
    *valid = (kua__valid){0};
}

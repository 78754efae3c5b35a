/* run_rec.c - evaluating a recommender; apart from run.c, so that ranking can be tested without
 * any. */
#include "eval/eval.h"

#include <assert.h>

static kua_status score_rec(void *ctx, const kua__query *queries, size_t n, float *scores)
{
    return kua__rec_score(ctx, queries, n, scores);
}

kua_status kua__eval_rec(const kua__eval_set *set, const kua__rec *rec, const kua_monitor *monitor,
                         kua__eval_result *out)
{
    assert(set && rec);
    assert(rec->n_items == set->n_items);
    /* the callback takes a mutable context for others' sake; scoring does not change a recommender
     */
    return kua__eval_run(set, score_rec, (void *)(uintptr_t)rec, monitor, out);
}

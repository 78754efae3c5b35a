/* transfer/transfer.h - strategies that carry what source domains know over to a target domain.
 *
 *     g(.; w_S)   a model of the source domains
 *     g(.; w_T) = f(g(.; w_S), theta)     f: the strategy, theta: what is new in the target domain
 *
 * Whatever a strategy does, its result is a recommender of the target domain like any other
 * (rec/rec.h), so that one evaluation, one guard and one registry serve them all. One file each;
 * the list is strategies.c.
 */
#ifndef KUA_TRANSFER_TRANSFER_H
#define KUA_TRANSFER_TRANSFER_H

#include "rec/rec.h"

typedef struct kua__strategy {
    const char *name;
    const char *summary;
    const char *rec;      /* name of the recommender that the result is (for loading) */
    const char *settings; /* as in kua__rec_ops: what the strategy adds to that recommender's; "{}":
                             nothing */
    bool needs_source;    /* fit wants a "sequence" model of the sources */
    /* Fits on world (target and sources). `source` is NULL where it is not needed. *out is owned by
     * the caller. */
    kua_status (*fit)(const kua__world *world, const kua__rec *source, const json_t *settings,
                      const kua_monitor *monitor, kua__rec **out);
} kua__strategy;

extern const kua__strategy *const kua__strategy_all[]; /* NULL at the end */
const kua__strategy *kua__strategy_find(const char *name);

#endif

/* engine/scorer.h - a model as it serves: one seed of it, with the guard's switches obeyed.
 *
 * Where the guard's verdict sends some users to the target-only model, both are loaded, and each
 * question is answered by the one that the verdict names for its user.
 */
#ifndef KUA_ENGINE_SCORER_H
#define KUA_ENGINE_SCORER_H

#include "engine/engine.h"
#include "transfer/guard.h"

typedef struct kua__scorer {
    kua__rec *rec;
    kua__rec *other;      /* target-only; NULL: not needed */
    kua__verdict verdict; /* where other is set */
    size_t n_sources;
} kua__scorer;

/* Loads seed k of a model; fits it anew where the stage's split is not the model's. `raw`: without
 * the guard. */
kua_status kua__scorer_open(kua_workspace *ws, const kua__kept *model, size_t k,
                            const kua__stage *stage, const kua__world *world, bool raw,
                            kua__scorer *out);
void kua__scorer_release(kua__scorer *scorer);
/* As kua__rec_score; fits kua__score_fn with the scorer as ctx. */
kua_status kua__scorer_score(void *scorer, const kua__query *queries, size_t n, float *scores);

#endif

/* app/crf.h - a linear chain over the tags of a text (Lafferty et al., "Conditional random fields",
 * 2001): what a unit says for each tag, and what a tag says for the next.
 *
 *     score(y) = sum_i emission[i, y_i] + transition[y_{i-1}, y_i]      y_0: the begin, row `tags`
 *     loss     = log sum_y exp score(y) - score(truth)
 */
#ifndef KUA_APP_CRF_H
#define KUA_APP_CRF_H

#include "grad/grad.h"

/* The mean over all units of the texts' losses: emission [units, tags], transition [tags + 1,
 * tags], target [units]. 1x1. */
kua__var *kua__crf_loss(kua__tape *t, kua__var *emission, kua__var *transition, kua__ragged texts,
                        const uint32_t *target);

#endif

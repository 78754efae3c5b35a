/* rec/sequence.h - the sequential recommender "sequence", and what transfer needs of it.
 *
 * A causal transformer with gated layers reads a history and is trained at every position to name
 * the next item, by full cross-entropy over the item table:
 *
 *     item    = adaptor(whitened text vector) + id vector          [n_items, dim]
 *     x       = input_scale * (item + domain) + position + event type,
 *               then `layers` gated layers, then layer norm
 *     logit   = cosine(x, item) / tau
 *
 * What depends on the domain is the id table and the domain's vector; the adaptor, the layers, the
 * positions, the event types and the whitening (the "body") are carried to another domain by the
 * functions below.
 */
#ifndef KUA_REC_SEQUENCE_H
#define KUA_REC_SEQUENCE_H

#include "rec/rec.h"
#include "rec/whitening.h"

extern const kua__rec_ops kua__rec_sequence;

typedef enum kua__sequence_mode {
    KUA__SEQUENCE_FROZEN,  /* the source's body stays as it is; only the id table is trained */
    KUA__SEQUENCE_FINETUNE /* the body is trained on, at `body_lr` times the learning rate */
} kua__sequence_mode;

/* A new recommender for world's target whose body begins as that of `source`, a fitted "sequence"
 * recommender of another domain. Shapes (dim, layers, ...) are the source's; `settings` (may be
 * NULL: the source's) gives the rest. KUA_INVALID where one has text vectors and the other not, or
 * of another length. */
kua_status kua__sequence_fit_from(const kua__world *world, const json_t *settings,
                                  const kua__rec *source, kua__sequence_mode mode,
                                  const kua_monitor *monitor, kua__rec **out);

/* Training on several domains at once: one body, an item table and a loss of its own for each. */
typedef struct kua__sequence_domain {
    const kua__side *side;
    const kua__cut *train, *valid;
    const kua__source *sources; /* [n_sources] whose histories the partners read */
    size_t n_sources;
} kua__sequence_domain;

typedef struct kua__pretraining {
    const kua__sequence_domain *domains; /* [n] */
    size_t n;
    kua__vectors target; /* of the items that it is going to be moved to: the whitening learns from
                            them too. n == 0: not known */
    const json_t *settings; /* complete */
    uint64_t seed;
    const char *checkpoint; /* as in kua__world */
} kua__pretraining;

/* Where all domains have text vectors, items are what their texts say: an id of a source says
 * nothing elsewhere, and a body that leans on ids has learned little that moves (as in UniSRec, Hou
 * et al., 2022). The result scores items of domains[0]; it is meant as a source for the function
 * above. */
kua_status kua__sequence_pretrain(const kua__pretraining *what, const kua_monitor *monitor,
                                  kua__rec **out);

#endif

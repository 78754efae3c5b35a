/* rec/whitening.h - text vectors as recommenders read them: centred, turned to their principal
 * components, and spread.
 *
 *     z = V^T (x - mean) / deviation^power          V: the k main directions
 *
 * Sentence vectors lie in a narrow cone: their cosines differ little. Dividing each component by
 * the square root of its deviation (power 1/2, half way to full whitening) spreads them without
 * blowing up the noise of the last components; full whitening lost on every split that was tried.
 * (Su et al., "Whitening sentence representations for better semantics and faster retrieval",
 * 2021.)
 *
 * A row of zeros is an item without text: it takes no part in the statistics and stays 0.
 */
#ifndef KUA_REC_WHITENING_H
#define KUA_REC_WHITENING_H

#include "base/base.h"

typedef struct kua__whitening {
    size_t dim, k; /* k == 0: none */
    float *mean;   /* [dim] */
    float *basis;  /* [k, dim]: principal directions over their deviation^power */
} kua__whitening;

/* The vectors of one domain, [n, dim]. */
typedef struct kua__vectors {
    const float *row;
    size_t n;
} kua__vectors;

/* Learned from all n_lists lists; k components at most. */
kua_status kua__whitening_fit(kua__whitening *w, const kua__vectors *lists, size_t n_lists,
                              size_t dim, size_t k, double power);
/* Scales the basis so that the rows of the lists come out of length 1 on average. */
kua_status kua__whitening_to_unit(kua__whitening *w, const kua__vectors *lists, size_t n_lists);
kua_status kua__whitening_copy(kua__whitening *to, const kua__whitening *from);
/* out[n, k] of vector[n, dim] */
kua_status kua__whitening_apply(const kua__whitening *w, const float *vector, size_t n, float *out);
void kua__whitening_release(kua__whitening *w);

#endif

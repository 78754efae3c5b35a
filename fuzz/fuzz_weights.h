/* fuzz/fuzz_weights.h - what the fuzz targets of weight files require of every tensor. */
#ifndef KUA_FUZZ_WEIGHTS_H
#define KUA_FUZZ_WEIGHTS_H

#include <stdlib.h>
#include <string.h>

#include "tensor/tensor.h"

static void require(bool holds)
{
    if (!holds) abort();
}

/* Its sizes agree, and it can be read at its first and last element. Where it is small, whole. */
static inline void require_sane(const kua__tensor *t)
{
    float x[4096], y[1];
    size_t block = kua__dtype_block(t->dtype), count = 1;
    require(t->rank <= KUA__RANK_MAX && t->data && strlen(t->name) > 0);
    for (size_t i = 0; i < t->rank; i++)
        count *= t->dim[i];
    require(t->count == count && count % block == 0);
    require(t->bytes == count / block * kua__dtype_size(t->dtype));
    require(!t->turned || (t->rank == 2 && block == 1));
    if (count == 0) return;
    kua__tensor_to_f32(t, 0, 1, y);
    kua__tensor_to_f32(t, count - 1, 1, y);
    if (count <= 4096)
        kua__tensor_matrix_f32(t, t->rank ? t->dim[0] : 1, count / (t->rank ? t->dim[0] : 1), x);
}

#endif

/* attention.c - which kernel, and how much scratch it wants.
 *
 * The vector kernels take heads whose dimension is a multiple of 16; others (none among the usual
 * models) get the plain one. All write the same scratch: what a caller has made room for is enough
 * for whichever kernel it gets.
 */
#include "tensor/attention.h"

#include <assert.h>

kua__attend_fn kua__attend_of(kua__isa isa, size_t dim)
{
    assert(dim >= 1);
    if (!kua__kernels_of(isa)) return NULL;
#if defined(__x86_64__)
    if (isa == KUA__ISA_AVX512 && dim % KUA__ATTEND_LANES == 0) return kua__attend_avx512;
    if (isa == KUA__ISA_AVX2 && dim % KUA__ATTEND_LANES == 0) return kua__attend_avx2;
#endif
    return kua__attend_plain;
}

kua__attend_fn kua__attend_get(size_t dim)
{
    return kua__attend_of(kua__kernels_get()->isa, dim);
}

size_t kua__attention_scratch(const kua__attend_options *a, size_t keys)
{
    assert(a && a->dim >= 1);
    size_t padded = (keys + KUA__ATTEND_LANES - 1) / KUA__ATTEND_LANES * KUA__ATTEND_LANES;
    return padded * (a->dim + KUA__ATTEND_ROWS); /* keys of a head, transposed; scores of a block */
}

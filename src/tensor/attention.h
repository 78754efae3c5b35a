/* tensor/attention.h - softmax(Q K^T scale) V of one sequence, all heads, without a matrix of
 * scores.
 *
 *     qkv [n, 3 heads dim]   row of token i: q of head 0, 1, ... | k of the same | v of the same
 *     out [n, heads dim]
 *
 * What the ragged batches of the encoder need: sequences of any length, one after another, none
 * padded. A block of queries meets all keys at once; its scores (a few kilobytes) never leave the
 * first cache level.
 *
 * attention_plain.c is the reference, attention_simd.h the text of the vector kernels. The choice
 * follows kua__kernels_get(). Kernels run on the calling thread. tests/tensor/test_attention.c
 * compares them.
 */
#ifndef KUA_TENSOR_ATTENTION_H
#define KUA_TENSOR_ATTENTION_H

#include "base/base.h"
#include "tensor/kernels.h"

typedef struct kua__attend_options {
    size_t heads, dim;  /* of one head */
    float scale;        /* usually 1 / sqrt(dim) */
    size_t first, last; /* heads first .. last - 1 are computed */
} kua__attend_options;

/* scratch: kua__attention_scratch() floats, 64-byte aligned. */
typedef void (*kua__attend_fn)(const kua__attend_options *a, size_t n, const float *qkv, float *out,
                               float *scratch);

/* The kernel of this process for heads of `dim` numbers, and of an instruction set for tests; NULL:
 * it has none. */
kua__attend_fn kua__attend_get(size_t dim);
kua__attend_fn kua__attend_of(kua__isa isa, size_t dim);
/* Floats of scratch that sequences of at most n tokens need. */
size_t kua__attention_scratch(const kua__attend_options *a, size_t n);

/* The kernels themselves. */
enum {
    KUA__ATTEND_ROWS = 8,
    KUA__ATTEND_LANES = 16
}; /* queries of a block; n is rounded up to lanes */
void kua__attend_plain(const kua__attend_options *a, size_t n, const float *qkv, float *out,
                       float *scratch);
void kua__attend_avx2(const kua__attend_options *a, size_t n, const float *qkv, float *out,
                      float *scratch);
void kua__attend_avx512(const kua__attend_options *a, size_t n, const float *qkv, float *out,
                        float *scratch);

#endif

/* tensor/attention.h - softmax(Q K^T scale) V of one sequence, all heads, without a matrix of
 * scores.
 *
 *     q   [n rows]      row of token i: the query of head 0, 1, ...      q_row floats between rows
 *     k v [keys rows]   row of token j: the key or value of head 0, 1, ...         kv_row between
 *     out [n, heads dim]
 *
 * What the ragged batches of the encoder need: sequences of any length, one after another, none
 * padded. A block of queries meets all keys at once; its scores (a few kilobytes) never leave the
 * first cache level.
 *
 * Grouped heads: query head h reads key and value head h * kv_heads / heads. Causal: the queries
 * are the last n of `keys` tokens, and each meets those up to itself; so keys and values of earlier
 * tokens may come from a cache.
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
    size_t heads, kv_heads; /* kv_heads divides heads */
    size_t dim;             /* of one head */
    float scale;            /* usually 1 / sqrt(dim) */
    bool causal;
    size_t first, last; /* query heads first .. last - 1 are computed */
} kua__attend_options;

/* One sequence. keys >= n; keys == n where not causal and nothing is cached. */
typedef struct kua__attend_rows {
    const float *q, *k, *v;
    size_t q_row, kv_row; /* floats between rows */
    size_t n, keys;
} kua__attend_rows;

/* scratch: kua__attention_scratch() floats, 64-byte aligned. */
typedef void (*kua__attend_fn)(const kua__attend_options *a, const kua__attend_rows *rows,
                               float *out, float *scratch);

/* The kernel of this process for heads of `dim` numbers, and of an instruction set for tests; NULL:
 * it has none. */
kua__attend_fn kua__attend_get(size_t dim);
kua__attend_fn kua__attend_of(kua__isa isa, size_t dim);
/* Floats of scratch that sequences of at most that many keys need. */
size_t kua__attention_scratch(const kua__attend_options *a, size_t keys);

/* The kernels themselves. */
enum {
    KUA__ATTEND_ROWS = 8,
    KUA__ATTEND_LANES = 16
}; /* queries of a block; keys are rounded up to lanes */
void kua__attend_plain(const kua__attend_options *a, const kua__attend_rows *rows, float *out,
                       float *scratch);
void kua__attend_avx2(const kua__attend_options *a, const kua__attend_rows *rows, float *out,
                      float *scratch);
void kua__attend_avx512(const kua__attend_options *a, const kua__attend_rows *rows, float *out,
                        float *scratch);

#endif

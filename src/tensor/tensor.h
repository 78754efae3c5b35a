/* tensor/tensor.h - a named tensor inside a file: its type, its shape, and its numbers as floats.
 *
 * Types come in two kinds. Of a plain one an element stands alone; of a block-quantised one (the
 * formats of GGUF files) 32 or 256 elements share one or more scales, and only whole blocks lie in
 * a file:
 *
 *     Q8_0   x = d q                 f16 d, 32 signed bytes
 *     Q4_0   x = d (q - 8)           f16 d, 32 numbers of 4 bits
 *     Q4_1   x = d q + m             f16 d, f16 m, 32 numbers of 4 bits
 *     Q4_K   x = d s q - m t         f16 d and m; of each 32 in 256, s and t of 6 bits; q of 4 bits
 *     Q6_K   x = d s (q - 32)        of each 16 in 256, a signed byte s; q of 6 bits; f16 d
 */
#ifndef KUA_TENSOR_TENSOR_H
#define KUA_TENSOR_TENSOR_H

#include "base/base.h"

enum {
    KUA__RANK_MAX = 8,
    KUA__TENSOR_NAME_MAX = 255, /* bytes */
    KUA__TENSORS_MAX = 1 << 16, /* in one file */
    KUA__BLOCK_MAX = 256,       /* elements of a block */
    KUA__SHAPE_TEXT_MAX = 200,
};

/* name in files, elements of a block, bytes of a block; the plain types come first */
#define KUA__DTYPE_MAP(X)                                                                          \
    X(F32, 1, 4)                                                                                   \
    X(F16, 1, 2)                                                                                   \
    X(BF16, 1, 2)                                                                                  \
    X(I8, 1, 1)                                                                                    \
    X(U8, 1, 1)                                                                                    \
    X(I32, 1, 4)                                                                                   \
    X(I64, 1, 8)                                                                                   \
    X(BOOL, 1, 1)                                                                                  \
    X(Q8_0, 32, 34)                                                                                \
    X(Q4_0, 32, 18)                                                                                \
    X(Q4_1, 32, 20)                                                                                \
    X(Q4_K, 256, 144)                                                                              \
    X(Q6_K, 256, 210)

typedef enum kua__dtype {
#define X(name, block, size) KUA__##name,
    KUA__DTYPE_MAP(X)
#undef X
        KUA__DTYPE_COUNT
} kua__dtype;

const char *kua__dtype_name(kua__dtype dtype);
size_t kua__dtype_block(kua__dtype dtype); /* elements of a block; 1: a plain type */
size_t kua__dtype_size(kua__dtype dtype);  /* bytes of a block, so of an element of a plain type */

typedef struct kua__tensor {
    const char *name;
    kua__dtype dtype;
    size_t rank, dim[KUA__RANK_MAX]; /* rank 0: one number; the last one changes fastest */
    size_t count, bytes;             /* elements; both fit in memory */
    const void *data;                /* in the mapping; may be unaligned: see kua__tensor_f32() */
    bool turned; /* rank 2 and plain: dim is [out,in], but the numbers lie as [in,out] */
} kua__tensor;

/* Elements first .. first + n - 1 as f32, in the order in which they lie (so a turned tensor's are
 * those of its transpose). Integers beyond 2^24 are rounded. Of a quantised tensor whole blocks are
 * fastest, any range works. */
void kua__tensor_to_f32(const kua__tensor *tensor, size_t first, size_t n, float *out);
/* All of it as out[rows, cols], as dim says: dequantised, and turned back where it is turned.
 * rows * cols is tensor->count; a tensor of any rank is taken with its leading dimensions as rows.
 */
void kua__tensor_matrix_f32(const kua__tensor *tensor, size_t rows, size_t cols, float *out);
/* The numbers where they lie; NULL where they are not F32, turned or not aligned. */
const float *kua__tensor_f32(const kua__tensor *tensor);

/* ---- for the readers of files ---- */

/* Sets count and bytes from dtype, rank and dim; false: they overflow, or the last dimension is not
 * a multiple of the block. */
bool kua__tensor_measure(kua__tensor *tensor);
/* "[384,1536]" into out; returns it. */
const char *kua__shape_text(size_t rank, const size_t *dim, char out[KUA__SHAPE_TEXT_MAX]);
/* KUA_NOTFOUND where t is NULL ("<file>: no tensor "x""), KUA_SHAPE where the shape is another. */
kua_status kua__tensor_expect(const char *file, const char *name, const kua__tensor *t, size_t rank,
                              const size_t *dim);
/* Fills by_name[n] with the places of all[n], sorted by name; and the lookup by it, NULL: none. */
void kua__tensors_sort(const kua__tensor *all, size_t n, uint32_t *by_name);
const kua__tensor *kua__tensors_find(const kua__tensor *all, size_t n, const uint32_t *by_name,
                                     const char *name);

#endif

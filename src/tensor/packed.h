/* tensor/packed.h - products with weights that are laid out once for oneDNN's kernel and then used
 * many times.
 *
 *     y[rows,out] = act(x[rows,in] W^T + bias)     or     y += x W^T + bias
 *
 * with W [out,in] as torch stores it.
 *
 *     kua__packed_options options = {.out = 1536, .in = 384, .weight = w, .bias = b};
 *     kua__packed *packed = NULL;                    immutable, shared by all threads
 *     kua__lane *lane = NULL;                        one a thread
 *     st = kua__packed_create(&options, &packed);
 *     if (!st) st = kua__lane_create(&lane);
 *     if (!st) st = kua__packed_run(packed, lane, rows, x, y);      on this thread alone
 *
 * A kernel is compiled by oneDNN for each (shape, number of rows); the lane keeps what it has used,
 * up to KUA__LANE_PLANS of them. Callers that see many different numbers of rows round them up
 * (kua__packed_rows()) and have the room behind x and y.
 */
#ifndef KUA_TENSOR_PACKED_H
#define KUA_TENSOR_PACKED_H

#include "base/base.h"

enum { KUA__LANE_PLANS = 512, KUA__PACKED_PARTS_MAX = 64 };

typedef enum kua__epilogue {
    KUA__EPILOGUE_NONE,
    KUA__EPILOGUE_GELU, /* x Phi(x), with erf */
    KUA__EPILOGUE_RELU,
    KUA__EPILOGUE_ADD /* to what y holds */
} kua__epilogue;

/* Of the weights, and of x on its way into a product; x, y and the sums of bf16 are f32. */
typedef enum kua__precision {
    KUA__PRECISION_F32,
    KUA__PRECISION_BF16, /* f32 where the processor has no bf16 */
    KUA__PRECISION_INT8  /* a scale for each column of the weights and each row of x */
} kua__precision;

typedef struct kua__packed_options {
    size_t out, in;      /* 1 .. 2^24 each */
    const float *weight; /* [out,in] */
    const float *bias;   /* [out]; NULL: none */
    kua__epilogue epilogue;
    size_t parts; /* for kua__packed_run_part(): at most so many; 0: 1 */
    kua__precision precision;
} kua__packed_options;

typedef struct kua__packed kua__packed;
typedef struct kua__lane kua__lane;

/* Copies the numbers. On failure *out is NULL. KUA_NOMEM, KUA_INTERNAL. */
kua_status kua__packed_create(const kua__packed_options *options, kua__packed **out);
void kua__packed_free(kua__packed *packed); /* NULL is allowed */
size_t kua__packed_bytes(const kua__packed *packed);

kua_status kua__lane_create(kua__lane **out);
void kua__lane_free(kua__lane *lane); /* NULL is allowed */

/* x and y are 64-byte aligned for speed; they may not overlap. */
kua_status kua__packed_run(const kua__packed *packed, kua__lane *lane, size_t rows, const float *x,
                           float *y);

/* One product by several threads: each runs another of the `parts` column ranges of y, with a lane
 * of its own. What it wrote is complete when all have returned. Same bits as kua__packed_run()
 * gives. */
size_t kua__packed_parts(const kua__packed *packed);
kua_status kua__packed_run_part(const kua__packed *packed, kua__lane *lane, size_t part,
                                size_t rows, const float *x, float *y);

/* `rows` rounded up so that few of oneDNN's kernels serve all numbers of rows: exact up to 16, then
 * to multiples of 8 or 16. Own kernels take any number: exact. */
size_t kua__packed_rows(size_t rows);

#endif

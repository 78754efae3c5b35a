/* tensor/packed_low.h - products with packed weights by own kernels; behind packed.h.
 *
 *     f32    y = act(sum of x w + bias)
 *     bf16   y = act(sum of x w in f32 + bias)              x rounded to bf16 on the way in
 *     int8   y = act(s_i t_j (sum of q w - z_i sum w) + bias)
 *            q = round(x / s_i) + z_i, 0 .. 255, s_i and z_i from the range of row i
 *            w = round(W / t_j), -127 .. 127, t_j from the largest of column j
 *
 * What is summed over (`in`) goes by words of 32 bits: 1 number of f32, 2 of bf16 or 4 of int8, as
 * the instructions vdpbf16ps and vpdpbusd take them. Weights lie in panels, so that one step along
 * `in` loads whole vectors:
 *
 *     panel [words][KUA__LOW_COLS] of words        numbers behind `in`, and columns behind `out`,
 *                                                  are zeros
 *
 * The integer sums are exact, so every kernel computes the same ones.
 */
#ifndef KUA_TENSOR_PACKED_LOW_H
#define KUA_TENSOR_PACKED_LOW_H

#include "base/base.h"
#include "tensor/kernels.h"
#include "tensor/packed.h"

enum {
    KUA__LOW_COLS = 32,       /* of a panel */
    KUA__LOW_ROWS = 12,       /* of the largest tile */
    KUA__LOW_BLOCK = 96,      /* rows whose words are in scratch at a time */
    KUA__LOW_IN_MAX = 1 << 16 /* 65536 * 255 * 128 still fits 32 bits */
};

typedef struct kua__low {
    kua__precision precision; /* of this product */
    kua__epilogue epilogue;
    size_t out, in, words, panels, parts, bytes;
    uint32_t *panel;           /* [panels][words][KUA__LOW_COLS] */
    float *scale, *sum, *bias; /* [panels * KUA__LOW_COLS]; scale and sum: of int8 only */
} kua__low;

/* Rows of x through the panels first .. last - 1. */
typedef struct kua__low_product {
    const kua__low *w;
    size_t first, last, rows;
    const float *x; /* [rows, in] */
    float *y;       /* [rows, out] */
    uint32_t *tile; /* kua__low_scratch() words */
} kua__low_product;

typedef void (*kua__low_fn)(const kua__low_product *p);

/* NULL: this instruction set has no kernel for it, or the processor lacks it. */
kua__low_fn kua__low_of(kua__precision precision, kua__isa isa);

kua_status kua__low_create(const kua__packed_options *options, kua__low **out);
void kua__low_free(kua__low *low); /* NULL is allowed */
size_t kua__low_scratch(const kua__low *low, size_t rows);
/* Panels of one of the parts. */
void kua__low_part(const kua__low *low, size_t part, size_t *first, size_t *last);

void kua__low_int8_plain(const kua__low_product *p);
#if defined(__x86_64__)
void kua__low_int8_avx2(const kua__low_product *p);
void kua__low_int8_avx512(const kua__low_product *p);
void kua__low_bf16_avx512(const kua__low_product *p);
void kua__low_f32_avx512(const kua__low_product *p);
#endif

#endif

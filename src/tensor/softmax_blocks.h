/* tensor/softmax_blocks.h - between softmax_bf16.c, which cuts the work, and its kernels. */
#ifndef KUA_TENSOR_SOFTMAX_BLOCKS_H
#define KUA_TENSOR_SOFTMAX_BLOCKS_H

#include "tensor/softmax_bf16.h"

enum {
    KUA__SHARE_ROWS = 12,  /* of a tile */
    KUA__SHARE_ITEMS = 32, /* of a panel */
    KUA__SHARE_DIM_MAX = 512
};

/* Pairs are two bf16 in 32 bits. Panels behind the last item's are never read. */
typedef struct kua__softmax_blocks {
    const kua__softmax_problem *problem;
    size_t panels;         /* of 32 items */
    size_t depth;          /* pairs along dim, a multiple of 16 */
    size_t slices;         /* of 32 columns of dim */
    size_t tiles;          /* of 12 columns of dim */
    size_t chunk_rows;     /* a multiple of 12 */
    float most, most_bias; /* the largest |w| and |bias| */
    uint32_t *w_along;     /* [panels][depth][32]: w^T, for logits */
    uint32_t *w_across;    /* [slices][16 panels][32]: w, for dh */
    float *bias;           /* [panels * 32]: -1e30 behind the last item */
    uint32_t *share;       /* [panels][chunk_rows / 2][32]: pairs of rows */
    uint32_t *h_scaled;    /* [tiles][chunk_rows / 2][16]: h over the row's total; 12 lanes used */
    float *dw;             /* [panels][tiles * 12][32] */
    float *shift, *total, *row_loss; /* [chunk_rows] */
    /* the chunk under way */
    size_t first, n; /* rows first .. first + n of the problem */
} kua__softmax_blocks;

#if defined(__x86_64__)
/* Packs panels [first, last) of w. */
void kua__softmax_pack_avx512(kua__softmax_blocks *b, size_t first, size_t last);
/* Tiles [first, last) of the chunk's rows: shares, totals, losses, dh, h_scaled. */
void kua__softmax_rows_avx512(const kua__softmax_blocks *b, size_t first, size_t last);
/* Panels [first, last): dw += share^T h_scaled over the chunk. */
void kua__softmax_items_avx512(const kua__softmax_blocks *b, size_t first, size_t last);
/* Panels [first, last) of the finished dw into the problem's. */
void kua__softmax_unpack_avx512(const kua__softmax_blocks *b, size_t first, size_t last);
#endif

#endif

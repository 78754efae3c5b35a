/* packed_int8_plain.c - products of 8 bits in plain C: the reference of the vector kernels. */
#include <assert.h>

#include "tensor/packed_int8_scalar.h"

/* One row by one panel. */
static void multiply_row(const kua__low *w, const uint8_t *q, row_map map, size_t panel, float *y)
{
    int32_t sum[KUA__LOW_COLS] = {0};
    const int8_t *b = (const int8_t *)(w->panel + panel * w->words * KUA__LOW_COLS);
    for (size_t k = 0; k < w->words; k++, q += 4, b += 4 * KUA__LOW_COLS) {
        for (size_t c = 0; c < KUA__LOW_COLS; c++) {
            for (size_t i = 0; i < 4; i++)
                sum[c] += q[i] * b[4 * c + i];
        }
    }
    for (size_t c = 0, j = panel * KUA__LOW_COLS; c < KUA__LOW_COLS && j < w->out; c++, j++)
        finish(w, sum[c], map, j, y);
}

void kua__low_int8_plain(const kua__low_product *p)
{
    assert(p->rows >= 1 && p->last <= p->w->panels);
    const kua__low *w = p->w;
    uint8_t *q = (uint8_t *)p->tile;
    for (size_t r = 0; r < p->rows; r++) {
        const float *x = p->x + r * w->in;
        row_map map = map_of(x, w->in);
        for (size_t i = 0; i < 4 * w->words; i++)
            q[i] = i < w->in ? (uint8_t)quantised(x[i], map) : 0;
        for (size_t j = p->first; j < p->last; j++)
            multiply_row(w, q, map, j, p->y + r * w->out);
    }
}

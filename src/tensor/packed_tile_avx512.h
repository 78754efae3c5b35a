/* packed_tile_avx512.h - the text of both kernels of packed_low.h: tiles of 12 x 32 whose 24 sums
 * stay in registers; included by packed_int8_avx512.c and packed_bf16_avx512.c.
 *
 *     rows of x --words()--> tile [words][R]          R = 12, then 8, 4, 2, 1 for what is left
 *     for each panel, for each tile:                  panels of up to 16 KiB stay in the
 * first-level sum[R][32] += tile x panel                  cache; longer ones stream from the second
 *         finish()                                    bias, activation, what y holds
 *
 * The including file defines PER_WORD (numbers in a word), sum_v (a vector of sums),
 * multiply_add(), prepare() (what is to be known of a row), words_of() (64 bytes of a row, as
 * words) and value() (a vector of finished products).
 */
#include <assert.h>

#include "tensor/bf16_avx512.h"
#include "tensor/packed_low.h"

enum {
    NR = KUA__LOW_COLS,
    MR = KUA__LOW_ROWS,
    BLOCK = KUA__LOW_BLOCK,
    CHUNK = 16 * PER_WORD,  /* numbers in a vector of words */
    PANEL_NEAR = 16 << 10,  /* bytes of a panel that stays in the first-level cache */
    PANELS_NEAR = 640 << 10 /* bytes of all that stay in the second */
};

#define ALWAYS      static inline __attribute__((always_inline))
#define EACH_ROW(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)

/* Rows of the next tile where `left` are left. */
static size_t tile_rows(size_t left)
{
    return left >= 12 ? 12 : left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

/* tile[word][r] for R rows from x on. Stores are whole vectors: each overwrites what the one before
 * left behind its R words, the last leaves it in the scratch's spare room. */
static void pack_tile(uint32_t *tile, const kua__low *w, const float *x, const row_map *map,
                      size_t R)
{
    assert(R >= 1 && R <= MR);
    __m512i v[16];
    for (size_t k = 0; k < w->in; k += CHUNK) {
        size_t n = KUA__MIN(w->in - k, (size_t)CHUNK), words = (n + PER_WORD - 1) / PER_WORD;
        if (R == 1) {
            _mm512_storeu_si512(tile + k / PER_WORD, words_of(x + k, n, map));
            continue;
        }
        for (size_t r = 0; r < 16; r++)
            v[r] = r < R ? words_of(x + r * w->in + k, n, map + r) : _mm512_setzero_si512();
        transpose16(v);
        for (size_t j = 0; j < words; j++)
            _mm512_storeu_si512(tile + (k / PER_WORD + j) * R, v[j]);
    }
}

/* sum[R][32] of a tile and a panel. */
ALWAYS void multiply_tile(sum_v sum[][2], const uint32_t *tile, const uint32_t *panel, size_t words,
                          const size_t R)
{
#define ZERO(i) sum_v l##i = sum_zero(), r##i = sum_zero();
    EACH_ROW(ZERO)
#undef ZERO
    for (size_t p = 0; p < words; p++, tile += R, panel += NR) {
        __m512i left = _mm512_load_si512(panel), right = _mm512_load_si512(panel + 16);
#define STEP(i)                                                                                    \
    if (i < R) {                                                                                   \
        __m512i word = _mm512_set1_epi32((int)tile[i]);                                            \
        l##i = multiply_add(l##i, word, left);                                                     \
        r##i = multiply_add(r##i, word, right);                                                    \
    }
        EACH_ROW(STEP)
#undef STEP
    }
#define STORE(i)                                                                                   \
    if (i < R) sum[i][0] = l##i, sum[i][1] = r##i;
    EACH_ROW(STORE)
#undef STORE
}

ALWAYS void finish_half(const kua__low *w, sum_v sum, const row_map *map, size_t column, float *y,
                        const kua__epilogue epilogue)
{
    __mmask16 m = lanes(w->out > column ? w->out - column : 0);
    __m512 v = value(w, sum, map, column);
    if (epilogue == KUA__EPILOGUE_GELU) v = gelu(v);
    if (epilogue == KUA__EPILOGUE_RELU) v = _mm512_max_ps(v, _mm512_setzero_ps());
    if (epilogue == KUA__EPILOGUE_ADD) v = v + _mm512_maskz_loadu_ps(m, y + column);
    _mm512_mask_storeu_ps(y + column, m, v);
}

ALWAYS void finish_as(const kua__low *w, sum_v sum[][2], const row_map *map, size_t R,
                      size_t column, float *y, const kua__epilogue epilogue)
{
    for (size_t r = 0; r < R; r++, y += w->out) {
        finish_half(w, sum[r][0], map + r, column, y, epilogue);
        finish_half(w, sum[r][1], map + r, column + 16, y, epilogue);
    }
}

static void finish(const kua__low *w, sum_v sum[][2], const row_map *map, size_t R, size_t column,
                   float *y)
{
    switch (w->epilogue) {
    case KUA__EPILOGUE_NONE:
        return finish_as(w, sum, map, R, column, y, KUA__EPILOGUE_NONE);
    case KUA__EPILOGUE_GELU:
        return finish_as(w, sum, map, R, column, y, KUA__EPILOGUE_GELU);
    case KUA__EPILOGUE_RELU:
        return finish_as(w, sum, map, R, column, y, KUA__EPILOGUE_RELU);
    case KUA__EPILOGUE_ADD:
        return finish_as(w, sum, map, R, column, y, KUA__EPILOGUE_ADD);
    }
}

/* One tile and one panel, to y's rows. */
static void run_tile(const kua__low *w, const uint32_t *tile, const row_map *map, size_t R,
                     size_t panel, float *y)
{
    sum_v sum[MR][2];
    const uint32_t *b = w->panel + panel * w->words * NR;
    switch (R) {
    case 12:
        multiply_tile(sum, tile, b, w->words, 12);
        break;
    case 8:
        multiply_tile(sum, tile, b, w->words, 8);
        break;
    case 4:
        multiply_tile(sum, tile, b, w->words, 4);
        break;
    case 2:
        multiply_tile(sum, tile, b, w->words, 2);
        break;
    default:
        assert(R == 1);
        multiply_tile(sum, tile, b, w->words, 1);
    }
    finish(w, sum, map, R, panel * NR, y);
}

/* All tiles of a block, each with some panels. */
static void run_tiles(const kua__low_product *p, const row_map *map, size_t rows, size_t first,
                      size_t last, float *y)
{
    const kua__low *w = p->w;
    for (size_t r = 0, R; r < rows; r += R) {
        R = tile_rows(rows - r);
        for (size_t j = first; j < last; j++)
            run_tile(w, p->tile + r * w->words, map + r, R, j, y + r * w->out);
    }
}

/* All tiles meet one panel, then the next: where the panel stays in the first-level cache, or the
 * panels of a product would not stay in the second. Otherwise a tile meets all panels. */
static bool panels_first(const kua__low_product *p)
{
    size_t bytes = p->w->words * NR * sizeof(uint32_t);
    return bytes <= PANEL_NEAR || bytes * (p->last - p->first) > PANELS_NEAR;
}

/* Up to BLOCK rows: packed, then met by all panels. */
static void run_block(const kua__low_product *p, size_t rows, const float *x, float *y)
{
    const kua__low *w = p->w;
    row_map map[BLOCK];
    assert(rows <= BLOCK);
    for (size_t r = 0; r < rows; r++)
        prepare(map + r, x + r * w->in, w->in);
    for (size_t r = 0, R; r < rows; r += R) {
        R = tile_rows(rows - r);
        pack_tile(p->tile + r * w->words, w, x + r * w->in, map + r, R);
    }
    if (panels_first(p)) {
        for (size_t j = p->first; j < p->last; j++)
            run_tiles(p, map, rows, j, j + 1, y);
    } else {
        run_tiles(p, map, rows, p->first, p->last, y);
    }
}

static void run(const kua__low_product *p)
{
    assert(p->rows >= 1 && p->first <= p->last && p->last <= p->w->panels);
    for (size_t r = 0; r < p->rows; r += BLOCK)
        run_block(p, KUA__MIN((size_t)BLOCK, p->rows - r), p->x + r * p->w->in,
                  p->y + r * p->w->out);
}

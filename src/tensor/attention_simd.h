/* attention_simd.h - attention once over `vf`, a vector of W floats; included by attention_avx2.c
 * and _avx512.c.
 *
 * For each head of a sequence of n tokens (n rounded up to a multiple of W: `padded`):
 *
 *     keys [dim][padded]     K transposed W x W at a time, so that a vector holds one coordinate of
 *                            W keys
 *     and for each block of ROWS queries:
 *     score [ROWS][padded]   sums over dim, 2 vectors of keys at a time: 2 ROWS sums in registers
 *                            exponentials in place, their sums kept
 *     out [ROWS][dim]        sums over keys, 2 vectors of coordinates at a time, each divided by
 *                            its query's sum
 *
 * The last block has 4, 2 or 1 queries: the same text with another constant. Lanes behind the last
 * key hold zeros as keys and LOWEST as scores, so their exponentials vanish.
 */
#include <assert.h>

#define ALWAYS static inline __attribute__((always_inline))

static const float LOWEST = -1e30f;

/* e^x for x <= 0, from -87 on; below it the smallest normal number. Cephes' polynomial, 1-2 units
 * in the last place. */
ALWAYS vf exp_negative(vf x)
{
    x = vf_max(x, vf_set(-87.0f));
    vf k = vf_round(x * vf_set(1.44269504f));
    vf r = vf_fnma(k, vf_set(-2.12194440e-4f), vf_fnma(k, vf_set(0.693359375f), x));
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(0.5f));
    return vf_pow2(vf_fma(p, r * r, r + vf_set(1.0f)), k);
}

/* keys[c][j] = k[j][c] */
static void transpose_keys(float *keys, size_t padded, const float *k, size_t stride, size_t n,
                           size_t dim)
{
    for (size_t j = 0; j < n; j += W) {
        size_t here = n - j < W ? n - j : W;
        for (size_t c = 0; c < dim; c += W)
            transpose_block(keys + c * padded + j, padded, k + j * stride + c, stride, here);
    }
}

/* score[r][0 .. W * vectors) = q[r] . keys, for `rows` queries; rows and vectors are constants */
ALWAYS void score_tile(float *score, const float *q, size_t stride, const float *keys,
                       size_t padded, size_t dim, const int rows, const int vectors)
{
    vf sum[ROWS][2];
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++)
            sum[r][v] = vf_set(0);
    }
    for (size_t c = 0; c < dim; c++) {
        vf key[2];
        for (int v = 0; v < vectors; v++)
            key[v] = vf_load(keys + c * padded + v * W);
        for (int r = 0; r < rows; r++) {
            vf one = vf_set(q[r * stride + c]);
            for (int v = 0; v < vectors; v++)
                sum[r][v] = vf_fma(one, key[v], sum[r][v]);
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int v = 0; v < vectors; v++)
            vf_store(score + r * padded + v * W, sum[r][v]);
    }
}

/* One row of scores to exponentials; returns 1 / their sum. */
ALWAYS float exponentials(float *score, size_t n, size_t padded, float scale)
{
    if (n < padded)
        vf_store(score + padded - W, vf_first_or(vf_load(score + padded - W), n % W, LOWEST));
    vf most = vf_load(score);
    for (size_t j = W; j < padded; j += W)
        most = vf_max(most, vf_load(score + j));
    vf shift = vf_set(vf_largest(most)), factor = vf_set(scale), sum = vf_set(0);
    for (size_t j = 0; j < padded; j += W) {
        vf e = exp_negative((vf_load(score + j) - shift) * factor);
        sum = sum + e;
        vf_store(score + j, e);
    }
    return 1.0f / vf_sum(sum);
}

/* out[r][0 .. W * vectors) = weight[r] . v * share[r] */
ALWAYS void mix_tile(float *out, size_t out_stride, const float *weight, size_t padded,
                     const float *v, size_t stride, size_t n, const float *share, const int rows,
                     const int vectors)
{
    vf sum[ROWS][2];
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < vectors; i++)
            sum[r][i] = vf_set(0);
    }
    for (size_t j = 0; j < n; j++) {
        vf value[2];
        for (int i = 0; i < vectors; i++)
            value[i] = vf_load(v + j * stride + i * W);
        for (int r = 0; r < rows; r++) {
            vf one = vf_set(weight[r * padded + j]);
            for (int i = 0; i < vectors; i++)
                sum[r][i] = vf_fma(one, value[i], sum[r][i]);
        }
    }
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < vectors; i++)
            vf_store(out + r * out_stride + i * W, sum[r][i] * vf_set(share[r]));
    }
}

/* What a block of queries of one head meets. */
typedef struct head {
    const float *keys, *v;
    float *score, scale;
    size_t n, padded, dim, stride, out_stride;
} head;

ALWAYS void attend_block(const head *h, const float *q, float *out, const int rows)
{
    float share[ROWS];
    size_t j = 0, c = 0;
    for (; j + 2 * W <= h->padded; j += 2 * W)
        score_tile(h->score + j, q, h->stride, h->keys + j, h->padded, h->dim, rows, 2);
    if (j < h->padded)
        score_tile(h->score + j, q, h->stride, h->keys + j, h->padded, h->dim, rows, 1);
    for (int r = 0; r < rows; r++)
        share[r] = exponentials(h->score + r * h->padded, h->n, h->padded, h->scale);
    for (; c + 2 * W <= h->dim; c += 2 * W)
        mix_tile(out + c, h->out_stride, h->score, h->padded, h->v + c, h->stride, h->n, share,
                 rows, 2);
    if (c < h->dim)
        mix_tile(out + c, h->out_stride, h->score, h->padded, h->v + c, h->stride, h->n, share,
                 rows, 1);
}

static void attend_head(const head *h, const float *q, float *out)
{
    size_t i = 0;
    for (; i + ROWS <= h->n; i += ROWS)
        attend_block(h, q + i * h->stride, out + i * h->out_stride, ROWS);
    for (; ROWS > 4 && i + 4 <= h->n; i += 4)
        attend_block(h, q + i * h->stride, out + i * h->out_stride, 4);
    for (; i + 2 <= h->n; i += 2)
        attend_block(h, q + i * h->stride, out + i * h->out_stride, 2);
    if (i < h->n) attend_block(h, q + i * h->stride, out + i * h->out_stride, 1);
}

static void attend(const kua__attend_options *a, size_t n, const float *qkv, float *out,
                   float *scratch)
{
    assert(a->last <= a->heads && a->dim % W == 0);
    size_t width = a->heads * a->dim, padded = (n + W - 1) / W * W;
    float *score = scratch + a->dim * padded;
    for (size_t i = a->first; n && i < a->last; i++) {
        const float *q = qkv + i * a->dim, *k = q + width, *v = k + width;
        transpose_keys(scratch, padded, k, 3 * width, n, a->dim);
        head h = {scratch, v, score, a->scale, n, padded, a->dim, 3 * width, width};
        attend_head(&h, q, out + i * a->dim);
    }
}

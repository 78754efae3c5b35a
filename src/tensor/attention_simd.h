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
 * Heads that share keys come one after another, so keys are transposed once for all of them.
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
    const float *keys, *k, *v;
    float *score, scale;
    size_t n, seen; /* keys; how many of them the first query sees, where causal */
    size_t padded, dim, q_row, kv_row, out_row;
    bool causal;
} head;

static size_t padded_to(size_t n)
{
    return (n + W - 1) / W * W;
}

/* Queries i .. i + rows - 1. Those of a causal block see one key more each: the block meets what
 * the last one sees, and what an earlier one does not see weighs nothing. */
ALWAYS void attend_block(const head *h, const float *q, float *out, size_t i, const int rows)
{
    float share[ROWS];
    size_t n = h->causal ? h->seen + i + (size_t)rows - 1 : h->n, padded = padded_to(n);
    size_t j = 0, c = 0;
    q += i * h->q_row;
    out += i * h->out_row;
    for (; j + 2 * W <= padded; j += 2 * W)
        score_tile(h->score + j, q, h->q_row, h->keys + j, h->padded, h->dim, rows, 2);
    if (j < padded) score_tile(h->score + j, q, h->q_row, h->keys + j, h->padded, h->dim, rows, 1);
    for (int r = 0; r < rows; r++) {
        size_t sees = h->causal ? h->seen + i + (size_t)r : n;
        float *score = h->score + (size_t)r * h->padded;
        share[r] = exponentials(score, sees, padded_to(sees), h->scale);
        for (j = padded_to(sees); j < padded; j += W)
            vf_store(score + j, vf_set(0));
    }
    for (; c + 2 * W <= h->dim; c += 2 * W)
        mix_tile(out + c, h->out_row, h->score, h->padded, h->v + c, h->kv_row, n, share, rows, 2);
    if (c < h->dim)
        mix_tile(out + c, h->out_row, h->score, h->padded, h->v + c, h->kv_row, n, share, rows, 1);
}

static void attend_head(const head *h, size_t n, const float *q, float *out)
{
    size_t i = 0;
    for (; i + ROWS <= n; i += ROWS)
        attend_block(h, q, out, i, ROWS);
    for (; ROWS > 4 && i + 4 <= n; i += 4)
        attend_block(h, q, out, i, 4);
    for (; i + 2 <= n; i += 2)
        attend_block(h, q, out, i, 2);
    if (i < n) attend_block(h, q, out, i, 1);
}

/* One query alone (the next token of a generation): its keys are read once, where they lie. */
static void attend_one(const head *h, const float *q, float *out)
{
    for (size_t j = 0; j < h->n; j++) {
        vf sum = vf_set(0);
        for (size_t c = 0; c < h->dim; c += W)
            sum = vf_fma(vf_load(q + c), vf_load(h->k + j * h->kv_row + c), sum);
        h->score[j] = vf_sum(sum);
    }
    for (size_t j = h->n; j < padded_to(h->n); j++)
        h->score[j] = LOWEST;
    float share = exponentials(h->score, h->n, padded_to(h->n), h->scale);
    for (size_t c = 0; c < h->dim; c += W)
        mix_tile(out + c, h->out_row, h->score, h->padded, h->v + c, h->kv_row, h->n, &share, 1, 1);
}

static void attend(const kua__attend_options *a, const kua__attend_rows *rows, float *out,
                   float *scratch)
{
    assert(a->last <= a->heads && a->dim % W == 0 && rows->keys >= rows->n);
    assert(a->kv_heads >= 1 && a->heads % a->kv_heads == 0);
    size_t padded = padded_to(rows->keys), turned = a->kv_heads;
    for (size_t i = a->first; rows->n && i < a->last; i++) {
        size_t group = i * a->kv_heads / a->heads;
        const float *q = rows->q + i * a->dim, *k = rows->k + group * a->dim;
        head h = {.keys = scratch,
                  .k = k,
                  .v = rows->v + group * a->dim,
                  .score = scratch + a->dim * padded,
                  .scale = a->scale,
                  .n = rows->keys,
                  .seen = rows->keys - rows->n + 1,
                  .padded = padded,
                  .dim = a->dim,
                  .q_row = rows->q_row,
                  .kv_row = rows->kv_row,
                  .out_row = a->heads * a->dim,
                  .causal = a->causal};
        if (rows->n == 1) {
            attend_one(&h, q, out + i * a->dim);
            continue;
        }
        if (group != turned) transpose_keys(scratch, padded, k, rows->kv_row, rows->keys, a->dim);
        turned = group;
        attend_head(&h, rows->n, q, out + i * a->dim);
    }
}

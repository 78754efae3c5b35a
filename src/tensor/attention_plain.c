/* attention_plain.c - the reference: one query after another, as the formula says.
 *
 *     scratch  [n] scores of one query, then their exponentials
 *
 * The largest score is taken off before the scale, which is positive: no exponential is above 1.
 */
#include <assert.h>
#include <math.h>

#include "tensor/attention.h"

/* scores[n] of one query -> their exponentials; returns the sum */
static float exponentials(float *score, size_t n, float scale)
{
    assert(n >= 1);
    float most = score[0], sum = 0;
    for (size_t j = 1; j < n; j++)
        most = fmaxf(most, score[j]);
    for (size_t j = 0; j < n; j++) {
        score[j] = expf((score[j] - most) * scale);
        sum += score[j];
    }
    return sum;
}

/* Query i of `rows` against the keys that it sees. */
static void attend_query(const kua__attend_options *a, const kua__attend_rows *rows, size_t head,
                         size_t i, float *out, float *score)
{
    size_t d = a->dim, group = head * a->kv_heads / a->heads;
    size_t n = a->causal ? rows->keys - rows->n + i + 1 : rows->keys;
    const float *q = rows->q + i * rows->q_row + head * d;
    const float *k = rows->k + group * d, *v = rows->v + group * d;
    for (size_t j = 0; j < n; j++) {
        score[j] = 0;
        for (size_t c = 0; c < d; c++)
            score[j] += q[c] * k[j * rows->kv_row + c];
    }
    float sum = exponentials(score, n, a->scale);
    for (size_t c = 0; c < d; c++) {
        float mixed = 0;
        for (size_t j = 0; j < n; j++)
            mixed += score[j] * v[j * rows->kv_row + c];
        out[c] = mixed / sum;
    }
}

void kua__attend_plain(const kua__attend_options *a, const kua__attend_rows *rows, float *out,
                       float *scratch)
{
    assert(a && a->first <= a->last && a->last <= a->heads && a->dim >= 1);
    assert(a->kv_heads >= 1 && a->heads % a->kv_heads == 0 && rows->keys >= rows->n);
    assert(rows->n == 0 || (rows->q && rows->k && rows->v && out && scratch));
    for (size_t h = a->first; h < a->last; h++) {
        for (size_t i = 0; i < rows->n; i++)
            attend_query(a, rows, h, i, out + (i * a->heads + h) * a->dim, scratch);
    }
}

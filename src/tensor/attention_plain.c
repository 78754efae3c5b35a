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

static void attend_head(const kua__attend_options *a, size_t n, const float *q, const float *k,
                        const float *v, float *out, float *score)
{
    size_t d = a->dim, row = 3 * a->heads * d, out_row = a->heads * d;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            score[j] = 0;
            for (size_t c = 0; c < d; c++)
                score[j] += q[i * row + c] * k[j * row + c];
        }
        float sum = exponentials(score, n, a->scale);
        for (size_t c = 0; c < d; c++) {
            float mixed = 0;
            for (size_t j = 0; j < n; j++)
                mixed += score[j] * v[j * row + c];
            out[i * out_row + c] = mixed / sum;
        }
    }
}

void kua__attend_plain(const kua__attend_options *a, size_t n, const float *qkv, float *out,
                       float *scratch)
{
    assert(a && a->first <= a->last && a->last <= a->heads && a->dim >= 1);
    assert(n == 0 || (qkv && out && scratch));
    size_t width = a->heads * a->dim;
    for (size_t h = a->first; n && h < a->last; h++) {
        const float *q = qkv + h * a->dim;
        attend_head(a, n, q, q + width, q + 2 * width, out + h * a->dim, scratch);
    }
}

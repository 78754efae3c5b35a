/* kernels_plain.c - the reference of every kernel: scalar, readable, with the C library's
 * functions.
 *
 * What a kernel means is said here and nowhere else; the vector files are compared with this one.
 * Sums run in double where the vector kernels sum in float, lane by lane: two ways to round, of
 * which this one is the better. Backward kernels take what kernels.h says the forward pass kept.
 */
#include <assert.h>
#include <math.h>
#include <float.h>

#include "tensor/kernels_tables.h"

#define EACH(n) for (size_t i = 0; i < (n); i++)

/* Adds to, or replaces. */
static inline void put(float *y, float value, bool add)
{
    *y = add ? *y + value : value;
}

static inline float sigmoid(float x)
{
    return 1.0f / (1.0f + expf(-x));
}

/* ---- elementwise ---- */

static void k_add(float *y, const float *a, const float *b, size_t n)
{
    EACH(n) y[i] = a[i] + b[i];
}

static void k_sub(float *y, const float *a, const float *b, size_t n)
{
    EACH(n) y[i] = a[i] - b[i];
}

static void k_mul(float *y, const float *a, const float *b, size_t n)
{
    EACH(n) y[i] = a[i] * b[i];
}

static void k_mul_add(float *y, const float *a, const float *b, size_t n)
{
    EACH(n) y[i] += a[i] * b[i];
}

static void k_scale(float *y, const float *x, float factor, size_t n)
{
    EACH(n) y[i] = factor * x[i];
}

static void k_axpy(float *y, const float *x, float factor, size_t n)
{
    EACH(n) y[i] += factor * x[i];
}

static void k_lerp(float *y, const float *x, float weight, size_t n)
{
    EACH(n) y[i] += weight * (x[i] - y[i]);
}

static void k_exp(float *y, const float *x, size_t n)
{
    EACH(n) y[i] = expf(x[i]);
}

/* ---- reductions: in double, so that they are the better of two answers ---- */

static float k_sum(const float *x, size_t n)
{
    double sum = 0;
    EACH(n) sum += x[i];
    return (float)sum;
}

static float k_dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    EACH(n) sum += (double)a[i] * b[i];
    return (float)sum;
}

static float k_max(const float *x, size_t n)
{
    assert(n >= 1);
    float best = x[0];
    EACH(n) best = x[i] > best ? x[i] : best;
    return best;
}

static size_t k_above(const float *x, float bar, size_t n)
{
    size_t i = 0;
    while (i < n && !(x[i] > bar))
        i++;
    return i;
}

/* ---- activations ---- */

static inline float normal_cdf(float x)
{
    return 0.5f * erfcf(-x * 0.70710678f);
}

static void k_gelu(float *y, const float *x, size_t n)
{
    EACH(n) y[i] = x[i] * normal_cdf(x[i]);
}

static void k_relu(float *y, const float *x, size_t n)
{
    EACH(n) y[i] = x[i] > 0 ? x[i] : 0;
}

static void k_sigmoid(float *y, const float *x, size_t n)
{
    EACH(n) y[i] = sigmoid(x[i]);
}

static void k_tanh(float *y, const float *x, size_t n)
{
    EACH(n) y[i] = tanhf(x[i]);
}

static void k_silu(float *y, const float *x, size_t n)
{
    EACH(n) y[i] = x[i] * sigmoid(x[i]);
}

static void k_gelu_back(float *dx, const float *x, const float *dy, size_t n, bool add)
{
    EACH(n)
    {
        float density = 0.39894228f * expf(-0.5f * x[i] * x[i]);
        put(&dx[i], dy[i] * (normal_cdf(x[i]) + x[i] * density), add);
    }
}

static void k_relu_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    EACH(n) put(&dx[i], y[i] > 0 ? dy[i] : 0, add);
}

static void k_sigmoid_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    EACH(n) put(&dx[i], dy[i] * y[i] * (1 - y[i]), add);
}

static void k_tanh_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    EACH(n) put(&dx[i], dy[i] * (1 - y[i] * y[i]), add);
}

static inline float silu_slope(float x, float s)
{
    return s * (1 + x * (1 - s));
}

static void k_silu_back(float *dx, const float *x, const float *dy, size_t n, bool add)
{
    EACH(n) put(&dx[i], dy[i] * silu_slope(x[i], sigmoid(x[i])), add);
}

static void k_swiglu(float *y, const float *a, const float *b, size_t n)
{
    EACH(n) y[i] = a[i] * sigmoid(a[i]) * b[i];
}

static void k_swiglu_back(float *da, float *db, const float *a, const float *b, const float *dy,
                          size_t n, bool add)
{
    EACH(n)
    {
        float s = sigmoid(a[i]);
        put(&da[i], dy[i] * b[i] * silu_slope(a[i], s), add);
        put(&db[i], dy[i] * a[i] * s, add);
    }
}

/* ---- rows ---- */

static float k_exp_sum(float *y, const float *x, float shift, size_t n)
{
    double sum = 0;
    EACH(n)
    {
        y[i] = expf(x[i] - shift);
        sum += y[i];
    }
    return (float)sum;
}

static void k_softmax(float *y, const float *x, size_t n)
{
    if (n == 0) return;
    float sum = k_exp_sum(y, x, k_max(x, n), n);
    k_scale(y, y, 1.0f / sum, n);
}

static void k_softmax_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    /* d softmax: y_i (dy_i - sum over j of y_j dy_j). */
    float mean = k_dot(y, dy, n);
    EACH(n) put(&dx[i], y[i] * (dy[i] - mean), add);
}

static void k_layer_norm(float *y, float stat[2], const float *x, const float *gain,
                         const float *bias, float epsilon, size_t n)
{
    assert(n >= 1);
    double mean = k_sum(x, n) / (double)n, var = 0;
    EACH(n) var += (x[i] - mean) * (x[i] - mean);
    stat[0] = (float)mean;
    stat[1] = (float)(1.0 / sqrt(var / (double)n + epsilon));
    EACH(n)
    {
        float norm = (x[i] - stat[0]) * stat[1];
        y[i] = norm * (gain ? gain[i] : 1) + (bias ? bias[i] : 0);
    }
}

static void k_layer_norm_back(float *dx, float *dgain, float *dbias, const float *x,
                              const float *gain, const float *dy, const float stat[2], size_t n,
                              bool add)
{
    double sum = 0, along = 0; /* of g dy, and of g dy xhat */
    EACH(n)
    {
        float norm = (x[i] - stat[0]) * stat[1], g = dy[i] * (gain ? gain[i] : 1);
        sum += g;
        along += (double)g * norm;
        if (dgain) dgain[i] += dy[i] * norm;
        if (dbias) dbias[i] += dy[i];
    }
    if (!dx) return;
    float mean = (float)(sum / (double)n), slope = (float)(along / (double)n);
    EACH(n)
    {
        float norm = (x[i] - stat[0]) * stat[1], g = dy[i] * (gain ? gain[i] : 1);
        put(&dx[i], stat[1] * (g - mean - norm * slope), add);
    }
}

static void k_rms_norm(float *y, float stat[1], const float *x, const float *gain, float epsilon,
                       size_t n)
{
    assert(n >= 1);
    stat[0] = (float)(1.0 / sqrt((double)k_dot(x, x, n) / (double)n + epsilon));
    EACH(n) y[i] = x[i] * stat[0] * (gain ? gain[i] : 1);
}

static void k_rms_norm_back(float *dx, float *dgain, const float *x, const float *gain,
                            const float *dy, const float stat[1], size_t n, bool add)
{
    double along = 0;
    EACH(n)
    {
        float norm = x[i] * stat[0];
        along += (double)dy[i] * (gain ? gain[i] : 1) * norm;
        if (dgain) dgain[i] += dy[i] * norm;
    }
    if (!dx) return;
    float slope = (float)(along / (double)n);
    EACH(n)
    {
        float g = dy[i] * (gain ? gain[i] : 1);
        put(&dx[i], stat[0] * (g - x[i] * stat[0] * slope), add);
    }
}

/* ---- recurrent steps ---- */

static void k_lstm(float *h, float *c, float *gates, const float *c_prev, size_t n)
{
    float *in = gates, *forget = gates + n, *cell = gates + 2 * n, *out = gates + 3 * n;
    EACH(n)
    {
        in[i] = sigmoid(in[i]);
        forget[i] = sigmoid(forget[i]);
        cell[i] = tanhf(cell[i]);
        out[i] = sigmoid(out[i]);
        c[i] = forget[i] * (c_prev ? c_prev[i] : 0) + in[i] * cell[i];
        h[i] = out[i] * tanhf(c[i]);
    }
}

static void k_lstm_back(float *dgates, float *dc, const float *dh, const float *gates,
                        const float *c, const float *c_prev, size_t n)
{
    /* d: all that reaches the cell, from the next time (dc) and through this time's output. */
    EACH(n)
    {
        float in = gates[i], forget = gates[n + i], cell = gates[2 * n + i];
        float out = gates[3 * n + i], squashed = tanhf(c[i]);
        float d = dc[i] + dh[i] * out * (1 - squashed * squashed);
        dgates[i] = d * cell * in * (1 - in);
        dgates[n + i] = d * (c_prev ? c_prev[i] : 0) * forget * (1 - forget);
        dgates[2 * n + i] = d * in * (1 - cell * cell);
        dgates[3 * n + i] = dh[i] * squashed * out * (1 - out);
        dc[i] = d * forget;
    }
}

static void k_gru(float *h, float *gx, const float *gu, const float *h_prev, size_t n)
{
    float *reset = gx, *update = gx + n, *fresh = gx + 2 * n;
    EACH(n)
    {
        reset[i] = sigmoid(reset[i] + gu[i]);
        update[i] = sigmoid(update[i] + gu[n + i]);
        fresh[i] = tanhf(fresh[i] + reset[i] * gu[2 * n + i]);
        h[i] = (1 - update[i]) * fresh[i] + update[i] * (h_prev ? h_prev[i] : 0);
    }
}

static void k_gru_back(float *dgx, float *dgu, float *dh, const float *gx, const float *gu,
                       const float *h_prev, size_t n)
{
    /* The update gate chooses between the old state and the fresh one: d update is by their
     * difference, and the old state's share goes on in dh. */
    EACH(n)
    {
        float reset = gx[i], update = gx[n + i], fresh = gx[2 * n + i];
        float dfresh = dh[i] * (1 - update) * (1 - fresh * fresh);
        float dreset = dfresh * gu[2 * n + i] * reset * (1 - reset);
        float dupdate = dh[i] * ((h_prev ? h_prev[i] : 0) - fresh) * update * (1 - update);
        dgx[i] = dgu[i] = dreset;
        dgx[n + i] = dgu[n + i] = dupdate;
        dgx[2 * n + i] = dfresh;
        dgu[2 * n + i] = dfresh * reset;
        dh[i] *= update;
    }
}

/* ---- dropout, Adam, bf16 ---- */

/* A block of 128 elements is drawn by 16 Philox calls of four words: element e of the block has the
 * half (e / 16) % 2 of word e / 32 of call e % 16. So a vector of 16 (or 8) calls in parallel gives
 * whole vectors of neighbouring elements. */
static void k_dropout(float *y, const float *x, size_t n, size_t first, const kua__mask *mask,
                      bool add)
{
    assert(first % KUA__MASK_BLOCK == 0);
    uint32_t word[16][4];
    EACH(n)
    {
        size_t e = i % KUA__MASK_BLOCK;
        for (size_t call = 0; e == 0 && call < 16; call++)
            kua__philox(mask->seed, mask->stream, (first + i) / 8 + call, word[call]);
        uint32_t bits = (word[e % 16][e / 32] >> (e / 16 % 2 * 16)) & 0xffff;
        put(&y[i], bits < mask->threshold ? 0 : x[i] * mask->scale, add);
    }
}

static void k_adam(float *value, float *grad, float *m, float *v, size_t n, const kua__adam *step)
{
    assert(n == 0 || (value && grad && m && v && step));
    EACH(n)
    {
        float g = grad[i] * step->grad_scale + step->l2 * value[i];
        m[i] += (1 - step->beta1) * (g - m[i]);
        v[i] += (1 - step->beta2) * (g * g - v[i]);
        float move = step->lr * m[i] / (sqrtf(v[i]) * step->unbias + step->epsilon);
        value[i] = value[i] * step->keep - move;
        grad[i] = 0;
    }
}

static void k_to_bf16(uint16_t *y, const float *x, size_t n)
{
    EACH(n)
    {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof(bits));
        bool nan = (bits & 0x7fffffff) > 0x7f800000; /* rounding must not turn one into infinity */
        y[i] = (uint16_t)(nan ? (bits >> 16) | 0x40 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
}

static void k_from_bf16(float *y, const uint16_t *x, size_t n)
{
    EACH(n)
    {
        uint32_t bits = (uint32_t)x[i] << 16;
        memcpy(&y[i], &bits, sizeof(bits));
    }
}

const kua__kernels kua__kernels_plain = {.isa = KUA__ISA_PLAIN, .name = "plain", KUA__KERNEL_TABLE};

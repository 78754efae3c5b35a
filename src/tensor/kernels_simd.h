/* kernels_simd.h - the kernels written once over `vf`, a vector of W floats.
 *
 * Included by kernels_avx2.c and kernels_avx512.c after they have defined vf, vi, W and the vf_ and
 * vi_ operations; + - * / on vectors are the compilers' own. The last, partial vector of a row is
 * read with zeros behind its end and written only up to it, so there are no scalar tails.
 *
 * exp, tanh: range reduction and polynomials of Cephes (S. Moshier), 1-2 units in the last place.
 * The normal distribution function of gelu: Abramowitz and Stegun 7.1.26, absolute error below
 * 2e-7; it shares its exp(-x^2/2) with the density, so the way back costs no second exponential.
 */
#include <assert.h>
#include <float.h>
#include <math.h>

#define EACH_VECTOR(n) for (size_t i = 0; i < (n); i += W)

static inline vf get(const float *p, size_t i, size_t n)
{
    return n - i >= W ? vf_load(p + i) : vf_load_first(p + i, n - i);
}

static inline vf get_or(const float *p, size_t i, size_t n, float otherwise)
{
    return p ? get(p, i, n) : vf_set(otherwise);
}

static inline void set(float *p, size_t i, size_t n, vf v)
{
    if (n - i >= W)
        vf_store(p + i, v);
    else
        vf_store_first(p + i, v, n - i);
}

static inline void put(float *p, size_t i, size_t n, vf v, bool add)
{
    if (add) v = get(p, i, n) + v;
    set(p, i, n, v);
}

/* v with zeros in lanes behind the row's end. */
static inline vf only(vf v, size_t i, size_t n)
{
    return n - i >= W ? v : vf_only_first(v, n - i);
}

static inline vf vf_exp(vf x)
{
    vf in = vf_min(vf_set(89.0f), vf_max(vf_set(-104.0f), x)); /* in this order NaN stays NaN */
    vf k = vf_round(in * vf_set(1.44269504f));
    vf r = vf_fnma(k, vf_set(-2.12194440e-4f), vf_fnma(k, vf_set(0.693359375f), in));
    vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(0.5f));
    p = vf_fma(p, r * r, r + vf_set(1.0f));
    return vf_where_less(x, vf_set(-104.0f), vf_set(0.0f), vf_pow2(p, k));
}

static inline vf vf_sigmoid(vf x)
{
    return vf_set(1.0f) / (vf_set(1.0f) + vf_exp(vf_set(0.0f) - x));
}

static inline vf vf_tanh(vf x)
{
    vf size = vf_abs(x), z = x * x, one = vf_set(1.0f);
    vf p = vf_set(-5.70498872745e-3f);
    p = vf_fma(p, z, vf_set(2.06390887954e-2f));
    p = vf_fma(p, z, vf_set(-5.37397155531e-2f));
    p = vf_fma(p, z, vf_set(1.33314422036e-1f));
    p = vf_fma(p, z, vf_set(-3.33332819422e-1f));
    vf small = vf_fma(p * z, x, x);
    vf large = one - vf_set(2.0f) / (vf_exp(size + size) + one);
    large = vf_where_less(x, vf_set(0.0f), vf_set(0.0f) - large, large);
    return vf_where_less(size, vf_set(0.625f), small, large);
}

/* Phi(x), and exp(-x^2/2) into *bell. */
static inline vf vf_normal_cdf(vf x, vf *bell)
{
    vf one = vf_set(1.0f);
    vf t = one / vf_fma(vf_abs(x), vf_set(0.3275911f * 0.70710678f), one);
    *bell = vf_exp(x * x * vf_set(-0.5f));
    vf p = vf_set(1.061405429f);
    p = vf_fma(p, t, vf_set(-1.453152027f));
    p = vf_fma(p, t, vf_set(1.421413741f));
    p = vf_fma(p, t, vf_set(-0.284496736f));
    p = vf_fma(p, t, vf_set(0.254829592f));
    vf tail = vf_set(0.5f) * p * t * *bell;
    return vf_where_less(x, vf_set(0.0f), tail, one - tail);
}

/* ---- elementwise ---- */

static void k_add(float *y, const float *a, const float *b, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, get(a, i, n) + get(b, i, n));
}

static void k_sub(float *y, const float *a, const float *b, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, get(a, i, n) - get(b, i, n));
}

static void k_mul(float *y, const float *a, const float *b, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, get(a, i, n) * get(b, i, n));
}

static void k_mul_add(float *y, const float *a, const float *b, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, vf_fma(get(a, i, n), get(b, i, n), get(y, i, n)));
}

static void k_scale(float *y, const float *x, float factor, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, vf_set(factor) * get(x, i, n));
}

static void k_axpy(float *y, const float *x, float factor, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, vf_fma(vf_set(factor), get(x, i, n), get(y, i, n)));
}

static void k_lerp(float *y, const float *x, float weight, size_t n)
{
    EACH_VECTOR(n)
    {
        vf old = get(y, i, n);
        set(y, i, n, vf_fma(vf_set(weight), get(x, i, n) - old, old));
    }
}

static void k_exp(float *y, const float *x, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, vf_exp(get(x, i, n)));
}

/* ---- reductions: four sums at a time hide the latency of an addition ---- */

static float k_sum(const float *x, size_t n)
{
    vf s[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
    size_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        for (int j = 0; j < 4; j++)
            s[j] = s[j] + vf_load(x + i + j * W);
    }
    for (; i < n; i += W)
        s[0] = s[0] + get(x, i, n);
    return vf_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static float k_dot(const float *a, const float *b, size_t n)
{
    vf s[4] = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
    size_t i = 0;
    for (; i + 4 * W <= n; i += 4 * W) {
        for (int j = 0; j < 4; j++)
            s[j] = vf_fma(vf_load(a + i + j * W), vf_load(b + i + j * W), s[j]);
    }
    for (; i < n; i += W)
        s[0] = vf_fma(get(a, i, n), get(b, i, n), s[0]);
    return vf_sum((s[0] + s[1]) + (s[2] + s[3]));
}

static float k_max(const float *x, size_t n)
{
    assert(n >= 1);
    float best = x[0];
    size_t i = 0;
    if (n >= W) {
        vf most = vf_load(x + n - W), more = most; /* the tail, overlapping */
        for (; i + 2 * W <= n; i += 2 * W) {
            most = vf_max(most, vf_load(x + i));
            more = vf_max(more, vf_load(x + i + W));
        }
        if (i + W <= n) most = vf_max(most, vf_load(x + i));
        return vf_largest(vf_max(most, more));
    }
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

static size_t k_above(const float *x, float bar, size_t n)
{
    size_t i = 0;
    vf low = vf_set(bar);
    /* Four vectors at a time, by the largest of each lane. */
    for (; i + 4 * W <= n; i += 4 * W) {
        vf a = vf_max(vf_load(x + i), low), b = vf_max(vf_load(x + i + W), low);
        vf c = vf_max(vf_load(x + i + 2 * W), a), d = vf_max(vf_load(x + i + 3 * W), b);
        if (vf_any_less(low, vf_max(c, d))) break;
    }
    while (i < n && !(x[i] > bar))
        i++;
    return i;
}

/* ---- activations ---- */

static void k_gelu(float *y, const float *x, size_t n)
{
    vf bell;
    EACH_VECTOR(n)
    {
        vf in = get(x, i, n);
        set(y, i, n, in * vf_normal_cdf(in, &bell));
    }
}

static void k_relu(float *y, const float *x, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, vf_max(vf_set(0.0f), get(x, i, n)));
}

static void k_sigmoid(float *y, const float *x, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, vf_sigmoid(get(x, i, n)));
}

static void k_tanh(float *y, const float *x, size_t n)
{
    EACH_VECTOR(n) set(y, i, n, vf_tanh(get(x, i, n)));
}

static void k_silu(float *y, const float *x, size_t n)
{
    EACH_VECTOR(n)
    {
        vf in = get(x, i, n);
        set(y, i, n, in * vf_sigmoid(in));
    }
}

static void k_gelu_back(float *dx, const float *x, const float *dy, size_t n, bool add)
{
    EACH_VECTOR(n)
    {
        vf bell, in = get(x, i, n), cdf = vf_normal_cdf(in, &bell);
        vf slope = vf_fma(in * vf_set(0.39894228f), bell, cdf);
        put(dx, i, n, get(dy, i, n) * slope, add);
    }
}

static void k_relu_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    vf zero = vf_set(0.0f);
    EACH_VECTOR(n) put(dx, i, n, vf_where_less(zero, get(y, i, n), get(dy, i, n), zero), add);
}

static void k_sigmoid_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    EACH_VECTOR(n)
    {
        vf out = get(y, i, n);
        put(dx, i, n, get(dy, i, n) * out * (vf_set(1.0f) - out), add);
    }
}

static void k_tanh_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    EACH_VECTOR(n)
    {
        vf out = get(y, i, n);
        put(dx, i, n, get(dy, i, n) * vf_fnma(out, out, vf_set(1.0f)), add);
    }
}

static inline vf vf_silu_slope(vf x, vf s)
{
    vf one = vf_set(1.0f);
    return s * vf_fma(x, one - s, one);
}

static void k_silu_back(float *dx, const float *x, const float *dy, size_t n, bool add)
{
    EACH_VECTOR(n)
    {
        vf in = get(x, i, n);
        put(dx, i, n, get(dy, i, n) * vf_silu_slope(in, vf_sigmoid(in)), add);
    }
}

static void k_swiglu(float *y, const float *a, const float *b, size_t n)
{
    EACH_VECTOR(n)
    {
        vf gate = get(a, i, n);
        set(y, i, n, gate * vf_sigmoid(gate) * get(b, i, n));
    }
}

static void k_swiglu_back(float *da, float *db, const float *a, const float *b, const float *dy,
                          size_t n, bool add)
{
    EACH_VECTOR(n)
    {
        vf gate = get(a, i, n), s = vf_sigmoid(gate), d = get(dy, i, n);
        put(da, i, n, d * get(b, i, n) * vf_silu_slope(gate, s), add);
        put(db, i, n, d * gate * s, add);
    }
}

/* ---- rows ---- */

static float k_exp_sum(float *y, const float *x, float shift, size_t n)
{
    vf sum = vf_set(0.0f);
    EACH_VECTOR(n)
    {
        vf e = vf_exp(get(x, i, n) - vf_set(shift));
        set(y, i, n, e);
        sum = sum + only(e, i, n);
    }
    return vf_sum(sum);
}

static void k_softmax(float *y, const float *x, size_t n)
{
    if (n == 0) return;
    float sum = k_exp_sum(y, x, k_max(x, n), n);
    k_scale(y, y, 1.0f / sum, n);
}

static void k_softmax_back(float *dx, const float *y, const float *dy, size_t n, bool add)
{
    vf mean = vf_set(k_dot(y, dy, n));
    EACH_VECTOR(n) put(dx, i, n, get(y, i, n) * (get(dy, i, n) - mean), add);
}

static void k_layer_norm(float *y, float stat[2], const float *x, const float *gain,
                         const float *bias, float epsilon, size_t n)
{
    assert(n >= 1);
    stat[0] = k_sum(x, n) / (float)n;
    vf mean = vf_set(stat[0]), squares = vf_set(0.0f);
    EACH_VECTOR(n)
    {
        vf d = only(get(x, i, n) - mean, i, n);
        squares = vf_fma(d, d, squares);
    }
    stat[1] = 1.0f / sqrtf(vf_sum(squares) / (float)n + epsilon);
    vf scale = vf_set(stat[1]);
    EACH_VECTOR(n)
    {
        vf norm = (get(x, i, n) - mean) * scale;
        set(y, i, n, vf_fma(norm, get_or(gain, i, n, 1.0f), get_or(bias, i, n, 0.0f)));
    }
}

static void k_layer_norm_back(float *dx, float *dgain, float *dbias, const float *x,
                              const float *gain, const float *dy, const float stat[2], size_t n,
                              bool add)
{
    vf mean = vf_set(stat[0]), scale = vf_set(stat[1]);
    vf sum = vf_set(0.0f), along = vf_set(0.0f); /* of g dy, and of g dy xhat */
    EACH_VECTOR(n)
    {
        vf norm = (get(x, i, n) - mean) * scale, d = get(dy, i, n);
        vf g = only(d * get_or(gain, i, n, 1.0f), i, n);
        sum = sum + g;
        along = vf_fma(g, norm, along);
        if (dgain) set(dgain, i, n, vf_fma(d, norm, get(dgain, i, n)));
        if (dbias) set(dbias, i, n, get(dbias, i, n) + d);
    }
    if (!dx) return;
    vf average = vf_set(vf_sum(sum) / (float)n), slope = vf_set(vf_sum(along) / (float)n);
    EACH_VECTOR(n)
    {
        vf norm = (get(x, i, n) - mean) * scale;
        vf g = get(dy, i, n) * get_or(gain, i, n, 1.0f);
        put(dx, i, n, scale * vf_fnma(norm, slope, g - average), add);
    }
}

static void k_rms_norm(float *y, float stat[1], const float *x, const float *gain, float epsilon,
                       size_t n)
{
    assert(n >= 1);
    stat[0] = 1.0f / sqrtf(k_dot(x, x, n) / (float)n + epsilon);
    vf scale = vf_set(stat[0]);
    EACH_VECTOR(n) set(y, i, n, get(x, i, n) * scale * get_or(gain, i, n, 1.0f));
}

static void k_rms_norm_back(float *dx, float *dgain, const float *x, const float *gain,
                            const float *dy, const float stat[1], size_t n, bool add)
{
    vf scale = vf_set(stat[0]), along = vf_set(0.0f);
    EACH_VECTOR(n)
    {
        vf norm = get(x, i, n) * scale, d = get(dy, i, n);
        along = vf_fma(d * get_or(gain, i, n, 1.0f), norm, along);
        if (dgain) set(dgain, i, n, vf_fma(d, norm, get(dgain, i, n)));
    }
    if (!dx) return;
    vf slope = vf_set(vf_sum(along) / (float)n);
    EACH_VECTOR(n)
    {
        vf g = get(dy, i, n) * get_or(gain, i, n, 1.0f);
        put(dx, i, n, scale * vf_fnma(get(x, i, n) * scale, slope, g), add);
    }
}

/* ---- recurrent steps ---- */

static void k_lstm(float *h, float *c, float *gates, const float *c_prev, size_t n)
{
    EACH_VECTOR(n)
    {
        vf in = vf_sigmoid(get(gates, i, n)), forget = vf_sigmoid(get(gates + n, i, n));
        vf cell = vf_tanh(get(gates + 2 * n, i, n)), out = vf_sigmoid(get(gates + 3 * n, i, n));
        vf state = vf_fma(forget, get_or(c_prev, i, n, 0.0f), in * cell);
        set(gates, i, n, in);
        set(gates + n, i, n, forget);
        set(gates + 2 * n, i, n, cell);
        set(gates + 3 * n, i, n, out);
        set(c, i, n, state);
        set(h, i, n, out * vf_tanh(state));
    }
}

static void k_lstm_back(float *dgates, float *dc, const float *dh, const float *gates,
                        const float *c, const float *c_prev, size_t n)
{
    vf one = vf_set(1.0f);
    EACH_VECTOR(n)
    {
        vf in = get(gates, i, n), forget = get(gates + n, i, n), cell = get(gates + 2 * n, i, n);
        vf out = get(gates + 3 * n, i, n), squashed = vf_tanh(get(c, i, n)), dout = get(dh, i, n);
        vf d = vf_fma(dout * out, vf_fnma(squashed, squashed, one), get(dc, i, n));
        set(dgates, i, n, d * cell * in * (one - in));
        set(dgates + n, i, n, d * get_or(c_prev, i, n, 0.0f) * forget * (one - forget));
        set(dgates + 2 * n, i, n, d * in * vf_fnma(cell, cell, one));
        set(dgates + 3 * n, i, n, dout * squashed * out * (one - out));
        set(dc, i, n, d * forget);
    }
}

static void k_gru(float *h, float *gx, const float *gu, const float *h_prev, size_t n)
{
    EACH_VECTOR(n)
    {
        vf reset = vf_sigmoid(get(gx, i, n) + get(gu, i, n));
        vf update = vf_sigmoid(get(gx + n, i, n) + get(gu + n, i, n));
        vf fresh = vf_tanh(vf_fma(reset, get(gu + 2 * n, i, n), get(gx + 2 * n, i, n)));
        set(gx, i, n, reset);
        set(gx + n, i, n, update);
        set(gx + 2 * n, i, n, fresh);
        set(h, i, n, vf_fma(update, get_or(h_prev, i, n, 0.0f) - fresh, fresh));
    }
}

static void k_gru_back(float *dgx, float *dgu, float *dh, const float *gx, const float *gu,
                       const float *h_prev, size_t n)
{
    vf one = vf_set(1.0f);
    EACH_VECTOR(n)
    {
        vf reset = get(gx, i, n), update = get(gx + n, i, n), fresh = get(gx + 2 * n, i, n);
        vf d = get(dh, i, n), dfresh = d * (one - update) * vf_fnma(fresh, fresh, one);
        vf dreset = dfresh * get(gu + 2 * n, i, n) * reset * (one - reset);
        vf old = get_or(h_prev, i, n, 0.0f), dupdate = d * (old - fresh) * update * (one - update);
        set(dgx, i, n, dreset);
        set(dgu, i, n, dreset);
        set(dgx + n, i, n, dupdate);
        set(dgu + n, i, n, dupdate);
        set(dgx + 2 * n, i, n, dfresh);
        set(dgu + 2 * n, i, n, dfresh * reset);
        set(dh, i, n, d * update);
    }
}

/* ---- dropout, Adam, bf16 ---- */

/* Philox4x32-10 for W neighbouring counters: the same words as kua__philox(). */
static inline void philox(vi word[4], uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    word[0] = vi_add(vi_set((int)(uint32_t)index), vi_lanes());
    word[1] = vi_set((int)(uint32_t)(index >> 32));
    word[2] = vi_set((int)(uint32_t)stream);
    word[3] = vi_set((int)(uint32_t)(stream >> 32));
    for (int round = 0; round < 10; round++) {
        vi high0, high2;
        vi low0 = vi_mul_wide(word[0], vi_set((int)0xD2511F53u), &high0);
        vi low2 = vi_mul_wide(word[2], vi_set((int)0xCD9E8D57u), &high2);
        word[0] = vi_xor(vi_xor(high2, word[1]), vi_set((int)key0));
        word[2] = vi_xor(vi_xor(high0, word[3]), vi_set((int)key1));
        word[1] = low2;
        word[3] = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
}

/* One block of the mask; how elements lie in it is told in kernels_plain.c. A block's 16 counters
 * never carry into the high word: the first is a multiple of 16. */
static inline void drop_block(float *y, const float *x, size_t n, uint64_t counter,
                              const kua__mask *mask, bool add)
{
    vi threshold = vi_set((int)mask->threshold), low = vi_set(0xffff);
    for (size_t group = 0; group < 16; group += W) {
        vi word[4];
        philox(word, mask->seed, mask->stream, counter + group);
        for (size_t q = 0; q < 8 && q * 16 + group < n; q++) {
            size_t at = q * 16 + group;
            vi bits = q % 2 ? vi_shr16(word[q / 2]) : vi_and(word[q / 2], low);
            vf kept = vf_keep_from(bits, threshold, get(x, at, n) * vf_set(mask->scale));
            put(y, at, n, kept, add);
        }
    }
}

static void k_dropout(float *y, const float *x, size_t n, size_t first, const kua__mask *mask,
                      bool add)
{
    assert(first % KUA__MASK_BLOCK == 0);
    for (size_t i = 0; i < n; i += KUA__MASK_BLOCK) {
        size_t left = n - i < KUA__MASK_BLOCK ? n - i : KUA__MASK_BLOCK;
        drop_block(y + i, x + i, left, (first + i) / 8, mask, add);
    }
}

static void k_adam(float *value, float *grad, float *m, float *v, size_t n, const kua__adam *step)
{
    vf gain_m = vf_set(1 - step->beta1), gain_v = vf_set(1 - step->beta2), lr = vf_set(step->lr);
    vf keep = vf_set(step->keep), unbias = vf_set(step->unbias), epsilon = vf_set(step->epsilon);
    vf scale = vf_set(step->grad_scale), l2 = vf_set(step->l2);
    EACH_VECTOR(n)
    {
        vf old = get(value, i, n), first = get(m, i, n), second = get(v, i, n);
        vf g = vf_fma(l2, old, get(grad, i, n) * scale);
        first = vf_fma(gain_m, g - first, first);
        second = vf_fma(gain_v, vf_fma(g, g, vf_set(0.0f) - second), second);
        vf move = lr * first / vf_fma(vf_sqrt(second), unbias, epsilon);
        set(value, i, n, vf_fma(old, keep, vf_set(0.0f) - move));
        set(m, i, n, first);
        set(v, i, n, second);
        set(grad, i, n, vf_set(0.0f));
    }
}

static void k_to_bf16(uint16_t *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W)
        vf_store_bf16(y + i, vf_load(x + i));
    if (i == n) return;
    uint16_t last[W];
    vf_store_bf16(last, get(x, i, n));
    memcpy(y + i, last, (n - i) * sizeof(*y));
}

static void k_from_bf16(float *y, const uint16_t *x, size_t n)
{
    size_t i = 0;
    for (; i + W <= n; i += W)
        vf_store(y + i, vf_load_bf16(x + i));
    if (i == n) return;
    uint16_t last[W] = {0};
    memcpy(last, x + i, (n - i) * sizeof(*x));
    set(y, i, n, vf_load_bf16(last));
}

/* tensor/kernels.h - the loops that oneDNN lacks, one table of functions per instruction set.
 *
 * kernels_plain.c is the reference: scalar C and the C library's own exp and tanh. kernels_avx2.c
 * and kernels_avx512.c define a vector of floats and include kernels_simd.h, the one text of both.
 * The table is chosen once, at the first call of kua__kernels_get(), by what the processor has; the
 * environment variable KUA_ISA (plain, avx2, avx512) lowers the choice. tests/tensor/test_kernels.c
 * compares every table with the plain one, bench/kernels.c times them.
 *
 * Conventions
 *   Rows of n floats; no alignment is asked for; n may be 0 unless said otherwise. Results come
 *   first. `add`: add to what is there, else overwrite. y may be the same array as x, never one
 *   that overlaps it partly. Kernels run on the calling thread.
 *   Elements are within a few units in the last place of the plain kernel (gelu's normal
 *   distribution function within 2e-7), sums within rounding.
 */
#ifndef KUA_TENSOR_KERNELS_H
#define KUA_TENSOR_KERNELS_H

#include "base/base.h"

typedef enum kua__isa { KUA__ISA_PLAIN, KUA__ISA_AVX2, KUA__ISA_AVX512, KUA__ISA_COUNT } kua__isa;

/* One step of Adam on a row. g = grad * grad_scale + l2 * value; value = value * keep - lr * m /
 * (sqrt(v) * unbias + eps) */
typedef struct kua__adam {
    float grad_scale, l2, beta1, beta2, keep, lr, unbias, epsilon;
} kua__adam;

/* Where a dropout mask comes from. An element's fate depends on (seed, stream, its index) alone. */
typedef struct kua__mask {
    uint64_t seed, stream;
    uint32_t threshold; /* 0..65535: dropped where 16 random bits are below it */
    float scale;        /* of what is kept */
} kua__mask;

enum { KUA__MASK_BLOCK = 128 }; /* elements that are drawn together */

typedef struct kua__kernels {
    kua__isa isa;
    const char *name;

    /* elementwise */
    void (*add)(float *y, const float *a, const float *b, size_t n);
    void (*sub)(float *y, const float *a, const float *b, size_t n);
    void (*mul)(float *y, const float *a, const float *b, size_t n);
    void (*mul_add)(float *y, const float *a, const float *b, size_t n); /* y += a b */
    void (*scale)(float *y, const float *x, float factor, size_t n);     /* y = factor x */
    void (*axpy)(float *y, const float *x, float factor, size_t n);      /* y += factor x */
    void (*lerp)(float *y, const float *x, float weight, size_t n);      /* y += weight (x - y) */
    void (*exp)(float *y, const float *x, size_t n);

    /* reductions */
    float (*sum)(const float *x, size_t n);
    float (*dot)(const float *a, const float *b, size_t n);
    float (*max)(const float *x, size_t n); /* n >= 1 */
    /* the first place whose x is more than bar; n: none */
    size_t (*above)(const float *x, float bar, size_t n);

    /* activations; backward: dx = or += dy * derivative, from x (gelu, silu) or from y (the others)
     */
    void (*gelu)(float *y, const float *x, size_t n);
    void (*relu)(float *y, const float *x, size_t n);
    void (*sigmoid)(float *y, const float *x, size_t n);
    void (*tanh)(float *y, const float *x, size_t n);
    void (*silu)(float *y, const float *x, size_t n);
    void (*gelu_back)(float *dx, const float *x, const float *dy, size_t n, bool add);
    void (*relu_back)(float *dx, const float *y, const float *dy, size_t n, bool add);
    void (*sigmoid_back)(float *dx, const float *y, const float *dy, size_t n, bool add);
    void (*tanh_back)(float *dx, const float *y, const float *dy, size_t n, bool add);
    void (*silu_back)(float *dx, const float *x, const float *dy, size_t n, bool add);
    void (*swiglu)(float *y, const float *a, const float *b, size_t n); /* silu(a) b */
    void (*swiglu_back)(float *da, float *db, const float *a, const float *b, const float *dy,
                        size_t n, bool add);

    /* rows */
    void (*softmax)(float *y, const float *x, size_t n);
    void (*softmax_back)(float *dx, const float *y, const float *dy, size_t n, bool add);
    /* y = exp(x - shift); returns its sum */
    float (*exp_sum)(float *y, const float *x, float shift, size_t n);
    /* stat = {mean, 1 / standard deviation}, kept for the way back; gain and bias may be NULL.
     * dgain and dbias are added to; each may be NULL, as may dx. n >= 1. */
    void (*layer_norm)(float *y, float stat[2], const float *x, const float *gain,
                       const float *bias, float epsilon, size_t n);
    void (*layer_norm_back)(float *dx, float *dgain, float *dbias, const float *x,
                            const float *gain, const float *dy, const float stat[2], size_t n,
                            bool add);
    void (*rms_norm)(float *y, float stat[1], const float *x, const float *gain, float epsilon,
                     size_t n); /* stat = {1 / root mean square} */
    void (*rms_norm_back)(float *dx, float *dgain, const float *x, const float *gain,
                          const float *dy, const float stat[1], size_t n, bool add);

    /* one step of a recurrent layer for one sequence, n hidden units
     * lstm: gates[4n] i f g o before their activation on entry, after it on return; c_prev NULL: 0
     */
    void (*lstm)(float *h, float *c, float *gates, const float *c_prev, size_t n);
    /* dgates[4n] of the pre-activations; dc: gradient of c on entry, of c_prev on return */
    void (*lstm_back)(float *dgates, float *dc, const float *dh, const float *gates, const float *c,
                      const float *c_prev, size_t n);
    /* gru: gx[3n] r z n, the input's part on entry, the gates on return; gu[3n] the recurrent part
     */
    void (*gru)(float *h, float *gx, const float *gu, const float *h_prev, size_t n);
    /* dgx, dgu[3n]: of both parts; dh: gradient of h on entry, what reaches h_prev directly on
     * return */
    void (*gru_back)(float *dgx, float *dgu, float *dh, const float *gx, const float *gu,
                     const float *h_prev, size_t n);

    /* y = x kept and scaled, or 0; first: index of x[0] in the mask, a multiple of KUA__MASK_BLOCK
     */
    void (*dropout)(float *y, const float *x, size_t n, size_t first, const kua__mask *mask,
                    bool add);
    /* grad is cleared */
    void (*adam)(float *value, float *grad, float *m, float *v, size_t n, const kua__adam *step);
    void (*to_bf16)(uint16_t *y, const float *x, size_t n); /* round to nearest even */
    void (*from_bf16)(float *y, const uint16_t *x, size_t n);
} kua__kernels;

/* The table of this process. */
const kua__kernels *kua__kernels_get(void);
/* For tests and benchmarks: NULL where the processor (or the build) lacks it. */
const kua__kernels *kua__kernels_of(kua__isa isa);
/* True where oneDNN multiplies bf16 matrices in hardware and KUA_ISA does not forbid it. */
bool kua__cpu_has_bf16(void);

#endif

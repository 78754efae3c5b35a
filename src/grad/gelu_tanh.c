/* gelu_tanh.c - GPT-2's form of the gelu (Hendrycks and Gimpel, 2016):
 *
 *     y = x (1 + tanh(u)) / 2 = x s(2 u)        u = sqrt(2 / pi) (x + 0.044715 x^3), s the sigmoid
 *     dy / dx = s + x s (1 - s) 2 u'            u' = sqrt(2 / pi) (1 + 3 0.044715 x^2)
 *
 * The sigmoid is the kernel's; the polynomial around it is left to the compiler, a block that stays
 * in the first cache at a time. The way back computes the sigmoid again rather than keeping it.
 */
#include "grad/apply.h"

#include <assert.h>

enum { BLOCK = 256 };
static const float TWICE = 1.5957691216f; /* 2 sqrt(2 / pi) */
static const float CUBE = 0.044715f;

/* s[n], n <= BLOCK: the sigmoid of 2 u. */
static void gate(float *s, const float *x, size_t n)
{
    assert(n <= BLOCK);
    for (size_t i = 0; i < n; i++)
        s[i] = TWICE * (x[i] + CUBE * x[i] * x[i] * x[i]);
    kua__kernels_get()->sigmoid(s, s, n);
}

static void forward(float *y, const float *x, size_t n)
{
    float s[BLOCK];
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t some = KUA__MIN(n - at, (size_t)BLOCK);
        gate(s, x + at, some);
        kua__kernels_get()->mul(y + at, x + at, s, some);
    }
}

static void backward(float *dx, const float *x, const float *dy, size_t n, bool add)
{
    float s[BLOCK];
    for (size_t at = 0; at < n; at += BLOCK) {
        size_t some = KUA__MIN(n - at, (size_t)BLOCK);
        const float *from = x + at, *dfrom = dy + at;
        gate(s, from, some);
        for (size_t i = 0; i < some; i++) {
            float slope = TWICE * (1 + 3 * CUBE * from[i] * from[i]);
            s[i] = dfrom[i] * (s[i] + from[i] * s[i] * (1 - s[i]) * slope);
        }
        for (size_t i = 0; i < some; i++)
            dx[at + i] = add ? dx[at + i] + s[i] : s[i];
    }
}

typedef struct gelu_tanh {
    kua__var *x, *y;
} gelu_tanh;

static void gelu_tanh_back(kua__tape *t, void *ctx)
{
    const gelu_tanh *op = ctx;
    bool add;
    float *dx = kua__grad(t, op->x, &add);
    if (dx)
        kua__apply_slope(backward, dx, op->x->value, op->y->grad, op->y->rows * op->y->cols, add);
}

kua__var *kua__gelu_tanh(kua__tape *t, kua__var *x)
{
    if (!x) return NULL;
    kua__var *y = kua__tape_result(t, x->rows, x->cols, x->wants);
    if (!y) return NULL;
    kua__apply_unary(forward, y->value, x->value, x->rows * x->cols);
    return KUA__NODE(t, y, gelu_tanh_back, gelu_tanh, x, y);
}

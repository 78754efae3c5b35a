/* bench/gemm.c - matrix products at the shapes of training, in f32 and in bf16, in GFLOP/s and as a
 * share of the best that a large square product reaches on this machine in the same run.
 *
 *     KUA_THREADS=2 build/bench/gemm [SECONDS_PER_ROW]
 *
 * Names: linear = x w^T (forward), input = dy w (gradient of x), weight = dy^T x (gradient of w).
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "tensor/gemm.h"

typedef struct shape {
    const char *name;
    bool ta, tb;
    size_t m, n, k;
} shape;

static const shape shapes[] = {
    {"square 2048", false, false, 2048, 2048, 2048},
    {"linear 128->384", false, true, 2048, 384, 128},
    {"linear 128->256", false, true, 2048, 256, 128},
    {"linear 384->128", false, true, 2048, 128, 384},
    {"linear 128->128", false, true, 2048, 128, 128},
    {"input  384->128", false, false, 2048, 128, 384},
    {"input  128->384", false, false, 2048, 384, 128},
    {"weight 384x128", true, false, 384, 128, 2048},
    {"weight 128x384", true, false, 128, 384, 2048},
    {"linear 128->512, 12800 rows", false, true, 12800, 512, 128},
    {"weight 512x128, 12800 rows", true, false, 512, 128, 12800},
    {"items  12101x384 -> 128", false, true, 12101, 128, 384},
    {"logits 2048 x 12101", false, true, 2048, 12101, 128},
    {"logits' input", false, false, 2048, 128, 12101},
    {"logits' items", true, false, 12101, 128, 2048},
    {"state  64x128 -> 512", false, true, 64, 512, 128},
};

static kua_status multiply(const shape *s, bool bf16, const float *a, const float *b, float *c)
{
    size_t lda = s->ta ? s->m : s->k, ldb = s->tb ? s->k : s->n;
    if (bf16) return kua__gemm_bf16(s->ta, s->tb, s->m, s->n, s->k, a, lda, b, ldb, 0, c, s->n);
    return kua__gemm(s->ta, s->tb, s->m, s->n, s->k, 1, a, lda, b, ldb, 0, c, s->n);
}

/* Seconds of the fastest product: other programs disturb the mean. */
static double fastest(const shape *s, bool bf16, const float *a, const float *b, float *c,
                      double seconds)
{
    double best = 1e9, end = kua__seconds() + seconds;
    multiply(s, bf16, a, b, c);
    do {
        double start = kua__seconds();
        if (multiply(s, bf16, a, b, c)) return 0;
        double took = kua__seconds() - start;
        best = KUA__MIN(best, took);
    } while (kua__seconds() < end);
    return best;
}

static float *numbers(size_t n)
{
    float *x = kua__alloc_array(n, sizeof(*x));
    kua__rng rng = kua__rng_make(1, n);
    for (size_t i = 0; x && i < n; i++)
        x[i] = kua__rng_uniform(&rng) - 0.5f;
    return x;
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.3, peak[2] = {1, 1};
    printf("%d threads\n%-30s %18s %18s\n", kua__threads(), "", "f32 GFLOP/s", "bf16 GFLOP/s");
    for (size_t i = 0; i < KUA__COUNT(shapes); i++) {
        const shape *s = &shapes[i];
        float *a = numbers(s->m * s->k), *b = numbers(s->k * s->n), *c = numbers(s->m * s->n);
        if (!a || !b || !c) return 1;
        printf("%-30s", s->name);
        for (int bf16 = 0; bf16 < 2; bf16++) {
            double took = fastest(s, bf16 != 0, a, b, c, seconds);
            double rate = 2e-9 * (double)s->m * (double)s->n * (double)s->k / took;
            if (i == 0) peak[bf16] = rate;
            printf(" %10.0f (%3.0f %%)", rate, 100 * rate / peak[bf16]);
        }
        printf("\n");
        kua__free(a);
        kua__free(b);
        kua__free(c);
    }
    return 0;
}

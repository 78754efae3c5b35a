/* bench/kernels.c - nanoseconds an element of each kernel in each table, on one thread, rows in the
 * cache.
 *
 *     build/bench/kernels [ROW [SECONDS_PER_CELL]]
 *
 * ROW (default 384) is the length of a row, as in a model's layers; 64 rows are gone through in
 * turn.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "tensor/kernels.h"

enum { ROWS = 64, ROW_MAX = 1 << 14 };

typedef struct arena {
    float *x[6]; /* [ROWS, n] each */
    size_t n;
    float stat[2];
} arena;

typedef void (*case_fn)(const kua__kernels *k, arena *a, size_t at);

#define CASE(name, call)                                                                           \
    static void run_##name(const kua__kernels *k, arena *a, size_t at)                             \
    {                                                                                              \
        float *y = a->x[0] + at;                                                                   \
        const float *p = a->x[1] + at, *q = a->x[2] + at;                                          \
        size_t n = a->n;                                                                           \
        (void)p, (void)q;                                                                          \
        call;                                                                                      \
    }

static const kua__mask mask = {.seed = 1, .stream = 2, .threshold = 6554, .scale = 1.1f};
static const kua__adam adam = {1, 0, 0.9f, 0.999f, 1, 1e-9f, 1, 1e-8f};

CASE(add, k->add(y, p, q, n))
CASE(dot, y[0] = k->dot(p, q, n))
CASE(exp, k->exp(y, p, n))
CASE(gelu, k->gelu(y, p, n))
CASE(gelu_back, k->gelu_back(y, p, q, n, false))
CASE(tanh, k->tanh(y, p, n))
CASE(silu, k->silu(y, p, n))
CASE(swiglu_back, k->swiglu_back(y, a->x[3] + at, p, q, a->x[4] + at, n, false))
CASE(softmax, k->softmax(y, p, n))
CASE(softmax_back, k->softmax_back(y, p, q, n, false))
CASE(layer_norm, k->layer_norm(y, a->stat, p, a->x[3], a->x[4], 1e-5f, n))
CASE(layer_norm_back, k->layer_norm_back(y, a->x[3], a->x[4], p, a->x[5], q, a->stat, n, false))
CASE(rms_norm, k->rms_norm(y, a->stat, p, a->x[3], 1e-6f, n))
CASE(dropout, k->dropout(y, p, n, 0, &mask, false))
CASE(adam, k->adam(y, a->x[3] + at, a->x[4] + at, a->x[5] + at, n, &adam))
CASE(to_bf16, k->to_bf16((uint16_t *)(void *)y, p, n))
CASE(lstm, k->lstm(y, a->x[3] + at, a->x[4] + at / 4, p, n / 4))

static const struct {
    const char *name;
    case_fn run;
} cases[] = {
    {"add", run_add},
    {"dot", run_dot},
    {"exp", run_exp},
    {"gelu", run_gelu},
    {"gelu backward", run_gelu_back},
    {"tanh", run_tanh},
    {"silu", run_silu},
    {"swiglu backward", run_swiglu_back},
    {"softmax", run_softmax},
    {"softmax backward", run_softmax_back},
    {"layer norm", run_layer_norm},
    {"layer norm backward", run_layer_norm_back},
    {"rms norm", run_rms_norm},
    {"dropout", run_dropout},
    {"adam", run_adam},
    {"to bf16", run_to_bf16},
    {"lstm (per gate)", run_lstm},
};

static bool fill(arena *a)
{
    kua__rng rng = kua__rng_make(1, 1);
    for (size_t i = 0; i < KUA__COUNT(a->x); i++) {
        a->x[i] = kua__alloc_array(ROWS * a->n, sizeof(float));
        if (!a->x[i]) return false;
        for (size_t j = 0; j < ROWS * a->n; j++)
            a->x[i][j] = kua__rng_uniform(&rng);
    }
    return true;
}

/* Nanoseconds an element, of the fastest pass over all rows. */
static double measure(const kua__kernels *k, case_fn run, arena *a, double seconds)
{
    double best = 1e9, end = kua__seconds() + seconds;
    do {
        double start = kua__seconds();
        for (size_t row = 0; row < ROWS; row++)
            run(k, a, row * a->n);
        double took = kua__seconds() - start;
        best = KUA__MIN(best, took);
    } while (kua__seconds() < end);
    return best * 1e9 / (double)(ROWS * a->n);
}

int main(int argc, char **argv)
{
    arena a = {.n = argc > 1 ? strtoul(argv[1], NULL, 10) : 384};
    double seconds = argc > 2 ? strtod(argv[2], NULL) : 0.05;
    if (a.n < 4 || a.n > ROW_MAX || !fill(&a)) {
        fprintf(stderr, "usage: kernels [ROW (4..%d) [SECONDS]]\n", ROW_MAX);
        return 2;
    }
    printf("%-22s", "ns an element");
    for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
        const kua__kernels *k = kua__kernels_of((kua__isa)isa);
        if (k) printf(" %9s", k->name);
    }
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        printf("\n%-22s", cases[i].name);
        for (int isa = 0; isa < KUA__ISA_COUNT; isa++) {
            const kua__kernels *k = kua__kernels_of((kua__isa)isa);
            if (k) printf(" %9.3f", measure(k, cases[i].run, &a, seconds));
        }
    }
    printf("\n");
    for (size_t i = 0; i < KUA__COUNT(a.x); i++)
        kua__free(a.x[i]);
    return 0;
}

/* bench/packed.c - products with packed weights: billions of operations a second on one thread, for
 * the shapes of the encoder, each precision and several numbers of rows.
 *
 *     build/bench/packed
 *
 * Few rows are bound by reading the weights: the last column says how many bytes of them a second.
 */
#include <stdio.h>

#include "base/base.h"
#include "tensor/packed.h"

enum { REPEATS = 7 };
static const double LEAST_SECONDS = .01;

static const char *const names[] = {"f32", "bf16", "int8"};

static float *numbers(size_t n, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 1);
    float *x = kua__alloc_array(n, sizeof(float));
    for (size_t i = 0; x && i < n; i++)
        x[i] = kua__rng_normal(&rng);
    return x;
}

/* Seconds of one product, the best of several. */
static double seconds_of(const kua__packed *w, kua__lane *lane, size_t rows, const float *x,
                         float *y)
{
    double best = 1e9;
    for (int i = 0; i < REPEATS; i++) {
        double start = kua__seconds(), end = start;
        size_t n = 0;
        for (; (end = kua__seconds()) < start + LEAST_SECONDS; n++) {
            if (kua__packed_run(w, lane, rows, x, y)) return 0;
        }
        best = KUA__MIN(best, (end - start) / (double)n);
    }
    return best;
}

static kua_status bench_shape(kua__lane *lane, size_t out, size_t in, kua__epilogue epilogue)
{
    static const size_t rows[] = {1, 2, 4, 8, 12, 60, 252};
    float *weight = numbers(out * in, 1), *bias = numbers(out, 2), *x = numbers(256 * in, 3),
          *y = numbers(256 * out, 4);
    kua_status st = KUA_OK;
    for (int p = 0; !st && p < 3; p++) {
        kua__packed *w = NULL;
        kua__packed_options o = {out, in, weight, bias, epilogue, 1, (kua__precision)p};
        st = kua__packed_create(&o, &w);
        for (size_t r = 0; !st && r < KUA__COUNT(rows); r++) {
            double s = seconds_of(w, lane, rows[r], x, y);
            printf("%-4s %5zu x %5zu epilogue %d rows %4zu  %8.2f us  %7.1f GOP/s  %6.1f GB/s\n",
                   names[p], out, in, (int)epilogue, rows[r], s * 1e6,
                   2e-9 * (double)(rows[r] * out * in) / s,
                   1e-9 * (double)kua__packed_bytes(w) / s);
        }
        kua__packed_free(w);
    }
    kua__free(weight);
    kua__free(bias);
    kua__free(x);
    kua__free(y);
    return st;
}

int main(void)
{
    kua__lane *lane = NULL;
    kua_status st = kua__lane_create(&lane);
    if (!st) st = bench_shape(lane, 1152, 384, KUA__EPILOGUE_NONE);
    if (!st) st = bench_shape(lane, 384, 384, KUA__EPILOGUE_ADD);
    if (!st) st = bench_shape(lane, 1536, 384, KUA__EPILOGUE_GELU);
    if (!st) st = bench_shape(lane, 384, 1536, KUA__EPILOGUE_ADD);
    kua__lane_free(lane);
    if (st) fprintf(stderr, "%s\n", kua_error_message());
    return st != KUA_OK;
}

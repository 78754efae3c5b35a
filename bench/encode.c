/* bench/encode.c - texts and tokens a second of the encoder, beside what the processor could do.
 *
 *     build/bench/encode MODEL FILE [TEXTS [BATCH_TOKENS]]
 *
 * MODEL is a folder, FILE has one text a line.
 *
 * Prints the median of three rounds over the first TEXTS lines (tokenising included), the share of
 * the processor's measured f32 peak that the model's matrix products come to, the median and the
 * 99th percentile of one 12-token query, and the peak of memory.
 *
 * The peak is measured in the same run: independent fused multiply-adds on registers, on all
 * threads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/base.h"
#include "kua/encoder.h"

enum { ROUNDS = 3, QUERIES = 400, WARM = 50 };
static const char query[] = "wireless noise cancelling headphones for travel and office";

/* ---- the processor's peak ---- */

enum { PEAK_LOOPS = 8000000, PEAK_SUMS = 10 };

#if defined(__x86_64__)
/* Ten independent sums hide the latency of an addition; the empty assembly keeps each of them. */
#define PEAK(name, isa, type, set, fma)                                                            \
    __attribute__((target(isa))) static void name(void)                                            \
    {                                                                                              \
        type s0 = set(0), s1 = s0, s2 = s0, s3 = s0, s4 = s0, s5 = s0, s6 = s0, s7 = s0, s8 = s0,  \
             s9 = s0, x = set(.999f), y = set(.001f);                                              \
        for (long k = 0; k < PEAK_LOOPS; k++) {                                                    \
            s0 = fma(s0, x, y), s1 = fma(s1, x, y), s2 = fma(s2, x, y), s3 = fma(s3, x, y);        \
            s4 = fma(s4, x, y), s5 = fma(s5, x, y), s6 = fma(s6, x, y), s7 = fma(s7, x, y);        \
            s8 = fma(s8, x, y), s9 = fma(s9, x, y);                                                \
            __asm__ volatile("" : "+v"(s0), "+v"(s1), "+v"(s2), "+v"(s3), "+v"(s4));               \
            __asm__ volatile("" : "+v"(s5), "+v"(s6), "+v"(s7), "+v"(s8), "+v"(s9));               \
        }                                                                                          \
    }

PEAK(peak_512, "avx512f", __m512, _mm512_set1_ps, _mm512_fmadd_ps)
PEAK(peak_256, "avx2,fma", __m256, _mm256_set1_ps, _mm256_fmadd_ps)

static void peak_task(void *ctx, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++) {
        if (*(int *)ctx == 16)
            peak_512();
        else
            peak_256();
    }
}

/* Floating-point operations a second of all threads; 0: not known for this processor. */
static double measure_peak(void)
{
    int width = __builtin_cpu_supports("avx512f") ? 16 : __builtin_cpu_supports("fma") ? 8 : 0;
    double best = 0;
    for (int round = 0; width && round < 5; round++) {
        double start = kua__seconds();
        kua__parallel_for((size_t)kua__threads(), 1, peak_task, &width);
        double rate =
            2.0 * width * PEAK_SUMS * PEAK_LOOPS * kua__threads() / (kua__seconds() - start);
        best = KUA__MAX(best, rate);
    }
    return best;
}
#else
static double measure_peak(void)
{
    return 0;
}
#endif

/* ---- the encoder ---- */

typedef struct lines {
    kua_text *text;
    size_t n, room;
} lines;

static kua_status read_lines(const kua__map *map, size_t most, lines *out)
{
    for (size_t at = 0; at < map->size && out->n < most;) {
        const char *start = map->data + at, *end = memchr(start, '\n', map->size - at);
        size_t n = end ? (size_t)(end - start) : map->size - at;
        KUA__TRY(KUA__GROW(&out->text, &out->room, out->n, "lines"));
        out->text[out->n++] = (kua_text){start, n};
        at += n + 1;
    }
    return KUA_OK;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Operations of the matrix products of one token, attention's not counted. */
static double flops_a_token(const kua_encoder_info *m)
{
    return 2.0 * m->layers * (4.0 * m->dim * m->dim + 2.0 * m->dim * m->inner);
}

static kua_status bench_texts(kua_encoder *encoder, const lines *in, double peak)
{
    kua_encoder_info info = kua_encoder_describe(encoder);
    kua_encoder_stats stats = {0};
    double seconds[ROUNDS];
    float *rows = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&rows, in->n * info.dim, "vectors"));
    kua_status st =
        kua_encoder_encode(encoder, in->text, KUA__MIN(in->n, (size_t)256), NULL, rows, NULL);
    for (int i = 0; !st && i < ROUNDS; i++) {
        double start = kua__seconds();
        st = kua_encoder_encode(encoder, in->text, in->n, NULL, rows, &stats);
        seconds[i] = kua__seconds() - start;
    }
    kua__free(rows);
    if (st) return st;
    qsort(seconds, ROUNDS, sizeof(*seconds), by_value);
    double median = seconds[ROUNDS / 2], rate = (double)stats.tokens / median;
    printf("kua f32  %.0f texts/s  %.0f tokens/s  (%llu texts, %llu distinct, %llu tokens; best "
           "round %.0f tokens/s)\n",
           (double)stats.texts / median, rate, (unsigned long long)stats.texts,
           (unsigned long long)stats.distinct, (unsigned long long)stats.tokens,
           (double)stats.tokens / seconds[0]);
    if (peak > 0)
        printf("         %.1f %% of the f32 peak of %d threads, %.1f GFLOP/s\n",
               100 * rate * flops_a_token(&info) / peak, kua__threads(), peak * 1e-9);
    return KUA_OK;
}

static kua_status bench_query(kua_encoder *encoder)
{
    static double seconds[QUERIES];
    static float row[1 << 16];
    kua_text text = {query, sizeof(query) - 1};
    kua_encoder_stats stats = {0};
    for (int i = -WARM; i < QUERIES; i++) {
        double start = kua__seconds();
        KUA__TRY(kua_encoder_encode(encoder, &text, 1, NULL, row, &stats));
        if (i >= 0) seconds[i] = kua__seconds() - start;
    }
    qsort(seconds, QUERIES, sizeof(*seconds), by_value);
    printf("         one query of %llu tokens: p50 %.2f ms, p99 %.2f ms\n",
           (unsigned long long)stats.tokens, seconds[QUERIES / 2] * 1e3,
           seconds[QUERIES * 99 / 100] * 1e3);
    return KUA_OK;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        printf("usage: encode MODEL FILE [TEXTS [BATCH_TOKENS]]\n");
        return 0; /* run without arguments by `make bench`: there is nothing to measure */
    }
    size_t most = argc > 3 ? strtoul(argv[3], NULL, 10) : 4000;
    kua_encoder_options options = {.batch_tokens = argc > 4 ? strtoul(argv[4], NULL, 10) : 0};
    kua_encoder *encoder = NULL;
    kua__map map = {0};
    lines in = {0};
    double peak = measure_peak(), start = kua__seconds();
    kua_status st = kua_encoder_load(argv[1], &options, &encoder);
    if (!st) printf("kua      loaded in %.0f ms\n", (kua__seconds() - start) * 1e3);
    if (!st) st = kua__map_open(&map, argv[2]);
    if (!st) st = read_lines(&map, most, &in);
    if (!st && in.n) st = bench_texts(encoder, &in, peak);
    if (!st) st = bench_query(encoder);
    if (st) fprintf(stderr, "%s\n", kua_error_message());
    printf("         peak memory %.0f MB\n", (double)kua__peak_rss_bytes() / 1e6);
    kua__free(in.text);
    if (map.data) kua__map_close(&map);
    kua_encoder_free(encoder);
    return st != KUA_OK;
}

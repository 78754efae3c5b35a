/* bench/encode.c - texts and tokens a second of the encoder in each precision, beside what the
 * processor could do.
 *
 *     build/bench/encode MODEL FILE [TEXTS [PRECISION [BATCH_TOKENS]]]
 *
 * MODEL is a folder, FILE has one text a line, PRECISION f32, bf16, int8 or all.
 *
 * Prints the median of three rounds over the first TEXTS lines (tokenising included), the share of
 * the processor's measured peak that the model's matrix products come to, the median and the 99th
 * percentile of one 12-token query, the mean and the least cosine to the vectors of f32, and the
 * peak of memory.
 *
 * The peaks are measured in the same run: independent multiply-adds on registers, on all threads.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "kua/encoder.h"

enum { ROUNDS = 3, QUERIES = 400, WARM = 50 };
static const char query[] = "wireless noise cancelling headphones for travel and office";

/* ---- the processor's peak ---- */

enum { PEAK_LOOPS = 4000000, PEAK_SUMS = 20, PEAK_ROUNDS = 9 };

static const char *const names[] = {"f32", "bf16", "int8"};
static double peak[3]; /* operations a second of all threads, by kua_precision; 0: not known */

#if defined(__x86_64__)
/* Twenty independent sums hide the latency of a multiply-add. */
#define SUM(name, reg, i) name " %%" reg "30,%%" reg "31,%%" reg #i "\n"
#define TEN(name, reg, d)                                                                          \
    SUM(name, reg, d##0)                                                                           \
    SUM(name, reg, d##1)                                                                           \
    SUM(name, reg, d##2)                                                                           \
    SUM(name, reg, d##3)                                                                           \
    SUM(name, reg, d##4)                                                                           \
    SUM(name, reg, d##5)                                                                           \
    SUM(name, reg, d##6) SUM(name, reg, d##7) SUM(name, reg, d##8) SUM(name, reg, d##9)
#define PEAK(function, name)                                                                       \
    __attribute__((target("avx512f"))) static void function(void)                                  \
    {                                                                                              \
        long k = PEAK_LOOPS;                                                                       \
        __asm__ volatile("1:\n" TEN(name, "zmm", ) TEN(name, "zmm", 1) "dec %0\n jnz 1b\n"         \
                         : "+r"(k)                                                                 \
                         :                                                                         \
                         : "cc", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7",   \
                           "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",   \
                           "xmm16", "xmm17", "xmm18", "xmm19");                                    \
    }
PEAK(peak_f32, "vfmadd231ps")
PEAK(peak_bf16, "vdpbf16ps")
PEAK(peak_int8, "vpdpbusd")
static void (*const peak_loop[])(void) = {peak_f32, peak_bf16, peak_int8};

static void peak_task(void *ctx, size_t first, size_t last)
{
    for (size_t i = first; i < last; i++)
        (*(void (*const *)(void))ctx)();
}

/* The best of several rounds, so that what others do on the machine counts little. */
static void measure_peak(int precision)
{
    bool has[] = {__builtin_cpu_supports("avx512f"), __builtin_cpu_supports("avx512bf16"),
                  __builtin_cpu_supports("avx512vnni")};
    static const double operations[] = {32, 64, 128}; /* of one instruction */
    for (int i = 0; has[precision] && i < PEAK_ROUNDS; i++) {
        double start = kua__seconds();
        kua__parallel_for((size_t)kua__threads(), 1, peak_task,
                          (void *)(uintptr_t)&peak_loop[precision]); /* only read */
        double done = operations[precision] * PEAK_SUMS * PEAK_LOOPS * kua__threads();
        peak[precision] = KUA__MAX(peak[precision], done / (kua__seconds() - start));
    }
}
#else
static void measure_peak(int precision)
{
    (void)precision;
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

/* Cosines of the rows to those of f32. */
static void print_cosines(const float *rows, const float *f32, size_t n, size_t dim)
{
    double sum = 0, least = 1;
    for (size_t i = 0; i < n; i++, rows += dim, f32 += dim) {
        double both = 0, a = 0, b = 0;
        for (size_t k = 0; k < dim; k++) {
            both += (double)rows[k] * f32[k];
            a += (double)rows[k] * rows[k];
            b += (double)f32[k] * f32[k];
        }
        double cosine = both / sqrt(a * b);
        sum += cosine;
        least = KUA__MIN(least, cosine);
    }
    printf("         cosine to f32: mean %.5f, least %.5f\n", sum / (double)n, least);
}

static kua_status bench_texts(kua_encoder *encoder, int precision, const lines *in, float *rows)
{
    kua_encoder_info info = kua_encoder_describe(encoder);
    kua_encoder_stats stats = {0};
    double seconds[ROUNDS];
    KUA__TRY(kua_encoder_encode(encoder, in->text, KUA__MIN(in->n, (size_t)256), NULL, rows, NULL));
    for (int i = 0; i < ROUNDS; i++) {
        double start = kua__seconds();
        KUA__TRY(kua_encoder_encode(encoder, in->text, in->n, NULL, rows, &stats));
        seconds[i] = kua__seconds() - start;
    }
    qsort(seconds, ROUNDS, sizeof(*seconds), by_value);
    measure_peak(precision); /* again: the machine may be slower than before */
    double median = seconds[ROUNDS / 2], rate = (double)stats.tokens / median;
    printf("kua %-4s %.0f texts/s  %.0f tokens/s  (%llu texts, %llu distinct, %llu tokens; best "
           "round %.0f texts/s)\n",
           names[precision], (double)stats.texts / median, rate, (unsigned long long)stats.texts,
           (unsigned long long)stats.distinct, (unsigned long long)stats.tokens,
           (double)stats.texts / seconds[0]);
    double share = peak[precision] > 0 ? flops_a_token(&info) / peak[precision] : 0;
    printf("         %.1f %% of the peak of %d threads, %.0f GOP/s (best round %.1f %%)\n",
           100 * rate * share, kua__threads(), peak[precision] * 1e-9,
           100 * share * (double)stats.tokens / seconds[0]);
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

/* One precision; f32: rows of an earlier run in f32, or NULL. */
static kua_status bench(const char *model, size_t batch_tokens, int precision, const lines *in,
                        float *rows, const float *f32)
{
    kua_encoder_options options = {.batch_tokens = batch_tokens,
                                   .precision = (kua_precision)precision};
    kua_encoder *encoder = NULL;
    measure_peak(precision);
    double start = kua__seconds();
    KUA__TRY(kua_encoder_load(model, &options, &encoder));
    double loaded = kua__seconds() - start;
    kua_encoder_info info = kua_encoder_describe(encoder);
    kua_status st = bench_texts(encoder, precision, in, rows);
    if (!st) st = bench_query(encoder);
    if (!st && f32 && f32 != rows) print_cosines(rows, f32, in->n, info.dim);
    printf("         loaded in %.0f ms, peak memory %.0f MB\n", loaded * 1e3,
           (double)kua__peak_rss_bytes() / 1e6);
    kua_encoder_free(encoder);
    return st;
}

/* Every precision, or one; others than f32 are compared with it. */
static kua_status bench_all(const char *model, const char *which, size_t batch_tokens,
                            const lines *in)
{
    kua_encoder *encoder = NULL;
    KUA__TRY(kua_encoder_load(model, NULL, &encoder));
    size_t floats = in->n * kua_encoder_describe(encoder).dim;
    float *rows = NULL;
    kua_status st = KUA__NEW_ARRAY(&rows, 2 * floats, "vectors");
    bool all = kua__streq(which, "all");
    if (!st && !all && !kua__streq(which, "f32"))
        st = kua_encoder_encode(encoder, in->text, in->n, NULL, rows, NULL);
    kua_encoder_free(encoder);
    for (int p = 0; !st && p < 3; p++) {
        if (all || kua__streq(which, names[p]))
            st = bench(model, batch_tokens, p, in, p ? rows + floats : rows, rows);
    }
    kua__free(rows);
    return st;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        printf("usage: encode MODEL FILE [TEXTS [PRECISION [BATCH_TOKENS]]]\n");
        return 0; /* run without arguments by `make bench`: there is nothing to measure */
    }
    size_t most = argc > 3 ? strtoul(argv[3], NULL, 10) : 4000;
    size_t batch_tokens = argc > 5 ? strtoul(argv[5], NULL, 10) : 0;
    kua__map map = {0};
    lines in = {0};
    kua_status st = kua__map_open(&map, argv[2]);
    if (!st) st = read_lines(&map, most, &in);
    if (!st && in.n) st = bench_all(argv[1], argc > 4 ? argv[4] : "all", batch_tokens, &in);
    if (st) fprintf(stderr, "%s\n", kua_error_message());
    kua__free(in.text);
    if (map.data) kua__map_close(&map);
    return st != KUA_OK;
}

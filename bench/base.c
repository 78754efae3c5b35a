/* bench/base.c - what the foundation costs: starting a parallel job, drawing, parsing, numbering
 * names, allocating. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

static volatile double sink;

static void report(const char *what, double n, double seconds, const char *unit)
{
    printf("%-44s %9.1f ns each %10.2f million %s/s\n", what, 1e9 * seconds / n, 1e-6 * n / seconds,
           unit);
}

static void nothing(void *ctx, size_t first, size_t last)
{
    (void)ctx;
    (void)first;
    (void)last;
}

static void nothing_chunk(void *ctx, int thread, size_t first, size_t last)
{
    (void)thread;
    nothing(ctx, first, last);
}

static void bench_threads(void)
{
    enum { JOBS = 20000, ASLEEP = 500, CHUNKS = 1000000 };
    double start = kua__seconds();
    for (int i = 0; i < JOBS; i++) {
        kua__parallel_for(1000, 1, nothing, NULL);
    }
    report("parallel job, one after another", JOBS, kua__seconds() - start, "jobs");
    double asleep = 0;
    for (int i = 0; i < ASLEEP; i++) {
        usleep(200);
        start = kua__seconds();
        kua__parallel_for(1000, 1, nothing, NULL);
        asleep += kua__seconds() - start;
    }
    report("parallel job, workers asleep", ASLEEP, asleep, "jobs");
    start = kua__seconds();
    kua__parallel_chunks(CHUNKS, 1, nothing_chunk, NULL);
    report("chunk of a parallel job", CHUNKS, kua__seconds() - start, "chunks");
}

static void bench_random(void)
{
    enum { N = 5000000 };
    kua__rng rng = kua__rng_make(1, 1);
    double start = kua__seconds(), sum = 0;
    for (int i = 0; i < N; i++) {
        sum += kua__rng_uniform(&rng);
    }
    report("uniform draw", N, kua__seconds() - start, "draws");
    start = kua__seconds();
    for (int i = 0; i < N; i++) {
        sum += kua__rng_normal(&rng);
    }
    report("normal draw", N, kua__seconds() - start, "draws");
    sink = sum;
}

static void bench_parsing(void)
{
    enum { N = 2000000 };
    static const char *const prices[] = {"0.5", "12.99", "1388534400", "3"};
    double start = kua__seconds(), sum = 0, value = 0;
    for (int i = 0; i < N; i++) {
        const char *text = prices[i % 4];
        sum += kua__parse_double(text, strlen(text), &value) ? value : 0;
    }
    report("number", N, kua__seconds() - start, "numbers");
    start = kua__seconds();
    for (int i = 0; i < N; i++) {
        sum += strtod(prices[i % 4], NULL);
    }
    report("number, by strtod", N, kua__seconds() - start, "numbers");
    static const char date[] = "2017-11-05 13:02:07";
    int64_t seconds = 0;
    start = kua__seconds();
    for (int i = 0; i < N; i++) {
        sum += kua__parse_date(date, sizeof(date) - 1, &seconds) ? (double)seconds : 0;
    }
    report("date", N, kua__seconds() - start, "dates");
    sink = sum;
}

static void bench_names(void)
{
    enum { N = 1000000, DISTINCT = 92331 };
    kua__ids ids;
    kua__ids_init(&ids);
    kua__rng rng = kua__rng_make(2, 2);
    char(*names)[16] = malloc(sizeof(*names) * N);
    for (size_t i = 0; i < N; i++) {
        snprintf(names[i], sizeof(names[i]), "%u", 25671 + 190 * kua__rng_below(&rng, DISTINCT));
    }
    double start = kua__seconds();
    for (size_t i = 0; i < N; i++) {
        uint32_t id;
        if (kua__ids_add(&ids, names[i], strlen(names[i]), &id)) {
            break;
        }
    }
    report("name of 92,331 to its number", N, kua__seconds() - start, "names");
    kua__ids_release(&ids);
    free(names);
}

static void bench_memory(void)
{
    enum { N = 2000000 };
    double start = kua__seconds();
    for (int i = 0; i < N; i++) {
        kua__free(kua__malloc(100));
    }
    report("kua__malloc and kua__free of 100 bytes", N, kua__seconds() - start, "blocks");
    kua__arena arena;
    kua__arena_init(&arena, 1 << 20);
    start = kua__seconds();
    for (int i = 0; i < N; i++) {
        if (i % 1000 == 0) {
            kua__arena_reset(&arena);
        }
        sink = (double)(uintptr_t)kua__arena_alloc(&arena, 100);
    }
    report("block of 100 bytes from an arena", N, kua__seconds() - start, "blocks");
    kua__arena_release(&arena);
}

int main(void)
{
    printf("%d threads\n", kua__threads());
    bench_threads();
    bench_random();
    bench_parsing();
    bench_names();
    bench_memory();
    return 0;
}

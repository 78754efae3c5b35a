/* bench/generate.c - tokens a second of a causal model: reading a prompt, and writing on.
 *
 *     build/bench/generate MODEL [PROMPT [NEW]]
 *
 * MODEL is a folder or file; PROMPT (256) and NEW (128) count tokens. Prints the median of three
 * rounds, the bytes of weights that a token reads, and the peak of memory.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "kua/generate.h"

enum { ROUNDS = 3, PROMPT_MAX = 4096 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static kua_status bench(kua_generator *g, size_t prompt, size_t new)
{
    static uint32_t ids[PROMPT_MAX];
    double read[ROUNDS], write[ROUNDS];
    kua_generator_info info = kua_generator_describe(g);
    for (size_t i = 0; i < prompt; i++)
        ids[i] = (uint32_t)((i * 7919 + 13) % info.vocab_size);
    for (int i = 0; i < ROUNDS; i++) {
        kua_generator_stats s;
        kua_sampling sampling = {.max_new = new, .ignore_end = true};
        KUA__TRY(kua_generator_prompt_ids(g, ids, prompt));
        KUA__TRY(kua_generator_run(g, &sampling, NULL, NULL, &s));
        read[i] = (double)s.prompt_tokens / s.prompt_seconds;
        write[i] = (double)s.new_tokens / s.new_seconds;
    }
    qsort(read, ROUNDS, sizeof(*read), by_value);
    qsort(write, ROUNDS, sizeof(*write), by_value);
    printf("kua %s  prompt %.0f tokens/s (%zu)  generation %.1f tokens/s (%zu), %.1f GB/s of "
           "weights\n",
           info.family, read[ROUNDS / 2], prompt, write[ROUNDS / 2], new,
           write[ROUNDS / 2] * (double)info.file_bytes * 1e-9);
    printf("         file %.0f MB, peak memory %.0f MB (f32 weights alone would be %.0f MB)\n",
           (double)info.file_bytes / 1e6, (double)kua__peak_rss_bytes() / 1e6,
           (double)info.parameters * 4e-6);
    return KUA_OK;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        printf("usage: generate MODEL [PROMPT [NEW]]\n");
        return 0; /* run without arguments by `make bench`: there is nothing to measure */
    }
    size_t prompt = argc > 2 ? strtoul(argv[2], NULL, 10) : 256,
           new = argc > 3 ? strtoul(argv[3], NULL, 10) : 128;
    prompt = KUA__MIN(KUA__MAX(prompt, (size_t)1), (size_t)PROMPT_MAX);
    kua_generator *g = NULL;
    double start = kua__seconds();
    kua_generator_options options = {.max_tokens = prompt + new};
    kua_status st = kua_generator_load(argv[1], &options, &g);
    if (!st) printf("kua      loaded in %.0f ms\n", (kua__seconds() - start) * 1e3);
    if (!st) st = bench(g, prompt, new);
    if (st) fprintf(stderr, "%s\n", kua_error_message());
    kua_generator_free(g);
    return st != KUA_OK;
}

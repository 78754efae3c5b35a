/* bench/tokenize.c - texts and tokens a second of kua's tokenizer on the lines of a file.
 *
 *     build/bench/tokenize MODEL FILE [LIMIT [ROUNDS]]
 *
 * Reads all lines, encodes them ROUNDS times (default 20) as one batch with all threads, and prints
 * the best and the median round, then the same for one text after another on one thread.
 * tools/bench-tokenize.py prints the reference's figures for the same file. Ids are summed so that
 * both can be seen to do the same work.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "kua/tokenizer.h"

typedef struct lines {
    kua_text *text;
    size_t n, room, bytes;
} lines;

static bool split_lines(const kua__map *map, lines *out)
{
    for (size_t at = 0; at < map->size;) {
        const char *start = map->data + at, *end = memchr(start, '\n', map->size - at);
        size_t length = end ? (size_t)(end - start) : map->size - at;
        if (KUA__GROW(&out->text, &out->room, out->n, "lines")) return false;
        out->text[out->n++] = (kua_text){start, length};
        out->bytes += length;
        at += length + 1;
    }
    return out->n > 0;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *what, double *seconds, int rounds, const lines *in, size_t tokens,
                   uint64_t sum)
{
    qsort(seconds, (size_t)rounds, sizeof(*seconds), by_value);
    double best = seconds[0], median = seconds[rounds / 2];
    printf("%-22s best %9.0f texts/s %10.0f tokens/s %6.1f MB/s   median %9.0f texts/s   (%zu "
           "tokens, sum %llu)\n",
           what, (double)in->n / best, (double)tokens / best, (double)in->bytes / best / 1e6,
           (double)in->n / median, tokens, (unsigned long long)sum);
}

static uint64_t add_up(const uint32_t *id, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += id[i];
    return sum;
}

static kua_status time_batch(const kua_tokenizer *tokenizer, const lines *in, size_t limit,
                             double *seconds, int rounds)
{
    kua_id_batch batch = {0};
    kua_status st = KUA_OK;
    for (int i = 0; !st && i < rounds; i++) {
        double start = kua__seconds();
        st = kua_tokenizer_encode_batch(tokenizer, in->text, in->n, limit, &batch);
        seconds[i] = kua__seconds() - start;
    }
    char what[40];
    snprintf(what, sizeof(what), "batch, %d threads", kua__threads());
    if (!st) report(what, seconds, rounds, in, batch.ids.n, add_up(batch.ids.id, batch.ids.n));
    kua_id_batch_release(&batch);
    return st;
}

static kua_status time_single(const kua_tokenizer *tokenizer, const lines *in, size_t limit,
                              double *seconds, int rounds)
{
    kua_ids ids = {0};
    kua_status st = KUA_OK;
    size_t tokens = 0;
    uint64_t sum = 0;
    for (int i = 0; !st && i < rounds; i++) {
        double start = kua__seconds();
        tokens = sum = 0;
        for (size_t k = 0; !st && k < in->n; k++) {
            st = kua_tokenizer_encode(tokenizer, in->text[k].data, in->text[k].n, limit, &ids);
            tokens += ids.n;
            sum += add_up(ids.id, ids.n);
        }
        seconds[i] = kua__seconds() - start;
    }
    if (!st) report("one by one, 1 thread", seconds, rounds, in, tokens, sum);
    kua_ids_release(&ids);
    return st;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        printf("usage: tokenize MODEL FILE [LIMIT [ROUNDS]]\n");
        return 0; /* run without arguments by `make bench`: there is nothing to measure */
    }
    size_t limit = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
    int rounds = argc > 4 ? (int)strtol(argv[4], NULL, 10) : 20;
    rounds = rounds < 1 ? 1 : rounds > 1000 ? 1000 : rounds;
    double seconds[1000];
    kua_tokenizer *tokenizer = NULL;
    kua__map map = {0};
    lines in = {0};
    double start = kua__seconds();
    kua_status st = kua_tokenizer_load(argv[1], &tokenizer);
    printf("load %.1f ms\n", (kua__seconds() - start) * 1e3);
    if (!st) st = kua__map_open(&map, argv[2]);
    if (!st && split_lines(&map, &in)) {
        st = time_batch(tokenizer, &in, limit, seconds, rounds);
        if (!st) st = time_single(tokenizer, &in, limit, seconds, rounds);
    }
    if (st) fprintf(stderr, "%s\n", kua_error_message());
    kua__free(in.text);
    if (map.data) kua__map_close(&map);
    kua_tokenizer_free(tokenizer);
    return st != KUA_OK;
}

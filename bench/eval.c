/* bench/eval.c - what an evaluation costs apart from the model: ranking all items for all users,
 * and the intervals.
 *
 *     build/bench/eval [users items rows]          default 22363 12101 10, the size of Amazon
 * Beauty
 *
 * Scores are read from a small block of random numbers, so that making them costs next to nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "eval/eval.h"

enum { POOL = 1 << 22 };

static float pool[POOL];

static kua_status score(void *ctx, const kua__query *queries, size_t n, float *scores)
{
    size_t n_items = *(const size_t *)ctx;
    for (size_t q = 0; q < n; q++)
        memcpy(scores + q * n_items, pool + queries[q].user * 97u % (POOL - n_items),
               n_items * sizeof(float));
    return KUA_OK;
}

static void print_failure(kua_status st)
{
    if (st) {
        fprintf(stderr, "%s\n", kua_error_message());
        exit(1);
    }
}

/* Every user has nine events on random items; the last one is the question. */
static void make_log(kua__log *log, kua__split *split)
{
    kua__rng rng = kua__rng_make(1, 1);
    for (size_t e = 0; e < log->n_events; e++) {
        log->item[e] = kua__rng_below(&rng, (uint32_t)log->n_items);
        log->type[e] = KUA__EVENT_PURCHASE;
    }
    for (size_t u = 0; u < log->n_users; u++) {
        log->user_at[u] = u * 9;
        split->valid_at[u] = u * 9 + 7;
        split->test_at[u] = u * 9 + 8;
    }
    log->user_at[log->n_users] = log->n_events;
}

static void *zeros(size_t n, size_t size)
{
    void *p = kua__calloc(n, size);
    if (!p) exit(1);
    return p;
}

int main(int argc, char **argv)
{
    size_t n_users = argc > 1 ? strtoul(argv[1], NULL, 10) : 22363;
    size_t n_items = argc > 2 ? strtoul(argv[2], NULL, 10) : 12101;
    size_t n_rows = argc > 3 ? strtoul(argv[3], NULL, 10) : 10;
    kua__log log = {.n_users = n_users, .n_items = n_items, .n_events = n_users * 9};
    log.user_at = zeros(n_users + 1, sizeof(size_t));
    log.item = zeros(log.n_events, sizeof(uint32_t));
    log.time = zeros(log.n_events, sizeof(int64_t));
    log.type = zeros(log.n_events, 1);
    kua__split split = {.n_users = n_users,
                        .valid_at = zeros(n_users, sizeof(size_t)),
                        .test_at = zeros(n_users, sizeof(size_t))};
    kua__domain domain = {.name = "bench", .n_items = n_items};
    kua__shop shop = {.domains = &domain, .n_domains = 1};
    kua__world world = {
        .side = {.shop = &shop}, .train = {&log, split.valid_at}, .valid = {&log, split.test_at}};
    make_log(&log, &split);
    kua__rng rng = kua__rng_make(2, 2);
    for (size_t i = 0; i < POOL; i++)
        pool[i] = kua__rng_uniform(&rng);

    kua__eval_set set;
    kua__eval_row *rows = zeros(n_rows, sizeof(*rows));
    kua__eval_result result;
    double start = kua__seconds();
    print_failure(kua__eval_set_build(
        &set, &world, &split, &(kua__eval_options){.part = KUA__PART_TEST, .mask_seen = true}));
    printf("questions      %8.3f s\n", kua__seconds() - start);
    print_failure(kua__eval_run(&set, score, &n_items, NULL, &result));
    printf("rank and lists %8.3f s   %.0f million scores/s\n", result.seconds,
           (double)n_users * (double)n_items / result.seconds / 1e6);
    for (size_t r = 0; r < n_rows; r++)
        rows[r] = (kua__eval_row){.name = "row", .results = &result, .n_results = 1};
    json_t *table = NULL;
    start = kua__seconds();
    print_failure(kua__table_json(&set, rows, n_rows, &(kua__table_options){.seed = 1}, &table));
    printf("table          %8.3f s   %zu rows, all slices, %d resamples\n", kua__seconds() - start,
           n_rows, KUA__RESAMPLES);
    printf("%d threads, peak memory %.0f MB\n", kua__threads(),
           (double)kua__peak_rss_bytes() / 1e6);
    json_decref(table);
    return 0;
}

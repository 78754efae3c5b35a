/* encode.c - many texts through an encoder: equal ones once, in full batches, on all threads.
 *
 *     texts --tokenizer--> ids --sort--> longest first, equal ones side by side
 *           --fill--> batches --threads--> rows
 *
 * Sorting by (length, ids) brings equal texts together, so a comparison with the neighbour finds
 * them; no hash table is needed. Batches hold no padding, so what matters is that each is full: it
 * takes the longest text that still fits, again and again (first fit decreasing). All but the last
 * then have the same number of rows, for which the products' kernels are compiled once.
 *
 * Invariants
 *   I1  order[] is a permutation of the texts; distinct[i] are the places in it where a new text
 *       begins.
 *   I2  pick[] is a permutation of the distinct texts; a batch is a range of it. Its tokens are at
 *       most batch_tokens, or it is one text.
 *   I3  the batches depend on the texts, the options and the number of threads only, so results
 *       repeat whichever thread takes which batch.
 *
 * A batch that fails stops the others at their next batch; the first failure is reported with its
 * own message.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/encoder.h"

typedef struct job {
    kua_encoder *encoder;
    const kua_id_batch *ids;
    const kua_monitor *monitor;
    float *rows;
    uint32_t *order, *distinct; /* [texts], [n_distinct + 1] */
    uint32_t *pick, *batch;     /* [n_distinct], [n_batches + 1] */
    size_t n_distinct, n_batches, tokens;
    kua__encoder_scratch **scratch; /* [threads] */
    kua__scratch **crew;            /* [threads] their insides */
    size_t n_crew;                  /* how many work on one batch: 1, or all */
    const uint32_t **id;            /* [n_distinct] of pick[] */
    uint32_t *length;               /* [n_distinct] of pick[] */
    int threads, caller;            /* caller: the thread that may call the monitor */
    atomic_size_t done;             /* tokens */
    _Atomic kua_status status;      /* of the first failure */
    pthread_mutex_t lock;           /* guards `failure` */
    kua__failure failure;
} job;

/* ---- order ---- */

static uint32_t length_of(const kua_id_batch *ids, uint32_t text)
{
    return (uint32_t)(ids->offset[text + 1] - ids->offset[text]);
}

static const uint32_t *ids_of(const kua_id_batch *ids, uint32_t text)
{
    return ids->ids.id + ids->offset[text];
}

/* Longest first, then by ids, then by place. */
static int by_length(const void *a, const void *b, void *ctx)
{
    const kua_id_batch *ids = ctx;
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    uint32_t m = length_of(ids, x), n = length_of(ids, y);
    if (m != n) return m > n ? -1 : 1;
    int order = memcmp(ids_of(ids, x), ids_of(ids, y), n * sizeof(uint32_t));
    return order ? order : (x > y) - (x < y);
}

static bool equal_texts(const kua_id_batch *ids, uint32_t a, uint32_t b)
{
    uint32_t n = length_of(ids, a);
    return n == length_of(ids, b) &&
           memcmp(ids_of(ids, a), ids_of(ids, b), n * sizeof(uint32_t)) == 0;
}

static void find_distinct(job *j)
{
    size_t n = j->ids->n;
    for (size_t i = 0; i < n; i++) {
        if (i && equal_texts(j->ids, j->order[i - 1], j->order[i])) continue;
        j->tokens += length_of(j->ids, j->order[i]);
        j->distinct[j->n_distinct++] = (uint32_t)i;
    }
    j->distinct[j->n_distinct] = (uint32_t)n;
}

/* ---- batches ---- */

enum { SHARED_TOKENS = 64, BATCHES_FEW = 8, ROWS_UNIT = 16 };
/* ROWS_UNIT: the rows of a product are rounded up to it anyway (kua__packed_rows). */

/* Tokens of a batch. Where there are few batches their number becomes a multiple of the threads, so
 * that none of them waits for the last batch; a handful of tokens stays together. */
static size_t choose_batch_tokens(const job *j)
{
    assert(j->tokens >= 1 && j->encoder->batch_tokens >= 1);
    size_t most = j->encoder->batch_tokens, threads = (size_t)kua__threads();
    size_t n = (j->tokens + most - 1) / most;
    if (j->tokens <= SHARED_TOKENS * threads || n >= BATCHES_FEW * threads) return most;
    n = (n + threads - 1) / threads * threads;
    return KUA__MIN(most, ((j->tokens + n - 1) / n + ROWS_UNIT - 1) / ROWS_UNIT * ROWS_UNIT);
}

/* The distinct texts of one length are a run of distinct[]: what is left of it. */
typedef struct run {
    uint32_t next, end;
} run;

static uint32_t distinct_length(const job *j, size_t i)
{
    return length_of(j->ids, j->order[j->distinct[i]]);
}

static void find_runs(const job *j, run *runs)
{
    for (size_t i = 0; i < j->n_distinct; i++) {
        run *r = &runs[distinct_length(j, i)];
        if (r->end == 0) r->next = (uint32_t)i;
        r->end = (uint32_t)i + 1;
    }
}

static void pick_text(job *j, size_t at, uint32_t text)
{
    assert(at < j->n_distinct && text < j->n_distinct);
    uint32_t first = j->order[j->distinct[text]];
    j->pick[at] = text;
    j->id[at] = ids_of(j->ids, first);
    j->length[at] = length_of(j->ids, first);
}

static void fill_batches(job *j, run *runs)
{
    size_t most = choose_batch_tokens(j), longest = j->encoder->max_tokens, picked = 0;
    while (picked < j->n_distinct) {
        while (runs[longest].next == runs[longest].end)
            longest--;
        assert(longest >= 1); /* a text is left: its run is found before */
        j->batch[j->n_batches++] = (uint32_t)picked;
        size_t room = KUA__MAX(most, longest), length = longest;
        while (length > 0) {
            if (runs[length].next < runs[length].end) {
                pick_text(j, picked++, runs[length].next++);
                room -= length;
                length = KUA__MIN(length, room);
            } else {
                length--;
            }
        }
    }
    j->batch[j->n_batches] = (uint32_t)picked;
    assert(picked == j->n_distinct); /* I2 */
}

static kua_status cut_batches(job *j)
{
    run *runs = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&runs, j->encoder->max_tokens + 1, "an order of texts"));
    find_runs(j, runs);
    fill_batches(j, runs);
    kua__free(runs);
    return KUA_OK;
}

/* ---- work ---- */

static void job_fail(job *j, kua_status status)
{
    pthread_mutex_lock(&j->lock);
    if (!j->status) {
        kua__failure_keep(&j->failure, status, 0);
        j->status = status;
    }
    pthread_mutex_unlock(&j->lock);
}

/* Pools each text of a batch into the rows of all texts that are equal to it. */
static void write_rows(const job *j, size_t first, size_t last, const float *x)
{
    const kua_encoder *e = j->encoder;
    size_t dim = e->model.config.hidden;
    for (size_t i = first; i < last; i++) {
        size_t from = j->distinct[j->pick[i]], to = j->distinct[j->pick[i] + 1];
        float *row = j->rows + j->order[from] * dim;
        kua__pool_rows(x, j->length[i], dim, e->pooling, e->unit, row);
        for (size_t k = from + 1; k < to; k++)
            memcpy(j->rows + j->order[k] * dim, row, dim * sizeof(*row));
        x += j->length[i] * dim;
    }
}

static void run_batch(job *j, int thread, size_t batch)
{
    size_t first = j->batch[batch], last = j->batch[batch + 1];
    kua__text_batch b = {.n = last - first, .id = j->id + first, .length = j->length + first};
    for (size_t i = 0; i < b.n; i++)
        b.tokens += b.length[i];
    assert(b.n >= 1 && b.tokens <= j->encoder->rows); /* I2 */
    kua_status st = kua__model_forward(&j->encoder->model, j->crew + thread, j->n_crew, &b);
    if (!st) write_rows(j, first, last, j->crew[thread]->x);
    /* Never the total here: that is told once, when every batch is done. */
    size_t done = atomic_fetch_add(&j->done, b.tokens) + b.tokens;
    if (!st && kua__thread_index() == j->caller)
        st = kua__progress(j->monitor, "encode tokens", KUA__MIN(done, j->tokens - 1), j->tokens);
    if (st) job_fail(j, st);
}

static void run_batches(void *ctx, int thread, size_t first, size_t last)
{
    job *j = ctx;
    assert(thread < j->threads);
    for (size_t i = first; i < last && !j->status; i++)
        run_batch(j, thread, i);
}

/* ---- one call ---- */

static kua_status job_arrays(job *j)
{
    size_t n = j->ids->n;
    KUA__TRY(KUA__NEW_ARRAY(&j->order, n, "an order of texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->distinct, n + 1, "an order of texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->pick, n, "batches of texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->batch, n + 1, "batches of texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->id, n, "texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->length, n, "texts"));
    for (size_t i = 0; i < n; i++)
        j->order[i] = (uint32_t)i;
    qsort_r(j->order, n, sizeof(*j->order), by_length, (void *)(uintptr_t)j->ids); /* only read */
    return KUA_OK;
}

/* Fewer batches than threads (a single query): all threads share each batch. */
static kua_status job_scratch(job *j)
{
    size_t threads = (size_t)kua__threads(), parts = j->encoder->model.parts;
    bool together = j->n_batches < threads && parts > 1;
    j->n_crew = together ? parts : 1;
    j->threads = (int)(together ? parts : KUA__MIN(threads, j->n_batches));
    KUA__TRY(KUA__NEW_ZEROED(&j->scratch, (size_t)j->threads, "scratch memory"));
    KUA__TRY(KUA__NEW_ZEROED(&j->crew, (size_t)j->threads, "scratch memory"));
    for (int i = 0; i < j->threads; i++) {
        KUA__TRY(kua__encoder_take(j->encoder, &j->scratch[i]));
        j->crew[i] = &j->scratch[i]->scratch;
    }
    return KUA_OK;
}

static void job_release(job *j)
{
    for (int i = 0; j->scratch && i < j->threads; i++)
        kua__encoder_give(j->encoder, j->scratch[i]);
    kua__free(j->scratch);
    kua__free(j->crew);
    kua__free(j->order);
    kua__free(j->distinct);
    kua__free(j->pick);
    kua__free(j->batch);
    kua__free(j->id);
    kua__free(j->length);
    pthread_mutex_destroy(&j->lock);
}

static kua_status job_run(job *j)
{
    KUA__TRY(job_arrays(j));
    find_distinct(j);
    KUA__TRY(cut_batches(j));
    KUA__TRY(job_scratch(j));
    KUA__TRY(kua__progress(j->monitor, "encode tokens", 0, j->tokens));
    if (j->n_crew > 1)
        run_batches(j, 0, 0, j->n_batches);
    else
        kua__parallel_chunks(j->n_batches, 1, run_batches, j);
    KUA__TRY(kua__failure_first(&j->failure, 1));
    return kua__progress(j->monitor, "encode tokens", j->tokens, j->tokens);
}

static kua_status check_ids(const kua_encoder *e, const kua_id_batch *batch)
{
    size_t vocab = e->model.config.vocab;
    if (batch->n > UINT32_MAX - 1)
        return kua__fail(KUA_INVALID, "encoder: %zu texts, the limit is %u", batch->n,
                         UINT32_MAX - 1);
    for (size_t i = 0; i < batch->n; i++) {
        size_t n = batch->offset[i + 1] - batch->offset[i];
        if (n < 1 || n > e->max_tokens)
            return kua__fail(KUA_INVALID, "encoder: text %zu has %zu tokens, expected 1..%zu", i, n,
                             e->max_tokens);
        for (size_t k = 0; k < n; k++) {
            uint32_t id = batch->ids.id[batch->offset[i] + k];
            if (id >= vocab) {
                return kua__fail(KUA_INVALID,
                                 "encoder: token %zu of text %zu is %u, the model has %zu", k, i,
                                 id, vocab);
            }
        }
    }
    return KUA_OK;
}

kua_status kua_encoder_encode_ids(kua_encoder *encoder, const kua_id_batch *batch,
                                  const kua_monitor *monitor, float *rows, kua_encoder_stats *stats)
{
    assert(encoder && batch && (rows || batch->n == 0));
    if (stats) *stats = (kua_encoder_stats){0};
    if (batch->n == 0) return KUA_OK;
    KUA__TRY(check_ids(encoder, batch));
    job j = {.encoder = encoder,
             .ids = batch,
             .monitor = monitor,
             .rows = rows,
             .caller = kua__thread_index()};
    pthread_mutex_init(&j.lock, NULL);
    kua_status st = job_run(&j);
    if (!st && stats) *stats = (kua_encoder_stats){batch->n, j.n_distinct, j.tokens};
    job_release(&j);
    return st;
}

kua_status kua_encoder_encode(kua_encoder *encoder, const kua_text *texts, size_t n,
                              const kua_monitor *monitor, float *rows, kua_encoder_stats *stats)
{
    assert(encoder && (texts || n == 0) && (rows || n == 0));
    if (stats) *stats = (kua_encoder_stats){0};
    if (n == 0) return KUA_OK;
    kua_id_batch batch = {0};
    kua_status st =
        kua_tokenizer_encode_batch(encoder->tokenizer, texts, n, encoder->max_tokens, &batch);
    if (!st) st = kua_encoder_encode_ids(encoder, &batch, monitor, rows, stats);
    kua_id_batch_release(&batch);
    return st;
}

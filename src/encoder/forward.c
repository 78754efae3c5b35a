/* forward.c - one batch through the model, on one thread or, where there is nothing else to do, on
 * all of them.
 *
 * The batch is a matrix of tokens. Only attention and pooling know where texts begin; everything
 * else is a product or a loop over rows. Rows are rounded up for the products (kua__packed_rows):
 * the rows behind the last token hold zeros at first and numbers that nobody reads afterwards.
 *
 * Size of a batch: many rows read the weights seldom, few rows keep x and wide in a core's second
 * cache level. For a model of 384 the speed is flat from 192 to 384 tokens and falls off by 2 % at
 * 128 and 512.
 *
 *     wide  [ rows * 3 hidden: q k v | rows * hidden: attended ]      in attention
 *           [ rows * inner                                      ]     in the inner part
 *
 * Both parts use one block in turn: q, k, v and what was attended are over when the inner part
 * begins. x is read and added to by the products behind them (their epilogue), never copied.
 */
#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "encoder/bert.h"
#include "tensor/kernels.h"

/* ---- scratch ---- */

static size_t wide_cols(const kua__model_config *c)
{
    return KUA__MAX(4 * c->hidden, c->inner);
}

/* Floats rounded up so that what follows is aligned. */
static size_t aligned(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static kua__attend_options attention_of(const kua__model_config *c)
{
    size_t dim = c->hidden / c->heads;
    return (kua__attend_options){c->heads, c->heads, dim,     1.0f / sqrtf((float)dim),
                                 false,    0,        c->heads};
}

size_t kua__bert_scratch_bytes(const kua__model_config *config, size_t rows, size_t longest)
{
    kua__attend_options a = attention_of(config);
    size_t room = kua__packed_rows(rows);
    return (aligned(room * config->hidden) + aligned(room * wide_cols(config)) +
            kua__attention_scratch(&a, longest)) *
           sizeof(float);
}

kua_status kua__bert_scratch_init(kua__bert_scratch *scratch, const kua__bert *bert, size_t rows,
                                  size_t longest)
{
    assert(scratch && bert && rows >= longest && longest >= 1);
    const kua__model_config *c = &bert->config;
    *scratch = (kua__bert_scratch){.rows = rows, .longest = longest};
    size_t bytes = kua__bert_scratch_bytes(c, rows, longest), room = kua__packed_rows(rows);
    if (!(scratch->block = kua__malloc(bytes)))
        return kua__fail_nomem(bytes, "an encoder's scratch memory");
    scratch->x = scratch->block;
    scratch->wide = scratch->x + aligned(room * c->hidden);
    scratch->attention = scratch->wide + aligned(room * wide_cols(c));
    kua_status st = kua__lane_create(&scratch->lane);
    if (st) kua__bert_scratch_release(scratch);
    return st;
}

void kua__bert_scratch_release(kua__bert_scratch *scratch)
{
    kua__lane_free(scratch->lane);
    kua__free(scratch->block);
    *scratch = (kua__bert_scratch){0};
}

/* ---- steps: each is cut in parts, one for each member of the crew ---- */

/* A batch on its way. */
typedef struct pass {
    const kua__bert *bert;
    const kua__bert_batch *batch;
    kua__bert_scratch *const *crew;
    size_t n_crew, rows;
    float *x, *wide, *attended; /* of crew[0] */
    const kua__packed *product; /* of the current step, and what it goes from and to */
    const float *from;
    float *to;
    const kua__bert_norm *norm;
    atomic_bool failed; /* whoever sets it writes status and message */
    kua_status status;
    char message[400];
} pass;

/* Too little work to wake anybody for. */
enum { NORM_ROWS = 32 };

static void pass_fail(pass *p, kua_status status)
{
    if (atomic_exchange(&p->failed, true)) return;
    snprintf(p->message, sizeof(p->message), "%s", kua_error_message());
    p->status = status;
}

static void product_parts(void *ctx, size_t first, size_t last)
{
    pass *p = ctx;
    for (size_t i = first; i < last && i < kua__packed_parts(p->product); i++) {
        kua_status st =
            kua__packed_run_part(p->product, p->crew[i]->lane, i, p->rows, p->from, p->to);
        if (st) pass_fail(p, st);
    }
}

static kua_status run_product(pass *p, const kua__packed *product, const float *from, float *to)
{
    if (p->n_crew == 1) return kua__packed_run(product, p->crew[0]->lane, p->rows, from, to);
    p->product = product;
    p->from = from;
    p->to = to;
    kua__parallel_for(p->n_crew, 1, product_parts, p);
    return p->failed ? kua__fail(p->status, "%s", p->message) : KUA_OK;
}

/* Heads of all texts. */
static void attend_parts(void *ctx, size_t first, size_t last)
{
    assert(first < last && last <= ((const pass *)ctx)->n_crew);
    const pass *p = ctx;
    const kua__model_config *c = &p->bert->config;
    kua__attend_options a = attention_of(c);
    kua__attend_fn attend = kua__attend_get(a.dim);
    a.first = first * c->heads / p->n_crew;
    a.last = last * c->heads / p->n_crew;
    for (size_t i = 0, at = 0; i < p->batch->n; at += p->batch->length[i++]) {
        const float *q = p->wide + at * 3 * c->hidden;
        size_t h = c->hidden, n = p->batch->length[i];
        attend(&a, &(kua__attend_rows){q, q + h, q + 2 * h, 3 * h, 3 * h, n, n},
               p->attended + at * h, p->crew[first]->attention);
    }
}

static void norm_rows(void *ctx, size_t first, size_t last)
{
    const pass *p = ctx;
    const kua__kernels *k = kua__kernels_get();
    size_t h = p->bert->config.hidden;
    float stat[2];
    for (size_t i = first; i < last; i++) {
        k->layer_norm(p->x + i * h, stat, p->x + i * h, p->norm->gain, p->norm->bias,
                      p->bert->config.epsilon, h);
    }
}

static void run_attention(pass *p)
{
    if (p->n_crew == 1)
        attend_parts(p, 0, 1);
    else
        kua__parallel_for(p->n_crew, 1, attend_parts, p);
}

static void run_norm(pass *p, const kua__bert_norm *norm)
{
    p->norm = norm;
    if (p->n_crew == 1)
        norm_rows(p, 0, p->batch->tokens);
    else
        kua__parallel_for(p->batch->tokens, NORM_ROWS, norm_rows, p);
}

/* ---- layers ---- */

static void embed(const kua__bert *b, const kua__bert_batch *batch, float *x)
{
    const kua__kernels *k = kua__kernels_get();
    size_t h = b->config.hidden;
    const float *words = kua__tensor_f32(b->word);
    for (size_t i = 0; i < batch->n; i++) {
        for (size_t j = 0; j < batch->length[i]; j++, x += h) {
            size_t id = batch->id[i][j];
            assert(id < b->config.vocab && j < b->positions);
            if (words) {
                k->add(x, words + id * h, b->place + j * h, h);
            } else {
                kua__tensor_to_f32(b->word, id * h, h, x);
                k->add(x, x, b->place + j * h, h);
            }
        }
    }
}

/* Zeros behind the last token: numbers left there by another batch could be not-a-number or slow
 * subnormals. */
static void clear_spare_rows(pass *p)
{
    assert(p->rows >= p->batch->tokens);
    size_t h = p->bert->config.hidden, tokens = p->batch->tokens;
    size_t bytes = (p->rows - tokens) * h * sizeof(float);
    memset(p->x + tokens * h, 0, bytes);
    memset(p->attended + tokens * h, 0, bytes);
}

static kua_status run_layer(pass *p, const kua__bert_layer *layer)
{
    clear_spare_rows(p);
    KUA__TRY(run_product(p, layer->qkv, p->x, p->wide));
    run_attention(p);
    KUA__TRY(run_product(p, layer->out, p->attended, p->x)); /* x += */
    run_norm(p, &layer->after_attention);
    KUA__TRY(run_product(p, layer->up, p->x, p->wide));
    KUA__TRY(run_product(p, layer->down, p->wide, p->x)); /* x += */
    run_norm(p, &layer->after_inner);
    return KUA_OK;
}

kua_status kua__bert_forward(const kua__bert *bert, kua__bert_scratch *const *crew, size_t n_crew,
                             const kua__bert_batch *batch)
{
    assert(bert && crew && batch);
    assert(n_crew == 1 || n_crew == bert->parts);
    assert(batch->tokens >= 1 && batch->tokens <= crew[0]->rows);
    pass p = {.bert = bert, .batch = batch, .crew = crew, .n_crew = n_crew};
    p.rows = kua__packed_rows(batch->tokens);
    assert(p.rows <= kua__packed_rows(crew[0]->rows));
    p.x = crew[0]->x;
    p.wide = crew[0]->wide;
    p.attended = p.wide + p.rows * 3 * bert->config.hidden;
    embed(bert, batch, p.x);
    run_norm(&p, &bert->first);
    for (size_t i = 0; i < bert->config.layers; i++)
        KUA__TRY(run_layer(&p, &bert->layer[i]));
    return KUA_OK;
}

/* ---- pooling ---- */

static void largest_rows(const float *x, size_t n, size_t hidden, float *out)
{
    for (size_t i = 1; i < n; i++) {
        for (size_t c = 0; c < hidden; c++)
            out[c] = x[i * hidden + c] > out[c] ? x[i * hidden + c] : out[c];
    }
}

void kua__bert_pool(const float *x, size_t n, size_t hidden, kua_pooling pooling, bool unit,
                    float *out)
{
    assert(x && out && hidden >= 1);
    assert(n >= 1 && pooling != KUA_POOLING_MODEL);
    const kua__kernels *k = kua__kernels_get();
    memcpy(out, x, hidden * sizeof(float));
    if (pooling == KUA_POOLING_MAX) largest_rows(x, n, hidden, out);
    if (pooling == KUA_POOLING_MEAN) {
        for (size_t i = 1; i < n; i++)
            k->add(out, out, x + i * hidden, hidden);
        k->scale(out, out, 1.0f / (float)n, hidden);
    }
    if (unit) k->scale(out, out, 1.0f / fmaxf(sqrtf(k->dot(out, out, hidden)), 1e-12f), hidden);
}

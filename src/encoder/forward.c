/* forward.c - one batch through the model on one thread.
 *
 * The batch is a matrix of tokens. Only attention and pooling know where texts begin; everything
 * else is a product or a loop over rows. Rows are rounded up for the products (kua__packed_rows):
 * the rows behind the last token hold zeros at first and numbers that nobody reads afterwards.
 *
 * Sizes: with 128 tokens of a model of 384, x and wide are 1 MB, what a core's second cache level
 * holds; weights are read once a batch.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "encoder/bert.h"
#include "tensor/kernels.h"

/* ---- scratch ---- */

static size_t wide_cols(const kua__bert_config *c)
{
    return KUA__MAX(4 * c->hidden, c->inner);
}

/* Floats rounded up so that what follows is aligned. */
static size_t aligned(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

static kua__attention attention_of(const kua__bert_config *c)
{
    size_t dim = c->hidden / c->heads;
    return (kua__attention){c->heads, dim, 1.0f / sqrtf((float)dim)};
}

size_t kua__bert_scratch_bytes(const kua__bert_config *config, size_t rows, size_t longest)
{
    kua__attention a = attention_of(config);
    size_t room = kua__packed_rows(rows);
    return (aligned(room * config->hidden) + aligned(room * wide_cols(config)) +
            kua__attention_scratch(&a, longest)) *
           sizeof(float);
}

kua_status kua__bert_scratch_init(kua__bert_scratch *scratch, const kua__bert *bert, size_t rows,
                                  size_t longest)
{
    assert(rows >= longest && longest >= 1);
    const kua__bert_config *c = &bert->config;
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

/* ---- layers ---- */

static void norm_rows(const kua__bert *b, const kua__bert_norm *norm, float *x, size_t rows)
{
    const kua__kernels *k = kua__kernels_get();
    size_t h = b->config.hidden;
    float stat[2];
    for (size_t i = 0; i < rows; i++)
        k->layer_norm(x + i * h, stat, x + i * h, norm->gain, norm->bias, b->config.epsilon, h);
}

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

static void attend_texts(const kua__bert *b, const kua__bert_batch *batch, kua__bert_scratch *s,
                         float *out)
{
    kua__attention a = attention_of(&b->config);
    kua__attend_fn attend = kua__attend_get(a.dim);
    size_t h = b->config.hidden, at = 0;
    for (size_t i = 0; i < batch->n; i++) {
        attend(&a, batch->length[i], s->wide + at * 3 * h, out + at * h, s->attention);
        at += batch->length[i];
    }
}

static kua_status layer_forward(const kua__bert *b, const kua__bert_layer *layer,
                                const kua__bert_batch *batch, kua__bert_scratch *s, size_t rows)
{
    float *attended = s->wide + rows * 3 * b->config.hidden;
    KUA__TRY(kua__packed_run(layer->qkv, s->lane, rows, s->x, s->wide));
    attend_texts(b, batch, s, attended);
    KUA__TRY(kua__packed_run(layer->out, s->lane, rows, attended, s->x));
    norm_rows(b, &layer->after_attention, s->x, batch->tokens);
    KUA__TRY(kua__packed_run(layer->up, s->lane, rows, s->x, s->wide));
    KUA__TRY(kua__packed_run(layer->down, s->lane, rows, s->wide, s->x));
    norm_rows(b, &layer->after_inner, s->x, batch->tokens);
    return KUA_OK;
}

kua_status kua__bert_forward(const kua__bert *bert, kua__bert_scratch *scratch,
                             const kua__bert_batch *batch)
{
    assert(batch->tokens <= scratch->rows);
    size_t h = bert->config.hidden, rows = kua__packed_rows(batch->tokens),
           spare = rows - batch->tokens;
    embed(bert, batch, scratch->x);
    norm_rows(bert, &bert->first, scratch->x, batch->tokens);
    for (size_t i = 0; i < bert->config.layers; i++) {
        /* zeros behind the last token: numbers left by another batch could be not-a-number or slow
         * subnormals */
        memset(scratch->x + batch->tokens * h, 0, spare * h * sizeof(float));
        memset(scratch->wide + (rows * 3 + batch->tokens) * h, 0, spare * h * sizeof(float));
        KUA__TRY(layer_forward(bert, &bert->layer[i], batch, scratch, rows));
    }
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

/* forward.c - one batch through the model, on one thread or, where there is nothing else to do, on
 * all of them.
 *
 * The batch is a matrix of tokens. Only attention, rotation and pooling know where texts begin;
 * everything else is a product or a loop over rows. Rows are rounded up for the products
 * (kua__packed_rows): the rows behind the last token hold zeros at first and numbers that nobody
 * reads afterwards.
 *
 * Size of a batch: many rows read the weights seldom, few rows keep x and wide in a core's second
 * cache level. For a model of 384 the speed is flat from 192 to 384 tokens and falls off by 2 % at
 * 128 and 512.
 *
 *     wide  [ rows * (q k v) | rows * attended ]      in attention
 *           [ rows * inner, or gate and up     ]      in the inner part
 *
 * Both parts use one block in turn: q, k, v and what was attended are over when the inner part
 * begins. x is read and added to by the products behind them (their epilogue), never copied; where
 * norms stand before, what was normed is in y.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "encoder/pass.h"
#include "tensor/kernels.h"

/* ---- shapes ---- */

static size_t query_cols(const kua__model_config *c)
{
    return c->heads * c->head_dim;
}

static size_t key_cols(const kua__model_config *c)
{
    return c->kv_heads * c->head_dim;
}

static size_t wide_cols(const kua__model_config *c)
{
    size_t attention = 2 * (query_cols(c) + key_cols(c)), inner = (c->gated ? 2 : 1) * c->inner;
    return KUA__MAX(KUA__MAX(attention, inner), c->hidden); /* hidden: of the head for words */
}

static kua__attend_options attention_of(const kua__model_config *c)
{
    return (kua__attend_options){.heads = c->heads,
                                 .kv_heads = c->kv_heads,
                                 .dim = c->head_dim,
                                 .scale = 1.0f / sqrtf((float)c->head_dim),
                                 .causal = c->causal,
                                 .last = c->heads};
}

/* ---- scratch ---- */

/* Floats rounded up so that what follows is aligned. */
static size_t aligned(size_t floats)
{
    return (floats + 15) / 16 * 16;
}

/* Floats of each part of the block, in the order of the struct. */
typedef struct room {
    size_t x, y, wide, attention, panel;
} room;

static size_t panel_of(const kua__dense *d)
{
    return d->lean ? kua__lean_panel(d->lean) : 0;
}

static room room_of(const kua__model *m, size_t rows, size_t longest)
{
    const kua__model_config *c = &m->config;
    kua__attend_options a = attention_of(c);
    size_t n = kua__packed_rows(rows);
    const kua__layer *l = m->layer; /* all are alike */
    room r = {aligned(n * c->hidden), c->pre_norm ? aligned(n * c->hidden) : 0,
              aligned(n * wide_cols(c)), aligned(kua__attention_scratch(&a, longest)), 0};
    r.panel = KUA__MAX(KUA__MAX(panel_of(&l->qkv), panel_of(&l->out)),
                       KUA__MAX(panel_of(&l->up), panel_of(&l->down)));
    r.panel = KUA__MAX(r.panel, KUA__MAX(panel_of(&m->head.dense), panel_of(&m->head.words)));
    return r;
}

size_t kua__scratch_bytes(const kua__model *model, size_t rows, size_t longest)
{
    room r = room_of(model, rows, longest);
    return (r.x + r.y + r.wide + r.attention + r.panel) * sizeof(float);
}

kua_status kua__scratch_init(kua__scratch *scratch, const kua__model *model, size_t rows,
                             size_t longest)
{
    assert(scratch && model && longest >= 1 && rows >= 1);
    *scratch = (kua__scratch){.rows = rows, .longest = longest};
    room r = room_of(model, rows, longest);
    size_t bytes = kua__scratch_bytes(model, rows, longest);
    if (!(scratch->block = kua__malloc(bytes)))
        return kua__fail_nomem(bytes, "an encoder's scratch memory");
    scratch->x = scratch->block;
    scratch->y = scratch->x + r.x;
    scratch->wide = scratch->y + r.y;
    scratch->attention = scratch->wide + r.wide;
    scratch->panel = scratch->attention + r.attention;
    kua_status st = kua__lane_create(&scratch->lane);
    if (st) kua__scratch_release(scratch);
    return st;
}

void kua__scratch_release(kua__scratch *scratch)
{
    kua__lane_free(scratch->lane);
    kua__free(scratch->block);
    *scratch = (kua__scratch){0};
}

/* ---- keys and values of earlier tokens ---- */

static size_t cache_floats(const kua__model_config *c, size_t positions)
{
    return c->layers * positions * key_cols(c);
}

size_t kua__cache_bytes(const kua__model_config *config, size_t positions)
{
    return 2 * cache_floats(config, positions) * sizeof(float);
}

kua_status kua__cache_init(kua__cache *cache, const kua__model_config *config, size_t positions)
{
    assert(cache && config && positions >= 1);
    *cache = (kua__cache){.room = positions};
    KUA__TRY(KUA__NEW_ARRAY(&cache->k, 2 * cache_floats(config, positions), "keys and values"));
    cache->v = cache->k + cache_floats(config, positions);
    return KUA_OK;
}

void kua__cache_release(kua__cache *cache)
{
    kua__free(cache->k);
    *cache = (kua__cache){0};
}

/* ---- attention ---- */

/* Positions of the batch's tokens: those of a text count from its cache on. */
static size_t past_of(const pass *p)
{
    return p->batch->cache ? p->batch->cache->past : 0;
}

static void rotate_rows(pass *p)
{
    const kua__model *m = p->model;
    const kua__model_config *c = &m->config;
    float *row = p->wide;
    for (size_t i = 0; i < p->batch->n; i++) {
        for (size_t j = 0; j < p->batch->length[i]; j++, row += query_cols(c) + 2 * key_cols(c)) {
            const float *turn = m->turn + (past_of(p) + j) * c->head_dim;
            kua__rotate(row, turn, c->heads + c->kv_heads, c->head_dim, c->rope_interleaved);
        }
    }
}

/* Keys and values of the one text behind those that are there. */
static void keep_keys(pass *p, size_t layer)
{
    const kua__model_config *c = &p->model->config;
    kua__cache *cache = p->batch->cache;
    size_t kv = key_cols(c), row = query_cols(c) + 2 * kv;
    size_t at = (layer * cache->room + cache->past) * kv;
    assert(p->batch->n == 1 && cache->past + p->batch->tokens <= cache->room);
    for (size_t i = 0; i < p->batch->tokens; i++) {
        const float *k = p->wide + i * row + query_cols(c);
        memcpy(cache->k + at + i * kv, k, kv * sizeof(*k));
        memcpy(cache->v + at + i * kv, k + kv, kv * sizeof(*k));
    }
}

/* Where the queries, keys and values of a text are; `at`: its first token. */
static kua__attend_rows rows_of(const pass *p, size_t layer, size_t at, size_t n)
{
    const kua__model_config *c = &p->model->config;
    const kua__cache *cache = p->batch->cache;
    size_t q = query_cols(c), kv = key_cols(c), row = q + 2 * kv;
    const float *first = p->wide + at * row;
    if (!cache) return (kua__attend_rows){first, first + q, first + q + kv, row, row, n, n};
    size_t keys = layer * cache->room * kv;
    return (kua__attend_rows){first, cache->k + keys, cache->v + keys, row, kv, n, cache->past + n};
}

/* A member's heads, of all texts. */
static void attend_heads(pass *p, size_t member, size_t layer)
{
    assert(member < p->n_crew);
    const kua__model_config *c = &p->model->config;
    kua__attend_options a = attention_of(c);
    kua__attend_fn attend = kua__attend_get(a.dim);
    a.first = member * c->heads / p->n_crew;
    a.last = (member + 1) * c->heads / p->n_crew;
    for (size_t i = 0, at = 0; i < p->batch->n; at += p->batch->length[i++]) {
        kua__attend_rows rows = rows_of(p, layer, at, p->batch->length[i]);
        attend(&a, &rows, p->attended + at * query_cols(c), p->crew[member]->attention);
    }
    kua__pass_meet(p);
}

static void run_attention(pass *p, size_t member, size_t layer)
{
    bool before = p->model->turn || p->batch->cache;
    if (before && member == 0) {
        if (p->model->turn) rotate_rows(p);
        if (p->batch->cache) keep_keys(p, layer);
    }
    if (before) kua__pass_meet(p);
    attend_heads(p, member, layer);
}

/* ---- layers ---- */

static void embed(const kua__model *m, const kua__text_batch *batch, size_t past, float *x)
{
    const kua__kernels *k = kua__kernels_get();
    size_t h = m->config.hidden;
    const float *words = kua__tensor_f32(m->word);
    for (size_t i = 0; i < batch->n; i++) {
        for (size_t j = 0; j < batch->length[i]; j++, x += h) {
            size_t id = batch->id[i][j], at = past + j;
            assert(id < m->config.vocab && at < m->positions);
            if (words && m->place) {
                k->add(x, words + id * h, m->place + at * h, h);
                continue;
            }
            kua__tensor_to_f32(m->word, id * h, h, x);
            if (m->place) k->add(x, x, m->place + at * h, h);
        }
    }
}

/* Zeros behind the last token: numbers left there by another batch could be not-a-number or slow
 * subnormals. */
static void clear_spare_rows(pass *p, size_t member)
{
    assert(p->rows >= p->tokens);
    if (p->rows == p->tokens) return;
    size_t h = p->model->config.hidden, q = query_cols(&p->model->config);
    size_t spare = p->rows - p->tokens;
    if (member == 0) {
        memset(p->x + p->tokens * h, 0, spare * h * sizeof(float));
        memset(p->attended + p->tokens * q, 0, spare * q * sizeof(float));
        if (p->model->config.pre_norm)
            memset(p->crew[0]->y + p->tokens * h, 0, spare * h * sizeof(float));
    }
    kua__pass_meet(p);
}

static void run_layer(pass *p, size_t member, size_t at)
{
    const kua__layer *layer = &p->model->layer[at];
    const kua__model_config *c = &p->model->config;
    bool before = c->pre_norm;
    float *y = before ? p->crew[0]->y : p->x;
    clear_spare_rows(p, member);
    if (before) kua__pass_norm(p, member, &layer->attend_norm, p->x, y);
    kua__pass_product(p, member, &layer->qkv, y, p->wide);
    run_attention(p, member, at);
    kua__pass_product(p, member, &layer->out, p->attended, p->x); /* x += */
    kua__pass_norm(p, member, before ? &layer->inner_norm : &layer->attend_norm, p->x, y);
    kua__pass_product(p, member, &layer->up, y, p->wide);
    if (c->gated)
        kua__pass_gate(p, member, p->wide, c->inner);
    else if (layer->up.activate)
        kua__pass_activate(p, member, c->activation, p->wide, c->inner);
    kua__pass_product(p, member, &layer->down, p->wide, p->x); /* x += */
    if (!before) kua__pass_norm(p, member, &layer->inner_norm, p->x, y);
}

/* What one member of the crew does. */
static void run_layers(void *ctx, size_t member, size_t last)
{
    pass *p = ctx;
    const kua__model *m = p->model;
    assert(last == member + 1);
    if (!m->config.pre_norm) kua__pass_norm(p, member, &m->first, p->x, p->x);
    for (size_t i = 0; i < m->config.layers; i++)
        run_layer(p, member, i);
    if (m->config.pre_norm) kua__pass_norm(p, member, &m->last, p->x, p->x);
}

kua_status kua__model_forward(const kua__model *model, kua__scratch *const *crew, size_t n_crew,
                              const kua__text_batch *batch)
{
    assert(model && crew && batch && (n_crew == 1 || n_crew == model->parts));
    assert(batch->tokens >= 1 && batch->tokens <= crew[0]->rows);
    const kua__model_config *c = &model->config;
    pass p = {.model = model, .batch = batch, .crew = crew, .n_crew = n_crew};
    p.tokens = batch->tokens;
    p.rows = kua__packed_rows(batch->tokens);
    p.x = crew[0]->x;
    p.wide = crew[0]->wide;
    p.attended = p.wide + p.rows * (query_cols(c) + 2 * key_cols(c));
    embed(model, batch, past_of(&p), p.x);
    KUA__TRY(kua__pass_run(&p, run_layers));
    if (batch->cache) batch->cache->past += batch->tokens;
    return KUA_OK;
}

/* ---- the head for words ---- */

static void run_words(void *ctx, size_t member, size_t last)
{
    pass *p = ctx;
    const kua__head *head = &p->model->head;
    assert(last == member + 1);
    if (head->dense.out > 0) {
        kua__pass_product(p, member, &head->dense, p->x, p->wide);
        kua__pass_activate(p, member, kua__config_head_activation(&p->model->config), p->wide,
                           p->model->config.hidden);
        kua__pass_norm(p, member, &head->norm, p->wide, p->wide);
    }
    kua__pass_product(p, member, &head->words, head->dense.out > 0 ? p->wide : p->x, p->logits);
}

kua_status kua__model_words(const kua__model *model, kua__scratch *const *crew, size_t n_crew,
                            size_t rows, float *logits)
{
    assert(model && model->has_head && crew && logits);
    assert((n_crew == 1 || n_crew == model->parts) && rows >= 1 && rows <= crew[0]->rows);
    pass p = {.model = model, .crew = crew, .n_crew = n_crew, .tokens = rows, .logits = logits};
    p.rows = kua__packed_rows(rows);
    p.x = crew[0]->x;
    p.wide = crew[0]->wide;
    size_t h = model->config.hidden;
    memset(p.x + rows * h, 0, (p.rows - rows) * h * sizeof(float));
    return kua__pass_run(&p, run_words);
}

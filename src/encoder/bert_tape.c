/* bert_tape.c - BERT's forward pass written once more, on operations that know their way back.
 *
 * Why twice: inference works in place on scratch memory with packed weights and keeps nothing;
 * training keeps what the way back needs and changes its weights every step. forward.c and this
 * file are held together by tests/encoder/test_bert_tape.c (same vectors), and this one by
 * gradients that torch computed.
 *
 * Query, key and value are one parameter here, so that one product makes them; the file has three
 * tensors, which are thirds of its rows. `visit_all` walks through the tensors in one order for
 * reading, declaring and writing, so that the three cannot disagree.
 */
#include "encoder/bert_tape.h"

#include <assert.h>
#include <string.h>

#include "encoder/bert.h"
#include "grad/tape.h"

static const float DEVIATION = .02f; /* of BERT's own start ("initializer_range") */

/* ---- parameters ---- */

/* Where parameters are made. */
typedef struct maker {
    kua__params *params;
    kua__rng *rng;
    int layer; /* < 0: outside the layers */
} maker;

static kua_status make(const maker *m, const char *name, const char *what, size_t rows, size_t cols,
                       kua__init init, kua__param **out)
{
    assert(rows >= 1 && cols >= 1);
    char full[128];
    if (m->layer < 0)
        snprintf(full, sizeof(full), "%s.%s", name, what);
    else
        snprintf(full, sizeof(full), "encoder.layer.%d.%s.%s", m->layer, name, what);
    KUA__TRY(kua__params_add(m->params, full, rows, cols, init, DEVIATION, m->rng, out));
    if (rows == 1) (*out)->weight_decay = 0; /* biases and norms are not decayed */
    return KUA_OK;
}

static kua_status make_product(const maker *m, const char *name, size_t out, size_t in,
                               kua__bert_pair *pair)
{
    KUA__TRY(make(m, name, "weight", out, in, KUA__INIT_NORMAL, &pair->weight));
    return make(m, name, "bias", 1, out, KUA__INIT_ZEROS, &pair->bias);
}

static kua_status make_norm(const maker *m, const char *name, size_t n, kua__bert_pair *pair)
{
    KUA__TRY(make(m, name, "weight", 1, n, KUA__INIT_ONES, &pair->weight));
    return make(m, name, "bias", 1, n, KUA__INIT_ZEROS, &pair->bias);
}

static kua_status make_block(const maker *m, const kua__model_config *c, kua__bert_block *b)
{
    size_t h = c->hidden;
    KUA__TRY(make_product(m, "attention.self.qkv", 3 * h, h, &b->qkv));
    KUA__TRY(make_product(m, "attention.output.dense", h, h, &b->out));
    KUA__TRY(make_norm(m, "attention.output.LayerNorm", h, &b->after_attention));
    KUA__TRY(make_product(m, "intermediate.dense", c->inner, h, &b->up));
    KUA__TRY(make_product(m, "output.dense", h, c->inner, &b->down));
    return make_norm(m, "output.LayerNorm", h, &b->after_inner);
}

kua_status kua__bert_params_create(kua__bert_params *bert, kua__params *params,
                                   const kua__model_config *config, kua__rng *rng)
{
    assert(bert && params && config && rng);
    *bert = (kua__bert_params){.config = *config};
    maker m = {params, rng, -1};
    size_t h = config->hidden;
    KUA__TRY(kua__params_add_table(params, "embeddings.word_embeddings.weight", config->vocab, h,
                                   DEVIATION, rng, &bert->word));
    KUA__TRY(make(&m, "embeddings.position_embeddings", "weight", config->positions, h,
                  KUA__INIT_NORMAL, &bert->place));
    KUA__TRY(make(&m, "embeddings.token_type_embeddings", "weight", config->types, h,
                  KUA__INIT_NORMAL, &bert->type));
    KUA__TRY(make_norm(&m, "embeddings.LayerNorm", h, &bert->first));
    KUA__TRY(KUA__NEW_ZEROED(&bert->block, config->layers, "layers"));
    for (m.layer = 0; (size_t)m.layer < config->layers; m.layer++)
        KUA__TRY(make_block(&m, config, &bert->block[m.layer]));
    return KUA_OK;
}

void kua__bert_params_release(kua__bert_params *bert)
{
    kua__free(bert->block);
    *bert = (kua__bert_params){0};
}

/* ---- files: one list of tensors serves reading and writing ---- */

/* A tensor of the file, and where its numbers are in a parameter. */
typedef struct visit {
    int layer; /* < 0: outside the layers */
    const char *name;
    float *value;
    size_t rank, dim[2];
} visit;
typedef kua_status (*visit_fn)(void *ctx, const visit *v);

typedef struct visitor {
    visit_fn fn;
    void *ctx;
    int layer;
} visitor;

static kua_status visit_table(const visitor *v, const char *name, const kua__param *p)
{
    visit whole = {v->layer, name, p->value, 2, {p->rows, p->cols}};
    return v->fn(v->ctx, &whole);
}

static kua_status visit_vector(const visitor *v, const char *name, const char *what, float *value,
                               size_t n)
{
    char full[128];
    snprintf(full, sizeof(full), "%s.%s", name, what);
    visit vector = {v->layer, full, value, 1, {n}};
    return v->fn(v->ctx, &vector);
}

static kua_status visit_norm(const visitor *v, const char *name, const kua__bert_pair *norm)
{
    KUA__TRY(visit_vector(v, name, "weight", norm->weight->value, norm->weight->cols));
    return visit_vector(v, name, "bias", norm->bias->value, norm->bias->cols);
}

/* Part `part` of `parts` products that are stacked in one. */
static kua_status visit_product(const visitor *v, const char *name, const kua__bert_pair *product,
                                size_t part, size_t parts)
{
    assert(parts >= 1 && part < parts && product->weight->rows % parts == 0);
    char full[128];
    size_t out = product->weight->rows / parts, in = product->weight->cols;
    snprintf(full, sizeof(full), "%s.weight", name);
    visit weight = {v->layer, full, product->weight->value + part * out * in, 2, {out, in}};
    KUA__TRY(v->fn(v->ctx, &weight));
    return visit_vector(v, name, "bias", product->bias->value + part * out, out);
}

static kua_status visit_block(const visitor *v, const kua__bert_block *b)
{
    KUA__TRY(visit_product(v, "attention.self.query", &b->qkv, 0, 3));
    KUA__TRY(visit_product(v, "attention.self.key", &b->qkv, 1, 3));
    KUA__TRY(visit_product(v, "attention.self.value", &b->qkv, 2, 3));
    KUA__TRY(visit_product(v, "attention.output.dense", &b->out, 0, 1));
    KUA__TRY(visit_norm(v, "attention.output.LayerNorm", &b->after_attention));
    KUA__TRY(visit_product(v, "intermediate.dense", &b->up, 0, 1));
    KUA__TRY(visit_product(v, "output.dense", &b->down, 0, 1));
    return visit_norm(v, "output.LayerNorm", &b->after_inner);
}

static kua_status visit_all(const kua__bert_params *b, visit_fn fn, void *ctx)
{
    visitor v = {fn, ctx, -1};
    KUA__TRY(visit_table(&v, "embeddings.word_embeddings.weight", b->word));
    KUA__TRY(visit_table(&v, "embeddings.position_embeddings.weight", b->place));
    KUA__TRY(visit_table(&v, "embeddings.token_type_embeddings.weight", b->type));
    KUA__TRY(visit_norm(&v, "embeddings.LayerNorm", &b->first));
    for (v.layer = 0; (size_t)v.layer < b->config.layers; v.layer++)
        KUA__TRY(visit_block(&v, &b->block[v.layer]));
    return KUA_OK;
}

static kua_status read_one(void *ctx, const visit *v)
{
    const kua__tensor *t = NULL;
    KUA__TRY(kua__bert_tensor(ctx, v->layer, v->name, v->rank, v->dim, &t));
    kua__tensor_to_f32(t, 0, t->count, v->value);
    return KUA_OK;
}

kua_status kua__bert_params_load(kua__bert_params *bert, const char *folder)
{
    assert(bert && folder);
    char *path = kua__path_join(folder, "model.safetensors");
    if (!path) return kua__fail_nomem(strlen(folder), "a path");
    kua__safetensors *file = NULL;
    kua__bert_names names;
    kua_status st = kua__safetensors_open(path, &file);
    if (!st) st = kua__bert_names_find(&names, file);
    if (!st) st = visit_all(bert, read_one, &names);
    kua__safetensors_close(file);
    kua__free(path);
    return st;
}

static kua_status declare_one(void *ctx, const visit *v)
{
    char full[192];
    if (v->layer < 0)
        snprintf(full, sizeof(full), "%s", v->name);
    else
        snprintf(full, sizeof(full), "encoder.layer.%d.%s", v->layer, v->name);
    return kua__st_writer_declare(ctx, full, KUA__F32, v->rank, v->dim);
}

static kua_status write_one(void *ctx, const visit *v)
{
    size_t n = v->dim[0] * (v->rank == 2 ? v->dim[1] : 1);
    return kua__st_writer_write(ctx, v->value, n * sizeof(*v->value));
}

kua_status kua__bert_params_save(const kua__bert_params *bert, const char *path)
{
    assert(bert && path);
    kua__st_writer *w = NULL;
    KUA__TRY(kua__st_writer_create(path, &w));
    kua_status st = kua__st_writer_meta(w, "format", "pt"); /* Python's loader wants to know */
    if (!st) st = visit_all(bert, declare_one, w);
    if (!st) st = visit_all(bert, write_one, w);
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    return st;
}

/* ---- the forward pass ---- */

static kua__var *dense(kua__tape *t, kua__var *x, const kua__bert_pair *p)
{
    return kua__linear(t, x, kua__use(t, p->weight), kua__use(t, p->bias));
}

static kua__var *norm(kua__tape *t, kua__var *x, const kua__bert_pair *p, float epsilon)
{
    return kua__layer_norm(t, x, kua__use(t, p->weight), kua__use(t, p->bias), epsilon);
}

/* 0, 1, 2, ... of each text; NULL after an error. */
static uint32_t *positions(kua__tape *t, const kua__bert_params *b, kua__ragged seq)
{
    uint32_t *at = kua__tape_alloc(t, (size_t)seq.at[seq.n] * sizeof(*at));
    for (size_t i = 0; at && i < seq.n; i++) {
        size_t n = seq.at[i + 1] - seq.at[i];
        if (n > b->config.positions) {
            return kua__tape_fail(t, KUA_INVALID,
                                  "encoder: text %zu has %zu tokens, the limit is %zu", i, n,
                                  b->config.positions);
        }
        for (size_t k = 0; k < n; k++)
            at[seq.at[i] + k] = (uint32_t)k;
    }
    return at;
}

static kua__var *embed(kua__tape *t, const kua__bert_params *b, const uint32_t *ids,
                       kua__ragged seq, float dropout)
{
    const uint32_t *place = positions(t, b, seq);
    if (!place) return NULL;
    kua__var *x = kua__gather_rows(t, kua__use(t, b->word), ids, seq.at[seq.n]);
    x = kua__add(t, x, kua__gather_rows(t, kua__use(t, b->place), place, seq.at[seq.n]));
    x = kua__add_row(t, x, kua__slice_rows(t, kua__use(t, b->type), 0, 1));
    return kua__dropout(t, norm(t, x, &b->first, b->config.epsilon), dropout);
}

static kua__var *layer(kua__tape *t, const kua__bert_params *b, const kua__bert_block *l,
                       kua__var *x, kua__ragged seq, float dropout)
{
    /* Norms stand behind the sums ("post-norm"), as in BERT; forward.c has the same order. */
    kua__var *y = kua__self_attention(t, dense(t, x, &l->qkv), seq, b->config.heads, false);
    y = kua__dropout(t, dense(t, y, &l->out), dropout);
    x = norm(t, kua__add(t, x, y), &l->after_attention, b->config.epsilon);
    y = dense(t, x, &l->up);
    y = b->config.activation == KUA__ACT_GELU ? kua__gelu(t, y) : kua__relu(t, y);
    y = kua__dropout(t, dense(t, y, &l->down), dropout);
    return norm(t, kua__add(t, x, y), &l->after_inner, b->config.epsilon);
}

kua__var *kua__bert_on_tape(kua__tape *t, const kua__bert_params *bert, const uint32_t *ids,
                            kua__ragged seq, float dropout)
{
    assert(t && bert && seq.at && (ids || seq.at[seq.n] == 0));
    kua__var *x = embed(t, bert, ids, seq, dropout);
    for (size_t i = 0; i < bert->config.layers; i++)
        x = layer(t, bert, &bert->block[i], x, seq, dropout);
    return x;
}

kua__var *kua__pool_on_tape(kua__tape *t, kua__var *x, kua__ragged seq, kua_pooling pooling,
                            bool unit)
{
    assert(t && pooling != KUA_POOLING_MODEL);
    kua__var *v = pooling == KUA_POOLING_MEAN  ? kua__mean_rows(t, x, seq)
                  : pooling == KUA_POOLING_CLS ? kua__first_row(t, x, seq)
                                               : kua__max_rows(t, x, seq);
    return unit ? kua__l2_normalize(t, v, 1e-12f) : v;
}

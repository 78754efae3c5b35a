/* model_tape.c - the transformer's forward pass written once more, on operations that know their
 * way back.
 *
 * Why twice: inference works in place on scratch memory with packed weights and keeps nothing;
 * training keeps what the way back needs and changes its weights every step. forward.c and this
 * file are held together by tests/encoder/test_model_tape.c (same vectors), and this one by
 * gradients that torch computed.
 *
 * Parameters stand in arrays by slot (names.h), so that making, reading and writing them are loops
 * over slots, and a family is a config. A layer is a function of its input and of parameters only:
 * that is what lets kua__recompute() run it twice instead of keeping what it computed.
 *
 *     x   = words + places + types, normed where norms stand behind          [tokens, hidden]
 *     x   = x + attend(norm(x)), x + inner(norm(x))      before (GPT-2, llama)
 *     x   = norm(x + attend(x)), norm(x + inner(x))      behind (BERT)
 */
#include "encoder/model_tape.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "encoder/model_tape_slots.h"
#include "grad/tape.h"

static const float DEVIATION = .02f; /* of BERT's and GPT-2's own start ("initializer_range") */

/* ---- parameters ---- */

/* One parameter for query, key and value: not where they are turned by position one by one, or
 * differ in width. */
static bool is_stacked(const kua__model_config *c)
{
    return c->learned_positions && c->kv_heads == c->heads;
}

bool kua__tape_slot_used(const kua__model_config *c, kua__slot slot)
{
    if (slot == KUA__SLOT_QKV) return is_stacked(c);
    if (slot == KUA__SLOT_QUERY || slot == KUA__SLOT_KEY || slot == KUA__SLOT_VALUE)
        return !is_stacked(c);
    return kua__slot_used(kua__naming_of(c->family), c, slot);
}

/* The file's name of a slot; "query" becomes "qkv" where the three are one. */
static void param_name(const kua__model_config *c, kua__slot slot, size_t layer, kua__part part,
                       char out[64])
{
    const kua__naming *naming = kua__naming_of(c->family);
    char full[256];
    if (slot != KUA__SLOT_QKV || naming->stem[KUA__SLOT_QKV]) {
        kua__slot_name(naming, "", slot, layer, part, full, sizeof(full));
        snprintf(out, 64, "%.63s", full);
        return;
    }
    kua__slot_name(naming, "", KUA__SLOT_QUERY, layer, part, full, sizeof(full));
    char *end = strrchr(full, '.');
    assert(end);
    *end = 0;
    *strrchr(full, '.') = 0;
    snprintf(out, 64, "%.48s.qkv.%s", full, part == KUA__WEIGHT ? "weight" : "bias");
}

typedef struct maker {
    const kua__model_config *config;
    kua__params *params;
    kua__rng *rng;
} maker;

/* GPT-2 divides the start of what is added to the residual stream by the root of how often. */
static float deviation_of(const kua__model_config *c, kua__slot slot)
{
    bool adds = slot == KUA__SLOT_OUT || slot == KUA__SLOT_DOWN;
    return adds && c->causal ? DEVIATION / sqrtf(2 * (float)c->layers) : DEVIATION;
}

static kua_status make_part(const maker *m, kua__slot slot, size_t layer, kua__part part,
                            kua__param **out)
{
    const kua__model_config *c = m->config;
    size_t rows, cols;
    char name[64];
    kua__slot_shape(c, slot, &rows, &cols);
    param_name(c, slot, layer, part, name);
    if (slot == KUA__SLOT_WORD)
        return kua__params_add_table(m->params, name, rows, cols, DEVIATION, m->rng, out);
    bool bias = part == KUA__BIAS, vector = bias || kua__slot_is_norm(slot);
    kua__init init = bias                      ? KUA__INIT_ZEROS
                     : kua__slot_is_norm(slot) ? KUA__INIT_ONES
                                               : KUA__INIT_NORMAL;
    size_t n = bias && rows ? rows : cols;
    KUA__TRY(kua__params_add(m->params, name, vector ? 1 : rows, vector ? n : cols, init,
                             deviation_of(c, slot), m->rng, out));
    if (vector) (*out)->weight_decay = 0; /* biases and norms are not decayed */
    return KUA_OK;
}

static kua_status make_pair(const maker *m, kua__slot slot, size_t layer, kua__tape_pair *pair)
{
    if (!kua__tape_slot_used(m->config, slot)) return KUA_OK;
    if (kua__slot_has(m->config, slot, KUA__WEIGHT))
        KUA__TRY(make_part(m, slot, layer, KUA__WEIGHT, &pair->weight));
    if (!kua__slot_has(m->config, slot, KUA__BIAS)) return KUA_OK;
    return make_part(m, slot, layer, KUA__BIAS, &pair->bias);
}

kua_status kua__tape_model_create(kua__tape_model *model, kua__params *params,
                                  const kua__model_config *config, kua__tape_parts parts,
                                  kua__rng *rng)
{
    assert(model && params && config && rng);
    *model = (kua__tape_model){.config = *config, .parts = parts};
    maker m = {&model->config, params, rng};
    KUA__TRY(KUA__NEW_ZEROED(&model->layer, config->layers, "layers"));
    for (kua__slot slot = 0; slot < KUA__SLOT_COUNT; slot++) {
        if (kua__slot_in_layer(slot) || (kua__slot_in_head(slot) && parts == KUA__TAPE_BODY))
            continue;
        KUA__TRY(make_pair(&m, slot, 0, &model->once[slot]));
    }
    for (size_t i = 0; i < config->layers; i++) {
        for (kua__slot slot = KUA__SLOT_ATTEND_NORM; kua__slot_in_layer(slot); slot++)
            KUA__TRY(make_pair(&m, slot, i, &model->layer[i][slot]));
    }
    return KUA_OK;
}

void kua__tape_model_release(kua__tape_model *model)
{
    kua__free(model->layer);
    *model = (kua__tape_model){0};
}

static bool is_of(const kua__tape_pair *pair, const kua__param *param)
{
    return param == pair->weight || param == pair->bias || param == pair->lora_a ||
           param == pair->lora_b;
}

int kua__tape_model_depth(const kua__tape_model *model, const kua__param *param)
{
    assert(model && param);
    for (kua__slot slot = 0; slot < KUA__SLOT_COUNT; slot++) {
        if (is_of(&model->once[slot], param))
            return slot >= KUA__SLOT_LAST_NORM ? (int)model->config.layers : -1;
    }
    for (size_t i = 0; i < model->config.layers; i++) {
        for (kua__slot slot = KUA__SLOT_ATTEND_NORM; kua__slot_in_layer(slot); slot++)
            if (is_of(&model->layer[i][slot], param)) return (int)i;
    }
    return KUA__NOT_THERE;
}

/* ---- the forward pass ---- */

static kua__var *dense(kua__tape *t, kua__var *x, const kua__tape_pair *p)
{
    kua__var *y = kua__linear(t, x, kua__use(t, p->weight), kua__use(t, p->bias));
    if (!p->lora_a) return y;
    kua__var *low = kua__scale(t, kua__matmul_nt(t, x, kua__use(t, p->lora_a)), p->lora_scale);
    return kua__add(t, y, kua__matmul_nt(t, low, kua__use(t, p->lora_b)));
}

static kua__var *norm(kua__tape *t, const kua__model_config *c, kua__var *x,
                      const kua__tape_pair *p)
{
    kua__var *gain = kua__use(t, p->weight);
    return c->rms ? kua__rms_norm(t, x, gain, c->epsilon)
                  : kua__layer_norm(t, x, gain, kua__use(t, p->bias), c->epsilon);
}

static kua__var *activate(kua__tape *t, kua__activation kind, kua__var *x)
{
    switch (kind) {
    case KUA__ACT_GELU_TANH:
        return kua__gelu_tanh(t, x);
    case KUA__ACT_RELU:
        return kua__relu(t, x);
    case KUA__ACT_SILU:
        return kua__silu(t, x);
    default:
        return kua__gelu(t, x);
    }
}

static bool texts_fit(kua__tape *t, const kua__model_config *c, kua__ragged seq)
{
    size_t most = kua__config_longest(c);
    for (size_t i = 0; i < seq.n; i++) {
        size_t n = seq.at[i + 1] - seq.at[i];
        if (n <= most) continue;
        kua__tape_fail(t, KUA_INVALID, "encoder: text %zu has %zu tokens, the limit is %zu", i, n,
                       most);
        return false;
    }
    return true;
}

/* The row of the table of places for each token; NULL after an error. */
static uint32_t *places(kua__tape *t, const kua__model_config *c, kua__ragged seq)
{
    uint32_t *at = kua__tape_alloc(t, (size_t)seq.at[seq.n] * sizeof(*at));
    for (size_t i = 0; at && i < seq.n; i++) {
        for (uint32_t k = seq.at[i]; k < seq.at[i + 1]; k++)
            at[k] = (uint32_t)c->first_position + k - seq.at[i];
    }
    return at;
}

static kua__var *embed(kua__tape *t, const kua__tape_model *m, const uint32_t *ids, kua__ragged seq,
                       float dropout)
{
    const kua__model_config *c = &m->config;
    const kua__tape_pair *once = m->once;
    size_t n = seq.at[seq.n];
    if (!texts_fit(t, c, seq)) return NULL;
    kua__var *x = kua__gather_rows(t, kua__use(t, once[KUA__SLOT_WORD].weight), ids, n);
    if (c->learned_positions) {
        const uint32_t *place = places(t, c, seq);
        if (!place) return NULL;
        x = kua__add(t, x,
                     kua__gather_rows(t, kua__use(t, once[KUA__SLOT_PLACE].weight), place, n));
    }
    if (c->types)
        x = kua__add_row(t, x, kua__slice_rows(t, kua__use(t, once[KUA__SLOT_TYPE].weight), 0, 1));
    if (once[KUA__SLOT_FIRST_NORM].weight) x = norm(t, c, x, &once[KUA__SLOT_FIRST_NORM]);
    return kua__dropout(t, x, dropout);
}

/* What a layer is computed from besides its input. */
typedef struct layer_of {
    const kua__model_config *config;
    const kua__tape_pair *slot; /* [KUA__SLOT_COUNT] */
    kua__ragged seq;
    float dropout;
} layer_of;

static kua__var *attend(kua__tape *t, const layer_of *l, kua__var *x)
{
    const kua__model_config *c = l->config;
    if (is_stacked(c)) {
        kua__var *qkv = dense(t, x, &l->slot[KUA__SLOT_QKV]);
        return kua__self_attention(t, qkv, l->seq, c->heads, c->causal);
    }
    kua__var *q = dense(t, x, &l->slot[KUA__SLOT_QUERY]);
    kua__var *k = dense(t, x, &l->slot[KUA__SLOT_KEY]);
    kua__var *v = dense(t, x, &l->slot[KUA__SLOT_VALUE]);
    if (!c->learned_positions) {
        q = kua__rotary(t, q, l->seq, c->head_dim, c->rope_theta, c->rope_interleaved);
        k = kua__rotary(t, k, l->seq, c->head_dim, c->rope_theta, c->rope_interleaved);
    }
    return kua__attention_grouped(t, q, k, v, l->seq, c->heads, c->kv_heads, c->causal);
}

static kua__var *inner(kua__tape *t, const layer_of *l, kua__var *x)
{
    const kua__model_config *c = l->config;
    kua__var *y = dense(t, x, &l->slot[KUA__SLOT_UP]);
    if (c->gated)
        y = kua__mul(t, activate(t, c->activation, dense(t, x, &l->slot[KUA__SLOT_GATE])), y);
    else
        y = activate(t, c->activation, y);
    return dense(t, y, &l->slot[KUA__SLOT_DOWN]);
}

static kua__var *layer(kua__tape *t, kua__var *x, const void *ctx)
{
    const layer_of *l = ctx;
    const kua__model_config *c = l->config;
    const kua__tape_pair *before = &l->slot[KUA__SLOT_ATTEND_NORM];
    const kua__tape_pair *between = &l->slot[KUA__SLOT_INNER_NORM];
    kua__var *y = attend(t, l, c->pre_norm ? norm(t, c, x, before) : x);
    y = kua__dropout(t, dense(t, y, &l->slot[KUA__SLOT_OUT]), l->dropout);
    x = kua__add(t, x, y);
    if (!c->pre_norm) x = norm(t, c, x, before);
    y = inner(t, l, c->pre_norm ? norm(t, c, x, between) : x);
    x = kua__add(t, x, kua__dropout(t, y, l->dropout));
    return c->pre_norm ? x : norm(t, c, x, between);
}

kua__var *kua__model_on_tape(kua__tape *t, const kua__tape_model *model, const uint32_t *ids,
                             kua__ragged seq, float dropout)
{
    assert(t && model && seq.at && (ids || seq.at[seq.n] == 0));
    const kua__model_config *c = &model->config;
    kua__var *x = embed(t, model, ids, seq, dropout);
    for (size_t i = 0; i < c->layers; i++) {
        layer_of l = {c, model->layer[i], seq, dropout};
        x = model->recompute ? kua__recompute(t, x, layer, &l, sizeof(l)) : layer(t, x, &l);
    }
    return c->pre_norm ? norm(t, c, x, &model->once[KUA__SLOT_LAST_NORM]) : x;
}

kua__var *kua__pool_on_tape(kua__tape *t, kua__var *x, kua__ragged seq, kua_pooling pooling,
                            bool unit)
{
    assert(t && pooling != KUA_POOLING_MODEL);
    kua__var *v = pooling == KUA_POOLING_MEAN   ? kua__mean_rows(t, x, seq)
                  : pooling == KUA_POOLING_CLS  ? kua__first_row(t, x, seq)
                  : pooling == KUA_POOLING_LAST ? kua__last_row(t, x, seq)
                                                : kua__max_rows(t, x, seq);
    return unit ? kua__l2_normalize(t, v, 1e-12f) : v;
}

/* ---- the head for words ---- */

kua__param *kua__word_table(const kua__tape_model *model)
{
    return model->once[model->config.tied ? KUA__SLOT_WORD : KUA__SLOT_HEAD].weight;
}

kua__param *kua__word_bias(const kua__tape_model *model)
{
    return model->once[KUA__SLOT_HEAD_BIAS].bias;
}

kua__var *kua__word_states(kua__tape *t, const kua__tape_model *model, kua__var *x)
{
    assert(model->parts == KUA__TAPE_HEAD);
    const kua__tape_pair *once = model->once;
    if (!once[KUA__SLOT_HEAD_DENSE].weight) return x;
    /* RoBERTa's head has a gelu whatever its layers have; the others have one in every model known.
     */
    x = kua__gelu(t, dense(t, x, &once[KUA__SLOT_HEAD_DENSE]));
    return norm(t, &model->config, x, &once[KUA__SLOT_HEAD_NORM]);
}

kua__var *kua__word_loss(kua__tape *t, const kua__tape_model *model, kua__var *x,
                         const uint32_t *word)
{
    kua__var *h = kua__word_states(t, model, x);
    kua__var *table = kua__use(t, kua__word_table(model));
    kua__param *bias = kua__word_bias(model);
    return bias ? kua__softmax_loss_trained(t, h, table, kua__use(t, bias), word)
                : kua__softmax_loss(t, h, table, word);
}

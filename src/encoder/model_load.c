/* model_load.c - a model from a file of any format, in the form that batches want.
 *
 * Every tensor is asked for by name and by the shape that the config implies before any memory is
 * taken for it: a config with absurd sizes meets a file that does not have them, and the message
 * names the tensor and both shapes. So memory is bounded by the size of the file (four times that
 * where it holds 8-bit numbers).
 *
 * What is done once here so that no batch does it: weights are packed; query, key and value become
 * one matrix, as do gate and up; the vector of token type 0 is added to the positions' (a single
 * text has no other type); angles are tables.
 *
 * A lean model packs nothing: its products read the mapped file. Only what lies the wrong way round
 * there (GPT-2's Conv1D) is refused, since no row of it stands together.
 */
#include <assert.h>
#include <string.h>

#include "encoder/model.h"
#include "tensor/kernels.h"

/* What the functions below share. `staging` holds one product's weights and bias as f32 while they
 * are packed. */
typedef struct loader {
    kua__model *model;
    kua__names names;
    float *staging;
    size_t room; /* floats of it */
    kua__precision precision;
} loader;

/* A product of the file, or several stacked. */
typedef struct stack {
    kua__slot slot[3];
    size_t n, layer;
    kua__epilogue epilogue;
} stack;

/* ---- reading ---- */

static kua_status read_part(loader *l, kua__slot slot, size_t layer, kua__part part, float *to)
{
    const kua__tensor *t = NULL;
    KUA__TRY(kua__names_tensor(&l->names, slot, layer, part, &t));
    l->model->parameters += t->count;
    return kua__names_read(&l->names, slot, layer, part, to);
}

static kua_status arena_floats(loader *l, size_t n, const char *what, float **out)
{
    *out = kua__arena_alloc(&l->model->arena, n * sizeof(float));
    return *out ? KUA_OK : kua__fail_nomem(n * sizeof(float), what);
}

static kua_status read_norm(loader *l, kua__slot slot, size_t layer, kua__norm *norm)
{
    assert(kua__slot_is_norm(slot));
    const kua__model_config *c = &l->model->config;
    KUA__TRY(arena_floats(l, c->hidden, "a norm", &norm->gain));
    KUA__TRY(read_part(l, slot, layer, KUA__WEIGHT, norm->gain));
    if (!kua__slot_has(c, slot, KUA__BIAS)) return KUA_OK;
    KUA__TRY(arena_floats(l, c->hidden, "a norm", &norm->bias));
    return read_part(l, slot, layer, KUA__BIAS, norm->bias);
}

static void stack_shape(const loader *l, const stack *s, size_t *out, size_t *in)
{
    *out = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t rows = 0;
        kua__slot_shape(&l->model->config, s->slot[i], &rows, in);
        *out += rows;
    }
}

/* The biases of a stack; NULL where it has none. */
static kua_status read_biases(loader *l, const stack *s, float *to)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t rows = 0, cols = 0;
        kua__slot_shape(&l->model->config, s->slot[i], &rows, &cols);
        KUA__TRY(read_part(l, s->slot[i], s->layer, KUA__BIAS, to));
        to += rows;
    }
    return KUA_OK;
}

static kua_status read_packed(loader *l, const stack *s, bool biases, kua__dense *to)
{
    float *weight = l->staging, *bias = l->staging + to->out * to->in;
    assert(to->out * to->in + to->out <= l->room);
    for (size_t i = 0; i < s->n; i++) {
        size_t rows = 0, cols = 0;
        kua__slot_shape(&l->model->config, s->slot[i], &rows, &cols);
        KUA__TRY(read_part(l, s->slot[i], s->layer, KUA__WEIGHT, weight));
        weight += rows * cols;
    }
    if (biases) KUA__TRY(read_biases(l, s, bias));
    kua__packed_options options = {.out = to->out,
                                   .in = to->in,
                                   .weight = l->staging,
                                   .bias = biases ? bias : NULL,
                                   .epilogue = s->epilogue,
                                   .parts = l->model->parts,
                                   .precision = l->precision};
    return kua__packed_create(&options, &to->packed);
}

static kua_status read_lean(loader *l, const stack *s, bool biases, kua__dense *to)
{
    kua__lean_options options = {
        .n = s->n, .add = s->epilogue == KUA__EPILOGUE_ADD, .parts = l->model->parts};
    for (size_t i = 0; i < s->n; i++) {
        const kua__tensor *t = NULL;
        KUA__TRY(kua__names_tensor(&l->names, s->slot[i], s->layer, KUA__WEIGHT, &t));
        l->model->parameters += t->count;
        options.tensor[i] = t;
    }
    if (biases) {
        float *bias = NULL;
        KUA__TRY(arena_floats(l, to->out, "a bias", &bias));
        KUA__TRY(read_biases(l, s, bias));
        options.bias = bias;
    }
    return kua__lean_create(&options, &to->lean);
}

static kua_status read_dense(loader *l, const stack *s, kua__dense *to)
{
    bool biases = kua__slot_has(&l->model->config, s->slot[0], KUA__BIAS);
    stack_shape(l, s, &to->out, &to->in);
    return l->model->lean ? read_lean(l, s, biases, to) : read_packed(l, s, biases, to);
}

/* ---- layers ---- */

/* The activation as part of the product; NONE: a pass of its own (activate). */
static kua__epilogue epilogue_of(const kua__model *m)
{
    if (m->lean || m->config.gated) return KUA__EPILOGUE_NONE;
    if (m->config.activation == KUA__ACT_GELU) return KUA__EPILOGUE_GELU;
    return m->config.activation == KUA__ACT_RELU ? KUA__EPILOGUE_RELU : KUA__EPILOGUE_NONE;
}

static kua_status read_layer(loader *l, size_t i)
{
    const kua__model_config *c = &l->model->config;
    kua__layer *layer = &l->model->layer[i];
    kua__epilogue active = epilogue_of(l->model);
    stack qkv = {{KUA__SLOT_QUERY, KUA__SLOT_KEY, KUA__SLOT_VALUE}, 3, i, KUA__EPILOGUE_NONE},
          fused = {{KUA__SLOT_QKV}, 1, i, KUA__EPILOGUE_NONE},
          out = {{KUA__SLOT_OUT}, 1, i, KUA__EPILOGUE_ADD}, up = {{KUA__SLOT_UP}, 1, i, active},
          gated = {{KUA__SLOT_GATE, KUA__SLOT_UP}, 2, i, KUA__EPILOGUE_NONE},
          down = {{KUA__SLOT_DOWN}, 1, i, KUA__EPILOGUE_ADD};
    bool is_fused = kua__slot_used(l->names.naming, c, KUA__SLOT_QKV);
    KUA__TRY(read_dense(l, is_fused ? &fused : &qkv, &layer->qkv));
    KUA__TRY(read_dense(l, &out, &layer->out));
    KUA__TRY(read_dense(l, c->gated ? &gated : &up, &layer->up));
    KUA__TRY(read_dense(l, &down, &layer->down));
    layer->up.activate = active == KUA__EPILOGUE_NONE;
    KUA__TRY(read_norm(l, KUA__SLOT_ATTEND_NORM, i, &layer->attend_norm));
    return read_norm(l, KUA__SLOT_INNER_NORM, i, &layer->inner_norm);
}

/* ---- tables ---- */

static kua_status read_positions(loader *l)
{
    kua__model *m = l->model;
    const kua__tensor *places = NULL, *types = NULL;
    size_t h = m->config.hidden, n = m->positions;
    KUA__TRY(kua__names_tensor(&l->names, KUA__SLOT_PLACE, 0, KUA__WEIGHT, &places));
    KUA__TRY(KUA__NEW_ARRAY(&m->place, (n + 1) * h, "position vectors"));
    kua__tensor_to_f32(places, m->config.first_position * h, n * h, m->place);
    m->parameters += places->count;
    if (m->config.types == 0) return KUA_OK;
    float *type = m->place + n * h;
    KUA__TRY(kua__names_tensor(&l->names, KUA__SLOT_TYPE, 0, KUA__WEIGHT, &types));
    kua__tensor_to_f32(types, 0, h, type);
    m->parameters += types->count;
    for (size_t i = 0; i < n; i++)
        kua__kernels_get()->add(m->place + i * h, m->place + i * h, type, h);
    return KUA_OK;
}

static kua_status read_tables(loader *l)
{
    kua__model *m = l->model;
    KUA__TRY(kua__names_tensor(&l->names, KUA__SLOT_WORD, 0, KUA__WEIGHT, &m->word));
    if (m->word->turned) {
        return kua__fail(KUA_FORMAT, "%s: tensor \"%s\" is used as a product and as a table",
                         kua__weights_path(m->file), m->word->name);
    }
    m->parameters += m->word->count;
    if (m->config.learned_positions) return read_positions(l);
    KUA__TRY(KUA__NEW_ARRAY(&m->turn, m->positions * m->config.head_dim, "angles"));
    kua__rotary_table(m->turn, m->positions, m->config.head_dim, m->config.rope_theta);
    return KUA_OK;
}

/* ---- the head for words ---- */

/* The last product of the head: the table of words where they are tied. */
static kua_status read_words(loader *l, kua__dense *to)
{
    kua__model *m = l->model;
    const kua__tensor *t = m->word;
    const float *bias = NULL;
    if (!m->config.tied) KUA__TRY(kua__names_tensor(&l->names, KUA__SLOT_HEAD, 0, KUA__WEIGHT, &t));
    if (kua__names_has(&l->names, KUA__SLOT_HEAD_BIAS, 0, KUA__BIAS)) {
        float *b = NULL;
        KUA__TRY(arena_floats(l, m->config.vocab, "a bias", &b));
        KUA__TRY(read_part(l, KUA__SLOT_HEAD_BIAS, 0, KUA__BIAS, b));
        bias = b;
    }
    *to = (kua__dense){.out = m->config.vocab, .in = m->config.hidden};
    if (m->lean) {
        kua__lean_options o = {.tensor = {t}, .n = 1, .bias = bias, .parts = m->parts};
        return kua__lean_create(&o, &to->lean);
    }
    float *wide = NULL;
    const float *weight = kua__tensor_f32(t);
    if (!weight) {
        KUA__TRY(KUA__NEW_ARRAY(&wide, t->count, "the table of words"));
        kua__tensor_matrix_f32(t, to->out, to->in, wide);
    }
    kua__packed_options o = {.out = to->out,
                             .in = to->in,
                             .weight = weight ? weight : wide,
                             .bias = bias,
                             .parts = m->parts,
                             .precision = l->precision};
    kua_status st = kua__packed_create(&o, &to->packed);
    kua__free(wide);
    return st;
}

static kua_status read_head(loader *l)
{
    kua__model *m = l->model;
    if (!m->config.causal) {
        stack dense = {{KUA__SLOT_HEAD_DENSE}, 1, 0, KUA__EPILOGUE_NONE};
        KUA__TRY(read_dense(l, &dense, &m->head.dense));
        m->head.dense.activate = true;
        KUA__TRY(read_norm(l, KUA__SLOT_HEAD_NORM, 0, &m->head.norm));
    }
    KUA__TRY(read_words(l, &m->head.words));
    m->has_head = true;
    return KUA_OK;
}

/* ---- all ---- */

static size_t staging_room(const kua__model_config *c)
{
    size_t h = c->hidden, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    size_t qkv = (q + 2 * kv) * (h + 1), up = (c->gated ? 2 : 1) * c->inner * (h + 1);
    return KUA__MAX(KUA__MAX(qkv, up), KUA__MAX(h * (q + 1), h * (c->inner + 1)) + h * (h + 1));
}

static kua_status read_all(loader *l, bool head)
{
    kua__model *m = l->model;
    KUA__TRY(kua__names_check(&l->names));
    if (m->lean && l->names.naming->turned) {
        return kua__fail(KUA_FORMAT, "%s: %s weights lie as [in,out] and cannot stay in the file",
                         kua__weights_path(m->file), l->names.naming->title);
    }
    l->room = staging_room(&m->config);
    if (!m->lean) KUA__TRY(KUA__NEW_ARRAY(&l->staging, l->room, "weights"));
    KUA__TRY(KUA__NEW_ZEROED(&m->layer, m->config.layers, "layers"));
    KUA__TRY(read_tables(l));
    if (m->config.pre_norm)
        KUA__TRY(read_norm(l, KUA__SLOT_LAST_NORM, 0, &m->last));
    else
        KUA__TRY(read_norm(l, KUA__SLOT_FIRST_NORM, 0, &m->first));
    for (size_t i = 0; i < m->config.layers; i++)
        KUA__TRY(read_layer(l, i));
    return head ? read_head(l) : KUA_OK;
}

kua_status kua__model_load(kua__model *model, kua__weights *file, const kua__model_config *config,
                           const kua__model_options *options)
{
    assert(model && file && config && options);
    assert(options->max_tokens >= 1 && options->max_tokens <= kua__config_longest(config));
    *model = (kua__model){
        .config = *config, .file = file, .positions = options->max_tokens, .lean = options->lean};
    model->parts = KUA__MIN((size_t)kua__threads(), (size_t)KUA__PACKED_PARTS_MAX);
    kua__arena_init(&model->arena, 64 << 10);
    loader l = {.model = model, .precision = options->precision};
    kua_status st = kua__names_find(&l.names, config, file);
    if (!st) st = read_all(&l, options->head);
    kua__free(l.staging);
    return st;
}

static void dense_release(kua__dense *d)
{
    kua__packed_free(d->packed);
    kua__lean_free(d->lean);
}

void kua__model_release(kua__model *model)
{
    for (size_t i = 0; model->layer && i < model->config.layers; i++) {
        dense_release(&model->layer[i].qkv);
        dense_release(&model->layer[i].out);
        dense_release(&model->layer[i].up);
        dense_release(&model->layer[i].down);
    }
    dense_release(&model->head.dense);
    dense_release(&model->head.words);
    kua__free(model->layer);
    kua__free(model->place);
    kua__free(model->turn);
    kua__arena_release(&model->arena);
    kua__weights_close(model->file);
    *model = (kua__model){0};
}

static size_t dense_bytes(const kua__dense *d)
{
    return d->packed ? kua__packed_bytes(d->packed) : 0;
}

size_t kua__model_bytes(const kua__model *model)
{
    const kua__model_config *c = &model->config;
    size_t bytes = kua__arena_bytes(&model->arena) + dense_bytes(&model->head.dense) +
                   dense_bytes(&model->head.words);
    bytes += (model->place ? (model->positions + 1) * c->hidden : model->positions * c->head_dim) *
             sizeof(float);
    for (size_t i = 0; i < c->layers; i++) {
        const kua__layer *l = &model->layer[i];
        bytes += dense_bytes(&l->qkv) + dense_bytes(&l->out) + dense_bytes(&l->up) +
                 dense_bytes(&l->down);
    }
    return bytes;
}

/* sequence_model.c - the network: parameters, the formula, and its use on histories.
 *
 * Layers follow LiGR (Borisyuk et al., "From features to transformers: redefining ranking for
 * scalable impact", 2025): each sublayer's result passes a gate that its input opens,
 *
 *     x = x + sigmoid(x G1) * attention(norm(x))
 *     x = x + sigmoid(x G2) * swiglu(norm(x))
 *
 * which trains faster than plain residuals on short histories. Tokens are ragged: a batch has no
 * padding. Dropout appears where the formula says; with a tape that does not train it does nothing,
 * so training and scoring run the same lines.
 */
#include "rec/sequence_model.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "tensor/kernels.h"

static const float NORM_EPSILON = 1e-5f, LENGTH_EPSILON = 1e-12f;

/* ---- settings ---- */

static double number(const json_t *settings, const char *key)
{
    const json_t *value = json_object_get(settings, key);
    assert(json_is_number(value) || json_is_boolean(value));
    return json_is_boolean(value) ? json_is_true(value) : json_number_value(value);
}

static kua_status ranged(const json_t *settings, const char *key, double low, double high,
                         double *out)
{
    *out = number(settings, key);
    if (*out >= low && *out <= high) return KUA_OK;
    return kua__fail(KUA_INVALID, "sequence: %s is %g, must be in %g..%g", key, *out, low, high);
}

typedef struct field {
    const char *key;
    double low, high;
    size_t *count;
    float *real;
} field;

static kua_status read_fields(const json_t *settings, const field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double value;
        KUA__TRY(ranged(settings, fields[i].key, fields[i].low, fields[i].high, &value));
        if (fields[i].count) *fields[i].count = (size_t)value;
        if (fields[i].real) *fields[i].real = (float)value;
    }
    return KUA_OK;
}

static kua_status read_targets(const json_t *settings, kua__sequence_options *o)
{
    const char *targets = json_string_value(json_object_get(settings, "targets"));
    o->new_targets = kua__streq(targets, "new");
    if (!o->new_targets && !kua__streq(targets, "all"))
        return kua__fail(KUA_INVALID, "sequence: targets is \"%s\", must be all or new", targets);
    return KUA_OK;
}

static kua_status read_items(const json_t *settings, kua__sequence_options *o)
{
    const char *items = json_string_value(json_object_get(settings, "items"));
    o->use_text = kua__streq(items, "both") || kua__streq(items, "text");
    o->use_ids = kua__streq(items, "both") || kua__streq(items, "ids");
    if (!o->use_text && !o->use_ids)
        return kua__fail(KUA_INVALID, "sequence: items is \"%s\", must be both, text or ids",
                         items);
    return KUA_OK;
}

kua_status kua__sequence_options_read(const json_t *settings, kua__sequence_options *o)
{
    *o = (kua__sequence_options){0};
    const field fields[] = {
        {"dim", 1, 4096, &o->dim, NULL},
        {"layers", 0, 64, &o->layers, NULL},
        {"heads", 1, 64, &o->heads, NULL},
        {"widening", 1, 16, &o->widening, NULL},
        {"maxlen", 2, 4096, &o->maxlen, NULL},
        {"text_dim", 1, 4096, &o->text_dim, NULL},
        {"epochs", 0, 10000, &o->epochs, NULL},
        {"blind_epochs", 0, 10000, &o->blind_epochs, NULL},
        {"patience", 1, 10000, &o->patience, NULL},
        {"batch_tokens", 2, 1 << 20, &o->batch_tokens, NULL},
        {"epoch_tokens", 0, 1 << 30, &o->epoch_tokens, NULL},
        {"warmup", 0, 1 << 20, &o->warmup, NULL},
        {"valid_users", 1, 1 << 30, &o->valid_users, NULL},
        {"dropout", 0, 0.99, NULL, &o->dropout},
        {"text_dropout", 0, 0.99, NULL, &o->text_dropout},
        {"lr", 0, 1, NULL, &o->lr},
        {"body_lr", 0, 100, NULL, &o->body_lr},
        {"weight_decay", 0, 1, NULL, &o->weight_decay},
        {"beta2", 0, 0.99999, NULL, &o->beta2},
        {"averaging", 0, 1000, NULL, &o->averaging},
        {"clip", 0, 1e9, NULL, &o->clip},
        {"tau", 1e-3, 100, NULL, &o->tau},
        {"input_scale", 0, 1000, NULL, &o->input_scale},
        {"id_std", 0, 10, NULL, &o->id_std},
        {"id_evidence", 0, 1e6, NULL, &o->id_evidence},
    };
    KUA__TRY(read_fields(settings, fields, KUA__COUNT(fields)));
    KUA__TRY(ranged(settings, "repeat_weight", -1, 1e6, &o->repeat.weight));
    KUA__TRY(ranged(settings, "repeat_half_life", -1, 1e6, &o->repeat.half_life));
    KUA__TRY(ranged(settings, "repeat_power", -1, 10, &o->repeat.power));
    KUA__TRY(ranged(settings, "repeat_decay", 0, 1, &o->repeat.decay));
    double negatives;
    KUA__TRY(ranged(settings, "negatives", -1, 1 << 24, &negatives));
    o->negatives = (int64_t)negatives;
    o->bf16 = number(settings, "bf16") != 0;
    KUA__TRY(read_items(settings, o));
    KUA__TRY(read_targets(settings, o));
    KUA__TRY(kua__partners_check(settings));
    if (o->dim % o->heads)
        return kua__fail(KUA_INVALID, "sequence: dim is %zu, must be a multiple of heads, %zu",
                         o->dim, o->heads);
    return KUA_OK;
}

/* ---- life ---- */

kua_status kua__sequence_new(const json_t *settings, kua__sequence **out)
{
    *out = NULL;
    kua__sequence_options options;
    KUA__TRY(kua__sequence_options_read(settings, &options));
    kua__sequence *s = kua__calloc(1, sizeof(*s));
    if (!s) return kua__fail_nomem(sizeof(*s), "a recommender");
    s->options = options;
    s->rec.ops = &kua__rec_sequence;
    s->rec.settings = kua__json_copy(settings);
    s->rec.facts = json_object();
    kua__params_init(&s->params);
    if (!s->rec.settings || !s->rec.facts) {
        kua__sequence_free(&s->rec);
        return kua__fail_nomem(1, "a recommender's settings");
    }
    *out = s;
    return KUA_OK;
}

void kua__sequence_free(kua__rec *rec)
{
    kua__sequence *s = (kua__sequence *)rec;
    if (!s) return;
    for (size_t d = 0; d < s->n_domains; d++) {
        kua__free(s->items[d].text);
        kua__free(s->items[d].evidence);
    }
    kua__free(s->items);
    kua__free(s->layer);
    kua__params_release(&s->params);
    kua__whitening_release(&s->whitening);
    kua__free(s->input);
    kua__free(s->output);
    kua__free(s->popularity);
    kua__free(s->rate);
    for (size_t i = 0; i < s->n_partners; i++)
        kua__rec_free(s->partner[i].rec);
    json_decref(s->rec.settings);
    json_decref(s->rec.facts);
    kua__free(s);
}

/* ---- parameters ---- */

typedef struct maker {
    kua__params *params;
    kua__rng *rng;
    const char *prefix;
    kua_status status; /* the first failure; later calls do nothing */
} maker;

static kua__param *make(maker *m, const char *name, size_t rows, size_t cols, kua__init init,
                        float scale)
{
    char full[64];
    kua__param *p = NULL;
    if (m->status) return NULL;
    snprintf(full, sizeof(full), "%s%s", m->prefix, name);
    m->status = kua__params_add(m->params, full, rows, cols, init, scale, m->rng, &p);
    return p;
}

/* As torch begins a linear layer: weight and bias uniform within 1 / sqrt(inputs). */
static kua__param *make_linear(maker *m, const char *name, size_t out, size_t in, kua__param **bias)
{
    char bias_name[48];
    float within = 1 / sqrtf((float)in);
    kua__param *weight = make(m, name, out, in, KUA__INIT_UNIFORM, within);
    snprintf(bias_name, sizeof(bias_name), "%s.bias", name);
    if (bias) *bias = make(m, bias_name, 1, out, KUA__INIT_UNIFORM, within);
    return weight;
}

static void make_norm(maker *m, const char *name, size_t dim, kua__param **gain, kua__param **bias)
{
    char bias_name[48];
    *gain = make(m, name, 1, dim, KUA__INIT_ONES, 1);
    snprintf(bias_name, sizeof(bias_name), "%s.bias", name);
    *bias = make(m, bias_name, 1, dim, KUA__INIT_ZEROS, 0);
}

static void make_layer(maker *m, const kua__sequence_options *o, kua__sequence_layer *l)
{
    size_t d = o->dim, wide = o->widening * d;
    make_norm(m, "norm1", d, &l->norm1_gain, &l->norm1_bias);
    l->qkv = make_linear(m, "qkv", 3 * d, d, &l->qkv_bias);
    l->out = make_linear(m, "out", d, d, &l->out_bias);
    l->gate1 = make_linear(m, "gate1", d, d, &l->gate1_bias);
    make_norm(m, "norm2", d, &l->norm2_gain, &l->norm2_bias);
    l->up = make_linear(m, "up", 2 * wide, d, NULL);
    l->down = make_linear(m, "down", d, wide, NULL);
    l->gate2 = make_linear(m, "gate2", d, d, &l->gate2_bias);
}

kua_status kua__sequence_make_body(kua__sequence *s, kua__rng *rng)
{
    const kua__sequence_options *o = &s->options;
    assert(!s->layer);
    KUA__TRY(KUA__NEW_ZEROED(&s->layer, o->layers, "layers"));
    maker m = {&s->params, rng, "", KUA_OK};
    if (s->whitening.k)
        s->adaptor = make_linear(&m, "adaptor", o->dim, s->whitening.k, &s->adaptor_bias);
    s->position = make(&m, "position", o->maxlen, o->dim, KUA__INIT_NORMAL, 0.02f);
    s->type = make(&m, "type", KUA__EVENT_TYPES, o->dim, KUA__INIT_ZEROS, 0);
    for (size_t i = 0; i < o->layers; i++) {
        char prefix[32];
        snprintf(prefix, sizeof(prefix), "layer%zu.", i);
        m.prefix = prefix;
        make_layer(&m, o, &s->layer[i]);
        m.prefix = "";
    }
    make_norm(&m, "norm", o->dim, &s->norm_gain, &s->norm_bias);
    return m.status;
}

/* ---- the formula ---- */

static kua__var *dense(kua__tape *t, kua__var *x, kua__param *w, kua__param *bias)
{
    return kua__linear(t, x, kua__use(t, w), kua__use(t, bias));
}

static kua__var *norm(kua__tape *t, kua__var *x, kua__param *gain, kua__param *bias)
{
    return kua__layer_norm(t, x, kua__use(t, gain), kua__use(t, bias), NORM_EPSILON);
}

/* x + sigmoid(x G) * y */
static kua__var *gated(kua__tape *t, kua__var *x, kua__param *gate, kua__param *bias, kua__var *y)
{
    kua__var *open = kua__sigmoid(t, dense(t, x, gate, bias));
    return kua__add(t, x, kua__mul(t, open, y));
}

/* ends_only: rows of the result are the last tokens of the sequences; the others are needed no
 * further than as keys and values. */
static kua__var *layer(kua__tape *t, const kua__sequence *s, const kua__sequence_layer *l,
                       kua__var *x, kua__ragged seq, bool ends_only)
{
    float drop = s->options.dropout;
    kua__var *y = norm(t, x, l->norm1_gain, l->norm1_bias);
    y = kua__self_attention(t, dense(t, y, l->qkv, l->qkv_bias), seq, s->options.heads, true);
    if (ends_only) {
        x = kua__last_row(t, x, seq);
        y = kua__last_row(t, y, seq);
    }
    y = kua__dropout(t, dense(t, y, l->out, l->out_bias), drop);
    x = gated(t, x, l->gate1, l->gate1_bias, y);
    y = norm(t, x, l->norm2_gain, l->norm2_bias);
    y = kua__dropout(t, kua__swiglu(t, dense(t, y, l->up, NULL)), drop);
    y = kua__dropout(t, dense(t, y, l->down, NULL), drop);
    return gated(t, x, l->gate2, l->gate2_bias, y);
}

/* Item vectors from their two halves, either of which may be missing. */
static kua__var *item_vectors(kua__tape *t, const kua__sequence *s, kua__var *text, kua__var *ids)
{
    if (!text) return ids;
    text = dense(t, kua__dropout(t, text, s->options.text_dropout), s->adaptor, s->adaptor_bias);
    return ids ? kua__add(t, text, ids) : text;
}

static kua__var *text_of(kua__tape *t, const kua__sequence *s, const kua__sequence_items *items)
{
    return items->text ? kua__input(t, items->n, s->whitening.k, items->text) : NULL;
}

/* An id is a residual that grows with evidence: what is hardly known is what its text says. */
static kua__var *ids_of(kua__tape *t, const kua__sequence_items *items)
{
    kua__var *ids = kua__use(t, items->ids);
    return ids ? kua__mul_col(t, ids, kua__input(t, items->n, 1, items->evidence)) : NULL;
}

static kua__var *ids_of_tokens(kua__tape *t, const kua__sequence_items *items,
                               const uint32_t *token, size_t n)
{
    kua__var *ids = kua__gather_rows(t, kua__use(t, items->ids), token, n);
    kua__var *evidence = ids ? kua__input(t, items->n, 1, items->evidence) : NULL;
    return ids ? kua__mul_col(t, ids, kua__gather_rows(t, evidence, token, n)) : NULL;
}

kua__var *kua__sequence_table(kua__tape *t, const kua__sequence *s, size_t d)
{
    const kua__sequence_items *items = &s->items[d];
    return item_vectors(t, s, text_of(t, s, items), ids_of(t, items));
}

kua__var *kua__sequence_rows(kua__tape *t, const kua__sequence *s, size_t d, const uint32_t *token,
                             size_t n)
{
    const kua__sequence_items *items = &s->items[d];
    kua__var *text = kua__gather_rows(t, text_of(t, s, items), token, n);
    return item_vectors(t, s, text, ids_of_tokens(t, items, token, n));
}

kua__var *kua__sequence_inputs(kua__tape *t, const kua__sequence *s, size_t d,
                               const uint32_t *token, size_t n)
{
    return kua__add_row(t, kua__sequence_rows(t, s, d, token, n), kua__use(t, s->items[d].domain));
}

kua__var *kua__sequence_states(kua__tape *t, const kua__sequence *s, kua__var *x,
                               const kua__sequence_events *events, bool ends_only)
{
    kua__ragged seq = events->seq;
    size_t n = seq.at[seq.n];
    x = kua__scale(t, x, s->options.input_scale);
    x = kua__add(t, x, kua__gather_rows(t, kua__use(t, s->position), events->position, n));
    x = kua__add(t, x, kua__gather_rows(t, kua__use(t, s->type), events->type, n));
    x = kua__dropout(t, x, s->options.dropout);
    for (size_t i = 0; i < s->options.layers; i++)
        x = layer(t, s, &s->layer[i], x, seq, ends_only && i + 1 == s->options.layers);
    if (ends_only && s->options.layers == 0) x = kua__last_row(t, x, seq);
    return norm(t, x, s->norm_gain, s->norm_bias);
}

/* ---- use ---- */

static kua_status tape_for_use(bool bf16, kua__tape **out)
{
    KUA__TRY(kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 20, .bf16 = bf16}, out));
    kua__tape_set_training(*out, false);
    return KUA_OK;
}

kua_status kua__sequence_tables(const kua__sequence *s, size_t d, float *input, float *output)
{
    kua__tape *t = NULL;
    KUA__TRY(tape_for_use(false, &t));
    kua__var *table = kua__sequence_table(t, s, d);
    kua__var *moved = kua__add_row(t, table, kua__use(t, s->items[d].domain));
    kua__var *unit = kua__l2_normalize(t, table, LENGTH_EPSILON);
    kua_status st = kua__tape_status(t);
    if (!st) {
        size_t bytes = table->rows * table->cols * sizeof(float);
        memcpy(input, moved->value, bytes);
        memcpy(output, unit->value, bytes);
    }
    kua__tape_free(t);
    return st;
}

typedef struct ragged_batch {
    uint32_t *token, *position, *type, *at;
    size_t n, n_full; /* tokens, histories */
} ragged_batch;

/* The last maxlen events of the histories that have any. */
static ragged_batch gather_histories(const kua__sequence *s, const kua__history *history, size_t n,
                                     uint32_t *block)
{
    size_t maxlen = s->options.maxlen;
    ragged_batch b = {.token = block,
                      .position = block + n * maxlen,
                      .type = block + 2 * n * maxlen,
                      .at = block + 3 * n * maxlen};
    b.at[0] = 0;
    for (size_t i = 0; i < n; i++) {
        size_t len = KUA__MIN(history[i].n, maxlen);
        if (len == 0) continue;
        size_t first = history[i].n - len;
        for (size_t k = 0; k < len; k++) {
            b.token[b.n] = history[i].item[first + k];
            b.type[b.n] = history[i].type ? history[i].type[first + k] : KUA__EVENT_PURCHASE;
            b.position[b.n++] = (uint32_t)k;
        }
        b.at[++b.n_full] = (uint32_t)b.n;
    }
    return b;
}

static void spread_states(const kua__history *history, size_t n, size_t dim, const kua__var *h,
                          float scale, float *state)
{
    for (size_t i = 0, full = 0; i < n; i++) {
        if (history[i].n == 0)
            memset(state + i * dim, 0, dim * sizeof(*state));
        else
            kua__kernels_get()->scale(state + i * dim, h->value + full++ * dim, scale, dim);
    }
}

kua_status kua__sequence_encode(const kua__sequence *s, const float *input, size_t n_items,
                                const kua__history *history, size_t n, bool bf16, float *state)
{
    size_t dim = s->options.dim;
    uint32_t *block = NULL;
    kua__tape *t = NULL;
    kua_status st;
    KUA__GOTO(st, KUA__NEW_ARRAY(&block, 3 * n * s->options.maxlen + n + 1, "histories"));
    KUA__GOTO(st, tape_for_use(bf16, &t));
    ragged_batch b = gather_histories(s, history, n, block);
    kua__sequence_events events = {b.position, b.type, {b.n_full, b.at}};
    kua__var *table = kua__input(t, n_items, dim, input);
    kua__var *x = kua__gather_rows(t, table, b.token, b.n);
    kua__var *h = kua__sequence_states(t, s, x, &events, true);
    h = kua__l2_normalize(t, h, LENGTH_EPSILON);
    KUA__GOTO(st, kua__tape_status(t));
    spread_states(history, n, dim, h, 1 / s->options.tau, state);
done:
    kua__tape_free(t);
    kua__free(block);
    return st;
}

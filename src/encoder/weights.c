/* weights.c - a BERT model from a safetensors file.
 *
 * Every tensor is asked for by name and by the shape that config.json implies, before any memory is
 * taken for it: a config with absurd sizes meets a file that does not have them, and the message
 * names the tensor and both shapes. So memory is bounded by the size of the file (twice that where
 * it holds 16-bit numbers).
 *
 * What is done once here so that no batch does it: weights are packed; query, key and value become
 * one matrix; the vector of token type 0 is added to the positions' (a single text has no other
 * type).
 */
#include <assert.h>
#include <string.h>

#include "encoder/bert.h"
#include "tensor/kernels.h"

/* ---- names ---- */

static const char word_name[] = "embeddings.word_embeddings.weight";

kua_status kua__bert_names_find(kua__bert_names *names, const kua__safetensors *file)
{
    assert(names && file);
    *names = (kua__bert_names){.file = file};
    for (size_t i = 0; i < kua__safetensors_count(file); i++) {
        const char *name = kua__safetensors_at(file, i)->name;
        size_t n = strlen(name);
        if (!kua__has_suffix(name, word_name)) continue;
        n -= strlen(word_name);
        if (n && name[n - 1] != '.') continue;
        memcpy(names->prefix, name, n);
        return KUA_OK;
    }
    return kua__fail(KUA_FORMAT, "%s: no tensor \"%s\", with or without a prefix",
                     kua__safetensors_path(file), word_name);
}

/* Old files call a norm's weight and bias gamma and beta. */
static void use_old_name(const kua__safetensors *file, char *name, size_t room)
{
    static const char *const pairs[][2] = {{".weight", ".gamma"}, {".bias", ".beta"}};
    for (size_t i = 0; i < KUA__COUNT(pairs); i++) {
        size_t n = strlen(name);
        char old[2 * KUA__TENSOR_NAME_MAX + 64];
        if (!strstr(name, "LayerNorm") || !kua__has_suffix(name, pairs[i][0])) continue;
        snprintf(old, sizeof(old), "%.*s%s", (int)(n - strlen(pairs[i][0])), name, pairs[i][1]);
        if (kua__safetensors_find(file, old)) snprintf(name, room, "%s", old);
        return;
    }
}

kua_status kua__bert_tensor(const kua__bert_names *names, int layer, const char *name, size_t rank,
                            const size_t *dim, const kua__tensor **out)
{
    assert(names && names->file && name && rank >= 1 && rank <= 2);
    char full[2 * KUA__TENSOR_NAME_MAX + 64];
    if (layer < 0)
        snprintf(full, sizeof(full), "%s%s", names->prefix, name);
    else
        snprintf(full, sizeof(full), "%sencoder.layer.%d.%s", names->prefix, layer, name);
    if (!kua__safetensors_find(names->file, full)) use_old_name(names->file, full, sizeof(full));
    if (kua__safetensors_need(names->file, full, rank, dim, out))
        return kua__fail_prefix(KUA_FORMAT, "does not fit its config.json");
    kua__dtype type = (*out)->dtype;
    if (type != KUA__F32 && type != KUA__F16 && type != KUA__BF16) {
        return kua__fail(KUA_FORMAT, "%s: tensor \"%s\" is of type %s, expected F32, F16 or BF16",
                         kua__safetensors_path(names->file), full, kua__dtype_name(type));
    }
    return KUA_OK;
}

/* ---- reading ---- */

/* What the functions below share. `staging` holds one product's weights as f32 while they are
 * packed. */
typedef struct loader {
    kua__bert *bert;
    kua__bert_names names;
    float *staging;
} loader;

static kua_status read_into(loader *l, int layer, const char *name, size_t rows, size_t cols,
                            float *to)
{
    const kua__tensor *t = NULL;
    size_t matrix[2] = {rows, cols};
    KUA__TRY(kua__bert_tensor(&l->names, layer, name, rows ? 2 : 1, rows ? matrix : &cols, &t));
    kua__tensor_to_f32(t, 0, t->count, to);
    l->bert->parameters += t->count;
    return KUA_OK;
}

/* A vector; to NULL: on the arena. */
static kua_status read_vector(loader *l, int layer, const char *name, float **to)
{
    size_t n = l->bert->config.hidden;
    *to = kua__arena_alloc(&l->bert->arena, n * sizeof(float));
    if (!*to) return kua__fail_nomem(n * sizeof(float), "a layer norm");
    return read_into(l, layer, name, 0, n, *to);
}

static kua_status read_norm(loader *l, int layer, const char *name, kua__bert_norm *norm)
{
    char full[128];
    snprintf(full, sizeof(full), "%s.weight", name);
    KUA__TRY(read_vector(l, layer, full, &norm->gain));
    snprintf(full, sizeof(full), "%s.bias", name);
    return read_vector(l, layer, full, &norm->bias);
}

/* Parts of one product, stacked: weight [out, in] and bias [out] each. */
static kua_status read_product(loader *l, int layer, const char *const *parts, size_t n, size_t out,
                               size_t in, kua__epilogue epilogue, kua__packed **to)
{
    /* `staging` has room for the largest product and its bias (read_all). */
    assert(n == 1 || n == 3);
    float *weight = l->staging, *bias = l->staging + n * out * in;
    for (size_t i = 0; i < n; i++) {
        char full[128];
        snprintf(full, sizeof(full), "%s.weight", parts[i]);
        KUA__TRY(read_into(l, layer, full, out, in, weight + i * out * in));
        snprintf(full, sizeof(full), "%s.bias", parts[i]);
        KUA__TRY(read_into(l, layer, full, 0, out, bias + i * out));
    }
    kua__packed_options options = {n * out, in, weight, bias, epilogue, l->bert->parts};
    return kua__packed_create(&options, to);
}

static kua_status read_layer(loader *l, int i)
{
    static const char *const qkv[] = {"attention.self.query", "attention.self.key",
                                      "attention.self.value"};
    static const char *const out[] = {"attention.output.dense"},
                             *const up[] = {"intermediate.dense"}, *const down[] = {"output.dense"};
    const kua__model_config *c = &l->bert->config;
    kua__bert_layer *layer = &l->bert->layer[i];
    kua__epilogue active = c->activation == KUA__ACT_GELU ? KUA__EPILOGUE_GELU : KUA__EPILOGUE_RELU;
    KUA__TRY(read_product(l, i, qkv, 3, c->hidden, c->hidden, KUA__EPILOGUE_NONE, &layer->qkv));
    KUA__TRY(read_product(l, i, out, 1, c->hidden, c->hidden, KUA__EPILOGUE_ADD, &layer->out));
    KUA__TRY(read_product(l, i, up, 1, c->inner, c->hidden, active, &layer->up));
    KUA__TRY(read_product(l, i, down, 1, c->hidden, c->inner, KUA__EPILOGUE_ADD, &layer->down));
    KUA__TRY(read_norm(l, i, "attention.output.LayerNorm", &layer->after_attention));
    return read_norm(l, i, "output.LayerNorm", &layer->after_inner);
}

/* Shapes first: nothing is allocated for a config that its file contradicts. */
static kua_status check_shapes(const loader *l)
{
    assert(l->bert->config.layers >= 1);
    const kua__model_config *c = &l->bert->config;
    const kua__tensor *t = NULL;
    size_t h = c->hidden, up[2] = {c->inner, h}, last = c->layers - 1;
    KUA__TRY(kua__bert_tensor(&l->names, -1, word_name, 2, (size_t[]){c->vocab, h}, &t));
    KUA__TRY(kua__bert_tensor(&l->names, -1, "embeddings.position_embeddings.weight", 2,
                              (size_t[]){c->positions, h}, &t));
    KUA__TRY(kua__bert_tensor(&l->names, -1, "embeddings.token_type_embeddings.weight", 2,
                              (size_t[]){c->types, h}, &t));
    KUA__TRY(kua__bert_tensor(&l->names, 0, "intermediate.dense.weight", 2, up, &t));
    return kua__bert_tensor(&l->names, (int)last, "intermediate.dense.weight", 2, up, &t);
}

static kua_status read_places(loader *l)
{
    kua__bert *b = l->bert;
    const kua__tensor *places = NULL, *types = NULL;
    size_t h = b->config.hidden, n = b->positions;
    KUA__TRY(
        kua__bert_tensor(&l->names, -1, word_name, 2, (size_t[]){b->config.vocab, h}, &b->word));
    KUA__TRY(kua__bert_tensor(&l->names, -1, "embeddings.position_embeddings.weight", 2,
                              (size_t[]){b->config.positions, h}, &places));
    KUA__TRY(kua__bert_tensor(&l->names, -1, "embeddings.token_type_embeddings.weight", 2,
                              (size_t[]){b->config.types, h}, &types));
    b->parameters += b->word->count + places->count + types->count;
    KUA__TRY(KUA__NEW_ARRAY(&b->place, (n + 1) * h, "position vectors"));
    float *type = b->place + n * h;
    kua__tensor_to_f32(places, 0, n * h, b->place);
    kua__tensor_to_f32(types, 0, h, type);
    for (size_t i = 0; i < n; i++)
        kua__kernels_get()->add(b->place + i * h, b->place + i * h, type, h);
    return read_norm(l, -1, "embeddings.LayerNorm", &b->first);
}

static kua_status read_all(loader *l)
{
    kua__bert *b = l->bert;
    size_t h = b->config.hidden, inner = b->config.inner;
    KUA__TRY(check_shapes(l));
    KUA__TRY(KUA__NEW_ARRAY(&l->staging, KUA__MAX(3 * (h * h + h), h * inner + KUA__MAX(h, inner)),
                            "weights"));
    KUA__TRY(KUA__NEW_ZEROED(&b->layer, b->config.layers, "layers"));
    KUA__TRY(read_places(l));
    for (size_t i = 0; i < b->config.layers; i++)
        KUA__TRY(read_layer(l, (int)i));
    return KUA_OK;
}

kua_status kua__bert_load(kua__bert *bert, const char *folder, const kua__model_config *config,
                          size_t max_tokens)
{
    assert(bert && folder && config);
    assert(max_tokens >= 1 && max_tokens <= config->positions);
    *bert = (kua__bert){.config = *config, .positions = max_tokens};
    bert->parts = KUA__MIN((size_t)kua__threads(), (size_t)KUA__PACKED_PARTS_MAX);
    kua__arena_init(&bert->arena, 64 << 10);
    char *path = kua__path_join(folder, "model.safetensors");
    if (!path) return kua__fail_nomem(strlen(folder), "a path");
    loader l = {.bert = bert};
    kua_status st = kua__safetensors_open(path, &bert->file);
    if (!st) st = kua__bert_names_find(&l.names, bert->file);
    if (!st) st = read_all(&l);
    kua__free(l.staging);
    kua__free(path);
    return st;
}

void kua__bert_release(kua__bert *bert)
{
    for (size_t i = 0; bert->layer && i < bert->config.layers; i++) {
        kua__packed_free(bert->layer[i].qkv);
        kua__packed_free(bert->layer[i].out);
        kua__packed_free(bert->layer[i].up);
        kua__packed_free(bert->layer[i].down);
    }
    kua__free(bert->layer);
    kua__free(bert->place);
    kua__arena_release(&bert->arena);
    kua__safetensors_close(bert->file);
    *bert = (kua__bert){0};
}

size_t kua__bert_bytes(const kua__bert *bert)
{
    size_t bytes = kua__arena_bytes(&bert->arena) +
                   (bert->positions + 1) * bert->config.hidden * sizeof(float);
    for (size_t i = 0; i < bert->config.layers; i++) {
        const kua__bert_layer *l = &bert->layer[i];
        bytes += kua__packed_bytes(l->qkv) + kua__packed_bytes(l->out) + kua__packed_bytes(l->up) +
                 kua__packed_bytes(l->down);
    }
    return bytes;
}

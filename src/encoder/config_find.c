/* config_find.c - a model's sizes where they stand elsewhere than in a config.json: in the metadata
 * of a GGUF file, or (ONNX) in nothing but the tensors.
 *
 * An ONNX file's tensors do not tell the number of heads. Where there is no config.json beside it,
 * heads are as wide as those of all published BERTs of that width: 64, but 32 at 384 (MiniLM) and
 * 26 at 312 (TinyBERT). Other widths are refused.
 */
#include <assert.h>
#include <string.h>

#include "encoder/model.h"

/* ---- GGUF ---- */

static kua_status gguf_size(const kua__gguf *g, const char *key, int64_t high, size_t *out)
{
    int64_t value = 0;
    KUA__TRY(kua__gguf_int(g, key, 1, high, &value));
    *out = (size_t)value;
    return KUA_OK;
}

static kua_status gguf_size_or(const kua__gguf *g, const char *key, int64_t high, size_t *inout)
{
    int64_t value = 0;
    KUA__TRY(kua__gguf_int_or(g, key, 1, high, (int64_t)*inout, &value));
    *inout = (size_t)value;
    return KUA_OK;
}

static kua_status gguf_llama(const kua__gguf *g, kua__model_config *c)
{
    double epsilon = 0, theta = 0;
    *c = kua__config_preset(KUA__FAMILY_LLAMA);
    c->rope_interleaved = true;
    KUA__TRY(gguf_size(g, "llama.embedding_length", KUA__MODEL_HIDDEN_MAX, &c->hidden));
    KUA__TRY(gguf_size(g, "llama.block_count", KUA__MODEL_LAYERS_MAX, &c->layers));
    KUA__TRY(gguf_size(g, "llama.attention.head_count", KUA__MODEL_HIDDEN_MAX, &c->heads));
    c->kv_heads = c->heads;
    c->head_dim = KUA__MAX(c->hidden / c->heads, (size_t)1);
    KUA__TRY(gguf_size_or(g, "llama.attention.head_count_kv", KUA__MODEL_HIDDEN_MAX, &c->kv_heads));
    KUA__TRY(gguf_size_or(g, "llama.attention.key_length", KUA__MODEL_HIDDEN_MAX, &c->head_dim));
    KUA__TRY(gguf_size(g, "llama.feed_forward_length", KUA__MODEL_INNER_MAX, &c->inner));
    KUA__TRY(gguf_size(g, "llama.context_length", KUA__MODEL_POSITIONS_MAX, &c->positions));
    KUA__TRY(kua__gguf_real(g, "llama.attention.layer_norm_rms_epsilon", 0, 1, &epsilon));
    KUA__TRY(kua__gguf_real_or(g, "llama.rope.freq_base", 1, 1e12, 1e4, &theta));
    size_t turned = c->head_dim;
    KUA__TRY(gguf_size_or(g, "llama.rope.dimension_count", KUA__MODEL_HIDDEN_MAX, &turned));
    if (turned != c->head_dim) {
        return kua__fail(KUA_FORMAT, "%s: llama.rope.dimension_count is %zu, heads have %zu",
                         kua__gguf_path(g), turned, c->head_dim);
    }
    c->epsilon = (float)epsilon;
    c->rope_theta = (float)theta;
    return KUA_OK;
}

static kua_status from_gguf(const kua__gguf *g, const kua__weights *file, kua__model_config *c)
{
    static const char *const scaling = "llama.rope.scaling.type";
    kua__gguf_text family = {"", 0};
    KUA__TRY(kua__gguf_string(g, "general.architecture", &family));
    if (family.n != 5 || memcmp(family.data, "llama", 5) != 0) {
        return kua__fail(KUA_FORMAT, "%s: general.architecture is \"%.*s\", known is llama",
                         kua__gguf_path(g), (int)KUA__MIN(family.n, (size_t)40), family.data);
    }
    if (kua__gguf_value_find(g, scaling) && !kua__gguf_says(g, scaling, "none"))
        return kua__fail(KUA_FORMAT, "%s: %s is there, and only plain rotary positions are known",
                         kua__gguf_path(g), scaling);
    KUA__TRY(gguf_llama(g, c));
    const kua__tensor *word = kua__weights_find(file, "token_embd.weight");
    if (!word || word->rank != 2)
        return kua__fail(KUA_FORMAT, "%s: no matrix \"token_embd.weight\"", kua__gguf_path(g));
    c->vocab = word->dim[0];
    c->tied = !kua__weights_find(file, "output.weight");
    return kua__config_check(kua__gguf_path(g), c);
}

/* ---- tensors alone ---- */

static const kua__tensor *matrix_of(const kua__names *names, kua__slot slot, size_t layer)
{
    char name[2 * KUA__TENSOR_NAME_MAX + 64];
    kua__slot_name(names->naming, names->prefix, slot, layer, KUA__WEIGHT, name, sizeof(name));
    const kua__tensor *t = kua__weights_find(names->file, name);
    return t && t->rank == 2 ? t : NULL;
}

static kua_status from_shapes(const kua__weights *file, kua__model_config *c)
{
    const char *path = kua__weights_path(file);
    kua__names names;
    *c = kua__config_preset(KUA__FAMILY_BERT);
    KUA__TRY(kua__names_find(&names, c, file));
    const kua__tensor *word = matrix_of(&names, KUA__SLOT_WORD, 0),
                      *place = matrix_of(&names, KUA__SLOT_PLACE, 0),
                      *type = matrix_of(&names, KUA__SLOT_TYPE, 0),
                      *up = matrix_of(&names, KUA__SLOT_UP, 0);
    if (!word || !place || !type || !up)
        return kua__fail(KUA_FORMAT, "%s: has no config.json beside it and not BERT's tensors",
                         path);
    c->vocab = word->dim[0];
    c->hidden = word->dim[1];
    c->positions = place->dim[0];
    c->types = type->dim[0];
    c->inner = up->dim[0];
    while (c->layers < KUA__MODEL_LAYERS_MAX && matrix_of(&names, KUA__SLOT_UP, c->layers))
        c->layers++;
    c->head_dim = c->hidden == 384 ? 32 : c->hidden == 312 ? 26 : 64;
    if (c->hidden % c->head_dim) {
        return kua__fail(KUA_FORMAT,
                         "%s: has no config.json beside it, and how many heads %zu numbers have is "
                         "not known",
                         path, c->hidden);
    }
    c->heads = c->kv_heads = c->hidden / c->head_dim;
    return kua__config_check(path, c);
}

/* ---- which ---- */

/* The folder of `path`: itself, or where the file is. */
static char *folder_of(const char *path, const kua__weights *file)
{
    const char *inside = kua__weights_path(file), *slash = strrchr(inside, '/');
    if (!kua__streq(path, inside)) return kua__strdup(path);
    return slash ? kua__strndup(inside, (size_t)(slash - inside)) : kua__strdup(".");
}

kua_status kua__config_find(const char *path, const kua__weights *file, kua__model_config *out)
{
    assert(path && file && out);
    const kua__gguf *g = kua__weights_gguf(file);
    *out = (kua__model_config){0};
    if (g) return from_gguf(g, file, out);
    char *folder = folder_of(path, file),
         *config = folder ? kua__path_join(folder, "config.json") : NULL;
    kua_status st = KUA_OK;
    if (!config)
        st = kua__fail_nomem(strlen(path), "a path");
    else if (!kua__exists(config) && kua__streq(kua__weights_format(file), "onnx"))
        st = from_shapes(file, out);
    else
        st = kua__config_load(folder, out);
    kua__free(config);
    kua__free(folder);
    return st;
}

static kua_status load_tokenizer(const char *path, const kua__weights *file, kua_tokenizer **out)
{
    kua_status st = kua_tokenizer_load(path, out);
    if (st != KUA_NOTFOUND && st != KUA_IO) return st;
    if (kua__weights_gguf(file)) return kua_tokenizer_load(kua__weights_path(file), out);
    return st;
}

/* Fewer tokens than rows is usual: tables are padded to round numbers. */
kua_status kua__tokenizer_find(const char *path, const kua__weights *file, size_t vocab,
                               kua_tokenizer **out)
{
    assert(path && file && out);
    const char *inside = kua__weights_path(file);
    bool beside = kua__streq(path, inside) && !kua__weights_gguf(file);
    char *folder = beside ? folder_of(path, file) : kua__strdup(path);
    *out = NULL;
    if (!folder) return kua__fail_nomem(strlen(path), "a path");
    kua_status st = load_tokenizer(folder, file, out);
    kua__free(folder);
    if (st) return st;
    size_t has = kua_tokenizer_describe(*out).vocab_size;
    if (has <= vocab) return KUA_OK;
    kua_tokenizer_free(*out);
    *out = NULL;
    return kua__fail(KUA_FORMAT,
                     "%s: the tokenizer has %zu tokens, the table of words has %zu rows", path, has,
                     vocab);
}

/* config.c - a model's family and sizes from config.json, in the words of each family.
 *
 * What this library does not compute is refused here, with the field and its value: another
 * architecture, relative positions, stretched rotary positions, sliding windows. A model that loads
 * gives the reference's numbers; there is no "nearly".
 *
 * The families differ in what they call things, so each has a list of (key, limit, place) and a
 * preset of switches. Limits on sizes come before anything is allocated by them; that the weights'
 * file agrees is checked by kua__names_check().
 */
#include "encoder/config.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/json.h"

/* ---- families ---- */

static const char *const family_names[KUA__FAMILY_COUNT] = {
    [KUA__FAMILY_BERT] = "bert",       [KUA__FAMILY_DISTILBERT] = "distilbert",
    [KUA__FAMILY_ROBERTA] = "roberta", [KUA__FAMILY_GPT2] = "gpt2",
    [KUA__FAMILY_LLAMA] = "llama",
};

const char *kua__family_name(kua__family family)
{
    assert((unsigned)family < KUA__FAMILY_COUNT);
    return family_names[family];
}

kua__model_config kua__config_preset(kua__family family)
{
    kua__model_config c = {.family = family, .epsilon = 1e-12f};
    c.learned_positions = c.biases = c.tied = true;
    if (family == KUA__FAMILY_BERT || family == KUA__FAMILY_ROBERTA) c.types = 2;
    if (family == KUA__FAMILY_ROBERTA) {
        c.types = 1;
        c.first_position = 2;
        c.epsilon = 1e-5f;
    }
    if (family == KUA__FAMILY_GPT2) {
        c.causal = c.pre_norm = true;
        c.activation = KUA__ACT_GELU_TANH;
        c.epsilon = 1e-5f;
    }
    if (family == KUA__FAMILY_LLAMA) {
        c.causal = c.pre_norm = c.rms = c.gated = true;
        c.learned_positions = c.biases = false;
        c.activation = KUA__ACT_SILU;
        c.epsilon = 1e-6f;
        c.rope_theta = 1e4f;
    }
    return c;
}

size_t kua__config_longest(const kua__model_config *c)
{
    assert(c->positions > c->first_position);
    return c->positions - c->first_position;
}

kua__activation kua__config_head_activation(const kua__model_config *c)
{
    assert(c);
    return c->family == KUA__FAMILY_ROBERTA ? KUA__ACT_GELU : c->activation;
}

kua_status kua__config_check(const char *name, const kua__model_config *c)
{
    assert(name && c);
    const struct {
        const char *what;
        size_t value, high;
    } sizes[] = {
        {"the width", c->hidden, KUA__MODEL_HIDDEN_MAX},
        {"the number of layers", c->layers, KUA__MODEL_LAYERS_MAX},
        {"the number of heads", c->heads, KUA__MODEL_HIDDEN_MAX},
        {"the number of key heads", c->kv_heads, KUA__MODEL_HIDDEN_MAX},
        {"the width of a head", c->head_dim, KUA__MODEL_HIDDEN_MAX},
        {"the inner width", c->inner, KUA__MODEL_INNER_MAX},
        {"the number of words", c->vocab, KUA_VOCAB_MAX},
        {"the number of positions", c->positions, KUA__MODEL_POSITIONS_MAX},
    };
    for (size_t i = 0; i < KUA__COUNT(sizes); i++) {
        if (sizes[i].value < 1 || sizes[i].value > sizes[i].high)
            return kua__fail(KUA_FORMAT, "%s: %s is %zu, expected 1..%zu", name, sizes[i].what,
                             sizes[i].value, sizes[i].high);
    }
    if (c->heads % c->kv_heads)
        return kua__fail(KUA_FORMAT, "%s: %zu heads are not a multiple of %zu key heads", name,
                         c->heads, c->kv_heads);
    if (c->heads * c->head_dim > KUA__MODEL_INNER_MAX)
        return kua__fail(KUA_FORMAT, "%s: %zu heads of %zu are over %d numbers", name, c->heads,
                         c->head_dim, KUA__MODEL_INNER_MAX);
    if (!c->learned_positions && c->head_dim % 2)
        return kua__fail(KUA_FORMAT, "%s: rotary positions want heads of even width, not %zu", name,
                         c->head_dim);
    if (c->gated && c->activation != KUA__ACT_SILU)
        return kua__fail(KUA_FORMAT, "%s: a gated inner part with another activation than silu",
                         name);
    if (c->first_position >= c->positions)
        return kua__fail(KUA_FORMAT, "%s: %zu positions, and the first one is %zu", name,
                         c->positions, c->first_position);
    return KUA_OK;
}

/* ---- config.json: fields ---- */

static kua_status size_of(const char *name, const json_t *json, const char *key, int64_t high,
                          size_t *out)
{
    int64_t value = 0;
    KUA__TRY(kua__json_int(name, json, key, 1, high, &value));
    *out = (size_t)value;
    return KUA_OK;
}

static kua_status size_or(const char *name, const json_t *json, const char *key, int64_t low,
                          int64_t high, size_t *inout)
{
    int64_t value = (int64_t)*inout;
    KUA__TRY(kua__json_int_or(name, json, key, low, high, value, &value));
    *inout = (size_t)value;
    return KUA_OK;
}

/* A text field that must have this value, or is missing. */
static kua_status must_be(const char *name, const json_t *json, const char *key, const char *value)
{
    const char *text = NULL;
    KUA__TRY(kua__json_string_or(name, json, key, value, &text));
    if (!kua__streq(text, value))
        return kua__fail(KUA_FORMAT, "%s: %s is \"%.40s\", expected \"%s\"", name, key, text,
                         value);
    return KUA_OK;
}

static kua_status must_not(const char *name, const json_t *json, const char *key)
{
    bool on = false;
    KUA__TRY(kua__json_bool_or(name, json, key, false, &on));
    return on ? kua__fail(KUA_FORMAT, "%s: %s is true, which is not known here", name, key)
              : KUA_OK;
}

static kua_status read_epsilon(const char *name, const json_t *json, const char *key,
                               kua__model_config *c)
{
    double epsilon = 0;
    KUA__TRY(kua__json_real_or(name, json, key, 0, 1, (double)c->epsilon, &epsilon));
    c->epsilon = (float)epsilon;
    return KUA_OK;
}

static const struct {
    const char *name;
    kua__activation activation;
} activations[] = {
    {"gelu", KUA__ACT_GELU},
    {"gelu_new", KUA__ACT_GELU_TANH},
    {"gelu_pytorch_tanh", KUA__ACT_GELU_TANH},
    {"relu", KUA__ACT_RELU},
    {"silu", KUA__ACT_SILU},
    {"swish", KUA__ACT_SILU},
};

static kua_status read_activation(const char *name, const json_t *json, const char *key,
                                  const char *fallback, kua__activation *out)
{
    const char *text = NULL;
    KUA__TRY(kua__json_string_or(name, json, key, fallback, &text));
    for (size_t i = 0; i < KUA__COUNT(activations); i++) {
        if (!kua__streq(text, activations[i].name)) continue;
        *out = activations[i].activation;
        return KUA_OK;
    }
    return kua__fail(KUA_FORMAT,
                     "%s: %s is \"%.40s\", expected \"gelu\", \"gelu_new\", \"relu\" or \"silu\"",
                     name, key, text);
}

static kua_status heads_of_hidden(const char *name, const char *hidden, const char *heads,
                                  kua__model_config *c)
{
    if (c->hidden % c->heads) {
        return kua__fail(KUA_FORMAT, "%s: %s %zu is not a multiple of %s %zu", name, hidden,
                         c->hidden, heads, c->heads);
    }
    c->head_dim = c->hidden / c->heads;
    c->kv_heads = c->heads;
    return KUA_OK;
}

/* ---- config.json: families ---- */

static kua_status bert(const char *name, const json_t *json, kua__model_config *c)
{
    KUA__TRY(must_be(name, json, "position_embedding_type", "absolute"));
    KUA__TRY(size_of(name, json, "hidden_size", KUA__MODEL_HIDDEN_MAX, &c->hidden));
    KUA__TRY(size_of(name, json, "num_hidden_layers", KUA__MODEL_LAYERS_MAX, &c->layers));
    KUA__TRY(size_of(name, json, "num_attention_heads", KUA__MODEL_HIDDEN_MAX, &c->heads));
    KUA__TRY(size_of(name, json, "intermediate_size", KUA__MODEL_INNER_MAX, &c->inner));
    KUA__TRY(size_of(name, json, "vocab_size", KUA_VOCAB_MAX, &c->vocab));
    KUA__TRY(
        size_of(name, json, "max_position_embeddings", KUA__MODEL_POSITIONS_MAX, &c->positions));
    c->types = 2; /* where it is not stated */
    KUA__TRY(size_or(name, json, "type_vocab_size", 1, KUA__MODEL_TYPES_MAX, &c->types));
    KUA__TRY(read_epsilon(name, json, "layer_norm_eps", c));
    KUA__TRY(read_activation(name, json, "hidden_act", "gelu", &c->activation));
    return heads_of_hidden(name, "hidden_size", "num_attention_heads", c);
}

static kua_status roberta(const char *name, const json_t *json, kua__model_config *c)
{
    size_t pad = 1;
    KUA__TRY(bert(name, json, c));
    KUA__TRY(size_or(name, json, "pad_token_id", 0, KUA_VOCAB_MAX, &pad));
    c->first_position = pad + 1;
    return KUA_OK;
}

static kua_status distilbert(const char *name, const json_t *json, kua__model_config *c)
{
    KUA__TRY(size_of(name, json, "dim", KUA__MODEL_HIDDEN_MAX, &c->hidden));
    KUA__TRY(size_of(name, json, "n_layers", KUA__MODEL_LAYERS_MAX, &c->layers));
    KUA__TRY(size_of(name, json, "n_heads", KUA__MODEL_HIDDEN_MAX, &c->heads));
    KUA__TRY(size_of(name, json, "hidden_dim", KUA__MODEL_INNER_MAX, &c->inner));
    KUA__TRY(size_of(name, json, "vocab_size", KUA_VOCAB_MAX, &c->vocab));
    KUA__TRY(
        size_of(name, json, "max_position_embeddings", KUA__MODEL_POSITIONS_MAX, &c->positions));
    KUA__TRY(read_activation(name, json, "activation", "gelu", &c->activation));
    return heads_of_hidden(name, "dim", "n_heads", c);
}

static kua_status gpt2(const char *name, const json_t *json, kua__model_config *c)
{
    KUA__TRY(must_not(name, json, "scale_attn_by_inverse_layer_idx"));
    KUA__TRY(size_of(name, json, "n_embd", KUA__MODEL_HIDDEN_MAX, &c->hidden));
    KUA__TRY(size_of(name, json, "n_layer", KUA__MODEL_LAYERS_MAX, &c->layers));
    KUA__TRY(size_of(name, json, "n_head", KUA__MODEL_HIDDEN_MAX, &c->heads));
    c->inner = 4 * c->hidden;
    KUA__TRY(size_or(name, json, "n_inner", 1, KUA__MODEL_INNER_MAX, &c->inner));
    KUA__TRY(size_of(name, json, "vocab_size", KUA_VOCAB_MAX, &c->vocab));
    KUA__TRY(size_of(name, json, "n_positions", KUA__MODEL_POSITIONS_MAX, &c->positions));
    KUA__TRY(read_epsilon(name, json, "layer_norm_epsilon", c));
    KUA__TRY(read_activation(name, json, "activation_function", "gelu_new", &c->activation));
    KUA__TRY(kua__json_bool_or(name, json, "tie_word_embeddings", true, &c->tied));
    return heads_of_hidden(name, "n_embd", "n_head", c);
}

/* The base of the angles, which newer files keep in an object; anything but plain angles is
 * refused. */
static kua_status rope(const char *name, const json_t *json, kua__model_config *c)
{
    static const char *const objects[] = {"rope_parameters", "rope_scaling"};
    double theta = 1e4;
    KUA__TRY(kua__json_real_or(name, json, "rope_theta", 1, 1e12, theta, &theta));
    for (size_t i = 0; i < KUA__COUNT(objects); i++) {
        const json_t *object = json_object_get(json, objects[i]);
        if (!json_is_object(object)) continue;
        KUA__TRY(must_be(name, object, "rope_type", "default"));
        KUA__TRY(must_be(name, object, "type", "default"));
        KUA__TRY(kua__json_real_or(name, object, "rope_theta", 1, 1e12, theta, &theta));
    }
    c->rope_theta = (float)theta;
    return KUA_OK;
}

static kua_status llama(const char *name, const json_t *json, kua__model_config *c)
{
    KUA__TRY(must_not(name, json, "attention_bias"));
    KUA__TRY(must_not(name, json, "mlp_bias"));
    KUA__TRY(rope(name, json, c));
    KUA__TRY(size_of(name, json, "hidden_size", KUA__MODEL_HIDDEN_MAX, &c->hidden));
    KUA__TRY(size_of(name, json, "num_hidden_layers", KUA__MODEL_LAYERS_MAX, &c->layers));
    KUA__TRY(size_of(name, json, "num_attention_heads", KUA__MODEL_HIDDEN_MAX, &c->heads));
    c->kv_heads = c->heads;
    c->head_dim = KUA__MAX(c->hidden / c->heads, (size_t)1);
    KUA__TRY(size_or(name, json, "num_key_value_heads", 1, KUA__MODEL_HIDDEN_MAX, &c->kv_heads));
    KUA__TRY(size_or(name, json, "head_dim", 1, KUA__MODEL_HIDDEN_MAX, &c->head_dim));
    KUA__TRY(size_of(name, json, "intermediate_size", KUA__MODEL_INNER_MAX, &c->inner));
    KUA__TRY(size_of(name, json, "vocab_size", KUA_VOCAB_MAX, &c->vocab));
    KUA__TRY(
        size_of(name, json, "max_position_embeddings", KUA__MODEL_POSITIONS_MAX, &c->positions));
    KUA__TRY(read_epsilon(name, json, "rms_norm_eps", c));
    KUA__TRY(read_activation(name, json, "hidden_act", "silu", &c->activation));
    return kua__json_bool_or(name, json, "tie_word_embeddings", false, &c->tied);
}

typedef kua_status (*family_fn)(const char *name, const json_t *json, kua__model_config *c);

static const struct {
    const char *type;
    kua__family family;
    family_fn read;
} types[] = {
    {"bert", KUA__FAMILY_BERT, bert},          {"distilbert", KUA__FAMILY_DISTILBERT, distilbert},
    {"roberta", KUA__FAMILY_ROBERTA, roberta}, {"xlm-roberta", KUA__FAMILY_ROBERTA, roberta},
    {"gpt2", KUA__FAMILY_GPT2, gpt2},          {"llama", KUA__FAMILY_LLAMA, llama},
};

static kua_status read_config(const char *name, const json_t *json, kua__model_config *c)
{
    const char *type = NULL;
    if (!json_is_object(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON object", name);
    KUA__TRY(kua__json_string(name, json, "model_type", &type));
    for (size_t i = 0; i < KUA__COUNT(types); i++) {
        if (!kua__streq(type, types[i].type)) continue;
        *c = kua__config_preset(types[i].family);
        KUA__TRY(types[i].read(name, json, c));
        return kua__config_check(name, c);
    }
    return kua__fail(KUA_FORMAT,
                     "%s: model_type is \"%.40s\", known are bert, distilbert, roberta, "
                     "xlm-roberta, gpt2 and llama",
                     name, type);
}

kua_status kua__config_parse(const char *name, const char *text, size_t n, kua__model_config *out)
{
    assert(name && (text || n == 0) && out);
    json_t *json = NULL;
    *out = (kua__model_config){0};
    KUA__TRY(kua__json_parse(name, text, n, &json));
    kua_status st = read_config(name, json, out);
    json_decref(json);
    return st;
}

kua_status kua__config_load(const char *folder, kua__model_config *out)
{
    assert(folder && out);
    char *path = kua__path_join(folder, "config.json");
    if (!path) return kua__fail_nomem(strlen(folder), "a path");
    kua__map map;
    kua_status st = kua__map_open(&map, path);
    if (!st) {
        st = kua__config_parse(path, map.data, map.size, out);
        kua__map_close(&map);
    }
    kua__free(path);
    return st;
}

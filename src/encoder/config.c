/* config.c - the sizes of a BERT model, its pooling and its limits, from the files that Python's
 * libraries write.
 *
 * What this encoder does not compute is refused here, with the field and its value: another
 * architecture, relative positions, GELU's tanh approximation, poolings other than mean, first and
 * largest, modules behind the pooling. A model that loads gives the reference's vectors; there is
 * no "nearly".
 *
 *     config.json                    sizes, activation             must be there
 *     1_Pooling/config.json          mean, first or largest        else the mean
 *     modules.json                   is there a Normalize?         else: yes
 *     sentence_bert_config.json      where texts are cut           else encoder.c's own limit
 *
 * Limits on sizes come before anything is allocated by them; that the weights' file agrees is
 * checked in weights.c.
 */
#include "encoder/config.h"

#include <assert.h>
#include <string.h>

#include "base/json.h"

typedef kua_status (*parse_fn)(const char *name, const json_t *json, void *out);

static kua_status parse(const char *name, const char *text, size_t n, parse_fn fn, void *out)
{
    assert(name && (text || n == 0) && out);
    json_t *json = NULL;
    KUA__TRY(kua__json_parse(name, text, n, &json));
    kua_status st = fn(name, json, out);
    json_decref(json);
    return st;
}

static kua_status size_of(const char *name, const json_t *json, const char *key, int64_t high,
                          size_t *out)
{
    int64_t value = 0;
    KUA__TRY(kua__json_int(name, json, key, 1, high, &value));
    *out = (size_t)value;
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

/* ---- config.json ---- */

static kua_status read_activation(const char *name, const json_t *json, kua__bert_activation *out)
{
    const char *text = NULL;
    KUA__TRY(kua__json_string_or(name, json, "hidden_act", "gelu", &text));
    if (!kua__streq(text, "gelu") && !kua__streq(text, "relu")) {
        return kua__fail(KUA_FORMAT, "%s: hidden_act is \"%.40s\", expected \"gelu\" or \"relu\"",
                         name, text);
    }
    *out = kua__streq(text, "gelu") ? KUA__BERT_GELU : KUA__BERT_RELU;
    return KUA_OK;
}

static kua_status bert(const char *name, const json_t *json, void *ctx)
{
    kua__bert_config *c = ctx;
    double epsilon = 0;
    if (!json_is_object(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON object", name);
    KUA__TRY(must_be(name, json, "model_type", "bert"));
    KUA__TRY(must_be(name, json, "position_embedding_type", "absolute"));
    KUA__TRY(size_of(name, json, "hidden_size", KUA__BERT_HIDDEN_MAX, &c->hidden));
    KUA__TRY(size_of(name, json, "num_hidden_layers", KUA__BERT_LAYERS_MAX, &c->layers));
    KUA__TRY(size_of(name, json, "num_attention_heads", KUA__BERT_HIDDEN_MAX, &c->heads));
    KUA__TRY(size_of(name, json, "intermediate_size", KUA__BERT_INNER_MAX, &c->inner));
    KUA__TRY(size_of(name, json, "vocab_size", KUA_VOCAB_MAX, &c->vocab));
    KUA__TRY(size_of(name, json, "max_position_embeddings", 1 << 20, &c->positions));
    int64_t types = 0;
    KUA__TRY(kua__json_int_or(name, json, "type_vocab_size", 1, KUA__BERT_TYPES_MAX, 2, &types));
    c->types = (size_t)types;
    KUA__TRY(kua__json_real_or(name, json, "layer_norm_eps", 0, 1, 1e-12, &epsilon));
    c->epsilon = (float)epsilon;
    if (c->hidden % c->heads) {
        return kua__fail(KUA_FORMAT,
                         "%s: hidden_size %zu is not a multiple of num_attention_heads %zu", name,
                         c->hidden, c->heads);
    }
    return read_activation(name, json, &c->activation);
}

kua_status kua__bert_config_parse(const char *name, const char *text, size_t n,
                                  kua__bert_config *out)
{
    assert(out);
    *out = (kua__bert_config){0};
    return parse(name, text, n, bert, out);
}

/* ---- 1_Pooling/config.json ---- */

static const struct {
    const char *key;
    kua_pooling pooling; /* KUA_POOLING_MODEL: known, not computed here */
} modes[] = {
    {"pooling_mode_mean_tokens", KUA_POOLING_MEAN},
    {"pooling_mode_cls_token", KUA_POOLING_CLS},
    {"pooling_mode_max_tokens", KUA_POOLING_MAX},
    {"pooling_mode_mean_sqrt_len_tokens", KUA_POOLING_MODEL},
    {"pooling_mode_weightedmean_tokens", KUA_POOLING_MODEL},
    {"pooling_mode_lasttoken", KUA_POOLING_MODEL},
};

static kua_status pooling(const char *name, const json_t *json, void *ctx)
{
    kua__pooling_config *c = ctx;
    const char *chosen = NULL;
    if (!json_is_object(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON object", name);
    for (size_t i = 0; i < KUA__COUNT(modes); i++) {
        bool on = false;
        KUA__TRY(kua__json_bool_or(name, json, modes[i].key, false, &on));
        if (!on) continue;
        if (modes[i].pooling == KUA_POOLING_MODEL) {
            return kua__fail(KUA_FORMAT, "%s: %s is true, known are mean, cls and max", name,
                             modes[i].key);
        }
        if (chosen)
            return kua__fail(KUA_FORMAT, "%s: both %s and %s are true", name, chosen, modes[i].key);
        chosen = modes[i].key;
        c->pooling = modes[i].pooling;
    }
    return chosen ? KUA_OK : kua__fail(KUA_FORMAT, "%s: no pooling mode is true", name);
}

kua_status kua__pooling_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out)
{
    return parse(name, text, n, pooling, out);
}

/* ---- modules.json: a list of what is applied in turn ---- */

static kua_status modules(const char *name, const json_t *json, void *ctx)
{
    kua__pooling_config *c = ctx;
    if (!json_is_array(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON array", name);
    c->unit = false;
    for (size_t i = 0; i < json_array_size(json); i++) {
        const char *type = NULL;
        KUA__TRY(kua__json_string(name, json_array_get(json, i), "type", &type));
        const char *dot = strrchr(type, '.'), *kind = dot ? dot + 1 : type;
        if (kua__streq(kind, "Normalize")) {
            c->unit = true;
        } else if (!kua__streq(kind, "Transformer") && !kua__streq(kind, "Pooling")) {
            return kua__fail(
                KUA_FORMAT,
                "%s: module %zu is \"%.60s\", known are Transformer, Pooling and Normalize", name,
                i, type);
        }
    }
    return KUA_OK;
}

kua_status kua__modules_parse(const char *name, const char *text, size_t n,
                              kua__pooling_config *out)
{
    return parse(name, text, n, modules, out);
}

/* ---- sentence_bert_config.json ---- */

static kua_status sentence(const char *name, const json_t *json, void *ctx)
{
    kua__pooling_config *c = ctx;
    int64_t tokens = 0;
    if (!json_is_object(json)) return kua__fail(KUA_FORMAT, "%s: is not a JSON object", name);
    KUA__TRY(kua__json_int_or(name, json, "max_seq_length", 1, 1 << 20, 0, &tokens));
    c->max_tokens = (size_t)tokens;
    return KUA_OK;
}

kua_status kua__sentence_parse(const char *name, const char *text, size_t n,
                               kua__pooling_config *out)
{
    return parse(name, text, n, sentence, out);
}

/* ---- folders ---- */

/* Parses a file of the folder; where it is optional and absent nothing happens. */
static kua_status load(const char *folder, const char *file, bool optional, parse_fn fn, void *out)
{
    char *path = kua__path_join(folder, file);
    if (!path) return kua__fail_nomem(strlen(folder) + strlen(file), "a path");
    kua__map map;
    kua_status st = KUA_OK;
    if (!optional || kua__exists(path)) {
        st = kua__map_open(&map, path);
        if (!st) {
            st = parse(path, map.data, map.size, fn, out);
            kua__map_close(&map);
        }
    }
    kua__free(path);
    return st;
}

kua_status kua__bert_config_load(const char *folder, kua__bert_config *out)
{
    assert(folder && out);
    *out = (kua__bert_config){0};
    return load(folder, "config.json", false, bert, out);
}

kua_status kua__pooling_load(const char *folder, kua__pooling_config *out)
{
    assert(folder && out);
    *out = (kua__pooling_config){.pooling = KUA_POOLING_MEAN, .unit = true};
    KUA__TRY(load(folder, "1_Pooling/config.json", true, pooling, out));
    KUA__TRY(load(folder, "modules.json", true, modules, out));
    return load(folder, "sentence_bert_config.json", true, sentence, out);
}

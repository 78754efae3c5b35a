/* config_write.c - a config.json in the words that transformers expects of each family. */
#include <assert.h>
#include <string.h>

#include "base/json.h"
#include "encoder/config.h"

/* A member of the object; jansson reports lost memory at the end (kua__json_whole). */
static void put_size(json_t *json, const char *key, size_t value)
{
    json_object_set_new(json, key, json_integer((json_int_t)value));
}

static const char *activation_name(kua__activation activation)
{
    static const char *const names[] = {
        [KUA__ACT_GELU] = "gelu",
        [KUA__ACT_GELU_TANH] = "gelu_new",
        [KUA__ACT_RELU] = "relu",
        [KUA__ACT_SILU] = "silu",
    };
    return names[activation];
}

/* What a size is called: BERT, RoBERTa and llama agree on most. */
typedef struct words {
    const char *hidden, *layers, *heads, *inner, *positions, *epsilon, *activation, *class;
} words;

static words words_of(kua__family family)
{
    words w = {"hidden_size",       "num_hidden_layers",       "num_attention_heads",
               "intermediate_size", "max_position_embeddings", "layer_norm_eps",
               "hidden_act",        "BertForMaskedLM"};
    if (family == KUA__FAMILY_ROBERTA) w.class = "RobertaForMaskedLM";
    if (family == KUA__FAMILY_DISTILBERT) {
        w = (words){"dim",
                    "n_layers",
                    "n_heads",
                    "hidden_dim",
                    "max_position_embeddings",
                    NULL,
                    "activation",
                    "DistilBertForMaskedLM"};
    }
    if (family == KUA__FAMILY_GPT2) {
        w = (words){"n_embd",
                    "n_layer",
                    "n_head",
                    "n_inner",
                    "n_positions",
                    "layer_norm_epsilon",
                    "activation_function",
                    "GPT2LMHeadModel"};
    }
    if (family == KUA__FAMILY_LLAMA) {
        w.class = "LlamaForCausalLM";
        w.epsilon = "rms_norm_eps";
    }
    return w;
}

static void fill(json_t *json, const kua__model_config *c)
{
    words w = words_of(c->family);
    json_object_set_new(json, "model_type", json_string(kua__family_name(c->family)));
    json_object_set_new(json, "architectures", json_pack("[s]", w.class));
    put_size(json, w.hidden, c->hidden);
    put_size(json, w.layers, c->layers);
    put_size(json, w.heads, c->heads);
    put_size(json, w.inner, c->inner);
    put_size(json, "vocab_size", c->vocab);
    put_size(json, w.positions, c->positions);
    if (w.epsilon) json_object_set_new(json, w.epsilon, json_real((double)c->epsilon));
    json_object_set_new(json, w.activation, json_string(activation_name(c->activation)));
    json_object_set_new(json, "tie_word_embeddings", json_boolean(c->tied));
    if (c->types) put_size(json, "type_vocab_size", c->types);
    if (c->family == KUA__FAMILY_ROBERTA) put_size(json, "pad_token_id", c->first_position - 1);
    if (c->family == KUA__FAMILY_LLAMA) {
        put_size(json, "num_key_value_heads", c->kv_heads);
        put_size(json, "head_dim", c->head_dim);
        json_object_set_new(json, "rope_theta", json_real((double)c->rope_theta));
    }
}

kua_status kua__config_save(const kua__model_config *c, const char *folder)
{
    assert(c && folder && c->hidden >= 1);
    unsigned long lost = kua__json_lost();
    json_t *json = json_object();
    char *path = kua__path_join(folder, "config.json");
    kua_status st = path ? KUA_OK : kua__fail_nomem(strlen(folder), "a path");
    if (json) fill(json, c);
    if (!st) st = kua__json_whole(lost, "a config");
    if (!st) st = kua__json_save(path, json);
    json_decref(json);
    kua__free(path);
    return st;
}

/* test_models_that_lie.c - configs that their tensors contradict, architectures that are not known,
 * tokenizers that do not fit: a message that names field or tensor, and the numbers.
 *
 * Folders of tests/encoder/data/families with one thing changed: a field of config.json, a number
 * or a text in the metadata of model.gguf (patched in place: same length), or the vocabulary.
 */
#include "testlib.h"

#include <string.h>

#include "base/json.h"
#include "kua/encoder.h"
#include "kua/generate.h"

static const char *source(const char *family, const char *file)
{
    static char path[700];
    snprintf(path, sizeof(path), "%s/%s/%s", test_data("encoder/data/families"), family, file);
    return path;
}

static void write_in(const char *folder, const char *name, const void *data, size_t n)
{
    char *path = kua__path_join(folder, name);
    assert_ok(kua__write_file(path, data, n));
    kua__free(path);
}

static void copy_into(const char *folder, const char *family, const char *name)
{
    kua__map map;
    assert_ok(kua__map_open(&map, source(family, name)));
    write_in(folder, name, map.data, map.size);
    kua__map_close(&map);
}

/* A fresh folder with a vocabulary of `words` words. */
static const char *make_folder(size_t words)
{
    const char *folder = test_temp_path("model");
    assert_ok(kua__remove_tree(folder));
    assert_ok(kua__make_folders(folder));
    kua__buf vocab = {0};
    kua__buf_puts(&vocab, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    for (size_t i = 5; i < words; i++)
        kua__buf_printf(&vocab, "w%zu\n", i);
    assert_ok(kua__buf_status(&vocab));
    write_in(folder, "vocab.txt", vocab.data, vocab.len);
    kua__buf_release(&vocab);
    return folder;
}

/* The family's folder with `changes` (a JSON object) put over its config. */
static const char *with_config(const char *family, const char *changes)
{
    const char *folder = make_folder(70);
    json_t *config = NULL, *change = NULL;
    copy_into(folder, family, "model.safetensors");
    assert_ok(kua__json_load(source(family, "config.json"), &config));
    assert_ok(kua__json_parse("changes", changes, strlen(changes), &change));
    assert_int_equal(json_object_update(config, change), 0);
    char *path = kua__path_join(folder, "config.json");
    assert_ok(kua__json_save(path, config));
    kua__free(path);
    json_decref(config);
    json_decref(change);
    return folder;
}

static void configs_and_tensors(void **state)
{
    (void)state;
    static const struct {
        const char *family, *changes, *says;
    } cases[] = {
        {"roberta", "{\"model_type\":\"mamba\"}", "model_type is \"mamba\", known are bert"},
        {"roberta", "{\"hidden_size\":51}", "[70,48], expected [70,51]"},
        {"roberta", "{\"num_hidden_layers\":3}", "no tensor \"roberta.encoder.layer.2."},
        {"roberta", "{\"pad_token_id\":63}", "64 positions, and the first one is 64"},
        {"roberta", "{\"position_embedding_type\":\"relative_key\"}", "\"relative_key\""},
        {"distilbert", "{\"n_heads\":5}", "dim 48 is not a multiple of n_heads 5"},
        {"distilbert", "{\"hidden_dim\":81}",
         "transformer.layer.0.ffn.lin1.weight\" is [80,48], "
         "expected [81,48]"},
        {"distilbert", "{\"activation\":\"mish\"}", "activation is \"mish\""},
        {"distilbert", "{\"vocab_size\":1000000000}", "vocab_size is 1000000000"},
        {"bert", "{\"type_vocab_size\":3}", "[2,48], expected [3,48]"},
        {"gpt2", "{\"n_inner\":100}", "h.0.mlp.c_fc.weight\" is [48,192], expected [48,100]"},
        {"gpt2", "{\"scale_attn_by_inverse_layer_idx\":true}", "scale_attn_by_inverse_layer_idx"},
        {"gpt2", "{\"n_positions\":65}", "wpe.weight\" is [64,48], expected [65,48]"},
        {"gpt2", "{\"n_layer\":0}", "n_layer is 0, expected"},
        {"llama", "{\"num_key_value_heads\":3}", "4 heads are not a multiple of 3 key heads"},
        {"llama", "{\"num_key_value_heads\":4}", "k_proj.weight\" is [32,64], expected [64,64]"},
        {"llama", "{\"head_dim\":15}", "heads of even width, not 15"},
        {"llama", "{\"head_dim\":8192,\"num_attention_heads\":8192}", "are over 65536"},
        {"llama", "{\"attention_bias\":true}", "attention_bias is true"},
        {"llama", "{\"hidden_act\":\"gelu\"}", "another activation than silu"},
        {"llama", "{\"rope_parameters\":{\"rope_type\":\"llama3\"}}", "rope_type is \"llama3\""},
        {"llama", "{\"rope_parameters\":{\"rope_theta\":0}}", "rope_theta"},
        {"llama", "{\"max_position_embeddings\":99999999}", "max_position_embeddings"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        kua_encoder *e = NULL;
        assert_fails(kua_encoder_load(with_config(cases[i].family, cases[i].changes), NULL, &e),
                     KUA_FORMAT, cases[i].says);
        assert_null(e);
    }
}

/* ---- heads ---- */

static void heads_for_words(void **state)
{
    (void)state;
    kua_generator *g = NULL;
    assert_fails(kua_generator_load(with_config("llama", "{\"vocab_size\":70,\"model_type\":"
                                                         "\"llama\",\"tie_word_embeddings\":true}"),
                                    &(kua_generator_options){999}, &g),
                 KUA_INVALID, "max_tokens is 999, expected 1..64");
    assert_fails(
        kua_generator_load(with_config("gpt2", "{\"tie_word_embeddings\":false}"), NULL, &g),
        KUA_FORMAT, "no tensor \"lm_head.weight\"");
    assert_null(g);
}

/* ---- GGUF ---- */

/* model.gguf with what stands `skip` bytes behind the first place of `key` replaced. */
static const char *with_patch(const char *key, size_t skip, const void *bytes, size_t n)
{
    const char *folder = make_folder(70);
    kua__map map;
    assert_ok(kua__map_open(&map, source("llama-gguf", "model.gguf")));
    char *copy = kua__malloc(map.size);
    assert_non_null(copy);
    memcpy(copy, map.data, map.size);
    char *at = memmem(copy, map.size, key, strlen(key));
    assert_non_null(at);
    memcpy(at + strlen(key) + skip, bytes, n);
    write_in(folder, "model.gguf", copy, map.size);
    kua__free(copy);
    kua__map_close(&map);
    return folder;
}

/* A u32 behind its key and its type. */
static const char *with_number(const char *key, uint32_t value)
{
    return with_patch(key, 4, &value, sizeof(value));
}

static void gguf_metadata(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        const char *says;
    } cases[] = {
        {"llama.block_count", 3, "no tensor \"blk.2.attn_norm.weight\""},
        {"llama.block_count", 0, "llama.block_count is 0"},
        {"llama.embedding_length", 96, "llama.rope.dimension_count is 16, heads have 24"},
        {"llama.attention.head_count_kv", 3, "4 heads are not a multiple of 3 key heads"},
        {"llama.feed_forward_length", 4000000, "llama.feed_forward_length is 4000000"},
        {"llama.rope.dimension_count", 8, "llama.rope.dimension_count is 8, heads have 16"},
        {"llama.context_length", 0x7fffffff, "llama.context_length"},
    };
    kua_encoder *e = NULL;
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        assert_fails(kua_encoder_load(with_number(cases[i].key, cases[i].value), NULL, &e),
                     KUA_FORMAT, cases[i].says);
        assert_null(e);
    }
    /* A text: u32 type, u64 length, then the bytes. */
    assert_fails(kua_encoder_load(with_patch("general.architecture", 12, "gemma", 5), NULL, &e),
                 KUA_FORMAT, "general.architecture is \"gemma\", known is llama");
    assert_null(e);
}

/* ---- tokenizers ---- */

static void tokenizers_that_do_not_fit(void **state)
{
    (void)state;
    kua_encoder *e = NULL;
    kua_generator *g = NULL;
    const char *folder = make_folder(71);
    copy_into(folder, "llama", "model.safetensors");
    copy_into(folder, "llama", "config.json");
    assert_fails(kua_encoder_load(folder, NULL, &e), KUA_FORMAT,
                 "the tokenizer has 71 tokens, the table of words has 70 rows");
    assert_fails(kua_generator_load(folder, NULL, &g), KUA_FORMAT, "71 tokens");
    folder = make_folder(71);
    copy_into(folder, "llama-gguf", "model.gguf");
    assert_fails(kua_encoder_load(folder, NULL, &e), KUA_FORMAT, "71 tokens");
    assert_true(!e && !g);
}

/* What is not damaged loads, from the folder and from the file. */
static void whole_ones_load(void **state)
{
    (void)state;
    static const char *const families[] = {"bert",        "distilbert", "roberta",
                                           "xlm-roberta", "gpt2",       "llama"};
    kua_text in = {"w7 w8 w9", 8};
    float row[64];
    for (size_t i = 0; i <= KUA__COUNT(families); i++) {
        kua_encoder *e = NULL;
        bool gguf = i == KUA__COUNT(families);
        const char *folder =
            gguf ? with_number("llama.block_count", 2) : with_config(families[i], "{}");
        assert_ok(kua_encoder_load(folder, NULL, &e));
        assert_ok(kua_encoder_encode(e, &in, 1, NULL, row, NULL));
        kua_encoder_info info = kua_encoder_describe(e);
        bool causal = gguf || i >= 4;
        assert_int_equal(info.pooling, causal ? KUA_POOLING_LAST : KUA_POOLING_MEAN);
        assert_int_equal(info.max_tokens, i == 2 ? 62 : i == 3 ? 60 : 64);
        kua_encoder_free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_and_tensors), cmocka_unit_test(heads_for_words),
        cmocka_unit_test(gguf_metadata),       cmocka_unit_test(tokenizers_that_do_not_fit),
        cmocka_unit_test(whole_ones_load),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

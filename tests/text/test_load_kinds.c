/* test_load_kinds.c - damaged files of BPE and Unigram, from JSON, merges.txt and GGUF: each a
 * clear message, nothing leaked.
 *
 * Method: a correct small file of each kind; every test changes one thing in it.
 */
#include "testlib.h"

#include <string.h>

#include "kua/tokenizer.h"
#include "text/wordpiece.h"

static void json_fails(const char *text, const char *message)
{
    kua_tokenizer *tokenizer = (kua_tokenizer *)1;
    assert_fails(kua__tokenizer_from_json("t.json", text, strlen(text), &tokenizer), KUA_FORMAT,
                 message);
    assert_null(tokenizer);
}

#define BPE(members) "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}" members "}"
#define MERGES       ",\"merges\":[\"a b\"]"
#define UNI(vocab)   "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":" vocab "}"
#define UNI_GOOD     UNI("[[\"<unk>\",0],[\"\\u2581a\",-1.5],[\"a\",-2]]")
#define BYTES        ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"

static void damaged_merges_are_refused(void **state)
{
    (void)state;
    json_fails("{" BPE("") "}", "t.json: model.merges is not an array");
    json_fails("{" BPE(",\"merges\":[7]") "}", "model.merges[0] is not a text or a pair of texts");
    json_fails("{" BPE(",\"merges\":[[\"a\"]]") "}", "model.merges[0] is not");
    json_fails("{" BPE(",\"merges\":[\"ab\"]") "}", "merge 0 is \"ab\", expected two pieces");
    json_fails("{" BPE(",\"merges\":[\"a b c\"]") "}", "merge 0 is \"a b c\"");
    json_fails("{" BPE(",\"merges\":[\"a \"]") "}", "merge 0 has pieces of 1 and 0 bytes");
    json_fails("{" BPE(",\"merges\":[\"a b\",\"a c\"]") "}",
               "merge 1 names \"c\", which is not in the vocabulary");
    json_fails("{" BPE(",\"merges\":[\"b a\"]") "}",
               "merge 0 names \"ba\", which is not in the vocabulary");
}

static void other_models_of_bpe_are_refused(void **state)
{
    (void)state;
    json_fails("{" BPE(MERGES ",\"dropout\":0.1") "}", "model.dropout is 0.1");
    json_fails("{" BPE(MERGES ",\"end_of_word_suffix\":\"</w>\"") "}",
               "model.end_of_word_suffix is \"</w>\", expected none");
    json_fails("{" BPE(MERGES ",\"unk_token\":\"<unk>\"") "}",
               "the unknown token \"<unk>\" is not in the vocabulary");
    json_fails("{" BPE(MERGES ",\"byte_fallback\":true") BYTES "}",
               "pre_tokenizer is ByteLevel and the model has byte_fallback");
    json_fails("{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"a\":0,\"b\":2}}}",
               "no piece has id 1");
    json_fails("{\"model\":{\"type\":\"BPE\",\"merges\":[],\"vocab\":{\"a\":0,\"b\":0}}}",
               "id 0 is both");
}

static void damaged_unigrams_are_refused(void **state)
{
    (void)state;
    json_fails("{" UNI("[]") "}", "model.vocab has 0 pieces");
    json_fails("{" UNI("[7]") "}", "model.vocab[0] is not a pair");
    json_fails("{" UNI("[[\"a\",\"b\"]]") "}", "model.vocab[0] is not a pair");
    json_fails("{" UNI("[[\"a\",0],[\"a\",1]]") "}", "\"a\" is piece 0 and piece 1");
    json_fails("{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}", "unk_id");
    json_fails("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]]}}", "unk_id");
    json_fails("{" UNI_GOOD BYTES "}", "pre_tokenizer is ByteLevel and the model is Unigram");
}

#define NORMAL(text) "{" UNI_GOOD ",\"normalizer\":" text "}"
#define SPLIT(text)  "{" BPE(MERGES) ",\"pre_tokenizer\":" text "}"
#define MAP(text)    NORMAL("{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"" text "\"}")

static void other_stages_are_refused(void **state)
{
    (void)state;
    json_fails(NORMAL("{\"type\":\"Odd\"}"), "normalizer.type is \"Odd\", expected Precompiled");
    json_fails(NORMAL("{\"type\":\"Sequence\"}"), "normalizer.normalizers is not an array");
    json_fails(NORMAL("{\"type\":\"Sequence\",\"normalizers\":[7]}"), "normalizer");
    json_fails(NORMAL("{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"x+\"},\"content\":\"\"}"),
               "normalizer.pattern is the Regex \"x+\"");
    json_fails(NORMAL("{\"type\":\"Prepend\",\"prepend\":\"123456789012345678901234567890123\"}"),
               "normalizer.prepend has 33 bytes, at most 32");
    json_fails(SPLIT("{\"type\":\"Whitespace\"}"), "pre_tokenizer.type is \"Whitespace\"");
    json_fails(SPLIT("{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a|b\"}}"),
               "pre_tokenizer.pattern is \"a|b\"");
    json_fails(SPLIT("{\"type\":\"Metaspace\",\"replacement\":\"ab\"}"),
               "pre_tokenizer.replacement is \"ab\", expected one character");
    json_fails(SPLIT("{\"type\":\"Metaspace\",\"prepend_scheme\":\"last\"}"),
               "prepend_scheme is \"last\"");
    json_fails(SPLIT("{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":"
                     "\"Digits\"}]}"),
               "pre_tokenizer has \"Digits\" behind ByteLevel");
    json_fails("{" BPE(MERGES) ",\"decoder\":{\"type\":\"CTC\"}}", "decoder.type is \"CTC\"");
}

static void damaged_character_maps_are_refused(void **state)
{
    (void)state;
    json_fails(MAP("A*AA"), "precompiled_charsmap is not base64 at character 1");
    json_fails(MAP("AAAAA"), "precompiled_charsmap is not base64");
    json_fails(MAP("AAAA"), "has 3 bytes, and its trie is said to have 0");
    json_fails(MAP("/////w=="), "its trie is said to have 4294967295");
    json_fails(MAP("BAAAAAAAAAA="), "precompiled_charsmap's 0 bytes of replacements");
    json_fails(MAP("BAAAAAAAAABh"), "precompiled_charsmap's 1 bytes of replacements");
}

/* ---- vocab.json and merges.txt ---- */

static void merge_files_are_read(void **state)
{
    (void)state;
    static const char vocab[] = "{\"<s>\":0,\"</s>\":1,\"a\":2,\"b\":3,\"ab\":4}";
    static const char merges[] = "#version: 0.2\r\na b\r\n";
    kua_tokenizer *tokenizer = NULL;
    kua_ids ids = {0};
    assert_ok(kua__make_folders(test_temp_path("two")));
    test_temp_file("two/vocab.json", vocab, sizeof(vocab) - 1);
    assert_fails(kua_tokenizer_load(test_temp_path("two"), &tokenizer), KUA_IO, "merges.txt");
    test_temp_file("two/merges.txt", merges, sizeof(merges) - 1);
    assert_ok(kua_tokenizer_load(test_temp_path("two"), &tokenizer));
    assert_ok(kua_tokenizer_encode(tokenizer, "abab<s>?", 8, 0, &ids));
    assert_int_equal(ids.n, 5);
    assert_memory_equal(ids.id, ((uint32_t[]){0, 4, 4, 0, 1}), 5 * sizeof(uint32_t));
    kua_tokenizer_free(tokenizer);
    kua_ids_release(&ids);
    test_temp_file("two/merges.txt", "#version\na b\nax\n", 16);
    assert_fails(kua_tokenizer_load(test_temp_path("two"), &tokenizer), KUA_FORMAT,
                 "merges.txt:3: ");
}

/* ---- GGUF ---- */

typedef struct gguf {
    kua__buf bytes;
    uint64_t pairs;
} gguf;

static void put_u64(gguf *g, uint64_t value)
{
    kua__buf_add(&g->bytes, &value, 8);
}

static void put_u32(gguf *g, uint32_t value)
{
    kua__buf_add(&g->bytes, &value, 4);
}

static void put_text(gguf *g, const char *text)
{
    put_u64(g, strlen(text));
    kua__buf_puts(&g->bytes, text);
}

static void pair_text(gguf *g, const char *key, const char *value)
{
    put_text(g, key);
    put_u32(g, KUA__GGUF_TEXT);
    put_text(g, value);
    g->pairs++;
}

static void pair_texts(gguf *g, const char *key, const char *const *values, size_t n)
{
    put_text(g, key);
    put_u32(g, KUA__GGUF_ARRAY);
    put_u32(g, KUA__GGUF_TEXT);
    put_u64(g, n);
    for (size_t i = 0; i < n; i++)
        put_text(g, values[i]);
    g->pairs++;
}

static void pair_u32(gguf *g, const char *key, uint32_t value)
{
    put_text(g, key);
    put_u32(g, KUA__GGUF_U32);
    put_u32(g, value);
    g->pairs++;
}

/* Loads what the pairs say; frees them. */
static kua_status load(gguf *g, kua_tokenizer **out)
{
    gguf whole = {0};
    kua__gguf *file = NULL;
    kua__buf_puts(&whole.bytes, "GGUF");
    put_u32(&whole, 3);
    put_u64(&whole, 0);
    put_u64(&whole, g->pairs);
    kua__buf_add(&whole.bytes, g->bytes.data, g->bytes.len);
    while (whole.bytes.len % 32)
        kua__buf_add(&whole.bytes, "", 1);
    kua_status st = kua__gguf_parse("t.gguf", whole.bytes.data, whole.bytes.len, &file);
    if (!st) st = kua__tokenizer_from_gguf(file, out);
    kua__gguf_close(file);
    kua__buf_release(&whole.bytes);
    kua__buf_release(&g->bytes);
    *g = (gguf){0};
    return st;
}

static const char *const tokens[] = {"<end>", "a", "b", "ab"};
static const char *const merges[] = {"a b"};

static gguf start(const char *model, const char *pre)
{
    gguf g = {0};
    pair_text(&g, "tokenizer.ggml.model", model);
    pair_text(&g, "tokenizer.ggml.pre", pre);
    pair_texts(&g, "tokenizer.ggml.tokens", tokens, KUA__COUNT(tokens));
    return g;
}

static void gguf_metadata_is_read(void **state)
{
    (void)state;
    kua_tokenizer *tokenizer = NULL;
    kua_ids ids = {0};
    gguf g = start("gpt2", "smollm");
    pair_texts(&g, "tokenizer.ggml.merges", merges, 1);
    pair_u32(&g, "tokenizer.ggml.eos_token_id", 0);
    assert_ok(load(&g, &tokenizer));
    kua_tokenizer_info info = kua_tokenizer_describe(tokenizer);
    assert_int_equal(info.kind, KUA_TOKENIZER_BPE);
    assert_int_equal(info.eos, 0);
    assert_int_equal(info.bos, KUA_TOKEN_NONE);
    assert_ok(kua_tokenizer_encode(tokenizer, "aab", 3, 0, &ids));
    assert_int_equal(ids.n, 2);
    kua_ids_release(&ids);
    kua_tokenizer_free(tokenizer);
}

static void damaged_gguf_metadata_is_refused(void **state)
{
    (void)state;
    kua_tokenizer *tokenizer = NULL;
    gguf g = start("llama", "default");
    assert_fails(load(&g, &tokenizer), KUA_FORMAT,
                 "tokenizer.ggml.model is \"llama\", expected \"gpt2\"");
    g = start("gpt2", "odd");
    assert_fails(load(&g, &tokenizer), KUA_FORMAT, "tokenizer.ggml.pre is \"odd\"");
    g = start("gpt2", "smollm");
    assert_fails(load(&g, &tokenizer), KUA_FORMAT, "tokenizer.ggml.merges is missing");
    g = start("gpt2", "smollm");
    pair_texts(&g, "tokenizer.ggml.merges", (const char *[]){"a c"}, 1);
    assert_fails(load(&g, &tokenizer), KUA_FORMAT, "merge 0 names \"c\"");
    g = start("gpt2", "smollm");
    pair_texts(&g, "tokenizer.ggml.merges", merges, 1);
    pair_u32(&g, "tokenizer.ggml.bos_token_id", 4);
    assert_fails(load(&g, &tokenizer), KUA_FORMAT,
                 "tokenizer.ggml.bos_token_id is 4, expected 0..3");
    assert_null(tokenizer);
}

/* ---- memory ---- */

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const files[] = {
        "{" BPE(MERGES ",\"ignore_merges\":true") BYTES
        ",\"added_tokens\":[{\"id\":3,\"content\":\"new\",\"lstrip\":true}],"
        "\"normalizer\":{\"type\":\"NFC\"}}",
        "{" UNI_GOOD ",\"pre_tokenizer\":{\"type\":\"Metaspace\"},\"normalizer\":{\"type\":"
        "\"Sequence\",\"normalizers\":[{\"type\":\"Precompiled\",\"precompiled_charsmap\":"
        "\"BAAAAAAAAAAA\"},{\"type\":\"BertNormalizer\"}]}}"};
    for (size_t i = 0; i < KUA__COUNT(files); i++) {
        json_t *root = NULL;
        kua_status st;
        assert_ok(kua__json_parse("t", files[i], strlen(files[i]), &root));
        TEST_EVERY_ALLOCATION(st)
        {
            kua_tokenizer *tokenizer = NULL;
            st = kua__tokenizer_from_root("t", root, &tokenizer);
            kua_tokenizer_free(tokenizer);
        }
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_merges_are_refused),
        cmocka_unit_test(other_models_of_bpe_are_refused),
        cmocka_unit_test(damaged_unigrams_are_refused),
        cmocka_unit_test(other_stages_are_refused),
        cmocka_unit_test(damaged_character_maps_are_refused),
        cmocka_unit_test(merge_files_are_read),
        cmocka_unit_test(gguf_metadata_is_read),
        cmocka_unit_test(damaged_gguf_metadata_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

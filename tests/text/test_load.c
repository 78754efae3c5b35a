/* test_load.c - tokenizer files that are damaged, of another kind, or somewhere else: each a clear
 * message, nothing leaked.
 *
 * Method: a correct small file of each kind; every test changes one thing in it.
 */
#include "testlib.h"

#include <string.h>

#include "kua/tokenizer.h"
#include "tiny.h"

/* ---- vocab.txt
 * ----------------------------------------------------------------------------------------------------
 */

static void vocab_fails(const char *text, size_t n, const char *config, kua_status status,
                        const char *message)
{
    kua_tokenizer *tokenizer = (kua_tokenizer *)1;
    assert_fails(kua__tokenizer_from_vocab("v.txt", text, n, "c.json", config,
                                           config ? strlen(config) : 0, &tokenizer),
                 status, message);
    assert_null(tokenizer);
}

#define VOCAB_FAILS(text, message) vocab_fails(text, sizeof(text) - 1, NULL, KUA_FORMAT, message)

static void damaged_vocabularies_are_refused(void **state)
{
    (void)state;
    VOCAB_FAILS("", "v.txt: no line is \"[UNK]\", expected the unk_token there");
    VOCAB_FAILS("[UNK]\n[CLS]\n", "v.txt: no line is \"[SEP]\", expected the sep_token there");
    VOCAB_FAILS("[UNK]\n\n[CLS]\n[SEP]\n", "v.txt:2: piece 1 is empty");
    VOCAB_FAILS("[UNK]\n[CLS]\n[SEP]\na\nb\na\n", "v.txt: \"a\" is piece 3 and piece 5");
    VOCAB_FAILS("[UNK]\n[CLS]\n[SEP]\n\xc3\n",
                "v.txt:4: piece 3 is not UTF-8: byte 0xc3 at position 0");
    VOCAB_FAILS("[UNK]\n[CLS]\n[SEP]\na\0b\n", "v.txt:4: piece 3 holds a NUL byte");
    VOCAB_FAILS("\xef\xbb\xbf[UNK]\n[CLS]\n[SEP]\n", "v.txt:1: begins with a byte order mark");
    char line[KUA_PIECE_BYTES_MAX + 2];
    memset(line, 'x', sizeof(line));
    vocab_fails(line, KUA_PIECE_BYTES_MAX + 1, NULL, KUA_FORMAT,
                "v.txt:1: piece 0 has 513 bytes (\"xxx");
}

static void a_vocabulary_of_too_many_lines_is_refused(void **state)
{
    (void)state;
    size_t n = 2 * ((size_t)KUA_VOCAB_MAX + 1);
    char *text = kua__malloc(n);
    assert_non_null(text);
    for (size_t i = 0; i < n; i += 2)
        memcpy(text + i, "a\n", 2);
    vocab_fails(text, n, NULL, KUA_FORMAT, "v.txt:524289: more than 524288 pieces");
    kua__free(text);
}

static void a_wrong_config_is_refused(void **state)
{
    (void)state;
    const char *vocab = TINY_VOCAB;
    size_t n = strlen(vocab);
    vocab_fails(vocab, n, "[]", KUA_FORMAT, "c.json: is not a JSON object");
    vocab_fails(vocab, n, "{", KUA_FORMAT, "c.json:1:");
    vocab_fails(vocab, n, "{\"do_lower_case\": 1}", KUA_FORMAT, "do_lower_case");
    vocab_fails(vocab, n, "{\"cls_token\": \"<s>\"}", KUA_FORMAT,
                "v.txt: no line is \"<s>\", expected the cls_token there");
    vocab_fails(vocab, n, "{\"cls_token\": {\"content\": 7}}", KUA_FORMAT, "content");
    vocab_fails(vocab, n, "{\"unk_token\": \"\"}", KUA_FORMAT, "expected the unk_token there");
}

static void line_ends_of_windows_are_read(void **state)
{
    (void)state;
    static const char text[] = "[UNK]\r\n[CLS]\r\n[SEP]\r\nab\r\n##c";
    kua_tokenizer *tokenizer = NULL;
    assert_ok(kua__tokenizer_from_vocab("v", text, sizeof(text) - 1, "c", NULL, 0, &tokenizer));
    assert_int_equal(kua_tokenizer_describe(tokenizer).vocab_size, 5);
    assert_int_equal(kua_tokenizer_find(tokenizer, "##c", 3), 4);
    assert_int_equal(kua_tokenizer_describe(tokenizer).pad, KUA_TOKEN_NONE);
    kua_tokenizer_free(tokenizer);
}

/* ---- tokenizer.json
 * -----------------------------------------------------------------------------------------------
 */

#define MODEL(members)                                                                             \
    "\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"[UNK]\":0,\"[CLS]\":1,\"[SEP]\":2,\"a\":"      \
    "3}" members "}"
#define NORMALIZER ",\"normalizer\":{\"type\":\"BertNormalizer\",\"strip_accents\":null}"
#define SPLITTER   ",\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"}"
#define PROCESSOR                                                                                  \
    ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"[CLS]\",1],\"sep\":[\"[SEP]\",2]" \
    "}"
#define GOOD        "{" MODEL("") NORMALIZER SPLITTER PROCESSOR "}"
#define WITH(added) "{" MODEL("") NORMALIZER SPLITTER PROCESSOR added "}"
#define TEMPLATE(members)                                                                          \
    "{" MODEL("") NORMALIZER SPLITTER                                                              \
        ",\"post_processor\":{\"type\":\"TemplateProcessing\"" members "}}"

static void json_fails(const char *text, const char *message)
{
    kua_tokenizer *tokenizer = (kua_tokenizer *)1;
    assert_fails(kua__tokenizer_from_json("t.json", text, strlen(text), &tokenizer), KUA_FORMAT,
                 message);
    assert_null(tokenizer);
}

static void other_kinds_are_named(void **state)
{
    (void)state;
    json_fails("{\"model\":{\"type\":\"WordLevel\",\"vocab\":{}}}",
               "t.json: model.type is \"WordLevel\", expected \"WordPiece\", \"BPE\" or "
               "\"Unigram\"");
    json_fails("{" MODEL("") ",\"normalizer\":{\"type\":\"NFKC\"}}",
               "normalizer.type is \"NFKC\", expected \"BertNormalizer\"");
    json_fails("{" MODEL("") ",\"normalizer\":{}}", "type is missing");
    json_fails("{" MODEL("") NORMALIZER ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}",
               "pre_tokenizer.type is \"ByteLevel\"");
    json_fails("{" MODEL("") NORMALIZER "}", "pre_tokenizer is missing");
    json_fails("{" MODEL("") SPLITTER ",\"post_processor\":{\"type\":\"PairProcessing\"}}",
               "post_processor.type is \"PairProcessing\"");
}

static void damaged_models_are_refused(void **state)
{
    (void)state;
    json_fails("", "t.json:1");
    json_fails("[]", "t.json: is not a JSON object");
    json_fails("{}", "t.json: model is missing");
    json_fails("{\"model\":3}", "t.json: model is of another kind");
    json_fails("{\"model\":{\"type\":\"WordPiece\"}}", "t.json: model.vocab is missing");
    json_fails("{\"model\":{\"vocab\":{\"a\":-1}}}",
               "model.vocab[\"a\"] is not an integer 0..524287");
    json_fails("{\"model\":{\"vocab\":{\"a\":1e9}}}", "model.vocab[\"a\"]");
    json_fails("{\"model\":{\"vocab\":{\"a\":99999999999}}}", "model.vocab[\"a\"]");
    json_fails("{\"model\":{\"vocab\":{\"\":0}}}", "piece 0 is empty");
    json_fails("{\"model\":{\"vocab\":{}}" SPLITTER "}", "\"[UNK]\" is not in the vocabulary");
    json_fails("{\"model\":{\"vocab\":{\"a\":0}}" SPLITTER "}",
               "\"[UNK]\" is not in the vocabulary");
    json_fails("{\"model\":{\"vocab\":{\"[UNK]\":0,\"a\":2}}" SPLITTER "}",
               "no piece has id 1, expected each of 0..1 once");
    json_fails("{\"model\":{\"vocab\":{\"[UNK]\":0,\"a\":0}}" SPLITTER "}", "id 0 is both");
    json_fails("{\"model\":{\"vocab\":{\"a\":0,\"a\":1}}}", "duplicate");
    json_fails("{" MODEL(",\"max_input_chars_per_word\":0") "}", "max_input_chars_per_word");
    json_fails("{" MODEL(",\"max_input_chars_per_word\":1000000000") "}",
               "max_input_chars_per_word");
    json_fails("{" MODEL(",\"continuing_subword_prefix\":\"12345678901234567\"") "}",
               "continuing_subword_prefix has 17 bytes");
    json_fails("{" MODEL(",\"unk_token\":\"nope\"") SPLITTER "}",
               "the unknown token \"nope\" is not in the vocabulary");
}

static void damaged_added_tokens_are_refused(void **state)
{
    (void)state;
    json_fails(WITH(",\"added_tokens\":{}"), "added_tokens is not an array");
    json_fails(WITH(",\"added_tokens\":[1]"), "added_tokens[0] is not an object");
    json_fails(WITH(",\"added_tokens\":[{\"id\":4}]"), "content is missing");
    json_fails(WITH(",\"added_tokens\":[{\"id\":4,\"content\":\"\"}]"),
               "added_tokens[0].content has 0 bytes");
    json_fails(WITH(",\"added_tokens\":[{\"id\":3,\"content\":\"b\"}]"),
               "added token \"b\" has id 3, which is \"a\" in model.vocab");
    json_fails(WITH(",\"added_tokens\":[{\"id\":9,\"content\":\"b\"}]"), "no piece has id 4");
    json_fails(WITH(",\"added_tokens\":[{\"id\":999999999,\"content\":\"b\"}]"), "id");
    json_fails(
        WITH(",\"added_tokens\":[{\"id\":4,\"content\":\"b\"},{\"id\":4,\"content\":\"c\"}]"),
        "id 4 is both");
    json_fails(
        WITH(",\"added_tokens\":[{\"id\":4,\"content\":\"b\"},{\"id\":5,\"content\":\"b\"}]"),
        "\"b\" twice");
}

static void damaged_processors_are_refused(void **state)
{
    (void)state;
    json_fails(TEMPLATE(""), "post_processor.single is not an array");
    json_fails(TEMPLATE(",\"single\":[]"), "post_processor.single has no Sequence");
    json_fails(TEMPLATE(",\"single\":[{\"Sequence\":{}},{\"Sequence\":{}}]"),
               "post_processor.single[1]");
    json_fails(TEMPLATE(",\"single\":[{\"SpecialToken\":{\"id\":\"X\"}}]"),
               "special_tokens[\"X\"].ids is missing");
    json_fails(TEMPLATE(",\"single\":[{\"SpecialToken\":{\"id\":\"X\"}}],\"special_tokens\":{\"X\":"
                        "{\"ids\":[4]}}"),
               "an id outside 0..3");
    json_fails(TEMPLATE(",\"single\":[{\"SpecialToken\":{\"id\":\"X\"}}],\"special_tokens\":{\"X\":"
                        "{\"ids\":[0,0,0,0,0,0,0,0,0]}}"),
               "over 8 tokens on one side");
    json_fails("{" MODEL("") SPLITTER ",\"post_processor\":{\"type\":\"BertProcessing\"}}",
               "an id outside 0..3");
    json_fails(WITH(",\"truncation\":{\"max_length\":-1}"), "max_length");
    json_fails(WITH(",\"truncation\":7"), "truncation is not an object");
}

static void added_tokens_extend_the_vocabulary(void **state)
{
    (void)state;
    const char *text =
        WITH(",\"added_tokens\":[{\"id\":4,\"content\":\"New "
             "York\"},{\"id\":5,\"content\":\"<x>\",\"special\":true}],"
             "\"truncation\":{\"max_length\":128},\"padding\":{\"pad_token\":\"<x>\"}");
    kua_tokenizer *tokenizer = NULL;
    kua_ids ids = {0};
    assert_ok(kua__tokenizer_from_json("t", text, strlen(text), &tokenizer));
    assert_int_equal(kua_tokenizer_describe(tokenizer).vocab_size, 6);
    assert_int_equal(kua_tokenizer_describe(tokenizer).max_tokens, 128);
    assert_int_equal(kua_tokenizer_describe(tokenizer).pad, 5);
    assert_int_equal(kua_tokenizer_find(tokenizer, "New York", 8), 4);
    assert_int_equal(kua_tokenizer_find(tokenizer, "New", 3), KUA_TOKEN_NONE);
    assert_ok(kua_tokenizer_encode(tokenizer, "a new york<x>a", 14, 0, &ids));
    assert_int_equal(ids.n, 6);
    assert_memory_equal(ids.id, ((uint32_t[]){1, 3, 4, 5, 3, 2}), ids.n * sizeof(uint32_t));
    kua_ids_release(&ids);
    kua_tokenizer_free(tokenizer);
}

/* ---- files
 * --------------------------------------------------------------------------------------------------------
 */

static void write_text(const char *name, const char *text)
{
    test_temp_file(name, text, strlen(text));
}

static size_t vocab_size_of(const char *path)
{
    kua_tokenizer *tokenizer = NULL;
    assert_ok(kua_tokenizer_load(path, &tokenizer));
    size_t size = kua_tokenizer_describe(tokenizer).vocab_size;
    kua_tokenizer_free(tokenizer);
    return size;
}

static void files_and_folders_are_found(void **state)
{
    (void)state;
    kua_tokenizer *tokenizer = NULL;
    assert_ok(kua__make_folders(test_temp_path("m")));
    assert_fails(kua_tokenizer_load(test_temp_path("m"), &tokenizer), KUA_NOTFOUND,
                 "has neither tokenizer.json, vocab.json, vocab.txt nor a .gguf file");
    assert_fails(kua_tokenizer_load(test_temp_path("nowhere"), &tokenizer), KUA_NOTFOUND,
                 "no such file or folder");
    write_text("m/vocab.txt", TINY_VOCAB);
    assert_int_equal(vocab_size_of(test_temp_path("m")), TINY_SIZE);
    write_text("m/tokenizer_config.json", "{\"do_lower_case\": \"yes\"}");
    assert_fails(kua_tokenizer_load(test_temp_path("m"), &tokenizer), KUA_FORMAT,
                 "tokenizer_config.json: do_lower_case");
    write_text("m/tokenizer_config.json", "");
    assert_fails(kua_tokenizer_load(test_temp_path("m/vocab.txt"), &tokenizer), KUA_FORMAT,
                 "tokenizer_config.json");
    write_text("m/tokenizer.json", GOOD);
    assert_int_equal(vocab_size_of(test_temp_path("m")), 4);
    assert_int_equal(vocab_size_of(test_temp_path("m/tokenizer.json")), 4);
    write_text("m/tokenizer.json", "");
    assert_fails(kua_tokenizer_load(test_temp_path("m"), &tokenizer), KUA_FORMAT,
                 "m/tokenizer.json");
}

static void a_huge_file_is_refused(void **state)
{
    (void)state;
    size_t n = ((size_t)64 << 20) + 1;
    char *text = kua__calloc(n, 1);
    kua_tokenizer *tokenizer = NULL;
    assert_non_null(text);
    const char *path = test_temp_file("huge.json", text, n);
    assert_fails(kua_tokenizer_load(path, &tokenizer), KUA_FORMAT,
                 "has 67108865 bytes, at most 67108864");
    kua__free(text);
}

static void every_cut_of_a_file_is_an_error(void **state)
{
    (void)state;
    const char *text = GOOD;
    kua_tokenizer *tokenizer = NULL;
    assert_ok(kua__tokenizer_from_json("t", text, strlen(text), &tokenizer));
    kua_tokenizer_free(tokenizer);
    for (size_t n = 0; n < strlen(text); n++) {
        assert_fails(kua__tokenizer_from_json("t", text, n, &tokenizer), KUA_FORMAT, "");
    }
}

/* The file is parsed beforehand: jansson 2.14 does not survive all of its own failing allocations.
 */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *text = WITH(",\"added_tokens\":[{\"id\":4,\"content\":\"New "
                            "York\"},{\"id\":5,\"content\":\"[X]\",\"special\":true}]");
    json_t *root = NULL;
    assert_ok(kua__json_parse("t", text, strlen(text), &root));
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua_tokenizer *tokenizer = NULL;
        kua_ids ids = {0};
        st = kua__tokenizer_from_root("t", root, &tokenizer);
        if (!st) st = kua_tokenizer_encode(tokenizer, "a new york", 10, 0, &ids);
        kua_ids_release(&ids);
        kua_tokenizer_free(tokenizer);
    }
    json_decref(root);
}

static void every_allocation_of_a_folder_may_fail(void **state)
{
    (void)state;
    assert_ok(kua__make_folders(test_temp_path("v")));
    write_text("v/vocab.txt", TINY_VOCAB);
    write_text("v/tokenizer_config.json", "{}");
    const char *path = test_temp_path("v");
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua_tokenizer *tokenizer = NULL;
        st = kua_tokenizer_load(path, &tokenizer);
        kua_tokenizer_free(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(damaged_vocabularies_are_refused),
        cmocka_unit_test(a_vocabulary_of_too_many_lines_is_refused),
        cmocka_unit_test(a_wrong_config_is_refused),
        cmocka_unit_test(line_ends_of_windows_are_read),
        cmocka_unit_test(other_kinds_are_named),
        cmocka_unit_test(damaged_models_are_refused),
        cmocka_unit_test(damaged_added_tokens_are_refused),
        cmocka_unit_test(damaged_processors_are_refused),
        cmocka_unit_test(added_tokens_extend_the_vocabulary),
        cmocka_unit_test(files_and_folders_are_found),
        cmocka_unit_test(a_huge_file_is_refused),
        cmocka_unit_test(every_cut_of_a_file_is_an_error),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(every_allocation_of_a_folder_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

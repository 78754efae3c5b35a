/* test_kinds.c - BPE and Unigram: the same ids and the same decoded texts as the reference.
 *
 * Method: tools/record-tokenizers.py trained a small tokenizer of each kind (data/kinds) and wrote
 * down what `tokenizers` 0.23.3 makes of nasty texts (kinds.jsonl) and of 86,000 lines of the
 * public files (kinds-hashes.json: one number for 500 lines). The latter also has SmolLM2, from its
 * GGUF, and the Chinese WordPiece, which are looked for in the model cache.
 */
#include "testlib.h"

#include <string.h>

#include "base/json.h"
#include "kua/tokenizer.h"
#include "text/wordpiece.h"

static kua_tokenizer *load_kind(const char *name)
{
    char path[200];
    kua_tokenizer *tokenizer = NULL;
    snprintf(path, sizeof(path), "text/data/kinds/%s.json", name);
    assert_ok(kua_tokenizer_load(test_data(path), &tokenizer));
    return tokenizer;
}

/* ---- nasty texts ---- */

static size_t unhex(const char *hex, char *out)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;
        assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
        out[i] = (char)byte;
    }
    return n;
}

static bool same_ids(const kua_ids *ids, const json_t *expected)
{
    bool same = ids->n == json_array_size(expected);
    for (size_t i = 0; same && i < ids->n; i++)
        same = (json_int_t)ids->id[i] == json_integer_value(json_array_get(expected, i));
    return same;
}

static int check_case(const kua_tokenizer *tokenizer, const char *name, const json_t *item)
{
    const json_t *text = json_object_get(item, "text"), *decoded = json_object_get(item, "decoded");
    const char *hex = json_string_value(json_object_get(item, "hex"));
    char bytes[64];
    assert_true(json_is_string(text) || (hex && strlen(hex) / 2 <= sizeof(bytes)));
    const char *data = text ? json_string_value(text) : bytes;
    size_t n = text ? json_string_length(text) : unhex(hex, bytes);
    kua_ids ids = {0};
    kua_text_buffer back = {0};
    assert_ok(kua_tokenizer_encode(tokenizer, data, n, 0, &ids));
    bool same = same_ids(&ids, json_object_get(item, "ids"));
    assert_ok(kua_tokenizer_decode(tokenizer, ids.id, ids.n, true, &back));
    bool read = back.n == json_string_length(decoded) &&
                memcmp(back.data, json_string_value(decoded), back.n) == 0;
    if (!same || !read)
        print_message("%s: \"%.100s\": %s differ\n", name, hex ? hex : data,
                      same ? "texts" : "ids");
    kua_ids_release(&ids);
    kua_text_buffer_release(&back);
    return !same || !read;
}

static int check_kind(const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "name"));
    const json_t *cases = json_object_get(line, "cases");
    kua_tokenizer *tokenizer = load_kind(name);
    int bad = 0;
    assert_in_range(json_array_size(cases), 200, 1000);
    for (size_t i = 0; i < json_array_size(cases); i++)
        bad += check_case(tokenizer, name, json_array_get(cases, i));
    kua_tokenizer_free(tokenizer);
    return bad;
}

static void nasty_texts_give_the_recorded_ids_and_texts(void **state)
{
    (void)state;
    const char *path = test_data("text/data/kinds.jsonl");
    kua__map map;
    assert_ok(kua__map_open(&map, path));
    int bad = 0, kinds = 0;
    for (size_t at = 0; at < map.size; kinds++) {
        const char *end = memchr(map.data + at, '\n', map.size - at);
        json_t *json = NULL;
        assert_non_null(end);
        assert_ok(kua__json_parse(path, map.data + at, (size_t)(end - map.data) - at, &json));
        bad += check_kind(json);
        json_decref(json);
        at = (size_t)(end - map.data) + 1;
    }
    kua__map_close(&map);
    assert_int_equal(bad, 0);
    assert_int_equal(kinds, 10);
}

/* ---- large files ---- */

static uint64_t fnv_step(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * 0x100000001b3;
}

static uint64_t fnv_bytes(const char *data, size_t n)
{
    uint64_t hash = 0xcbf29ce484222325;
    for (size_t i = 0; i < n; i++)
        hash = fnv_step(hash, (unsigned char)data[i]);
    return hash;
}

static uint64_t hash_block(const kua_id_batch *batch, size_t first, size_t last)
{
    uint64_t hash = fnv_bytes("", 0);
    for (size_t i = first; i < last; i++) {
        hash = fnv_step(hash, batch->offset[i + 1] - batch->offset[i]);
        for (size_t k = batch->offset[i]; k < batch->offset[i + 1]; k++)
            hash = fnv_step(hash, batch->ids.id[k]);
    }
    return hash;
}

static kua_text *split_lines(const kua__map *map, size_t *n)
{
    kua_text *lines = NULL;
    size_t room = 0, at = 0;
    for (*n = 0; at < map->size;) {
        const char *end = memchr(map->data + at, '\n', map->size - at);
        size_t length = end ? (size_t)(end - map->data) - at : map->size - at;
        assert_ok(KUA__GROW(&lines, &room, *n, "lines"));
        lines[(*n)++] = (kua_text){map->data + at, length};
        at += length + 1;
    }
    return lines;
}

static int check_blocks(const char *what, const kua_id_batch *batch, const json_t *set,
                        size_t block)
{
    const json_t *blocks = json_object_get(set, "blocks");
    int bad = 0;
    for (size_t i = 0; i * block < batch->n; i++) {
        size_t first = i * block, last = KUA__MIN(batch->n, first + block);
        const char *hex = json_string_value(json_array_get(blocks, i));
        assert_non_null(hex);
        if (hash_block(batch, first, last) == strtoull(hex, NULL, 16)) continue;
        if (!bad++) print_message("%s: ids differ in lines %zu..%zu\n", what, first + 1, last);
    }
    return bad;
}

/* Returns the number of blocks that differ; *lines grows by what was compared. */
static int check_file(const char *name, const kua_tokenizer *tokenizer, const json_t *set,
                      size_t block, size_t *lines)
{
    const char *path = test_shared_data(json_string_value(json_object_get(set, "file")));
    const char *content = json_string_value(json_object_get(set, "content"));
    kua__map map;
    if (!path) return 0;
    assert_ok(kua__map_open(&map, path));
    int bad = 0;
    if (fnv_bytes(map.data, map.size) != strtoull(content, NULL, 16)) {
        print_message("skipped: %s is not the file that was recorded\n", path);
    } else {
        size_t n = 0;
        kua_text *texts = split_lines(&map, &n);
        kua_id_batch batch = {0};
        assert_ok(kua_tokenizer_encode_batch(tokenizer, texts, n, 0, &batch));
        bad = check_blocks(name, &batch, set, block);
        *lines += n;
        kua_id_batch_release(&batch);
        kua__free(texts);
    }
    kua__map_close(&map);
    return bad;
}

/* A small tokenizer of the repository, or a real one of the model cache; NULL: not there. */
static kua_tokenizer *find_tokenizer(const char *name)
{
    char small[200], path[4096];
    kua_tokenizer *tokenizer = NULL;
    snprintf(small, sizeof(small), "text/data/kinds/%s.json", name);
    if (kua__exists(test_data(small))) return load_kind(name);
    const char *cache = getenv("KUA_CACHE"), *home = getenv("HOME");
    if (cache && *cache)
        snprintf(path, sizeof(path), "%s/models/%s", cache, name);
    else
        snprintf(path, sizeof(path), "%s/.cache/kua/models/%s", home ? home : "", name);
    if (!kua__exists(path)) {
        print_message("skipped: %s is not there (kua model get %s)\n", path, name);
        return NULL;
    }
    assert_ok(kua_tokenizer_load(path, &tokenizer));
    return tokenizer;
}

static void large_files_give_the_recorded_ids(void **state)
{
    (void)state;
    json_t *recorded = NULL;
    assert_ok(kua__json_load(test_data("text/data/kinds-hashes.json"), &recorded));
    const json_t *list = json_object_get(recorded, "tokenizers");
    size_t block = (size_t)json_integer_value(json_object_get(recorded, "block_lines")), lines = 0;
    int bad = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i), *sets = json_object_get(item, "sets");
        const char *name = json_string_value(json_object_get(item, "name"));
        kua_tokenizer *tokenizer = find_tokenizer(name);
        for (size_t k = 0; tokenizer && k < json_array_size(sets); k++)
            bad += check_file(name, tokenizer, json_array_get(sets, k), block, &lines);
        kua_tokenizer_free(tokenizer);
    }
    print_message("compared %zu lines\n", lines);
    json_decref(recorded);
    assert_int_equal(bad, 0);
    if (lines == 0) skip();
}

/* ---- what holds for every kind ---- */

static const char *const kinds[] = {"roberta", "smollm",  "few-bytes",     "llama3", "qwen2",
                                    "llama2",  "unigram", "unigram-bytes", "xlmr",   "albert"};

/* Byte-level pieces lose nothing. */
static void bytes_come_back(void **state)
{
    (void)state;
    static const char text[] =
        "Caf\xc3\xa9  \xe4\xb8\xad\xe6\x96\x87\t12345 \xf0\x9f\x91\x8d\n\n it's\0x";
    kua_tokenizer *tokenizer = load_kind("smollm");
    kua_ids ids = {0};
    kua_text_buffer back = {0};
    assert_ok(kua_tokenizer_encode(tokenizer, text, sizeof(text) - 1, 0, &ids));
    assert_ok(kua_tokenizer_decode(tokenizer, ids.id, ids.n, true, &back));
    assert_int_equal(back.n, sizeof(text) - 1);
    assert_memory_equal(back.data, text, back.n);
    for (size_t i = 0; i < ids.n; i++) /* any part is UTF-8, cut characters as U+FFFD */
        for (size_t n = 1; i + n <= ids.n; n++) {
            assert_ok(kua_tokenizer_decode(tokenizer, ids.id + i, n, true, &back));
            assert_int_equal(kua__utf8_valid(back.data, back.n), back.n);
        }
    kua_ids_release(&ids);
    kua_text_buffer_release(&back);
    kua_tokenizer_free(tokenizer);
}

static void a_limit_cuts_the_end(void **state)
{
    (void)state;
    static const char text[] =
        "wireless headphones with 12345 hours <mask> \xe4\xb8\xad\xe6\x96\x87";
    for (size_t k = 0; k < KUA__COUNT(kinds); k++) {
        kua_tokenizer *tokenizer = load_kind(kinds[k]);
        size_t special = kua_tokenizer_describe(tokenizer).special_per_text;
        size_t behind = tokenizer->around.n_behind;
        kua_ids all = {0}, cut = {0};
        assert_ok(kua_tokenizer_encode(tokenizer, text, sizeof(text) - 1, 0, &all));
        for (size_t limit = KUA__MAX(special, 1); limit <= all.n + 1; limit++) {
            assert_ok(kua_tokenizer_encode(tokenizer, text, sizeof(text) - 1, limit, &cut));
            assert_int_equal(cut.n, KUA__MIN(limit, all.n));
            assert_memory_equal(cut.id, all.id, (cut.n - behind) * sizeof(uint32_t));
        }
        kua_ids_release(&all);
        kua_ids_release(&cut);
        kua_tokenizer_free(tokenizer);
    }
}

/* No text, and a megabyte: of one letter, of blanks, without a blank, of broken bytes. */
static void lengths_at_both_ends(void **state)
{
    (void)state;
    enum { MEGABYTE = 1 << 20 };
    char *text = kua__malloc(MEGABYTE);
    assert_non_null(text);
    for (size_t k = 0; k < KUA__COUNT(kinds); k++) {
        kua_tokenizer *tokenizer = load_kind(kinds[k]);
        kua_ids ids = {0};
        assert_ok(kua_tokenizer_encode(tokenizer, NULL, 0, 0, &ids));
        assert_int_equal(ids.n, kua_tokenizer_describe(tokenizer).special_per_text);
        for (int kind = 0; kind < 4; kind++) {
            for (size_t i = 0; i < MEGABYTE; i++)
                text[i] = kind == 0   ? 'a'
                          : kind == 1 ? ' '
                          : kind == 2 ? "etaoin"[i * i % 6]
                                      : '\xf0';
            double start = kua__seconds();
            assert_ok(kua_tokenizer_encode(tokenizer, text, MEGABYTE, 0, &ids));
            assert_true(kua__seconds() - start < 60); /* nothing is quadratic */
        }
        kua_ids_release(&ids);
        kua_tokenizer_free(tokenizer);
    }
    kua__free(text);
}

static void a_batch_gives_what_each_text_gives(void **state)
{
    (void)state;
    static const char *const words[] = {"wireless", " red ", "", "\xe4\xb8\xad\xe6\x96\x87",
                                        "<mask>x",  "12345"};
    kua_text texts[300];
    for (size_t i = 0; i < KUA__COUNT(texts); i++) {
        const char *word = words[(i * 7 + i / 6) % KUA__COUNT(words)];
        texts[i] = (kua_text){*word ? word : NULL, strlen(word)};
    }
    for (size_t k = 0; k < KUA__COUNT(kinds); k++) {
        kua_tokenizer *tokenizer = load_kind(kinds[k]);
        kua_id_batch batch = {0};
        kua_ids ids = {0};
        for (int again = 0; again < 2; again++)
            assert_ok(kua_tokenizer_encode_batch(tokenizer, texts, KUA__COUNT(texts), 6, &batch));
        for (size_t i = 0; i < KUA__COUNT(texts); i++) {
            assert_ok(kua_tokenizer_encode(tokenizer, texts[i].data, texts[i].n, 6, &ids));
            assert_int_equal(batch.offset[i + 1] - batch.offset[i], ids.n);
            if (ids.n)
                assert_memory_equal(batch.ids.id + batch.offset[i], ids.id,
                                    ids.n * sizeof(uint32_t));
        }
        kua_ids_release(&ids);
        kua_id_batch_release(&batch);
        kua_tokenizer_free(tokenizer);
    }
}

static void unknown_ids_are_refused(void **state)
{
    (void)state;
    kua_tokenizer *tokenizer = load_kind("smollm");
    kua_text_buffer text = {0};
    assert_fails(kua_tokenizer_decode(tokenizer, (uint32_t[]){5, 900}, 2, true, &text), KUA_INVALID,
                 "id 1 is 900, expected 0..899");
    assert_int_equal(text.n, 0);
    kua_text_buffer_release(&text);
    kua_tokenizer_free(tokenizer);
}

static void every_allocation_of_a_text_may_fail(void **state)
{
    (void)state;
    static const char text[] =
        "a red <mask> caf\xc3\xa9 wireless headphones of forty and more letters "
        "pneumonoultramicroscopicsilicovolcanoconiosis\xff";
    static const char *const some[] = {"roberta", "llama2", "albert", "xlmr"};
    for (size_t k = 0; k < KUA__COUNT(some); k++) {
        kua_tokenizer *tokenizer = load_kind(some[k]);
        kua_status st;
        TEST_EVERY_ALLOCATION(st)
        {
            kua_ids ids = {0};
            kua_id_batch batch = {0};
            kua_text_buffer back = {0};
            st = kua_tokenizer_encode(tokenizer, text, sizeof(text) - 1, 0, &ids);
            if (!st) st = kua_tokenizer_decode(tokenizer, ids.id, ids.n, false, &back);
            if (!st)
                st = kua_tokenizer_encode_batch(tokenizer, &(kua_text){text, sizeof(text) - 1}, 1,
                                                0, &batch);
            kua_ids_release(&ids);
            kua_id_batch_release(&batch);
            kua_text_buffer_release(&back);
            while (tokenizer->pipeline->pool.first) { /* the next round begins with nothing */
                kua__pool_release(&tokenizer->pipeline->pool);
                kua__pool_init(&tokenizer->pipeline->pool);
            }
        }
        kua_tokenizer_free(tokenizer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nasty_texts_give_the_recorded_ids_and_texts),
        cmocka_unit_test(large_files_give_the_recorded_ids),
        cmocka_unit_test(bytes_come_back),
        cmocka_unit_test(a_limit_cuts_the_end),
        cmocka_unit_test(lengths_at_both_ends),
        cmocka_unit_test(a_batch_gives_what_each_text_gives),
        cmocka_unit_test(unknown_ids_are_refused),
        cmocka_unit_test(every_allocation_of_a_text_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

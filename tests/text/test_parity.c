/* test_parity.c - the same ids as the reference tokenizer.
 *
 * Method: tools/record-tokens.py wrote down what `tokenizers` 0.23.3 says. variants.jsonl holds
 * whole small tokenizers, so it needs nothing else; nasty.jsonl needs the model; hashes.json needs
 * the large public files and has one number for 500 lines, so that all 292,260 lines are checked
 * without one of them being in the repository. A block that differs is named, and this says where:
 *
 *     kua tokenize --model MODEL < FILE | python3 tools/record-tokens.py compare MODEL FILE
 */
#include "testlib.h"

#include <string.h>

#include "base/json.h"
#include "kua/tokenizer.h"
#include "text/wordpiece.h"

/* ---- recorded texts
 * -----------------------------------------------------------------------------------------------
 */

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
    if (ids->n != json_array_size(expected)) return false;
    for (size_t i = 0; i < ids->n; i++) {
        if ((json_int_t)ids->id[i] != json_integer_value(json_array_get(expected, i))) return false;
    }
    return true;
}

static void print_ids(const char *what, const kua_ids *ids, const json_t *expected)
{
    char *text = json_dumps(expected, JSON_COMPACT);
    print_message("%s\n  expected %s\n  got     ", what, text);
    for (size_t i = 0; i < ids->n; i++)
        print_message(" %u", ids->id[i]);
    print_message("\n");
    kua__free(text);
}

/* {"text": .. or "hex": .., "ids": [..]}; returns 1 where the ids differ. */
static int check_case(const kua_tokenizer *tokenizer, const char *name, const json_t *item)
{
    const json_t *text = json_object_get(item, "text");
    char bytes[64];
    const char *hex = json_string_value(json_object_get(item, "hex"));
    assert_true(json_is_string(text) || (hex && strlen(hex) / 2 <= sizeof(bytes)));
    const char *data = text ? json_string_value(text) : bytes;
    size_t n = text ? json_string_length(text) : unhex(hex, bytes);
    kua_ids ids = {0};
    assert_ok(kua_tokenizer_encode(tokenizer, data, n, 0, &ids));
    bool same = same_ids(&ids, json_object_get(item, "ids"));
    if (!same) {
        char what[300];
        snprintf(what, sizeof(what), "%s: \"%.200s\"", name, hex ? hex : data);
        print_ids(what, &ids, json_object_get(item, "ids"));
    }
    kua_ids_release(&ids);
    return !same;
}

/* Calls check for every line of a JSON Lines file; returns the sum of what it says. */
static int for_each_line(const char *path, int (*check)(const json_t *line, void *ctx), void *ctx,
                         size_t *lines)
{
    kua__map map;
    assert_ok(kua__map_open(&map, path));
    int sum = 0;
    *lines = 0;
    for (size_t at = 0; at < map.size; ++*lines) {
        const char *end = memchr(map.data + at, '\n', map.size - at);
        assert_non_null(end);
        json_t *json = NULL;
        assert_ok(kua__json_parse(path, map.data + at, (size_t)(end - map.data) - at, &json));
        sum += check(json, ctx);
        json_decref(json);
        at = (size_t)(end - map.data) + 1;
    }
    kua__map_close(&map);
    return sum;
}

static int check_variant(const json_t *variant, void *ctx)
{
    (void)ctx;
    const char *name = json_string_value(json_object_get(variant, "name"));
    char *text = json_dumps(json_object_get(variant, "tokenizer"), JSON_COMPACT);
    kua_tokenizer *tokenizer = NULL;
    assert_ok(kua__tokenizer_from_json(name, text, strlen(text), &tokenizer));
    const json_t *cases = json_object_get(variant, "cases");
    assert_true(json_array_size(cases) >= 30);
    int bad = 0;
    for (size_t i = 0; i < json_array_size(cases); i++)
        bad += check_case(tokenizer, name, json_array_get(cases, i));
    kua_tokenizer_free(tokenizer);
    kua__free(text);
    return bad;
}

static void every_option_gives_the_recorded_ids(void **state)
{
    (void)state;
    size_t variants = 0;
    assert_int_equal(
        for_each_line(test_data("text/data/variants.jsonl"), check_variant, NULL, &variants), 0);
    assert_in_range(variants, 15, 100);
}

static int check_nasty(const json_t *line, void *ctx)
{
    return check_case(ctx, "nasty", line);
}

static void check_nasty_texts(const char *model)
{
    kua_tokenizer *tokenizer = NULL;
    size_t lines = 0;
    assert_ok(kua_tokenizer_load(model, &tokenizer));
    assert_int_equal(
        for_each_line(test_data("text/data/nasty.jsonl"), check_nasty, tokenizer, &lines), 0);
    assert_in_range(lines, 380, 1000);
    kua_tokenizer_free(tokenizer);
}

static void nasty_texts_give_the_recorded_ids(void **state)
{
    (void)state;
    const char *model = test_model_dir();
    if (!model) skip();
    check_nasty_texts(model);
}

/* The model's vocab.txt, which comes with its own reader and defaults. */
static void vocab_txt_gives_the_same_ids(void **state)
{
    (void)state;
    const char *model = test_model_dir();
    if (!model) skip();
    char path[4096];
    snprintf(path, sizeof(path), "%s/vocab.txt", model);
    if (!kua__exists(path)) skip();
    check_nasty_texts(path);
}

/* ---- large files
 * --------------------------------------------------------------------------------------------------
 */

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

static uint64_t hash_of(const char *hex)
{
    assert_non_null(hex);
    return strtoull(hex, NULL, 16);
}

/* Splits at line breaks. Free with kua__free. */
static kua_text *split(const kua__map *map, size_t *n)
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

static int check_blocks(const char *path, const kua_id_batch *batch, const json_t *set,
                        size_t block)
{
    const json_t *blocks = json_object_get(set, "blocks");
    int bad = 0;
    for (size_t i = 0; i * block < batch->n; i++) {
        size_t first = i * block, last = KUA__MIN(batch->n, first + block);
        if (hash_block(batch, first, last) == hash_of(json_string_value(json_array_get(blocks, i))))
            continue;
        if (!bad++)
            print_message("%s: ids differ somewhere in lines %zu..%zu\n", path, first + 1, last);
    }
    return bad;
}

/* Returns the number of blocks that differ; *lines grows by what was compared. */
static int check_file(const kua_tokenizer *tokenizer, const char *path, const json_t *set,
                      size_t block, size_t *lines)
{
    kua__map map;
    assert_ok(kua__map_open(&map, path));
    int bad = 0;
    if (fnv_bytes(map.data, map.size) !=
        hash_of(json_string_value(json_object_get(set, "content")))) {
        print_message("skipped: %s is not the file that was recorded\n", path);
    } else {
        size_t n = 0;
        kua_text *texts = split(&map, &n);
        kua_id_batch batch = {0};
        assert_int_equal(n, json_integer_value(json_object_get(set, "lines")));
        assert_ok(kua_tokenizer_encode_batch(tokenizer, texts, n, 0, &batch));
        bad = check_blocks(path, &batch, set, block);
        *lines += n;
        kua_id_batch_release(&batch);
        kua__free(texts);
    }
    kua__map_close(&map);
    return bad;
}

/* The demo's catalogue, where it has been fetched; else one of the public data sets. */
static const char *path_of_set(const json_t *set)
{
    const char *file = json_string_value(json_object_get(set, "file"));
    if (!kua__streq(file, "catalogue")) return test_shared_data(file);
    static char path[4096];
    const char *cache = getenv("KUA_CACHE"), *home = getenv("HOME"),
               *given = getenv("KUA_CATALOGUE");
    if (given && *given)
        snprintf(path, sizeof(path), "%s", given);
    else if (cache && *cache)
        snprintf(path, sizeof(path), "%s/data/completejourney/items.tsv", cache);
    else
        snprintf(path, sizeof(path), "%s/.cache/kua/data/completejourney/items.tsv",
                 home ? home : "");
    if (kua__exists(path)) return path;
    print_message("skipped: %s is not there (`make demo` makes it, or set KUA_CATALOGUE)\n", path);
    return NULL;
}

static void large_files_give_the_recorded_ids(void **state)
{
    (void)state;
    const char *model = test_model_dir();
    if (!model) skip();
    kua_tokenizer *tokenizer = NULL;
    json_t *recorded = NULL;
    assert_ok(kua_tokenizer_load(model, &tokenizer));
    assert_ok(kua__json_load(test_data("text/data/hashes.json"), &recorded));
    const json_t *sets = json_object_get(recorded, "sets");
    size_t block = (size_t)json_integer_value(json_object_get(recorded, "block_lines")), lines = 0;
    int bad = 0;
    for (size_t i = 0; i < json_array_size(sets); i++) {
        const json_t *set = json_array_get(sets, i);
        const char *path = path_of_set(set);
        if (path) bad += check_file(tokenizer, path, set, block, &lines);
    }
    print_message("compared %zu lines\n", lines);
    json_decref(recorded);
    kua_tokenizer_free(tokenizer);
    assert_int_equal(bad, 0);
    if (lines == 0) skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_gives_the_recorded_ids),
        cmocka_unit_test(nasty_texts_give_the_recorded_ids),
        cmocka_unit_test(vocab_txt_gives_the_same_ids),
        cmocka_unit_test(large_files_give_the_recorded_ids),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_weights.c - weights of any format behind one interface: which file a path means, models in
 * several files, and what is wrong with those that are not whole. */
#include "testlib.h"

#include <string.h>
#include <sys/stat.h>

#include "tensor/safetensors.h"
#include "tensor/weights.h"
#include "tensor/weights_index.h"

static void copy_to(const char *from, const char *to)
{
    kua__map map;
    assert_ok(kua__map_open(&map, test_data(from)));
    assert_ok(kua__write_file(test_temp_path(to), map.data, map.size));
    kua__map_close(&map);
}

static void formats_are_known_by_their_bytes(void **state)
{
    (void)state;
    static const struct {
        const char *from, *name, *format;
    } cases[] = {{"tensor/data/blocks.gguf", "a.bin", "gguf"},
                 {"tensor/data/blocks.safetensors", "b.bin", "safetensors"},
                 {"tensor/data/layers.onnx", "c.bin", "onnx"}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        kua__weights *w = NULL;
        copy_to(cases[i].from, cases[i].name);
        assert_ok(kua__weights_open(test_temp_path(cases[i].name), &w));
        assert_string_equal(kua__weights_format(w), cases[i].format);
        assert_int_equal(kua__weights_files(w), 1);
        assert_true(kua__weights_bytes(w) > 1000);
        assert_true((kua__weights_gguf(w) != NULL) == (i == 0));
        assert_true((kua__weights_onnx(w) != NULL) == (i == 2));
        for (size_t k = 0; k < kua__weights_count(w); k++) {
            const kua__tensor *t = kua__weights_at(w, k), *same = NULL;
            assert_ptr_equal(kua__weights_find(w, t->name), t);
            assert_ok(kua__weights_need(w, t->name, t->rank, t->dim, &same));
            assert_ptr_equal(same, t);
        }
        kua__weights_close(w);
    }
}

static void folders_are_searched(void **state)
{
    (void)state;
    kua__weights *w = NULL;
    char *file = NULL;
    assert_ok(kua__make_folders(test_temp_path("folder")));
    assert_fails(kua__weights_open(test_temp_path("folder"), &w), KUA_NOTFOUND,
                 "holds no model.safetensors");
    copy_to("tensor/data/layers.onnx", "folder/any.onnx");
    assert_ok(kua__weights_open(test_temp_path("folder"), &w));
    assert_string_equal(kua__weights_format(w), "onnx");
    kua__weights_close(w);
    copy_to("tensor/data/blocks.gguf", "folder/any.gguf");
    assert_ok(kua__weights_locate(test_temp_path("folder"), &file));
    assert_true(kua__has_suffix(file, "folder/any.gguf"));
    kua__free(file);
    copy_to("tensor/data/blocks.gguf", "folder/other.gguf");
    assert_fails(kua__weights_open(test_temp_path("folder"), &w), KUA_NOTFOUND,
                 "name the file that is meant");
    copy_to("tensor/data/blocks.safetensors", "folder/model.safetensors");
    assert_ok(kua__weights_open(test_temp_path("folder"), &w));
    assert_string_equal(kua__weights_path(w), test_temp_path("folder/model.safetensors"));
    kua__weights_close(w);
    assert_fails(kua__weights_open(test_temp_path("nowhere"), &w), KUA_NOTFOUND, "no such file");
    assert_null(w);
}

static void other_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *data;
        size_t n;
        const char *says;
    } cases[] = {{"x.txt", "hello", 5, "5 bytes that are no safetensors, GGUF or ONNX file"},
                 {"empty", "", 0, "0 bytes that are no"},
                 {"x.safetensors", "hello", 5, "has at least 8"},
                 {"x.gguf", "hello", 5, "does not begin with \"GGUF\""},
                 {"x.onnx", "hello", 5, "byte "},
                 {"x.bin", "PK\003\004....", 8, "a pickle of PyTorch"},
                 {"x.safetensors.index.json", "{}", 2, "weight_map is missing"}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        kua__weights *w = NULL;
        const char *path = test_temp_file(cases[i].name, cases[i].data, cases[i].n);
        assert_fails(kua__weights_open(path, &w), KUA_FORMAT, cases[i].says);
        assert_null(w);
    }
}

static void a_part_of_a_gguf_model_is_refused(void **state)
{
    (void)state;
    kua__weights *w = NULL;
    assert_fails(kua__weights_open(test_data("../fuzz/corpus/gguf/split"), &w), KUA_FORMAT,
                 "one of 3 parts of a model");
    assert_null(w);
}

/* ---- several files ---- */

static void a_model_in_two_files_is_one(void **state)
{
    (void)state;
    kua__weights *w = NULL;
    const kua__tensor *t = NULL;
    float out[6];
    assert_ok(kua__weights_open(test_data("tensor/data/sharded"), &w));
    assert_string_equal(kua__weights_format(w), "safetensors");
    assert_int_equal(kua__weights_files(w), 2);
    assert_int_equal(kua__weights_count(w), 3); /* "extra" is in a file, but not in the index */
    assert_null(kua__weights_find(w, "extra"));
    assert_ok(kua__weights_need(w, "a.weight", 2, (size_t[]){2, 3}, &t));
    kua__tensor_matrix_f32(t, 2, 3, out);
    assert_true(out[5] == 5);
    assert_ok(kua__weights_need(w, "b.weight", 2, (size_t[]){1, 2}, &t));
    assert_fails(kua__weights_need(w, "b.weight", 1, (size_t[]){2}, &t), KUA_SHAPE,
                 "tensor \"b.weight\" is [1,2], expected [2]");
    assert_fails(kua__weights_need(w, "c.weight", 1, (size_t[]){2}, &t), KUA_NOTFOUND,
                 "no tensor \"c.weight\"");
    assert_string_equal(kua__weights_meta(w, "format"), "pt");
    assert_string_equal(kua__weights_meta(w, "only"), "here");
    assert_null(kua__weights_meta(w, "none"));
    const char *key = NULL;
    assert_string_equal(kua__weights_meta_at(w, 0, &key), "pt");
    assert_string_equal(key, "format");
    assert_null(kua__weights_meta_at(w, 1, &key));
    assert_null(key);
    kua__weights_close(w);
}

#define FIRST  "model-00001-of-00002.safetensors"
#define SECOND "model-00002-of-00002.safetensors"
#define INDEX  "model.safetensors.index.json"

static void what_is_missing_of_several_files_is_named(void **state)
{
    (void)state;
    static const char more[] = "{\"weight_map\": {\"a.weight\": \"" FIRST "\", \"a.bias\": \"" FIRST
                               "\", \"b.weight\": \"" SECOND "\", \"lost.x\": \"" SECOND
                               "\", \"lost.y\": \"" SECOND "\"}}";
    kua__weights *w = NULL;
    assert_ok(kua__make_folders(test_temp_path("parts")));
    copy_to("tensor/data/sharded/" INDEX, "parts/" INDEX);
    copy_to("tensor/data/sharded/" FIRST, "parts/" FIRST);
    assert_fails(kua__weights_open(test_temp_path("parts"), &w), KUA_NOTFOUND,
                 SECOND " is missing, with 1 of the model's 3 tensors");
    copy_to("tensor/data/sharded/" SECOND, "parts/" SECOND);
    assert_ok(kua__weights_open(test_temp_path("parts/" INDEX), &w));
    kua__weights_close(w);
    test_temp_file("parts/" INDEX, more, strlen(more));
    assert_fails(kua__weights_open(test_temp_path("parts"), &w), KUA_FORMAT,
                 SECOND " lacks 2 of the 3 tensors that it should hold: \"lost.x\", ...");
    test_temp_file("parts/" SECOND, "cut", 3);
    assert_fails(kua__weights_open(test_temp_path("parts"), &w), KUA_FORMAT, SECOND);
    assert_null(w);
}

static void lies_of_an_index_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *says; /* NULL: loads */
    } cases[] = {
        {"one", NULL},
        {"two", NULL},
        {"no-map", "weight_map is missing or not a JSON object"},
        {"list", "weight_map is missing"},
        {"map-list", "weight_map is missing or not"},
        {"empty-map", "0 tensors in weight_map"},
        {"number", "tensor \"a\": its file is not a text"},
        {"up", "its file is \"../m.safetensors\", expected the name of a .safetensors file"},
        {"root", "its file is \"/etc/passwd\""},
        {"hidden", "its file is \".safetensors\""},
        {"other", "its file is \"m.bin\""},
        {"nameless", "the name has 0 bytes"},
        {"long", "the name has 300 bytes"},
        {"twice", ""},
        {"cut", ""},
        {"many", "more than 1024 files"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char path[256];
        snprintf(path, sizeof(path), "../fuzz/corpus/weights_index/%s", cases[i].file);
        kua__map map;
        kua__weights_index index;
        assert_ok(kua__map_open(&map, test_data(path)));
        kua_status st = kua__weights_index_parse(path, map.data, map.size, &index);
        if (cases[i].says) {
            assert_fails(st, KUA_FORMAT, cases[i].says);
        } else {
            assert_ok(st);
            assert_int_equal(index.n, i + 1);
            assert_int_equal(kua__weights_index_find(&index, "m-1.safetensors"), 0);
            assert_int_equal(index.tensors[0], i + 1);
            assert_int_equal(kua__weights_index_find(&index, "m-3.safetensors"), index.n);
            kua__weights_index_release(&index);
        }
        kua__map_close(&map);
    }
}

/* ---- memory ---- */

static void every_allocation_fails_once(void **state)
{
    (void)state;
    static const char *const path[] = {"tensor/data/sharded", "tensor/data/blocks.gguf",
                                       "tensor/data/layers.onnx"};
    kua_status st;
    assert_ok(kua__make_folders(test_temp_path("torture")));
    copy_to("tensor/data/layers.onnx", "torture/any.onnx");
    for (size_t i = 0; i <= KUA__COUNT(path); i++) {
        const char *at = i < KUA__COUNT(path) ? test_data(path[i]) : test_temp_path("torture");
        TEST_EVERY_ALLOCATION(st)
        {
            kua__weights *w = NULL;
            st = kua__weights_open(at, &w);
            kua__weights_close(w);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_are_known_by_their_bytes),
        cmocka_unit_test(folders_are_searched),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(a_part_of_a_gguf_model_is_refused),
        cmocka_unit_test(a_model_in_two_files_is_one),
        cmocka_unit_test(what_is_missing_of_several_files_is_named),
        cmocka_unit_test(lies_of_an_index_are_named),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

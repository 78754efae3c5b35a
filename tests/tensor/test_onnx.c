/* test_onnx.c - ONNX files: every encoding of numbers, every way to a name, and files that lie.
 *
 * layers.onnx was written by the format's own package; layers.safetensors has what torch would call
 * its weights, in torch's shapes (tools/record-weights.py). The lies are files of fuzz/corpus/onnx,
 * with the message each must give.
 */
#include "testlib.h"

#include <string.h>

#include "tensor/onnx.h"
#include "tensor/safetensors.h"

typedef struct opened {
    kua__map map;
    kua__onnx *file;
} opened;

static opened open_file(const char *path)
{
    opened o = {0};
    assert_ok(kua__map_open(&o.map, path));
    assert_ok(kua__onnx_parse(path, o.map.data, o.map.size, &o.file));
    return o;
}

static void close_file(opened *o)
{
    kua__onnx_close(o->file);
    kua__map_close(&o->map);
}

static const kua__tensor *find(const kua__onnx *file, const char *name)
{
    for (size_t i = 0; i < kua__onnx_count(file); i++) {
        if (kua__streq(kua__onnx_at(file, i)->name, name)) return kua__onnx_at(file, i);
    }
    return NULL;
}

static void weights_have_the_names_and_shapes_of_torch(void **state)
{
    (void)state;
    opened o = open_file(test_data("tensor/data/layers.onnx"));
    kua__safetensors *expected = NULL;
    assert_ok(kua__safetensors_open(test_data("tensor/data/layers.safetensors"), &expected));
    assert_int_equal(kua__onnx_count(o.file), kua__safetensors_count(expected));
    for (size_t i = 0; i < kua__safetensors_count(expected); i++) {
        const kua__tensor *want = kua__safetensors_at(expected, i);
        const kua__tensor *got = find(o.file, want->name);
        float out[64];
        assert_non_null(got);
        assert_int_equal(got->rank, want->rank);
        assert_memory_equal(got->dim, want->dim, want->rank * sizeof(size_t));
        size_t cols = want->dim[want->rank - 1];
        kua__tensor_matrix_f32(got, want->count / cols, cols, out);
        assert_memory_equal(out, kua__tensor_f32(want), want->count * sizeof(float));
    }
    assert_true(find(o.file, "layer.0.query.weight")->turned);
    assert_false(find(o.file, "head.weight")->turned);
    assert_ptr_equal(find(o.file, "shared.a.weight")->data, find(o.file, "shared.b.weight")->data);
    assert_int_equal(kua__onnx_opset(o.file), 11);
    assert_string_equal(kua__onnx_producer(o.file), "kua-test");
    kua__safetensors_close(expected);
    close_file(&o);
}

static void a_turned_tensor_is_read_as_it_lies_or_as_torch_has_it(void **state)
{
    (void)state;
    enum { IN = 130, OUT = 70 };
    static float lies[IN * OUT], out[IN * OUT];
    for (int i = 0; i < IN * OUT; i++)
        lies[i] = (float)i;
    kua__tensor t = {"w", KUA__F32, 2, {OUT, IN}, IN * OUT, sizeof(lies), lies, true};
    kua__tensor_to_f32(&t, 3, 5, out);
    assert_memory_equal(out, lies + 3, 5 * sizeof(float));
    kua__tensor_matrix_f32(&t, OUT, IN, out);
    for (int r = 0; r < OUT; r++) {
        for (int c = 0; c < IN; c++)
            assert_true(out[r * IN + c] == lies[c * OUT + r]);
    }
    assert_null(kua__tensor_f32(&t));
}

static void lies_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *says; /* NULL: loads */
    } cases[] = {
        {"layers", NULL},
        {"one", NULL},
        {"matmul", NULL},
        {"unpacked", NULL},
        {"none", NULL},
        {"no-graph", "holds no graph"},
        {"two-graphs", "holds two graphs"},
        {"cut", "field 7 needs 19 bytes, 16 are left"},
        {"length", "field 7 needs 1099511627776 bytes, 0 are left"},
        {"endless", "a number of more than 10 bytes"},
        {"group", "field 9 has wire type 3"},
        {"field-0", "field number 0"},
        {"twice", "tensor \"w\" is there twice"},
        {"nameless", "a name of 0 bytes"},
        {"name-bytes", "a name of 1 bytes, expected 1..255 in UTF-8"},
        {"name-long", "a name of 300 bytes"},
        {"rank", "tensor \"w\": shape has more than 8 dimensions"},
        {"negative", "dimension 0 of the shape is -2"},
        {"overflow", "the product of the shape [1099511627776,1099511627776] overflows"},
        {"type-0", "data_type is 0, known are 1..26"},
        {"type-99", "data_type is 99, known are 1..26"},
        {"raw-short", "raw_data has 7 bytes, [2] of F32 needs 8"},
        {"list-short", "1 numbers of F32, the shape [2] needs 2"},
        {"list-odd", "float_data has 7 bytes, no multiple of 4"},
        {"list-cut", "a number of more than 10 bytes"},
        {"absent", "0 numbers of F32, the shape [1073741824] needs 1073741824"},
        {"external", "tensor \"w\": its numbers are in another file"},
        {"segment", "tensor \"w\": is a segment"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char path[256];
        snprintf(path, sizeof(path), "../fuzz/corpus/onnx/%s", cases[i].file);
        kua__map map;
        kua__onnx *file = NULL;
        assert_ok(kua__map_open(&map, test_data(path)));
        kua_status st = kua__onnx_parse(path, map.data, map.size, &file);
        if (cases[i].says)
            assert_fails(st, KUA_FORMAT, cases[i].says);
        else
            assert_ok(st);
        kua__onnx_close(file);
        kua__map_close(&map);
    }
    kua__onnx_close(NULL);
}

static void every_cut_is_noticed(void **state)
{
    (void)state;
    kua__map map;
    assert_ok(kua__map_open(&map, test_data("tensor/data/layers.onnx")));
    size_t whole = 0;
    for (size_t n = 0; n < map.size; n++) {
        kua__onnx *file = NULL;
        kua_status st = kua__onnx_parse("cut", map.data, n, &file);
        assert_true(st == KUA_OK || st == KUA_FORMAT);
        whole += st == KUA_OK; /* where only the fields behind the graph are lost */
        kua__onnx_close(file);
    }
    assert_in_range(whole, 0, 2);
    kua__map_close(&map);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    kua__map map;
    assert_ok(kua__map_open(&map, test_data("tensor/data/layers.onnx")));
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__onnx *file = NULL;
        st = kua__onnx_parse("torture", map.data, map.size, &file);
        kua__onnx_close(file);
    }
    kua__map_close(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_have_the_names_and_shapes_of_torch),
        cmocka_unit_test(a_turned_tensor_is_read_as_it_lies_or_as_torch_has_it),
        cmocka_unit_test(lies_are_named),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

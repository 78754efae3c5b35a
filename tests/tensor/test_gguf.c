/* test_gguf.c - GGUF files: settings of every type, numbers of every quantised type, and files that
 * lie.
 *
 * blocks.gguf was written, and its blocks turned into floats, by the format's own package
 * (tools/record-weights.py): ours must be the same to the bit. The lies are files of
 * fuzz/corpus/gguf, with the message each must give.
 */
#include "testlib.h"

#include <stdlib.h>
#include <string.h>

#include "tensor/gguf.h"
#include "tensor/safetensors.h"

static kua__gguf *open_blocks(void)
{
    kua__gguf *file = NULL;
    assert_ok(kua__gguf_open(test_data("tensor/data/blocks.gguf"), &file));
    return file;
}

static void require_same_bits(const kua__tensor *got, const kua__tensor *want)
{
    float whole[6 * KUA__BLOCK_MAX], part[KUA__BLOCK_MAX];
    const float *expected = kua__tensor_f32(want);
    assert_non_null(got);
    assert_non_null(expected);
    assert_int_equal(got->count, want->count);
    assert_int_equal(got->rank, 2);
    assert_memory_equal(got->dim, want->dim, 2 * sizeof(size_t));
    kua__tensor_matrix_f32(got, got->dim[0], got->dim[1], whole);
    assert_memory_equal(whole, expected, got->count * sizeof(float));
    for (size_t first = 0; first + 7 < got->count; first += 5) { /* ranges across blocks */
        size_t n = KUA__MIN(got->count - first, 1 + first % KUA__BLOCK_MAX);
        kua__tensor_to_f32(got, first, n, part);
        assert_memory_equal(part, expected + first, n * sizeof(float));
    }
}

static void blocks_are_the_references_to_the_bit(void **state)
{
    (void)state;
    kua__gguf *file = open_blocks();
    kua__safetensors *expected = NULL;
    assert_ok(kua__safetensors_open(test_data("tensor/data/blocks.safetensors"), &expected));
    assert_int_equal(kua__gguf_count(file), kua__safetensors_count(expected));
    for (size_t i = 0; i < kua__safetensors_count(expected); i++) {
        const kua__tensor *want = kua__safetensors_at(expected, i);
        const kua__tensor *got = kua__gguf_find(file, want->name);
        require_same_bits(got, want);
        assert_string_equal(kua__dtype_name(got->dtype), want->name);
        assert_int_equal(got->bytes,
                         got->count / kua__dtype_block(got->dtype) * kua__dtype_size(got->dtype));
    }
    assert_null(kua__gguf_find(file, "Q5_K"));
    kua__safetensors_close(expected);
    kua__gguf_close(file);
}

static void settings_of_every_type_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        int64_t value;
    } whole[] = {{"v.u8", 200},         {"v.i8", -100},
                 {"v.u16", 60000},      {"v.i16", -30000},
                 {"v.u32", 4000000000}, {"v.i32", -2000000000},
                 {"v.u64", INT64_MAX},  {"v.i64", -(INT64_C(1) << 62)}};
    kua__gguf *file = open_blocks();
    int64_t n = 0;
    double x = 0;
    bool yes = false;
    kua__gguf_text text;
    for (size_t i = 0; i < KUA__COUNT(whole); i++) {
        assert_ok(kua__gguf_int(file, whole[i].key, INT64_MIN, INT64_MAX, &n));
        assert_true(n == whole[i].value);
    }
    assert_ok(kua__gguf_real(file, "v.f32", 0, 1, &x));
    assert_true(x == 0.25);
    assert_ok(kua__gguf_real(file, "v.f64", 0, 1e308, &x));
    assert_true(x == 1e300);
    assert_ok(kua__gguf_real(file, "v.i8", -128, 0, &x));
    assert_true(x == -100);
    assert_ok(kua__gguf_bool_or(file, "v.bool", false, &yes));
    assert_true(yes);
    assert_ok(kua__gguf_string(file, "v.text", &text));
    assert_int_equal(text.n, 7);
    assert_true(kua__gguf_says(file, "v.text", "größe"));
    assert_false(kua__gguf_says(file, "v.text", "größer"));
    assert_true(kua__gguf_says(file, "general.architecture", "test"));
    assert_int_equal(kua__gguf_version(file), 3);
    kua__gguf_close(file);
}

static void lists_are_read(void **state)
{
    (void)state;
    kua__gguf *file = open_blocks();
    const kua__gguf_value *texts = kua__gguf_array(file, "v.texts", KUA__GGUF_TEXT),
                          *ints = kua__gguf_array(file, "v.ints", KUA__GGUF_U64),
                          *reals = kua__gguf_array(file, "v.reals", KUA__GGUF_F64),
                          *bools = kua__gguf_array(file, "v.bools", KUA__GGUF_BOOL);
    assert_non_null(texts);
    assert_non_null(ints);
    assert_non_null(reals);
    assert_non_null(bools);
    assert_int_equal(texts->n, 3);
    assert_int_equal(kua__gguf_text_at(texts, 1).n, 0);
    assert_memory_equal(kua__gguf_text_at(texts, 2).data, "Ġb", 3);
    assert_int_equal(kua__gguf_int_at(ints, 1), -2);
    assert_true(kua__gguf_real_at(ints, 2) == 3);
    assert_true(kua__gguf_real_at(reals, 1) == -1.5);
    assert_int_equal(kua__gguf_int_at(bools, 0), 1);
    assert_null(kua__gguf_array(file, "v.texts", KUA__GGUF_U32));
    assert_null(kua__gguf_array(file, "v.reals", KUA__GGUF_U32));
    assert_null(kua__gguf_array(file, "v.text", KUA__GGUF_TEXT));
    assert_null(kua__gguf_array(file, "v.none", KUA__GGUF_TEXT));
    for (size_t i = 0; i < kua__gguf_values(file); i++) {
        const kua__gguf_value *v = kua__gguf_value_at(file, i);
        assert_ptr_equal(kua__gguf_value_find(file, v->key), v);
        assert_true(strlen(kua__gguf_type_name(v->type)) > 0);
    }
    kua__gguf_close(file);
}

static void settings_that_do_not_fit_are_named(void **state)
{
    (void)state;
    kua__gguf *file = open_blocks();
    int64_t n = 0;
    double x = 0;
    bool yes = false;
    kua__gguf_text text;
    assert_fails(kua__gguf_int(file, "v.u8", 1, 100, &n), KUA_FORMAT,
                 "v.u8 is 200, expected 1..100");
    assert_fails(kua__gguf_int(file, "v.f32", 1, 100, &n), KUA_FORMAT,
                 "v.f32 is of type f32, expected a whole number");
    assert_fails(kua__gguf_int(file, "v.ints", 1, 100, &n), KUA_FORMAT, "is an array of ");
    assert_fails(kua__gguf_int(file, "v.none", 1, 100, &n), KUA_NOTFOUND, "no setting v.none");
    assert_ok(kua__gguf_int_or(file, "v.none", 1, 100, 42, &n));
    assert_int_equal(n, 42);
    assert_fails(kua__gguf_int_or(file, "v.u8", 1, 100, 42, &n), KUA_FORMAT, "200");
    assert_fails(kua__gguf_real(file, "v.f32", 1, 2, &x), KUA_FORMAT, "v.f32 is 0.25");
    assert_fails(kua__gguf_real(file, "v.text", 1, 2, &x), KUA_FORMAT, "expected a number");
    assert_fails(kua__gguf_real(file, "v.none", 1, 2, &x), KUA_NOTFOUND, "v.none");
    assert_ok(kua__gguf_real_or(file, "v.none", 1, 2, 1.5, &x));
    assert_true(x == 1.5);
    assert_fails(kua__gguf_bool_or(file, "v.u8", true, &yes), KUA_FORMAT, "expected true or false");
    assert_ok(kua__gguf_bool_or(file, "v.none", true, &yes));
    assert_true(yes);
    assert_fails(kua__gguf_string(file, "v.u8", &text), KUA_FORMAT, "expected a text");
    assert_fails(kua__gguf_string(file, "v.none", &text), KUA_NOTFOUND, "v.none");
    kua__gguf_close(file);
}

static void lies_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *says; /* NULL: loads */
    } cases[] = {
        {"two", NULL},
        {"empty", NULL},
        {"version-2", NULL},
        {"aligned", NULL},
        {"nested", NULL},
        {"block", NULL},
        {"split", NULL}, /* whole as a file; kua__weights_open() refuses it */
        {"tiny", "the mark of a GGUF file needs 4 bytes, the file has 2 left"},
        {"mark", "does not begin with \"GGUF\""},
        {"version-1", "GGUF version 1, known are 2 and 3"},
        {"big-endian", "(big-endian)"},
        {"cut", "the number of tensors says 2 elements"},
        {"many-pairs", "1099511627776 settings, the limit is 65536"},
        {"pairs", "the number of settings says 60000 elements"},
        {"many-tensors", "1099511627776 tensors, the limit is 65536"},
        {"tensors", "the number of tensors says 60000 elements"},
        {"key-twice", "x is there twice"},
        {"key-long", "a key has 300 bytes, expected 1..255"},
        {"key-empty", "a key has 0 bytes"},
        {"key-bytes", "a key is not UTF-8"},
        {"key-nul", "a key is not UTF-8"},
        {"value-type", "x: value of type 13, known are 0..12"},
        {"value-text", "x needs 1152921504606846976 bytes, the file has 19 left"},
        {"value-bool", "x: a bool of 2"},
        {"array-long", "x says 4611686018427387904 elements of at least 4 bytes"},
        {"array-texts", "x says 2305843009213693952 elements of at least 8 bytes"},
        {"array-deep", "more than 4 deep"},
        {"alignment-zero", "general.alignment is 0"},
        {"alignment-odd", "general.alignment is 24, no power of two"},
        {"alignment-text", "general.alignment is of type text"},
        {"name-twice", "tensor \"a\" is there twice"},
        {"name-long", "a tensor's name has 300 bytes"},
        {"rank-0", "0 dimensions, expected 1..4"},
        {"rank-9", "9 dimensions, expected 1..4"},
        {"dimension-0", "dimension 1 of the shape is 0"},
        {"overflow", "the product of the shape [1099511627776,1099511627776] overflows"},
        {"type-unknown", "type 99 (unknown)"},
        {"type-q5", "type 13 (Q5_K), known are F32"},
        {"rows", "rows of 33 elements are no multiple of Q8_0's blocks of 32"},
        {"offset-odd", "begins at byte 4 of the data, no multiple of 32"},
        {"outside", "needs bytes 33554432 to 33554448"},
        {"large", "needs bytes 0 to 4294967296"},
        {"end", "needs bytes 0 to 48 of the data, the file has 40"},
        {"overlap", "\"a\" and \"b\" overlap: byte 32"},
        {"same", "\"a\" and \"b\" overlap: byte 0"},
        {"hole", "\"b\": begins at byte 64 of the data, expected 32"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char path[256];
        snprintf(path, sizeof(path), "../fuzz/corpus/gguf/%s", cases[i].file);
        kua__gguf *file = NULL;
        if (cases[i].says)
            assert_fails(kua__gguf_open(test_data(path), &file), KUA_FORMAT, cases[i].says);
        else
            assert_ok(kua__gguf_open(test_data(path), &file));
        kua__gguf_close(file);
    }
    kua__gguf *file = NULL;
    assert_int_equal(kua__gguf_open(test_temp_path("missing"), &file), KUA_IO);
    kua__gguf_close(NULL);
}

/* However a file is cut, it is refused or whole up to its last tensor's end. */
static void every_cut_is_noticed(void **state)
{
    (void)state;
    kua__map map;
    assert_ok(kua__map_open(&map, test_data("tensor/data/blocks.gguf")));
    for (size_t n = 0; n + 32 < map.size; n += 13) {
        kua__gguf *file = NULL;
        assert_int_equal(kua__gguf_parse("cut", map.data, n, &file), KUA_FORMAT);
        assert_null(file);
    }
    kua__map_close(&map);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__gguf *file = NULL;
        st = kua__gguf_open(test_data("tensor/data/blocks.gguf"), &file);
        kua__gguf_close(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_the_references_to_the_bit),
        cmocka_unit_test(settings_of_every_type_are_read),
        cmocka_unit_test(lists_are_read),
        cmocka_unit_test(settings_that_do_not_fit_are_named),
        cmocka_unit_test(lies_are_named),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

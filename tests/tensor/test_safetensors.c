/* test_safetensors.c - tensor files: round trips, every kind of number, and files that lie.
 *
 * The lies are files of fuzz/corpus/safetensors, with the message each must give.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "tensor/safetensors.h"

static const float numbers[6] = {1, -2.5f, 3e-9f, 4, 5e30f, -0.0f};
static const uint8_t bytes[3] = {0, 7, 255};

static kua_status write_two(const char *path)
{
    kua__st_writer *w = NULL;
    kua_status st = kua__st_writer_create(path, &w);
    if (!st) st = kua__st_writer_declare(w, "rows", KUA__F32, 2, (size_t[]){2, 3});
    if (!st) st = kua__st_writer_declare(w, "bytes", KUA__U8, 1, (size_t[]){3});
    if (!st) st = kua__st_writer_meta(w, "model", "minilm \"x\"");
    for (int i = 0; i < 2 && !st; i++)
        st = kua__st_writer_write(w, numbers + 3 * i, 3 * sizeof(float));
    if (!st) st = kua__st_writer_write(w, bytes, sizeof(bytes));
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    return st;
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const char *path = test_temp_path("two.safetensors");
    kua__safetensors *f = NULL;
    const kua__tensor *t = NULL;
    float out[6];
    assert_ok(write_two(path));
    assert_ok(kua__safetensors_open(path, &f));
    assert_string_equal(kua__safetensors_path(f), path);
    assert_int_equal(kua__safetensors_count(f), 2);
    assert_string_equal(kua__safetensors_at(f, 0)->name, "rows");
    assert_string_equal(kua__safetensors_meta(f, "model"), "minilm \"x\"");
    assert_null(kua__safetensors_meta(f, "other"));
    assert_ok(kua__safetensors_need(f, "rows", 2, (size_t[]){2, 3}, &t));
    assert_non_null(kua__tensor_f32(t));
    assert_int_equal((uintptr_t)t->data % 64, 0);
    kua__tensor_to_f32(t, 0, 6, out);
    assert_memory_equal(out, numbers, sizeof(numbers));
    kua__tensor_to_f32(t, 4, 1, out);
    assert_true(out[0] == numbers[4]);
    assert_ok(kua__safetensors_need(f, "bytes", 1, (size_t[]){3}, &t));
    assert_memory_equal(t->data, bytes, sizeof(bytes));
    assert_fails(kua__safetensors_need(f, "rows", 2, (size_t[]){3, 2}, &t), KUA_SHAPE,
                 "tensor \"rows\" is [2,3], expected [3,2]");
    assert_fails(kua__safetensors_need(f, "rows", 0, NULL, &t), KUA_SHAPE, "expected []");
    assert_fails(kua__safetensors_need(f, "row", 0, NULL, &t), KUA_NOTFOUND, "no tensor \"row\"");
    assert_null(t);
    kua__safetensors_close(f);
    kua__safetensors_close(NULL);
}

static void the_writer_keeps_its_word(void **state)
{
    (void)state;
    const char *path = test_temp_path("kept.safetensors");
    size_t one = 1, huge[2] = {SIZE_MAX, 2};
    float x[2] = {1, 2};
    kua__st_writer *w = NULL;
    assert_ok(write_two(path));
    assert_ok(kua__st_writer_create(path, &w));
    assert_ok(kua__st_writer_declare(w, "a", KUA__F32, 1, &one));
    assert_int_equal(kua__st_writer_declare(w, "a", KUA__F32, 1, &one), KUA_INVALID);
    assert_int_equal(kua__st_writer_declare(w, "", KUA__F32, 1, &one), KUA_INVALID);
    assert_int_equal(kua__st_writer_declare(w, "\xff", KUA__F32, 1, &one), KUA_INVALID);
    assert_int_equal(kua__st_writer_declare(w, "b", KUA__F32, 2, huge), KUA_INVALID);
    assert_fails(kua__st_writer_write(w, x, 8), KUA_INVALID, "only 4 are declared");
    assert_int_equal(kua__st_writer_declare(w, "c", KUA__F32, 1, &one), KUA_INVALID);
    assert_fails(kua__st_writer_commit(w), KUA_INVALID, "0 bytes written, 4 are declared");
    kua__st_writer_free(w);
    kua__safetensors *f = NULL; /* the old file is still there */
    assert_ok(kua__safetensors_open(path, &f));
    assert_int_equal(kua__safetensors_count(f), 2);
    kua__safetensors_close(f);
    assert_int_equal(kua__st_writer_create(test_temp_path("none/x"), &w), KUA_IO);
    kua__st_writer_free(NULL);
}

static kua_status parse_text(const char *header, const void *data, size_t n, char *room,
                             kua__safetensors **out)
{
    size_t length = strlen(header);
    memset(room, 0, 8);
    room[0] = (char)length;
    memcpy(room + 8, header, length);
    memcpy(room + 8 + length, data, n);
    return kua__safetensors_parse("memory", room, 8 + length + n, out);
}

static void halves_become_floats(void **state)
{
    (void)state;
    static const uint16_t half[] = {0x3c00, 0xc500, 0x0001, 0x8000, 0x7bff, 0x7c00, 0x7e00, 0x0400},
                          brain[] = {0x3f80, 0xc0a0, 0x7f80, 0x0000,
                                     0x8000, 0x4000, 0x4040, 0x4080};
    static const float from_half[] = {1, -5, 0x1p-24f, 0, 65504, INFINITY, NAN, 0x1p-14f},
                       from_brain[] = {1, -5, INFINITY, 0, 0, 2, 3, 4};
    const char *header[] = {"{\"x\":{\"dtype\":\"F16\",\"shape\":[8],\"data_offsets\":[0,16]}}",
                            "{\"x\":{\"dtype\":\"BF16\",\"shape\":[8],\"data_offsets\":[0,16]}}"};
    for (int k = 0; k < 2; k++) {
        char room[256];
        float out[8];
        kua__safetensors *f = NULL;
        assert_ok(parse_text(header[k], k ? brain : half, 16, room, &f));
        kua__tensor_to_f32(kua__safetensors_find(f, "x"), 0, 8, out);
        assert_null(kua__tensor_f32(kua__safetensors_find(f, "x")));
        for (int i = 0; i < 8; i++) {
            float want = k ? from_brain[i] : from_half[i];
            assert_true(isnan(want) ? isnan(out[i]) : out[i] == want);
        }
        assert_true(signbit(out[k ? 4 : 3]));
        kua__safetensors_close(f);
    }
}

static void integers_become_floats(void **state)
{
    (void)state;
    static const struct {
        const char *kind;
        size_t n;
        unsigned char data[8];
        float value;
    } cases[] = {{"I8", 1, {0xfe}, -2},
                 {"U8", 1, {0xfe}, 254},
                 {"I32", 4, {0xfd, 0xff, 0xff, 0xff}, -3},
                 {"I64", 8, {0, 0, 0, 0, 1}, 4294967296.0f}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char header[128], room[256];
        float out;
        kua__safetensors *f = NULL;
        snprintf(header, sizeof(header),
                 "{\"x\":{\"dtype\":\"%s\",\"shape\":[],\"data_offsets\":[0,%zu]}}", cases[i].kind,
                 cases[i].n);
        assert_ok(parse_text(header, cases[i].data, cases[i].n, room, &f));
        const kua__tensor *t = kua__safetensors_find(f, "x");
        assert_string_equal(kua__dtype_name(t->dtype), cases[i].kind);
        kua__tensor_to_f32(t, 0, 1, &out);
        assert_true(out == cases[i].value);
        kua__safetensors_close(f);
    }
}

static void lies_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *file, *says; /* NULL: loads */
    } cases[] = {
        {"empty", NULL},
        {"two", NULL},
        {"scalar", NULL},
        {"zero", NULL},
        {"bf16", NULL},
        {"overlap", "\"a\" and \"b\" overlap: byte 2"},
        {"hole", "\"b\" begins at byte 4 of the data, expected 2"},
        {"rest", "6 bytes of data, the tensors have 2"},
        {"outside", "data_offsets are 0..99, the file has 2 bytes"},
        {"overflow", "product of the 3 dimensions overflows"},
        {"negative", "dimension 0 of the shape"},
        {"real", "dimension 0 of the shape"},
        {"backwards", "data_offsets are 2..0"},
        {"size", "span 4 bytes, 2 elements of F32 need 8"},
        {"kind", "dtype is \"F64\""},
        {"rank", "9 dimensions, the limit is 8"},
        {"twice", ""},
        {"huge", ""},
        {"cut", ""},
        {"meta", "__metadata__ \"a\" is not a text"},
        {"list", "not a JSON object"},
        {"long", "the header claims 9223372036854775808 bytes"},
        {"tiny", "3 bytes"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char path[256];
        snprintf(path, sizeof(path), "../fuzz/corpus/safetensors/%s", cases[i].file);
        kua__safetensors *f = NULL;
        if (cases[i].says)
            assert_fails(kua__safetensors_open(test_data(path), &f), KUA_FORMAT, cases[i].says);
        else
            assert_ok(kua__safetensors_open(test_data(path), &f));
        kua__safetensors_close(f);
    }
    kua__safetensors *f = NULL;
    assert_int_equal(kua__safetensors_open(test_temp_path("missing"), &f), KUA_IO);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    const char *path = test_temp_path("torture.safetensors");
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__safetensors *f = NULL;
        st = write_two(path);
        if (!st) st = kua__safetensors_open(path, &f);
        kua__safetensors_close(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(the_writer_keeps_its_word),
        cmocka_unit_test(halves_become_floats),    cmocka_unit_test(integers_become_floats),
        cmocka_unit_test(lies_are_named),          cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_sha256.c - the standard's own examples, every length around a block, and pieces of any size.
 */
#include "testlib.h"

#include <string.h>

static void digest(const void *data, size_t n, size_t piece, char hex[KUA__SHA256_HEX])
{
    kua__sha256 sha;
    kua__sha256_init(&sha);
    for (size_t at = 0; at < n; at += piece)
        kua__sha256_add(&sha, (const char *)data + at, KUA__MIN(piece, n - at));
    kua__sha256_done(&sha, hex);
}

static void examples_of_the_standard(void **state)
{
    (void)state;
    static const struct {
        const char *text, *hex;
    } cases[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char hex[KUA__SHA256_HEX];
        digest(cases[i].text, strlen(cases[i].text), 64, hex);
        assert_string_equal(hex, cases[i].hex);
    }
}

static void a_million_letters_in_any_pieces(void **state)
{
    (void)state;
    static char text[1000000];
    static const size_t piece[] = {1000000, 64, 63, 65, 7};
    memset(text, 'a', sizeof(text));
    for (size_t i = 0; i < KUA__COUNT(piece); i++) {
        char hex[KUA__SHA256_HEX];
        digest(text, sizeof(text), piece[i], hex);
        assert_string_equal(hex,
                            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
}

static void files_are_hashed_whole(void **state)
{
    (void)state;
    static char text[100000];
    char one[KUA__SHA256_HEX], two[KUA__SHA256_HEX];
    for (size_t n = 0; n < sizeof(text); n++)
        text[n] = (char)(n * 31);
    for (size_t n = sizeof(text) - 70; n <= sizeof(text); n++) { /* every length around a block */
        digest(text, n, 1000, one);
        assert_ok(kua__sha256_file(test_temp_file("data", text, n), two));
        assert_string_equal(one, two);
    }
    assert_fails(kua__sha256_file(test_temp_path("none"), one), KUA_IO, "none: cannot open");
}

static void the_bytes_of_a_tree_are_counted(void **state)
{
    (void)state;
    assert_ok(kua__make_folders(test_temp_path("tree/deep")));
    test_temp_file("tree/a", "12345", 5);
    test_temp_file("tree/deep/b", "123", 3);
    assert_int_equal(kua__tree_bytes(test_temp_path("tree")), 8);
    assert_int_equal(kua__tree_bytes(test_temp_path("tree/a")), 5);
    assert_int_equal(kua__tree_bytes(test_temp_path("no-tree")), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_of_the_standard),
        cmocka_unit_test(a_million_letters_in_any_pieces),
        cmocka_unit_test(files_are_hashed_whole),
        cmocka_unit_test(the_bytes_of_a_tree_are_counted),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* tests/base/test_memory.c - blocks, arenas, buffers and name tables: contents, limits, and every
 * allocation failing.
 */
#include "testlib.h"

#include <string.h>

/* ---- blocks ---- */

static void blocks_are_aligned_and_counted(void **state)
{
    (void)state;
    long live = kua__alloc_live();
    void *p[20];
    for (size_t i = 0; i < KUA__COUNT(p); i++) {
        p[i] = kua__malloc(i * 7);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 64, 0);
    }
    assert_int_equal(kua__alloc_live() - live, 20);
    for (size_t i = 0; i < KUA__COUNT(p); i++) {
        kua__free(p[i]);
    }
    kua__free(NULL);
    assert_int_equal(kua__alloc_live(), live);
}

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    volatile size_t half = SIZE_MAX / 2 + 2;
    assert_null(kua__alloc_array(half, 2));
    assert_null(kua__calloc(half, 3));
    assert_null(kua__realloc_array(NULL, half, 2));
    assert_null(kua__malloc(half));
    double *big;
    assert_fails(KUA__NEW_ARRAY(&big, half / 4, "a table"), KUA_NOMEM, "bytes for a table");
}

static void realloc_keeps_content_and_alignment(void **state)
{
    (void)state;
    uint32_t *p = NULL;
    for (uint32_t n = 1; n < 3000; n = n * 3 + 1) {
        p = kua__realloc_array(p, n, sizeof(*p));
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        p[n - 1] = n;
        for (uint32_t m = 1; m <= n; m = m * 3 + 1) {
            assert_int_equal(p[m - 1], m);
        }
    }
    p = kua__realloc_array(p, 1, sizeof(*p));
    assert_int_equal(p[0], 1);
    kua__alloc_fail_after(1);
    assert_null(kua__realloc_array(p, 99, sizeof(*p)));
    assert_int_equal(p[0], 1); /* untouched */
    kua__free(p);
}

static void the_chosen_allocation_fails_and_no_other(void **state)
{
    (void)state;
    kua__alloc_fail_after(3);
    void *a = kua__malloc(1), *b = kua__calloc(1, 1), *c = kua__malloc(1), *d = kua__strdup("x");
    assert_true(kua__alloc_has_failed());
    assert_true(a && b && !c && d);
    kua__free(a);
    kua__free(b);
    kua__free(d);
}

static void growing_doubles(void **state)
{
    (void)state;
    uint64_t *p = NULL;
    size_t capacity = 0, changes = 0;
    for (size_t n = 0; n < 10000; n++) {
        size_t before = capacity;
        assert_ok(KUA__GROW(&p, &capacity, n, "numbers"));
        changes += capacity != before;
        p[n] = n;
    }
    assert_in_range(changes, 5, 14);
    assert_int_equal(p[9999], 9999);
    kua__free(p);
}

static void strings_are_copied(void **state)
{
    (void)state;
    char *a = kua__strdup("groceries"), *b = kua__strndup("groceries", 4),
         *c = kua__strndup(NULL, 0);
    assert_string_equal(a, "groceries");
    assert_string_equal(b, "groc");
    assert_string_equal(c, "");
    kua__free(a);
    kua__free(b);
    kua__free(c);
}

/* ---- arenas ---- */

static void arena_blocks_do_not_overlap(void **state)
{
    (void)state;
    kua__arena arena;
    kua__arena_init(&arena, 4096);
    unsigned char *blocks[200];
    for (size_t i = 0; i < KUA__COUNT(blocks); i++) {
        blocks[i] = kua__arena_alloc(&arena, i * 13);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], (int)i, i * 13);
    }
    for (size_t i = 0; i < KUA__COUNT(blocks); i++) {
        for (size_t j = 0; j < i * 13; j++) {
            assert_int_equal(blocks[i][j], i);
        }
    }
    kua__arena_release(&arena);
    assert_int_equal(kua__arena_bytes(&arena), 0);
}

static void arena_strings_are_packed(void **state)
{
    (void)state;
    kua__arena arena;
    kua__arena_init(&arena, 4096);
    const char *a = kua__arena_strndup(&arena, "soap", 4);
    const char *b = kua__arena_strndup(&arena, "bread", 3);
    assert_string_equal(a, "soap");
    assert_string_equal(b, "bre");
    assert_ptr_equal(b, a + 5);
    kua__arena_release(&arena);
}

/* One step of uneven requests: small, larger than a chunk, zeroed. */
static void arena_step(kua__arena *arena, uint64_t seed)
{
    kua__rng rng = kua__rng_make(seed, 0);
    for (int i = 0; i < 50; i++) {
        uint32_t n = kua__rng_below(&rng, i % 10 ? 500 : 9000);
        unsigned char *p = kua__arena_zalloc(arena, n);
        assert_non_null(p);
        for (uint32_t j = 0; j < n; j++) {
            assert_int_equal(p[j], 0);
            p[j] = 0xFF;
        }
    }
}

static void a_repeated_step_asks_the_system_for_nothing(void **state)
{
    (void)state;
    kua__arena arena;
    kua__arena_init(&arena, 4096);
    arena_step(&arena, 1);
    size_t held = kua__arena_bytes(&arena);
    long live = kua__alloc_live();
    for (int i = 0; i < 5; i++) {
        kua__arena_reset(&arena);
        arena_step(&arena, 1);
    }
    assert_int_equal(kua__arena_bytes(&arena), held);
    assert_int_equal(kua__alloc_live(), live);
    kua__arena_release(&arena);
}

static void an_arena_survives_a_failed_request(void **state)
{
    (void)state;
    kua__arena arena;
    kua__arena_init(&arena, 256);
    char *a = kua__arena_strndup(&arena, "kept", 4);
    assert_null(kua__arena_alloc(&arena, SIZE_MAX - 10));
    assert_null(kua__arena_alloc(&arena, SIZE_MAX / 2));
    kua__alloc_fail_after(1);
    assert_null(kua__arena_alloc(&arena, 1000));
    assert_non_null(kua__arena_alloc(&arena, 1000));
    assert_string_equal(a, "kept");
    kua__arena_release(&arena);
}

/* ---- buffers ---- */

static kua_status build_text(kua__buf *buf)
{
    for (int i = 0; i < 300; i++) {
        kua__buf_printf(buf, "%d,", i);
        kua__buf_puts(buf, "x");
        kua__buf_add(buf, "yz", 2);
    }
    return kua__buf_status(buf);
}

static void buffers_grow(void **state)
{
    (void)state;
    kua__buf buf = {0};
    kua__buf_add(&buf, NULL, 0);
    assert_string_equal(buf.data, "");
    assert_ok(build_text(&buf));
    assert_int_equal(buf.len, 10 * 2 + 90 * 3 + 200 * 4 + 300 * 3);
    assert_int_equal(strlen(buf.data), buf.len);
    assert_true(kua__has_prefix(buf.data, "0,xyz1,xyz"));
    assert_true(kua__has_suffix(buf.data, "299,xyz"));
    kua__buf_clear(&buf);
    assert_string_equal(buf.data, "");
    kua__buf_release(&buf);
    assert_null(buf.data);
}

static void a_failed_append_sticks(void **state)
{
    (void)state;
    kua__buf buf = {0};
    kua__buf_puts(&buf, "one");
    kua__alloc_fail_after(1);
    kua__buf_printf(&buf, "%0999d", 1);
    kua__buf_puts(&buf, "two");
    assert_fails(kua__buf_status(&buf), KUA_NOMEM, "a text buffer");
    assert_string_equal(buf.data, "one");
    kua__buf_release(&buf);
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__buf fresh = {0};
        st = build_text(&fresh);
        kua__buf_release(&fresh);
    }
}

/* ---- names ---- */

static kua_status number_names(kua__ids *ids, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        int len = snprintf(name, sizeof(name), "item-%u", i * i);
        uint32_t id;
        KUA__TRY(kua__ids_add(ids, name, (size_t)len, &id));
        assert_int_equal(id, i);
    }
    return KUA_OK;
}

static void names_become_dense_numbers(void **state)
{
    (void)state;
    enum { N = 20000 };
    kua__ids ids;
    kua__ids_init(&ids);
    assert_int_equal(kua__ids_find(&ids, "item-0", 6), KUA__NO_ID);
    assert_ok(number_names(&ids, N));
    assert_ok(number_names(&ids, N)); /* finds them all */
    assert_int_equal(ids.count, N);
    assert_string_equal(ids.name[3], "item-9");
    assert_int_equal(ids.len[3], 6);
    assert_int_equal(kua__ids_find(&ids, "item-9xyz", 6), 3);
    assert_int_equal(kua__ids_find(&ids, "item-9xyz", 7), KUA__NO_ID);
    uint32_t id;
    assert_ok(kua__ids_add(&ids, "", 0, &id));
    assert_int_equal(id, N);
    assert_string_equal(ids.name[N], "");
    kua__ids_release(&ids);
}

static void a_failed_add_changes_nothing(void **state)
{
    (void)state;
    for (int nth = 1; nth < 100; nth++) {
        kua__ids ids;
        kua__ids_init(&ids);
        kua__alloc_fail_after(nth);
        kua_status st = number_names(&ids, 3000);
        bool failed = kua__alloc_has_failed();
        kua__alloc_fail_after(0);
        assert_int_equal(st, failed ? KUA_NOMEM : KUA_OK);
        assert_ok(number_names(&ids, 3000)); /* usable, and with the same numbers */
        assert_int_equal(ids.count, 3000);
        kua__ids_release(&ids);
        if (!failed) {
            return;
        }
    }
    fail_msg("never succeeds");
}

static void hashes_differ_where_content_does(void **state)
{
    (void)state;
    char text[65];
    uint64_t seen[65 + 64];
    size_t n = 0;
    memset(text, 'a', sizeof(text));
    for (size_t len = 0; len <= 64; len++) {
        seen[n++] = kua__hash64(text, len, 0);
    }
    for (size_t at = 0; at < 64; at++) { /* one byte changed */
        text[at] ^= 1;
        seen[n++] = kua__hash64(text, 64, 0);
        text[at] ^= 1;
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(seen[i] != seen[j]);
        }
    }
    assert_true(kua__hash64("x", 1, 0) != kua__hash64("x", 1, 1));
    assert_true(kua__hash64("\0", 1, 0) != kua__hash64("\0\0", 2, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_are_aligned_and_counted),
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(realloc_keeps_content_and_alignment),
        cmocka_unit_test(the_chosen_allocation_fails_and_no_other),
        cmocka_unit_test(growing_doubles),
        cmocka_unit_test(strings_are_copied),
        cmocka_unit_test(arena_blocks_do_not_overlap),
        cmocka_unit_test(arena_strings_are_packed),
        cmocka_unit_test(a_repeated_step_asks_the_system_for_nothing),
        cmocka_unit_test(an_arena_survives_a_failed_request),
        cmocka_unit_test(buffers_grow),
        cmocka_unit_test(a_failed_append_sticks),
        cmocka_unit_test(names_become_dense_numbers),
        cmocka_unit_test(a_failed_add_changes_nothing),
        cmocka_unit_test(hashes_differ_where_content_does),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* tests/lib/testlib.c - see testlib.h. Memory here is malloc's, so that counts of live blocks are
 * the library's. */
#include "testlib.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- asserting ---- */

void test_assert_status(kua_status got, kua_status expected, const char *call, const char *file,
                        int line)
{
    if (got != expected) {
        print_error("%s\n  gave %s (%s), expected %s\n", call, kua_status_text(got),
                    got ? kua_error_message() : "-", kua_status_text(expected));
        _fail(file, line);
    }
}

void test_assert_fails(kua_status got, kua_status expected, const char *part, const char *call,
                       const char *file, int line)
{
    test_assert_status(got, expected, call, file, line);
    if (!strstr(kua_error_message(), part)) {
        print_error("%s\n  said \"%s\", expected \"%s\" in it\n", call, kua_error_message(), part);
        _fail(file, line);
    }
}

void test_assert_near(double a, double b, double tolerance, const char *what, const char *file,
                      int line)
{
    if (!(fabs(a - b) <= tolerance)) {
        print_error("%s is %.9g, expected %.9g +- %g\n", what, a, b, tolerance);
        _fail(file, line);
    }
}

/* ---- places ---- */

/* Texts that stay until the program ends, reachable so that leak checkers agree. */
static const char *keep(const char *a, const char *b)
{
    static struct kept {
        struct kept *next;
        char text[];
    } * all;
    size_t room = strlen(a) + strlen(b) + 2;
    struct kept *k = malloc(sizeof(*k) + room);
    if (!k) {
        fail_msg("no memory for a path");
    }
    snprintf(k->text, room, "%s%s%s", a, *b ? "/" : "", b);
    k->next = all;
    all = k;
    return k->text;
}

static char temp_dir[256];
static pid_t temp_owner;

static void remove_temp_dir(void)
{
    if (getpid() == temp_owner) { /* a child of fork() must not remove its parent's */
        if (kua__remove_tree(temp_dir)) {
            fprintf(stderr, "%s\n", kua_error_message());
        }
    }
}

const char *test_temp_dir(void)
{
    if (!temp_dir[0]) {
        const char *base = getenv("TMPDIR");
        snprintf(temp_dir, sizeof(temp_dir), "%s/kua-test-XXXXXX", base && *base ? base : "/tmp");
        if (!mkdtemp(temp_dir)) {
            fail_msg("cannot make %s", temp_dir);
        }
        temp_owner = getpid();
        atexit(remove_temp_dir);
    }
    return temp_dir;
}

const char *test_temp_path(const char *name)
{
    return keep(test_temp_dir(), name);
}

const char *test_temp_file(const char *name, const void *data, size_t n)
{
    const char *path = test_temp_path(name);
    assert_ok(kua__write_file(path, data, n));
    return path;
}

const char *test_data(const char *path)
{
    return keep(KUA_ROOT "/tests", path);
}

static const char *if_there(const char *path, const char *how)
{
    if (kua__exists(path)) {
        return path;
    }
    print_message("skipped: %s is not there (%s)\n", path, how);
    return NULL;
}

const char *test_shared_data(const char *path)
{
    const char *base = getenv("KUA_SHARED_DATA");
    return if_there(keep(base && *base ? base : KUA_ROOT "/../shared/data", path),
                    "set KUA_SHARED_DATA to the folder of the public data sets");
}

const char *test_cached_model(const char *name)
{
    const char *cache = getenv("KUA_CACHE"), *xdg = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    bool is_own = cache && *cache, is_xdg = xdg && *xdg;
    char path[300], how[100];
    snprintf(path, sizeof(path), "%smodels/%s",
             is_own   ? ""
             : is_xdg ? "kua/"
                      : ".cache/kua/",
             name);
    snprintf(how, sizeof(how), "kua model get %s brings it", name);
    return if_there(keep(is_own ? cache : is_xdg ? xdg : home ? home : "/root", path), how);
}

const char *test_model_dir(void)
{
    const char *model = getenv("KUA_MODEL");
    if (model && *model) return if_there(model, "that is what KUA_MODEL says");
    return test_cached_model("minilm-l6");
}

/* ---- failing allocations ---- */

test_failing test_failing_start(void)
{
    return (test_failing){.nth = 0, .live = kua__alloc_live()};
}

bool test_failing_goes_on(test_failing *failing, kua_status *st)
{
    bool failed = kua__alloc_has_failed();
    kua__alloc_fail_after(0);
    if (failing->nth) {
        if (kua__alloc_live() != failing->live) {
            fail_msg("failing allocation %ld left %ld blocks alive", failing->nth,
                     kua__alloc_live() - failing->live);
        }
        if (!failed) { /* the block needs fewer allocations than nth: it must have worked */
            test_assert_status(*st, KUA_OK, "with every allocation given", __FILE__, __LINE__);
            return false;
        }
        if (*st) { /* KUA_OK is fine too: the block could do without */
            test_assert_status(*st, KUA_NOMEM, "a failing allocation", __FILE__, __LINE__);
        }
        assert_in_range(failing->nth, 1, 100000);
    }
    failing->nth++;
    *st = KUA_INTERNAL; /* a block that forgets to set it fails */
    kua__alloc_fail_after(failing->nth);
    return true;
}

static long live_at_start;

int test_no_leaks_begin(void **state)
{
    (void)state;
    live_at_start = kua__alloc_live();
    return 0;
}

int test_no_leaks_end(void **state)
{
    (void)state;
    long leaked = kua__alloc_live() - live_at_start;
    if (leaked) {
        print_error("%ld blocks are still alive\n", leaked);
    }
    return leaked != 0;
}

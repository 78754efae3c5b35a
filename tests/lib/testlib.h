/* tests/lib/testlib.h - what every test includes: cmocka with the headers it wants, and a few
 * helpers.
 *
 *     int main(void)
 *     {
 *         const struct CMUnitTest tests[] = {cmocka_unit_test(...), cmocka_unit_test(...)};
 *         return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
 *     }
 */
#ifndef KUA_TESTLIB_H
#define KUA_TESTLIB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "kua/status.h"
#include "base/base.h"

/* The call must return KUA_OK; prints its status and message where it does not. */
#define assert_ok(call) test_assert_status((call), KUA_OK, #call, __FILE__, __LINE__)
/* The call must fail with `expected`, and the message must contain `part` ("" for any). */
#define assert_fails(call, expected, part)                                                         \
    test_assert_fails((call), (expected), (part), #call, __FILE__, __LINE__)
void test_assert_status(kua_status got, kua_status expected, const char *call, const char *file,
                        int line);
void test_assert_fails(kua_status got, kua_status expected, const char *part, const char *call,
                       const char *file, int line);

/* |a - b| <= tolerance, with both printed; not-a-number never passes. */
#define assert_near(a, b, tolerance) test_assert_near((a), (b), (tolerance), #a, __FILE__, __LINE__)
void test_assert_near(double a, double b, double tolerance, const char *what, const char *file,
                      int line);

/* A folder for this test program's files, made at the first call and removed at exit. */
const char *test_temp_dir(void);
/* "<test_temp_dir()>/<name>"; the text stays valid until the program ends. */
const char *test_temp_path(const char *name);
/* A file of that name in the temporary folder with this content; its path. */
const char *test_temp_file(const char *name, const void *data, size_t n);

/* A folder or file under $KUA_SHARED_DATA (default: ../shared/data beside the repository), or NULL
 * with a line that says why the test skips: const char *f =
 * test_shared_data("beauty/beauty.inter"); if (!f) skip(); */
const char *test_shared_data(const char *path);
/* The MiniLM model: $KUA_MODEL or <cache>/models/minilm-l6; NULL with a line that says why. */
const char *test_model_dir(void);
/* The folder of any model that `kua model get` knows; NULL with a line that says why. */
const char *test_cached_model(const char *name);
/* A file that belongs to the tests: "<repository>/tests/<path>". */
const char *test_data(const char *path);

/* Runs the following block with its 1st, 2nd, 3rd ... allocation failing, until it succeeds. The
 * block sets `st`; what it returned must be KUA_OK or KUA_NOMEM, and nothing may be alive that was
 * not before.
 *
 *     kua_status st;
 *     TEST_EVERY_ALLOCATION(st) {
 *         thing *t = NULL;
 *         st = thing_create(&t);
 *         thing_free(t);
 *     }
 */
#define TEST_EVERY_ALLOCATION(st)                                                                  \
    for (test_failing failing_ = test_failing_start(); test_failing_goes_on(&failing_, &(st));)

typedef struct test_failing {
    long nth, live;
} test_failing;
test_failing test_failing_start(void);
bool test_failing_goes_on(test_failing *failing, kua_status *st);

/* Group fixtures: no block may be alive at the end that was not alive at the start. */
int test_no_leaks_begin(void **state);
int test_no_leaks_end(void **state);

#endif

/* tests/base/test_files.c - mapped files, files that appear whole or not at all, folders, and
 * locks.
 *
 * Faults are real ones: /dev/full is a full disk, and a child process is killed half-way through
 * writing or while it holds a lock.
 */
#include "testlib.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void expect_content(const char *path, const char *expected)
{
    kua__map map;
    assert_ok(kua__map_open(&map, path));
    assert_int_equal(map.size, strlen(expected));
    assert_memory_equal(map.data, expected, map.size);
    kua__map_close(&map);
}

/* Files of the temporary folder whose names start with `prefix`. */
static int count_files(const char *prefix)
{
    char command[600], answer[32] = "";
    snprintf(command, sizeof(command), "ls -a %s | grep -c '^%s'", test_temp_dir(), prefix);
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_non_null(fgets(answer, sizeof(answer), pipe));
    pclose(pipe);
    int64_t n = -1;
    assert_true(kua__parse_i64(answer, strcspn(answer, "\n"), &n));
    return (int)n;
}

static void files_are_written_and_mapped(void **state)
{
    (void)state;
    const char *path = test_temp_file("plain", "hello", 5);
    expect_content(path, "hello");
    assert_ok(kua__write_file(path, NULL, 0));
    expect_content(path, "");
    kua__map map;
    assert_fails(kua__map_open(&map, test_temp_path("nothing")), KUA_IO,
                 "nothing: cannot open: No such file");
    assert_fails(kua__map_open(&map, test_temp_dir()), KUA_IO, "not a regular file");
    assert_int_equal(map.size, 0);
    kua__map_close(&map);
}

static void a_file_appears_only_at_commit(void **state)
{
    (void)state;
    const char *path = test_temp_file("report", "old", 3);
    kua__writer w;
    assert_ok(kua__writer_open(&w, path));
    kua__writer_add(&w, "new ", 4);
    kua__writer_printf(&w, "%d", 42);
    expect_content(path, "old");
    assert_ok(kua__writer_commit(&w));
    expect_content(path, "new 42");

    assert_ok(kua__writer_open(&w, path));
    kua__writer_add(&w, "never", 5);
    kua__writer_abort(&w);
    kua__writer_abort(&w); /* harmless */
    expect_content(path, "new 42");
    assert_int_equal(count_files("report"), 1);
}

static void a_writer_that_cannot_start_says_why(void **state)
{
    (void)state;
    kua__writer w;
    assert_fails(kua__writer_open(&w, test_temp_path("no/folder/x")), KUA_IO,
                 "no/folder/x: cannot create: No such");
    kua__writer_add(&w, "ignored", 7);
    assert_fails(kua__writer_commit(&w), KUA_IO, "cannot write: No such file");
    kua__writer_abort(&w);
    test_temp_file("taken", "x", 1);
    assert_fails(kua__write_file(test_temp_path("taken/x"), "y", 1), KUA_IO, "Not a directory");
}

/* A limit on file sizes acts like a disk that fills up. */
static void a_full_disk_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = test_temp_file("table", "old", 3);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    kua__writer w;
    assert_ok(kua__writer_open(&w, path));
    char block[5000] = {0};
    for (int i = 0; i < 100; i++) {
        kua__writer_add(&w, block, sizeof(block));
    }
    kua_status st = kua__writer_commit(&w);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_fails(st, KUA_IO, "table: cannot write: File too large");
    expect_content(path, "old");
    assert_int_equal(count_files("table"), 1);
}

static void a_killed_writer_leaves_the_old_file(void **state)
{
    (void)state;
    const char *path = test_temp_file("weights", "old", 3);
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kua__writer w;
        if (kua__writer_open(&w, path)) {
            _exit(1);
        }
        for (int i = 0;; i++) {
            kua__writer_printf(&w, "row %d\n", i);
            if (i == 100000 && write(ready[1], "x", 1) != 1) {
                _exit(1);
            }
            if (i > 100000) {
                usleep(1000);
            }
        }
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    expect_content(path, "old");
    assert_ok(kua__write_file(path, "new", 3));
    expect_content(path, "new");
    close(ready[0]);
    close(ready[1]);
}

static void writing_may_run_out_of_memory(void **state)
{
    (void)state;
    const char *path = test_temp_path("oom");
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__write_file(path, "abc", 3);
    }
    expect_content(path, "abc");
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__make_folders(test_temp_path("oom-folders/a/b"));
    }
}

static void folders_are_made_and_removed(void **state)
{
    (void)state;
    const char *deep = test_temp_path("a/b//c/");
    assert_ok(kua__make_folders(deep));
    assert_ok(kua__make_folders(deep));
    assert_true(kua__exists(test_temp_path("a/b/c")));
    test_temp_file("a/b/file", "x", 1);
    assert_int_equal(symlink("/", test_temp_path("a/link")), 0); /* must not be followed */
    assert_fails(kua__make_folders(test_temp_path("a/b/file")), KUA_IO, "Not a directory");
    assert_fails(kua__make_folders(test_temp_path("a/b/file/c")), KUA_IO, "cannot make the folder");
    assert_ok(kua__remove_tree(test_temp_path("a")));
    assert_false(kua__exists(test_temp_path("a")));
    assert_ok(kua__remove_tree(test_temp_path("a")));
}

static void paths_are_joined(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"a", "b", "a/b"}, {"a/", "b", "a/b"}, {"", "b", "b"}, {"/", "b", "/b"}, {"a", "", "a/"}};
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        char *path = kua__path_join(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        kua__free(path);
    }
}

/* ---- locks ---- */

/* A child that takes the lock, says so, and holds it until it is killed. */
static pid_t hold_lock(const char *path)
{
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kua__lock lock;
        char byte = kua__lock_take(&lock, path) ? 'n' : 'y';
        if (write(ready[1], &byte, 1) != 1) {
            _exit(1);
        }
        pause();
        _exit(0);
    }
    char byte = 0;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void a_lock_keeps_other_processes_out(void **state)
{
    (void)state;
    const char *path = test_temp_path("lock");
    pid_t child = hold_lock(path);
    char expected[80];
    snprintf(expected, sizeof(expected), "lock: workspace is in use by process %ld", (long)child);
    kua__lock lock;
    assert_fails(kua__lock_take(&lock, path), KUA_STORE, expected);
    kua__lock_release(&lock); /* of nothing: harmless */
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_ok(kua__lock_take(&lock, path)); /* the dead hold nothing */
    kua__lock second;
    assert_fails(kua__lock_take(&second, path), KUA_STORE, "in use by process");
    kua__lock_release(&lock);
    child = hold_lock(path);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_fails(kua__lock_take(&lock, test_temp_path("none/lock")), KUA_IO,
                 "cannot open the lock file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_written_and_mapped),
        cmocka_unit_test(a_file_appears_only_at_commit),
        cmocka_unit_test(a_writer_that_cannot_start_says_why),
        cmocka_unit_test(a_full_disk_leaves_the_old_file),
        cmocka_unit_test(a_killed_writer_leaves_the_old_file),
        cmocka_unit_test(writing_may_run_out_of_memory),
        cmocka_unit_test(folders_are_made_and_removed),
        cmocka_unit_test(paths_are_joined),
        cmocka_unit_test(a_lock_keeps_other_processes_out),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_faults.c - what goes wrong around a store: killed, full, locked, damaged, read-only, newer.
 *
 * Method: a child process is killed or limited while it imports; the parent then opens the file and
 * finds what was there before, and imports again.
 */
#include "shopfiles.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

enum { MANY = 60000 };

/* A file of many events, large enough that an import takes a while and some megabytes. */
static const char *many_events(void)
{
    kua__buf text = {0};
    kua__buf_puts(&text, "user_id,item_id,timestamp\n");
    for (int i = 0; i < MANY; i++) {
        kua__buf_printf(&text, "user%d,item%d,%d\n", i % 997, (i * 7919) % 1009, 1500000000 + i);
    }
    const char *path = test_temp_file("many.csv", text.data, text.len);
    kua__buf_release(&text);
    return path;
}

static const char small_text[] = "user_id,item_id,timestamp\nu,a,1500000000\nv,b,1500000001\n";

static kua__import_options small(void)
{
    return (kua__import_options){.domain = "d", .events = text_file("small.csv", small_text)};
}

/* A store with the two events of small(), closed. */
static const char *store_of_two(const char *name)
{
    kua__store *store = fresh_store(name);
    kua__import_options o = small();
    assert_int_equal(import_events(store, &o), 2);
    kua__store_close(store);
    return test_temp_path(name);
}

static void it_holds_two_and_works(const char *path, const char *many)
{
    kua__store *store;
    assert_ok(kua__store_open(path, &store));
    assert_int_equal(ask(path, "SELECT count(*) FROM events"), 2);
    assert_int_equal(ask(path, "SELECT count(*) FROM users"), 2);
    kua__import_options o = {.domain = "d", .events = many};
    assert_int_equal(import_events(store, &o), MANY);
    kua__store_close(store);
}

/* Kills itself in the middle of writing events. */
static bool die_while_writing(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user;
    if (strcmp(stage, "write events") == 0 && done > total / 2) {
        raise(SIGKILL);
    }
    return true;
}

static bool note_progress(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage;
    (void)done;
    (void)total;
    ++*(int *)user;
    return true;
}

static void a_killed_import_leaves_nothing(void **state)
{
    (void)state;
    const char *path = store_of_two("killed.db"), *many = many_events();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kua__store *store = NULL;
        kua_monitor monitor = {.progress = die_while_writing};
        kua__import_options o = {.domain = "d", .events = many};
        kua_status st = kua__store_open(path, &store);
        if (!st) st = kua__store_import(store, &o, &monitor, NULL);
        _exit(st ? 2 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    it_holds_two_and_works(path, many);
}

/* No file may grow past 1 MiB: SQLite sees a write that fails, as on a full disk. */
static void a_full_disk_leaves_nothing(void **state)
{
    (void)state;
    const char *path = store_of_two("full.db"), *many = many_events();
    int pipe_ends[2];
    char message[512] = "";
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        kua__store *store = NULL;
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){1 << 20, 1 << 20});
        kua__import_options o = {.domain = "d", .events = many};
        kua_status st = kua__store_open(path, &store);
        if (!st) st = kua__store_import(store, &o, NULL, NULL);
        const char *words = st ? kua_error_message() : "no failure";
        ssize_t sent = write(pipe_ends[1], words, strlen(words));
        kua__store_close(store);
        _exit(st == KUA_STORE && sent > 0 ? 0 : 1);
    }
    close(pipe_ends[1]);
    ssize_t got = read(pipe_ends[0], message, sizeof(message) - 1);
    close(pipe_ends[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    message[got > 0 ? got : 0] = '\0';
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_non_null(strstr(message, "full.db: cannot write: "));
    it_holds_two_and_works(path, many);
}

static void a_second_writer_is_told(void **state)
{
    (void)state;
    const char *path = store_of_two("two.db");
    sqlite3 *other = NULL;
    kua__store *store;
    kua__shop *shop;
    assert_int_equal(sqlite3_open(path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_ok(kua__store_open(path, &store));
    kua__import_options o = {.domain = "d", .events = many_events()};
    assert_fails(kua__store_import(store, &o, NULL, NULL), KUA_STORE,
                 "two.db: cannot begin to write: database is locked");
    assert_ok(kua__store_load_shop(store, NULL, 0, &shop)); /* reading goes on */
    assert_int_equal(shop->domains[0].log.n_events, 2);
    kua__shop_free(shop);
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_int_equal(import_events(store, &o), MANY);
    kua__store_close(store);
}

/* Two processes import at once: one after the other, and everything is there. */
static void two_processes_import_at_once(void **state)
{
    (void)state;
    const char *path = store_of_two("both.db"), *many = many_events();
    pid_t child[2];
    for (int i = 0; i < 2; i++) {
        child[i] = fork();
        assert_true(child[i] >= 0);
        if (child[i] == 0) {
            kua__store *store = NULL;
            kua__import_options o = {.domain = i ? "x" : "y", .events = many};
            kua_status st = kua__store_open(path, &store);
            do {
                st = st ? st : kua__store_import(store, &o, NULL, NULL);
            } while (st == KUA_STORE && strstr(kua_error_message(), "locked") && !(st = KUA_OK));
            kua__store_close(store);
            _exit(st ? 1 : 0);
        }
    }
    for (int i = 0; i < 2; i++) {
        int status = 0;
        assert_int_equal(waitpid(child[i], &status, 0), child[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    assert_int_equal(ask(path, "SELECT count(*) FROM events"), 2 + 2 * MANY);
    assert_int_equal(ask(path, "SELECT count(*) FROM users"), 2 + 997);
    assert_int_equal(ask(path, "SELECT count(*) = max(number) + 1 FROM items"), 1);
}

static void a_newer_store_is_refused(void **state)
{
    (void)state;
    const char *path = store_of_two("newer.db");
    kua__store *store;
    run_sql(path, "PRAGMA user_version = 99");
    assert_fails(
        kua__store_open(path, &store), KUA_FORMAT,
        "newer.db: made by a newer kua (its tables are version 99, this one knows up to 1)");
    assert_null(store);
    run_sql(path, "PRAGMA user_version = 0");
    assert_fails(kua__store_open(path, &store), KUA_FORMAT, "tables are version 0");
    run_sql(path, "PRAGMA application_id = 1");
    assert_fails(kua__store_open(path, &store), KUA_FORMAT, "not of kua");
}

static void what_is_no_store_is_refused(void **state)
{
    (void)state;
    kua__store *store;
    char junk[4096];
    memset(junk, 'x', sizeof(junk));
    fresh_path("junk.db");
    const char *path = test_temp_file("junk.db", junk, sizeof(junk));
    assert_fails(kua__store_open(path, &store), KUA_FORMAT, "junk.db: cannot");
    path = test_temp_file("junk.db", "", 0);
    assert_fails(kua__store_open(path, &store), KUA_FORMAT, "not of kua");
    assert_fails(kua__store_open(test_temp_dir(), &store), KUA_STORE, "cannot open");
}

/* Pages in the middle of the file are overwritten. */
static void a_damaged_store_is_told(void **state)
{
    (void)state;
    kua__store *store = fresh_store("damaged.db");
    const char *path = test_temp_path("damaged.db");
    kua__import_options o = {.domain = "d", .events = many_events()};
    assert_int_equal(import_events(store, &o), MANY);
    kua__store_close(store);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    char junk[4096];
    memset(junk, 0x5a, sizeof(junk));
    off_t size = lseek(fd, 0, SEEK_END);
    for (off_t at = 16 * 4096; at + 4096 <= size; at += 4096) {
        assert_int_equal(pwrite(fd, junk, sizeof(junk), at), sizeof(junk));
    }
    close(fd);
    kua__shop *shop = NULL;
    assert_ok(kua__store_open(path, &store));
    assert_fails(kua__store_load_shop(store, NULL, 0, &shop), KUA_STORE,
                 "damaged.db: cannot read: database disk image is malformed");
    kua__store_close(store);
}

static void numbers_out_of_range_are_damage(void **state)
{
    (void)state;
    static const struct {
        const char *sql, *words;
    } wrong[] = {
        {"UPDATE events SET item = 77", "an event has a number that is out of range"},
        {"UPDATE events SET user = -1", "an event has a number that is out of range"},
        {"UPDATE events SET type = 99", "an event has a number that is out of range"},
        {"UPDATE events SET part = 9", "an event has a number that is out of range"},
        {"DELETE FROM users WHERE number = 0", "the numbers of its users have holes"},
    };
    for (size_t i = 0; i < KUA__COUNT(wrong); i++) {
        const char *path = store_of_two("range.db");
        kua__store *store;
        kua__shop *shop;
        run_sql(path, wrong[i].sql);
        assert_ok(kua__store_open(path, &store));
        assert_fails(kua__store_load_shop(store, NULL, 0, &shop), KUA_STORE, wrong[i].words);
        kua__store_close(store);
    }
    const char *path = store_of_two("range.db");
    kua__store *store;
    kua__import_options o = {.domain = "d", .events = many_events()};
    run_sql(path, "UPDATE items SET domain = 5");
    assert_ok(kua__store_open(path, &store));
    assert_fails(kua__store_import(store, &o, NULL, NULL), KUA_STORE, "its items have holes");
    kua__store_close(store);
}

static void a_read_only_store_reads(void **state)
{
    (void)state;
    const char *path = store_of_two("frozen.db");
    kua__store *store;
    kua__shop *shop;
    assert_ok(kua__store_open_read_only(path, &store));
    assert_ok(kua__store_load_shop(store, NULL, 0, &shop));
    kua__shop_free(shop);
    kua__import_options o = {.domain = "d", .events = many_events()};
    assert_fails(kua__store_import(store, &o, NULL, NULL), KUA_STORE, "readonly database");
    assert_fails(kua__store_setting_set(store, "a", "b"), KUA_STORE, "readonly database");
    kua__store_close(store);
}

static void progress_is_told(void **state)
{
    (void)state;
    kua__store *store = fresh_store("progress.db");
    int calls = 0;
    kua_monitor monitor = {.progress = note_progress, .user = &calls};
    kua__import_options o = {.domain = "d", .events = many_events()};
    assert_ok(kua__store_import(store, &o, &monitor, NULL));
    assert_true(calls >= 3);
    kua__store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_import_leaves_nothing),
        cmocka_unit_test(a_full_disk_leaves_nothing),
        cmocka_unit_test(a_second_writer_is_told),
        cmocka_unit_test(two_processes_import_at_once),
        cmocka_unit_test(a_newer_store_is_refused),
        cmocka_unit_test(what_is_no_store_is_refused),
        cmocka_unit_test(a_damaged_store_is_told),
        cmocka_unit_test(numbers_out_of_range_are_damage),
        cmocka_unit_test(a_read_only_store_reads),
        cmocka_unit_test(progress_is_told),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

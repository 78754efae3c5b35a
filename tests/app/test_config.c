/* test_config.c - classifier.json and the settings: what is read back, and what is refused. */
#include "testlib.h"

#include <string.h>

#include "app/config.h"
#include "app/settings.h"

static const char good[] =
    "{\"version\": 1, \"task\": \"classify\", \"method\": \"encoder\", \"head\": \"lstm\", "
    "\"tune\": "
    "\"full\", \"dim\": 24, \"hidden\": 8, \"max_tokens\": 32, \"labels\": [\"no\", \"yes\"], "
    "\"encoder\": \"encoder\"}";

static void refused(const char *from, const char *to, const char *part)
{
    kua__app_config c;
    char text[1024], *at;
    snprintf(text, sizeof(text), "%s", good);
    at = strstr(text, from);
    assert_non_null(at);
    char rest[1024];
    snprintf(rest, sizeof(rest), "%s", at + strlen(from));
    snprintf(at, sizeof(text) - (size_t)(at - text), "%s%s", to, rest);
    assert_fails(kua__app_config_parse("c.json", text, strlen(text), &c), KUA_FORMAT, part);
    kua__app_config_release(&c);
}

static void what_is_saved_is_read_back(void **state)
{
    (void)state;
    kua__app_config c, d;
    assert_ok(kua__app_config_parse("c.json", good, strlen(good), &c));
    assert_int_equal(kua__app_outs(&c), 1);
    assert_false(kua__app_softmax(&c));
    assert_ok(kua__make_folders(test_temp_path("saved")));
    assert_ok(kua__app_config_save(test_temp_path("saved"), &c, NULL));
    assert_ok(kua__app_config_load(test_temp_path("saved"), &d));
    assert_int_equal(d.head, KUA__HEAD_LSTM);
    assert_int_equal(d.tune, KUA__TUNE_FULL);
    assert_int_equal(d.hidden, 8);
    assert_string_equal(d.labels.name[1], "yes");
    assert_string_equal(d.encoder, "encoder");
    kua__app_config_release(&c);
    kua__app_config_release(&d);
}

static void a_newer_version_is_refused(void **state)
{
    (void)state;
    refused("\"version\": 1", "\"version\": 2",
            "c.json: version is 2, this program reads up to 1: it was made by a newer kua");
}

static void wrong_fields_are_named(void **state)
{
    (void)state;
    refused("\"lstm\"", "\"gru\"", "c.json: head is 'gru'");
    refused("\"full\"", "\"half\"", "c.json: tune is 'half'");
    refused("\"encoder\", \"head\"", "\"tfidf\", \"head\"", "tfidf");
    refused("\"encoder\", \"head\"", "\"vectors\", \"head\"", "no tokens");
    refused("[\"no\", \"yes\"]", "[\"no\"]", "one label only");
    refused("[\"no\", \"yes\"]", "[\"no\", \"no\"]", "labels[1] is there twice");
    refused("[\"no\", \"yes\"]", "[\"no\", 3]", "labels[1] is no text");
    refused("[\"no\", \"yes\"]", "[]", "labels is no array");
    refused("\"dim\": 24", "\"dim\": 0", "dim is 0");
    refused("\"hidden\": 8", "\"hidden\": 99999", "hidden is 99999");
    refused("\"max_tokens\": 32", "\"max_tokens\": 1", "max_tokens is 1");
    refused(", \"encoder\": \"encoder\"", "", "encoder is missing");
    refused("\"classify\"", "\"tag\"", "labels are not O, B-TYPE, I-TYPE");
}

static void settings_are_checked(void **state)
{
    (void)state;
    kua__app_settings s;
    assert_ok(kua__app_settings_parse(NULL, &s));
    assert_int_equal(kua__setting_count(&s, KUA__SET_EPOCHS), 5);
    assert_ok(kua__app_settings_parse("{\"epochs\": 7, \"bf16\": false}", &s));
    assert_int_equal(kua__setting_count(&s, KUA__SET_EPOCHS), 7);
    assert_int_equal(kua__setting_count(&s, KUA__SET_BF16), 0);
    assert_fails(kua__app_settings_parse("{\"epoch\": 7}", &s), KUA_INVALID,
                 "settings: there is no 'epoch'");
    assert_fails(kua__app_settings_parse("{\"epochs\": 1.5}", &s), KUA_INVALID,
                 "epochs is not a whole number from 1 to 10000");
    assert_fails(kua__app_settings_parse("{\"lr\": \"x\"}", &s), KUA_INVALID, "lr is not a number");
    assert_fails(kua__app_settings_parse("{\"lr\": 2}", &s), KUA_INVALID, "lr is not a number");
    assert_fails(kua__app_settings_parse("[]", &s), KUA_INVALID, "expected a JSON object");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__app_config c;
        st = kua__app_config_parse("c.json", good, strlen(good), &c);
        if (!st) st = kua__app_config_save(test_temp_path("saved"), &c, NULL);
        kua__app_config_release(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_saved_is_read_back), cmocka_unit_test(a_newer_version_is_refused),
        cmocka_unit_test(wrong_fields_are_named),     cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

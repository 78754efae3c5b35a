/* test_intake.c - reading and cleaning: each step alone, histories and splits, rejects, settings.
 *
 * Method: small files are written, taken in, and the events written down again as
 * "user item time value type part" in the order of the store's key.
 */
#include "testlib.h"

#include "base/json.h"
#include "data/intake.h"

typedef struct taken {
    kua__intake *in;
    json_t *report;
} taken;

static kua_status take(const kua__import_options *options, taken *out)
{
    *out = (taken){0};
    kua_status st = kua__intake_create(options, &out->in);
    if (!st) st = kua__intake_read(out->in, NULL);
    if (!st) st = kua__intake_clean(out->in, NULL);
    if (!st) st = kua__intake_report(out->in, &out->report);
    return st;
}

static void release(taken *t)
{
    kua__intake_free(t->in);
    json_decref(t->report);
}

static const char *file(const char *name, const char *text)
{
    return test_temp_file(name, text, strlen(text));
}

static void events_are(const taken *t, const char *expected)
{
    kua__buf out = {0};
    for (size_t e = 0; e < t->in->n_events; e++) {
        const kua__intake_event *ev = &t->in->events[e];
        kua__buf_printf(&out, "%s %s %lld %g %s %d\n", t->in->users.name[ev->user],
                        t->in->items[ev->item].id, (long long)ev->time, (double)ev->value,
                        kua__event_type_name((kua__event_type)ev->type), ev->part);
    }
    assert_string_equal(out.data ? out.data : "", expected);
    kua__buf_release(&out);
}

static json_int_t removed(const taken *t, const char *step)
{
    size_t i;
    json_t *one;
    json_array_foreach(json_object_get(t->report, "cleaned"), i, one)
    {
        if (kua__streq(json_string_value(json_object_get(one, "step")), step)) {
            return json_integer_value(json_object_get(one, "removed"));
        }
    }
    fail_msg("no step '%s'", step);
    return -1;
}

static void steps_are_counted(void **state)
{
    (void)state;
    taken t;
    const char *items = file("i.csv", "item_id,title\na,A\nb,B\nb,Bee\n");
    const char *events = file("e.csv", "user_id,item_id,timestamp,rating\n"
                                       "u,a,1500000000,5\nu,a,1500000000,5\nu,a,1500000000,4\n"
                                       "u,zz,1500000000,5\nv,b,-5,1\nv,b,99999999999,1\n"
                                       "v,b,2017-07-14,2\n");
    assert_ok(take(&(kua__import_options){.domain = "d", .items = items, .events = events}, &t));
    events_are(&t, "u a 1500000000 4 rating 0\nu a 1500000000 5 rating 0\n"
                   "v b 1499990400 2 rating 0\n");
    assert_int_equal(removed(&t, "exact duplicates"), 1);
    assert_int_equal(removed(&t, "unknown items"), 1);
    assert_int_equal(removed(&t, "impossible times"), 2);
    assert_int_equal(removed(&t, "repeated items"), 1);
    assert_int_equal(removed(&t, "unreadable lines"), 0);
    assert_string_equal(t.in->items[1].name, "Bee");
    assert_true(t.in->domains[0].has_clock);
    release(&t);
}

static void settings_change_the_steps(void **state)
{
    (void)state;
    taken t;
    const char *items = file("i.csv", "item_id,title\na,A\n");
    const char *events =
        file("e.csv", "user_id,item_id,timestamp\n"
                      "u,a,1500000000\nu,a,1500000000\nu,never,soon\nu,new,1500000001\n");
    json_t *settings = json_pack("{s:s, s:s, s:f}", "duplicates", "keep", "unknown_items", "create",
                                 "max_bad_share", 0.5);
    assert_ok(take(
        &(kua__import_options){
            .domain = "d", .items = items, .events = events, .settings = settings},
        &t));
    events_are(&t, "u a 1500000000 1 purchase 0\nu a 1500000000 1 purchase 0\n"
                   "u new 1500000001 1 purchase 0\n");
    assert_int_equal(t.in->events[0].occurrence, 0);
    assert_int_equal(t.in->events[1].occurrence, 1);
    assert_int_equal(t.in->n_items, 2); /* "never" is not made: its row was rejected */
    release(&t);
    json_decref(settings);

    static const struct {
        const char *text, *words;
    } wrong[] = {
        {"[]", "expected a JSON object"},
        {"{\"k_cor\": 3}", "'k_cor' is unknown, expected max_bad_share"},
        {"{\"k_core\": -1}", "k_core is -1, expected an integer"},
        {"{\"max_bad_share\": 2}", "max_bad_share is 2"},
        {"{\"unknown_items\": \"eat\"}", "expected auto, drop or create"},
        {"{\"duplicates\": \"eat\"}", "expected drop or keep"},
        {"{\"latest_time\": \"noon\"}", "latest_time is 'noon', expected a date"},
    };
    for (size_t i = 0; i < KUA__COUNT(wrong); i++) {
        json_t *json = json_loads(wrong[i].text, 0, NULL);
        assert_fails(take(&(kua__import_options){.items = items, .settings = json}, &t),
                     KUA_INVALID, wrong[i].words);
        json_decref(json);
    }
}

static void bots_and_cores(void **state)
{
    (void)state;
    taken t;
    kua__buf text = {0};
    kua__buf_puts(&text, "user_id,item_id,timestamp\n");
    for (int i = 0; i < 20; i++) {
        kua__buf_printf(&text, "bot,a,%d\nslow,a,%d\n", 1500000000 + i, 1500000000 + 7200 * i);
    }
    const char *events = file("e.csv", text.data);
    json_t *settings = json_pack("{s:i}", "bot_events_per_hour", 10);
    kua__import_options o = {.domain = "d", .events = events, .settings = settings};
    assert_ok(take(&o, &t));
    assert_int_equal(t.in->n_events, 20);
    assert_int_equal(removed(&t, "bots by rate"), 20);
    release(&t);
    json_decref(settings);

    /* x-y is a square of two users and two items; z hangs on by one event, w on z's item. */
    events = file("e.csv", "user_id,item_id,timestamp\nx,a,1\nx,b,2\ny,a,1\ny,b,2\nz,a,1\nz,c,2\n"
                           "w,c,1\n");
    settings = json_pack("{s:i}", "k_core", 2);
    o = (kua__import_options){.domain = "d", .events = events, .settings = settings};
    assert_ok(take(&o, &t));
    events_are(&t, "x a 1 1 purchase 0\nx b 2 1 purchase 0\ny a 1 1 purchase 0\n"
                   "y b 2 1 purchase 0\n");
    assert_int_equal(removed(&t, "k-core"), 3);
    release(&t);
    json_decref(settings);
    kua__buf_release(&text);
}

static void bad_lines_are_kept_with_their_reason(void **state)
{
    (void)state;
    taken t;
    const char *events =
        file("e.tsv", "user_id\titem_id\ttimestamp\trating\n"
                      "u\ta\tabc\t5\nu\ta\t1\tmany\n\ta\t1\t2\nu\ta\nu\ta\t3\t4\n");
    json_t *settings = json_pack("{s:f}", "max_bad_share", .9);
    const char *folder = test_temp_path("rejects");
    kua__import_options o = {
        .domain = "d", .events = events, .settings = settings, .rejects = folder};
    assert_ok(take(&o, &t));
    assert_int_equal(t.in->n_events, 1);
    assert_int_equal(removed(&t, "unreadable lines"), 4);
    const char *path = json_string_value(json_object_get(t.report, "rejects"));
    assert_non_null(path);
    kua__map map;
    assert_ok(kua__map_open(&map, path));
    kua__buf expected = {0};
    kua__buf_printf(&expected,
                    "file\tline\treason\tcontent\n"
                    "%s\t2\ttimestamp is 'abc', expected a number or a date\tu\ta\tabc\t5\n"
                    "%s\t3\trating is 'many', expected a number\tu\ta\t1\tmany\n"
                    "%s\t4\tuser_id is '', expected an id of 1 to 512 bytes\t\ta\t1\t2\n"
                    "%s\t5\thas 2 columns, the header has 4\tu\ta\n",
                    events, events, events, events);
    assert_int_equal(map.size, expected.len);
    assert_memory_equal(map.data, expected.data, map.size);
    kua__map_close(&map);
    kua__buf_release(&expected);
    release(&t);
    json_decref(settings);

    o.settings = NULL; /* 1 %: too many are bad; the rejects are kept all the same */
    assert_fails(take(&o, &t), KUA_FORMAT, "e.tsv: 4 of 5 lines are unreadable");
    assert_non_null(strstr(kua_error_message(), "timestamp is 'abc'"));
    assert_non_null(strstr(kua_error_message(), "e.tsv.rejects.tsv"));
    release(&t);
}

static void options_must_agree(void **state)
{
    (void)state;
    taken t;
    const char *items = file("i.csv", "item_id,title\na,A\n");
    assert_fails(take(&(kua__import_options){0}, &t), KUA_INVALID, "no file is given");
    assert_fails(take(&(kua__import_options){.events = "a", .train = "b"}, &t), KUA_INVALID,
                 "either an events file or a split");
    assert_fails(take(&(kua__import_options){.test = "b"}, &t), KUA_INVALID,
                 "needs its train file");
    assert_fails(take(&(kua__import_options){.items = items, .domain = ""}, &t), KUA_INVALID,
                 "name is empty");
    assert_fails(take(&(kua__import_options){.items = items}, &t), KUA_INVALID,
                 "which domain do these items belong to?");
    release(&t);
    assert_fails(take(&(kua__import_options){.items = "/nowhere.csv", .domain = "d"}, &t), KUA_IO,
                 "/nowhere.csv");
    release(&t);
}

static void several_domains_in_one_file(void **state)
{
    (void)state;
    taken t;
    static const char text[] = "{\"items\": {\"id\": \"id\", \"domain\": \"shelf\"}}";
    const char *map = file("map.json", text);
    const char *items = file("i.csv", "id,shelf,title\n1,food,Bread\n2,care,Soap\n3,food,Milk\n"
                                      "1,care,Bread soap\n");
    const char *events = file("e.csv", "user_id,item_id,timestamp\nu,2,20\nu,3,10\n");
    assert_ok(take(&(kua__import_options){.items = items, .events = events, .map = map}, &t));
    assert_int_equal(t.in->domain_names.count, 2);
    assert_int_equal(t.in->n_items, 4);
    events_are(&t, "u 3 10 1 purchase 0\nu 2 20 1 purchase 0\n");
    assert_false(t.in->domains[0].has_clock);
    release(&t);
    events = file("e.csv", "user_id,item_id,timestamp\nu,1,20\n"); /* in both */
    assert_fails(take(&(kua__import_options){.items = items, .events = events, .map = map}, &t),
                 KUA_FORMAT, "expected an item of one domain");
    release(&t);
}

static void text_is_title_and_categories_else_keywords(void **state)
{
    (void)state;
    taken t;
    const char *items = file("i.item", "item_id:token\ttitle:token_seq\tcategories:token_seq\t"
                                       "keywords:token_seq\n"
                                       "a\tRed <b>Lamp</b>\tHome > Light\tx\n"
                                       "b\t\t\tled bicycle lamp\nc\t\tHome > Light\tx\n"
                                       "d\tOnly title\t\t\ne\t\t\t\n");
    assert_ok(take(&(kua__import_options){.domain = "d", .items = items}, &t));
    assert_string_equal(t.in->items[0].text, "Red Lamp Home Light");
    assert_string_equal(t.in->items[0].name, "Red Lamp");
    assert_string_equal(t.in->items[0].category, "Home > Light");
    assert_string_equal(t.in->items[1].text, "led bicycle lamp");
    assert_string_equal(t.in->items[1].name, "led bicycle lamp");
    assert_string_equal(t.in->items[2].text, "Home Light");
    assert_string_equal(t.in->items[3].text, "Only title");
    assert_string_equal(t.in->items[4].text, "");
    assert_string_equal(t.in->items[4].name, "");
    release(&t);
}

static void rows_without_time_are_positions(void **state)
{
    (void)state;
    taken t;
    const char *events = file("e.csv", "user_id,item_id\nu,a\nv,b\nu,c\nu,b\n");
    assert_ok(take(&(kua__import_options){.domain = "d", .events = events}, &t));
    events_are(&t, "u a 0 1 purchase 0\nu c 1 1 purchase 0\nu b 2 1 purchase 0\n"
                   "v b 0 1 purchase 0\n");
    assert_false(t.in->domains[0].has_clock);
    release(&t);
}

static void a_given_split_has_parts(void **state)
{
    (void)state;
    taken t;
    static const char header[] = "user_id:token\titem_id:token\ttimestamp:float\n";
    char text[3][256];
    snprintf(text[0], 256, "%su\ta\t0\nu\tb\t1\n", header);
    snprintf(text[1], 256, "%su\tc\t2\n", header);
    snprintf(text[2], 256, "%su\td\t3\n", header);
    kua__import_options o = {.domain = "d",
                             .train = file("x.train.inter", text[0]),
                             .valid = file("x.valid.inter", text[1]),
                             .test = file("x.test.inter", text[2])};
    assert_ok(take(&o, &t));
    events_are(&t, "u a 0 1 purchase 1\nu b 1 1 purchase 1\nu c 2 1 purchase 2\n"
                   "u d 3 1 purchase 3\n");
    release(&t);
}

static void histories_are_unrolled(void **state)
{
    (void)state;
    taken t;
    static const char header[] = "user_id:token\titem_id_list:token_seq\titem_id:token\n";
    char text[3][256];
    snprintf(text[0], 256, "%su\ta\tb\nu\ta b\tc\nv\tc\ta\n", header);
    snprintf(text[1], 256, "%su\tb c\td\n", header); /* cut to the latest two */
    snprintf(text[2], 256, "%su\ta b c d\ta\nw\tx y\tz\n", header);
    kua__import_options o = {.domain = "d",
                             .train = file("x.train.inter", text[0]),
                             .valid = file("x.valid.inter", text[1]),
                             .test = file("x.test.inter", text[2])};
    assert_ok(take(&o, &t));
    events_are(&t, "u a 0 1 purchase 1\nu b 1 1 purchase 1\nu c 2 1 purchase 1\n"
                   "u d 3 1 purchase 2\nu a 4 1 purchase 3\nv c 0 1 purchase 1\n"
                   "v a 1 1 purchase 1\nw x 0 1 purchase 1\nw y 1 1 purchase 1\n"
                   "w z 2 1 purchase 3\n");
    assert_false(t.in->domains[0].has_clock);
    release(&t);
    snprintf(text[1], 256, "%su\tx y\td\n", header);
    o.valid = file("x.valid.inter", text[1]);
    assert_fails(take(&o, &t), KUA_FORMAT, "item_id_list does not continue the user's history");
    release(&t);
}

static void users_have_attributes(void **state)
{
    (void)state;
    taken t;
    const char *users = file("u.csv", "user_id,age,city\nu,33,\nv,,Bonn\nu,34,Ulm\n");
    assert_ok(take(&(kua__import_options){.users = users}, &t));
    assert_int_equal(t.in->users.count, 2);
    assert_string_equal(t.in->attributes[0], "{\"age\":\"34\",\"city\":\"Ulm\"}");
    assert_string_equal(t.in->attributes[1], "{\"city\":\"Bonn\"}");
    release(&t);
}

static void json_lines_and_time_formats(void **state)
{
    (void)state;
    taken t;
    const char *events = file("e.jsonl", "{\"user\": 1, \"item\": \"a\", \"time\": 1500000000123,"
                                         "\"event\": \"addtocart\"}\n"
                                         "{\"user\": 1, \"item\": \"b\", \"time\": 1.5e9}\n"
                                         "{\"user\": 2, \"item\": \"a\","
                                         "\"time\": \"2017-07-14T02:40:00Z\"}\n");
    assert_ok(take(&(kua__import_options){.domain = "d", .events = events}, &t));
    events_are(&t, "1 a 1500000000 1 cart 0\n1 b 1500000000 1 purchase 0\n"
                   "2 a 1500000000 1 purchase 0\n");
    release(&t);
    events = file("e.csv", "user_id,item_id,timestamp,type\nu,a,1500000000,steal\n");
    assert_fails(take(&(kua__import_options){.domain = "d", .events = events}, &t), KUA_FORMAT,
                 "type is 'steal', expected view, click");
    release(&t);
}

static bool stop(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage;
    (void)done;
    (void)total;
    return --*(int *)user > 0;
}

static void it_can_be_canceled(void **state)
{
    (void)state;
    kua__intake *in;
    int calls = 1;
    kua_monitor monitor = {.progress = stop, .user = &calls};
    const char *events = file("e.csv", "user_id,item_id,timestamp\nu,a,1\n");
    assert_ok(kua__intake_create(&(kua__import_options){.domain = "d", .events = events}, &in));
    assert_fails(kua__intake_read(in, &monitor), KUA_CANCELED, "canceled");
    kua__intake_free(in);
}

static void hashes_tell_imports_apart(void **state)
{
    (void)state;
    uint64_t hash[3];
    const char *const texts[] = {"user_id,item_id\nu,a\n", "user_id,item_id\nu,a\n",
                                 "user_id,item_id\nu,b\n"};
    for (int i = 0; i < 3; i++) {
        kua__intake *in;
        kua__import_options o = {.domain = "d", .events = file("e.csv", texts[i])};
        assert_ok(kua__intake_create(&o, &in));
        assert_ok(kua__intake_hash(in, &hash[i]));
        kua__intake_free(in);
    }
    assert_true(hash[0] == hash[1]);
    assert_true(hash[0] != hash[2]);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *items = file("i.csv", "item_id,title,price\na,Caf\u00e9 &amp; so,3\nb,B,x\n");
    const char *users = file("u.csv", "user_id,age\nu,3\n");
    const char *train = file("t.inter", "user_id:token\titem_id_list:token_seq\titem_id:token\n"
                                        "u\ta\tb\n");
    json_t *settings =
        json_pack("{s:i, s:f, s:s}", "k_core", 2, "max_bad_share", 1.0, "unknown_items", "create");
    kua__import_options o = {.domain = "d",
                             .items = items,
                             .users = users,
                             .train = train,
                             .settings = settings,
                             .rejects = test_temp_path("oom")};
    kua_status st = KUA_OK;
    TEST_EVERY_ALLOCATION(st)
    {
        taken t;
        st = take(&o, &t);
        release(&t);
    }
    o.rejects = NULL; /* what is written waits for the disk: once is enough */
    TEST_EVERY_ALLOCATION(st)
    {
        kua__shop *shop = NULL;
        st = kua__shop_from_files(&o, 1, &shop);
        kua__shop_free(shop);
    }
    json_decref(settings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_counted),
        cmocka_unit_test(settings_change_the_steps),
        cmocka_unit_test(bots_and_cores),
        cmocka_unit_test(bad_lines_are_kept_with_their_reason),
        cmocka_unit_test(options_must_agree),
        cmocka_unit_test(several_domains_in_one_file),
        cmocka_unit_test(text_is_title_and_categories_else_keywords),
        cmocka_unit_test(rows_without_time_are_positions),
        cmocka_unit_test(a_given_split_has_parts),
        cmocka_unit_test(histories_are_unrolled),
        cmocka_unit_test(users_have_attributes),
        cmocka_unit_test(json_lines_and_time_formats),
        cmocka_unit_test(it_can_be_canceled),
        cmocka_unit_test(hashes_tell_imports_apart),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

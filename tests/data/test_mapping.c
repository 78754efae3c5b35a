/* test_mapping.c - mappings: what is refused and how, usual names, and what columns come out. */
#include "testlib.h"

#include "data/mapping.h"
#include "data/shop.h"

static kua_status parse(const char *text, kua__mapping **out)
{
    return kua__mapping_parse("map.json", text, strlen(text), out);
}

static void refused(const char *text, const char *words)
{
    kua__mapping *m = NULL;
    assert_fails(parse(text, &m), KUA_FORMAT, words);
    assert_null(m);
}

static void wrong_mappings_are_refused_by_member(void **state)
{
    (void)state;
    refused("[]", "map.json: is not a JSON object");
    refused("{", "map.json:1:1:");
    refused("{\"item\": {}}", "unknown member 'item', expected items, events, users");
    refused("{\"items\": 3}", "items is not an object");
    refused("{\"items\": {\"titel\": \"x\"}}", "unknown member 'titel', expected id, domain, name");
    refused("{\"events\": {\"user\": 3}}", "events.user, expected a column's name");
    refused("{\"events\": {\"user\": \"\"}}", "events.user, expected a column's name");
    refused("{\"events\": {\"user\": [\"a\", 1]}}", "events.user, expected a column's name");
    refused("{\"events\": {\"time_format\": \"tai\"}}", "expected auto, seconds");
    refused("{\"events\": {\"types\": {\"x\": \"steal\"}}}", "events.types.x is no type");
    refused("{\"events\": {\"types\": 1}}", "events.types is not an object");
    refused("{\"items\": {\"format\": \"xml\"}}", "items.format is unknown");
    refused("{\"items\": {\"file\": 1}}", "items.file is not a string");
    refused("{\"items\": {\"types\": {}}}", "unknown member 'types'");
}

/* The names of a role's columns, joined by commas. */
static const char *columns(const kua__table *t, const kua__binding *b, kua__role role)
{
    static kua__buf text;
    const kua__source_columns *s = &b->role[role];
    kua__buf_clear(&text);
    if (s->constant) {
        kua__buf_printf(&text, "=%s", s->constant);
    }
    for (size_t i = 0; i < s->n; i++) {
        kua__buf_printf(&text, "%s%s", i ? "," : "", kua__table_column(t, s->column[i]));
    }
    static char copy[256];
    snprintf(copy, sizeof(copy), "%s", text.data ? text.data : "");
    kua__buf_release(&text);
    return copy;
}

static kua__table *open_header(const char *header)
{
    kua__table *t = NULL;
    assert_ok(kua__table_open_memory("f.csv", header, strlen(header), KUA__TABLE_CSV, &t));
    return t;
}

static void usual_names_are_found(void **state)
{
    (void)state;
    kua__mapping *m;
    kua__binding b;
    assert_ok(kua__mapping_load(NULL, &m));
    kua__table *t = open_header("item_id,title,categories,keywords,price\n");
    assert_ok(kua__mapping_bind(m, KUA__SECTION_ITEMS, t, &b));
    assert_string_equal(columns(t, &b, KUA__ROLE_ITEM), "item_id");
    assert_string_equal(columns(t, &b, KUA__ROLE_NAME), "title");
    assert_string_equal(columns(t, &b, KUA__ROLE_CATEGORY), "categories");
    assert_string_equal(columns(t, &b, KUA__ROLE_TEXT), "title,categories");
    assert_string_equal(columns(t, &b, KUA__ROLE_TEXT_ELSE), "keywords");
    assert_string_equal(columns(t, &b, KUA__ROLE_PRICE), "price");
    assert_string_equal(columns(t, &b, KUA__ROLE_DOMAIN), "");
    kua__table_close(t);

    t = open_header("reviewerID,asin,overall,unixReviewTime\n");
    assert_ok(kua__mapping_bind(m, KUA__SECTION_EVENTS, t, &b));
    assert_string_equal(columns(t, &b, KUA__ROLE_USER), "reviewerID");
    assert_string_equal(columns(t, &b, KUA__ROLE_ITEM), "asin");
    assert_string_equal(columns(t, &b, KUA__ROLE_VALUE), "overall");
    assert_string_equal(columns(t, &b, KUA__ROLE_TIME), "unixReviewTime");
    kua__table_close(t);

    t = open_header("buyer,thing\n");
    assert_fails(kua__mapping_bind(m, KUA__SECTION_EVENTS, t, &b), KUA_FORMAT,
                 "f.csv:1: no column for events.user");
    kua__table_close(t);
    kua__mapping_free(m);
}

static void a_mapping_names_columns(void **state)
{
    (void)state;
    kua__mapping *m;
    kua__binding b;
    assert_ok(parse("{\"items\": {\"item\": \"pid\", \"domain\": \"=beauty\", \"name\": \"label\","
                    "\"category\": [\"c1\", \"c2\"], \"brand\": \"maker\"},"
                    "\"events\": {\"user\": \"who\", \"item\": \"pid\", \"type\": \"=view\"}}",
                    &m));
    kua__table *t = open_header("pid,label,c1,c2,maker\n");
    assert_ok(kua__mapping_bind(m, KUA__SECTION_ITEMS, t, &b));
    assert_string_equal(columns(t, &b, KUA__ROLE_ITEM), "pid");
    assert_string_equal(columns(t, &b, KUA__ROLE_DOMAIN), "=beauty");
    assert_string_equal(columns(t, &b, KUA__ROLE_CATEGORY), "c1,c2");
    assert_string_equal(columns(t, &b, KUA__ROLE_TEXT), "label,maker,c1,c2");
    kua__table_close(t);

    t = open_header("who,item\n");
    assert_fails(kua__mapping_bind(m, KUA__SECTION_EVENTS, t, &b), KUA_FORMAT,
                 "events.item: f.csv:1: no column is called 'pid', there are: who, item");
    kua__table_close(t);
    kua__mapping_free(m);
}

static void event_types_have_many_names(void **state)
{
    (void)state;
    kua__mapping *m;
    uint8_t type;
    const char *word =
        "a-purchase-that-was-made-in-the-shop-by-telephone-and-entered-there-by-hand";
    assert_ok(
        parse("{\"events\": {\"types\": {\"kauf\": \"purchase\", "
              "\"a-purchase-that-was-made-in-the-shop-by-telephone-and-entered-there-by-hand\""
              ": \"purchase\"}}}",
              &m));
    assert_true(kua__mapping_type(m, "kauf", 4, &type));
    assert_int_equal(type, KUA__EVENT_PURCHASE);
    assert_true(kua__mapping_type(m, word, strlen(word), &type));
    assert_int_equal(type, KUA__EVENT_PURCHASE);
    assert_true(kua__mapping_type(m, "add_to_cart", 11, &type));
    assert_int_equal(type, KUA__EVENT_CART);
    assert_true(kua__mapping_type(m, "view", 4, &type));
    assert_int_equal(type, KUA__EVENT_VIEW);
    assert_false(kua__mapping_type(m, "", 0, &type));
    assert_false(kua__mapping_type(m, "steal", 5, &type));
    kua__mapping_free(m);
}

static void files_and_formats(void **state)
{
    (void)state;
    static const char text[] = "{\"items\": {\"file\": \"data/items.txt\", \"format\": \"tsv\"},"
                               "\"users\": {\"file\": \"/abs/u.csv\"}}";
    kua__mapping *m;
    char *file;
    kua__table_format format;
    assert_ok(kua__mapping_load(test_temp_file("map.json", text, strlen(text)), &m));
    assert_ok(kua__mapping_file(m, KUA__SECTION_ITEMS, &file));
    assert_string_equal(file, test_temp_path("data/items.txt"));
    assert_ok(kua__mapping_format(m, KUA__SECTION_ITEMS, file, &format));
    assert_int_equal(format, KUA__TABLE_TSV);
    kua__free(file);
    assert_ok(kua__mapping_file(m, KUA__SECTION_USERS, &file));
    assert_string_equal(file, "/abs/u.csv");
    kua__free(file);
    assert_ok(kua__mapping_file(m, KUA__SECTION_EVENTS, &file));
    assert_null(file);
    assert_fails(kua__mapping_format(m, KUA__SECTION_EVENTS, "x.txt", &format), KUA_INVALID,
                 "x.txt");
    kua__mapping_free(m);
    assert_fails(kua__mapping_load("/nowhere/map.json", &m), KUA_IO, "/nowhere/map.json");
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st = KUA_OK;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__mapping *m = NULL;
        kua__table *t = NULL;
        kua__binding b;
        st = parse("{\"items\": {\"id\": \"a\", \"category\": [\"b\"]}}", &m);
        if (!st) st = kua__table_open_memory("f.csv", "a,b\n", 4, KUA__TABLE_CSV, &t);
        if (!st) st = kua__mapping_bind(m, KUA__SECTION_ITEMS, t, &b);
        kua__table_close(t);
        kua__mapping_free(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_mappings_are_refused_by_member),
        cmocka_unit_test(usual_names_are_found),
        cmocka_unit_test(a_mapping_names_columns),
        cmocka_unit_test(event_types_have_many_names),
        cmocka_unit_test(files_and_formats),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

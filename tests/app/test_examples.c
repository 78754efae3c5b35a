/* test_examples.c - tables of texts and labels: what is read, and what is refused with which words.
 */
#include "testlib.h"

#include <string.h>

#include "app/examples.h"

static const kua_classify_data plain = {.path = "t.tsv", .text = "text", .label = "label"};

static kua_status parse(kua__examples *ex, const char *text, const kua_classify_data *data,
                        const kua__wanted *wanted)
{
    kua__table *t = NULL;
    *ex = (kua__examples){0};
    kua_status st = kua__table_open_memory("t.tsv", text, strlen(text), KUA__TABLE_TSV, &t);
    if (!st) st = kua__examples_of(ex, t, data, wanted);
    kua__table_close(t);
    return st;
}

static void refused(const char *text, const kua_classify_data *data, const char *part)
{
    kua__examples ex;
    assert_fails(parse(&ex, text, data, &(kua__wanted){.labels = true}), KUA_FORMAT, part);
    kua__examples_release(&ex);
}

static void labels_are_sorted_whatever_the_order_of_rows(void **state)
{
    (void)state;
    kua__examples ex;
    assert_ok(
        parse(&ex, "text\tlabel\nx\tyes\ny\tno\nz\tyes\n", &plain, &(kua__wanted){.labels = true}));
    assert_int_equal(ex.n, 3);
    assert_int_equal(ex.labels.count, 2);
    assert_string_equal(ex.labels.name[0], "no");
    assert_int_equal(ex.label[0], 1);
    assert_int_equal(ex.label[1], 0);
    assert_int_equal(ex.text[2].n, 1);
    assert_int_equal(ex.text[2].data[0], 'z');
    kua__examples_release(&ex);
}

static void parts_and_groups(void **state)
{
    (void)state;
    kua__examples ex;
    kua_classify_data data = plain;
    data.split = "part";
    data.group = "g";
    const char *text = "text\tlabel\tpart\tg\na\tx\ttrain\tone\nb\ty\tvalid\ttwo\nc\tx\ttest\tone\n"
                       "d\ty\ttrain\tone\n";
    assert_ok(parse(&ex, text, &data, &(kua__wanted){.part = {"train", "valid"}, .labels = true}));
    assert_int_equal(ex.n, 3);
    assert_int_equal(ex.file_rows, 4);
    assert_int_equal(ex.part[1], 1);
    assert_int_equal(ex.row[2], 3);
    assert_int_equal(ex.group[0], ex.group[2]);
    kua__examples_release(&ex);
}

static void many_labels_a_text(void **state)
{
    (void)state;
    kua__examples ex;
    kua_classify_data data = plain;
    data.separator = ",";
    assert_ok(
        parse(&ex, "text\tlabel\nx\tb,a,b\ny\t\nz\ta\n", &data, &(kua__wanted){.labels = true}));
    assert_int_equal(ex.label_at[1], 2); /* "b,a,b" are two */
    assert_int_equal(ex.label_at[2], 2); /* none */
    assert_int_equal(ex.label_at[3], 3);
    kua__examples_release(&ex);
    refused("text\tlabel\nx\ta,,b\n", &data, "t.tsv:2: column 'label' is empty");
}

static void unknown_labels_are_counted(void **state)
{
    (void)state;
    kua__examples ex;
    kua__ids known;
    uint32_t id;
    kua__ids_init(&known);
    assert_ok(kua__ids_add(&known, "x", 1, &id));
    assert_ok(parse(&ex, "text\tlabel\na\tx\nb\tq\n", &plain,
                    &(kua__wanted){.known = &known, .labels = true}));
    assert_int_equal(ex.unseen, 1);
    assert_int_equal(ex.unseen_line, 3);
    assert_int_equal(ex.label[1], KUA__NO_ID);
    kua__examples_release(&ex);
    kua__ids_release(&known);
}

static void bad_tables_are_refused_with_line_and_column(void **state)
{
    (void)state;
    refused("text\tlabel\nx\ta\ny\n", &plain, "t.tsv:3: has 1 column");
    refused("text\tlabel\nx\t\n", &plain, "t.tsv:2: column 'label' is empty, expected a label");
    refused("text\tother\nx\ta\n", &plain, "label");
    refused("text\tlabel\n\xff\ta\n", &plain, "t.tsv:2: ");
    char long_label[400] = "text\tlabel\nx\t";
    memset(long_label + 13, 'a', 300);
    refused(long_label, &plain, "column 'label' is too long");
}

static void an_empty_file_and_an_absent_part(void **state)
{
    (void)state;
    kua__examples ex;
    kua_classify_data data = plain;
    data.path = test_temp_file("empty.tsv", "text\tlabel\tpart\n", 16);
    assert_fails(kua__examples_read(&ex, &data, &(kua__wanted){.labels = true}), KUA_FORMAT,
                 "there are no rows");
    kua__examples_release(&ex);
    data.split = "part";
    data.path = test_temp_file("one.tsv", "text\tlabel\tpart\na\tb\ttrain\n", 26);
    assert_fails(kua__examples_read(&ex, &data, &(kua__wanted){.part = {"test"}, .labels = true}),
                 KUA_FORMAT, "no row has 'test' in column 'part' (1 rows)");
    kua__examples_release(&ex);
    data.path = "nowhere.xyz";
    assert_fails(kua__examples_read(&ex, &data, &(kua__wanted){0}), KUA_INVALID, "the ending");
    kua__examples_release(&ex);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__examples ex;
        st = parse(&ex, "text\tlabel\nx\tyes\ny\tno\n", &plain, &(kua__wanted){.labels = true});
        kua__examples_release(&ex);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_sorted_whatever_the_order_of_rows),
        cmocka_unit_test(parts_and_groups),
        cmocka_unit_test(many_labels_a_text),
        cmocka_unit_test(unknown_labels_are_counted),
        cmocka_unit_test(bad_tables_are_refused_with_line_and_column),
        cmocka_unit_test(an_empty_file_and_an_absent_part),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

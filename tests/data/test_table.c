/* test_table.c - files of rows: what each format gives, what is told of bad lines, and the limits.
 *
 * Method: a small file in memory or on disk is read to its end and written down again as text, one
 * row a line, "line: field|field" or "line! reason", which is compared as a whole.
 */
#include "testlib.h"

#include <sys/resource.h>
#include <unistd.h>

#include "data/table.h"

static void write_row(kua__buf *out, const kua__table *t, const kua__row *row)
{
    kua__buf_printf(out, "%zu", row->line);
    if (row->bad) {
        kua__buf_printf(out, "! %s\n", row->bad);
        return;
    }
    for (size_t i = 0; i < kua__table_columns(t); i++) {
        kua__field f = row->field[i];
        kua__buf_puts(out, i ? "|" : ": ");
        kua__buf_add(out, f.text ? f.text : "-", f.text ? f.n : 1);
    }
    kua__buf_puts(out, "\n");
}

static kua_status read_all(const char *name, const void *data, size_t n, kua__buf *out)
{
    kua__table_format format;
    kua__table *t;
    kua__row row;
    KUA__TRY(kua__table_format_of(name, &format));
    kua_status st = kua__table_open_memory(name, data, n, format, &t);
    if (st) return st;
    while (!(st = kua__table_next(t, &row)) && row.line) {
        write_row(out, t, &row);
    }
    kua__table_close(t);
    return st ? st : kua__buf_status(out);
}

static void gives(const char *name, const char *file, const char *expected)
{
    kua__buf out = {0};
    assert_ok(read_all(name, file, strlen(file), &out));
    assert_string_equal(out.data ? out.data : "", expected);
    kua__buf_release(&out);
}

static void fails(const char *name, const void *file, size_t n, const char *words)
{
    kua__buf out = {0};
    assert_fails(read_all(name, file, n, &out), KUA_FORMAT, words);
    kua__buf_release(&out);
}

static void csv_follows_the_standard(void **state)
{
    (void)state;
    gives("a.csv", "a,b\n1,2\n", "2: 1|2\n");
    gives("a.csv", "a,b\r\n1,2\r\n\"x\",\"\"\r\n", "2: 1|2\n3: x|\n");
    gives("a.csv",
          "\xEF\xBB\xBF"
          "a,b\n1,2",
          "2: 1|2\n");
    gives("a.csv", "a,b\n\"say \"\"hi\"\", you\",2\n", "2: say \"hi\", you|2\n");
    gives("a.csv", "a,b\n\"\"\"\",\"a\"\"\"\n", "2: \"|a\"\n");
    gives("a.csv", "a,b\n\"two\nlines\",2\n3,4\n", "2: two\nlines|2\n4: 3|4\n");
    gives("a.csv", "a,b\n5\" disk,6\n", "2: 5\" disk|6\n");
    gives("a.csv", "a,b\n,\n\n\n7,8\n", "2: |\n5: 7|8\n");
    gives("a.csv", "\"a,x\",\"b\"\"y\"\n1,2\n", "2: 1|2\n");
    gives("a.csv", "a\n", "");
}

static void csv_reports_bad_lines_and_goes_on(void **state)
{
    (void)state;
    gives("a.csv", "a,b\n1\n2,3,4\n5,6\n",
          "2! has 1 columns, the header has 2\n3! has 3 columns, the header has 2\n4: 5|6\n");
    gives("a.csv", "a,b\n\"x\"y,2\n3,4\n",
          "2! column 1 has text after its closing quote\n3: 3|4\n");
    gives("a.csv", "a,b\n1,\xff\n\xc3\xa9,2\n",
          "2! is not UTF-8 (byte 3 is 0xff)\n3: \xc3\xa9|2\n");
    kua__buf out = {0};
    assert_ok(read_all("a.csv", "a,b\n1,\0\n3,4\n", 12, &out));
    assert_string_equal(out.data, "2! holds a NUL byte (byte 3)\n3: 3|4\n");
    kua__buf_release(&out);
}

static void what_spoils_a_file_is_an_error(void **state)
{
    (void)state;
    fails("a.csv", "", 0, "a.csv: is empty, expected at least a header line");
    fails("a.csv", "\xEF\xBB\xBF", 3, "is empty");
    fails("a.jsonl", "\n\n", 2, "only blank lines");
    fails("a.csv",
          "\xFF\xFE"
          "a",
          3, "UTF-16 or UTF-32, expected UTF-8");
    fails("a.csv", "\xFE\xFF\0a", 4, "UTF-16");
    fails("a.csv", "a,a\n", 4, "columns 1 and 2 are both called 'a'");
    fails("a.csv", "a,,b\n", 5, "column 2 has no name");
    fails("a.csv", "a,\xff\n", 4, "the header is not UTF-8");
    fails("a.csv", "\"a\"b,c\n", 7, "text after its closing quote");
    fails("a.csv", "a,b\n1,2\n3,\"open\n4,5\n", 20,
          "a.csv:3: the quote that opens column 2 is never closed");
    fails("a.inter", "user_id\titem_id:token\n", 22, "column 'user_id', expected name:type");
    fails("a.inter", "user_id:tokens\n", 15, "expected name:type");
}

static void tabs_and_atomic_files(void **state)
{
    (void)state;
    gives("a.tsv", "a\tb\n\"1\t2\r\n", "2: \"1|2\n");
    gives("a.inter", "user_id:token\titem_id:token\ttimestamp:float\nu\ti\t0\n", "2: u|i|0\n");
    gives("a.item", "item_id:token\ttitle:token_seq\nB1\tTwo words\nB2\t\n",
          "2: B1|Two words\n3: B2|\n");
    gives("a.user", "user_id:token\tage:float\tx:float_seq\nu\t3\t1 2\n", "2: u|3|1 2\n");
}

static void json_lines(void **state)
{
    (void)state;
    gives("a.jsonl", "{\"a\": \"x\", \"b\": 7}\n\n{\"b\": 1.5, \"c\": 2}\n", "1: x|7\n3: -|1.5\n");
    gives("a.ndjson", "{\"a\": [\"x\", [\"y\", 2], null, true], \"b\": null}\n{\"a\": []}\n",
          "1: x y 2 true|-\n2: |-\n");
    gives("a.jsonl", "{\"a\": 1}\n{\"a\": \n[1]\n{\"a\": \"\\u00e9\"}\n",
          "1: 1\n2! position 6: unexpected token near end of file\n"
          "3! is not a JSON object\n4: \xc3\xa9\n");
    fails("a.jsonl", "\n{\"a\": 1, \"a\": 2}\n", 18,
          "a.jsonl:2: the first line, which names the columns: position 12: duplicate object key");
    gives("a.jsonl", "{}\n{\"a\": 1}\n", "1\n2\n");
}

static void json_columns_can_be_wanted_and_joined(void **state)
{
    (void)state;
    static const char file[] = "{\"c\": [\"A\", \"B\"]}\n{\"later\": false}\n";
    kua__table *t;
    kua__row row;
    size_t c, later;
    assert_ok(kua__table_open_memory("a.jsonl", file, strlen(file), KUA__TABLE_JSONL, &t));
    assert_true(kua__table_has(t, "c"));
    assert_false(kua__table_has(t, "later"));
    assert_ok(kua__table_want(t, "later", &later));
    assert_ok(kua__table_want(t, "c", &c));
    assert_false(kua__table_has(t, "later"));
    assert_ok(kua__table_joiner(t, c, " > "));
    assert_ok(kua__table_next(t, &row));
    assert_memory_equal(row.field[c].text, "A > B", 5);
    assert_null(row.field[later].text);
    assert_ok(kua__table_next(t, &row));
    assert_memory_equal(row.field[later].text, "false", 5);
    kua__table_close(t);
}

static void a_missing_column_lists_those_that_are_there(void **state)
{
    (void)state;
    kua__table *t;
    size_t c;
    assert_ok(kua__table_open_memory("a.csv", "x,y\n", 4, KUA__TABLE_CSV, &t));
    assert_fails(kua__table_want(t, "z", &c), KUA_FORMAT,
                 "a.csv:1: no column is called 'z', there are: x, y");
    assert_ok(kua__table_want(t, "y", &c));
    assert_int_equal(c, 1);
    kua__table_close(t);
    kua__table_format format;
    assert_fails(kua__table_format_of("a.parquet", &format), KUA_INVALID, ".jsonl");
    assert_fails(kua__table_open("/nowhere/a.csv", KUA__TABLE_CSV, &t), KUA_IO, "/nowhere/a.csv");
    assert_fails(kua__table_open("/tmp", KUA__TABLE_CSV, &t), KUA_IO, "is a folder");
}

/* A field over 1 MiB spoils its line; a line over 16 MiB the file. */
static void limits(void **state)
{
    (void)state;
    enum { FIELD = KUA__TABLE_FIELD_MAX + 1, LINE = KUA__TABLE_LINE_MAX + 100 };
    char *file = malloc(LINE + 16);
    assert_non_null(file);
    memcpy(file, "a,b\n", 4);
    memset(file + 4, 'x', LINE);
    memcpy(file + 4 + FIELD, ",2\n3,4\n", 7);
    kua__buf out = {0};
    assert_ok(read_all("a.csv", file, 4 + FIELD + 7, &out));
    assert_string_equal(out.data, "2! a has 1048577 bytes, the limit is 1048576\n3: 3|4\n");
    kua__buf_release(&out);
    memset(file + 4, 'x', LINE);
    fails("a.csv", file, LINE + 4, "a.csv:2: the line is longer than 16777216 bytes");
    fails("a.tsv", file, LINE + 4, "a.tsv:2: the line is longer");
    file[4] = '"';
    fails("a.csv", file, LINE + 4, "a.csv:2: the quote that opens column 1 is never closed");
    memset(file, '{', LINE);
    fails("a.jsonl", file, LINE, "a.jsonl:1: the line is longer");
    free(file);
}

static void too_many_columns(void **state)
{
    (void)state;
    kua__buf file = {0}, out = {0};
    for (int i = 0; i < KUA__TABLE_COLUMNS_MAX + 1; i++) {
        kua__buf_printf(&file, "%sc%d", i ? "," : "", i);
    }
    fails("a.csv", file.data, file.len, "more than 4096 columns");
    kua__buf_clear(&file);
    kua__buf_puts(&file, "a,b\n1");
    for (int i = 0; i < KUA__TABLE_COLUMNS_MAX + 5; i++) {
        kua__buf_puts(&file, ",1");
    }
    assert_ok(read_all("a.csv", file.data, file.len, &out));
    assert_string_equal(out.data, "2! has 4097 or more columns, the header has 2\n");
    kua__buf_release(&file);
    kua__buf_release(&out);
}

/* 100 MB in one line from a file: an error, and no more memory than the limit of a line asks for.
 */
static void a_hundred_megabytes_in_one_line(void **state)
{
    (void)state;
    const char *path = test_temp_path("long.csv");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    static char block[1 << 20];
    memset(block, 'x', sizeof(block));
    fputs("a,b\n", f);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(fwrite(block, 1, sizeof(block), f), sizeof(block));
    }
    fclose(f);
    size_t before = kua__peak_rss_bytes();
    kua__table *t;
    kua__row row;
    assert_ok(kua__table_open(path, KUA__TABLE_CSV, &t));
    assert_fails(kua__table_next(t, &row), KUA_FORMAT, "long.csv:2: the line is longer than");
    kua__table_close(t);
    assert_true(kua__peak_rss_bytes() < before + ((size_t)80 << 20));
    unlink(path);
}

/* Rows that straddle the window's growth: the same as from memory. */
static void a_file_reads_as_memory_does(void **state)
{
    (void)state;
    kua__buf file = {0}, a = {0}, b = {0};
    kua__rng rng = kua__rng_make(3, 1);
    kua__buf_puts(&file, "a,b,c\n");
    for (int i = 0; i < 3000; i++) {
        int n = (int)kua__rng_below(&rng, i % 500 ? 300 : 400000);
        kua__buf_printf(&file, "%d,\"x\"\"\n%0*d\",%s\n", i, n, i, i % 7 ? "y" : "z,bad");
    }
    assert_ok(read_all("a.csv", file.data, file.len, &a));
    const char *path = test_temp_file("window.csv", file.data, file.len);
    kua__table *t;
    kua__row row;
    assert_ok(kua__table_open(path, KUA__TABLE_CSV, &t));
    for (;;) {
        assert_ok(kua__table_next(t, &row));
        if (!row.line) break;
        write_row(&b, t, &row);
    }
    uint64_t done, total;
    kua__table_progress(t, &done, &total);
    assert_int_equal(done, file.len);
    assert_int_equal(total, file.len);
    kua__table_close(t);
    assert_int_equal(a.len, b.len);
    assert_memory_equal(a.data, b.data, a.len);
    kua__buf_release(&file);
    kua__buf_release(&a);
    kua__buf_release(&b);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char csv[] = "a,b\n\"x\"\"y\",2\n3\n", json[] = "{\"a\": [1, 2]}\n{\"a\": \n";
    kua_status st = KUA_OK;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__buf out = {0};
        st = read_all("a.csv", csv, strlen(csv), &out);
        kua__buf_release(&out);
    }
    TEST_EVERY_ALLOCATION(st)
    {
        kua__buf out = {0};
        st = read_all("a.jsonl", json, strlen(json), &out);
        kua__buf_release(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_follows_the_standard),
        cmocka_unit_test(csv_reports_bad_lines_and_goes_on),
        cmocka_unit_test(what_spoils_a_file_is_an_error),
        cmocka_unit_test(tabs_and_atomic_files),
        cmocka_unit_test(json_lines),
        cmocka_unit_test(json_columns_can_be_wanted_and_joined),
        cmocka_unit_test(a_missing_column_lists_those_that_are_there),
        cmocka_unit_test(limits),
        cmocka_unit_test(too_many_columns),
        cmocka_unit_test(a_hundred_megabytes_in_one_line),
        cmocka_unit_test(a_file_reads_as_memory_does),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

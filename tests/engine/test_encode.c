/* test_encode.c - encoding a catalogue: what is done stays done when the caller cancels, another
 * model of the same name starts the file anew, and the rows are the encoder's own. */
#include "testlib.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "kua/encoder.h"
#include "kua/engine.h"
#include "tensor/safetensors.h"

enum { ITEMS = 20000 }; /* more than two portions */

static const char *items_file;

static int write_items(void **state)
{
    test_no_leaks_begin(state);
    kua__buf text = {0};
    kua__buf_puts(&text, "item_id:token\ttitle:token_seq\n");
    for (int i = 0; i < ITEMS; i++)
        kua__buf_printf(&text, "i%d\t%c%c %d\n", i, 'a' + i % 26, 'a' + i / 26 % 26, i);
    assert_ok(kua__buf_status(&text));
    items_file = test_temp_file("catalogue.item", text.data, text.len);
    kua__buf_release(&text);
    return 0;
}

typedef struct watcher {
    double stop_at; /* share of the work; above 1: never */
    uint64_t last, total;
    bool went_back;
} watcher;

static bool watch(void *user, const char *stage, uint64_t done, uint64_t total)
{
    watcher *w = user;
    if (strcmp(stage, "encode tokens") != 0) return true;
    w->went_back |= done < w->last || (w->total && total != w->total);
    w->last = done;
    w->total = total;
    return (double)done < w->stop_at * (double)total;
}

static kua_workspace *new_workspace(const char *name, const kua_monitor *monitor)
{
    kua_workspace *ws = NULL;
    const char *path = test_temp_path(name);
    assert_ok(kua_workspace_create(path));
    assert_ok(kua_workspace_open(path, monitor, &ws));
    kua_import_options o = {.domain = "all", .items = items_file};
    assert_ok(kua_import(ws, &o, NULL));
    return ws;
}

static double encoded(kua_workspace *ws, const char *model)
{
    char *report = NULL;
    json_t *json = NULL;
    assert_ok(kua_encode(ws, model, KUA_PRECISION_F32, &report));
    assert_ok(kua__json_parse("report", report, strlen(report), &json));
    double n = json_number_value(json_object_get(json, "encoded"));
    json_decref(json);
    kua_text_free(report);
    return n;
}

static void open_vectors(const char *workspace, kua__safetensors **file, const kua__tensor **rows)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/vectors/text.safetensors", test_temp_path(workspace));
    assert_ok(kua__safetensors_open(path, file));
    *rows = kua__safetensors_find(*file, "vectors");
    assert_non_null(*rows);
}

static void a_canceled_encoding_goes_on_where_it_was(void **state)
{
    (void)state;
    const char *model = test_data("encoder/data/tiny-gelu");
    watcher first = {.stop_at = .7}, all = {.stop_at = 2};
    kua_monitor monitor = {watch, NULL, &first}, patient = {watch, NULL, &all};
    kua_workspace *cut = new_workspace("cut", &monitor), *whole = new_workspace("whole", &patient);
    assert_fails(kua_encode(cut, model, KUA_PRECISION_F32, NULL), KUA_CANCELED, "encode tokens");
    assert_false(first.went_back);
    first.stop_at = 2;
    first.last = first.total = 0;
    double rest = encoded(cut, model);
    assert_true(rest > 0 && rest < ITEMS - 8000); /* of three portions one at least was kept */
    assert_near(encoded(cut, model), 0, 0);
    assert_near(encoded(whole, model), ITEMS, 0);
    assert_true(!all.went_back && all.last == all.total && all.total > ITEMS);
    kua_workspace_close(cut);
    kua_workspace_close(whole);

    kua__safetensors *a = NULL, *b = NULL;
    const kua__tensor *x = NULL, *y = NULL;
    open_vectors("cut", &a, &x);
    open_vectors("whole", &b, &y);
    assert_int_equal(x->dim[0], ITEMS);
    assert_int_equal(x->bytes, y->bytes);
    const float *p = kua__tensor_f32(x), *q = kua__tensor_f32(y);
    for (size_t i = 0; i < x->count; i++) /* other batches, other roundings */
        assert_near(p[i], q[i], 1e-5);
    kua__safetensors_close(a);
    kua__safetensors_close(b);
}

/* A folder that holds the tiny model with another name for its width. */
static void another_model_of_the_same_name_starts_anew(void **state)
{
    (void)state;
    kua_workspace *ws = new_workspace("renamed", NULL);
    kua__st_writer *w = NULL;
    const char *model = test_data("encoder/data/tiny-gelu");
    char path[1024];
    snprintf(path, sizeof(path), "%s/vectors", test_temp_path("renamed"));
    assert_ok(kua__make_folders(path));
    snprintf(path, sizeof(path), "%s/vectors/text.safetensors", test_temp_path("renamed"));
    assert_ok(kua__st_writer_create(path, &w));
    assert_ok(kua__st_writer_declare(w, "hash", KUA__I64, 1, (size_t[]){1}));
    assert_ok(kua__st_writer_declare(w, "vectors", KUA__F32, 2, (size_t[]){1, 3}));
    assert_ok(kua__st_writer_meta(w, "model", model));
    assert_ok(kua__st_writer_write(w, &(int64_t){1}, sizeof(int64_t)));
    assert_ok(kua__st_writer_write(w, (float[3]){0}, 3 * sizeof(float)));
    assert_ok(kua__st_writer_commit(w));
    kua__st_writer_free(w);
    assert_near(encoded(ws, model), ITEMS, 0);
    kua_workspace_close(ws);
    kua__safetensors *file = NULL;
    const kua__tensor *rows = NULL;
    open_vectors("renamed", &file, &rows);
    assert_int_equal(rows->dim[0], ITEMS);
    kua__safetensors_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_canceled_encoding_goes_on_where_it_was),
        cmocka_unit_test(another_model_of_the_same_name_starts_anew),
    };
    return cmocka_run_group_tests(tests, write_items, test_no_leaks_end);
}

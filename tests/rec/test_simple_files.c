/* test_simple_files.c - what all simple recommenders promise: settings that are checked, files that
 * give the same bits or a clear error, the same result with one thread and two, and no memory lost
 * wherever an allocation fails. */
#include "small.h"

#include "rec/common.h"

static const char *const kinds[] = {"popularity", "repeat", "itemknn",
                                    "userknn",    "ease",   "textknn"};

#define EACH_KIND(kind)                                                                            \
    for (const char *const *at_ = kinds, *kind; at_ < kinds + KUA__COUNT(kinds) && (kind = *at_);  \
         at_++)

static const char *beside(const char *folder, const char *file)
{
    char name[256];
    snprintf(name, sizeof(name), "%s/%s", strrchr(folder, '/') + 1, file);
    return test_temp_path(name);
}

static const char *saved(const kua__rec *rec, const char *name)
{
    const char *folder = test_temp_path(name);
    assert_ok(kua__make_folders(folder));
    assert_ok(rec->ops->save(rec, folder));
    return folder;
}

/* ---- settings ---- */

static void settings_are_checked(void **state)
{
    (void)state;
    const struct {
        const char *kind, *given, *message;
    } cases[] = {
        {"popularity", "{\"half_live\": 3}",
         "popularity: no setting 'half_live'; there are: half_"},
        {"itemknn", "{\"shrink\": \"x\"}",
         "itemknn: setting shrink is \"x\", expected a number or"},
        {"ease", "{\"max_items\": \"auto\"}", "setting max_items is \"auto\", expected a number"},
        {"userknn", "{\"again\": true}", "userknn: setting again is true, expected a number"},
        {"textknn", "{\"decay\": null}", "textknn: setting decay is null, expected a number"},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        json_t *given = small_settings(cases[i].given);
        kua__rec *rec = NULL;
        assert_fails(kua__rec_create(cases[i].kind, given, &rec), KUA_INVALID, cases[i].message);
        assert_null(rec);
        json_decref(given);
    }
    kua__rec *rec = NULL;
    assert_fails(kua__rec_create("itemkn", NULL, &rec), KUA_INVALID, "'itemkn'; there are: popul");
}

static void numbers_are_in_their_range(void **state)
{
    (void)state;
    const struct {
        const char *kind, *given, *message;
    } cases[] = {
        {"popularity", "{\"half_life\": -1}", "popularity: half_life is -1, must be in 0..1e+09"},
        {"popularity", "{\"counts\": 3}", "popularity: counts is 3, must be in 0..2"},
        {"repeat", "{\"decay\": 1.5}", "repeat: decay is 1.5, must be in 0..1"},
        {"itemknn", "{\"user_power\": 50}", "itemknn: user_power is 50, must be in 0..2"},
        {"itemknn", "{\"again_decay\": 2}", "itemknn: again_decay is 2, must be in 0..1"},
        {"userknn", "{\"idf_power\": 1e300}", "userknn: idf_power is 1e+300, must be in 0..8"},
        {"ease", "{\"lambda\": 0}", "ease: lambda is 0, expected more than 0"},
        {"ease", "{\"lambda\": -3}", "ease: lambda is -3, must be in 0..1e+09"},
        {"textknn", "{\"whitening\": 9}", "textknn: whitening is 9, must be in 0..2"},
    };
    small s;
    small_open(&s, true, true);
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        json_t *given = small_settings(cases[i].given);
        kua__rec *rec = NULL;
        assert_ok(kua__rec_create(cases[i].kind, given, &rec));
        assert_fails(kua__rec_fit(rec, &s.world, NULL), KUA_INVALID, cases[i].message);
        kua__rec_free(rec);
        json_decref(given);
    }
    small_close(&s);
}

/* More neighbours, components and items than there are mean all of them. */
static void more_than_all_is_all(void **state)
{
    (void)state;
    const struct {
        const char *kind, *all, *more;
    } cases[] = {
        {"itemknn", "{\"neighbours\": 24}", "{\"neighbours\": 1e9}"},
        {"userknn", "{\"neighbours\": 40}", "{\"neighbours\": 1e9}"},
        {"textknn", "{\"components\": 5}", "{\"components\": 1e9}"},
        {"ease", "{\"max_items\": 24}", "{\"max_items\": 1e9}"},
    };
    small s;
    small_open(&s, false, true);
    small_no_validation(&s);
    for (size_t i = 0; i < KUA__COUNT(cases); i++) {
        float a[USERS * ITEMS], b[USERS * ITEMS];
        kua__rec *all = small_fit(&s, cases[i].kind, cases[i].all),
                 *more = small_fit(&s, cases[i].kind, cases[i].more);
        small_score(&s, all, a);
        small_score(&s, more, b);
        assert_memory_equal(a, b, sizeof(a));
        kua__rec_free(all);
        kua__rec_free(more);
    }
    small_close(&s);
}

/* Weights of events that are long past become 0 in float: such an event is as none at all. */
static void weights_may_vanish(void **state)
{
    (void)state;
    enum { N = 4000 };
    static uint32_t item[N];
    static int64_t time[N];
    small s;
    small_open(&s, false, true);
    for (size_t i = 0; i < N; i++)
        item[i] = (uint32_t)(i < N - 1 ? i % 20 : 20);
    EACH_KIND(kind)
    {
        if (kua__streq(kind, "popularity")) continue; /* asks for no history */
        bool pure = kua__streq(kind, "repeat");
        kua__rec *rec =
            small_fit(&s, kind, pure ? "{\"decay\": 0.01}" : "{\"decay\": 0.01, \"again\": 0}");
        kua__query q[] = {{.user = KUA__NO_ID, .target = {item, time, NULL, N}},
                          {.user = KUA__NO_ID, .target = {item + N - 30, time, NULL, 30}}};
        float scores[2 * ITEMS];
        assert_ok(kua__rec_score(rec, q, 2, scores));
        for (size_t i = 0; i < ITEMS; i++) {
            assert_true(isfinite(scores[i]));
            assert_near((double)scores[i], (double)scores[ITEMS + i], 1e-5);
        }
        kua__rec_free(rec);
    }
    small_close(&s);
}

/* ---- files ---- */

static void a_loaded_model_scores_the_same_bits(void **state)
{
    (void)state;
    for (int world = 0; world < 4; world++) {
        small s;
        small_open(&s, world & 1, world & 2);
        EACH_KIND(kind)
        {
            float before[USERS * ITEMS], after[USERS * ITEMS];
            kua__rec *rec = small_fit(&s, kind, "{}"), *loaded = NULL;
            const char *folder = saved(rec, kind);
            assert_ok(rec->ops->load(folder, &s.world, &loaded));
            small_score(&s, rec, before);
            small_score(&s, loaded, after);
            assert_memory_equal(before, after, sizeof(before));
            assert_true(json_equal(rec->settings, loaded->settings));
            assert_true(json_equal(rec->facts, loaded->facts));
            assert_int_equal(loaded->n_items, ITEMS);
            const char *again = saved(loaded, "again"); /* and a copy of it does */
            kua__rec_free(loaded);
            assert_ok(rec->ops->load(again, &s.world, &loaded));
            small_score(&s, loaded, after);
            assert_memory_equal(before, after, sizeof(before));
            kua__rec_free(loaded);
            kua__rec_free(rec);
        }
        small_close(&s);
    }
}

/* Without a sync, which thousands of files would wait for. */
static void write_plainly(const char *path, const char *data, size_t n)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void expect_refusal(const small *s, const kua__rec *rec, const char *folder,
                           kua_status status, const char *message)
{
    kua__rec *out = NULL;
    assert_fails(rec->ops->load(folder, &s->world, &out), status, message);
    assert_non_null(strstr(kua_error_message(), folder)); /* which file? */
    assert_null(out);
}

static void damaged_json_is_refused(void **state)
{
    (void)state;
    small s;
    small_open(&s, true, true);
    EACH_KIND(kind)
    {
        kua__rec *rec = small_fit(&s, kind, "{}");
        const char *folder = saved(rec, kind), *path = beside(folder, "model.json");
        json_t *good = NULL;
        assert_ok(kua__json_load(path, &good));
        const struct {
            const char *key, *value, *message; /* value NULL: the key is taken out */
        } cases[] = {
            {"format", "2", "format 2, this program reads 1"},
            {"format", "\"x\"", "format is \"x\", expected an integer"},
            {"recommender", "\"other\"", "a model of kind 'other', expected '"},
            {"recommender", NULL, "recommender is missing"},
            {"settings", NULL, "settings are no object"},
            {"settings", "{}", " is missing"},
            {"facts", "[]", "facts are no object"},
            {"values", "{}", "is no number in 0.."},
            {"values", NULL, "is no number in 0.."},
            {"items", "23", "24 rates for 23 items"},
            {"items", "-1", "items is -1"},
            {"items", NULL, "items is missing"},
            {"clock", "7", "clock is 7"},
        };
        for (size_t i = 0; i < KUA__COUNT(cases); i++) {
            json_t *json = json_copy(good);
            json_object_del(json, cases[i].key);
            if (cases[i].value)
                json_object_set_new(json, cases[i].key,
                                    json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
            assert_int_equal(json_dump_file(json, path, 0), 0);
            json_decref(json);
            expect_refusal(&s, rec, folder, KUA_FORMAT, cases[i].message);
        }
        json_decref(good);
        write_plainly(path, "{\"format\": 1,", 12);
        expect_refusal(&s, rec, folder, KUA_FORMAT, "model.json:1:12");
        kua__rec_free(rec);
    }
    small_close(&s);
}

static void missing_and_truncated_files_are_refused(void **state)
{
    (void)state;
    small s;
    small_open(&s, true, true);
    EACH_KIND(kind)
    {
        kua__rec *rec = small_fit(&s, kind, "{}");
        const char *folder = saved(rec, kind);
        const char *tensors = beside(folder, "model.safetensors");
        kua__map map;
        char *copy = NULL;
        assert_ok(kua__map_open(&map, tensors));
        size_t size = map.size, step = 1 + map.size / 97;
        assert_ok(KUA__NEW_ARRAY(&copy, size, "a copy"));
        memcpy(copy, map.data, size);
        kua__map_close(&map);
        for (size_t n = 0; n < size; n = n + step < size || n == size - 1 ? n + step : size - 1) {
            write_plainly(tensors, copy, n);
            expect_refusal(&s, rec, folder, KUA_FORMAT, "model.safetensors");
        }
        kua__free(copy);
        assert_int_equal(remove(tensors), 0);
        expect_refusal(&s, rec, folder, KUA_IO, "model.safetensors");
        assert_ok(kua__remove_tree(folder));
        expect_refusal(&s, rec, folder, KUA_IO, "model.json");
        kua__rec_free(rec);
    }
    small_close(&s);
}

typedef enum damage { DROPPED, SHORTER, OTHER_TYPE, ALL_ONES, DAMAGES } damage;

/* Copies a file, one tensor of it damaged: absent, an element short, of another type with as many
 * bytes, or every bit set. */
static void copy_damaged(const char *from, const char *to, const char *name, damage how)
{
    kua__safetensors *file = NULL;
    kua__st_writer *w = NULL;
    assert_ok(kua__safetensors_open(from, &file));
    assert_ok(kua__st_writer_create(to, &w));
    for (int writes = 0; writes < 2; writes++) {
        for (size_t i = 0; i < kua__safetensors_count(file); i++) {
            const kua__tensor *t = kua__safetensors_at(file, i);
            bool hit = kua__streq(t->name, name);
            size_t size = kua__dtype_size(t->dtype), count = t->count - (hit && how == SHORTER);
            kua__dtype type = hit && how == OTHER_TYPE ? KUA__U8 : t->dtype;
            size_t elements = type == KUA__U8 ? count * size : count;
            if (hit && how == DROPPED) continue;
            if (!writes) assert_ok(kua__st_writer_declare(w, t->name, type, 1, &elements));
            unsigned char ones[8] = {255, 255, 255, 255, 255, 255, 255, 255};
            for (size_t k = 0; writes && k < count; k++) {
                const char *element = (const char *)t->data + k * size;
                bool set = hit && how == ALL_ONES;
                assert_ok(kua__st_writer_write(w, set ? (const void *)ones : element, size));
            }
        }
    }
    assert_ok(kua__st_writer_commit(w));
    kua__st_writer_free(w);
    kua__safetensors_close(file);
}

/* Numbers that are read as numbers may be any; numbers that lead somewhere must lead inside. */
static bool leads_somewhere(const kua__tensor *t)
{
    return t->dtype == KUA__I32 || t->dtype == KUA__I64;
}

static void damaged_tensors_are_refused(void **state)
{
    (void)state;
    small s;
    small_open(&s, true, true);
    EACH_KIND(kind)
    {
        kua__rec *rec = small_fit(&s, kind, "{}");
        const char *folder = saved(rec, kind);
        const char *good = beside(saved(rec, "whole"), "model.safetensors"),
                   *path = beside(folder, "model.safetensors");
        kua__safetensors *file = NULL;
        assert_ok(kua__safetensors_open(good, &file));
        assert_true(kua__safetensors_count(file) >= 2);
        for (size_t i = 0; i < kua__safetensors_count(file) * DAMAGES; i++) {
            const kua__tensor *t = kua__safetensors_at(file, i / DAMAGES);
            damage how = (damage)(i % DAMAGES);
            if (how == ALL_ONES && !leads_somewhere(t)) continue;
            if (how == SHORTER && kua__streq(t->name, "users.at"))
                continue; /* the last user bought nothing: a model without him is whole */
            copy_damaged(good, path, t->name, how);
            expect_refusal(&s, rec, folder, KUA_FORMAT,
                           how == DROPPED || how == OTHER_TYPE ? t->name : "");
        }
        kua__safetensors_close(file);
        kua__rec_free(rec);
    }
    small_close(&s);
}

/* ---- threads ---- */

/* Counting does not depend on who counts; matrix products may add in another order. */
static void threads_change_nothing(void **state)
{
    (void)state;
    small s;
    small_open(&s, true, true);
    EACH_KIND(kind)
    {
        bool products = kua__streq(kind, "ease") || kua__streq(kind, "textknn");
        float one[USERS * ITEMS], two[USERS * ITEMS], again[USERS * ITEMS];
        float *const scores[] = {one, two, again};
        for (int k = 0; k < 3; k++) {
            kua__threads_set(k == 0 ? 1 : 2);
            kua__rec *rec = small_fit(&s, kind, "{}");
            small_score(&s, rec, scores[k]);
            kua__rec_free(rec);
        }
        assert_memory_equal(two, again, sizeof(two));
        if (!products) assert_memory_equal(one, two, sizeof(one));
        for (size_t i = 0; i < USERS * ITEMS; i++)
            assert_near((double)one[i], (double)two[i], products ? 1e-2 : 0);
    }
    small_close(&s);
}

/* ---- limits ---- */

static bool stop(void *user, const char *stage, uint64_t done, uint64_t total)
{
    (void)stage, (void)done, (void)total;
    ++*(int *)user;
    return false;
}

static void fitting_can_be_stopped(void **state)
{
    (void)state;
    small s;
    small_open(&s, true, true);
    EACH_KIND(kind)
    {
        int calls = 0;
        kua_monitor monitor = {.progress = stop, .user = &calls};
        kua__rec *rec = NULL;
        assert_ok(kua__rec_create(kind, NULL, &rec));
        assert_fails(kua__rec_fit(rec, &s.world, &monitor), KUA_CANCELED, "");
        assert_int_equal(calls, 1);
        kua__rec_free(rec);
    }
    small_close(&s);
}

/* Everything given but the first number that can be chosen, so that few fits choose it. */
static json_t *nearly_complete(const small *s, const char *kind)
{
    kua__rec *rec = small_fit(s, kind, "{}");
    json_t *chosen = kua__json_copy(json_object_get(rec->facts, "chosen"));
    const char *key = kua__streq(kind, "repeat") ? "power" : "counts";
    assert_int_equal(json_object_del(chosen, key), 0);
    kua__rec_free(rec);
    return chosen;
}

static kua_status whole_life(const small *s, const char *kind, const json_t *settings,
                             const char *folder, float *scores)
{
    kua__query query[USERS];
    kua__rec *rec = NULL, *loaded = NULL;
    for (uint32_t u = 0; u < USERS; u++)
        query[u] = small_query(s, u);
    kua_status st = kua__rec_create(kind, settings, &rec);
    if (!st) st = kua__rec_fit(rec, &s->world, NULL);
    if (!st) st = kua__rec_score(rec, query, USERS, scores);
    if (!st) st = rec->ops->load(folder, &s->world, &loaded);
    if (!st) st = kua__rec_score(loaded, query, USERS, scores);
    kua__rec_free(rec);
    kua__rec_free(loaded);
    return st;
}

/* One thread: which of two threads fails would be chance. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    small s;
    small_open(&s, true, true);
    kua__threads_set(1);
    EACH_KIND(kind)
    {
        float want[USERS * ITEMS], scores[USERS * ITEMS];
        json_t *settings = nearly_complete(&s, kind);
        kua__rec *rec = NULL, *copy = NULL;
        assert_ok(kua__rec_create(kind, settings, &rec));
        assert_ok(kua__rec_fit(rec, &s.world, NULL));
        const char *folder = saved(rec, kind);
        assert_ok(whole_life(&s, kind, settings, folder, want));
        kua_status st;
        TEST_EVERY_ALLOCATION(st)
        {
            st = whole_life(&s, kind, settings, folder, scores);
            if (!st) assert_memory_equal(want, scores, sizeof(want));
        }
        TEST_EVERY_ALLOCATION(st)
        {
            st = rec->ops->save(rec, folder);
        }
        assert_ok(rec->ops->load(folder, &s.world, &copy));
        small_score(&s, copy, scores);
        assert_memory_equal(want, scores, sizeof(want));
        kua__rec_free(copy);
        kua__rec_free(rec);
        json_decref(settings);
    }
    small_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_are_checked),
        cmocka_unit_test(numbers_are_in_their_range),
        cmocka_unit_test(more_than_all_is_all),
        cmocka_unit_test(weights_may_vanish),
        cmocka_unit_test(a_loaded_model_scores_the_same_bits),
        cmocka_unit_test(damaged_json_is_refused),
        cmocka_unit_test(missing_and_truncated_files_are_refused),
        cmocka_unit_test(damaged_tensors_are_refused),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(fitting_can_be_stopped),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

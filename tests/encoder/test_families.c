/* test_families.c - one inference model, seven kinds of files: hidden states, logits and pooled
 * vectors of every family as the reference computes them (tools/record-encoder-families.py).
 *
 * Each model is run packed and lean, by one thread and by a crew, all texts in one batch and
 * (causal ones) token by token through a cache: all must give the same numbers.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "encoder/model.h"
#include "tensor/safetensors.h"

enum { TEXTS = 3, TOKENS = 47, CREW_MAX = KUA__PACKED_PARTS_MAX };
static const double BAR = 1e-4;

static const char *const families[] = {"bert", "distilbert", "roberta",   "xlm-roberta",
                                       "gpt2", "llama",      "llama-gguf"};

typedef struct fixture {
    const char *name;
    kua__model model;
    kua__safetensors *expected;
    kua__scratch member[CREW_MAX], *crew[CREW_MAX];
    uint32_t ids[TOKENS], length[TEXTS];
    const uint32_t *text[TEXTS];
} fixture;

/* ---- a model and what is expected of it ---- */

static void read_ids(const fixture *f, const char *name, size_t n, uint32_t *out)
{
    const kua__tensor *t = NULL;
    float number[TOKENS];
    assert_ok(kua__safetensors_need(f->expected, name, 1, &n, &t));
    kua__tensor_to_f32(t, 0, n, number);
    for (size_t i = 0; i < n; i++)
        out[i] = (uint32_t)number[i];
}

static void open_expected(fixture *f, const char *folder)
{
    char path[700];
    snprintf(path, sizeof(path), "%s/expected.safetensors", folder);
    assert_ok(kua__safetensors_open(path, &f->expected));
    read_ids(f, "ids", TOKENS, f->ids);
    read_ids(f, "lengths", TEXTS, f->length);
    for (size_t i = 0, at = 0; i < TEXTS; at += f->length[i++])
        f->text[i] = f->ids + at;
}

static bool is_gguf(const char *name)
{
    return kua__has_suffix(name, "gguf");
}

static bool is_turned(const char *name)
{
    return kua__streq(name, "gpt2");
}

static void fixture_init(fixture *f, const char *name, bool lean)
{
    *f = (fixture){.name = name};
    kua__weights *file = NULL;
    kua__model_config config;
    char folder[512], path[600];
    snprintf(folder, sizeof(folder), "%s/%s", test_data("encoder/data/families"), name);
    snprintf(path, sizeof(path), "%s/%s", folder,
             is_gguf(name) ? "model.gguf" : "model.safetensors");
    assert_ok(kua__weights_open(path, &file));
    assert_ok(kua__config_find(path, file, &config));
    kua__model_options o = {.max_tokens = kua__config_longest(&config), .head = true, .lean = lean};
    assert_ok(kua__model_load(&f->model, file, &config, &o));
    for (size_t i = 0; i < f->model.parts; i++) {
        assert_ok(kua__scratch_init(&f->member[i], &f->model, TOKENS, TOKENS));
        f->crew[i] = &f->member[i];
    }
    open_expected(f, folder);
}

static void fixture_release(fixture *f)
{
    for (size_t i = 0; i < f->model.parts; i++)
        kua__scratch_release(&f->member[i]);
    kua__model_release(&f->model);
    kua__safetensors_close(f->expected);
}

static void compare(const fixture *f, const char *name, const float *rows, size_t n, size_t cols)
{
    const kua__tensor *t = NULL;
    static float expected[TOKENS * 256];
    double largest = 0;
    assert_true(n * cols <= KUA__COUNT(expected));
    assert_ok(kua__safetensors_need(f->expected, name, 2, (size_t[]){n, cols}, &t));
    kua__tensor_to_f32(t, 0, n * cols, expected);
    for (size_t i = 0; i < n * cols; i++) {
        assert_true(isfinite(rows[i]));
        largest = fmax(largest, fabs((double)rows[i] - expected[i]));
    }
    if (largest > BAR) print_message("%s, %s: largest difference %.2g\n", f->name, name, largest);
    assert_true(largest <= BAR);
}

/* ---- all texts in one batch ---- */

static void check_pooled(const fixture *f)
{
    static const struct {
        const char *name;
        kua_pooling pooling;
    } poolings[] = {{"mean", KUA_POOLING_MEAN},
                    {"cls", KUA_POOLING_CLS},
                    {"max", KUA_POOLING_MAX},
                    {"last", KUA_POOLING_LAST}};
    size_t h = f->model.config.hidden;
    float rows[TEXTS * 256];
    for (size_t k = 0; k < KUA__COUNT(poolings); k++) {
        for (size_t i = 0, at = 0; i < TEXTS; at += f->length[i++]) {
            kua__pool_rows(f->crew[0]->x + at * h, f->length[i], h, poolings[k].pooling, false,
                           rows + i * h);
        }
        compare(f, poolings[k].name, rows, TEXTS, h);
    }
}

static void check_batch(const char *name, bool lean, bool together)
{
    fixture f;
    fixture_init(&f, name, lean);
    size_t n_crew = together ? f.model.parts : 1, words = f.model.config.vocab;
    kua__text_batch batch = {.n = TEXTS, .tokens = TOKENS, .id = f.text, .length = f.length};
    float *logits = kua__alloc_array(kua__packed_rows(TOKENS) * words, sizeof(float));
    assert_non_null(logits);
    assert_ok(kua__model_forward(&f.model, f.crew, n_crew, &batch));
    compare(&f, "hidden", f.crew[0]->x, TOKENS, f.model.config.hidden);
    check_pooled(&f);
    assert_ok(kua__model_words(&f.model, f.crew, n_crew, TOKENS, logits));
    compare(&f, "logits", logits, TOKENS, words);
    kua__free(logits);
    fixture_release(&f);
}

static void families_agree_packed(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(families); i++) {
        check_batch(families[i], false, false);
        check_batch(families[i], false, true);
    }
}

static void families_agree_lean(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(families); i++) {
        if (is_turned(families[i])) continue;
        check_batch(families[i], true, false);
        check_batch(families[i], true, true);
    }
}

/* ---- token by token ---- */

/* The last text: `first` tokens at once, then one by one. */
static void check_cache(const char *name, bool lean, size_t first)
{
    fixture f;
    fixture_init(&f, name, lean);
    const kua__model_config *c = &f.model.config;
    kua__cache cache;
    static float rows[TOKENS * 256];
    size_t n = f.length[2];
    memset(rows, 0, sizeof(rows));
    assert_ok(kua__cache_init(&cache, c, n));
    for (size_t at = 0; at < n;) {
        uint32_t here = (uint32_t)(at ? 1 : first);
        const uint32_t *text = f.text[2] + at;
        kua__text_batch batch = {1, here, &text, &here, &cache};
        assert_ok(kua__model_forward(&f.model, f.crew, f.model.parts, &batch));
        memcpy(rows + (TOKENS - n + at) * c->hidden, f.crew[0]->x,
               here * c->hidden * sizeof(float));
        at += here;
        assert_int_equal(cache.past, at);
    }
    /* The other texts, so that all rows can be compared. */
    kua__text_batch others = {2, (uint32_t)(TOKENS - n), f.text, f.length, NULL};
    assert_ok(kua__model_forward(&f.model, f.crew, 1, &others));
    memcpy(rows, f.crew[0]->x, (TOKENS - n) * c->hidden * sizeof(float));
    compare(&f, "hidden", rows, TOKENS, c->hidden);
    kua__cache_release(&cache);
    fixture_release(&f);
}

static void a_cache_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 4; i < KUA__COUNT(families); i++) {
        for (size_t first = 1; first <= 20; first += 6) {
            check_cache(families[i], false, first);
            if (!is_turned(families[i])) check_cache(families[i], true, first);
        }
    }
}

/* ---- pieces ---- */

static void rotary_layouts_differ_by_order_alone(void **state)
{
    (void)state;
    enum { DIM = 16, HEADS = 2 };
    float table[40 * DIM], halves[DIM * HEADS], pairs[DIM * HEADS], back[DIM * HEADS];
    kua__rng rng = kua__rng_make(4, 0);
    kua__rotary_table(table, 40, DIM, 1e4f);
    assert_true(table[0] == 1 && table[DIM / 2] == 0);
    for (size_t i = 0; i < KUA__COUNT(pairs); i++)
        pairs[i] = kua__rng_normal(&rng);
    kua__names_halves(halves, pairs, HEADS, DIM, 1);
    kua__rotate(pairs, table + 39 * DIM, HEADS, DIM, true);
    kua__rotate(halves, table + 39 * DIM, HEADS, DIM, false);
    kua__names_halves(back, pairs, HEADS, DIM, 1);
    assert_memory_equal(back, halves, sizeof(back));
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof(path), "%s/llama-gguf/model.gguf", test_data("encoder/data/families"));
    for (int lean = 0; lean < 2; lean++) {
        kua_status st;
        TEST_EVERY_ALLOCATION(st)
        {
            kua__weights *file = NULL;
            kua__model_config config;
            kua__model model = {0};
            kua__scratch scratch = {0};
            kua__cache cache = {0};
            kua__model_options o = {.max_tokens = 32, .head = true, .lean = lean};
            st = kua__weights_open(path, &file);
            if (!st) {
                st = kua__config_find(path, file, &config);
                if (!st)
                    st = kua__model_load(&model, file, &config, &o);
                else
                    kua__weights_close(file);
            }
            if (!st) st = kua__scratch_init(&scratch, &model, 8, 32);
            if (!st) st = kua__cache_init(&cache, &config, 32);
            kua__cache_release(&cache);
            kua__scratch_release(&scratch);
            kua__model_release(&model);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_agree_packed),
        cmocka_unit_test(families_agree_lean),
        cmocka_unit_test(a_cache_changes_nothing),
        cmocka_unit_test(rotary_layouts_differ_by_order_alone),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

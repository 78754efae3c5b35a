/* test_generate.c - a generator says what the reference says; how tokens are drawn; where it ends;
 * what it refuses.
 *
 * Tiny models of tests/encoder/data/families, and SmolLM2-135M where it is there.
 */
#include "testlib.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "encoder/sample.h"
#include "kua/generate.h"
#include "tensor/safetensors.h"

enum { NEW = 12, PROMPT = 9, WORDS = 70 };

static kua__safetensors *open_data(const char *name)
{
    kua__safetensors *file = NULL;
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", test_data("encoder/data"), name);
    assert_ok(kua__safetensors_open(path, &file));
    return file;
}

/* Whole numbers of a tensor; returns how many. */
static size_t read_ids(const kua__safetensors *file, const char *name, uint32_t *out, size_t most)
{
    const kua__tensor *t = kua__safetensors_find(file, name);
    assert_non_null(t);
    size_t n = KUA__MIN(t->count, most);
    for (size_t i = 0; i < n; i++) {
        float value = 0;
        kua__tensor_to_f32(t, i, 1, &value);
        out[i] = (uint32_t)value;
    }
    return n;
}

static kua_generator *load_tiny(const char *name, size_t max_tokens)
{
    kua_generator *g = NULL;
    char path[600];
    snprintf(path, sizeof(path), "%s/%s", test_data("encoder/data/families"), name);
    assert_ok(kua_generator_load(path, &(kua_generator_options){max_tokens}, &g));
    return g;
}

/* ---- greedily ---- */

static void check_family(const char *name)
{
    char file[100];
    snprintf(file, sizeof(file), "families/%s/expected.safetensors", name);
    kua__safetensors *expected = open_data(file);
    uint32_t prompt[PROMPT], generated[NEW];
    read_ids(expected, "ids", prompt, PROMPT);
    assert_int_equal(read_ids(expected, "generated", generated, NEW), NEW);
    kua_generator *g = load_tiny(name, 0);
    kua_generator_stats stats;
    kua_sampling s = {.max_new = NEW, .ignore_end = true};
    assert_null(kua_generator_logits(g));
    for (int round = 0; round < 2; round++) { /* a second prompt finds nothing of the first */
        size_t n = 0;
        assert_ok(kua_generator_prompt_ids(g, prompt, PROMPT));
        assert_ok(kua_generator_run(g, &s, NULL, NULL, &stats));
        const uint32_t *ids = kua_generator_ids(g, &n);
        assert_int_equal(n, PROMPT + NEW);
        assert_memory_equal(ids + PROMPT, generated, sizeof(generated));
        assert_int_equal(stats.end, KUA_END_MAX_NEW);
        assert_int_equal(stats.new_tokens, NEW);
    }
    kua_generator_free(g);
    kua__safetensors_close(expected);
}

static void families_say_what_the_reference_says(void **state)
{
    (void)state;
    check_family("gpt2");
    check_family("llama");
    check_family("llama-gguf");
}

/* ---- SmolLM2 ---- */

static const char *smollm2(void)
{
    static char path[600];
    const char *cache = getenv("KUA_CACHE"), *home = getenv("HOME");
    snprintf(path, sizeof(path), "%s%s/models/smollm2-135m",
             cache  ? cache
             : home ? home
                    : "",
             cache ? "" : "/.cache/kua");
    if (kua__exists(path)) return path;
    print_message("skipped: %s is not there (kua model get smollm2-135m)\n", path);
    return NULL;
}

typedef struct said {
    char text[400];
    size_t n;
} said;

static bool hear(void *user, uint32_t id, const char *text, size_t n)
{
    said *s = user;
    (void)id;
    assert_true(s->n + n < sizeof(s->text));
    assert_int_equal(kua__utf8_valid(text, n), n);
    memcpy(s->text + s->n, text, n);
    s->n += n;
    return true;
}

static void check_logits(kua_generator *g, const kua__safetensors *expected, size_t which)
{
    enum { BEST = 20 };
    char name[32];
    uint32_t ids[64], place[BEST];
    float logit[BEST];
    snprintf(name, sizeof(name), "ids.%zu", which);
    size_t n = read_ids(expected, name, ids, 64);
    snprintf(name, sizeof(name), "place.%zu", which);
    read_ids(expected, name, place, BEST);
    snprintf(name, sizeof(name), "logit.%zu", which);
    kua__tensor_to_f32(kua__safetensors_find(expected, name), 0, BEST, logit);
    assert_ok(kua_generator_prompt_ids(g, ids, n));
    double largest = 0;
    for (size_t i = 0; i < BEST; i++)
        largest = fmax(largest, fabs((double)kua_generator_logits(g)[place[i]] - logit[i]));
    print_message("prompt of %zu tokens: logits differ by %.2g\n", n, largest);
    assert_true(largest <= 1e-4);
}

static void smollm2_agrees(void **state)
{
    (void)state;
    const char *path = smollm2();
    if (!path) skip();
    kua_generator *g = NULL;
    kua__safetensors *expected = open_data("smollm2.safetensors");
    uint32_t generated[24];
    size_t n = 0, first = 5;
    said s = {0};
    assert_ok(kua_generator_load(path, NULL, &g));
    for (size_t i = 0; i < 3; i++)
        check_logits(g, expected, i);
    static const char prompt[] = "The capital of France is";
    assert_ok(kua_generator_prompt(g, prompt, strlen(prompt)));
    assert_ok(
        kua_generator_run(g, &(kua_sampling){.max_new = 24, .ignore_end = true}, hear, &s, NULL));
    const uint32_t *ids = kua_generator_ids(g, &n);
    read_ids(expected, "generated", generated, 24);
    assert_int_equal(n, first + 24);
    assert_memory_equal(ids, ((uint32_t[]){504, 3575, 282, 4649, 314}), first * sizeof(*ids));
    assert_memory_equal(ids + first, generated, sizeof(generated));
    assert_true(kua__has_prefix(s.text, " Paris."));
    kua_generator_free(g);
    kua__safetensors_close(expected);
}

/* ---- drawing ---- */

static void draws_follow_the_probabilities(void **state)
{
    (void)state;
    enum { DRAWS = 20000 };
    const float logits[6] = {0, 1, 2, -1, -40, 1};
    static const kua_sampling cases[] = {{.temperature = 1},
                                         {.temperature = .5f},
                                         {.temperature = 1, .top_k = 3},
                                         {.temperature = 1, .top_p = .6f},
                                         {.temperature = 2, .top_k = 4, .top_p = .9f}};
    for (size_t k = 0; k < KUA__COUNT(cases); k++) {
        const kua_sampling *s = &cases[k];
        double weight[6], all = 0, kept = 0;
        size_t order[6] = {2, 1, 5, 0, 3, 4}, n = s->top_k ? s->top_k : 6, count[6] = {0};
        kua__candidate candidates[6];
        kua__rng rng = kua__rng_make(5, k);
        for (size_t i = 0; i < n; i++)
            all += weight[order[i]] = exp((double)logits[order[i]] / (double)s->temperature);
        for (size_t i = 0; i < n; i++) {
            kept += weight[order[i]];
            if (s->top_p > 0 && kept >= (double)s->top_p * all) n = i + 1;
        }
        for (size_t i = 0; i < DRAWS; i++)
            count[kua__sample(s, logits, 6, candidates, &rng)]++;
        for (size_t i = 0; i < 6; i++) {
            double p = i < n ? weight[order[i]] / kept : 0;
            assert_near((double)count[order[i]] / DRAWS, p, 4 * sqrt(p * (1 - p) / DRAWS) + 1e-9);
        }
    }
}

static void the_likeliest_needs_no_draw(void **state)
{
    (void)state;
    const float logits[4] = {1, 3, 3, 2};
    kua__candidate candidates[4];
    kua__rng rng = kua__rng_make(1, 0);
    kua_sampling greedy = {0}, one = {.temperature = 1, .top_k = 1};
    assert_int_equal(kua__sample(&greedy, logits, 4, candidates, &rng), 1);
    assert_int_equal(kua__sample(&one, logits, 4, candidates, &rng), 1);
    assert_int_equal(rng.index, 0);
}

static void seeds_repeat(void **state)
{
    (void)state;
    kua_generator *g = load_tiny("llama", 0);
    uint32_t prompt[3] = {7, 8, 9}, first[20];
    size_t n = 0, same = 0;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        kua_sampling s = {.temperature = 1, .seed = seed % 2, .max_new = 17, .ignore_end = true};
        assert_ok(kua_generator_prompt_ids(g, prompt, 3));
        assert_ok(kua_generator_run(g, &s, NULL, NULL, NULL));
        const uint32_t *ids = kua_generator_ids(g, &n);
        assert_int_equal(n, 20);
        if (seed == 1) memcpy(first, ids, sizeof(first));
        same += memcmp(first, ids, sizeof(first)) == 0;
    }
    assert_int_equal(same, 2);
    kua_generator_free(g);
}

/* ---- ends ---- */

static bool only_three(void *user, uint32_t id, const char *text, size_t n)
{
    assert_true(id < WORDS && (text || n == 0));
    return ++*(int *)user < 3;
}

static void it_ends_where_it_should(void **state)
{
    (void)state;
    kua_generator *g = load_tiny("gpt2", 20);
    uint32_t prompt[20] = {7, 8, 9};
    kua_generator_stats stats;
    kua_sampling on = {.ignore_end = true};
    int pieces = 0;
    assert_ok(kua_generator_prompt_ids(g, prompt, 3));
    assert_ok(kua_generator_run(g, &on, only_three, &pieces, &stats));
    assert_int_equal(stats.end, KUA_END_CALLER);
    assert_int_equal(stats.new_tokens, 3);
    assert_ok(kua_generator_run(g, &on, NULL, NULL, &stats));
    assert_int_equal(stats.end, KUA_END_FULL);
    assert_int_equal(stats.new_tokens, 14);
    assert_ok(kua_generator_run(g, &on, NULL, NULL, &stats));
    assert_int_equal(stats.new_tokens, 0);
    assert_ok(kua_generator_prompt_ids(g, prompt, 20));
    assert_ok(kua_generator_run(g, &on, NULL, NULL, &stats));
    assert_int_equal(stats.end, KUA_END_FULL);
    kua_generator_free(g);
    kua_generator_free(NULL);
}

/* ---- refusing ---- */

static void bad_calls_are_refused(void **state)
{
    (void)state;
    kua_generator *g = NULL;
    char path[600];
    uint32_t prompt[65] = {7, 70};
    snprintf(path, sizeof(path), "%s/gpt2", test_data("encoder/data/families"));
    assert_fails(kua_generator_load(path, &(kua_generator_options){65}, &g), KUA_INVALID,
                 "max_tokens is 65, expected 1..64");
    assert_null(g);
    snprintf(path, sizeof(path), "%s/tiny-gelu", test_data("encoder/data"));
    assert_fails(kua_generator_load(path, NULL, &g), KUA_FORMAT, "family bert does not generate");
    g = load_tiny("gpt2", 0);
    assert_fails(kua_generator_run(g, &(kua_sampling){0}, NULL, NULL, NULL), KUA_INVALID,
                 "no prompt");
    assert_fails(kua_generator_prompt_ids(g, prompt, 0), KUA_INVALID, "0 tokens, expected 1..64");
    assert_fails(kua_generator_prompt_ids(g, prompt, 65), KUA_INVALID, "65 tokens");
    assert_fails(kua_generator_prompt_ids(g, prompt, 2), KUA_INVALID,
                 "token 1 of the prompt is 70, the model has 70");
    assert_fails(kua_generator_run(g, &(kua_sampling){.temperature = -1}, NULL, NULL, NULL),
                 KUA_INVALID, "temperature is -1");
    assert_fails(kua_generator_run(g, &(kua_sampling){.temperature = NAN}, NULL, NULL, NULL),
                 KUA_INVALID, "temperature");
    assert_fails(kua_generator_run(g, &(kua_sampling){.top_p = 2}, NULL, NULL, NULL), KUA_INVALID,
                 "top_p is 2");
    assert_fails(kua_generator_run(g, &(kua_sampling){.top_k = 71}, NULL, NULL, NULL), KUA_INVALID,
                 "top_k is 71");
    kua_generator_free(g);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    static const char *const families[] = {"gpt2", "llama-gguf"};
    for (size_t i = 0; i < KUA__COUNT(families); i++) {
        kua_status st;
        char path[600];
        snprintf(path, sizeof(path), "%s/%s", test_data("encoder/data/families"), families[i]);
        TEST_EVERY_ALLOCATION(st)
        {
            kua_generator *g = NULL;
            kua_sampling s = {.max_new = 3, .ignore_end = true};
            st = kua_generator_load(path, &(kua_generator_options){24}, &g);
            if (!st) st = kua_generator_prompt(g, "w7 w8", 5);
            if (!st) st = kua_generator_run(g, &s, NULL, NULL, NULL);
            kua_generator_free(g);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_say_what_the_reference_says),
        cmocka_unit_test(smollm2_agrees),
        cmocka_unit_test(draws_follow_the_probabilities),
        cmocka_unit_test(the_likeliest_needs_no_draw),
        cmocka_unit_test(seeds_repeat),
        cmocka_unit_test(it_ends_where_it_should),
        cmocka_unit_test(bad_calls_are_refused),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

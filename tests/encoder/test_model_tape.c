/* test_model_tape.c - the trainable encoder: the same vectors as inference, the gradients that
 * torch computed, a saved model that opens again, and training that lowers a loss.
 *
 * gradients.safetensors (tools/record-encoder.py) holds for every parameter the sum of its gradient
 * times cos(0), cos(1), ... and the sum of its squares: two numbers that no wrong gradient shares.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "encoder/model_tape.h"
#include "encoder/states.h"
#include "kua/encoder.h"
#include "tensor/safetensors.h"

enum { DIM = 24, TEXTS = 3, TOKENS = 41 };

/* A tiny model on a tape, with the recorded texts. */
typedef struct model {
    char folder[512], path[600];
    kua__params params;
    kua__tape_model net;
    kua__tape *tape;
    kua__safetensors *recorded;
    uint32_t ids[TOKENS], at[TEXTS + 1];
} model;

static void read_texts(model *m)
{
    const kua__tensor *ids = NULL, *lengths = NULL;
    float number[TOKENS];
    assert_ok(kua__safetensors_need(m->recorded, "ids", 1, (size_t[]){TOKENS}, &ids));
    assert_ok(kua__safetensors_need(m->recorded, "lengths", 1, (size_t[]){TEXTS}, &lengths));
    kua__tensor_to_f32(ids, 0, TOKENS, number);
    for (size_t i = 0; i < TOKENS; i++)
        m->ids[i] = (uint32_t)number[i];
    kua__tensor_to_f32(lengths, 0, TEXTS, number);
    for (size_t i = 0; i < TEXTS; i++)
        m->at[i + 1] = m->at[i] + (uint32_t)number[i];
    assert_int_equal(m->at[TEXTS], TOKENS);
}

static void model_init(model *m, const char *name)
{
    *m = (model){0};
    kua__model_config config;
    kua__rng rng = kua__rng_make(3, 0);
    snprintf(m->folder, sizeof(m->folder), "%s/%s", test_data("encoder/data"), name);
    snprintf(m->path, sizeof(m->path), "%s/gradients.safetensors", m->folder);
    kua__params_init(&m->params);
    assert_ok(kua__config_load(m->folder, &config));
    assert_ok(kua__tape_model_create(&m->net, &m->params, &config, KUA__TAPE_BODY, &rng));
    assert_ok(kua__tape_model_load(&m->net, m->folder, NULL));
    assert_ok(kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 20}, &m->tape));
    assert_ok(kua__safetensors_open(m->path, &m->recorded));
    read_texts(m);
}

static void model_release(model *m)
{
    kua__tape_free(m->tape);
    kua__tape_model_release(&m->net);
    kua__params_release(&m->params);
    kua__safetensors_close(m->recorded);
}

/* The recorded loss: vectors of length 1 times cos(0), cos(1), ... */
static kua__var *recorded_loss(model *m, kua__var **vectors)
{
    static float weight[TEXTS * DIM];
    kua__ragged seq = {TEXTS, m->at};
    for (size_t i = 0; i < TEXTS * DIM; i++)
        weight[i] = (float)cos((double)i);
    kua__var *x = kua__model_on_tape(m->tape, &m->net, m->ids, seq, 0);
    *vectors = kua__pool_on_tape(m->tape, x, seq, KUA_POOLING_MEAN, true);
    kua__var *w = kua__input(m->tape, TEXTS, DIM, weight);
    return kua__sum(m->tape, kua__mul(m->tape, *vectors, w));
}

/* ---- gradients ---- */

static void assert_close(const char *name, double got, double expected)
{
    if (fabs(got - expected) > 2e-4 * (1 + fabs(expected)))
        print_error("%s: %.9g, expected %.9g\n", name, got, expected);
    assert_near(got, expected, 2e-4 * (1 + fabs(expected)));
}

/* A tensor of the file is a part of a parameter: where it begins, and its numbers. */
static const float *gradient_of(const model *m, const char *name, size_t *n)
{
    static const char *const parts[] = {"query", "key", "value"};
    char full[128];
    for (size_t i = 0; i < 3; i++) {
        const char *at = strstr(name, parts[i]);
        if (!at || !strstr(name, ".self.")) continue;
        snprintf(full, sizeof(full), "%.*sqkv%s", (int)(at - name), name, at + strlen(parts[i]));
        kua__param *p = kua__params_find(&m->params, full);
        assert_non_null(p);
        *n = p->rows * p->cols / 3;
        return p->grad + i * *n;
    }
    kua__param *p = kua__params_find(&m->params, name);
    assert_non_null(p);
    *n = p->rows * p->cols;
    return p->grad;
}

static void check_sums(const model *m, const char *name, const float sums[2])
{
    size_t n = 0;
    const float *g = gradient_of(m, name, &n);
    double weighted = 0, squares = 0;
    assert_non_null(g);
    for (size_t i = 0; i < n; i++) {
        weighted += g[i] * cos((double)i);
        squares += (double)g[i] * g[i];
    }
    assert_close(name, weighted, sums[0]);
    assert_close(name, squares, sums[1]);
}

static void check_whole(const model *m, const char *name)
{
    size_t n = 0;
    const float *g = gradient_of(m, name, &n);
    const kua__tensor *t = kua__safetensors_find(m->recorded, name);
    assert_non_null(t);
    assert_int_equal(t->count, n);
    for (size_t i = 0; i < n; i++) {
        float expected;
        kua__tensor_to_f32(t, i, 1, &expected);
        assert_near(g[i], expected, 2e-5 + 1e-4 * fabs(expected));
    }
}

static void check_gradients(const char *folder)
{
    model m;
    model_init(&m, folder);
    kua__var *vectors = NULL, *loss = recorded_loss(&m, &vectors);
    assert_ok(kua__tape_backward(m.tape, loss));
    float expected, sums[2];
    kua__tensor_to_f32(kua__safetensors_find(m.recorded, "loss"), 0, 1, &expected);
    assert_near(loss->value[0], expected, 1e-5);
    const kua__tensor *all = kua__safetensors_find(m.recorded, "sums");
    const char *name = kua__safetensors_meta(m.recorded, "names");
    size_t n = 0;
    for (; name && *name; n++) {
        size_t length = strcspn(name, "\n");
        char one[128];
        snprintf(one, sizeof(one), "%.*s", (int)length, name);
        kua__tensor_to_f32(all, 2 * n, 2, sums);
        check_sums(&m, one, sums);
        name += length + (name[length] == '\n');
    }
    assert_int_equal(n, 5 + 2 * 16);
    check_whole(&m, "embeddings.word_embeddings.weight");
    check_whole(&m, "encoder.layer.0.attention.self.key.weight");
    model_release(&m);
}

static void gradients_are_those_of_torch(void **state)
{
    (void)state;
    check_gradients("tiny-gelu");
    check_gradients("tiny-relu");
}

/* ---- against inference ---- */

static void encode(const char *folder, const model *m, const kua_encoder_options *o, float *rows)
{
    kua_encoder *e = NULL;
    size_t offset[TEXTS + 1];
    for (size_t i = 0; i <= TEXTS; i++)
        offset[i] = m->at[i];
    kua_id_batch batch = {
        .ids = {(uint32_t *)m->ids, TOKENS, TOKENS}, .offset = offset, .n = TEXTS};
    assert_ok(kua_encoder_load(folder, o, &e));
    assert_ok(kua_encoder_encode_ids(e, &batch, NULL, rows, NULL));
    kua_encoder_free(e);
}

static void both_paths_give_the_same_vectors(void **state)
{
    (void)state;
    static const kua_pooling pooling[] = {KUA_POOLING_MEAN, KUA_POOLING_CLS, KUA_POOLING_MAX};
    model m;
    model_init(&m, "tiny-gelu");
    kua__ragged seq = {TEXTS, m.at};
    kua__tape_set_training(m.tape, false);
    for (size_t i = 0; i < 6; i++) {
        bool unit = i % 2;
        kua_encoder_options o = {.pooling = pooling[i / 2],
                                 .unit = unit ? KUA_UNIT_YES : KUA_UNIT_NO};
        float rows[TEXTS * DIM];
        kua__tape_reset(m.tape);
        kua__var *x =
            kua__model_on_tape(m.tape, &m.net, m.ids, seq, .5f); /* not training: no dropout */
        kua__var *v = kua__pool_on_tape(m.tape, x, seq, o.pooling, unit);
        assert_ok(kua__tape_status(m.tape));
        encode(m.folder, &m, &o, rows);
        for (size_t k = 0; k < TEXTS * DIM; k++)
            assert_near(v->value[k], rows[k], 2e-5);
    }
    model_release(&m);
}

static void token_states_are_those_of_the_tape(void **state)
{
    (void)state;
    model m;
    model_init(&m, "tiny-gelu");
    kua_encoder *e = NULL;
    float x[TOKENS * DIM];
    kua__tape_set_training(m.tape, false);
    const kua__var *y = kua__model_on_tape(m.tape, &m.net, m.ids, (kua__ragged){TEXTS, m.at}, 0);
    assert_ok(kua__tape_status(m.tape));
    assert_ok(kua_encoder_load(m.folder, NULL, &e));
    for (int threads = 1; threads <= 2; threads++) {
        kua__threads_set(threads);
        memset(x, 0, sizeof(x));
        assert_ok(kua__encoder_states(e, m.ids, m.at, TEXTS, x));
        for (size_t i = 0; i < TOKENS * DIM; i++)
            assert_near(x[i], y->value[i], 2e-5);
    }
    uint32_t none[] = {0, 0, 3}, far[] = {1, 2, 1000};
    assert_fails(kua__encoder_states(e, m.ids, none, 2, x), KUA_INVALID, "text 0 has 0 tokens");
    assert_fails(kua__encoder_states(e, far, (uint32_t[]){0, 3}, 1, x), KUA_INVALID,
                 "token 2 is 1000");
    /* One thread: whether two of them need one scratch or two is chance, and the encoder keeps what
     * it has made. */
    kua__threads_set(1);
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__encoder_states(e, m.ids, m.at, TEXTS, x);
    }
    kua_encoder_free(e);
    model_release(&m);
}

/* ---- training ---- */

static const char *copy_folder(const char *from)
{
    static const char *const names[] = {"vocab.txt", "modules.json"};
    const char *to = test_temp_path("tuned");
    char path[700];
    kua__map map;
    assert_ok(kua__make_folders(to));
    for (size_t i = 0; i < KUA__COUNT(names); i++) {
        snprintf(path, sizeof(path), "%s/%s", from, names[i]);
        assert_ok(kua__map_open(&map, path));
        snprintf(path, sizeof(path), "%s/%s", to, names[i]);
        assert_ok(kua__write_file(path, map.data, map.size));
        kua__map_close(&map);
    }
    return to;
}

static void a_tuned_model_is_saved_and_opens(void **state)
{
    (void)state;
    model m;
    model_init(&m, "tiny-relu");
    kua__optim optim;
    kua__optim_options options = kua__optim_defaults();
    options.lr = .01f;
    kua__optim_init(&optim, &options);
    float first = 0, last = 0;
    kua__var *vectors = NULL;
    for (int step = 0; step < 20; step++) {
        kua__tape_reset(m.tape);
        kua__var *loss = recorded_loss(&m, &vectors);
        assert_ok(kua__tape_backward(m.tape, loss));
        last = loss->value[0];
        first = step ? first : last;
        assert_ok(kua__optim_step(&optim, &m.params));
    }
    assert_true(last < first - 1);
    kua__tape_reset(m.tape);
    (void)recorded_loss(&m, &vectors);
    const char *folder = copy_folder(m.folder);
    float rows[TEXTS * DIM];
    assert_ok(kua__tape_model_save(&m.net, folder));
    encode(folder, &m, &(kua_encoder_options){.unit = KUA_UNIT_YES}, rows);
    for (size_t k = 0; k < TEXTS * DIM; k++)
        assert_near(vectors->value[k], rows[k], 2e-5);
    model_release(&m);
}

static void bad_texts_are_refused(void **state)
{
    (void)state;
    model m;
    model_init(&m, "tiny-gelu");
    uint32_t ids[70] = {1000}, at[] = {0, 70};
    kua__ragged seq = {1, at};
    assert_null(kua__model_on_tape(m.tape, &m.net, ids, seq, 0));
    assert_fails(kua__tape_status(m.tape), KUA_INVALID, "text 0 has 70 tokens, the limit is 64");
    kua__tape_reset(m.tape);
    at[1] = 5;
    assert_null(kua__model_on_tape(m.tape, &m.net, ids, seq, 0));
    assert_fails(kua__tape_status(m.tape), KUA_INVALID, "1000");
    model_release(&m);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    kua__model_config config = kua__config_preset(KUA__FAMILY_BERT);
    config.hidden = config.head_dim = 8;
    config.layers = config.heads = config.kv_heads = 1;
    config.inner = 12;
    config.vocab = 20;
    config.positions = 16;
    config.types = 2;
    uint32_t ids[5] = {1, 2, 3, 4, 5}, at[3] = {0, 2, 5};
    const char *path = test_temp_path("small");
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        kua__params params;
        kua__tape_model net;
        kua__tape *t = NULL;
        kua__rng rng = kua__rng_make(1, 0);
        kua__params_init(&params);
        st = kua__tape_model_create(&net, &params, &config, KUA__TAPE_HEAD, &rng);
        if (!st) st = kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 14}, &t);
        if (!st) {
            kua__var *x = kua__model_on_tape(t, &net, ids, (kua__ragged){2, at}, .1f);
            st = kua__tape_backward(t, kua__word_loss(t, &net, x, ids));
        }
        if (!st) st = kua__tape_model_save(&net, path);
        kua__tape_free(t);
        kua__tape_model_release(&net);
        kua__params_release(&params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_torch),
        cmocka_unit_test(both_paths_give_the_same_vectors),
        cmocka_unit_test(token_states_are_those_of_the_tape),
        cmocka_unit_test(a_tuned_model_is_saved_and_opens),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

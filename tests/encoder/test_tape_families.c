/* test_tape_families.c - every family on the tape: hidden states, loss over words, and the gradient
 * of every parameter as torch computed them (tools/record-tape-families.py); what is saved is what
 * was loaded; LoRA, plans, and layers that are computed twice.
 *
 * Gradients are compared by saving a model whose values are its gradients: the file then has the
 * reference's names and layouts, which checks those too.
 */
#include "testlib.h"

#include <math.h>
#include <string.h>

#include "encoder/tune.h"
#include "tensor/safetensors.h"

enum { TEXTS = 3, TOKENS = 33 };

typedef struct model {
    char folder[512];
    kua__params params;
    kua__tape_model net;
    kua__tape *tape;
    kua__safetensors *recorded;
    uint32_t ids[TOKENS], target[TOKENS], at[TEXTS + 1];
} model;

static const char *const families[] = {"bert", "distilbert", "roberta",
                                       "gpt2", "llama",      "llama-untied"};

static void read_ids(const model *m, const char *name, size_t n, uint32_t *out)
{
    const kua__tensor *t = NULL;
    float number[TOKENS];
    assert_ok(kua__safetensors_need(m->recorded, name, 1, &n, &t));
    kua__tensor_to_f32(t, 0, n, number);
    for (size_t i = 0; i < n; i++)
        out[i] = number[i] < 0 ? KUA__NO_ID : (uint32_t)number[i];
}

static void model_init(model *m, const char *name)
{
    *m = (model){0};
    kua__model_config config;
    kua__rng rng = kua__rng_make(3, 0);
    char path[600];
    bool head = false;
    snprintf(m->folder, sizeof(m->folder), "%s/tape-%s", test_data("encoder/data"), name);
    snprintf(path, sizeof(path), "%s/gradients.safetensors", m->folder);
    kua__params_init(&m->params);
    assert_ok(kua__config_load(m->folder, &config));
    assert_ok(kua__tape_model_create(&m->net, &m->params, &config, KUA__TAPE_HEAD, &rng));
    assert_ok(kua__tape_model_load(&m->net, m->folder, &head));
    assert_true(head);
    assert_ok(kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 20}, &m->tape));
    assert_ok(kua__safetensors_open(path, &m->recorded));
    read_ids(m, "ids", TOKENS, m->ids);
    read_ids(m, "target", TOKENS, m->target);
    read_ids(m, "lengths", TEXTS, m->at + 1);
    for (size_t i = 0; i < TEXTS; i++)
        m->at[i + 1] += m->at[i];
    assert_int_equal(m->at[TEXTS], TOKENS);
}

static void model_release(model *m)
{
    kua__tape_free(m->tape);
    kua__tape_model_release(&m->net);
    kua__params_release(&m->params);
    kua__safetensors_close(m->recorded);
}

static kua__var *states(model *m)
{
    return kua__model_on_tape(m->tape, &m->net, m->ids, (kua__ragged){TEXTS, m->at}, 0);
}

static kua__var *loss_of(model *m)
{
    return kua__word_loss(m->tape, &m->net, states(m), m->target);
}

/* |got - expected| <= 1e-4 of the largest number of the tensor. */
static void assert_same(const char *what, const kua__tensor *t, const float *got)
{
    float most = 0, *expected = kua__alloc_array(t->count, sizeof(float));
    assert_non_null(expected);
    kua__tensor_to_f32(t, 0, t->count, expected);
    for (size_t i = 0; i < t->count; i++)
        most = fmaxf(most, fabsf(expected[i]));
    for (size_t i = 0; i < t->count; i++) {
        if (fabsf(got[i] - expected[i]) > 1e-4f * most + 1e-7f)
            print_error("%s[%zu]: %g, expected %g\n", what, i, (double)got[i], (double)expected[i]);
        assert_near(got[i], expected[i], 1e-4f * most + 1e-7f);
    }
    kua__free(expected);
}

static void compare_files(const kua__safetensors *expected, const char *folder, size_t others)
{
    kua__safetensors *saved = NULL;
    char path[700];
    snprintf(path, sizeof(path), "%s/model.safetensors", folder);
    assert_ok(kua__safetensors_open(path, &saved));
    assert_int_equal(kua__safetensors_count(saved), kua__safetensors_count(expected) - others);
    for (size_t i = 0; i < kua__safetensors_count(saved); i++) {
        const kua__tensor *t = kua__safetensors_at(saved, i), *e = NULL;
        assert_ok(kua__safetensors_need(expected, t->name, t->rank, t->dim, &e));
        assert_same(t->name, e, kua__tensor_f32(t));
    }
    kua__safetensors_close(saved);
}

static void check_family(const char *name)
{
    model m;
    model_init(&m, name);
    const kua__var *x = states(&m);
    const kua__tensor *hidden = NULL, *loss = NULL;
    assert_ok(kua__tape_status(m.tape));
    assert_ok(kua__safetensors_need(m.recorded, "hidden", 2,
                                    (size_t[]){TOKENS, m.net.config.hidden}, &hidden));
    assert_same("hidden", hidden, x->value);
    kua__var *l = loss_of(&m);
    assert_ok(kua__tape_backward(m.tape, l));
    assert_ok(kua__safetensors_need(m.recorded, "loss", 1, (size_t[]){1}, &loss));
    assert_same("loss", loss, l->value);
    for (size_t i = 0; i < m.params.n; i++) {
        kua__param *p = m.params.all[i];
        assert_non_null(p->grad);
        memcpy(p->value, p->grad, p->rows * p->cols * sizeof(float));
    }
    const char *folder = test_temp_path("gradients");
    assert_ok(kua__tape_model_save(&m.net, folder));
    compare_files(m.recorded, folder, 5); /* ids, lengths, target, hidden, loss */
    model_release(&m);
}

static void gradients_are_those_of_torch(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(families); i++)
        check_family(families[i]);
}

static void saved_is_what_was_loaded(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(families); i++) {
        model m;
        kua__model_config config;
        kua__safetensors *file = NULL;
        char path[700];
        const char *folder = test_temp_path("again");
        model_init(&m, families[i]);
        assert_ok(kua__tape_model_save(&m.net, folder));
        snprintf(path, sizeof(path), "%s/model.safetensors", m.folder);
        assert_ok(kua__safetensors_open(path, &file));
        compare_files(file, folder, 0);
        assert_ok(kua__config_load(folder, &config));
        assert_int_equal(config.family, m.net.config.family);
        assert_int_equal(config.kv_heads, m.net.config.kv_heads);
        assert_int_equal(config.tied, m.net.config.tied);
        kua__safetensors_close(file);
        model_release(&m);
    }
}

static void judged_loss_is_the_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(families); i++) {
        model m;
        model_init(&m, families[i]);
        kua__tape_set_training(m.tape, false);
        kua__word_score score = {0};
        const kua__var *loss = loss_of(&m);
        assert_ok(kua__word_judge(m.tape, &m.net, states(&m), m.target, &score));
        assert_near(score.loss / (double)score.counted, loss->value[0], 1e-4);
        assert_true(score.right <= score.counted);
        model_release(&m);
    }
}

/* ---- layers that are computed twice ---- */

static void recomputed_layers_give_the_same_bits(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(families); i++) {
        model m[2];
        for (int twice = 0; twice < 2; twice++) {
            model_init(&m[twice], families[i]);
            m[twice].net.recompute = twice;
            kua__var *x = kua__model_on_tape(m[twice].tape, &m[twice].net, m[twice].ids,
                                             (kua__ragged){TEXTS, m[twice].at}, .2f);
            assert_ok(kua__tape_backward(
                m[twice].tape, kua__word_loss(m[twice].tape, &m[twice].net, x, m[twice].target)));
        }
        for (size_t k = 0; k < m[0].params.n; k++) {
            const kua__param *a = m[0].params.all[k], *b = m[1].params.all[k];
            assert_memory_equal(a->grad, b->grad, a->rows * a->cols * sizeof(float));
        }
        model_release(&m[0]);
        model_release(&m[1]);
    }
}

/* ---- what is tuned ---- */

static void train(model *m, kua__tuning *tuning, int steps, float *first, float *last)
{
    kua__optim optim;
    kua__optim_options options = kua__optim_defaults();
    options.lr = .01f;
    kua__optim_init(&optim, &options);
    for (int step = 0; step < steps; step++) {
        kua__tape_reset(m->tape);
        kua__var *loss = loss_of(m);
        assert_ok(kua__tape_backward(m->tape, loss));
        *last = loss->value[0];
        if (step == 0) *first = *last;
        kua__tuning_pull(tuning);
        assert_ok(kua__optim_step(&optim, &m->params));
    }
}

static void adapters_are_trained_and_merged(void **state)
{
    (void)state;
    for (size_t i = 0; i < KUA__COUNT(families); i++) {
        model m;
        model_init(&m, families[i]);
        kua__rng rng = kua__rng_make(9, 0);
        kua__tuning tuning;
        kua__tune_plan plan = kua__tune_defaults();
        plan.how = KUA__TUNE_LORA;
        plan.lora = (kua__lora_options){3, 6, KUA__LORA_ALL};
        size_t before = kua__params_count(&m.params);
        float start = loss_of(&m)->value[0], first, last;
        float word = kua__word_table(&m.net)->value[5];
        assert_ok(kua__tuning_begin(&tuning, &plan, &m.net, &m.params, &rng));
        size_t added = kua__params_count(&m.params) - before;
        assert_int_equal(added, kua__lora_count(&m.net.config, &plan.lora));
        train(&m, &tuning, 30, &first, &last);
        assert_near(first, start, 1e-6); /* an adapter adds nothing at first */
        assert_true(last < first - .2f);
        assert_true(kua__word_table(&m.net)->value[5] == word);
        kua__tape_reset(m.tape);
        float with = loss_of(&m)->value[0];
        assert_ok(kua__tuning_end(&tuning));
        kua__tape_reset(m.tape);
        assert_near(loss_of(&m)->value[0], with, 1e-4);
        assert_fails(kua__lora_add(&m.net, &m.params, &plan.lora, &rng), KUA_INVALID, "already");
        kua__tuning_release(&tuning);
        model_release(&m);
    }
}

static size_t trained(const model *m)
{
    size_t n = 0;
    for (size_t i = 0; i < m->params.n; i++) {
        const kua__param *p = m->params.all[i];
        n += p->frozen ? 0 : p->rows * p->cols;
    }
    return n;
}

static void layers_thaw_one_after_the_other(void **state)
{
    (void)state;
    model m;
    model_init(&m, "bert");
    kua__rng rng = kua__rng_make(9, 0);
    kua__tuning tuning;
    kua__tune_plan plan = kua__tune_defaults();
    plan.how = KUA__TUNE_GRADUAL;
    plan.layer_decay = .5f;
    plan.thaw_every = 2;
    assert_ok(kua__tuning_begin(&tuning, &plan, &m.net, &m.params, &rng));
    size_t open[8];
    for (size_t epoch = 0; epoch < 8; epoch++) {
        bool more = kua__tuning_epoch(&tuning, epoch);
        open[epoch] = trained(&m);
        assert_int_equal(more, epoch > 0 && open[epoch] > open[epoch - 1]);
    }
    assert_true(open[0] == open[1] && open[1] < open[2] && open[2] == open[3] && open[3] < open[4]);
    assert_int_equal(open[7], kua__params_count(&m.params));
    const kua__param *first = m.net.layer[0][KUA__SLOT_UP].weight;
    assert_near(first->lr_scale, .25f, 1e-6);
    assert_near(kua__word_table(&m.net)->lr_scale, .125f, 1e-6);
    kua__tuning_release(&tuning);
    model_release(&m);
}

static double distance_moved(float l2_sp)
{
    model m;
    model_init(&m, "bert");
    kua__rng rng = kua__rng_make(9, 0);
    kua__tuning tuning;
    kua__tune_plan plan = kua__tune_defaults();
    plan.l2_sp = l2_sp;
    const kua__param *up = m.net.layer[1][KUA__SLOT_UP].weight;
    float before[40 * 24], first, last;
    memcpy(before, up->value, sizeof(before));
    assert_ok(kua__tuning_begin(&tuning, &plan, &m.net, &m.params, &rng));
    train(&m, &tuning, 20, &first, &last);
    double moved = 0;
    for (size_t i = 0; i < KUA__COUNT(before); i++)
        moved += fabs((double)(up->value[i] - before[i]));
    kua__tuning_release(&tuning);
    model_release(&m);
    return moved;
}

static void l2_sp_holds_weights_back(void **state)
{
    (void)state;
    assert_true(distance_moved(1) < .7 * distance_moved(0));
}

static void features_and_heads_freeze_the_model(void **state)
{
    (void)state;
    for (int how = KUA__TUNE_NONE; how <= KUA__TUNE_HEAD; how++) {
        model m;
        model_init(&m, "gpt2");
        kua__rng rng = kua__rng_make(9, 0);
        kua__tuning tuning;
        kua__tune_plan plan = kua__tune_defaults();
        plan.how = (kua__tune_how)how;
        kua__param *own = NULL;
        assert_ok(kua__params_add(&m.params, "own", 3, 3, KUA__INIT_ONES, 0, NULL, &own));
        assert_ok(kua__tuning_begin(&tuning, &plan, &m.net, &m.params, &rng));
        assert_int_equal(trained(&m), 9); /* a task's head is nobody's business here */
        kua__tuning_release(&tuning);
        model_release(&m);
    }
}

static void bad_plans_are_refused(void **state)
{
    (void)state;
    kua__tune_how how;
    unsigned targets;
    assert_ok(kua__tune_parse("gradual", &how));
    assert_int_equal(how, KUA__TUNE_GRADUAL);
    assert_fails(kua__tune_parse("all", &how), KUA_INVALID, "none, head, lora, gradual and full");
    assert_ok(kua__lora_targets_parse("attention,inner", &targets));
    assert_int_equal(targets, KUA__LORA_ATTENTION | KUA__LORA_INNER);
    assert_fails(kua__lora_targets_parse("attention,", &targets), KUA_INVALID, "known are");
    model m;
    model_init(&m, "gpt2");
    kua__rng rng = kua__rng_make(9, 0);
    kua__tuning tuning;
    kua__tune_plan plan = kua__tune_defaults();
    plan.layer_decay = 0;
    assert_fails(kua__tuning_begin(&tuning, &plan, &m.net, &m.params, &rng), KUA_INVALID,
                 "layer_decay is 0");
    plan = kua__tune_defaults();
    plan.how = KUA__TUNE_LORA;
    plan.lora.rank = 0;
    assert_fails(kua__tuning_begin(&tuning, &plan, &m.net, &m.params, &rng), KUA_INVALID,
                 "rank is 0");
    kua__tuning_release(&tuning);
    model_release(&m);
}

/* What was stated holds within a third, for what is large enough to count. */
static void memory_is_stated(void **state)
{
    (void)state;
    kua__model_config c = kua__config_preset(KUA__FAMILY_BERT);
    c.hidden = 64;
    c.heads = c.kv_heads = 4;
    c.head_dim = 16;
    c.layers = 4;
    c.inner = 256;
    c.vocab = 500;
    c.positions = 64;
    for (int twice = 0; twice < 2; twice++) {
        kua__params params;
        kua__tape_model net;
        kua__tape *t = NULL;
        kua__rng rng = kua__rng_make(1, 0);
        kua__tune_plan plan = kua__tune_defaults();
        plan.recompute = twice;
        uint32_t ids[1024] = {0}, at[33];
        for (uint32_t i = 0; i < 33; i++)
            at[i] = 32 * i;
        kua__params_init(&params);
        assert_ok(kua__tape_model_create(&net, &params, &c, KUA__TAPE_BODY, &rng));
        net.recompute = twice;
        assert_ok(kua__tape_create(&(kua__tape_options){.chunk_bytes = 1 << 22}, &t));
        kua__var *x = kua__model_on_tape(t, &net, ids, (kua__ragged){32, at}, .1f);
        assert_ok(kua__tape_backward(t, kua__sum(t, x)));
        kua__tune_memory m = kua__tune_memory_of(&plan, &c, 1024, 32, 0);
        assert_int_equal(m.trained, kua__params_count(&params));
        assert_int_equal(m.weights + m.gradients + c.vocab,
                         kua__params_bytes(&params)); /* touched */
        double ratio = (double)m.activations / (double)kua__tape_bytes(t);
        print_message("activations: %zu stated, %zu held\n", m.activations, kua__tape_bytes(t));
        assert_true(ratio > .67 && ratio < 1.34);
        kua__tape_free(t);
        kua__tape_model_release(&net);
        kua__params_release(&params);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_those_of_torch),
        cmocka_unit_test(saved_is_what_was_loaded),
        cmocka_unit_test(judged_loss_is_the_loss),
        cmocka_unit_test(recomputed_layers_give_the_same_bits),
        cmocka_unit_test(adapters_are_trained_and_merged),
        cmocka_unit_test(layers_thaw_one_after_the_other),
        cmocka_unit_test(l2_sp_holds_weights_back),
        cmocka_unit_test(features_and_heads_freeze_the_model),
        cmocka_unit_test(bad_plans_are_refused),
        cmocka_unit_test(memory_is_stated),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

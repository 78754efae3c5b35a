/* test_torch.c - values and gradients against those that torch gave (tools/record-grad.py, in
 * double precision).
 *
 * Finite differences tell whether a gradient belongs to its value; this tells whether the value is
 * the one that everybody else means: gate orders, epsilons inside or outside of a root, bias
 * corrections.
 */
#include "check.h"

#include "base/json.h"

static json_t *recorded;

static int load(void **state)
{
    (void)state;
    return kua__json_load(test_data("grad/data/torch.json"), &recorded) ? -1 : 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(recorded);
    recorded = NULL;
    return 0;
}

static void copy_numbers(const json_t *list, float *out, size_t n)
{
    assert_int_equal(json_array_size(list), n);
    for (size_t i = 0; i < n; i++)
        out[i] = (float)json_number_value(json_array_get(list, i));
}

static void assert_numbers(const char *what, const float *got, const json_t *list, size_t n)
{
    assert_int_equal(json_array_size(list), n);
    for (size_t i = 0; i < n; i++) {
        double wanted = json_number_value(json_array_get(list, i));
        if (fabs(got[i] - wanted) <= 3e-6 + 3e-6 * fabs(wanted)) continue;
        fail_msg("%s: number %zu is %.9g, torch gave %.9g", what, i, (double)got[i], wanted);
    }
}

/* The case's inputs as parameters of their names; result and gradients are compared. */
typedef struct recall {
    kua__tape *t;
    kua__params params;
} recall;

static kua__var *in(recall *r, const char *name)
{
    return kua__use(r->t, kua__params_find(&r->params, name));
}

typedef kua__var *(*recall_fn)(recall *r);

static void add_inputs(recall *r, const json_t *inputs)
{
    const char *name;
    json_t *matrix;
    json_object_foreach((json_t *)inputs, name, matrix)
    {
        size_t rows = (size_t)json_integer_value(json_array_get(matrix, 0));
        size_t cols = (size_t)json_integer_value(json_array_get(matrix, 1));
        kua__param *p = NULL;
        assert_ok(kua__params_add(&r->params, name, rows, cols, KUA__INIT_ZEROS, 0, NULL, &p));
        copy_numbers(json_array_get(matrix, 2), p->value, rows * cols);
    }
}

static void compare(const char *name, recall_fn build)
{
    const json_t *c = json_object_get(recorded, name), *out = json_object_get(c, "out");
    assert_non_null(c);
    recall r = {0};
    float mix[256];
    kua__params_init(&r.params);
    assert_ok(kua__tape_create(NULL, &r.t));
    add_inputs(&r, json_object_get(c, "in"));
    kua__var *y = build(&r);
    assert_ok(kua__tape_status(r.t));
    size_t n = y->rows * y->cols;
    assert_true(n <= KUA__COUNT(mix));
    for (size_t i = 0; i < n; i++)
        mix[i] = cosf((float)(i + 1));
    assert_numbers(name, y->value, json_array_get(out, 2), n);
    kua__var *weights = kua__input(r.t, y->rows, y->cols, mix);
    assert_ok(kua__tape_backward(r.t, kua__sum(r.t, kua__mul(r.t, y, weights))));
    for (size_t i = 0; i < r.params.n; i++) {
        kua__param *p = r.params.all[i];
        const json_t *grad = json_object_get(json_object_get(c, "grad"), p->name);
        assert_numbers(name, p->grad, grad, p->rows * p->cols);
    }
    kua__tape_free(r.t);
    kua__params_release(&r.params);
}

static kua__var *linear(recall *r)
{
    return kua__linear(r->t, in(r, "x"), in(r, "w"), in(r, "b"));
}

static kua__var *gelu(recall *r)
{
    return kua__gelu(r->t, kua__scale(r->t, in(r, "x"), 3));
}

static kua__var *silu(recall *r)
{
    return kua__silu(r->t, in(r, "x"));
}

static kua__var *sigmoid(recall *r)
{
    return kua__sigmoid(r->t, in(r, "x"));
}

static kua__var *hyperbolic(recall *r)
{
    return kua__tanh(r->t, in(r, "x"));
}

static kua__var *swiglu(recall *r)
{
    return kua__swiglu(r->t, in(r, "x"));
}

static kua__var *softmax(recall *r)
{
    return kua__softmax(r->t, kua__scale(r->t, in(r, "x"), 3));
}

static kua__var *layer_norm(recall *r)
{
    return kua__layer_norm(r->t, in(r, "x"), in(r, "g"), in(r, "b"), 1e-5f);
}

static kua__var *rms_norm(recall *r)
{
    return kua__rms_norm(r->t, in(r, "x"), in(r, "g"), 1e-6f);
}

static kua__var *l2_normalize(recall *r)
{
    return kua__l2_normalize(r->t, in(r, "x"), 1e-12f);
}

static kua__var *cross_entropy(recall *r)
{
    static const uint32_t target[] = {2, KUA__NO_ID, 0, 6, 6};
    return kua__cross_entropy(r->t, in(r, "x"), target);
}

static kua__var *bce(recall *r)
{
    static const float target[] = {0, 1, 0.25f, 1, 0, 0.5f};
    return kua__bce(r->t, in(r, "x"), target);
}

static kua__var *mse(recall *r)
{
    return kua__mse(r->t, in(r, "a"), in(r, "b"));
}

static const uint32_t ends[] = {0, 3, 4, 10, 12};

static kua__var *lstm(recall *r)
{
    return kua__lstm(r->t, in(r, "x"), (kua__ragged){4, ends}, in(r, "w"), in(r, "u"), in(r, "b"));
}

static kua__var *gru(recall *r)
{
    return kua__gru(r->t, in(r, "x"), (kua__ragged){4, ends}, in(r, "w"), in(r, "u"), in(r, "b"),
                    in(r, "bu"));
}

static void operations_agree(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        recall_fn build;
    } cases[] = {
        {"linear", linear},
        {"gelu", gelu},
        {"silu", silu},
        {"sigmoid", sigmoid},
        {"tanh", hyperbolic},
        {"swiglu", swiglu},
        {"softmax", softmax},
        {"layer_norm", layer_norm},
        {"rms_norm", rms_norm},
        {"l2_normalize", l2_normalize},
        {"cross_entropy", cross_entropy},
        {"bce", bce},
        {"mse", mse},
        {"lstm", lstm},
        {"gru", gru},
    };
    for (size_t i = 0; i < KUA__COUNT(cases); i++)
        compare(cases[i].name, cases[i].build);
}

/* ---- optimisers ---- */

static void compare_optimiser(const char *name, kua__optim_options options, bool sparse)
{
    const json_t *c = json_object_get(recorded, name);
    size_t steps = (size_t)json_integer_value(json_object_get(c, "steps"));
    kua__params params;
    kua__param *p = NULL;
    kua__optim optim;
    assert_true(steps > 0);
    kua__params_init(&params);
    if (sparse)
        assert_ok(kua__params_add_table(&params, "p", 5, 3, 0, NULL, &p));
    else
        assert_ok(kua__params_add(&params, "p", 5, 3, KUA__INIT_ZEROS, 0, NULL, &p));
    copy_numbers(json_object_get(c, "start"), p->value, 15);
    p->grad = kua__calloc(15, sizeof(float));
    assert_non_null(p->grad);
    kua__optim_init(&optim, &options);
    for (size_t s = 0; s < steps; s++) {
        for (size_t i = 0; i < 15; i++) {
            if (sparse && i / 3 != s % 4 && i / 3 != 4) continue;
            if (sparse) p->touched[i / 3] = 1;
            p->grad[i] = sinf((float)(i + 3 * s));
        }
        assert_ok(kua__optim_step(&optim, &params));
    }
    assert_numbers(name, p->value, json_object_get(c, "after"), 15);
    for (size_t i = 0; i < 15; i++)
        assert_true(p->grad[i] == 0);
    kua__params_release(&params);
}

static void optimisers_agree(void **state)
{
    (void)state;
    kua__optim_options o = kua__optim_defaults();
    o.lr = 0.05f;
    kua__optim_options adamw = o, l2 = o, clip = o;
    adamw.beta1 = 0.8f;
    adamw.beta2 = 0.95f;
    adamw.epsilon = 1e-6f;
    adamw.weight_decay = 0.1f;
    l2.weight_decay = 0.1f;
    l2.coupled_decay = true;
    clip.clip_norm = 0.7f;
    compare_optimiser("adamw", adamw, false);
    compare_optimiser("adam_l2", l2, false);
    compare_optimiser("adam_clip", clip, false);
    compare_optimiser("adam_sparse", o, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(operations_agree, load, unload),
        cmocka_unit_test_setup_teardown(optimisers_agree, load, unload),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

/* test_checkpoint.c - a run that is saved, loaded elsewhere and continued equals one that was not
 * interrupted, bit for bit; files that do not fit are refused with nothing changed; memory and disk
 * may run out; the format stays readable (data/checkpoint-v1.safetensors is from the first
 * version).
 */
#include "testlib.h"

#include "grad/grad.h"
#include "tensor/safetensors.h"

enum { ROWS = 20, IN = 5, OUT = 3 };

typedef struct run {
    kua__tape *t;
    kua__params params;
    kua__param *table, *w, *late;
    kua__optim optim;
    kua__ema ema;
    kua__rng rng;
} run;

static kua_status run_open(run *r)
{
    kua__rng rng = kua__rng_make(3, 1);
    kua__optim_options o = kua__optim_defaults();
    *r = (run){.rng = kua__rng_make(9, 9)};
    kua__params_init(&r->params);
    o.lr = 0.037f;
    o.weight_decay = 0.013f;
    o.clip_norm = 0.3f;
    o.schedule = KUA__COSINE;
    o.warmup_steps = 3;
    o.total_steps = 11;
    kua__optim_init(&r->optim, &o);
    KUA__TRY(kua__tape_create(&(kua__tape_options){.seed = 77}, &r->t));
    KUA__TRY(kua__params_add_table(&r->params, "table", 9, IN, 1, &rng, &r->table));
    KUA__TRY(kua__params_add(&r->params, "w", OUT, IN, KUA__INIT_NORMAL, 0.5f, &rng, &r->w));
    KUA__TRY(kua__params_add(&r->params, "late", 1, OUT, KUA__INIT_ZEROS, 0, NULL, &r->late));
    return kua__ema_init(&r->ema, &r->params, 0.95f);
}

static void run_close(run *r)
{
    kua__tape_free(r->t);
    kua__params_release(&r->params);
    kua__ema_release(&r->ema);
}

static kua__checkpoint all_of(run *r)
{
    return (kua__checkpoint){&r->params, &r->optim, &r->ema, r->t, &r->rng};
}

/* Batches come from the generator, masks from the tape; one parameter joins later. */
static kua_status run_step(run *r)
{
    uint32_t item[ROWS], label[ROWS];
    kua__tape_reset(r->t);
    for (size_t i = 0; i < ROWS; i++) {
        item[i] = kua__rng_below(&r->rng, 9);
        label[i] = item[i] % OUT;
    }
    kua__tape *t = r->t;
    kua__var *x = kua__gather_rows(t, kua__use(t, r->table), item, ROWS);
    kua__var *bias = r->optim.step >= 6 ? kua__use(t, r->late) : NULL;
    kua__var *y = kua__linear(t, kua__dropout(t, x, 0.25f), kua__use(t, r->w), bias);
    KUA__TRY(kua__tape_backward(t, kua__cross_entropy(t, y, label)));
    KUA__TRY(kua__optim_step(&r->optim, &r->params));
    kua__ema_update(&r->ema, &r->params);
    return KUA_OK;
}

static void steps(run *r, int n)
{
    for (int i = 0; i < n; i++)
        assert_ok(run_step(r));
}

static void assert_same(const run *a, const run *b)
{
    for (size_t i = 0; i < a->params.n; i++) {
        const kua__param *p = a->params.all[i], *q = b->params.all[i];
        size_t bytes = p->rows * p->cols * sizeof(float);
        assert_memory_equal(p->value, q->value, bytes);
        assert_memory_equal(a->ema.value[i], b->ema.value[i], bytes);
        if (p->m && q->m) assert_memory_equal(p->m, q->m, bytes);
        if (p->v && q->v) assert_memory_equal(p->v, q->v, bytes);
    }
    assert_int_equal(a->optim.step, b->optim.step);
    assert_true(a->optim.lr == b->optim.lr);
}

static void five_and_five_steps_are_ten(void **state)
{
    (void)state;
    const char *path = test_temp_path("five.safetensors");
    run whole, first, second;
    json_t *user = json_pack("{s:i, s:[f,f]}", "epoch", 3, "curve", 0.1, 0.7), *back = NULL;
    assert_ok(run_open(&whole));
    assert_ok(run_open(&first));
    assert_ok(run_open(&second));
    steps(&whole, 10);
    steps(&first, 5);
    kua__checkpoint what = all_of(&first);
    assert_ok(kua__checkpoint_save(path, &what, user));
    run_close(&first);
    steps(&second, 8); /* whatever it was doing: loading makes it the other one */
    what = all_of(&second);
    assert_ok(kua__checkpoint_load(path, &what, &back));
    assert_true(json_equal(user, back));
    steps(&second, 5);
    assert_same(&whole, &second);
    json_decref(user);
    json_decref(back);
    run_close(&whole);
    run_close(&second);
}

static void weights_alone_can_be_loaded(void **state)
{
    (void)state;
    const char *path = test_temp_path("weights.safetensors");
    run a, b;
    json_t *user = NULL;
    assert_ok(run_open(&a));
    assert_ok(run_open(&b));
    steps(&a, 3);
    assert_ok(kua__checkpoint_save(path, &(kua__checkpoint){.params = &a.params}, NULL));
    assert_ok(kua__checkpoint_load(path, &(kua__checkpoint){.params = &b.params}, &user));
    assert_true(json_is_null(user));
    json_decref(user);
    assert_memory_equal(a.w->value, b.w->value, OUT * IN * sizeof(float));
    assert_null(b.w->m);
    kua__checkpoint what = all_of(&b);
    assert_fails(kua__checkpoint_load(path, &what, NULL), KUA_FORMAT, "no state of 'optim'");
    what.optim = NULL;
    what.rng = NULL;
    what.tape = NULL;
    assert_fails(kua__checkpoint_load(path, &what, NULL), KUA_FORMAT, "no state of 'ema'");
    run_close(&a);
    run_close(&b);
}

/* A load that fails must leave everything as it was. */
static void assert_refused(const char *path, kua_status status, const char *text)
{
    run r, same;
    json_t *user = NULL;
    assert_ok(run_open(&r));
    assert_ok(run_open(&same));
    steps(&r, 2);
    steps(&same, 2);
    kua__checkpoint what = all_of(&r);
    assert_fails(kua__checkpoint_load(path, &what, &user), status, text);
    assert_null(user);
    assert_same(&r, &same);
    steps(&r, 1);
    steps(&same, 1);
    assert_same(&r, &same);
    run_close(&r);
    run_close(&same);
}

/* A file with the tensors that are wanted, but for the one named `wrong`, and this description. */
static const char *forged(const char *wrong, size_t cols, const char *state)
{
    static const struct {
        const char *name;
        size_t rows, cols;
    } tensors[] = {{"table", 9, IN}, {"w", OUT, IN}, {"late", 1, OUT}};
    const char *path = test_temp_path("forged.safetensors");
    static const float zeros[9 * IN + 64];
    kua__st_writer *w = NULL;
    assert_ok(kua__st_writer_create(path, &w));
    if (state) assert_ok(kua__st_writer_meta(w, "kua.checkpoint", state));
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < 6; i++) {
            char name[32];
            snprintf(name, sizeof(name), "%s%s", i < 3 ? "" : "ema/", tensors[i % 3].name);
            size_t n = kua__streq(name, wrong) ? cols : tensors[i % 3].cols;
            if (n == 0) continue;
            if (pass == 0)
                assert_ok(kua__st_writer_declare(w, name, KUA__F32, 2,
                                                 (size_t[]){tensors[i % 3].rows, n}));
            else
                assert_ok(kua__st_writer_write(w, zeros, tensors[i % 3].rows * n * sizeof(float)));
        }
    }
    assert_ok(kua__st_writer_commit(w));
    kua__st_writer_free(w);
    return path;
}

#define ZERO "\"0000000000000000\""
#define OPTIM                                                                                      \
    "\"optim\":{\"step\":" ZERO ",\"lr\":0.1,\"beta1\":0.9,\"beta2\":0.9,\"epsilon\":1e-8,"        \
    "\"schedule\":0,\"warmup_steps\":0,\"total_steps\":0}"
#define REST                                                                                       \
    "\"ema\":{\"updates\":" ZERO ",\"decay\":0.5},\"tape\":{\"step\":" ZERO ",\"seed\":" ZERO "}," \
    "\"rng\":{\"seed\":" ZERO ",\"stream\":" ZERO ",\"index\":" ZERO                               \
    ",\"have\":[0,0,0,0],\"left\":0}"

static void files_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    const char *good = "{\"version\":1," OPTIM "," REST "}";
    assert_refused(test_temp_path("none.safetensors"), KUA_IO, "none.safetensors");
    assert_refused(test_temp_file("junk.safetensors", "junk", 4), KUA_FORMAT, "junk");
    assert_refused(forged("w", 7, good), KUA_SHAPE, "w");
    assert_refused(forged("late", 0, good), KUA_NOTFOUND, "late");
    assert_refused(forged("ema/w", 4, good), KUA_SHAPE, "ema/w");
    assert_refused(forged("", 0, NULL), KUA_FORMAT, "not a checkpoint");
    assert_refused(forged("", 0, "{\"version\":1"), KUA_FORMAT, "forged");
    assert_refused(forged("", 0, "{\"version\":2}"), KUA_FORMAT,
                   "version 2, this program reads up to 1");
    assert_refused(forged("", 0, "{\"version\":1," OPTIM "}"), KUA_FORMAT, "no state of 'rng'");
    assert_refused(forged("", 0, "{\"version\":1,\"optim\":{\"step\":\"12\"}," REST "}"),
                   KUA_FORMAT, "step is '12', expected 16 hexadecimal digits");
    assert_refused(
        forged("", 0, "{\"version\":1,\"optim\":{\"step\":" ZERO ",\"schedule\":9}," REST "}"),
        KUA_FORMAT, "schedule");
    assert_refused(forged("", 0,
                          "{\"version\":1," OPTIM ",\"rng\":{\"seed\":" ZERO ",\"stream\":" ZERO
                          ",\"index\":" ZERO ",\"left\":1,\"have\":[0,-1,0,0]}}"),
                   KUA_FORMAT, "have[1] is no integer of 32 bits");
}

static void saving_is_whole_or_not_at_all(void **state)
{
    (void)state;
    const char *path = test_temp_path("steady.safetensors");
    run r;
    assert_ok(run_open(&r));
    steps(&r, 2);
    kua__checkpoint what = all_of(&r);
    assert_ok(kua__checkpoint_save(path, &what, NULL));
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        st = kua__checkpoint_save(path, &what, NULL);
    }
    assert_ok(st);
    assert_fails(kua__checkpoint_save("/nonexistent/folder/x.safetensors", &what, NULL), KUA_IO,
                 "");
    steps(&r, 1);
    run_close(&r);
}

/* Into a new run each time, so that moments have to be made too. */
static void loading_may_run_out_of_memory(void **state)
{
    (void)state;
    const char *path = test_temp_path("short.safetensors");
    run full;
    assert_ok(run_open(&full));
    steps(&full, 2);
    kua__checkpoint what = all_of(&full);
    json_t *user = json_pack("{s:s}", "note", "kept");
    assert_ok(kua__checkpoint_save(path, &what, user));
    json_decref(user);
    kua_status st;
    TEST_EVERY_ALLOCATION(st)
    {
        run r;
        json_t *back = NULL;
        st = run_open(&r);
        float before = r.ema.n ? r.w->value[0] : 0;
        what = all_of(&r);
        if (!st) st = kua__checkpoint_load(path, &what, &back);
        if (st && r.ema.n) assert_true(r.w->value[0] == before && r.optim.step == 0);
        json_decref(back);
        run_close(&r);
    }
    assert_ok(st);
    run_close(&full);
}

/* Remake after a change of version only: KUA_GOLDEN=1 build/tests/test_checkpoint */
static void the_first_version_stays_readable(void **state)
{
    (void)state;
    const char *path = test_data("grad/data/checkpoint-v1.safetensors");
    run r;
    json_t *user = NULL;
    assert_ok(run_open(&r));
    kua__checkpoint what = all_of(&r);
    if (getenv("KUA_GOLDEN")) {
        r.w->value[4] = 0.625f;
        r.optim.step = 6;
        user = json_pack("{s:s}", "note", "first");
        assert_ok(kua__checkpoint_save(path, &what, user));
        json_decref(user);
        r.w->value[4] = 0;
    }
    assert_ok(kua__checkpoint_load(path, &what, &user));
    assert_true(r.w->value[4] == 0.625f);
    assert_int_equal(r.optim.step, 6);
    assert_int_equal(r.optim.options.total_steps, 11);
    assert_true(r.optim.options.lr == 0.037f);
    assert_int_equal(kua__tape_seed(r.t), 77);
    assert_string_equal(json_string_value(json_object_get(user, "note")), "first");
    json_decref(user);
    run_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(five_and_five_steps_are_ten),
        cmocka_unit_test(weights_alone_can_be_loaded),
        cmocka_unit_test(files_that_do_not_fit_are_refused),
        cmocka_unit_test(saving_is_whole_or_not_at_all),
        cmocka_unit_test(loading_may_run_out_of_memory),
        cmocka_unit_test(the_first_version_stays_readable),
    };
    return cmocka_run_group_tests(tests, test_no_leaks_begin, test_no_leaks_end);
}

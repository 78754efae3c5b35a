/* bench/finetune.c - the classic head on a pretrained encoder, beside torch: MiniLM-L6 -> LSTM(128)
 * -> Dense(1) -> sigmoid, binary cross-entropy, Adam; batches of 32 texts of 64 tokens.
 *
 *     KUA_THREADS=2 build/bench/finetune MODEL [STEPS [ROW]]        ROW: part of a row's name
 *
 * Rows: encoder frozen (token states by the inference path, LSTM and Dense trained) and everything
 * trained, in f32 and bf16; LoRA; everything with layers computed twice. The same in torch is
 * finetune.py of the peers. Dropout .1 in the encoder, as torch's model has it in training.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encoder/states.h"
#include "encoder/tune.h"

enum { TEXTS = 32, LENGTH = 64, TOKENS = TEXTS * LENGTH, HIDDEN = 128, WARM = 3, STEPS_MAX = 200 };

typedef struct model {
    kua__params params;
    kua__tape_model net;
    kua__tuning tuning;
    kua__param *w, *u, *b, *dense, *bias;
    kua__tape *tape;
    kua__optim optim;
    kua_encoder *encoder; /* frozen: token states by the inference path */
    float *states;
    uint32_t id[TOKENS], at[TEXTS + 1];
    float target[TEXTS];
    kua_status status;
} model;

static kua__param *make(model *m, const char *name, size_t rows, size_t cols, kua__init init,
                        kua__rng *rng)
{
    kua__param *p = NULL;
    if (!m->status) m->status = kua__params_add(&m->params, name, rows, cols, init, 1, rng, &p);
    return p;
}

static void model_init(model *m, const char *folder, const kua__tune_plan *plan, bool bf16)
{
    *m = (model){0};
    kua__rng rng = kua__rng_make(1, 0);
    kua__model_config c;
    kua__params_init(&m->params);
    m->status = kua__config_load(folder, &c);
    if (!m->status)
        m->status = kua__tape_model_create(&m->net, &m->params, &c, KUA__TAPE_BODY, &rng);
    if (!m->status) m->status = kua__tape_model_load(&m->net, folder, NULL);
    if (!m->status) m->status = kua__tuning_begin(&m->tuning, plan, &m->net, &m->params, &rng);
    m->w = make(m, "w", 4 * HIDDEN, c.hidden, KUA__INIT_XAVIER, &rng);
    m->u = make(m, "u", 4 * HIDDEN, HIDDEN, KUA__INIT_XAVIER, &rng);
    m->b = make(m, "b", 1, 4 * HIDDEN, KUA__INIT_ZEROS, NULL);
    m->dense = make(m, "dense", 1, HIDDEN, KUA__INIT_XAVIER, &rng);
    m->bias = make(m, "bias", 1, 1, KUA__INIT_ZEROS, NULL);
    if (!m->status) m->status = kua__tape_create(&(kua__tape_options){.bf16 = bf16}, &m->tape);
    kua_encoder_options fast = {.precision = bf16 ? KUA_PRECISION_BF16 : KUA_PRECISION_F32};
    if (!m->status && plan->how == KUA__TUNE_NONE)
        m->status = kua_encoder_load(folder, &fast, &m->encoder);
    if (!m->status && m->encoder)
        m->status = KUA__NEW_ARRAY(&m->states, TOKENS * c.hidden, "token states");
    kua__optim_options o = kua__optim_defaults();
    o.lr = 2e-5f;
    kua__optim_init(&m->optim, &o);
    for (size_t i = 0; i < TOKENS; i++)
        m->id[i] = 1000 + kua__rng_below(&rng, 29000);
    for (uint32_t i = 0; i <= TEXTS; i++)
        m->at[i] = i * LENGTH;
    for (size_t i = 0; i < TEXTS; i++)
        m->target[i] = (float)kua__rng_below(&rng, 2);
}

static void model_release(model *m)
{
    kua_encoder_free(m->encoder);
    kua__free(m->states);
    kua__tape_free(m->tape);
    kua__tuning_release(&m->tuning);
    kua__tape_model_release(&m->net);
    kua__params_release(&m->params);
}

static kua_status step(model *m)
{
    kua__tape *t = m->tape;
    kua__ragged seq = {TEXTS, m->at};
    kua__var *x = NULL;
    kua__tape_reset(t);
    if (m->encoder) {
        KUA__TRY(kua__encoder_states(m->encoder, m->id, m->at, TEXTS, m->states));
        x = kua__input(t, TOKENS, m->net.config.hidden, m->states);
    } else {
        x = kua__model_on_tape(t, &m->net, m->id, seq, .1f);
    }
    kua__var *h = kua__lstm(t, x, seq, kua__use(t, m->w), kua__use(t, m->u), kua__use(t, m->b));
    kua__var *y =
        kua__linear(t, kua__last_row(t, h, seq), kua__use(t, m->dense), kua__use(t, m->bias));
    KUA__TRY(kua__tape_backward(t, kua__bce(t, y, m->target)));
    return kua__optim_step(&m->optim, &m->params);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const char *wanted; /* NULL: every row */

static int run(const char *folder, const char *name, const kua__tune_plan *plan, bool bf16,
               size_t steps)
{
    static model m;
    double seconds[STEPS_MAX];
    char full[64];
    snprintf(full, sizeof(full), "%s %s", name, bf16 ? "bf16" : "f32");
    if (wanted && !strstr(full, wanted)) return 0;
    model_init(&m, folder, plan, bf16);
    for (size_t i = 0; i < WARM && !m.status; i++)
        m.status = step(&m);
    for (size_t i = 0; i < steps && !m.status; i++) {
        double begun = kua__seconds();
        m.status = step(&m);
        seconds[i] = kua__seconds() - begun;
    }
    if (m.status) {
        fprintf(stderr, "finetune: %s\n", kua_error_message());
        model_release(&m);
        return 1;
    }
    qsort(seconds, steps, sizeof(*seconds), by_value);
    kua__tune_memory stated = kua__tune_memory_of(plan, &m.net.config, TOKENS, LENGTH, 0);
    printf("%-26s  %6.1f samples/s median, %6.1f best; tape %.0f MB, stated %.0f MB in all\n", full,
           TEXTS / seconds[steps / 2], TEXTS / seconds[0], (double)kua__tape_bytes(m.tape) / 1e6,
           (double)stated.total / 1e6);
    fflush(stdout);
    model_release(&m);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        printf("finetune: bench/finetune MODEL [STEPS]; nothing to time without a model\n");
        return 0;
    }
    size_t steps = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 15;
    steps = KUA__MIN(KUA__MAX(steps, 1), (size_t)STEPS_MAX);
    wanted = argc > 3 ? argv[3] : NULL;
    int failed = 0;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        kua__tune_plan plan = kua__tune_defaults();
        plan.how = KUA__TUNE_NONE;
        failed |= run(argv[1], "encoder frozen", &plan, bf16, steps);
        plan.how = KUA__TUNE_FULL;
        failed |= run(argv[1], "everything trained", &plan, bf16, steps);
        plan.recompute = true;
        failed |= run(argv[1], "the same, recomputed", &plan, bf16, steps);
        plan.recompute = false;
        plan.how = KUA__TUNE_LORA;
        failed |= run(argv[1], "LoRA, rank 8", &plan, bf16, steps);
    }
    return failed;
}

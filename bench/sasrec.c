/* bench/sasrec.c - training speed in the shape of the usual SASRec, to be set beside other
 * libraries.
 *
 *     KUA_THREADS=2 build/bench/sasrec [STEPS] [f32]
 *
 * 256 sequences of 50 items, 20,001 items, width 64, two post-norm layers with one head,
 * feed-forward of 4 x 64 with GELU, dropout .2, tied item table, cross-entropy over all items at
 * every position, Adam. The same model in torch is ../shared/peers/recs.py ("SASRec loss@all").
 * Items are drawn by popularity 1 / rank^.8.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grad/grad.h"

enum { ITEMS = 20001, DIM = 64, LENGTH = 50, BATCH = 256, TOKENS = BATCH * LENGTH, LAYERS = 2 };

typedef struct layer {
    kua__param *qkv, *qkv_bias, *out, *out_bias, *gain1, *bias1;
    kua__param *up, *up_bias, *down, *down_bias, *gain2, *bias2;
} layer;

typedef struct model {
    kua__params params;
    kua__param *items, *positions, *gain, *bias;
    layer layer[LAYERS];
    kua__tape *tape;
    kua__optim optim;
    uint32_t token[TOKENS], target[TOKENS], position[TOKENS], at[BATCH + 1];
    double *cumulated; /* [ITEMS] */
    kua__rng rng;
    kua_status status;
} model;

static kua__param *make(model *m, const char *name, int number, size_t rows, size_t cols,
                        kua__init init, float scale)
{
    char full[32];
    kua__param *p = NULL;
    if (m->status) return NULL;
    snprintf(full, sizeof(full), "%s%d", name, number);
    m->status = kua__params_add(&m->params, full, rows, cols, init, scale, &m->rng, &p);
    return p;
}

static void make_layer(model *m, int i)
{
    layer *l = &m->layer[i];
    float within = 1 / sqrtf(DIM);
    l->qkv = make(m, "qkv", i, 3 * DIM, DIM, KUA__INIT_UNIFORM, within);
    l->qkv_bias = make(m, "qkv_bias", i, 1, 3 * DIM, KUA__INIT_ZEROS, 0);
    l->out = make(m, "out", i, DIM, DIM, KUA__INIT_UNIFORM, within);
    l->out_bias = make(m, "out_bias", i, 1, DIM, KUA__INIT_ZEROS, 0);
    l->gain1 = make(m, "gain1", i, 1, DIM, KUA__INIT_ONES, 1);
    l->bias1 = make(m, "bias1", i, 1, DIM, KUA__INIT_ZEROS, 0);
    l->up = make(m, "up", i, 4 * DIM, DIM, KUA__INIT_UNIFORM, within);
    l->up_bias = make(m, "up_bias", i, 1, 4 * DIM, KUA__INIT_ZEROS, 0);
    l->down = make(m, "down", i, DIM, 4 * DIM, KUA__INIT_UNIFORM, within / 2);
    l->down_bias = make(m, "down_bias", i, 1, DIM, KUA__INIT_ZEROS, 0);
    l->gain2 = make(m, "gain2", i, 1, DIM, KUA__INIT_ONES, 1);
    l->bias2 = make(m, "bias2", i, 1, DIM, KUA__INIT_ZEROS, 0);
}

static void make_model(model *m, bool bf16)
{
    memset(m, 0, sizeof(*m));
    m->rng = kua__rng_make(1, 0);
    kua__params_init(&m->params);
    m->items = make(m, "items", 0, ITEMS, DIM, KUA__INIT_NORMAL, 1); /* as torch begins it */
    m->positions = make(m, "positions", 0, LENGTH, DIM, KUA__INIT_NORMAL, 1);
    m->gain = make(m, "gain", LAYERS, 1, DIM, KUA__INIT_ONES, 1);
    m->bias = make(m, "bias", LAYERS, 1, DIM, KUA__INIT_ZEROS, 0);
    for (int i = 0; i < LAYERS; i++)
        make_layer(m, i);
    for (uint32_t i = 0; i < TOKENS; i++)
        m->position[i] = i % LENGTH;
    for (uint32_t i = 0; i <= BATCH; i++)
        m->at[i] = i * LENGTH;
    if (!m->status) m->status = KUA__NEW_ARRAY(&m->cumulated, ITEMS, "item shares");
    for (uint32_t i = 0; !m->status && i < ITEMS; i++)
        m->cumulated[i] = (i ? m->cumulated[i - 1] + pow(i, -0.8) : 0);
    if (!m->status) m->status = kua__tape_create(&(kua__tape_options){.bf16 = bf16}, &m->tape);
    kua__optim_init(&m->optim, NULL);
}

static uint32_t draw_item(model *m)
{
    double at = kua__rng_uniform(&m->rng) * m->cumulated[ITEMS - 1];
    uint32_t low = 1, high = ITEMS - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (m->cumulated[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void draw_batch(model *m)
{
    for (uint32_t b = 0; b < BATCH; b++) {
        uint32_t item = draw_item(m);
        for (uint32_t k = 0; k < LENGTH; k++) {
            m->token[b * LENGTH + k] = item;
            m->target[b * LENGTH + k] = item = draw_item(m);
        }
    }
}

static kua__var *dense(kua__tape *t, kua__var *x, kua__param *w, kua__param *b)
{
    return kua__linear(t, x, kua__use(t, w), kua__use(t, b));
}

static kua__var *norm(kua__tape *t, kua__var *x, kua__param *gain, kua__param *bias)
{
    return kua__layer_norm(t, x, kua__use(t, gain), kua__use(t, bias), 1e-5f);
}

static kua__var *forward(model *m)
{
    kua__tape *t = m->tape;
    kua__var *items = kua__use(t, m->items);
    kua__var *x = kua__add(t, kua__gather_rows(t, items, m->token, TOKENS),
                           kua__gather_rows(t, kua__use(t, m->positions), m->position, TOKENS));
    x = kua__dropout(t, norm(t, x, m->gain, m->bias), 0.2f);
    for (int i = 0; i < LAYERS; i++) {
        const layer *l = &m->layer[i];
        kua__ragged seq = {BATCH, m->at};
        kua__var *y = kua__self_attention(t, dense(t, x, l->qkv, l->qkv_bias), seq, 1, true);
        y = kua__dropout(t, dense(t, y, l->out, l->out_bias), 0.2f);
        x = norm(t, kua__add(t, x, y), l->gain1, l->bias1);
        y = dense(t, kua__gelu(t, dense(t, x, l->up, l->up_bias)), l->down, l->down_bias);
        x = norm(t, kua__add(t, x, kua__dropout(t, y, 0.2f)), l->gain2, l->bias2);
    }
    return kua__softmax_loss(t, x, items, m->target);
}

static kua_status step(model *m, float *loss)
{
    kua__tape_reset(m->tape);
    kua__var *y = forward(m);
    KUA__TRY(kua__tape_backward(m->tape, y));
    *loss = y->value[0];
    return kua__optim_step(&m->optim, &m->params);
}

static void run(model *m, int64_t steps)
{
    double best = 1e9, sum = 0;
    float loss = 0;
    for (int64_t i = 0; i < steps + 2 && !m->status; i++) {
        draw_batch(m);
        double begun = kua__seconds();
        m->status = step(m, &loss);
        double took = kua__seconds() - begun;
        if (i < 2) continue; /* memory is being touched for the first time */
        best = KUA__MIN(best, took);
        sum += took;
    }
    double mean = sum / (double)steps;
    printf("%.1f ms a step, %.0f samples/s (best %.0f), loss %.3f, peak memory %.0f MB\n",
           mean * 1e3, BATCH / mean, BATCH / best, loss, (double)kua__peak_rss_bytes() / 1e6);
}

int main(int argc, char **argv)
{
    static model m;
    int64_t steps = 12;
    if (argc > 1 && (!kua__parse_i64(argv[1], strlen(argv[1]), &steps) || steps < 1)) {
        fprintf(stderr, "usage: sasrec [STEPS] [f32]\n");
        return 2;
    }
    bool bf16 = argc < 3 || !kua__streq(argv[2], "f32");
    make_model(&m, bf16);
    printf("SASRec, loss at every position, %s, %d threads: ", bf16 ? "bf16" : "f32",
           kua__threads());
    fflush(stdout);
    if (!m.status) run(&m, steps);
    if (m.status) fprintf(stderr, "sasrec: %s\n", kua_error_message());
    kua__tape_free(m.tape);
    kua__params_release(&m.params);
    kua__free(m.cumulated);
    return m.status ? 1 : 0;
}

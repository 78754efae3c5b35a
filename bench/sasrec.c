/* bench/sasrec.c - training speed in the shape of the usual SASRec, to be set beside other
 * libraries.
 *
 *     KUA_THREADS=2 build/bench/sasrec [STEPS] [bf16|f32] [ragged]
 *
 * 256 sequences of 50 items, 20,001 items, width 64, two post-norm layers with one head,
 * feed-forward of 4 x 64 with GELU, dropout .2, tied item table, cross-entropy over all items at
 * every position, Adam. The same model in torch is tools/bench-train-torch.py; tools/bench-train
 * runs both in turns. Items are drawn by popularity 1 / rank^.8. With `ragged`, sequences have 5 to
 * 50 items, 9 on average, and nothing is padded.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "grad/grad.h"

enum { ITEMS = 20001, DIM = 64, LENGTH = 50, BATCH = 256, TOKENS = BATCH * LENGTH, LAYERS = 2 };
enum { STEPS_MAX = 1000, WARM = 2 /* steps in which memory is touched for the first time */ };

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
    size_t tokens;     /* of the batch: at[BATCH] */
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

/* Quantiles of 4 + an exponential of mean 5, at most LENGTH: about the lengths of Amazon's 5-core
 * sets. */
static uint32_t length_of(uint32_t b, bool ragged)
{
    double drawn = 4 + floor(1 - 5 * log(1 - (b + 0.5) / BATCH));
    return ragged && drawn < LENGTH ? (uint32_t)drawn : LENGTH;
}

static void place_sequences(model *m, bool ragged)
{
    for (uint32_t b = 0; b < BATCH; b++) {
        uint32_t n = length_of(b, ragged);
        m->at[b + 1] = m->at[b] + n;
        for (uint32_t k = 0; k < n; k++)
            m->position[m->at[b] + k] = k;
    }
    m->tokens = m->at[BATCH];
}

static void make_model(model *m, bool bf16, bool ragged)
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
    place_sequences(m, ragged);
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
        for (uint32_t k = m->at[b]; k < m->at[b + 1]; k++) {
            m->token[k] = item;
            m->target[k] = item = draw_item(m);
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
    kua__var *x = kua__add(t, kua__gather_rows(t, items, m->token, m->tokens),
                           kua__gather_rows(t, kua__use(t, m->positions), m->position, m->tokens));
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

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void run(model *m, size_t steps)
{
    static double seconds[STEPS_MAX];
    float loss = 0;
    for (size_t i = 0; i < steps + WARM && !m->status; i++) {
        draw_batch(m);
        double begun = kua__seconds();
        m->status = step(m, &loss);
        if (i >= WARM) seconds[i - WARM] = kua__seconds() - begun;
    }
    qsort(seconds, steps, sizeof(*seconds), by_value);
    double median = seconds[steps / 2];
    printf("%.1f ms a step, %.0f samples/s (best %.0f), loss %.3f, peak memory %.0f MB\n",
           median * 1e3, BATCH / median, BATCH / seconds[0], loss,
           (double)kua__peak_rss_bytes() / 1e6);
}

int main(int argc, char **argv)
{
    static model m;
    int64_t steps = 12;
    bool known = argc < 2 || (kua__parse_i64(argv[1], strlen(argv[1]), &steps) && steps >= 1 &&
                              steps <= STEPS_MAX);
    if (!known) {
        fprintf(stderr, "usage: sasrec [STEPS, at most %d] [bf16|f32] [ragged]\n", STEPS_MAX);
        return 2;
    }
    bool bf16 = argc < 3 || !kua__streq(argv[2], "f32");
    bool ragged = argc > 3 && kua__streq(argv[3], "ragged");
    make_model(&m, bf16, ragged);
    printf("SASRec, loss at each of %zu positions, %s, %d threads: ", m.tokens,
           bf16 ? "bf16" : "f32", kua__threads());
    fflush(stdout);
    if (!m.status) run(&m, (size_t)steps);
    if (m.status) fprintf(stderr, "sasrec: %s\n", kua_error_message());
    kua__tape_free(m.tape);
    kua__params_release(&m.params);
    kua__free(m.cumulated);
    return m.status ? 1 : 0;
}

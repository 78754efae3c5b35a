/* recurrent.c - LSTM (Hochreiter and Schmidhuber, 1997) and GRU (Cho et al., 2014) over ragged
 * sequences.
 *
 * The input's part of all gates is one product over all tokens. What is left is sequential within a
 * sequence and independent between sequences, so the sequences are dealt out to the threads
 * (longest first, in turn) and each thread goes through time on its own, without a meeting point:
 *
 *     longest   x x x x x x        at time s the sequences that are long enough
 *               x x x x            are the first `active` ones: their states are
 *     shortest  x x                one block [active, h], one product per time
 *
 * Backward goes the same way from the end and leaves the gradients of all gates as one matrix, from
 * which the gradients of x, w, u and the biases are again products over all tokens.
 *
 * Gates per unit: LSTM 4 (i f g o), GRU 3 (r z n). The GRU keeps the recurrent part of its gates
 * (`rec`), because its reset gate multiplies it.
 */
#include "grad/apply.h"

#include <assert.h>

#include "tensor/gemm.h"

typedef struct recurrent {
    kua__var *x, *w, *u, *b, *bu, *y;
    kua__ragged seq;
    bool gru;
    size_t hidden, gates; /* gates: columns, 4 h or 3 h */
    uint32_t *order;      /* [seq.n] sequences, longest first */
    float *gate;          /* [tokens, gates] activated */
    float *cell;          /* [tokens, h] LSTM's c */
    float *rec;           /* [tokens, gates] GRU's recurrent part */
    /* the pass under way */
    size_t parts;
    float *state; /* [seq.n, h] forward: h; backward: gradient that reaches h from the next time */
    float *product;      /* [seq.n, gates] forward: state u^T; backward: gradients of the gates */
    float *dcell;        /* [seq.n, h] */
    float *dgate, *drec; /* [tokens, gates]; the same matrix for LSTM */
    kua_status status;   /* of any part; only failures are written */
} recurrent;

/* Part p has the sequences order[p], order[p + parts], ...: its k-th. */
static uint32_t part_sequence(const recurrent *op, size_t part, size_t k)
{
    assert(part < op->parts && part + k * op->parts < op->seq.n);
    return op->order[part + k * op->parts];
}

static size_t part_size(const recurrent *op, size_t part)
{
    assert(part < op->parts && op->parts <= op->seq.n);
    return (op->seq.n - part + op->parts - 1) / op->parts;
}

/* First row of the part's blocks in state and product. */
static size_t part_offset(const recurrent *op, size_t part)
{
    size_t rows = 0;
    for (size_t p = 0; p < part; p++)
        rows += part_size(op, p);
    return rows;
}

static size_t length_of(const recurrent *op, uint32_t sequence)
{
    return op->seq.at[sequence + 1] - op->seq.at[sequence];
}

/* How many of the part's sequences are longer than `time`, given how many (at least) were at
 * another time. */
static size_t active_at(const recurrent *op, size_t part, size_t time, size_t active)
{
    while (active > 0 && length_of(op, part_sequence(op, part, active - 1)) <= time)
        active--;
    size_t all = part_size(op, part);
    while (active < all && length_of(op, part_sequence(op, part, active)) > time)
        active++;
    return active;
}

/* ---- forward ---- */

static void step_forward(const recurrent *op, size_t token, bool first, float *state,
                         const float *product)
{
    assert(token < op->x->rows);
    const kua__kernels *k = kua__kernels_get();
    size_t h = op->hidden, g = op->gates;
    float *gate = op->gate + token * g, *y = op->y->value + token * h;
    if (op->gru) {
        float *rec = op->rec + token * g;
        if (first)
            memset(rec, 0, g * sizeof(*rec));
        else
            memcpy(rec, product, g * sizeof(*rec));
        if (op->bu) k->add(rec, rec, op->bu->value, g);
        k->gru(y, gate, rec, first ? NULL : state, h);
    } else {
        if (!first) k->add(gate, gate, product, g);
        float *cell = op->cell + token * h;
        k->lstm(y, cell, gate, first ? NULL : cell - h, h);
    }
    memcpy(state, y, h * sizeof(*y));
}

static kua_status part_forward(const recurrent *op, size_t part)
{
    size_t h = op->hidden, g = op->gates, base = part_offset(op, part);
    float *state = op->state + base * h, *product = op->product + base * g;
    size_t active = active_at(op, part, 0, part_size(op, part));
    for (size_t time = 0; active > 0; active = active_at(op, part, ++time, active)) {
        if (time > 0) /* before, the state is 0, and so is its product */
            KUA__TRY(
                kua__gemm(false, true, active, g, h, 1, state, h, op->u->value, h, 0, product, g));
        for (size_t k = 0; k < active; k++) {
            size_t token = op->seq.at[part_sequence(op, part, k)] + time;
            step_forward(op, token, time == 0, state + k * h, product + k * g);
        }
    }
    return KUA_OK;
}

static void forward_task(void *ctx, size_t first, size_t last)
{
    recurrent *op = ctx;
    for (size_t part = first; part < last; part++) {
        kua_status st = part_forward(op, part);
        if (st) __atomic_store_n(&op->status, st, __ATOMIC_RELAXED);
    }
}

/* Runs all parts; a part's failure goes to the tape. */
static bool run_parts(kua__tape *t, recurrent *op, kua__range_fn task)
{
    if (op->parts) kua__parallel_for(op->parts, 1, task, op);
    if (op->status)
        kua__tape_fail(t, op->status, "recurrent layer of %zu units: a product failed", op->hidden);
    return op->status == KUA_OK;
}

/* ---- backward ---- */

/* In: dstate, what reaches h of this token from the next one. Out: dgates, and dstate for the token
 * before as far as it does not go through the product. */
static void step_backward(const recurrent *op, size_t token, bool first, float *dstate,
                          float *dcell, float *dgates)
{
    assert(token < op->x->rows && (first || token > 0));
    const kua__kernels *k = kua__kernels_get();
    size_t h = op->hidden, g = op->gates;
    const float *gate = op->gate + token * g, *y = op->y->value + token * h;
    k->add(dstate, dstate, op->y->grad + token * h, h);
    if (op->gru) {
        k->gru_back(op->dgate + token * g, dgates, dstate, gate, op->rec + token * g,
                    first ? NULL : y - h, h);
    } else {
        const float *cell = op->cell + token * h;
        k->lstm_back(dgates, dcell, dstate, gate, cell, first ? NULL : cell - h, h);
    }
    memcpy(op->drec + token * g, dgates, g * sizeof(*dgates));
}

static kua_status part_backward(const recurrent *op, size_t part)
{
    size_t h = op->hidden, g = op->gates, base = part_offset(op, part);
    float *dstate = op->state + base * h, *dcell = op->dcell + base * h;
    float *dgates = op->product + base * g;
    size_t longest = length_of(op, part_sequence(op, part, 0)), active = 0;
    /* From the end: a sequence joins when its last token is reached, with a gradient of 0 from
     * behind it (state and dcell were cleared). */
    for (size_t time = longest; time-- > 0;) {
        active = active_at(op, part, time, active);
        for (size_t k = 0; k < active; k++) {
            size_t token = op->seq.at[part_sequence(op, part, k)] + time;
            step_backward(op, token, time == 0, dstate + k * h, dcell + k * h, dgates + k * g);
        }
        if (time > 0)
            KUA__TRY(kua__gemm(false, false, active, h, g, 1, dgates, g, op->u->value, h,
                               op->gru ? 1 : 0, dstate, h)); /* GRU: h also goes on by itself (z) */
    }
    return KUA_OK;
}

static void backward_task(void *ctx, size_t first, size_t last)
{
    recurrent *op = ctx;
    for (size_t part = first; part < last; part++) {
        kua_status st = part_backward(op, part);
        if (st) __atomic_store_n(&op->status, st, __ATOMIC_RELAXED);
    }
}

static void bias_back(kua__tape *t, kua__var *bias, const float *d, size_t rows, size_t cols)
{
    float *db = bias ? kua__grad_zeroed(t, bias) : NULL;
    if (!db) return;
    kua__grad_touch(bias, 0, 1);
    kua__sum_rows(db, d, rows, cols);
}

/* du = drec^T h_prev, h_prev being the states one token earlier, 0 at a sequence's begin. */
static void recurrent_weight_back(kua__tape *t, const recurrent *op)
{
    size_t h = op->hidden, tokens = op->x->rows;
    bool add;
    float *du = kua__grad(t, op->u, &add);
    float *before = du ? kua__tape_scratch(t, tokens * h) : NULL;
    if (!before) return;
    for (size_t i = 0; i < op->seq.n; i++) {
        size_t from = op->seq.at[i], n = length_of(op, (uint32_t)i);
        if (n == 0) continue;
        memset(before + from * h, 0, h * sizeof(*before));
        memcpy(before + (from + 1) * h, op->y->value + from * h, (n - 1) * h * sizeof(*before));
    }
    kua__product(t, true, false, op->gates, h, tokens, op->drec, op->gates, before, h, add, du);
}

static void weights_back(kua__tape *t, const recurrent *op)
{
    const kua__var *x = op->x, *w = op->w;
    size_t g = op->gates, tokens = x->rows;
    bool add;
    float *dx = kua__grad(t, op->x, &add);
    if (dx)
        kua__product(t, false, false, tokens, x->cols, g, op->dgate, g, w->value, x->cols, add, dx);
    float *dw = kua__grad(t, op->w, &add);
    if (dw)
        kua__product(t, true, false, g, x->cols, tokens, op->dgate, g, x->value, x->cols, add, dw);
    bias_back(t, op->b, op->dgate, tokens, g);
    bias_back(t, op->bu, op->drec, tokens, g);
    recurrent_weight_back(t, op);
}

static void recurrent_back(kua__tape *t, void *ctx)
{
    recurrent *op = ctx;
    size_t tokens = op->x->rows, states = op->seq.n * op->hidden;
    op->drec = kua__tape_floats(t, tokens, op->gates);
    op->dgate = op->gru ? kua__tape_floats(t, tokens, op->gates) : op->drec;
    op->dcell = kua__tape_floats(t, states, 1);
    if (kua__tape_status(t)) return;
    memset(op->state, 0, states * sizeof(float));
    memset(op->dcell, 0, states * sizeof(float));
    if (run_parts(t, op, backward_task)) weights_back(t, op);
}

/* ---- the operations ---- */

/* Longest first, by counting; equal lengths keep their order. */
static bool sort_by_length(kua__tape *t, recurrent *op)
{
    size_t longest = 0, n = op->seq.n;
    for (size_t i = 0; i < n; i++)
        longest = KUA__MAX(longest, length_of(op, (uint32_t)i));
    uint32_t *place = kua__tape_alloc(t, (longest + 2) * sizeof(*place));
    op->order = kua__tape_alloc(t, n * sizeof(*op->order));
    if (!place || !op->order) return false;
    memset(place, 0, (longest + 2) * sizeof(*place));
    for (size_t i = 0; i < n; i++)
        place[longest - length_of(op, (uint32_t)i) + 1]++;
    for (size_t l = 0; l <= longest; l++)
        place[l + 1] += place[l];
    for (size_t i = 0; i < n; i++)
        op->order[place[longest - length_of(op, (uint32_t)i)]++] = (uint32_t)i;
    return true;
}

static bool shapes_agree(kua__tape *t, const char *name, const recurrent *op, size_t per_unit)
{
    const kua__var *x = op->x, *w = op->w, *u = op->u;
    if (w->cols != x->cols) return kua__tape_fail_shapes(t, name, "x", x, "w", w), false;
    if (u->rows != w->rows || u->rows != per_unit * u->cols)
        return kua__tape_fail_shapes(t, name, "w", w, "u", u), false;
    if (op->b && (op->b->rows != 1 || op->b->cols != w->rows))
        return kua__tape_fail_shapes(t, name, "w", w, "b", op->b), false;
    if (op->bu && (op->bu->rows != 1 || op->bu->cols != w->rows))
        return kua__tape_fail_shapes(t, name, "w", w, "bu", op->bu), false;
    return kua__ragged_check(t, name, x, op->seq);
}

static kua__var *recurrent_layer(kua__tape *t, const char *name, recurrent op)
{
    if (!op.x || !op.w || !op.u || !shapes_agree(t, name, &op, op.gru ? 3 : 4)) return NULL;
    size_t h = op.hidden = op.u->cols, g = op.gates = op.u->rows, tokens = op.x->rows;
    bool wants = op.x->wants || op.w->wants || op.u->wants || (op.b && op.b->wants) ||
                 (op.bu && op.bu->wants);
    op.parts = KUA__MIN((size_t)kua__threads(), op.seq.n);
    op.gate = kua__tape_floats(t, tokens, g);
    op.y = kua__tape_result(t, tokens, h, wants);
    op.state = kua__tape_floats(t, op.seq.n, h);
    op.product = kua__tape_floats(t, op.seq.n, g);
    op.rec = op.gru ? kua__tape_floats(t, tokens, g) : NULL;
    op.cell = op.gru ? NULL : kua__tape_floats(t, tokens, h);
    if (kua__tape_status(t) || !sort_by_length(t, &op)) return NULL;
    kua__product(t, false, true, tokens, g, op.x->cols, op.x->value, op.x->cols, op.w->value,
                 op.w->cols, false, op.gate);
    if (op.b) kua__add_row_to(op.gate, op.b->value, tokens, g);
    if (kua__tape_status(t) || !run_parts(t, &op, forward_task)) return NULL;
    return kua__tape_node(t, op.y, recurrent_back, &op, sizeof(op));
}

kua__var *kua__lstm(kua__tape *t, kua__var *x, kua__ragged seq, kua__var *w, kua__var *u,
                    kua__var *b)
{
    return recurrent_layer(t, "lstm", (recurrent){.x = x, .seq = seq, .w = w, .u = u, .b = b});
}

kua__var *kua__gru(kua__tape *t, kua__var *x, kua__ragged seq, kua__var *w, kua__var *u,
                   kua__var *b, kua__var *bu)
{
    recurrent op = {.x = x, .seq = seq, .w = w, .u = u, .b = b, .bu = bu, .gru = true};
    return recurrent_layer(t, "gru", op);
}

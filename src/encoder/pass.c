/* pass.c - products, norms and activations of a batch by one thread or a crew. */
#include "encoder/pass.h"

#include <assert.h>

#include "tensor/kernels.h"

/* Too little work to wake anybody for. */
enum { FEW_ROWS = 32 };

/* ---- products ---- */

static void pass_fail(pass *p, kua_status status)
{
    if (atomic_exchange(&p->failed, true)) return;
    snprintf(p->message, sizeof(p->message), "%s", kua_error_message());
    p->status = status;
}

static kua_status run_part(const pass *p, size_t i)
{
    const kua__dense *d = p->product;
    if (d->lean) {
        return kua__lean_run_part(d->lean, i, p->tokens, p->from, p->to, p->crew[i]->panel);
    }
    if (i >= kua__packed_parts(d->packed)) return KUA_OK;
    return kua__packed_run_part(d->packed, p->crew[i]->lane, i, p->rows, p->from, p->to);
}

static void product_parts(void *ctx, size_t first, size_t last)
{
    pass *p = ctx;
    for (size_t i = first; i < last; i++) {
        kua_status st = run_part(p, i);
        if (st) pass_fail(p, st);
    }
}

/* All parts of a lean product on one thread. */
static kua_status run_lean(const pass *p)
{
    for (size_t i = 0; i < p->model->parts; i++) {
        KUA__TRY(
            kua__lean_run_part(p->product->lean, i, p->tokens, p->from, p->to, p->crew[0]->panel));
    }
    return KUA_OK;
}

kua_status kua__pass_product(pass *p, const kua__dense *product, const float *from, float *to)
{
    assert(p && (product->packed || product->lean) && from && to);
    p->product = product;
    p->from = from;
    p->to = to;
    if (p->n_crew == 1) {
        if (product->lean) return run_lean(p);
        return kua__packed_run(product->packed, p->crew[0]->lane, p->rows, from, to);
    }
    kua__parallel_for(p->n_crew, 1, product_parts, p);
    return p->failed ? kua__fail(p->status, "%s", p->message) : KUA_OK;
}

/* ---- rows ---- */

static void run_rows(pass *p, kua__range_fn task)
{
    if (p->n_crew == 1)
        task(p, 0, p->tokens);
    else
        kua__parallel_for(p->tokens, FEW_ROWS, task, p);
}

static void norm_rows(void *ctx, size_t first, size_t last)
{
    const pass *p = ctx;
    const kua__kernels *k = kua__kernels_get();
    const kua__model_config *c = &p->model->config;
    size_t h = c->hidden;
    float stat[2];
    for (size_t i = first; i < last; i++) {
        if (c->rms)
            k->rms_norm(p->to + i * h, stat, p->from + i * h, p->norm->gain, c->epsilon, h);
        else
            k->layer_norm(p->to + i * h, stat, p->from + i * h, p->norm->gain, p->norm->bias,
                          c->epsilon, h);
    }
}

void kua__pass_norm(pass *p, const kua__norm *norm, const float *from, float *to)
{
    assert(p && norm->gain && from && to);
    p->norm = norm;
    p->from = from;
    p->to = to;
    run_rows(p, norm_rows);
}

/* x/2 (1 + tanh(sqrt(2/pi) (x + .044715 x^3))), Hendrycks and Gimpel, 2016 */
static void gelu_tanh(float *x, size_t n)
{
    enum { PIECE = 64 };
    const kua__kernels *k = kua__kernels_get();
    float inside[PIECE];
    for (size_t at = 0; at < n; at += PIECE) {
        size_t here = KUA__MIN(n - at, (size_t)PIECE);
        for (size_t i = 0; i < here; i++) {
            float v = x[at + i];
            inside[i] = .7978845608f * (v + .044715f * v * v * v);
        }
        k->tanh(inside, inside, here);
        for (size_t i = 0; i < here; i++)
            x[at + i] *= .5f * (1 + inside[i]);
    }
}

static void activate_row(kua__activation activation, float *x, size_t n)
{
    const kua__kernels *k = kua__kernels_get();
    switch (activation) {
    case KUA__ACT_GELU:
        k->gelu(x, x, n);
        break;
    case KUA__ACT_GELU_TANH:
        gelu_tanh(x, n);
        break;
    case KUA__ACT_RELU:
        k->relu(x, x, n);
        break;
    case KUA__ACT_SILU:
        k->silu(x, x, n);
        break;
    }
}

static void activate_rows(void *ctx, size_t first, size_t last)
{
    const pass *p = ctx;
    for (size_t i = first; i < last; i++)
        activate_row(p->activation, p->to + i * p->cols, p->cols);
}

void kua__pass_activate(pass *p, kua__activation activation, float *x, size_t cols)
{
    assert(p && x && cols >= 1);
    p->to = x;
    p->cols = cols;
    p->activation = activation;
    run_rows(p, activate_rows);
}

/* Rows become half as long, one after another from the front: a row is written where earlier rows
 * were, or over its own gate. So one thread does it. */
void kua__pass_gate(pass *p, float *x, size_t cols)
{
    assert(p && x && cols >= 1);
    const kua__kernels *k = kua__kernels_get();
    for (size_t i = 0; i < p->tokens; i++)
        k->swiglu(x + i * cols, x + 2 * i * cols, x + 2 * i * cols + cols, cols);
}

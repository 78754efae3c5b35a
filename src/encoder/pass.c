/* pass.c - products, norms and activations of a batch, a member's part of each. */
#include "encoder/pass.h"

#include <assert.h>

#include "tensor/kernels.h"

/* ---- the crew ---- */

kua_status kua__pass_run(pass *p, kua__range_fn steps)
{
    assert(p && steps && p->n_crew >= 1);
    p->barrier.n = p->n_crew;
    if (p->n_crew == 1 || !kua__parallel_together(p->n_crew, steps, p)) {
        p->n_crew = 1;
        steps(p, 0, 1);
    }
    return kua__failure_first(&p->failure, 1);
}

void kua__pass_meet(pass *p)
{
    if (p->n_crew > 1) kua__barrier_wait(&p->barrier);
}

/* ---- products ---- */

static void pass_fail(pass *p, kua_status status)
{
    if (atomic_exchange(&p->failed, true)) return;
    kua__failure_keep(&p->failure, status, 0);
}

/* Part i of a lean product, or of a packed one that is cut in parts. */
static kua_status run_part(const pass *p, size_t i, const kua__dense *d, const float *from,
                           float *to)
{
    if (d->lean) return kua__lean_run_part(d->lean, i, p->tokens, from, to, p->crew[i]->panel);
    if (i >= kua__packed_parts(d->packed)) return KUA_OK;
    return kua__packed_run_part(d->packed, p->crew[i]->lane, i, p->rows, from, to);
}

static kua_status run_whole(const pass *p, const kua__dense *d, const float *from, float *to)
{
    if (d->packed) return kua__packed_run(d->packed, p->crew[0]->lane, p->rows, from, to);
    for (size_t i = 0; i < p->model->parts; i++)
        KUA__TRY(kua__lean_run_part(d->lean, i, p->tokens, from, to, p->crew[0]->panel));
    return KUA_OK;
}

void kua__pass_product(pass *p, size_t member, const kua__dense *product, const float *from,
                       float *to)
{
    assert(p && member < p->n_crew && (product->packed || product->lean) && from && to);
    if (!p->failed) {
        kua_status st = p->n_crew == 1 ? run_whole(p, product, from, to)
                                       : run_part(p, member, product, from, to);
        if (st) pass_fail(p, st);
    }
    kua__pass_meet(p);
}

/* ---- rows ---- */

/* The rows of one member. */
static void rows_of_member(const pass *p, size_t member, size_t *first, size_t *last)
{
    *first = p->tokens * member / p->n_crew;
    *last = p->tokens * (member + 1) / p->n_crew;
}

void kua__pass_norm(pass *p, size_t member, const kua__norm *norm, const float *from, float *to)
{
    assert(p && norm->gain && from && to);
    const kua__kernels *k = kua__kernels_get();
    const kua__model_config *c = &p->model->config;
    size_t h = c->hidden, first, last;
    float stat[2];
    rows_of_member(p, member, &first, &last);
    for (size_t i = first; i < last; i++) {
        if (c->rms)
            k->rms_norm(to + i * h, stat, from + i * h, norm->gain, c->epsilon, h);
        else
            k->layer_norm(to + i * h, stat, from + i * h, norm->gain, norm->bias, c->epsilon, h);
    }
    kua__pass_meet(p);
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

void kua__pass_activate(pass *p, size_t member, kua__activation activation, float *x, size_t cols)
{
    assert(p && x && cols >= 1);
    size_t first, last;
    rows_of_member(p, member, &first, &last);
    for (size_t i = first; i < last; i++)
        activate_row(activation, x + i * cols, cols);
    kua__pass_meet(p);
}

/* Rows become half as long, one after another from the front: a row is written where earlier rows
 * were, or over its own gate. So one member does it. */
void kua__pass_gate(pass *p, size_t member, float *x, size_t cols)
{
    assert(p && x && cols >= 1);
    const kua__kernels *k = kua__kernels_get();
    for (size_t i = 0; member == 0 && i < p->tokens; i++)
        k->swiglu(x + i * cols, x + 2 * i * cols, x + 2 * i * cols + cols, cols);
    kua__pass_meet(p);
}

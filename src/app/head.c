/* head.c - heads on a tape, and their file.
 *
 *     linear   x W^T + b
 *     mlp      gelu(x V^T + c) W^T + b
 *     lstm     states of LSTM(hidden) over a text's tokens; Dense on each, or on the last
 *
 * The file has the parameters whose names begin with "head.", in F32: head.weight is [outs, in], as
 * torch's Linear has it.
 */
#include "app/head.h"

#include <assert.h>
#include <string.h>

#include "tensor/safetensors.h"

static kua_status add_dense(kua__params *params, const char *name, size_t out, size_t in,
                            kua__rng *rng, kua__param **weight, kua__param **bias)
{
    char full[64];
    snprintf(full, sizeof(full), "%s.weight", name);
    KUA__TRY(kua__params_add(params, full, out, in, KUA__INIT_XAVIER, 1, rng, weight));
    snprintf(full, sizeof(full), "%s.bias", name);
    KUA__TRY(kua__params_add(params, full, 1, out, KUA__INIT_ZEROS, 0, NULL, bias));
    (*weight)->weight_decay = (*bias)->weight_decay = 0;
    return KUA_OK;
}

kua_status kua__head_create(kua__head *head, kua__params *params, const kua__app_config *config,
                            kua__rng *rng)
{
    assert(head && params && config && rng);
    *head = (kua__head){.kind = config->head,
                        .last_step = config->last_step,
                        .in = config->dim,
                        .outs = kua__app_outs(config),
                        .hidden = config->hidden};
    size_t h = head->hidden, wide = head->kind == KUA__HEAD_LINEAR ? head->in : h;
    if (head->kind == KUA__HEAD_MLP)
        KUA__TRY(
            add_dense(params, "head.inner", h, head->in, rng, &head->inner, &head->inner_bias));
    if (head->kind == KUA__HEAD_LSTM) {
        KUA__TRY(
            add_dense(params, "head.lstm", 4 * h, head->in, rng, &head->inner, &head->inner_bias));
        KUA__TRY(kua__params_add(params, "head.lstm.recurrent", 4 * h, h, KUA__INIT_XAVIER, 1, rng,
                                 &head->recurrent));
        head->recurrent->weight_decay = 0;
        for (size_t i = h; i < 2 * h; i++)
            head->inner_bias->value[i] = 1; /* remember, at first (Jozefowicz et al., 2015) */
    }
    KUA__TRY(add_dense(params, "head", head->outs, wide, rng, &head->weight, &head->bias));
    if (!config->tagger) return KUA_OK;
    KUA__TRY(kua__params_add(params, "head.transitions", head->outs + 1, head->outs,
                             KUA__INIT_ZEROS, 0, NULL, &head->transitions));
    head->transitions->weight_decay = 0;
    return KUA_OK;
}

bool kua__head_by_step(const kua__head *head)
{
    return head->kind == KUA__HEAD_LSTM && !head->last_step;
}

kua__var *kua__head_on_tape(kua__tape *t, const kua__head *head, kua__var *x, kua__ragged seq,
                            float dropout)
{
    x = kua__dropout(t, x, dropout);
    if (head->kind == KUA__HEAD_MLP)
        x = kua__gelu(t,
                      kua__linear(t, x, kua__use(t, head->inner), kua__use(t, head->inner_bias)));
    if (head->kind == KUA__HEAD_LSTM)
        x = kua__lstm(t, x, seq, kua__use(t, head->inner), kua__use(t, head->recurrent),
                      kua__use(t, head->inner_bias));
    if (head->kind == KUA__HEAD_LSTM && head->last_step) x = kua__last_row(t, x, seq);
    return kua__linear(t, x, kua__use(t, head->weight), kua__use(t, head->bias));
}

/* ---- the file ---- */

static bool is_head(const kua__param *p)
{
    return kua__has_prefix(p->name, "head.");
}

kua_status kua__head_save(const kua__params *params, const char *path)
{
    assert(params && path);
    kua__st_writer *w = NULL;
    KUA__TRY(kua__st_writer_create(path, &w));
    kua_status st = kua__st_writer_meta(w, "format", "pt");
    for (size_t i = 0; i < params->n && !st; i++) {
        const kua__param *p = params->all[i];
        if (is_head(p))
            st = kua__st_writer_declare(w, p->name, KUA__F32, 2, (size_t[]){p->rows, p->cols});
    }
    for (size_t i = 0; i < params->n && !st; i++) {
        const kua__param *p = params->all[i];
        if (is_head(p)) st = kua__st_writer_write(w, p->value, p->rows * p->cols * sizeof(float));
    }
    if (!st) st = kua__st_writer_commit(w);
    kua__st_writer_free(w);
    return st;
}

kua_status kua__head_load(kua__params *params, const char *path)
{
    assert(params && path);
    kua__safetensors *file = NULL;
    KUA__TRY(kua__safetensors_open(path, &file));
    kua_status st = KUA_OK;
    for (size_t i = 0; i < params->n && !st; i++) {
        kua__param *p = params->all[i];
        const kua__tensor *t = NULL;
        if (!is_head(p)) continue;
        st = kua__safetensors_need(file, p->name, 2, (size_t[]){p->rows, p->cols}, &t);
        if (!st) kua__tensor_to_f32(t, 0, t->count, p->value);
    }
    kua__safetensors_close(file);
    return st;
}

void kua__head_set(kua__head *head, const kua__affine *m)
{
    assert(head->kind == KUA__HEAD_LINEAR && head->in == m->cols && head->outs == m->outs);
    for (size_t o = 0; o < m->outs; o++)
        for (size_t c = 0; c < m->cols; c++)
            head->weight->value[o * m->cols + c] = m->w[c * m->outs + o];
    memcpy(head->bias->value, m->bias, m->outs * sizeof(float));
}

void kua__head_get(const kua__head *head, kua__affine *m)
{
    assert(head->kind == KUA__HEAD_LINEAR && head->in == m->cols && head->outs == m->outs);
    for (size_t o = 0; o < m->outs; o++)
        for (size_t c = 0; c < m->cols; c++)
            m->w[c * m->outs + o] = head->weight->value[o * m->cols + c];
    memcpy(m->bias, head->bias->value, m->outs * sizeof(float));
}

/* optim.c - Adam (Kingma and Ba, 2015) and AdamW (Loshchilov and Hutter, 2019), schedules,
 * clipping, moving averages.
 *
 * Embedding tables are stepped lazily: only rows that got a gradient move, and their moments decay
 * only then, as in PyTorch's SparseAdam. One pass over a row reads and writes value, gradient and
 * both moments, and clears the gradient, so no other pass over the parameters is needed in a step
 * but the norm's.
 *
 * A step either happens for all parameters or for none: moments are allocated, and the norm is
 * checked, before anything is changed.
 *
 * AdamW takes the decay off the value itself (`keep`), plain Adam adds it to the gradient (`l2`),
 * so that one kernel does both. The corrections for the moments' begin at zero are part of the
 * learning rate and of `unbias`: two numbers a parameter instead of two divisions an element.
 */
#include "grad/apply.h"

#include <assert.h>
#include <math.h>

kua__optim_options kua__optim_defaults(void)
{
    return (kua__optim_options){.lr = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f, .epsilon = 1e-8f};
}

void kua__optim_init(kua__optim *optim, const kua__optim_options *options)
{
    assert(optim);
    *optim = (kua__optim){.options = options ? *options : kua__optim_defaults()};
    assert(optim->options.beta1 >= 0 && optim->options.beta1 < 1);
    assert(optim->options.beta2 >= 0 && optim->options.beta2 < 1);
    assert(optim->options.epsilon > 0);
}

float kua__optim_lr(const kua__optim *optim, uint64_t step)
{
    assert(optim && step >= 1);
    const kua__optim_options *o = &optim->options;
    if (step <= o->warmup_steps) return o->lr * (float)step / (float)o->warmup_steps;
    if (o->schedule == KUA__CONSTANT || o->total_steps <= o->warmup_steps) return o->lr;
    double done = (double)(step - o->warmup_steps) / (double)(o->total_steps - o->warmup_steps);
    done = KUA__MIN(done, 1.0);
    double left =
        o->schedule == KUA__COSINE ? 0.5 * (1 + cos(3.14159265358979324 * done)) : 1 - done;
    return o->lr * (float)(o->final_scale + (1 - o->final_scale) * left);
}

static bool is_stepped(const kua__param *p)
{
    return p->grad && !p->frozen;
}

static kua_status make_moments(kua__params *params)
{
    for (size_t i = 0; i < params->n; i++) {
        kua__param *p = params->all[i];
        size_t n = p->rows * p->cols;
        if (!is_stepped(p)) continue;
        if (!p->m) KUA__TRY(KUA__NEW_ZEROED(&p->m, n, p->name));
        if (!p->v) KUA__TRY(KUA__NEW_ZEROED(&p->v, n, p->name));
    }
    return KUA_OK;
}

typedef struct step_job {
    kua__param *param;
    kua__adam adam;
} step_job;

static void step_range(const step_job *job, size_t at, size_t n)
{
    assert(at + n <= job->param->rows * job->param->cols && job->param->m && job->param->v);
    kua__param *p = job->param;
    kua__kernels_get()->adam(p->value + at, p->grad + at, p->m + at, p->v + at, n, &job->adam);
}

static void step_task(void *ctx, size_t first, size_t last)
{
    const step_job *job = ctx;
    step_range(job, first, last - first);
}

/* Rows of a table that no gradient reached keep value and moments: the pass over touched[] is
 * all that a large table costs. */
static void step_rows_task(void *ctx, size_t first, size_t last)
{
    const step_job *job = ctx;
    kua__param *p = job->param;
    for (size_t r = first; r < last; r++) {
        if (!p->touched[r]) continue;
        step_range(job, r * p->cols, p->cols);
        p->touched[r] = 0;
    }
}

static kua__adam adam_of(const kua__optim *optim, const kua__param *p, float grad_scale)
{
    assert(optim->step >= 1); /* at 0 the corrections would divide by 0 */
    const kua__optim_options *o = &optim->options;
    double left1 = 1 - pow(o->beta1, (double)optim->step);
    double left2 = 1 - pow(o->beta2, (double)optim->step);
    float lr = optim->lr * p->lr_scale;
    float decay = p->weight_decay < 0 ? o->weight_decay : p->weight_decay;
    return (kua__adam){
        .grad_scale = grad_scale,
        .l2 = o->coupled_decay ? decay : 0,
        .keep = o->coupled_decay ? 1 : 1 - lr * decay,
        .beta1 = o->beta1,
        .beta2 = o->beta2,
        .lr = (float)(lr / left1),
        .unbias = (float)(1 / sqrt(left2)),
        .epsilon = o->epsilon,
    };
}

kua_status kua__optim_step(kua__optim *optim, kua__params *params)
{
    assert(optim && params);
    const kua__optim_options *o = &optim->options;
    KUA__TRY(make_moments(params));
    optim->norm = kua__params_grad_norm(params);
    if (!isfinite(optim->norm)) {
        kua__params_clear_grads(params);
        return kua__fail(KUA_INVALID, "optimiser: gradient norm is %g in step %llu", optim->norm,
                         (unsigned long long)optim->step + 1);
    }
    float scale = 1;
    if (o->clip_norm > 0 && optim->norm > o->clip_norm) scale = (float)(o->clip_norm / optim->norm);
    optim->step++;
    optim->lr = kua__optim_lr(optim, optim->step);
    for (size_t i = 0; i < params->n; i++) {
        kua__param *p = params->all[i];
        size_t n = p->rows * p->cols;
        step_job job = {p, adam_of(optim, p, scale)};
        if (!is_stepped(p) || n == 0) continue;
        if (p->sparse)
            kua__parallel_for(p->rows, kua__row_grain(p->cols), step_rows_task, &job);
        else
            kua__parallel_for(n, KUA__GRAIN, step_task, &job);
    }
    return KUA_OK;
}

/* ---- moving average ---- */

kua_status kua__ema_init(kua__ema *ema, const kua__params *params, float decay)
{
    assert(ema && params);
    assert(decay >= 0 && decay < 1);
    *ema = (kua__ema){.decay = decay};
    KUA__TRY(KUA__NEW_ZEROED(&ema->value, params->n, "a moving average"));
    ema->n = params->n;
    for (size_t i = 0; i < params->n; i++) {
        size_t n = params->all[i]->rows * params->all[i]->cols;
        kua_status st = KUA__NEW_ARRAY(&ema->value[i], n, params->all[i]->name);
        if (st) {
            kua__ema_release(ema);
            return st;
        }
        memcpy(ema->value[i], params->all[i]->value, n * sizeof(float));
    }
    return KUA_OK;
}

typedef struct ema_job {
    float *y;
    const float *x;
    float weight;
} ema_job;

static void ema_task(void *ctx, size_t first, size_t last)
{
    const ema_job *job = ctx;
    kua__kernels_get()->lerp(job->y + first, job->x + first, job->weight, last - first);
}

/* Early updates average less: the first values are the initial ones, which mean nothing. */
void kua__ema_update(kua__ema *ema, const kua__params *params)
{
    assert(ema->n == params->n);
    float early = (1 + (float)ema->updates) / (10 + (float)ema->updates);
    float weight = 1 - KUA__MIN(ema->decay, early);
    ema->updates++;
    for (size_t i = 0; i < ema->n; i++) {
        size_t n = params->all[i]->rows * params->all[i]->cols;
        ema_job job = {ema->value[i], params->all[i]->value, weight};
        if (n) kua__parallel_for(n, KUA__GRAIN, ema_task, &job);
    }
}

void kua__ema_swap(kua__ema *ema, kua__params *params)
{
    assert(ema && params);
    assert(ema->n == params->n);
    for (size_t i = 0; i < ema->n; i++) {
        float *value = params->all[i]->value;
        params->all[i]->value = ema->value[i];
        ema->value[i] = value;
    }
}

void kua__ema_release(kua__ema *ema)
{
    for (size_t i = 0; i < ema->n; i++)
        kua__free(ema->value[i]);
    kua__free(ema->value);
    *ema = (kua__ema){0};
}

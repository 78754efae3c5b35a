/* param.c - a model's trained matrices: creation, lookup, freezing, gradients' norm.
 *
 * Values, gradients and moments are blocks of their own, because their lifetimes differ (a served
 * model has values only); the small structs lie in the set's arena and never move, so pointers to
 * them stay good.
 *
 * Invariants
 *   I1  names are unique and shorter than the field that holds them: they are keys of checkpoints.
 *   I2  the gradient of a sparse parameter is zero in every row whose touched[] is 0: the norm, the
 *       step and clearing look at touched rows only.
 *   I3  a frozen parameter's gradient is neither counted nor stepped.
 */
#include "grad/grad.h"

#include <assert.h>
#include <math.h>

#include "tensor/kernels.h"

enum { NORM_CHUNK = 4096, PARTS_MAX = 64 };
/* NORM_CHUNK: squares are summed in float so far, in double between chunks. */

void kua__params_init(kua__params *params)
{
    assert(params);
    *params = (kua__params){0};
    kua__arena_init(&params->arena, 16 << 10);
}

static void fill(kua__param *p, kua__init init, float scale, kua__rng *rng)
{
    assert(p->value);
    size_t n = p->rows * p->cols;
    if (init == KUA__INIT_XAVIER) scale *= sqrtf(6.0f / (float)(p->rows + p->cols));
    for (size_t i = 0; i < n; i++) {
        switch (init) {
        case KUA__INIT_ZEROS:
            return; /* as allocated */
        case KUA__INIT_ONES:
            p->value[i] = 1;
            break;
        case KUA__INIT_NORMAL:
            p->value[i] = scale * kua__rng_normal(rng);
            break;
        case KUA__INIT_XAVIER:
        case KUA__INIT_UNIFORM:
            p->value[i] = scale * (2 * kua__rng_uniform(rng) - 1);
            break;
        }
    }
}

/* The struct in the arena, listed; its matrices are not there yet. */
static kua_status param_new(kua__params *params, const char *name, size_t rows, size_t cols,
                            kua__param **out)
{
    if (strlen(name) >= sizeof((*out)->name))
        return kua__fail(KUA_INVALID, "parameter %s: name is longer than %zu bytes", name,
                         sizeof((*out)->name) - 1);
    if (kua__params_find(params, name))
        return kua__fail(KUA_INVALID, "parameter %s: there is one of this name", name);
    size_t bytes;
    if (__builtin_mul_overflow(rows, cols, &bytes) || bytes > SIZE_MAX / 16)
        return kua__fail(KUA_INVALID, "parameter %s: %zux%zu overflows", name, rows, cols);
    KUA__TRY(KUA__GROW(&params->all, &params->capacity, params->n, "parameters"));
    kua__param *p = kua__arena_zalloc(&params->arena, sizeof(*p));
    if (!p) return kua__fail_nomem(sizeof(*p), "a parameter");
    snprintf(p->name, sizeof(p->name), "%s", name);
    p->rows = rows;
    p->cols = cols;
    p->lr_scale = 1;
    p->weight_decay = -1;
    *out = p;
    return KUA_OK;
}

kua_status kua__params_add(kua__params *params, const char *name, size_t rows, size_t cols,
                           kua__init init, float scale, kua__rng *rng, kua__param **out)
{
    assert(params && name && out);
    assert(rng || init == KUA__INIT_ZEROS || init == KUA__INIT_ONES);
    kua__param *p = *out = NULL;
    KUA__TRY(param_new(params, name, rows, cols, &p));
    assert(p);
    size_t n = rows * cols;
    KUA__TRY(KUA__NEW_ZEROED(&p->value, n, name));
    fill(p, init, scale, rng);
    params->all[params->n++] = p;
    *out = p;
    return KUA_OK;
}

kua_status kua__params_add_table(kua__params *params, const char *name, size_t rows, size_t cols,
                                 float scale, kua__rng *rng, kua__param **out)
{
    kua__init init = rng && scale != 0 ? KUA__INIT_NORMAL : KUA__INIT_ZEROS;
    uint8_t *touched = NULL;
    KUA__TRY(KUA__NEW_ZEROED(&touched, rows, name));
    kua_status st = kua__params_add(params, name, rows, cols, init, scale, rng, out);
    if (st) {
        kua__free(touched);
        return st;
    }
    (*out)->sparse = true;
    (*out)->touched = touched;
    return KUA_OK;
}

kua__param *kua__params_find(const kua__params *params, const char *name)
{
    assert(params && name);
    for (size_t i = 0; i < params->n; i++) {
        if (kua__streq(params->all[i]->name, name)) return params->all[i];
    }
    return NULL;
}

size_t kua__params_freeze(kua__params *params, const char *prefix, bool frozen)
{
    assert(params && prefix);
    size_t found = 0;
    for (size_t i = 0; i < params->n; i++) {
        if (!kua__has_prefix(params->all[i]->name, prefix)) continue;
        params->all[i]->frozen = frozen;
        found++;
    }
    return found;
}

size_t kua__params_count(const kua__params *params)
{
    size_t count = 0;
    for (size_t i = 0; i < params->n; i++)
        count += params->all[i]->rows * params->all[i]->cols;
    return count;
}

size_t kua__params_bytes(const kua__params *params)
{
    size_t bytes = 0;
    for (size_t i = 0; i < params->n; i++) {
        const kua__param *p = params->all[i];
        size_t copies = 1u + (p->grad != NULL) + (p->m != NULL) + (p->v != NULL);
        bytes += p->rows * p->cols * sizeof(float) * copies + (p->touched ? p->rows : 0);
    }
    return bytes;
}

void kua__params_clear_grads(kua__params *params)
{
    for (size_t i = 0; i < params->n; i++) {
        kua__param *p = params->all[i];
        if (!p->grad) continue;
        assert(p->sparse == (p->touched != NULL));
        if (!p->sparse) memset(p->grad, 0, p->rows * p->cols * sizeof(float));
        for (size_t r = 0; p->sparse && r < p->rows; r++) {
            if (p->touched[r]) memset(p->grad + r * p->cols, 0, p->cols * sizeof(float));
            p->touched[r] = 0;
        }
    }
}

/* ---- the norm: one double per part, summed in order ---- */

typedef struct norm_job {
    const kua__param *param;
    size_t parts;
    double squares[PARTS_MAX];
} norm_job;

static double squares_of(const float *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i += NORM_CHUNK)
        sum += kua__kernels_get()->dot(x + i, x + i, KUA__MIN(NORM_CHUNK, n - i));
    return sum;
}

static void norm_task(void *ctx, size_t first, size_t last)
{
    assert(last <= ((norm_job *)ctx)->parts && ((norm_job *)ctx)->parts <= PARTS_MAX);
    norm_job *job = ctx;
    const kua__param *p = job->param;
    for (size_t part = first; part < last; part++) {
        size_t from = p->rows * part / job->parts, to = p->rows * (part + 1) / job->parts;
        double sum = 0;
        if (!p->sparse) sum = squares_of(p->grad + from * p->cols, (to - from) * p->cols);
        for (size_t r = from; p->sparse && r < to; r++) {
            if (p->touched[r]) sum += squares_of(p->grad + r * p->cols, p->cols);
        }
        job->squares[part] = sum;
    }
}

double kua__params_grad_norm(const kua__params *params)
{
    double sum = 0;
    for (size_t i = 0; i < params->n; i++) {
        const kua__param *p = params->all[i];
        if (!p->grad || p->frozen) continue;
        norm_job job = {p, 1, {0}};
        if (p->rows * p->cols > 1 << 16) job.parts = (size_t)KUA__MIN(kua__threads(), PARTS_MAX);
        kua__parallel_for(job.parts, 1, norm_task, &job);
        for (size_t part = 0; part < job.parts; part++)
            sum += job.squares[part];
    }
    return sqrt(sum);
}

void kua__params_release(kua__params *params)
{
    assert(params);
    for (size_t i = 0; i < params->n; i++) {
        kua__param *p = params->all[i];
        kua__free(p->value);
        kua__free(p->grad);
        kua__free(p->m);
        kua__free(p->v);
        kua__free(p->touched);
    }
    kua__free(params->all);
    kua__arena_release(&params->arena);
    *params = (kua__params){0};
}

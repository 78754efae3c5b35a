/* tune.c - a plan of what is trained, put into `frozen` and `lr_scale` of a model's parameters. */
#include "encoder/tune.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "encoder/model_tape_slots.h"
#include "tensor/kernels.h"

static const char *const names[KUA__TUNE_COUNT] = {
    [KUA__TUNE_NONE] = "none",       [KUA__TUNE_HEAD] = "head", [KUA__TUNE_LORA] = "lora",
    [KUA__TUNE_GRADUAL] = "gradual", [KUA__TUNE_FULL] = "full",
};

const char *kua__tune_name(kua__tune_how how)
{
    assert((unsigned)how < KUA__TUNE_COUNT);
    return names[how];
}

kua_status kua__tune_parse(const char *text, kua__tune_how *out)
{
    assert(text && out);
    for (int i = 0; i < KUA__TUNE_COUNT; i++) {
        if (kua__streq(text, names[i])) {
            *out = (kua__tune_how)i;
            return KUA_OK;
        }
    }
    return kua__fail(KUA_INVALID,
                     "what is tuned is \"%.40s\", known are none, head, lora, gradual and full",
                     text);
}

kua__tune_plan kua__tune_defaults(void)
{
    return (kua__tune_plan){.how = KUA__TUNE_FULL,
                            .encoder_rate = 1,
                            .layer_decay = 1,
                            .lora = {8, 16, KUA__LORA_ATTENTION},
                            .thaw_every = 1,
                            .train_words = true};
}

static kua_status check(const kua__tune_plan *p)
{
    if (!(p->encoder_rate > 0 && p->encoder_rate <= 100))
        return kua__fail(KUA_INVALID, "encoder_rate is %g, must be over 0 and at most 100",
                         (double)p->encoder_rate);
    if (!(p->layer_decay > 0 && p->layer_decay <= 1))
        return kua__fail(KUA_INVALID, "layer_decay is %g, must be over 0 and at most 1",
                         (double)p->layer_decay);
    if (!(p->l2_sp >= 0 && p->l2_sp <= 100))
        return kua__fail(KUA_INVALID, "l2_sp is %g, must be 0..100", (double)p->l2_sp);
    if (p->how == KUA__TUNE_GRADUAL && p->thaw_every == 0)
        return kua__fail(KUA_INVALID, "thaw_every is 0, must be 1 epoch or more");
    return KUA_OK;
}

static bool is_weight(const kua__tune_plan *p)
{
    return p->how == KUA__TUNE_FULL || p->how == KUA__TUNE_GRADUAL;
}

/* Layers below `lowest` are frozen (-1: none is, not even what stands before the first). */
static void thaw(kua__tuning *tu, int lowest)
{
    const kua__tape_model *m = tu->model;
    int n = (int)m->config.layers;
    for (size_t i = 0; i < tu->params->n; i++) {
        kua__param *p = tu->params->all[i];
        int depth = kua__tape_model_depth(m, p);
        if (depth == KUA__NOT_THERE) continue;
        bool kept = p == m->once[KUA__SLOT_WORD].weight && !tu->plan.train_words;
        p->frozen = depth < lowest || kept;
        p->lr_scale = tu->plan.encoder_rate * powf(tu->plan.layer_decay, (float)(n - depth));
    }
}

static kua_status keep_start(kua__tuning *tu)
{
    KUA__TRY(KUA__NEW_ZEROED(&tu->start, tu->params->n, "L2-SP"));
    tu->n = tu->params->n;
    for (size_t i = 0; i < tu->n; i++) {
        const kua__param *p = tu->params->all[i];
        size_t count = p->rows * p->cols;
        if (kua__tape_model_depth(tu->model, p) == KUA__NOT_THERE) continue;
        if (p == tu->model->once[KUA__SLOT_WORD].weight && !tu->plan.train_words) continue;
        KUA__TRY(KUA__NEW_ARRAY(&tu->start[i], count, p->name));
        memcpy(tu->start[i], p->value, count * sizeof(float));
    }
    return KUA_OK;
}

kua_status kua__tuning_begin(kua__tuning *tuning, const kua__tune_plan *plan,
                             kua__tape_model *model, kua__params *params, kua__rng *rng)
{
    assert(tuning && plan && model && params && rng);
    *tuning = (kua__tuning){.plan = *plan, .model = model, .params = params};
    KUA__TRY(check(plan));
    model->recompute = plan->recompute;
    thaw(tuning, (int)model->config.layers + 1);
    if (plan->how == KUA__TUNE_LORA) {
        KUA__TRY(kua__lora_add(model, params, &plan->lora, rng));
        for (size_t i = 0; i < params->n; i++)
            if (strstr(params->all[i]->name, ".lora_"))
                params->all[i]->lr_scale = plan->encoder_rate;
    }
    if (plan->l2_sp > 0 && is_weight(plan)) KUA__TRY(keep_start(tuning));
    kua__tuning_epoch(tuning, 0);
    return KUA_OK;
}

bool kua__tuning_epoch(kua__tuning *tuning, size_t epoch)
{
    const kua__tune_plan *p = &tuning->plan;
    int n = (int)tuning->model->config.layers;
    if (p->how == KUA__TUNE_FULL) thaw(tuning, -1);
    if (p->how != KUA__TUNE_GRADUAL) return false;
    size_t open = KUA__MIN(epoch / p->thaw_every + 1, (size_t)n + 1); /* the last: the tables */
    thaw(tuning, n - (int)open);
    return epoch > 0 && epoch % p->thaw_every == 0 && epoch / p->thaw_every <= (size_t)n;
}

typedef struct pull_job {
    kua__param *param;
    const float *start;
    float strength;
} pull_job;

static void pull_rows(void *ctx, size_t first, size_t last)
{
    const pull_job *job = ctx;
    kua__param *p = job->param;
    const kua__kernels *k = kua__kernels_get();
    for (size_t r = first; r < last; r++) {
        size_t at = r * p->cols;
        if (p->touched && !p->touched[r]) continue; /* rows that no gradient reached stay anyway */
        k->axpy(p->grad + at, p->value + at, job->strength, p->cols);
        k->axpy(p->grad + at, job->start + at, -job->strength, p->cols);
    }
}

void kua__tuning_pull(kua__tuning *tuning)
{
    assert(tuning);
    for (size_t i = 0; i < tuning->n; i++) {
        kua__param *p = tuning->params->all[i];
        if (!tuning->start[i] || p->frozen || !p->grad) continue;
        pull_job job = {p, tuning->start[i], tuning->plan.l2_sp};
        kua__parallel_for(p->rows, KUA__MAX((1 << 14) / p->cols, 1), pull_rows, &job);
    }
}

kua_status kua__tuning_end(kua__tuning *tuning)
{
    assert(tuning && tuning->model);
    return tuning->plan.how == KUA__TUNE_LORA ? kua__lora_merge(tuning->model) : KUA_OK;
}

void kua__tuning_release(kua__tuning *tuning)
{
    for (size_t i = 0; i < tuning->n; i++)
        kua__free(tuning->start[i]);
    kua__free(tuning->start);
    *tuning = (kua__tuning){0};
}

/* ---- memory ---- */

static size_t count_slots(const kua__model_config *c, bool layers, bool head)
{
    size_t n = 0, rows, cols;
    for (kua__slot slot = 0; slot < KUA__SLOT_COUNT; slot++) {
        if (!kua__tape_slot_used(c, slot) || kua__slot_in_layer(slot) != layers) continue;
        if (kua__slot_in_head(slot) && !head) continue;
        kua__slot_shape(c, slot, &rows, &cols);
        if (kua__slot_has(c, slot, KUA__WEIGHT)) n += KUA__MAX(rows, 1) * cols;
        if (kua__slot_has(c, slot, KUA__BIAS)) n += rows ? rows : cols;
    }
    return n * (layers ? c->layers : 1);
}

/* Floats that a layer keeps for one token: what its operations give, less what is a view. */
static size_t kept_by_layer(const kua__model_config *c)
{
    size_t h = c->hidden, q = c->heads * c->head_dim, kv = c->kv_heads * c->head_dim;
    size_t attend = 2 * q + 2 * kv + (c->learned_positions ? 0 : q + kv) + h;
    size_t inner = (c->gated ? 4 : 2) * c->inner + h;
    return attend + inner + 4 * h + 2 * h; /* two sums, two norms, two of dropout */
}

/* What adapters add to that: their product, its sum with the frozen one, and two of low rank. */
static size_t kept_by_adapters(const kua__tune_plan *plan, const kua__model_config *c)
{
    size_t n = 0, rows, cols;
    for (kua__slot slot = KUA__SLOT_ATTEND_NORM; kua__slot_in_layer(slot); slot++) {
        if (!kua__tape_slot_used(c, slot) || !kua__lora_is_target(slot, plan->lora.targets))
            continue;
        kua__slot_shape(c, slot, &rows, &cols);
        n += 2 * rows + 2 * plan->lora.rank;
    }
    return plan->how == KUA__TUNE_LORA ? n : 0;
}

kua__tune_memory kua__tune_memory_of(const kua__tune_plan *plan, const kua__model_config *config,
                                     size_t tokens, size_t longest, size_t words)
{
    assert(plan && config);
    const kua__model_config *c = config;
    size_t once = count_slots(c, false, words > 0), layers = count_slots(c, true, false);
    size_t table = c->vocab * c->hidden, adapters = 0;
    kua__tune_memory m = {0};
    if (is_weight(plan)) m.trained = once + layers - (plan->train_words ? 0 : table);
    if (plan->how == KUA__TUNE_LORA) m.trained = adapters = kua__lora_count(c, &plan->lora);
    m.weights = (once + layers + adapters) * sizeof(float);
    m.gradients = m.trained * sizeof(float);
    m.moments = 2 * m.gradients;
    m.start = plan->l2_sp > 0 && is_weight(plan) ? m.gradients : 0;
    bool kept = m.trained > 0 && !plan->recompute;
    size_t layer = kept_by_layer(c) + kept_by_adapters(plan, c),
           per_token = kept ? c->layers * layer : c->layers * c->hidden;
    per_token += 3 * c->hidden + layer; /* tables and first norm; gradients on their way back */
    if (!kept) per_token += layer;
    size_t scores = 2 * longest * longest * (size_t)kua__threads();
    /* The loss over words: a chunk of logits, and a gradient of the whole table. */
    size_t head = words ? 4 * words * c->hidden + table + KUA__MIN(words, 512) * c->vocab : 0;
    /* A third more for gradients on their way back and what the tape's blocks leave unused: with it
     * bench/finetune states no less than the tape takes, with adapters, without, and recomputed. */
    m.activations = (tokens * per_token + scores + head) * sizeof(float) / 3 * 4;
    m.total = m.weights + m.gradients + m.moments + m.start + m.activations;
    return m;
}

/* lora.c - adapters of low rank: made, counted, merged. How they take part in a product is told in
 * model_tape.c (dense).
 */
#include "encoder/lora.h"

#include <assert.h>
#include <string.h>

#include "encoder/model_tape_slots.h"
#include "tensor/gemm.h"

static const struct {
    const char *name;
    unsigned targets;
} known[] = {{"attention", KUA__LORA_ATTENTION},
             {"out", KUA__LORA_OUT},
             {"inner", KUA__LORA_INNER},
             {"all", KUA__LORA_ALL}};

kua_status kua__lora_targets_parse(const char *text, unsigned *out)
{
    assert(text && out);
    *out = 0;
    for (const char *at = text; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL) {
        size_t n = strcspn(at, ","), i = 0;
        while (i < KUA__COUNT(known) &&
               (strlen(known[i].name) != n || strncmp(known[i].name, at, n) != 0))
            i++;
        if (i == KUA__COUNT(known))
            return kua__fail(KUA_INVALID,
                             "LoRA targets are \"%s\", known are attention, out, inner and all",
                             text);
        *out |= known[i].targets;
    }
    return KUA_OK;
}

bool kua__lora_is_target(kua__slot slot, unsigned targets)
{
    switch (slot) {
    case KUA__SLOT_QUERY:
    case KUA__SLOT_KEY:
    case KUA__SLOT_VALUE:
    case KUA__SLOT_QKV:
        return targets & KUA__LORA_ATTENTION;
    case KUA__SLOT_OUT:
        return targets & KUA__LORA_OUT;
    case KUA__SLOT_GATE:
    case KUA__SLOT_UP:
    case KUA__SLOT_DOWN:
        return targets & KUA__LORA_INNER;
    default:
        return false;
    }
}

static kua_status check(const kua__tape_model *model, const kua__lora_options *o)
{
    if (o->rank == 0 || o->rank > KUA__LORA_RANK_MAX)
        return kua__fail(KUA_INVALID, "LoRA rank is %zu, must be 1..%d", o->rank,
                         KUA__LORA_RANK_MAX);
    if ((o->targets & KUA__LORA_ALL) == 0)
        return kua__fail(KUA_INVALID, "LoRA has no target: name attention, out, inner or all");
    for (kua__slot slot = 0; slot < KUA__SLOT_COUNT; slot++) {
        if (model->layer[0][slot].lora_a)
            return kua__fail(KUA_INVALID, "LoRA: the model has adapters already");
    }
    return KUA_OK;
}

static void freeze(kua__tape_model *model, kua__params *params)
{
    for (size_t i = 0; i < params->n; i++) {
        if (kua__tape_model_depth(model, params->all[i]) != KUA__NOT_THERE)
            params->all[i]->frozen = true;
    }
}

static kua_status add_one(kua__tape_pair *pair, kua__params *params, const kua__lora_options *o,
                          kua__rng *rng)
{
    char name[80];
    const kua__param *w = pair->weight;
    size_t stem = strlen(w->name) - strlen(".weight");
    snprintf(name, sizeof(name), "%.*s.lora_A", (int)stem, w->name);
    /* A as torch's linear layers begin (Hu et al. do the same): uniform in +-1 / sqrt(in). */
    KUA__TRY(
        kua__params_add(params, name, o->rank, w->cols, KUA__INIT_XAVIER, 1, rng, &pair->lora_a));
    snprintf(name, sizeof(name), "%.*s.lora_B", (int)stem, w->name);
    KUA__TRY(
        kua__params_add(params, name, w->rows, o->rank, KUA__INIT_ZEROS, 0, NULL, &pair->lora_b));
    pair->lora_scale = o->alpha / (float)o->rank;
    pair->lora_a->weight_decay = pair->lora_b->weight_decay = 0;
    return KUA_OK;
}

kua_status kua__lora_add(kua__tape_model *model, kua__params *params,
                         const kua__lora_options *options, kua__rng *rng)
{
    assert(model && params && options && rng);
    KUA__TRY(check(model, options));
    freeze(model, params);
    for (size_t i = 0; i < model->config.layers; i++) {
        for (kua__slot slot = 0; slot < KUA__SLOT_COUNT; slot++) {
            kua__tape_pair *pair = &model->layer[i][slot];
            if (pair->weight && kua__lora_is_target(slot, options->targets))
                KUA__TRY(add_one(pair, params, options, rng));
        }
    }
    return KUA_OK;
}

size_t kua__lora_count(const kua__model_config *config, const kua__lora_options *options)
{
    size_t n = 0, rows, cols;
    for (kua__slot slot = KUA__SLOT_ATTEND_NORM; kua__slot_in_layer(slot); slot++) {
        if (!kua__tape_slot_used(config, slot) || !kua__lora_is_target(slot, options->targets))
            continue;
        kua__slot_shape(config, slot, &rows, &cols);
        n += config->layers * options->rank * (rows + cols);
    }
    return n;
}

kua_status kua__lora_merge(kua__tape_model *model)
{
    assert(model);
    for (size_t i = 0; i < model->config.layers; i++) {
        for (kua__slot slot = 0; slot < KUA__SLOT_COUNT; slot++) {
            kua__tape_pair *p = &model->layer[i][slot];
            if (!p->lora_a) continue;
            kua__param *w = p->weight, *a = p->lora_a, *b = p->lora_b;
            KUA__TRY(kua__gemm(false, false, w->rows, w->cols, a->rows, p->lora_scale, b->value,
                               b->cols, a->value, a->cols, 1, w->value, w->cols));
            memset(b->value, 0, b->rows * b->cols * sizeof(float));
        }
    }
    return KUA_OK;
}

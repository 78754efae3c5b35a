/* pretrain_settings.c - settings of pre-training from JSON, every name and value checked. */
#include <assert.h>
#include <stddef.h>

#include "base/json.h"
#include "encoder/pretrain.h"

static const char name[] = "pre-training settings";

/* Whole numbers and real ones with their ranges; what is neither is read below. */
static const struct {
    const char *key;
    size_t offset;
    int64_t low, high, fallback;
} counts[] = {
#define COUNT(member, low, high, fallback)                                                         \
    {                                                                                              \
#member, offsetof(kua__pretrain_settings, member), low, high, fallback                     \
    }
    COUNT(epochs, 1, 10000, 3),
    COUNT(steps, 0, 1 << 30, 0),
    COUNT(batch_tokens, 16, 1 << 20, 4096),
    COUNT(accumulate, 1, 4096, 1),
    COUNT(max_tokens, 4, 8192, 128),
    COUNT(evals, 1, 10000, 10),
    COUNT(patience, 0, 10000, 0),
    COUNT(held_out_max, 1, 1 << 24, 2000),
    COUNT(ngram, 0, 8, 0),
#undef COUNT
};

static const struct {
    const char *key;
    size_t offset;
    double low, high, fallback;
} reals[] = {
#define REAL(member, low, high, fallback)                                                          \
    {                                                                                              \
#member, offsetof(kua__pretrain_settings, member), low, high, fallback                     \
    }
    REAL(held_out, 0, .5, .02), REAL(lr, 0, 1, 0),
    REAL(warmup, 0, 1, .06),    REAL(weight_decay, 0, 1, .01),
    REAL(clip, 0, 1e6, 1),      REAL(dropout, 0, .9, -1),
    REAL(mask, .01, .9, .15),   REAL(temperature, .001, 10, .05),
#undef REAL
};

static const char *const others[] = {"seed", "bf16",  "pack",    "recompute",   "tune",
                                     "rank", "alpha", "targets", "layer_decay", "l2_sp"};

static bool is_known(const char *key)
{
    bool found = false;
    for (size_t i = 0; i < KUA__COUNT(counts); i++)
        found |= kua__streq(key, counts[i].key);
    for (size_t i = 0; i < KUA__COUNT(reals); i++)
        found |= kua__streq(key, reals[i].key);
    for (size_t i = 0; i < KUA__COUNT(others); i++)
        found |= kua__streq(key, others[i]);
    return found;
}

static kua_status check_names(const json_t *json)
{
    const char *key;
    json_t *value;
    if (!json_is_object(json)) return kua__fail(KUA_INVALID, "%s: expected a JSON object", name);
    json_object_foreach((json_t *)json, key, value)
    {
        if (!is_known(key))
            return kua__fail(KUA_INVALID, "%s: '%.60s' is unknown (kua/pretrain.h lists them)",
                             name, key);
    }
    return KUA_OK;
}

static kua_status read_plan(const json_t *json, kua__tune_plan *plan)
{
    const char *text;
    int64_t rank;
    double alpha, layer_decay, l2_sp;
    *plan = kua__tune_defaults();
    KUA__TRY(kua__json_string_or(name, json, "tune", "full", &text));
    KUA__TRY(kua__tune_parse(text, &plan->how));
    if (plan->how == KUA__TUNE_NONE || plan->how == KUA__TUNE_HEAD)
        return kua__fail(KUA_INVALID, "%s: tune is '%s', expected full, lora or gradual", name,
                         text);
    KUA__TRY(kua__json_int_or(name, json, "rank", 1, KUA__LORA_RANK_MAX, 8, &rank));
    KUA__TRY(kua__json_real_or(name, json, "alpha", 1e-3, 1e4, 16, &alpha));
    KUA__TRY(kua__json_string_or(name, json, "targets", "attention", &text));
    KUA__TRY(kua__lora_targets_parse(text, &plan->lora.targets));
    KUA__TRY(kua__json_real_or(name, json, "layer_decay", .01, 1, 1, &layer_decay));
    KUA__TRY(kua__json_real_or(name, json, "l2_sp", 0, 100, 0, &l2_sp));
    KUA__TRY(kua__json_bool_or(name, json, "recompute", false, &plan->recompute));
    plan->lora.rank = (size_t)rank;
    plan->lora.alpha = (float)alpha;
    plan->layer_decay = (float)layer_decay;
    plan->l2_sp = (float)l2_sp;
    return KUA_OK;
}

static kua_status read_all(const json_t *json, kua__pretrain_settings *out)
{
    if (json) KUA__TRY(check_names(json));
    for (size_t i = 0; i < KUA__COUNT(counts); i++) {
        int64_t value;
        KUA__TRY(kua__json_int_or(name, json, counts[i].key, counts[i].low, counts[i].high,
                                  counts[i].fallback, &value));
        *(size_t *)((char *)out + counts[i].offset) = (size_t)value;
    }
    for (size_t i = 0; i < KUA__COUNT(reals); i++)
        KUA__TRY(kua__json_real_or(name, json, reals[i].key, reals[i].low, reals[i].high,
                                   reals[i].fallback, (double *)((char *)out + reals[i].offset)));
    int64_t seed;
    KUA__TRY(kua__json_int_or(name, json, "seed", 0, INT64_MAX, 1, &seed));
    KUA__TRY(kua__json_bool_or(name, json, "bf16", true, &out->bf16));
    KUA__TRY(kua__json_bool_or(name, json, "pack", false, &out->pack));
    out->seed = (uint64_t)seed;
    return read_plan(json, &out->plan);
}

kua_status kua__pretrain_settings_read(const json_t *json, bool from_scratch,
                                       kua__pretrain_settings *out)
{
    assert(out);
    *out = (kua__pretrain_settings){0};
    kua_status st = read_all(json, out);
    if (out->lr == 0) out->lr = from_scratch ? 1e-3 : 5e-5;
    return st == KUA_FORMAT ? KUA_INVALID : st; /* what a caller gave, not a file */
}

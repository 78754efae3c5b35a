/* backbone.c - opening, tuning and saving the encoder below a head.
 *
 * What a saved folder needs besides weights and config.json is copied file by file from the folder
 * that the encoder came from: the tokenizer's files, and what says how tokens are pooled.
 */
#include "app/backbone.h"

#include <assert.h>
#include <string.h>

#include "grad/tape.h"

static kua_status read_sizes(kua__backbone *b, size_t max_tokens)
{
    kua__pooling_config pooling = {0};
    KUA__TRY(kua__config_load(b->folder, &b->model.config));
    KUA__TRY(kua__pooling_load(b->folder, &pooling));
    KUA__TRY(kua_tokenizer_load(b->folder, &b->tokenizer));
    size_t vocab = kua_tokenizer_describe(b->tokenizer).vocab_size;
    if (vocab > b->model.config.vocab)
        return kua__fail(KUA_SHAPE, "%s: the tokenizer has %zu pieces, the model %zu", b->folder,
                         vocab, b->model.config.vocab);
    b->pooling = pooling.pooling != KUA_POOLING_MODEL ? pooling.pooling
                 : b->model.config.causal             ? KUA_POOLING_LAST
                                                      : KUA_POOLING_MEAN;
    b->dim = b->model.config.hidden;
    b->max_tokens = KUA__MIN(max_tokens, kua__config_longest(&b->model.config));
    return KUA_OK;
}

kua_status kua__backbone_open(kua__backbone *b, const char *folder, size_t max_tokens)
{
    assert(b && folder && max_tokens >= 1);
    *b = (kua__backbone){.folder = kua__strdup(folder)};
    return b->folder ? read_sizes(b, max_tokens) : kua__fail_nomem(strlen(folder), "a path");
}

kua_status kua__backbone_weights(kua__backbone *b, kua__params *params, bool scratch, kua__rng *rng)
{
    assert(b && b->dim && params && rng);
    kua__model_config config = b->model.config; /* create begins with zeros */
    b->params = params;
    KUA__TRY(kua__tape_model_create(&b->model, params, &config, KUA__TAPE_BODY, rng));
    return scratch ? KUA_OK : kua__tape_model_load(&b->model, b->folder, NULL);
}

void kua__backbone_release(kua__backbone *b)
{
    kua__tuning_release(&b->tuning);
    kua__tape_model_release(&b->model);
    kua_tokenizer_free(b->tokenizer);
    kua__free(b->folder);
    *b = (kua__backbone){0};
}

kua__tune_plan kua__backbone_plan(kua__tune_how how, const kua__app_settings *s)
{
    kua__tune_plan plan = kua__tune_defaults();
    double own = s->value[how == KUA__TUNE_LORA ? KUA__SET_LORA_LR : KUA__SET_ENCODER_LR];
    plan.how = how;
    plan.encoder_rate = (float)KUA__MIN(100, KUA__MAX(1e-6, own / s->value[KUA__SET_LR]));
    plan.layer_decay = (float)s->value[KUA__SET_LAYER_DECAY];
    plan.l2_sp = (float)s->value[KUA__SET_L2SP];
    plan.lora = (kua__lora_options){kua__setting_count(s, KUA__SET_RANK),
                                    (float)s->value[KUA__SET_ALPHA], KUA__LORA_ALL};
    plan.thaw_every = kua__setting_count(s, KUA__SET_THAW_EVERY);
    plan.train_words = s->value[KUA__SET_TRAIN_WORDS] != 0;
    plan.recompute = s->value[KUA__SET_RECOMPUTE] != 0;
    return plan;
}

/* ---- saving ---- */

/* FROM/name to TO/name; what is not there is not copied. */
static kua_status copy_file(const char *from, const char *to, const char *name)
{
    char *source = kua__path_join(from, name), *target = kua__path_join(to, name);
    kua__map map = {0};
    kua_status st = source && target ? KUA_OK : kua__fail_nomem(strlen(name), "a path");
    if (!st && kua__exists(source)) {
        st = kua__map_open(&map, source);
        if (!st) st = kua__write_file(target, map.data, map.size);
        kua__map_close(&map);
    }
    kua__free(source);
    kua__free(target);
    return st;
}

kua_status kua__backbone_save(kua__backbone *b, const char *folder)
{
    assert(b && b->params && folder);
    static const char *const names[] = {
        "tokenizer.json", "vocab.txt",    "tokenizer_config.json",     "vocab.json",
        "merges.txt",     "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"};
    char *pooling = kua__path_join(folder, "1_Pooling");
    kua_status st = pooling ? kua__make_folders(pooling) : kua__fail_nomem(0, "a path");
    kua__free(pooling);
    for (size_t i = 0; i < KUA__COUNT(names) && !st; i++)
        st = copy_file(b->folder, folder, names[i]);
    return st ? st : kua__tape_model_save(&b->model, folder);
}

/* ---- batches ---- */

kua__picked kua__pick_texts(kua__tape *t, const kua_id_batch *ids, const uint32_t *pick, size_t n)
{
    assert(t && ids && (pick || n == 0));
    size_t tokens = 0;
    for (size_t i = 0; i < n; i++)
        tokens += ids->offset[pick[i] + 1] - ids->offset[pick[i]];
    uint32_t *at = kua__tape_alloc(t, (n + 1) * sizeof(*at));
    kua__picked p = {.id = kua__tape_alloc(t, (tokens + 1) * sizeof(*p.id))};
    if (!at || !p.id) return (kua__picked){0};
    at[0] = 0;
    for (size_t i = 0; i < n; i++) {
        size_t first = ids->offset[pick[i]], length = ids->offset[pick[i] + 1] - first;
        memcpy(p.id + at[i], ids->ids.id + first, length * sizeof(*p.id));
        at[i + 1] = at[i] + (uint32_t)length;
    }
    p.seq = (kua__ragged){n, at};
    return p;
}

enum { STATE_TOKENS = 2048 };

/* Texts first .. *last - 1 of about STATE_TOKENS tokens. */
static kua_status some_states(kua__backbone *b, kua__tape *t, const kua_id_batch *ids, size_t first,
                              size_t *last, float *states)
{
    *last = first + 1;
    while (*last < ids->n && ids->offset[*last + 1] - ids->offset[first] <= STATE_TOKENS)
        ++*last;
    kua__tape_reset(t);
    size_t n = *last - first;
    uint32_t *pick = kua__tape_alloc(t, n * sizeof(*pick));
    for (size_t i = 0; pick && i < n; i++)
        pick[i] = (uint32_t)(first + i);
    if (pick) {
        kua__picked p = kua__pick_texts(t, ids, pick, n);
        kua__var *x = p.id ? kua__model_on_tape(t, &b->model, p.id, p.seq, 0) : NULL;
        if (x)
            memcpy(states + ids->offset[first] * b->dim, x->value,
                   x->rows * x->cols * sizeof(float));
    }
    return kua__tape_status(t);
}

kua_status kua__backbone_states(kua__backbone *b, kua__tape *t, const kua_id_batch *ids,
                                const kua_monitor *monitor, float *states)
{
    assert(b && b->params && t && ids && (states || ids->n == 0));
    bool training = kua__tape_training(t);
    kua_status st = KUA_OK;
    kua__tape_set_training(t, false);
    for (size_t first = 0, last = 0; first < ids->n && !st; first = last) {
        st = some_states(b, t, ids, first, &last, states);
        if (!st) st = kua__progress(monitor, "encode texts", last, ids->n);
    }
    kua__tape_set_training(t, training);
    return st;
}

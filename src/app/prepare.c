/* prepare.c - encoder, memory and checkpoints of a training. */
#include "app/prepare.h"

#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

bool kua__app_tunes_encoder(const kua__app_config *config)
{
    return config->tune >= KUA__TUNE_LORA;
}

kua_status kua__prepare_encoder(kua_classifier *c, const char *folder,
                                const kua__app_settings *settings)
{
    assert(c && folder && settings && !c->config.encoder);
    char whole[PATH_MAX];
    KUA__TRY(kua__backbone_open(&c->backbone, folder,
                                kua__setting_count(settings, KUA__SET_MAX_TOKENS)));
    if (!realpath(folder, whole)) return kua__fail_errno("%s", folder);
    c->config.dim = c->backbone.dim;
    c->config.max_tokens = c->backbone.max_tokens;
    c->config.encoder = kua__strdup(kua__app_tunes_encoder(&c->config) ? "encoder" : whole);
    return c->config.encoder ? KUA_OK : kua__fail_nomem(0, "a path");
}

/* ---- memory ---- */

static size_t longest_text(const kua_id_batch *ids)
{
    size_t most = 0;
    for (size_t i = 0; i < ids->n; i++)
        most = KUA__MAX(most, ids->offset[i + 1] - ids->offset[i]);
    return most;
}

static size_t state_bytes(const kua_classifier *c, const kua_id_batch *ids,
                          const kua__app_settings *s)
{
    size_t bytes = ids->ids.n * c->config.dim * sizeof(float);
    bool kept = !kua__app_tunes_encoder(&c->config) &&
                (double)bytes <= s->value[KUA__SET_CACHE_MB] * 1048576;
    return kept ? bytes : 0;
}

/* Said before most of it is taken. */
static size_t state_memory(const kua_classifier *c, const kua_id_batch *ids,
                           const kua__app_settings *s, const kua_monitor *monitor)
{
    const kua__tune_plan plan = kua__backbone_plan(c->config.tune, s);
    size_t batch = kua__setting_count(s, KUA__SET_BATCH), dim = c->config.dim;
    size_t mean = ids->ids.n / KUA__MAX(ids->n, 1) + 1, h = c->config.hidden;
    kua__tune_memory m =
        kua__tune_memory_of(&plan, &c->backbone.model.config, batch * mean, longest_text(ids), 0);
    size_t inner = c->config.head == KUA__HEAD_LSTM  ? 4 * h * (dim + h)
                   : c->config.head == KUA__HEAD_MLP ? h * dim
                                                     : 0;
    size_t head = 4 * sizeof(float) * (inner + dim * kua__app_outs(&c->config));
    size_t states = state_bytes(c, ids, s), total = m.total + head + states;
    kua__log_line(monitor, KUA_LOG_INFO,
                  "memory: about %.0f MB (weights %.0f, gradients %.0f, moments %.0f, activations "
                  "%.0f, head %.0f, kept states %.0f); %zu numbers of the encoder are trained",
                  (double)total / 1e6, (double)m.weights / 1e6, (double)m.gradients / 1e6,
                  (double)(m.moments + m.start) / 1e6, (double)m.activations / 1e6,
                  (double)head / 1e6, (double)states / 1e6, m.trained);
    return total;
}

static kua_status keep_states(kua_classifier *c, const kua_id_batch *ids,
                              const kua__app_settings *s, const kua_monitor *monitor,
                              float **states)
{
    if (!state_bytes(c, ids, s)) return KUA_OK;
    kua__tape_options options = {.bf16 = s->value[KUA__SET_BF16] != 0};
    kua__tape *t = NULL;
    KUA__TRY(kua__tape_create(&options, &t));
    kua_status st = KUA__NEW_ARRAY(states, ids->ids.n * c->config.dim, "token states");
    if (!st) st = kua__backbone_states(&c->backbone, t, ids, monitor, *states);
    kua__tape_free(t);
    return st;
}

kua_status kua__prepare_weights(kua_classifier *c, const kua_id_batch *ids,
                                const kua__app_settings *settings, const kua_monitor *monitor,
                                kua__rng *rng, float **states, size_t *expected_bytes)
{
    assert(c && ids && settings && rng && states && !*states && expected_bytes);
    *expected_bytes = state_memory(c, ids, settings, monitor);
    c->trained = kua__app_tunes_encoder(&c->config);
    kua__params *params = c->trained ? &c->params : &c->frozen;
    bool scratch = settings->value[KUA__SET_SCRATCH] != 0;
    KUA__TRY(kua__backbone_weights(&c->backbone, params, scratch, rng));
    if (c->trained) {
        kua__tune_plan plan = kua__backbone_plan(c->config.tune, settings);
        return kua__tuning_begin(&c->backbone.tuning, &plan, &c->backbone.model, params, rng);
    }
    kua__params_freeze(params, "", true);
    return keep_states(c, ids, settings, monitor, states);
}

/* ---- heads and checkpoints ---- */

void kua__prepare_copy_head(const kua_classifier *from, kua_classifier *to)
{
    assert(from && to);
    for (size_t i = 0; i < from->params.n; i++) {
        const kua__param *p = from->params.all[i];
        kua__param *q = kua__params_find(&to->params, p->name);
        assert(q && q->rows == p->rows && q->cols == p->cols);
        memcpy(q->value, p->value, p->rows * p->cols * sizeof(float));
    }
}

void kua__prepare_mark(const kua__app_settings *settings, const char *options, const void *data,
                       size_t n, char out[64])
{
    assert(settings && options && (data || n == 0) && out);
    snprintf(out, 64, "%016llx%016llx%016llx",
             (unsigned long long)kua__hash64(options, strlen(options), 1),
             (unsigned long long)kua__hash64(settings->value, sizeof(settings->value), 2),
             (unsigned long long)kua__hash64(data, n, 3));
}

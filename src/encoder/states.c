/* states.c - token vectors of many texts, in the order of the texts.
 *
 * Unlike encode.c this keeps what the last layer gives, so texts are not sorted and equal ones are
 * not joined: each batch is a stretch of texts, and its rows are copied to where they belong. Texts
 * are cut into as many stretches as make the threads equally busy, none larger than a scratch.
 */
#include "encoder/states.h"

#include <assert.h>
#include <string.h>

#include "base/base.h"
#include "encoder/encoder.h"

typedef struct stretch {
    size_t first, last; /* texts */
} stretch;

typedef struct states_job {
    kua_encoder *encoder;
    const uint32_t *id, *at;
    float *states;
    stretch *part;
    const uint32_t **text; /* [n] */
    uint32_t *length;      /* [n] */
    kua__failure *failed;  /* [threads] */
} states_job;

static kua_status check(const states_job *j, size_t n)
{
    size_t vocab = j->encoder->model.config.vocab, most = j->encoder->max_tokens;
    for (size_t i = 0; i < n; i++) {
        size_t length = j->at[i + 1] - j->at[i];
        if (length < 1 || length > most)
            return kua__fail(KUA_INVALID, "encoder: text %zu has %zu tokens, expected 1..%zu", i,
                             length, most);
    }
    for (size_t k = 0; k < j->at[n]; k++) {
        if (j->id[k] >= vocab)
            return kua__fail(KUA_INVALID, "encoder: token %zu is %u, the model has %zu", k,
                             j->id[k], vocab);
    }
    return KUA_OK;
}

/* Stretches of about equal size, as many as fit the scratch and busy the threads. */
static size_t cut(const states_job *j, size_t n)
{
    size_t tokens = j->at[n], threads = (size_t)kua__threads(), rows = j->encoder->rows, parts = 0;
    size_t rounds = (tokens + threads * rows - 1) / (threads * rows);
    size_t most = (tokens + threads * rounds - 1) / (threads * rounds);
    for (size_t first = 0, last; first < n; first = last) {
        for (last = first + 1; last < n && j->at[last + 1] - j->at[first] <= most; last++)
            ;
        j->part[parts++] = (stretch){.first = first, .last = last};
    }
    return parts;
}

static kua_status run(states_job *j, const stretch *s)
{
    kua__encoder_scratch *own = NULL;
    size_t dim = j->encoder->model.config.hidden;
    kua__text_batch b = {.n = s->last - s->first,
                         .tokens = j->at[s->last] - j->at[s->first],
                         .id = j->text + s->first,
                         .length = j->length + s->first};
    assert(b.tokens <= j->encoder->rows);
    KUA__TRY(kua__encoder_take(j->encoder, &own));
    kua__scratch *crew[] = {&own->scratch};
    kua_status st = kua__model_forward(&j->encoder->model, crew, 1, &b);
    if (!st)
        memcpy(j->states + j->at[s->first] * dim, own->scratch.x,
               b.tokens * dim * sizeof(*j->states));
    kua__encoder_give(j->encoder, own);
    return st;
}

static void run_parts(void *ctx, int thread, size_t first, size_t last)
{
    states_job *j = ctx;
    for (size_t i = first; i < last; i++) {
        kua_status st = run(j, &j->part[i]);
        if (st) kua__failure_keep(&j->failed[thread], st, i);
    }
}

static kua_status all(states_job *j, size_t n)
{
    KUA__TRY(KUA__NEW_ARRAY(&j->part, n, "stretches of texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->text, n, "texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->length, n, "texts"));
    KUA__TRY(KUA__NEW_ZEROED(&j->failed, (size_t)kua__threads(), "threads"));
    for (size_t i = 0; i < n; i++) {
        j->text[i] = j->id + j->at[i];
        j->length[i] = j->at[i + 1] - j->at[i];
    }
    size_t parts = cut(j, n);
    kua__parallel_chunks(parts, 1, run_parts, j);
    return kua__failure_first(j->failed, (size_t)kua__threads());
}

kua_status kua__encoder_states(kua_encoder *encoder, const uint32_t *id, const uint32_t *at,
                               size_t n, float *states)
{
    assert(encoder && at && (n == 0 || (id && states && at[0] == 0)));
    states_job j = {.encoder = encoder, .id = id, .at = at, .states = states};
    if (n == 0) return KUA_OK;
    KUA__TRY(check(&j, n));
    kua_status st = all(&j, n);
    kua__free(j.part);
    kua__free(j.text);
    kua__free(j.length);
    kua__free(j.failed);
    return st;
}

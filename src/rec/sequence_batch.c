/* sequence_batch.c - what a step is trained on: windows of histories, and batches of windows.
 *
 * A history is cut from its end into windows of maxlen events; neighbouring windows share one
 * event, so that every event but the first is predicted exactly once. A batch takes windows of one
 * domain in random order until it has batch_tokens: then one step needs one item table, and its
 * softmax runs over that domain's items. With several domains their batches are shuffled together.
 *
 * The order of an epoch depends on the generator's state alone, not on the epoch before: a resumed
 * run sees the same batches.
 */
#include <assert.h>
#include <string.h>

#include "rec/sequence_run.h"

/* A full softmax costs as much as its items: above FULL_MAX a step draws some instead. */
enum { FULL_MAX = 30000, DRAWN_DEFAULT = 4096 };

static kua_status add_window(kua__run *r, const uint32_t *item, size_t n)
{
    KUA__TRY(KUA__GROW(&r->window, &r->window_capacity, r->n_windows, "training windows"));
    r->window[r->n_windows++] = (kua__window){item, (uint32_t)n};
    return KUA_OK;
}

static kua_status cut_windows(kua__run *r, const kua__cut *cut)
{
    const kua__log *log = cut->log;
    size_t maxlen = KUA__MAX(r->s->options.maxlen, 2);
    for (size_t u = 0; u < log->n_users; u++) {
        size_t begin = log->user_at[u], end = cut->end[u];
        while (end - begin > 1) {
            size_t first = end - begin > maxlen ? end - maxlen : begin;
            KUA__TRY(add_window(r, log->item + first, end - first));
            if (first == begin) break;
            end = first + 1;
        }
    }
    return KUA_OK;
}

size_t kua__run_drawn_items(const kua__run *r, size_t d)
{
    int64_t negatives = r->s->options.negatives;
    size_t n_items = r->domain[d].train->log->n_items;
    if (negatives < 0) negatives = n_items > FULL_MAX ? DRAWN_DEFAULT : 0;
    return (size_t)negatives < n_items ? (size_t)negatives : 0;
}

/* again[i]: the user had event i's item before. */
static kua_status mark_again(const kua__cut *cut, uint8_t *again)
{
    const kua__log *log = cut->log;
    uint32_t *last = NULL; /* [n_items] number + 1 of the last user who had the item */
    KUA__TRY(KUA__NEW_ZEROED(&last, log->n_items, "item counts"));
    for (size_t u = 0; u < log->n_users; u++) {
        for (size_t i = log->user_at[u]; i < cut->end[u]; i++) {
            again[i] = last[log->item[i]] == u + 1;
            last[log->item[i]] = (uint32_t)u + 1;
        }
    }
    kua__free(last);
    return KUA_OK;
}

static kua_status plan_targets(kua__run *r)
{
    KUA__TRY(KUA__NEW_ZEROED(&r->again, r->n_domains, "repeated events"));
    for (size_t d = 0; d < r->n_domains && r->s->options.new_targets; d++) {
        KUA__TRY(KUA__NEW_ZEROED(&r->again[d], r->domain[d].train->log->n_events, "repeats"));
        KUA__TRY(mark_again(r->domain[d].train, r->again[d]));
    }
    return KUA_OK;
}

/* Whether event k of a window of domain d is to be predicted. */
static bool is_target(const kua__run *r, size_t d, const kua__window *w, size_t k)
{
    return !r->again[d] || !r->again[d][(size_t)(w->item - r->domain[d].train->log->item) + k];
}

static kua_status plan_draws(kua__run *r)
{
    KUA__TRY(KUA__NEW_ZEROED(&r->share, r->n_domains, "item shares"));
    for (size_t d = 0; d < r->n_domains; d++) {
        size_t events = 0;
        if (kua__run_drawn_items(r, d) == 0) continue;
        KUA__TRY(KUA__NEW_ZEROED(&r->share[d], r->domain[d].train->log->n_items, "item shares"));
        for (size_t w = r->window_at[d]; w < r->window_at[d + 1]; w++) {
            for (size_t k = 1; k < r->window[w].n; k++) {
                if (!is_target(r, d, &r->window[w], k)) continue;
                r->share[d][r->window[w].item[k]] += 1;
                events++;
            }
        }
        for (size_t i = 0; i < r->domain[d].train->log->n_items && events; i++)
            r->share[d][i] /= (float)events;
    }
    return KUA_OK;
}

kua_status kua__run_plan_windows(kua__run *r)
{
    KUA__TRY(KUA__NEW_ZEROED(&r->window_at, r->n_domains + 1, "training windows"));
    for (size_t d = 0; d < r->n_domains; d++) {
        KUA__TRY(cut_windows(r, r->domain[d].train));
        r->window_at[d + 1] = r->n_windows;
    }
    KUA__TRY(KUA__NEW_ARRAY(&r->order, r->n_windows, "training windows"));
    size_t tokens = r->s->options.batch_tokens + r->s->options.maxlen + 2;
    KUA__TRY(KUA__NEW_ARRAY(&r->token, 6 * tokens, "a batch"));
    r->position = r->token + tokens;
    r->at = r->token + 2 * tokens;
    r->input = r->token + 3 * tokens;
    r->target = r->token + 4 * tokens;
    r->type = r->token + 5 * tokens;
    KUA__TRY(plan_targets(r));
    return plan_draws(r);
}

static kua_status add_batch(kua__run *r, size_t domain, size_t first, size_t n)
{
    KUA__TRY(KUA__GROW(&r->batch, &r->batch_capacity, r->n_batches, "batches"));
    r->batch[r->n_batches++] = (kua__batch){(uint32_t)domain, first, n};
    return KUA_OK;
}

kua_status kua__run_plan_epoch(kua__run *r)
{
    r->n_batches = 0;
    for (size_t i = 0; i < r->n_windows; i++)
        r->order[i] = (uint32_t)i;
    for (size_t d = 0; d < r->n_domains; d++) {
        size_t first = r->window_at[d], last = r->window_at[d + 1], tokens = 0, all = 0;
        size_t most = r->s->options.epoch_tokens ? r->s->options.epoch_tokens : SIZE_MAX;
        kua__rng_shuffle(&r->rng, r->order + first, last - first);
        for (size_t i = first; i < last && all < most; i++) {
            tokens += r->window[r->order[i]].n;
            if (tokens < r->s->options.batch_tokens && i + 1 < last) continue;
            KUA__TRY(add_batch(r, d, first, i + 1 - first));
            first = i + 1;
            all += tokens;
            tokens = 0;
        }
    }
    kua__free(r->batch_order);
    KUA__TRY(KUA__NEW_ARRAY(&r->batch_order, r->n_batches, "batches"));
    for (size_t i = 0; i < r->n_batches; i++)
        r->batch_order[i] = (uint32_t)i;
    if (r->n_domains > 1) kua__rng_shuffle(&r->rng, r->batch_order, r->n_batches);
    return KUA_OK;
}

size_t kua__run_fill_batch(kua__run *r, const kua__batch *b)
{
    const kua__log *log = r->domain[b->domain].train->log;
    size_t n = 0, n_inputs = 0;
    r->at[0] = 0;
    for (size_t i = 0; i < b->n; i++) {
        const kua__window *w = &r->window[r->order[b->first + i]];
        for (uint32_t k = 0; k < w->n; k++) {
            if (k + 1 < w->n && is_target(r, b->domain, w, k + 1)) {
                r->input[n_inputs] = (uint32_t)n;
                r->target[n_inputs++] = w->item[k + 1];
            }
            r->token[n] = w->item[k];
            r->type[n] = log->type[(size_t)(w->item - log->item) + k];
            r->position[n++] = k;
        }
        /* No state that predicts something sees what comes after the last of them. */
        bool any = n_inputs > 0 && r->input[n_inputs - 1] >= r->at[i];
        n = any ? r->input[n_inputs - 1] + 1 : r->at[i];
        r->at[i + 1] = (uint32_t)n;
    }
    return n_inputs;
}

void kua__run_release_batches(kua__run *r)
{
    kua__free(r->window);
    kua__free(r->window_at);
    kua__free(r->order);
    kua__free(r->batch);
    kua__free(r->batch_order);
    kua__free(r->token);
    for (size_t d = 0; r->again && d < r->n_domains; d++)
        kua__free(r->again[d]);
    kua__free(r->again);
    for (size_t d = 0; r->share && d < r->n_domains; d++)
        kua__free(r->share[d]);
    kua__free(r->share);
}

/* small.h - a random world of a few users and items, and what the simple recommenders count on it,
 * counted naively.
 *
 * Item ITEMS - 1 is bought by nobody, user USERS - 1 buys nothing, and item 2 has no text: every
 * formula meets its empty case.
 */
#ifndef SMALL_H
#define SMALL_H

#include "testlib.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "data/split.h"
#include "rec/rec.h"

enum { USERS = 40, ITEMS = 24, DIM = 5, MOST = 12, DAY = 86400 };

typedef struct small {
    kua__log log;
    kua__split split;
    float vector[ITEMS * DIM];
    kua__world world;
    int64_t now; /* of training: the moment after its last event, 0 without a clock */
} small;

static inline uint32_t small_pick(kua__rng *rng, const kua__raw_event *own, size_t n, bool repeats)
{
    uint32_t a = kua__rng_below(rng, ITEMS - 1), b = kua__rng_below(rng, ITEMS - 1);
    if (repeats && n && kua__rng_below(rng, 2)) return own[kua__rng_below(rng, (uint32_t)n)].item;
    for (uint32_t item = KUA__MIN(a, b);; item = (item + 1) % (ITEMS - 1)) {
        bool known = false;
        for (size_t i = 0; i < n; i++)
            known |= own[i].item == item;
        if (repeats || !known) return item;
    }
}

static inline size_t small_events(kua__raw_event *events, bool clock, bool repeats)
{
    kua__rng rng = kua__rng_make(5, 0);
    size_t n = 0;
    for (uint32_t u = 0; u + 1 < USERS; u++) {
        size_t first = n, length = u == 0 ? 1 : 2 + kua__rng_below(&rng, MOST - 2);
        for (size_t k = 0; k < length; k++) {
            uint32_t item = small_pick(&rng, events + first, k, repeats);
            int64_t time = clock ? (int64_t)kua__rng_below(&rng, 400 * DAY) : (int64_t)k;
            events[n++] = (kua__raw_event){.user = u, .item = item, .time = time, .value = 1};
        }
    }
    return n;
}

static inline void small_open(small *s, bool clock, bool repeats)
{
    kua__raw_event events[USERS * MOST];
    size_t n = small_events(events, clock, repeats);
    kua__rng rng = kua__rng_make(6, 0);
    *s = (small){0};
    assert_ok(kua__log_build(&s->log, USERS, ITEMS, events, n, clock));
    assert_ok(kua__split_leave_one_out(&s->log, &s->split));
    for (size_t i = 0; i < ITEMS * DIM; i++) /* correlated, so that whitening has something to do */
        s->vector[i] = kua__rng_normal(&rng) + (i % DIM ? .7F * s->vector[i - 1] : 2);
    memset(s->vector + 2 * DIM, 0, DIM * sizeof(*s->vector));
    s->world = (kua__world){.side = {.vector = s->vector, .dim = DIM},
                            .train = {&s->log, s->split.valid_at},
                            .valid = {&s->log, s->split.test_at},
                            .seed = 3};
    for (size_t u = 0; clock && u < USERS; u++) {
        for (size_t i = s->log.user_at[u]; i < s->split.valid_at[u]; i++)
            s->now = KUA__MAX(s->now, s->log.time[i] + 1);
    }
}

/* Nothing to choose on: numbers are as given. */
static inline void small_no_validation(small *s)
{
    s->world.valid = s->world.train;
}

static inline void small_close(small *s)
{
    kua__log_release(&s->log);
    kua__split_release(&s->split);
}

/* The question after all but the test event. */
static inline kua__query small_query(const small *s, uint32_t user)
{
    kua__cut cut = {&s->log, s->split.test_at};
    return (kua__query){user, s->now + 5 * DAY, kua__cut_history(&cut, user), NULL};
}

static inline json_t *small_settings(const char *text)
{
    json_t *json = NULL;
    assert_ok(kua__json_parse("test", text, strlen(text), &json));
    return json;
}

static inline kua__rec *small_fit(const small *s, const char *kind, const char *text)
{
    json_t *settings = small_settings(text);
    kua__rec *rec = NULL;
    assert_ok(kua__rec_create(kind, settings, &rec));
    assert_ok(kua__rec_fit(rec, &s->world, NULL));
    json_decref(settings);
    return rec;
}

/* Scores of all users at once, [USERS, ITEMS]. */
static inline void small_score(const small *s, const kua__rec *rec, float *scores)
{
    kua__query query[USERS];
    for (uint32_t u = 0; u < USERS; u++)
        query[u] = small_query(s, u);
    assert_ok(kua__rec_score(rec, query, USERS, scores));
    for (size_t i = 0; i < USERS * ITEMS; i++)
        assert_true(isfinite(scores[i]));
}

/* The inverse of a[n, n] by Gauss and Jordan, in place; a must be positive definite. */
static inline void small_invert(double *a, size_t n)
{
    for (size_t p = 0; p < n; p++) {
        double pivot = a[p * n + p];
        assert_true(fabs(pivot) > 1e-12);
        a[p * n + p] = 1;
        for (size_t c = 0; c < n; c++)
            a[p * n + c] /= pivot;
        for (size_t r = 0; r < n; r++) {
            double factor = a[r * n + p];
            if (r == p) continue;
            a[r * n + p] = 0;
            for (size_t c = 0; c < n; c++)
                a[r * n + c] -= factor * a[p * n + c];
        }
    }
}

#endif

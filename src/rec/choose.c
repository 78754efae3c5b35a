/* choose.c - numbers that nobody has given are chosen on validation, one after the other.
 *
 * Trying all combinations of five numbers with four values each would mean a thousand measurements;
 * going along one number at a time, until a round changes nothing, means some thirty and finds the
 * same place wherever the numbers do not fight one another. What is costly to change is settled
 * first, in the first round only.
 *
 * A number moves only for a gain of 1 %: less is the noise of 5,000 users, and a default that has
 * served elsewhere is the better guess.
 *
 * Where people buy again there are two questions, and a model is asked both (docs: what was bought
 * anew, what was new to the user). The formula's own numbers are chosen by what was new, which is
 * what the formula is for; then those of what is bought again, by everything. Chosen the other way
 * round, the former would drown in the latter.
 */
#include <assert.h>
#include <math.h>

#include "rec/common.h"

enum { ROUNDS = 3 };

static const double WORTH = 1.01;

typedef struct choice {
    kua__rec *rec;
    const kua__world *world;
    kua__parts parts;
    kua__prepare_fn prepare;
    const kua_monitor *monitor;
    kua__valid valid;
    bool fresh; /* what is measured now */
    uint64_t done, total;
} choice;

static kua_status measure(choice *c, double *out)
{
    if (c->prepare) KUA__TRY(c->prepare(c->rec, c->world, c->monitor));
    KUA__TRY(kua__valid_ndcg(&c->valid, c->rec, c->fresh, out));
    c->done++;
    c->total = KUA__MAX(c->total, c->done + 1);
    return kua__progress(c->monitor, "choose settings", c->done, c->total);
}

static bool is_open(const kua__tunable *t, bool again)
{
    return t->automatic && t->n > 1 && t->again == again;
}

/* Tries every value of one number; leaves the best in place. */
static kua_status settle(choice *c, kua__tunable *t, double *best, bool *changed)
{
    double start = *t->value, value = start;
    for (int i = 0; i < t->n; i++) {
        double ndcg;
        if (t->candidate[i] == start) continue;
        *t->value = t->candidate[i];
        KUA__TRY(measure(c, &ndcg));
        if (ndcg <= *best * WORTH) continue;
        *best = ndcg;
        value = t->candidate[i];
    }
    *t->value = value;
    *changed |= value != start;
    return KUA_OK;
}

/* All numbers of one kind. best: in and out. */
static kua_status settle_all(choice *c, bool again, double *best)
{
    bool changed = true;
    KUA__TRY(measure(c, best));
    for (int round = 0; changed && round < ROUNDS; round++) {
        changed = false;
        for (size_t i = 0; i < c->parts.n_tunables; i++) {
            kua__tunable *t = &c->parts.tunable[i];
            if (!is_open(t, again) || (t->costly && round > 0)) continue;
            KUA__TRY(settle(c, t, best, &changed));
        }
    }
    return KUA_OK;
}

static size_t count_open(const choice *c, bool again)
{
    size_t n = 0;
    for (size_t i = 0; i < c->parts.n_tunables; i++)
        n += is_open(&c->parts.tunable[i], again) ? (size_t)c->parts.tunable[i].n : 0;
    return n;
}

static kua_status note(kua__rec *rec, const char *key, json_t *value)
{
    return json_object_set_new(rec->facts, key, value) ? kua__fail_nomem(64, "a model's facts")
                                                       : KUA_OK;
}

static kua_status note_chosen(const choice *c)
{
    json_t *chosen = json_object();
    for (size_t i = 0; chosen && i < c->parts.n_tunables; i++) {
        const kua__tunable *t = &c->parts.tunable[i];
        if (json_object_set_new(chosen, t->key, json_real(*t->value)))
            return json_decref(chosen), kua__fail_nomem(64, "a model's facts");
    }
    return note(c->rec, "chosen", chosen);
}

static kua_status choose(choice *c)
{
    bool repeats = ((kua__simple *)c->rec)->repeats;
    size_t formula = count_open(c, false), again = count_open(c, true);
    double best = NAN;
    c->total = 2 * (formula + again) + 2;
    c->fresh = true;
    if (formula) {
        KUA__TRY(settle_all(c, false, &best));
        KUA__TRY(note(c->rec, "valid_new_ndcg@10", json_real(best)));
    }
    c->fresh = !repeats;
    if (again || !formula || repeats) KUA__TRY(settle_all(c, true, &best));
    return note(c->rec, "valid_ndcg@10", json_real(best));
}

kua_status kua__choose(kua__rec *rec, const kua__world *world, kua__describe_fn describe,
                       kua__prepare_fn prepare, const kua_monitor *monitor)
{
    choice c = {.rec = rec, .world = world, .prepare = prepare, .monitor = monitor};
    kua__simple_parts(rec, describe, &c.parts);
    for (size_t i = 0; i < c.parts.n_tunables; i++)
        c.parts.tunable[i].automatic = isnan(kua__setting(rec, c.parts.tunable[i].key));
    KUA__TRY(kua__valid_open(&c.valid, world));
    kua_status st = c.valid.n ? choose(&c) : KUA_OK;
    if (!st && prepare) st = prepare(rec, world, monitor);
    if (!st) st = note_chosen(&c);
    if (!st) st = kua__progress(monitor, "choose settings", 1, 1);
    kua__valid_close(&c.valid);
    return st;
}

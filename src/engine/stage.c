/* stage.c - sets the stage of a job: the target and source domains, their text vectors, and what a
 * split lets a fit see.
 *
 *     user's events   . . . . . . . . | . . . . | . . .
 *                     train           ^valid    ^test
 *     choosing world  fit here        choose here
 *     final world     fit here                  evaluate here       (time splits; see below)
 *
 * With a clock, what was held out for choosing is history by the time of the test, so the final fit
 * learns from it, for every model alike. Leave-one-out keeps the papers' protocol: fit on train
 * alone, question with train and validation.
 *
 * Sources follow the same rule on their own logs: with a clock they are cut at the same moments;
 * without one, at their own training offsets, so that a model of several domains can be measured on
 * each of them without leakage.
 */
#include "engine/engine.h"

#include <assert.h>
#include <string.h>

/* ---- reading the split's text ---- */

/* INT64_MIN where there is no event. Times are in order within a user only: all are looked at. */
static int64_t last_time(const kua__log *log)
{
    int64_t last = INT64_MIN;
    for (size_t i = 0; i < log->n_events; i++)
        last = KUA__MAX(last, log->time[i]);
    return last;
}

/* "2017-11-05" or "2017-11-05,valid=2017-09-10"; without the latter, validation is as long as the
 * test. */
static kua_status parse_moments(const char *text, const kua__log *target, int64_t *valid,
                                int64_t *test)
{
    size_t n = strcspn(text, ",");
    if (!kua__parse_date(text, n, test)) {
        return kua__fail(KUA_INVALID, "split: '%.*s' is no date, expected time=YYYY-MM-DD", (int)n,
                         text);
    }
    if (text[n] == ',') {
        const char *rest = text + n + 1;
        if (!kua__has_prefix(rest, "valid=") ||
            !kua__parse_date(rest + 6, strlen(rest + 6), valid) || *valid >= *test) {
            return kua__fail(KUA_INVALID,
                             "split: '%s' is not valid=DATE with a date before the test", rest);
        }
        return KUA_OK;
    }
    int64_t last = last_time(target);
    if (last < *test) {
        char have[32];
        kua__format_date(last, have);
        return kua__fail(KUA_INVALID, "split: no event at or after %.*s, the last one is of %s",
                         (int)n, text, have);
    }
    *valid = *test - (last - *test + 1);
    return KUA_OK;
}

static bool is_given(const kua__log *log)
{
    return log->part != NULL;
}

static kua_status split_log(const char *text, const kua__log *target, const kua__log *log,
                            kua__split *out)
{
    if (kua__streq(text, "leave-one-out")) return kua__split_leave_one_out(log, out);
    if (kua__streq(text, "given")) {
        /* A source need not come with a split of its own. */
        return log != target && !is_given(log) ? kua__split_leave_one_out(log, out)
                                               : kua__split_given(log, out);
    }
    if (!kua__has_prefix(text, "time=")) {
        return kua__fail(KUA_INVALID, "split is '%s', expected leave-one-out, given or time=DATE",
                         text);
    }
    int64_t valid = 0, test = 0;
    KUA__TRY(parse_moments(text + 5, target, &valid, &test));
    return kua__split_time(log, valid, test, out);
}

/* ---- sides ---- */

static kua_status side_open(kua_workspace *ws, kua__stage *stage, size_t at, const char *name,
                            size_t n)
{
    kua__stage_side *side = &stage->side[at];
    assert(stage->shop && stage->split_text && name);
    assert(at <= stage->n_sources);
    char *copy = kua__strndup(name, n);
    if (!copy) return kua__fail_nomem(n + 1, "a domain's name");
    kua_status st = kua__shop_domain(stage->shop, copy, &side->domain);
    kua__free(copy);
    if (st) return st;
    for (size_t i = 0; i < at; i++) {
        if (stage->side[i].domain == side->domain) {
            return kua__fail(KUA_INVALID, "domain '%.*s' is named twice among target and sources",
                             (int)n, name);
        }
    }
    const kua__log *target = &stage->shop->domains[stage->side[0].domain].log;
    const kua__log *log = &stage->shop->domains[side->domain].log;
    KUA__TRY(split_log(stage->split_text, target, log, &side->split));
    return kua__engine_vectors(ws, stage->shop, side->domain, &side->vector, &side->dim);
}

static size_t count_names(const char *list)
{
    size_t n = list && *list ? 1 : 0;
    for (; n && *list; list++)
        n += *list == ',';
    return n;
}

/* The target first: the moments of a split by date are taken from its log, for sources too. */
static kua_status sides_open(kua_workspace *ws, kua__stage *stage, const char *target,
                             const char *sources)
{
    KUA__TRY(side_open(ws, stage, 0, target, strlen(target)));
    size_t at = 1;
    for (const char *p = sources; at <= stage->n_sources; at++) {
        size_t n = strcspn(p, ",");
        KUA__TRY(side_open(ws, stage, at, p, n));
        p += n + 1;
    }
    return KUA_OK;
}

static kua__side make_side(const kua__stage *stage, const kua__stage_side *from)
{
    return (kua__side){
        .shop = stage->shop, .domain = from->domain, .vector = from->vector, .dim = from->dim};
}

static void sources_cut(kua__stage *stage)
{
    for (size_t i = 0; i < stage->n_sources; i++) {
        const kua__stage_side *side = &stage->side[1 + i];
        const kua__log *log = &stage->shop->domains[side->domain].log;
        /* Leave-one-out has no common moment: a source never shows what its own test holds. */
        bool clock = side->split.kind == KUA__SPLIT_TIME;
        stage->source[i] = (kua__source){make_side(stage, side), {log, side->split.valid_at}};
        stage->source_all[i] = (kua__source){
            make_side(stage, side), {log, clock ? side->split.test_at : side->split.valid_at}};
    }
}

kua_status kua__stage_open(kua_workspace *ws, const char *target, const char *sources,
                           const char *split, kua__stage *out)
{
    assert(ws && target && out);
    kua_status st;
    *out = (kua__stage){.n_sources = count_names(sources)};
    KUA__GOTO(st, kua__engine_shop(ws, &out->shop));
    if (!split) {
        uint32_t domain = 0;
        KUA__GOTO(st, kua__shop_domain(out->shop, target, &domain));
        split = is_given(&out->shop->domains[domain].log) ? "given" : "leave-one-out";
    }
    out->split_text = kua__strdup(split);
    if (!out->split_text) KUA__GOTO(st, kua__fail_nomem(strlen(split) + 1, "the split's name"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&out->side, 1 + out->n_sources, "domains of a stage"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&out->source, out->n_sources, "sources of a stage"));
    KUA__GOTO(st, KUA__NEW_ZEROED(&out->source_all, out->n_sources, "sources of a stage"));
    KUA__GOTO(st, sides_open(ws, out, target, sources));
    sources_cut(out);
done:
    if (st) kua__stage_release(out);
    return st;
}

void kua__stage_release(kua__stage *stage)
{
    assert(stage);
    for (size_t i = 0; stage->side && i <= stage->n_sources; i++) {
        kua__split_release(&stage->side[i].split);
        kua__free(stage->side[i].vector);
    }
    kua__free(stage->side);
    kua__free(stage->source);
    kua__free(stage->source_all);
    kua__free(stage->split_text);
    *stage = (kua__stage){0};
}

/* ---- worlds ---- */

kua__world kua__stage_choosing(const kua__stage *stage, uint64_t seed)
{
    assert(stage->shop && stage->side);
    const kua__stage_side *t = &stage->side[0];
    const kua__log *log = &stage->shop->domains[t->domain].log;
    return (kua__world){
        .side = make_side(stage, t),
        .train = {log, t->split.valid_at},
        .valid = {log, t->split.test_at},
        .sources = stage->source,
        .n_sources = stage->n_sources,
        .seed = seed,
    };
}

kua__world kua__stage_final(const kua__stage *stage, uint64_t seed)
{
    kua__world world = kua__stage_choosing(stage, seed);
    if (stage->side[0].split.kind == KUA__SPLIT_TIME) {
        world.train = world.valid;
        world.sources = stage->source_all;
    }
    return world;
}

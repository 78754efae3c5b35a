/* guard.c - when to believe in a transferred model. The rule stands in guard.h.
 *
 * Why not simply take the better mean? With a few hundred validation users a source of pure noise
 * wins half of the time. The interval of the paired difference knows how many users stand behind a
 * gain; asking for its lower end makes "no evidence" mean "target-only", which is the model that
 * the shop would have without us.
 */
#include "transfer/guard.h"

#include <assert.h>

#include "base/json.h"

enum { MIN_USERS = 50 };
#define MARGIN .02

static const char *const reason_names[] = {"better", "not_worse", "unsure", "worse", "few"};

static bool is_switch(kua__slice slice)
{
    return slice != KUA__SLICE_ALL && !kua__slice_is_items(slice);
}

static size_t resamples_of(const kua__guard_options *options)
{
    return options->resamples ? options->resamples : KUA__RESAMPLES;
}

static double mean_of(const float *value, size_t n)
{
    double sum = 0;
    for (size_t u = 0; u < n; u++)
        sum += value[u];
    return sum / (double)n;
}

static kua__guard_reason reason_for(const kua__interval *difference, double margin)
{
    if (difference->low > 0) return KUA__GUARD_BETTER;
    if (difference->low >= -margin) return KUA__GUARD_NOT_WORSE;
    return difference->high < 0 ? KUA__GUARD_WORSE : KUA__GUARD_UNSURE;
}

kua_status kua__guard_judge(const float *target_only, const float *transferred, size_t n,
                            double margin, const kua__guard_options *options, kua__guard_slice *out)
{
    assert(target_only && transferred && options && out);
    assert(n >= 1 && margin >= 0);
    out->n_users = n;
    out->target_only = mean_of(target_only, n);
    out->transferred = mean_of(transferred, n);
    KUA__TRY(kua__interval_difference(transferred, target_only, n, resamples_of(options),
                                      options->seed, &out->difference));
    out->reason = reason_for(&out->difference, margin);
    out->transfer = out->reason == KUA__GUARD_BETTER || out->reason == KUA__GUARD_NOT_WORSE;
    return KUA_OK;
}

/* ---- deciding ---- */

typedef struct pair {
    kua__columns base, moved;
} pair;

static void pair_release(pair *p)
{
    kua__columns_release(&p->base);
    kua__columns_release(&p->moved);
}

typedef struct inputs {
    const kua__eval_set *set;
    const kua__eval_result *base, *moved;
    size_t n_base, n_moved;
    const kua__guard_options *options;
} inputs;

static kua_status pair_make(const inputs *in, kua__slice slice, pair *p)
{
    *p = (pair){0};
    KUA__TRY(kua__eval_columns(in->set, in->base, in->n_base, slice, NULL, &p->base));
    kua_status st = kua__eval_columns(in->set, in->moved, in->n_moved, slice, NULL, &p->moved);
    if (st)
        pair_release(p);
    else
        assert(p->base.n_users == p->moved.n_users);
    return st;
}

static const float *values(const kua__columns *columns, int measure)
{
    return columns->value + (size_t)measure * columns->n_users;
}

/* How everybody's switch and a slice's own evidence make the slice's switch. */
static bool switch_slice(const kua__guard_slice *slice, bool everybody)
{
    if (slice->reason == KUA__GUARD_FEW) return everybody;
    if (everybody) return slice->transfer || slice->difference.mean >= 0;
    return slice->reason == KUA__GUARD_BETTER;
}

static kua_status judge_slice(const inputs *in, kua__slice id, kua__verdict *v)
{
    pair p;
    kua__guard_slice *slice = &v->slice[v->n_slices];
    size_t min_users = in->options->min_users ? in->options->min_users : MIN_USERS;
    KUA__TRY(pair_make(in, id, &p));
    kua_status st = KUA_OK;
    if (p.base.n_users) {
        *slice = (kua__guard_slice){.slice = id};
        st = kua__guard_judge(values(&p.base, v->measure), values(&p.moved, v->measure),
                              p.base.n_users, v->margin, in->options, slice);
        if (id != KUA__SLICE_ALL && slice->n_users < min_users) slice->reason = KUA__GUARD_FEW;
        if (id != KUA__SLICE_ALL) slice->transfer = switch_slice(slice, v->transfer);
        v->n_slices++;
    }
    pair_release(&p);
    return st;
}

static kua_status judge_everybody(const inputs *in, kua__verdict *v)
{
    const kua__guard_options *o = in->options;
    double base = 0;
    for (size_t r = 0; r < in->n_base; r++) {
        double mean = 0;
        KUA__TRY(kua__eval_mean(in->set, &in->base[r], v->measure, &mean));
        base += mean / (double)in->n_base;
    }
    v->margin = o->margin < 0 ? 0 : base * (o->margin > 0 ? o->margin : MARGIN);
    KUA__TRY(judge_slice(in, KUA__SLICE_ALL, v));
    assert(v->n_slices == 1);
    v->transfer = v->slice[0].transfer;
    return KUA_OK;
}

bool kua__verdict_allows(const kua__verdict *verdict, uint32_t user_bits)
{
    assert(verdict);
    bool allowed = verdict->transfer;
    for (size_t k = 0; k < verdict->n_slices; k++) {
        const kua__guard_slice *s = &verdict->slice[k];
        if (!is_switch(s->slice) || !(user_bits >> s->slice & 1)) continue;
        if (verdict->transfer && !s->transfer) return false;
        allowed |= s->transfer;
    }
    return allowed;
}

/* Tests what the switches make of both models, as a whole. */
static kua_status judge_mixture(const inputs *in, kua__verdict *v, bool *safe)
{
    pair p;
    KUA__TRY(pair_make(in, KUA__SLICE_ALL, &p));
    size_t n = p.base.n_users;
    const float *base = values(&p.base, v->measure);
    float *mixed = p.moved.value + (size_t)v->measure * n;
    kua__guard_slice whole = {0};
    for (size_t u = 0; u < n; u++) {
        if (!kua__verdict_allows(v, in->set->user_bits[p.base.row[u]])) mixed[u] = base[u];
    }
    kua_status st = kua__guard_judge(base, mixed, n, v->margin, in->options, &whole);
    v->published = whole.difference;
    *safe = whole.transfer;
    pair_release(&p);
    return st;
}

static kua_status decide(const inputs *in, kua__verdict *v)
{
    bool safe = true;
    KUA__TRY(judge_everybody(in, v));
    for (int s = KUA__SLICE_ALL + 1; s < KUA__SLICES; s++)
        KUA__TRY(judge_slice(in, (kua__slice)s, v));
    KUA__TRY(judge_mixture(in, v, &safe));
    if (safe) return KUA_OK;
    v->transfer = false;
    for (size_t k = 0; k < v->n_slices; k++)
        v->slice[k].transfer = false;
    return judge_mixture(in, v, &safe);
}

/* ---- words ---- */

static const char *because(kua__guard_reason reason)
{
    switch (reason) {
    case KUA__GUARD_BETTER:
        return "it is better there";
    case KUA__GUARD_NOT_WORSE:
        return "it is not worse there";
    case KUA__GUARD_UNSURE:
        return "it is not shown to be as good there";
    case KUA__GUARD_WORSE:
        return "it is worse there";
    case KUA__GUARD_FEW:
        break;
    }
    return "they are too few to tell";
}

static void put_difference(kua__buf *out, const kua__guard_slice *s)
{
    kua__buf_printf(out, "%+.4f, 95 %% interval %+.4f to %+.4f over %zu validation users",
                    s->difference.mean, s->difference.low, s->difference.high, s->n_users);
}

static void put_everybody(kua__buf *out, const kua__verdict *v, const char *strategy)
{
    const kua__guard_slice *all = &v->slice[0];
    const char *measure = kua__measure_name(v->measure);
    if (v->transfer) {
        kua__buf_printf(out, "Transfer is on: %s has %s %.4f, target-only %.4f (", strategy,
                        measure, all->transferred, all->target_only);
        put_difference(out, all);
        kua__buf_printf(out, "): %s.", all->reason == KUA__GUARD_BETTER ? "better" : "not worse");
        return;
    }
    kua__buf_printf(out,
                    "Transfer switched off for everybody because %s is %s than target-only: %s "
                    "%.4f against %.4f (",
                    strategy,
                    all->reason == KUA__GUARD_WORSE ? "worse" : "not shown to be no worse", measure,
                    all->transferred, all->target_only);
    put_difference(out, all);
    kua__buf_printf(out, "; a loss of up to %.4f would be accepted).", v->margin);
}

static void put_slice(kua__buf *out, const kua__verdict *v, const kua__guard_slice *s)
{
    const char *words = kua__slice_words(s->slice);
    if (is_switch(s->slice) && s->transfer != v->transfer) {
        kua__buf_printf(out, " Transfer %s for %s because %s (",
                        s->transfer ? "stays on" : "switched off", words, because(s->reason));
        put_difference(out, s);
        kua__buf_puts(out, ").");
    } else if (kua__slice_is_items(s->slice) && v->transfer && s->reason == KUA__GUARD_WORSE) {
        kua__buf_printf(out, " Beware: on %s it is worse (", words);
        put_difference(out, s);
        kua__buf_puts(out, ").");
    }
}

static bool is_partly(const kua__verdict *v)
{
    for (size_t k = 0; k < v->n_slices; k++) {
        if (is_switch(v->slice[k].slice) && v->slice[k].transfer != v->transfer) return true;
    }
    return false;
}

static kua_status put_words(kua__verdict *v, const char *strategy)
{
    kua__buf out = {0};
    put_everybody(&out, v, strategy);
    for (size_t k = 1; k < v->n_slices; k++)
        put_slice(&out, v, &v->slice[k]);
    if (!v->transfer && !is_partly(v)) kua__buf_puts(&out, " Target-only is published.");
    kua_status st = kua__buf_status(&out);
    if (st)
        kua__buf_release(&out);
    else
        v->words = out.data;
    return st;
}

kua_status kua__guard_decide(const kua__eval_set *set, const kua__eval_result *target_only,
                             size_t n_target_only, const kua__eval_result *transferred,
                             size_t n_transferred, const kua__guard_options *options,
                             kua__verdict *out)
{
    assert(set && target_only && transferred && out);
    assert(options && options->strategy);
    assert(options->measure >= 0 && options->measure < KUA__RANK_MEASURES);
    inputs in = {.set = set,
                 .base = target_only,
                 .moved = transferred,
                 .n_base = n_target_only,
                 .n_moved = n_transferred,
                 .options = options};
    *out = (kua__verdict){.measure = options->measure ? options->measure : KUA__NDCG_10};
    kua_status st = decide(&in, out);
    if (!st) st = put_words(out, options->strategy);
    if (st) kua__verdict_release(out);
    return st;
}

void kua__verdict_release(kua__verdict *verdict)
{
    assert(verdict);
    kua__free(verdict->words);
    *verdict = (kua__verdict){0};
}

/* ---- JSON ---- */

static json_t *slice_json(const kua__guard_slice *s)
{
    return json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:s, s:b, s:b}", "slice",
                     kua__slice_name(s->slice), "words", kua__slice_words(s->slice), "users",
                     (json_int_t)s->n_users, "target_only", s->target_only, "transferred",
                     s->transferred, "mean", s->difference.mean, "low", s->difference.low, "high",
                     s->difference.high, "reason", reason_names[s->reason], "transfer", s->transfer,
                     "switch", is_switch(s->slice));
}

kua_status kua__verdict_json(const kua__verdict *verdict, json_t **out)
{
    assert(verdict && verdict->words && out);
    json_t *slices = json_array();
    bool failed = !slices;
    for (size_t k = 0; !failed && k < verdict->n_slices; k++)
        failed = json_array_append_new(slices, slice_json(&verdict->slice[k]));
    /* 'o' takes the array, also where packing fails */
    *out = failed ? NULL
                  : json_pack("{s:b, s:b, s:s, s:s, s:f, s:{s:f, s:f, s:f}, s:o}", "transfer",
                              verdict->transfer, "partly", is_partly(verdict), "words",
                              verdict->words, "measure", kua__measure_name(verdict->measure),
                              "margin", verdict->margin, "published", "mean",
                              verdict->published.mean, "low", verdict->published.low, "high",
                              verdict->published.high, "slices", slices);
    if (failed) json_decref(slices);
    return *out ? KUA_OK : kua__fail_nomem(0, "the guard's verdict");
}

static bool find_slice(const char *name, kua__slice *out)
{
    for (int s = 0; s < KUA__SLICES; s++) {
        if (kua__streq(name, kua__slice_name((kua__slice)s))) {
            *out = (kua__slice)s;
            return true;
        }
    }
    return false;
}

static kua_status load_slice(const char *name, const json_t *json, kua__guard_slice *s)
{
    const char *slice = NULL, *reason = NULL;
    int64_t users = 0;
    KUA__TRY(kua__json_string(name, json, "slice", &slice));
    KUA__TRY(kua__json_string(name, json, "reason", &reason));
    KUA__TRY(kua__json_int(name, json, "users", 0, INT64_MAX, &users));
    KUA__TRY(kua__json_bool_or(name, json, "transfer", false, &s->transfer));
    KUA__TRY(kua__json_real_or(name, json, "target_only", 0, 1, 0, &s->target_only));
    KUA__TRY(kua__json_real_or(name, json, "transferred", 0, 1, 0, &s->transferred));
    KUA__TRY(kua__json_real_or(name, json, "mean", -1, 1, 0, &s->difference.mean));
    KUA__TRY(kua__json_real_or(name, json, "low", -1, 1, 0, &s->difference.low));
    KUA__TRY(kua__json_real_or(name, json, "high", -1, 1, 0, &s->difference.high));
    s->n_users = (size_t)users;
    if (!find_slice(slice, &s->slice))
        return kua__fail(KUA_FORMAT, "%s: slice '%s' is unknown", name, slice);
    for (size_t r = 0; r < KUA__COUNT(reason_names); r++) {
        if (kua__streq(reason, reason_names[r])) {
            s->reason = (kua__guard_reason)r;
            return KUA_OK;
        }
    }
    return kua__fail(KUA_FORMAT, "%s: reason '%s' of slice '%s' is unknown", name, reason, slice);
}

static kua_status load_verdict(const char *name, const json_t *json, kua__verdict *v)
{
    const char *words = NULL, *measure = NULL;
    const json_t *slices = json_object_get(json, "slices"),
                 *published = json_object_get(json, "published");
    KUA__TRY(kua__json_bool_or(name, json, "transfer", false, &v->transfer));
    KUA__TRY(kua__json_real_or(name, json, "margin", 0, 1, 0, &v->margin));
    KUA__TRY(kua__json_string(name, json, "words", &words));
    KUA__TRY(kua__json_string(name, json, "measure", &measure));
    if (!kua__measure_parse(measure, &v->measure))
        return kua__fail(KUA_FORMAT, "%s: measure '%s' is unknown", name, measure);
    if (json_is_object(published)) {
        KUA__TRY(kua__json_real_or(name, published, "mean", -1, 1, 0, &v->published.mean));
        KUA__TRY(kua__json_real_or(name, published, "low", -1, 1, 0, &v->published.low));
        KUA__TRY(kua__json_real_or(name, published, "high", -1, 1, 0, &v->published.high));
    }
    if (json_array_size(slices) < 1 || json_array_size(slices) > KUA__SLICES)
        return kua__fail(KUA_FORMAT, "%s: slices has %zu entries, expected 1..%d", name,
                         json_array_size(slices), KUA__SLICES);
    for (; v->n_slices < json_array_size(slices); v->n_slices++)
        KUA__TRY(load_slice(name, json_array_get(slices, v->n_slices), &v->slice[v->n_slices]));
    v->words = kua__strdup(words);
    return v->words ? KUA_OK : kua__fail_nomem(strlen(words), "the guard's verdict");
}

kua_status kua__verdict_load(const char *name, const json_t *json, kua__verdict *out)
{
    assert(name && out);
    *out = (kua__verdict){0};
    if (!json_is_object(json))
        return kua__fail(KUA_FORMAT, "%s: the guard's verdict is not an object", name);
    kua_status st = load_verdict(name, json, out);
    if (st) kua__verdict_release(out);
    return st;
}

/* tag.c - training, measuring and asking a tagger: a linear head on the state of each unit's first
 * token, a chain over the tags (crf.h), and the best BIO sequence of each text.
 *
 * What counts is an entity with exactly the right first unit, last unit and type.
 */
#include <assert.h>
#include <limits.h>
#include <string.h>

#include "app/crf.h"
#include "app/prepare.h"
#include "app/tags.h"
#include "app/trainer.h"
#include "base/json.h"
#include "grad/tape.h"

/* Texts with their tokens, and the answers to them. */
typedef struct corpus {
    kua__tagged texts;
    kua__tag_tokens tokens;
    float *states;  /* [tokens, dim] of a frozen encoder, or NULL */
    uint32_t *said; /* [units] */
} corpus;

typedef struct job {
    kua_classifier c;
    kua__app_settings settings;
    corpus learn, judge;
    uint32_t *row, *held; /* texts of learn that are trained on, and held back */
    size_t n, n_held;
    kua__trainer trainer;
    size_t expected_bytes;
    const kua_monitor *monitor;
} job;

static void corpus_release(corpus *x)
{
    kua__tagged_release(&x->texts);
    kua__tag_tokens_release(&x->tokens);
    kua__free(x->states);
    kua__free(x->said);
    *x = (corpus){0};
}

/* ---- answers ---- */

enum { JUDGED = 32 };

static kua_status decode_text(const kua_classifier *c, corpus *x, size_t text, const kua__var *z,
                              size_t first_row)
{
    size_t from = x->texts.unit_at[text], n = x->texts.unit_at[text + 1] - from, read = 0;
    size_t tags = c->config.labels.count;
    float *score = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&score, n * tags, "scores of tags"));
    for (; read < n && x->tokens.first[from + read] != KUA__NO_ID; read++)
        memcpy(score + read * tags, z->value + (first_row + x->tokens.first[from + read]) * tags,
               tags * sizeof(*score));
    kua_status st = kua__tag_decode(score, c->head.transitions->value, read, tags, x->said + from);
    for (size_t u = read; u < n; u++)
        x->said[from + u] = 0; /* behind the limit: not read */
    kua__free(score);
    return st;
}

/* Tags of the texts pick[n] into x->said. */
static kua_status answer(const kua_classifier *c, kua__tape *t, corpus *x, const uint32_t *pick,
                         size_t n)
{
    kua__app_input in = {.ids = &x->tokens.ids, .states = x->states};
    for (size_t first = 0; first < n; first += JUDGED) {
        size_t some = KUA__MIN(n - first, (size_t)JUDGED);
        kua__ragged seq;
        kua__tape_reset(t);
        kua__var *z = kua__classifier_on_tape(c, t, &in, pick + first, some, 0, &seq);
        if (!z) return kua__tape_status(t);
        for (size_t i = 0; i < some; i++)
            KUA__TRY(decode_text(c, x, pick[first + i], z, seq.at[i]));
    }
    return KUA_OK;
}

/* ---- measuring ---- */

typedef struct counts {
    size_t truly, said, right;
} counts;

typedef struct score {
    counts all, *type; /* [types] */
    size_t units, units_right;
} score;

static double f1_of(counts c)
{
    return c.said + c.truly ? 2 * (double)c.right / (double)(c.said + c.truly) : 0;
}

static void count_entities(score *s, size_t types, const kua__entity *truth, size_t n,
                           const kua__entity *said, size_t m)
{
    for (size_t i = 0; i < n; i++)
        if (truth[i].type < types) s->type[truth[i].type].truly++;
    for (size_t j = 0; j < m; j++)
        s->type[said[j].type].said++;
    for (size_t i = 0, j = 0; i < n && j < m;) { /* both are in order of their first unit */
        if (truth[i].first == said[j].first) {
            bool same = truth[i].last == said[j].last && truth[i].type == said[j].type;
            s->type[said[j].type].right += same;
            i++, j++;
        } else if (truth[i].first < said[j].first) {
            i++;
        } else {
            j++;
        }
    }
}

static kua_status score_texts(const corpus *x, size_t types, const uint32_t *pick, size_t n,
                              score *s)
{
    kua__entity *room = NULL;
    *s = (score){0};
    KUA__TRY(KUA__NEW_ZEROED(&s->type, types + 1, "types"));
    KUA__TRY(KUA__NEW_ARRAY(&room, 2 * x->texts.n_units, "entities"));
    for (size_t i = 0; i < n; i++) {
        size_t from = x->texts.unit_at[pick[i]], units = x->texts.unit_at[pick[i] + 1] - from;
        size_t a = kua__entities(x->texts.tag + from, units, room);
        size_t b = kua__entities(x->said + from, units, room + units);
        count_entities(s, types, room, a, room + units, b);
        s->units += units;
        for (size_t u = 0; u < units; u++)
            s->units_right += x->texts.tag[from + u] == x->said[from + u];
    }
    for (size_t k = 0; k < types; k++)
        s->all = (counts){s->all.truly + s->type[k].truly, s->all.said + s->type[k].said,
                          s->all.right + s->type[k].right};
    kua__free(room);
    return KUA_OK;
}

static json_t *counts_json(counts c)
{
    return json_pack("{s:I, s:f, s:f, s:f}", "entities", (json_int_t)c.truly, "precision",
                     c.said ? (double)c.right / (double)c.said : 0., "recall",
                     c.truly ? (double)c.right / (double)c.truly : 0., "f1", f1_of(c));
}

/* "B-brand" -> "brand" */
static const char *type_name(const kua_classifier *c, size_t type)
{
    return c->config.labels.name[2 * type + 1] + 2;
}

static json_t *score_json(const kua_classifier *c, const score *s, size_t texts)
{
    json_t *report = counts_json(s->all), *list = json_array();
    for (size_t k = 0; 2 * k + 2 < c->config.labels.count; k++) {
        json_t *row = counts_json(s->type[k]);
        json_object_set_new(row, "type", json_string(type_name(c, k)));
        json_array_append_new(list, row);
    }
    json_object_set_new(report, "types", list);
    json_object_set_new(report, "texts", json_integer((json_int_t)texts));
    json_object_set_new(report, "units", json_integer((json_int_t)s->units));
    json_object_set_new(report, "unit_accuracy",
                        json_real(s->units ? (double)s->units_right / (double)s->units : 0));
    return report;
}

/* Answers and counts; *report may be NULL. */
static kua_status measure(const kua_classifier *c, kua__tape *t, corpus *x, const uint32_t *pick,
                          size_t n, double *f1, json_t **report)
{
    score s;
    unsigned long lost = kua__json_lost();
    size_t types = (c->config.labels.count - 1) / 2;
    KUA__TRY(answer(c, t, x, pick, n));
    kua_status st = score_texts(x, types, pick, n, &s);
    if (!st && report) {
        *report = score_json(c, &s, n);
        st = kua__json_whole(lost, "a report");
    }
    if (!st) *f1 = f1_of(s.all);
    kua__free(s.type);
    return st;
}

/* ---- training ---- */

/* The units of texts pick[n] that were read: their rows of the logits, their tags, and where each
 * text begins. */
typedef struct read_units {
    uint32_t *row, *tag, *at;
    size_t n;
} read_units;

static read_units units_of(kua__tape *t, const corpus *x, const uint32_t *pick, size_t n,
                           kua__ragged seq)
{
    size_t most = seq.at[n];
    read_units r = {.row = kua__tape_alloc(t, (most + 1) * sizeof(*r.row)),
                    .tag = kua__tape_alloc(t, (most + 1) * sizeof(*r.tag)),
                    .at = kua__tape_alloc(t, (n + 1) * sizeof(*r.at))};
    if (!r.row || !r.tag || !r.at) return (read_units){0};
    for (size_t i = 0; i < n; i++) {
        r.at[i] = (uint32_t)r.n;
        for (size_t u = x->texts.unit_at[pick[i]]; u < x->texts.unit_at[pick[i] + 1]; u++) {
            if (x->tokens.first[u] == KUA__NO_ID) break; /* as are all behind it */
            r.row[r.n] = seq.at[i] + x->tokens.first[u];
            r.tag[r.n++] = x->texts.tag[u];
        }
    }
    r.at[n] = (uint32_t)r.n;
    return r;
}

static kua__var *loss_of(const kua_classifier *c, kua__tape *t, const corpus *x,
                         const uint32_t *pick, size_t n, float dropout)
{
    kua__app_input in = {.ids = &x->tokens.ids, .states = x->states};
    kua__ragged seq;
    kua__var *z = kua__classifier_on_tape(c, t, &in, pick, n, dropout, &seq);
    if (!z) return NULL;
    read_units r = units_of(t, x, pick, n, seq);
    if (!r.at) return NULL;
    kua__var *scores = kua__gather_rows(t, z, r.row, r.n);
    return kua__crf_loss(t, scores, kua__use(t, c->head.transitions), (kua__ragged){n, r.at},
                         r.tag);
}

static kua__var *batch_loss(void *ctx, kua__tape *t, const uint32_t *pick, size_t n)
{
    job *j = ctx;
    return loss_of(&j->c, t, &j->learn, pick, n, (float)j->settings.value[KUA__SET_DROPOUT]);
}

static corpus *judged(job *j)
{
    return j->judge.texts.n ? &j->judge : &j->learn;
}

static kua_status validate(void *ctx, kua__tape *t, kua__valid *out)
{
    job *j = ctx;
    double sum = 0;
    for (size_t first = 0; first < j->n_held; first += JUDGED) {
        size_t some = KUA__MIN(j->n_held - first, (size_t)JUDGED);
        kua__tape_reset(t);
        kua__var *loss = loss_of(&j->c, t, judged(j), j->held + first, some, 0);
        if (!loss) return kua__tape_status(t);
        sum += (double)*loss->value * (double)some;
    }
    out->loss = sum / (double)j->n_held;
    return measure(&j->c, t, judged(j), j->held, j->n_held, &out->score, NULL);
}

static kua_status add_labels(job *j, const kua__ids *types)
{
    uint32_t id;
    KUA__TRY(kua__ids_add(&j->c.config.labels, "O", 1, &id));
    for (size_t i = 0; i < types->count; i++) {
        char name[128];
        for (const char *part = "BI"; *part; part++) {
            int n = snprintf(name, sizeof(name), "%c-%s", *part, types->name[i]);
            KUA__TRY(kua__ids_add(&j->c.config.labels, name, (size_t)n, &id));
        }
    }
    return KUA_OK;
}

static kua_status read_texts(job *j, const kua_tag_options *o)
{
    KUA__TRY(kua__tagged_load(&j->learn.texts, o->train, NULL));
    if (!j->learn.texts.types.count)
        return kua__fail(KUA_FORMAT, "%s: every tag is O: there is nothing to learn", o->train);
    if (o->valid) KUA__TRY(kua__tagged_load(&j->judge.texts, o->valid, &j->learn.texts.types));
    if (j->judge.texts.unknown)
        return kua__fail(KUA_FORMAT, "%s: %zu tags are of types that %s does not have", o->valid,
                         j->judge.texts.unknown, o->train);
    j->c.config.characters = j->learn.texts.characters;
    return add_labels(j, &j->learn.texts.types);
}

static kua_status hold_texts(job *j)
{
    bool draw = !j->judge.texts.n;
    KUA__TRY(KUA__NEW_ARRAY(&j->row, j->learn.texts.n, "texts"));
    KUA__TRY(KUA__NEW_ARRAY(&j->held, KUA__MAX(j->learn.texts.n, j->judge.texts.n), "texts"));
    for (size_t i = 0; i < j->learn.texts.n; i++) {
        uint32_t random[4];
        kua__philox((uint64_t)j->settings.value[KUA__SET_SEED], 55, i, random);
        bool held = draw && random[0] / 4294967296. < j->settings.value[KUA__SET_VALID_SHARE];
        if (held && j->n + 1 < j->learn.texts.n)
            j->held[j->n_held++] = (uint32_t)i;
        else
            j->row[j->n++] = (uint32_t)i;
    }
    for (size_t i = 0; i < j->judge.texts.n; i++)
        j->held[j->n_held++] = (uint32_t)i;
    return KUA_OK;
}

static kua_status corpus_tokens(const kua_classifier *c, corpus *x)
{
    KUA__TRY(
        kua__tag_tokens_make(&x->tokens, &x->texts, c->backbone.tokenizer, c->config.max_tokens));
    return KUA__NEW_ZEROED(&x->said, x->texts.n_units + 1, "tags");
}

static kua_status judge_states(job *j)
{
    if (!j->learn.states || !j->judge.texts.n) return KUA_OK;
    kua__tape *t = NULL;
    KUA__TRY(KUA__NEW_ARRAY(&j->judge.states, j->judge.tokens.ids.ids.n * j->c.config.dim,
                            "token states"));
    KUA__TRY(kua__tape_create(NULL, &t));
    kua_status st =
        kua__backbone_states(&j->c.backbone, t, &j->judge.tokens.ids, j->monitor, j->judge.states);
    kua__tape_free(t);
    return st;
}

static kua_status prepare(job *j, const kua_tag_options *o)
{
    kua__rng rng = kua__rng_make((uint64_t)j->settings.value[KUA__SET_SEED], 3);
    kua__app_config from = {0};
    char *encoder = NULL;
    j->c.config.tagger = true;
    j->c.config.method = KUA__ENCODER;
    j->c.config.hidden = 1;
    KUA__TRY(kua__tune_parse(o->tune ? o->tune : "full", &j->c.config.tune));
    if (!o->model && !o->from)
        return kua__fail(KUA_INVALID, "tag: there is neither a model nor a tagger to start from");
    kua_status st = o->model ? KUA_OK : kua__app_config_load(o->from, &from);
    if (!st && !o->model && !from.encoder)
        st = kua__fail(KUA_INVALID, "%s: has no encoder", o->from);
    if (!st) {
        encoder = o->model ? kua__strdup(o->model) : kua__encoder_folder(o->from, &from);
        st = encoder ? kua__prepare_encoder(&j->c, encoder, &j->settings)
                     : kua__fail_nomem(0, "a path");
    }
    kua__free(encoder);
    kua__app_config_release(&from);
    if (!st) st = read_texts(j, o);
    if (!st) st = hold_texts(j);
    if (!st) st = corpus_tokens(&j->c, &j->learn);
    if (!st && j->judge.texts.n) st = corpus_tokens(&j->c, &j->judge);
    if (!st)
        st = kua__prepare_weights(&j->c, &j->learn.tokens.ids, &j->settings, j->monitor, &rng,
                                  &j->learn.states, &j->expected_bytes);
    if (!st) st = judge_states(j);
    return st ? st : kua__head_create(&j->c.head, &j->c.params, &j->c.config, &rng);
}

static kua_status train(job *j, const kua_tag_options *o)
{
    char mark[64], options[PATH_MAX];
    snprintf(options, sizeof(options), "tag|%s|%s|%s|%zu|%zu", o->model ? o->model : "",
             o->from ? o->from : "", o->tune ? o->tune : "", j->n, j->n_held);
    kua__prepare_mark(&j->settings, options, j->learn.texts.bytes.data, j->learn.texts.bytes.len,
                      mark);
    j->trainer = (kua__trainer){.settings = &j->settings,
                                .params = &j->c.params,
                                .tuning = j->c.trained ? &j->c.backbone.tuning : NULL,
                                .row = j->row,
                                .n = j->n,
                                .loss = batch_loss,
                                .validate = j->n_held ? validate : NULL,
                                .ctx = j,
                                .folder = o->out,
                                .fingerprint = mark,
                                .score_name = "f1",
                                .monitor = j->monitor};
    KUA__TRY(kua__trainer_run(&j->trainer));
    return j->c.trained ? kua__tuning_end(&j->c.backbone.tuning) : KUA_OK;
}

static kua_status report_training(job *j, double seconds, json_t **out)
{
    unsigned long lost = kua__json_lost();
    json_t *valid = NULL;
    double f1 = 0;
    size_t trained = 0;
    kua__tape *t = NULL;
    KUA__TRY(kua__tape_create(NULL, &t));
    kua__tape_set_training(t, false);
    kua_status st =
        j->n_held ? measure(&j->c, t, judged(j), j->held, j->n_held, &f1, &valid) : KUA_OK;
    kua__tape_free(t);
    for (size_t i = 0; i < j->c.params.n; i++)
        trained +=
            j->c.params.all[i]->frozen ? 0 : j->c.params.all[i]->rows * j->c.params.all[i]->cols;
    *out = json_pack(
        "{s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:I, s:O, s:o, s:o*}", "method",
        "encoder", "head", "linear", "tune", kua__tune_name(j->c.config.tune), "labels",
        (json_int_t)j->c.config.labels.count, "train_rows", (json_int_t)j->n, "valid_rows",
        (json_int_t)j->n_held, "trained", (json_int_t)trained, "seconds", seconds, "best_epoch",
        (json_int_t)j->trainer.best_epoch, "expected_bytes", (json_int_t)j->expected_bytes,
        "peak_bytes", (json_int_t)kua__peak_rss_bytes(), "epochs", j->trainer.epochs, "settings",
        kua__app_settings_json(&j->settings), "valid", valid);
    if (!st && !*out) st = kua__fail_nomem(0, "a report");
    return st ? st : kua__json_whole(lost, "a report");
}

static kua_status give(json_t *json, char **report)
{
    if (report) *report = json ? kua__json_dumps(json, JSON_INDENT(2)) : NULL;
    return json && (!report || *report) ? KUA_OK : kua__fail_nomem(0, "a report");
}

kua_status kua_tag_train(const kua_tag_options *options, const kua_monitor *monitor, char **report)
{
    assert(options && options->train && options->out);
    if (report) *report = NULL;
    job j = {.monitor = monitor};
    json_t *json = NULL;
    double start = kua__seconds();
    kua__classifier_init(&j.c);
    kua_status st = kua__app_settings_parse(options->settings, &j.settings);
    if (!st) st = prepare(&j, options);
    if (!st) st = train(&j, options);
    if (!st) st = report_training(&j, kua__seconds() - start, &json);
    if (!st) st = kua__classifier_save(&j.c, options->out, json);
    if (!st) st = give(json, report);
    json_decref(json);
    json_decref(j.trainer.epochs);
    kua__classifier_release(&j.c);
    corpus_release(&j.learn);
    corpus_release(&j.judge);
    kua__free(j.row);
    kua__free(j.held);
    return st;
}

/* ---- using ---- */

static kua_status open_tagger(kua_classifier *c, const char *folder, kua__ids *types)
{
    KUA__TRY(kua__classifier_open(c, folder));
    if (!c->config.tagger)
        return kua__fail(KUA_INVALID, "%s: is a classifier, not a tagger", folder);
    for (size_t k = 0; 2 * k + 2 < c->config.labels.count; k++) {
        uint32_t id;
        KUA__TRY(kua__ids_add(types, type_name(c, k), strlen(type_name(c, k)), &id));
    }
    KUA__TRY(kua__tape_create(NULL, &c->tape));
    kua__tape_set_training(c->tape, false);
    return KUA_OK;
}

/* 0 .. n - 1 */
static kua_status every_text(size_t n, uint32_t **out)
{
    KUA__TRY(KUA__NEW_ARRAY(out, n, "texts"));
    for (size_t i = 0; i < n; i++)
        (*out)[i] = (uint32_t)i;
    return KUA_OK;
}

kua_status kua_tag_eval(const char *folder, const char *data, const kua_monitor *monitor,
                        char **report)
{
    assert(folder && data);
    (void)monitor; /* a thousand titles take a second */
    if (report) *report = NULL;
    kua_classifier c;
    kua__ids types;
    corpus x = {0};
    uint32_t *pick = NULL;
    json_t *json = NULL;
    double f1 = 0, start = 0;
    kua__ids_init(&types);
    kua__classifier_init(&c);
    kua_status st = open_tagger(&c, folder, &types);
    if (!st) st = kua__tagged_load(&x.texts, data, &types);
    if (!st) st = corpus_tokens(&c, &x);
    if (!st) st = every_text(x.texts.n, &pick);
    start = kua__seconds();
    if (!st) st = measure(&c, c.tape, &x, pick, x.texts.n, &f1, &json);
    if (!st) {
        json_object_set_new(json, "unknown", json_integer((json_int_t)x.texts.unknown));
        json_object_set_new(json, "texts_per_second",
                            json_real((double)x.texts.n / (kua__seconds() - start + 1e-9)));
        st = give(json, report);
    }
    json_decref(json);
    kua__free(pick);
    corpus_release(&x);
    kua__ids_release(&types);
    kua__classifier_release(&c);
    return st;
}

static json_t *text_entities(const kua_classifier *c, const corpus *x, size_t text,
                             kua__entity *room)
{
    json_t *list = json_array();
    const kua__tagged *t = &x->texts;
    size_t from = t->unit_at[text], n = t->unit_at[text + 1] - from;
    size_t found = kua__entities(x->said + from, n, room);
    for (size_t i = 0; i < found; i++) {
        kua__buf name = {0};
        for (size_t u = from + room[i].first; u <= from + room[i].last; u++) {
            if (u > from + room[i].first && !c->config.characters) kua__buf_puts(&name, " ");
            kua__buf_add(&name, t->bytes.data + t->byte_at[u], t->byte_at[u + 1] - t->byte_at[u]);
        }
        json_array_append_new(
            list, json_pack("{s:s, s:s%, s:I, s:I}", "type", type_name(c, room[i].type), "text",
                            name.data ? name.data : "", name.len, "first",
                            (json_int_t)room[i].first, "last", (json_int_t)room[i].last));
        kua__buf_release(&name);
    }
    return list;
}

static kua_status predict_texts(kua_classifier *c, corpus *x, json_t **out)
{
    uint32_t *pick = NULL;
    kua__entity *room = NULL;
    unsigned long lost = kua__json_lost();
    kua_status st = corpus_tokens(c, x);
    if (!st) st = every_text(x->texts.n, &pick);
    if (!st) st = KUA__NEW_ARRAY(&room, x->texts.n_units, "entities");
    if (!st) st = answer(c, c->tape, x, pick, x->texts.n);
    *out = json_array();
    for (size_t i = 0; i < x->texts.n && !st; i++)
        json_array_append_new(*out, text_entities(c, x, i, room));
    if (!st) st = kua__json_whole(lost, "a report");
    kua__free(room);
    kua__free(pick);
    return st;
}

kua_status kua_tag_predict(const char *folder, const kua_text *texts, size_t n,
                           const kua_monitor *monitor, char **report)
{
    assert(folder && (texts || n == 0) && report);
    (void)monitor;
    *report = NULL;
    kua_classifier c;
    kua__ids types;
    corpus x = {0};
    json_t *json = NULL;
    kua__ids_init(&types);
    kua__tagged_init(&x.texts);
    kua__classifier_init(&c);
    kua_status st = open_tagger(&c, folder, &types);
    for (size_t i = 0; i < n && !st; i++)
        st = kua__tagged_add_text(&x.texts, &texts[i], c.config.characters);
    if (!st) st = predict_texts(&c, &x, &json);
    if (!st) st = give(json, report);
    json_decref(json);
    corpus_release(&x);
    kua__ids_release(&types);
    kua__classifier_release(&c);
    return st;
}
